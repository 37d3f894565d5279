//! Answers, records and findings on their way to a person: reads any of them, produces the same with every string in it
//! visible and of bounded width.

use std::borrow::Cow;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::text;

/// Columns of a name at most. Kubernetes' longest is 253.
const NAME: usize = 256;
/// Columns at most of what is a sentence, and may have names in it.
const SENTENCE: usize = 1_000;
/// Fields that are sentences.
const SENTENCES: [&str; 7] = [
    "advice", "because", "changed", "failing", "not_read", "reason", "sentence",
];

/// The value that this JSON stands for, cleaned.
pub fn read<T: DeserializeOwned>(json: &str) -> serde_json::Result<T> {
    if is_clean(json) {
        return serde_json::from_str(json);
    }
    let mut value: Value = serde_json::from_str(json)?;
    clean(&mut value, NAME);
    T::deserialize(value)
}

/// The value, cleaned. What JSON cannot hold (an infinite number) is an error.
pub fn of<T: Serialize + DeserializeOwned>(value: &T) -> serde_json::Result<T> {
    let mut value = serde_json::to_value(value)?;
    clean(&mut value, NAME);
    T::deserialize(value)
}

/// A name alone.
pub fn name(name: &str) -> Cow<'_, str> {
    text::cut(name, NAME)
}

/// A sentence alone.
pub fn sentence(sentence: &str) -> Cow<'_, str> {
    text::cut(sentence, SENTENCE)
}

/// Whether nothing would be cleaned in this JSON: it is printable ASCII without an escape, and no string is long. A live
/// view reads a megabyte of it every other second.
fn is_clean(json: &str) -> bool {
    let printable = json
        .trim_ascii_end()
        .bytes()
        .all(|byte| matches!(byte, b' '..=b'~') && byte != b'\\');
    // Without escapes, what stands between two quotes is a string, or what lies between two.
    printable && json.split('"').skip(1).step_by(2).all(|string| string.len() <= NAME)
}

fn clean(value: &mut Value, columns: usize) {
    match value {
        Value::String(name) => {
            if let Cow::Owned(cut) = text::cut(name, columns) {
                *name = cut;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| clean(value, columns)),
        Value::Object(fields) => {
            // Keys are names as well: attributes that a process gives itself.
            let odd = fields.keys().any(|key| *text::cut(key, NAME) != **key);
            if odd {
                *fields = std::mem::take(fields)
                    .into_iter()
                    .map(|(key, value)| (text::cut(&key, NAME).into_owned(), value))
                    .collect();
            }
            for (key, value) in fields {
                let columns = if SENTENCES.contains(&key.as_str()) {
                    SENTENCE
                } else {
                    NAME
                };
                clean(value, columns);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_no_cleaning_is_read_alike_without_it() {
        let long = "a".repeat(NAME + 1);
        for (json, plain) in [
            (
                r#"{"name": "api-7d9c", "bytes": 12, "of": ["x", null]}"#.to_owned() + "\n",
                true,
            ),
            (r#"{"name": "a\u001b[31m"}"#.to_owned(), false),
            (r#"{"name": "a\"b"}"#.to_owned(), false),
            (r#"{"na\u202eme": "b"}"#.to_owned(), false),
            (r#"{"name": "grün"}"#.to_owned(), false),
            (format!("{{\"name\": \"{long}\"}}"), false),
            (format!("{{\"{long}\": \"name\"}}"), false),
        ] {
            assert_eq!(is_clean(&json), plain, "{json}");
            let mut value: Value = serde_json::from_str(&json).unwrap();
            clean(&mut value, NAME);
            assert_eq!(read::<Value>(&json).unwrap(), value, "{json}");
        }
    }
}
