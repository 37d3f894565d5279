//! Values of attributes.

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
    /// Several of one kind
    List(Vec<Value>),
}
