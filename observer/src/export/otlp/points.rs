//! Metrics over OTLP: reads groups of points, produces encoded requests with each group under its own Resource.

use std::{collections::BTreeMap, ops::Range};

use bytes::Bytes;
use observer_core::telemetry::Value;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{
        AggregationTemporality, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data,
        number_data_point,
    },
};
use prost::Message;

use super::{
    batch::{SCHEMA_URL, scope},
    logs::{attributes, resource},
};
use crate::export::metrics::{Group, Kind, Point};

/// How the points of a request are to be understood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    /// When, nanoseconds since 1970.
    pub(super) at: u64,
    /// Of counts: whether they are differences.
    pub(super) counts: AggregationTemporality,
}

/// Requests of about so many bytes each at most, with the groups that are in them.
pub(super) fn requests(groups: &[Group], taken: Taken, bytes: usize) -> Vec<(Range<usize>, Bytes)> {
    let mut requests = Vec::new();
    let mut resource_metrics = Vec::new();
    let (mut from, mut size) = (0, 0);
    for (nth, group) in groups.iter().enumerate() {
        let encoded = resource_metrics_of(group, taken);
        let more = encoded.encoded_len();
        if size > 0 && size + more > bytes {
            let request = ExportMetricsServiceRequest {
                resource_metrics: std::mem::take(&mut resource_metrics),
            };
            requests.push((from..nth, request.encode_to_vec().into()));
            (from, size) = (nth, 0);
        }
        size += more;
        resource_metrics.push(encoded);
    }
    if !resource_metrics.is_empty() {
        let request = ExportMetricsServiceRequest { resource_metrics };
        requests.push((from..groups.len(), request.encode_to_vec().into()));
    }
    requests
}

fn resource_metrics_of(group: &Group, taken: Taken) -> ResourceMetrics {
    ResourceMetrics {
        resource: Some(resource(
            group
                .resource
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        )),
        scope_metrics: vec![ScopeMetrics {
            scope: Some(scope()),
            metrics: metrics(&group.points, group.since, taken),
            schema_url: SCHEMA_URL.to_owned(),
        }],
        schema_url: SCHEMA_URL.to_owned(),
    }
}

fn metrics(points: &[Point], start: u64, taken: Taken) -> Vec<Metric> {
    let mut by_name: BTreeMap<&str, (Point, Vec<NumberDataPoint>)> = BTreeMap::new();
    for point in points {
        let start = if point.metric.kind == Kind::Gauge { 0 } else { start };
        let pairs = point
            .attributes
            .iter()
            .map(|(name, value)| (*name, Value::Text(value.clone())))
            .collect();
        let data = NumberDataPoint {
            attributes: attributes(pairs),
            start_time_unix_nano: start,
            time_unix_nano: taken.at,
            value: Some(number_data_point::Value::AsDouble(point.value)),
            ..Default::default()
        };
        by_name
            .entry(point.metric.name)
            .or_insert_with(|| (point.clone(), Vec::new()))
            .1
            .push(data);
    }
    by_name
        .into_values()
        .map(|(point, data_points)| Metric {
            name: point.metric.name.to_owned(),
            unit: point.metric.unit.to_owned(),
            data: Some(match point.metric.kind {
                Kind::Gauge => Data::Gauge(Gauge { data_points }),
                Kind::UpDown => Data::Sum(Sum {
                    data_points,
                    aggregation_temporality: AggregationTemporality::Cumulative.into(),
                    is_monotonic: false,
                }),
                Kind::Counter => Data::Sum(Sum {
                    data_points,
                    aggregation_temporality: taken.counts.into(),
                    is_monotonic: true,
                }),
            }),
            ..Default::default()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use observer_core::identity::Resource;

    use super::*;

    #[test]
    fn requests_stay_small_and_hold_every_group_once() {
        let groups: Vec<Group> = (0..100)
            .map(|nth| Group {
                resource: Resource::from([("service.name".to_owned(), format!("service-{nth}"))]),
                since: 1,
                points: Vec::new(),
            })
            .collect();
        let taken = Taken {
            at: 2,
            counts: AggregationTemporality::Cumulative,
        };
        let requests = requests(&groups, taken, 2_000);
        assert!(requests.len() > 5 && requests.iter().all(|(_, request)| request.len() < 2_200));
        let names: Vec<String> = requests
            .into_iter()
            .flat_map(|(range, request)| {
                let decoded = ExportMetricsServiceRequest::decode(request).unwrap();
                assert_eq!(decoded.resource_metrics.len(), range.len());
                decoded.resource_metrics
            })
            .map(|group| format!("{:?}", group.resource.unwrap().attributes[0].value))
            .collect();
        assert!(names.len() == 100 && names[99].contains("service-99"), "{names:?}");
    }
}
