//! Values of attributes.

use crate::time::WallTime;

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text
    Text(String),
    /// A count, or bytes
    Int(i64),
    /// Seconds, a ratio, bytes per hour
    Float(f64),
    /// Yes or no
    Bool(bool),
    /// An instant: ISO 8601 on its way out
    Time(WallTime),
    /// Several of one kind
    List(Vec<Value>),
}
