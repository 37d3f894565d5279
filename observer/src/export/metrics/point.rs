//! What metrics are made of: a metric, one value of it, and the values of one Resource.

use observer_core::identity::Resource;

/// How points of a metric add up: over time, and over the things they describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A level of which sums say nothing.
    Gauge,
    /// A level that adds up: an UpDownCounter of the conventions, a sum that is not monotonic on the wire.
    UpDown,
    /// A count since a start: it only rises.
    Counter,
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Name, of `semconv::metric`.
    pub name: &'static str,
    /// UCUM unit.
    pub unit: &'static str,
    /// Level or count.
    pub kind: Kind,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Of what.
    pub metric: Metric,
    /// Told apart by.
    pub attributes: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

/// The points of one Resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The Resource.
    pub resource: Resource,
    /// Since when its counters count, nanoseconds since 1970.
    pub since: u64,
    /// Its points.
    pub points: Vec<Point>,
}

pub(super) const fn gauge(name: &'static str, unit: &'static str) -> Metric {
    Metric {
        name,
        unit,
        kind: Kind::Gauge,
    }
}

pub(super) const fn up_down(name: &'static str, unit: &'static str) -> Metric {
    Metric {
        name,
        unit,
        kind: Kind::UpDown,
    }
}

pub(super) const fn counter(name: &'static str, unit: &'static str) -> Metric {
    Metric {
        name,
        unit,
        kind: Kind::Counter,
    }
}

pub(super) fn point(metric: Metric, attributes: &[(&'static str, &str)], value: f64) -> Point {
    let attributes = attributes
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    Point {
        metric,
        attributes,
        value,
    }
}
