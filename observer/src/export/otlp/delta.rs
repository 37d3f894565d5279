//! Counts as differences: reads points whose counts were taken since a start, produces what was added since they were
//! last delivered (`OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta`).
//!
//! What was not delivered is in the next difference, so that a dead endpoint costs no count.

use std::collections::BTreeMap;

use observer_core::identity::Resource;

use crate::export::metrics::{Group, Kind, Point};

/// Series remembered at most, those that have no points now included: a service that is idle for long comes back.
const REMEMBERED: usize = 1 << 16;

/// What tells one series from another.
type Series = (Resource, &'static str, Vec<(&'static str, String)>);

/// What was delivered of each count.
#[derive(Debug)]
pub(super) struct Delta {
    delivered: BTreeMap<Series, f64>,
    /// When it was last delivered, nanoseconds since 1970; the agent's start before that.
    at: u64,
    /// Nothing was looked at so far.
    first: bool,
}

impl Delta {
    /// Of an agent that started then.
    pub(super) const fn new(began: u64) -> Self {
        Self {
            delivered: BTreeMap::new(),
            at: began,
            first: true,
        }
    }

    /// The same groups with differences for counts. At the first look, what was counted before this agent's start was an
    /// earlier agent's to deliver.
    pub(super) fn of(&mut self, groups: &[Group]) -> Vec<Group> {
        if std::mem::replace(&mut self.first, false) {
            let before = groups.iter().filter(|group| group.since < self.at);
            self.remember(before.cloned().collect::<Vec<_>>().iter());
        }
        groups.iter().map(|group| self.difference(group)).collect()
    }

    fn difference(&self, group: &Group) -> Group {
        let mut since = group.since;
        let points = group.points.iter().map(|point| {
            let mut point = point.clone();
            if point.metric.kind == Kind::Counter {
                let delivered = self.delivered.get(&series(group, &point));
                // A count that fell began anew.
                if let Some(delivered) = delivered.filter(|delivered| **delivered <= point.value) {
                    point.value -= delivered;
                    since = since.max(self.at);
                }
            }
            point
        });
        let points = points.collect();
        Group {
            resource: group.resource.clone(),
            since,
            points,
        }
    }

    /// These, as they were counted, have been delivered with the points of this time.
    pub(super) fn delivered<'a>(&mut self, groups: impl Iterator<Item = &'a Group> + Clone, at: u64) {
        if self.delivered.len() > REMEMBERED {
            let shown: std::collections::BTreeSet<Series> = groups.clone().flat_map(counts).map(|(of, _)| of).collect();
            self.delivered.retain(|series, _| shown.contains(series));
        }
        self.remember(groups);
        self.at = at;
    }

    fn remember<'a>(&mut self, groups: impl Iterator<Item = &'a Group>) {
        self.delivered.extend(groups.flat_map(counts));
    }
}

fn counts(group: &Group) -> impl Iterator<Item = (Series, f64)> {
    let counters = group.points.iter().filter(|point| point.metric.kind == Kind::Counter);
    counters.map(|point| (series(group, point), point.value))
}

fn series(group: &Group, point: &Point) -> Series {
    (group.resource.clone(), point.metric.name, point.attributes.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::metrics::Metric;

    fn group(since: u64, counts: &[(&str, f64)], level: f64) -> Group {
        let metric = |name, kind| Metric { name, unit: "", kind };
        let mut points: Vec<Point> = counts
            .iter()
            .map(|(cause, value)| Point {
                metric: metric("exits", Kind::Counter),
                attributes: vec![("cause", (*cause).to_owned())],
                value: *value,
            })
            .collect();
        points.push(Point {
            metric: metric("level", Kind::UpDown),
            attributes: Vec::new(),
            value: level,
        });
        Group {
            resource: Resource::from([("service.name".to_owned(), "shop".to_owned())]),
            since,
            points,
        }
    }

    fn values(groups: &[Group]) -> Vec<f64> {
        groups[0].points.iter().map(|point| point.value).collect()
    }

    #[test]
    fn what_was_not_delivered_is_in_the_next_difference() {
        let mut delta = Delta::new(100);
        let first = [group(100, &[("oom", 2.0)], 7.0)];
        assert_eq!(values(&delta.of(&first)), [2.0, 7.0]);
        let second = [group(100, &[("oom", 5.0)], 8.0)];
        // The first was lost on its way.
        assert_eq!(values(&delta.of(&second)), [5.0, 8.0]);
        delta.delivered(second.iter(), 200);
        let third = [group(100, &[("oom", 6.0), ("crash", 1.0)], 9.0)];
        let differences = delta.of(&third);
        assert_eq!((values(&differences), differences[0].since), (vec![1.0, 1.0, 9.0], 200));
        delta.delivered(third.iter(), 300);
        // The service was forgotten and began anew.
        assert_eq!(values(&delta.of(&[group(350, &[("oom", 1.0)], 9.0)])), [1.0, 9.0]);
    }

    #[test]
    fn what_an_earlier_agent_counted_is_not_delivered_again() {
        let mut delta = Delta::new(100);
        let differences = delta.of(&[group(50, &[("oom", 40.0)], 7.0)]);
        assert_eq!((values(&differences), differences[0].since), (vec![0.0, 7.0], 100));
        assert_eq!(values(&delta.of(&[group(50, &[("oom", 41.0)], 7.0)])), [1.0, 7.0]);
    }
}
