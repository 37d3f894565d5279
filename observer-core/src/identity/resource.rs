//! The Resource: reads what a process says of itself and what is known around it, produces the attributes that the
//! application's own SDK would send, so that a backend shows both on one page (docs/telemetry.md, Resource).

use std::collections::BTreeMap;

use super::{Resource, Slot, Version, Workload, slot::program};
use crate::{
    process::{ProcessFacts, Runtime},
    semconv,
};

/// Most attributes taken from `OTEL_RESOURCE_ATTRIBUTES`, and most bytes of one value: the variable belongs to the
/// observed application, and a Resource is held for every run.
const MAX_ATTRIBUTES: usize = 64;
const MAX_VALUE: usize = 1_024;

/// The Resource of a run. `host` is the agent's host.
pub(crate) fn resource(
    facts: &ProcessFacts,
    slot: &Slot,
    workload: &Workload,
    version: Option<&Version>,
    host: &str,
) -> Resource {
    let mut resource = Resource::new();
    let mut put = |name: &str, value: String| {
        if !value.is_empty() {
            resource.insert(name.to_owned(), value);
        }
    };
    put(semconv::HOST_NAME, host.to_owned());
    if let Runtime::Node { version, .. } = &facts.runtime {
        put(semconv::PROCESS_RUNTIME_NAME, "nodejs".to_owned());
        put(semconv::PROCESS_RUNTIME_VERSION, version.clone().unwrap_or_default());
    }
    if let Slot::Container { name, .. } = slot {
        put(semconv::CONTAINER_NAME, name.clone());
    }
    let name = facts
        .package
        .as_ref()
        .map_or_else(|| workload.name.clone(), |p| p.name.clone());
    put(
        semconv::SERVICE_NAME,
        if name.is_empty() { program(facts) } else { name },
    );
    if let Some(version) = version {
        put(semconv::SERVICE_VERSION, version.0.clone());
    }
    // What the process says of itself wins; OTEL_SERVICE_NAME over service.name (OpenTelemetry specification,
    // "General SDK Configuration").
    for (name, value) in otel_attributes(facts) {
        put(&name, value);
    }
    if let Some(name) = facts.otel.get("OTEL_SERVICE_NAME") {
        put(semconv::SERVICE_NAME, name.trim().to_owned());
    }
    resource
}

/// The pairs of `OTEL_RESOURCE_ATTRIBUTES`: comma-separated `key=value`, percent-encoded (W3C Baggage). A pair that
/// cannot be read is left out; the others stand.
pub(crate) fn otel_attributes(facts: &ProcessFacts) -> BTreeMap<String, String> {
    let Some(raw) = facts.otel.get("OTEL_RESOURCE_ATTRIBUTES") else {
        return BTreeMap::new();
    };
    raw.split(',')
        .filter_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let key = percent_decode(key.trim())?;
            let value = percent_decode(value.trim())?;
            (!key.is_empty() && value.len() <= MAX_VALUE && key.len() <= MAX_VALUE).then_some((key, value))
        })
        .take(MAX_ATTRIBUTES)
        .collect()
}

/// Percent-decoding (RFC 3986, 2.1); `None` where the result is not UTF-8. A `%` without two hex digits stays.
fn percent_decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|b| (*b as char).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (bytes[i], hex(i + 1), hex(i + 2)) {
            out.push((high * 16 + low) as u8);
            i += 3;
        } else {
            out.push(bytes[i]);
            i += 1;
        }
    }
    String::from_utf8(out).ok()
}
