//! The Resource: reads what a process says of itself and what is known around it, produces the attributes that the
//! application's own SDK would send, so that a backend shows both on one page (docs/telemetry.md, Resource).

use std::collections::BTreeMap;

use super::{
    slot::program,
    subject::{Resource, Slot, Version, Workload},
};
use crate::{
    container::{Owner, owner},
    container_facts::ContainerFacts,
    process::{ProcessFacts, Runtime},
    semconv,
};

/// Most attributes taken from `OTEL_RESOURCE_ATTRIBUTES`, and most bytes of one value: the variable belongs to the
/// observed application, and a Resource is held for every run.
const MAX_ATTRIBUTES: usize = 64;
const MAX_VALUE: usize = 1_024;
/// Annotations of a pod that are attributes (OpenTelemetry semantic conventions, "Kubernetes", service attributes).
const ANNOTATION: &str = "resource.opentelemetry.io/";
/// Labels that name the service, the first that is there (the same page: an opt-in, since people may not know that their
/// labels are used for this).
const NAME_LABELS: [&str; 2] = ["app.kubernetes.io/instance", "app.kubernetes.io/name"];

/// What a Resource is made of.
pub(crate) struct About<'a> {
    pub(crate) facts: &'a ProcessFacts,
    pub(crate) named: Option<&'a ContainerFacts>,
    pub(crate) slot: &'a Slot,
    pub(crate) workload: &'a Workload,
    pub(crate) version: Option<&'a Version>,
    /// The agent's host.
    pub(crate) host: &'a str,
    /// The operator lets labels name services.
    pub(crate) labels: bool,
}

/// Attributes about the place where a process runs, by the beginning of their names. Kubernetes, the container engine and the
/// kernel know them; what a process or its pod's annotations say of them is a claim.
const PLACES: [&str; 5] = ["k8s.", "container.", "host.", "process.", "systemd."];

/// Whether an application may name this itself: everything but its place. The cluster's name is known to nobody else.
fn is_own(name: &str) -> bool {
    name == semconv::K8S_CLUSTER_NAME || !PLACES.iter().any(|place| name.starts_with(place))
}

/// The Resource of a run, and what was claimed of its place and not taken, since it differs from what is known.
///
/// Later lines win: what the process says of itself last, and `OTEL_SERVICE_NAME` over `service.name` (OpenTelemetry
/// specification, "General SDK Configuration").
pub(crate) fn resource(about: &About<'_>) -> (Resource, Resource) {
    let About {
        facts,
        named,
        slot,
        workload,
        version,
        host,
        labels,
    } = about;
    let mut list = List(Resource::new());
    let mut claims = Vec::new();
    list.put(semconv::HOST_NAME, *host);
    if let Runtime::Node { version, .. } = &facts.runtime {
        list.put(semconv::PROCESS_RUNTIME_NAME, "nodejs");
        list.put(semconv::PROCESS_RUNTIME_VERSION, version.as_deref().unwrap_or_default());
    }
    if let Slot::Unit(unit) = slot {
        list.put(semconv::SYSTEMD_UNIT, unit);
    }
    list.put(semconv::PROCESS_LINUX_CGROUP, facts.cgroup.as_str());
    match owner(&facts.cgroup) {
        Some(Owner::Pod { uid, container }) => {
            list.put(semconv::K8S_POD_UID, &uid);
            list.container(container.as_ref());
        }
        Some(Owner::Container(container)) => list.container(Some(&container)),
        _ => {}
    }
    if let Some(named) = named {
        list.named(named);
    }
    let package = facts.package.as_ref().map(|package| package.name.as_str());
    let owned = named.is_some_and(|n| n.pod.is_some()) || matches!(slot, Slot::Unit(_));
    let name = match package {
        // What is deployed has a name of its own in Kubernetes and systemd; elsewhere the package's is better than a path's.
        Some(package) if !owned => package,
        _ => workload.name.as_str(),
    };
    list.put(
        semconv::SERVICE_NAME,
        if name.is_empty() {
            program(facts)
        } else {
            name.to_owned()
        },
    );
    list.put(semconv::SERVICE_VERSION, version.map_or("", |v| v.0.as_str()));
    if let Some(pod) = named.and_then(|n| n.pod.as_ref()) {
        if *labels && let Some(name) = NAME_LABELS.iter().find_map(|label| pod.labels.get(*label)) {
            list.put(semconv::SERVICE_NAME, name.as_str());
        }
        let told = pod.annotations.iter();
        let told = told.filter_map(|(name, value)| Some((name.strip_prefix(ANNOTATION)?.to_owned(), value.clone())));
        list.told(told, &mut claims);
    }
    list.told(otel_attributes(facts), &mut claims);
    if let Some(name) = facts.otel.get("OTEL_SERVICE_NAME") {
        list.put(semconv::SERVICE_NAME, name.trim());
    }
    // What its SDK sends is what a backend has: the published Resource is that very one.
    list.told(published(facts), &mut claims);
    let differs = |(name, value): &(String, String)| list.0.get(name) != Some(value);
    let refused = claims.into_iter().filter(differs).take(MAX_ATTRIBUTES).collect();
    (list.0, refused)
}

struct List(Resource);

impl List {
    /// An empty value is none.
    fn put(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() && value.len() <= MAX_VALUE {
            self.0.insert(name.to_owned(), value);
        }
    }

    fn container(&mut self, container: Option<&crate::container::ContainerRef>) {
        if let Some(container) = container {
            self.put(semconv::CONTAINER_ID, container.id.as_str());
            self.put(
                semconv::CONTAINER_RUNTIME_NAME,
                container.runtime.map_or("", |runtime| runtime.name()),
            );
        }
    }

    fn named(&mut self, named: &ContainerFacts) {
        self.put(
            semconv::CONTAINER_RUNTIME_NAME,
            named.runtime.map_or("", |runtime| runtime.name()),
        );
        self.put(
            semconv::CONTAINER_IMAGE_NAME,
            image_name(named.image.as_deref().unwrap_or_default()),
        );
        let tag = image_tag(named.image.as_deref().unwrap_or_default());
        self.put(semconv::CONTAINER_IMAGE_TAGS, tag.unwrap_or_default());
        self.put(
            semconv::CONTAINER_IMAGE_REPO_DIGESTS,
            named.repo_digest.as_deref().unwrap_or_default(),
        );
        let Some(pod) = &named.pod else {
            self.put(semconv::CONTAINER_NAME, named.name.as_str());
            return;
        };
        self.put(semconv::K8S_CONTAINER_NAME, named.name.as_str());
        self.put(semconv::K8S_POD_UID, pod.api_uid.as_ref().unwrap_or(&pod.uid).as_str());
        self.put(semconv::K8S_POD_NAME, pod.name.as_str());
        self.put(semconv::K8S_NAMESPACE_NAME, pod.namespace.as_str());
        self.put(semconv::K8S_NODE_NAME, pod.node.as_str());
        for owner in &pod.owners {
            let name = match owner.kind.as_str() {
                "Deployment" => semconv::K8S_DEPLOYMENT_NAME,
                "ReplicaSet" => semconv::K8S_REPLICASET_NAME,
                "StatefulSet" => semconv::K8S_STATEFULSET_NAME,
                "DaemonSet" => semconv::K8S_DAEMONSET_NAME,
                "Job" => semconv::K8S_JOB_NAME,
                "CronJob" => semconv::K8S_CRONJOB_NAME,
                _ => continue,
            };
            self.put(name, owner.name.as_str());
        }
        let last = named
            .last_termination
            .as_ref()
            .filter(|last| last.container_id.as_ref() != Some(&named.id));
        let reason = last.and_then(|last| last.reason.as_deref());
        self.put(semconv::K8S_LAST_TERMINATED_REASON, reason.unwrap_or_default());
        self.put(semconv::SERVICE_NAMESPACE, pod.namespace.as_str());
        let instance = format!("{}.{}.{}", pod.namespace, pod.name, named.name);
        self.put(semconv::SERVICE_INSTANCE_ID, instance);
    }

    /// What an application or its pod's author says: its own is taken, the rest is a claim.
    fn told(&mut self, told: impl IntoIterator<Item = (String, String)>, claims: &mut Vec<(String, String)>) {
        for (name, value) in told {
            if is_own(&name) {
                self.put(&name, value);
            } else if value.len() <= MAX_VALUE {
                claims.push((name, value));
            }
        }
    }
}

/// The image without tag and digest; nothing where the runtime knows it by its digest alone (`sha256:...`).
fn image_name(image: &str) -> &str {
    if image.starts_with("sha256:") {
        return "";
    }
    let name = image.split('@').next().unwrap_or(image);
    match name.rsplit_once(':') {
        // A colon before the last slash is a registry's port.
        Some((before, tag)) if !tag.contains('/') => before,
        _ => name,
    }
}

/// The image's tag.
fn image_tag(image: &str) -> Option<&str> {
    let name = Some(image_name(image)).filter(|name| !name.is_empty())?;
    let tagged = image.split('@').next()?;
    tagged.strip_prefix(name)?.strip_prefix(':')
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

/// What the SDK publishes, without the name that it gives a service that has none (OpenTelemetry specification, "Resource").
pub(crate) fn published(facts: &ProcessFacts) -> BTreeMap<String, String> {
    let named =
        |(name, value): &(&String, &String)| *name != semconv::SERVICE_NAME || !value.starts_with("unknown_service");
    let pairs = facts.published.iter().filter(named).take(MAX_ATTRIBUTES);
    pairs.map(|(name, value)| (name.clone(), value.clone())).collect()
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

#[cfg(test)]
mod tests {
    use super::{image_name, image_tag, percent_decode};

    #[test]
    fn percent_decoding() {
        for (text, expected) in [
            ("a%20b", Some("a b")),
            ("%E2%82%AC", Some("\u{20ac}")),
            ("100%", Some("100%")),
            ("%zz%4", Some("%zz%4")),
            ("%ff", None),
        ] {
            assert_eq!(percent_decode(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn image_names() {
        for (image, name, tag) in [
            (
                "registry:5000/shop/checkout:1.42.0",
                "registry:5000/shop/checkout",
                Some("1.42.0"),
            ),
            ("registry:5000/shop/checkout", "registry:5000/shop/checkout", None),
            ("checkout:1@sha256:ab", "checkout", Some("1")),
            ("checkout@sha256:ab", "checkout", None),
            // What the kubelet says where an image has no name.
            ("sha256:ab", "", None),
            ("", "", None),
        ] {
            assert_eq!((image_name(image), image_tag(image)), (name, tag));
        }
    }
}
