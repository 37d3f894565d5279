//! Events as log records: reads a finding, produces an encoded `LogRecord` under its workload's Resource.

use observer_core::{
    Finding,
    telemetry::{self, Severity, Value},
};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, ArrayValue, KeyValue, any_value},
    logs::v1::{LogRecord, SeverityNumber},
    resource::v1::Resource,
};
use prost::Message;

use super::{super::line::iso_8601, batch::Entry};

/// The entry for a finding. `agent` is the Resource of the agent itself, for what it says of itself; `observed` is
/// when the agent noticed, nanoseconds since 1970.
pub(super) fn entry(finding: &Finding, agent: &Resource, observed: u64) -> Entry {
    let event = telemetry::event(finding);
    let record = LogRecord {
        time_unix_nano: finding.wall.0,
        observed_time_unix_nano: observed,
        severity_number: match event.severity {
            Severity::Info => SeverityNumber::Info,
            Severity::Warn => SeverityNumber::Warn,
            Severity::Error => SeverityNumber::Error,
        }
        .into(),
        severity_text: event.severity.name().to_owned(),
        body: Some(any(any_value::Value::StringValue(event.body))),
        attributes: attributes(event.attributes),
        event_name: event.name.to_owned(),
        ..Default::default()
    };
    let resource = match &finding.subject {
        Some(subject) => resource(
            subject
                .resource
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        ),
        None => agent.clone(),
    };
    Entry {
        id: finding.id.clone(),
        resource: resource.encode_to_vec().into(),
        record: record.encode_to_vec().into(),
        made: observed,
    }
}

/// A Resource with these attributes.
pub(super) fn resource<'a>(attributes: impl IntoIterator<Item = (&'a str, &'a str)>) -> Resource {
    Resource {
        attributes: attributes
            .into_iter()
            .map(|(key, value)| KeyValue {
                key: key.to_owned(),
                value: Some(any(value_of(if telemetry::is_list(key) {
                    Value::List(vec![Value::Text(value.to_owned())])
                } else {
                    Value::Text(value.to_owned())
                }))),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

/// Attributes of a record.
pub(super) fn attributes(of: Vec<(&'static str, Value)>) -> Vec<KeyValue> {
    of.into_iter()
        .map(|(name, value)| KeyValue {
            key: name.to_owned(),
            value: Some(any(value_of(value))),
            ..Default::default()
        })
        .collect()
}

fn any(value: any_value::Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn value_of(value: Value) -> any_value::Value {
    match value {
        Value::Text(text) => any_value::Value::StringValue(text),
        Value::Int(number) => any_value::Value::IntValue(number),
        Value::Float(number) => any_value::Value::DoubleValue(number),
        Value::Bool(yes) => any_value::Value::BoolValue(yes),
        Value::Time(at) => any_value::Value::StringValue(iso_8601(at)),
        Value::List(list) => any_value::Value::ArrayValue(ArrayValue {
            values: list.into_iter().map(|value| any(value_of(value))).collect(),
        }),
    }
}
