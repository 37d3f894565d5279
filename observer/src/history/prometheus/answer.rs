//! The body of a range query's answer: reads JSON, produces series with their values.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Read},
};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

/// What the HTTP API answers.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub struct Answer<T> {
    /// `success` or `error`.
    pub status: String,
    /// What went wrong, in the server's words.
    #[serde(default)]
    pub error: Option<String>,
    /// What it answers.
    #[serde(default = "none")]
    pub data: Option<T>,
    /// What it wants to be known of an answer that may be partial.
    #[serde(default)]
    pub warnings: Vec<String>,
}

const fn none<T>() -> Option<T> {
    None
}

/// Series over time.
#[derive(Debug, Deserialize)]
pub struct Matrix {
    /// All of them.
    pub result: Vec<Series>,
}

/// One series.
#[derive(Debug, Deserialize)]
pub struct Series {
    /// Its labels, the name among them.
    pub metric: BTreeMap<String, String>,
    /// What it was when.
    #[serde(default)]
    pub values: Values,
}

/// Values by time in milliseconds, in the order of the answer; what is no finite number is left out.
#[derive(Debug, Default)]
pub struct Values {
    /// Those that are numbers.
    pub finite: Vec<(i64, f64)>,
    /// How many there were.
    pub count: u64,
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Values;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("pairs of a time and a value")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Values, A::Error> {
                let mut values = Values::default();
                while let Some(Pair(t, value)) = pairs.next_element()? {
                    values.count += 1;
                    if value.is_finite() && t.is_finite() {
                        values.finite.push(((t * 1_000.0) as i64, value));
                    }
                }
                Ok(values)
            }
        }
        deserializer.deserialize_seq(All)
    }
}

/// `[1700000000.5, "42"]`
struct Pair(f64, f64);

impl<'de> Deserialize<'de> for Pair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Both;
        impl<'de> Visitor<'de> for Both {
            type Value = Pair;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time and a value")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Pair, A::Error> {
                let missing = || serde::de::Error::invalid_length(1, &"a time and a value");
                let t = pair.next_element()?.ok_or_else(missing)?;
                let Number(value) = pair.next_element()?.ok_or_else(missing)?;
                while pair.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Pair(t, value))
            }
        }
        deserializer.deserialize_seq(Both)
    }
}

/// A number in quotes; NaN where it is none.
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number in quotes")
            }
            fn visit_str<E>(self, text: &str) -> Result<Number, E> {
                Ok(Number(text.parse().unwrap_or(f64::NAN)))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Reads the answers of a file, one after another.
pub fn of_reader(reader: impl Read) -> impl Iterator<Item = serde_json::Result<Answer<Matrix>>> {
    serde_json::Deserializer::from_reader(io::BufReader::with_capacity(1 << 18, reader)).into_iter()
}
