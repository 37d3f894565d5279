//! Requests from encoded parts: reads entries (an encoded Resource and an encoded record each), produces one encoded
//! `Export*ServiceRequest` in which every Resource stands once.
//!
//! The three signals share this layout (opentelemetry/proto/{logs,trace,metrics}/v1): request.1 is repeated
//! Resource{Logs,Spans,Metrics}, whose 1 is the Resource, 2 the scopes and 3 the schema URL; a scope's 1 is the
//! InstrumentationScope and 2 its records. On the wire a message and its bytes are the same, so that a record is
//! encoded once, when it is made, and never decoded again on its way.

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use prost::Message;

/// One record on its way: encoded, with its Resource and its id. The message is the spool's own layout.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Entry {
    /// Stable: a receiver may drop a second record with the same id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Encoded `opentelemetry.proto.resource.v1.Resource`: the workload's own.
    #[prost(bytes = "bytes", tag = "2")]
    pub resource: Bytes,
    /// Encoded `LogRecord` or `Span`.
    #[prost(bytes = "bytes", tag = "3")]
    pub record: Bytes,
    /// When it was made, nanoseconds since 1970: how long it waits.
    #[prost(fixed64, tag = "4")]
    pub made: u64,
}

impl Entry {
    /// Bytes it takes.
    pub(super) fn size(&self) -> usize {
        self.id.len() + self.resource.len() + self.record.len()
    }
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceGroup>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceGroup {
    #[prost(bytes = "bytes", optional, tag = "1")]
    resource: Option<Bytes>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeGroup>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeGroup {
    #[prost(message, optional, tag = "1")]
    scope: Option<InstrumentationScope>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    records: Vec<Bytes>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

/// One request with all entries, grouped by Resource in the order of their first record.
pub(super) fn request<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Bytes {
    let mut resources: Vec<ResourceGroup> = Vec::new();
    for entry in entries {
        let known = resources
            .iter()
            .position(|group| group.resource.as_ref() == Some(&entry.resource));
        let at = known.unwrap_or_else(|| {
            resources.push(ResourceGroup {
                resource: Some(entry.resource.clone()),
                scopes: vec![ScopeGroup {
                    scope: Some(scope()),
                    records: Vec::new(),
                    schema_url: SCHEMA_URL.to_owned(),
                }],
                schema_url: SCHEMA_URL.to_owned(),
            });
            resources.len() - 1
        });
        if let Some(scope) = resources[at].scopes.first_mut() {
            scope.records.push(entry.record.clone());
        }
    }
    Request { resources }.encode_to_vec().into()
}

/// Version of the semantic conventions whose names are used.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "observer".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
        common::v1::{AnyValue, KeyValue, any_value::Value},
        logs::v1::LogRecord,
        resource::v1::Resource,
        trace::v1::Span,
    };

    use super::*;

    fn resource(name: &str) -> Resource {
        Resource {
            attributes: vec![KeyValue {
                key: "service.name".into(),
                value: Some(AnyValue {
                    value: Some(Value::StringValue(name.into())),
                }),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    fn entry(service: &str, record: &impl Message) -> Entry {
        Entry {
            id: String::new(),
            resource: resource(service).encode_to_vec().into(),
            record: record.encode_to_vec().into(),
            made: 0,
        }
    }

    #[test]
    fn every_resource_stands_once_and_every_record_under_its_own() {
        let log = |name: &str| LogRecord {
            event_name: name.into(),
            ..Default::default()
        };
        let entries = [entry("a", &log("1")), entry("b", &log("2")), entry("a", &log("3"))];
        let decoded = ExportLogsServiceRequest::decode(request(&entries)).unwrap();
        let seen: Vec<_> = decoded
            .resource_logs
            .iter()
            .map(|group| {
                let names: Vec<_> = group.scope_logs[0]
                    .log_records
                    .iter()
                    .map(|r| r.event_name.as_str())
                    .collect();
                (group.resource.clone().unwrap(), names, group.schema_url.as_str())
            })
            .collect();
        assert_eq!(
            seen,
            [
                (resource("a"), vec!["1", "3"], SCHEMA_URL),
                (resource("b"), vec!["2"], SCHEMA_URL)
            ]
        );
        assert_eq!(
            decoded.resource_logs[0].scope_logs[0].scope.as_ref().unwrap().name,
            "observer"
        );
    }

    #[test]
    fn spans_have_the_same_layout() {
        let span = Span {
            name: "run".into(),
            ..Default::default()
        };
        let decoded = ExportTraceServiceRequest::decode(request(&[entry("a", &span)])).unwrap();
        assert_eq!(decoded.resource_spans[0].scope_spans[0].spans, [span]);
        assert_eq!(decoded.resource_spans[0].resource, Some(resource("a")));
    }
}
