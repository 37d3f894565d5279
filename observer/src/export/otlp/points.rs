//! Metrics over OTLP: reads groups of points, produces one encoded request under each group's own Resource.

use std::collections::BTreeMap;

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

/// The request. `now` is when the points were taken, nanoseconds since 1970.
pub(super) fn request(groups: &[Group], now: u64) -> Bytes {
    let resource_metrics = groups
        .iter()
        .map(|group| ResourceMetrics {
            resource: Some(resource(
                group
                    .resource
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str())),
            )),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics: metrics(&group.points, group.since, now),
                schema_url: SCHEMA_URL.to_owned(),
            }],
            schema_url: SCHEMA_URL.to_owned(),
        })
        .collect();
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec().into()
}

fn metrics(points: &[Point], start: u64, now: u64) -> Vec<Metric> {
    let mut by_name: BTreeMap<&str, (Point, Vec<NumberDataPoint>)> = BTreeMap::new();
    for point in points {
        let start = if point.metric.kind == Kind::Counter { start } else { 0 };
        let told = point
            .attributes
            .iter()
            .map(|(name, value)| (*name, Value::Text(value.clone())))
            .collect();
        let data = NumberDataPoint {
            attributes: attributes(told),
            start_time_unix_nano: start,
            time_unix_nano: now,
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
                Kind::Counter => Data::Sum(Sum {
                    data_points,
                    aggregation_temporality: AggregationTemporality::Cumulative.into(),
                    is_monotonic: true,
                }),
            }),
            ..Default::default()
        })
        .collect()
}
