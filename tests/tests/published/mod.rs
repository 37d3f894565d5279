//! A Resource as an SDK publishes it: reads attributes, produces what `otel_context.c` is given.

use std::fmt::Write as _;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
};
use prost::Message as _;

/// A Resource in hexadecimal.
pub(super) fn resource(pairs: &[(&str, &str)]) -> String {
    let attributes = pairs.iter().map(|(name, value)| KeyValue {
        key: (*name).to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue((*value).to_owned())),
        }),
        ..KeyValue::default()
    });
    let resource = Resource {
        attributes: attributes.collect(),
        ..Resource::default()
    };
    resource.encode_to_vec().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
