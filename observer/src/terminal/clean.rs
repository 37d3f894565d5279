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
