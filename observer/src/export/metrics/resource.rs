//! Resources of metrics: read the agent's environment and a workload, produce the attributes that its points are sent under.

use observer_core::{engine::view::WorkloadView, identity::Resource, semconv};

/// The agent's own Resource: what its environment says in `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` wins.
pub fn agent_resource(host: &str) -> Resource {
    let variable = std::env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let name = std::env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty());
    let own = [
        (semconv::SERVICE_NAME, "observer"),
        (semconv::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
        (semconv::SERVICE_INSTANCE_ID, host),
        (semconv::HOST_NAME, host),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    own.into_iter()
        .chain(parse_attributes(&variable))
        .chain(name.map(|name| (semconv::SERVICE_NAME.to_owned(), name)))
        .collect()
}

/// `key=value,...`, percent-encoded (OpenTelemetry specification, Resource SDK): all of them, or none where one cannot be
/// read, as the specification asks.
pub(super) fn parse_attributes(text: &str) -> Vec<(String, String)> {
    let decode = |part: &str| {
        let part = percent_encoding::percent_decode_str(part.trim());
        part.decode_utf8().ok().map(std::borrow::Cow::into_owned)
    };
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
    let read = pairs.map(|pair| {
        let (name, value) = pair.split_once('=')?;
        Some((decode(name).filter(|name| !name.is_empty())?, decode(value)?))
    });
    read.collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// The service as this host sees it: hosts count side by side, so each has an instance of its own.
pub(super) fn service(workload: &WorkloadView, host: &str) -> Resource {
    let mut resource = Resource::from([
        (semconv::SERVICE_NAME.to_owned(), workload.service.clone()),
        (semconv::SERVICE_INSTANCE_ID.to_owned(), host.to_owned()),
        (semconv::HOST_NAME.to_owned(), host.to_owned()),
    ]);
    if let Some(namespace) = &workload.service_namespace {
        resource.insert(semconv::SERVICE_NAMESPACE.to_owned(), namespace.clone());
    }
    resource
}
