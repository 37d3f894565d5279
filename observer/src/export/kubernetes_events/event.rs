//! What a finding says on its pod: reads a finding, produces which Kubernetes Event it is, and the object for the API.

use k8s_openapi::{
    api::core::v1::{Event as PodEvent, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    jiff::Timestamp,
};
use observer_core::{
    Finding,
    finding::{Event, State},
    identity::Slot,
    semconv,
    time::WallTime,
};
use sha2::{Digest as _, Sha256};

use crate::export::line;

/// Who reports.
const COMPONENT: &str = "observer";
/// Bytes of a message at most, as `events.k8s.io/v1` limits its note.
const LONGEST: usize = 1024;
/// Bytes of a pod's name in an Event's: its 253 at most, less a dot and 16 digits.
const LONGEST_POD: usize = 236;

/// Which Event: there is one for each, and what is said again counts it up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) uid: String,
    pub(super) container: String,
    pub(super) reason: Reason,
}

/// Why, as `kubectl describe` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    OomKilled,
    V8HeapOutOfMemory,
    LeakLikely,
    LeakConfirmed,
    LeakResolved,
    LeakRetracted,
}

impl Reason {
    const fn name(self) -> &'static str {
        match self {
            Self::OomKilled => "OOMKilled",
            Self::V8HeapOutOfMemory => "V8HeapOutOfMemory",
            Self::LeakLikely => "MemoryLeakLikely",
            Self::LeakConfirmed => "MemoryLeakConfirmed",
            Self::LeakResolved => "MemoryLeakResolved",
            Self::LeakRetracted => "MemoryLeakRetracted",
        }
    }

    const fn type_(self) -> &'static str {
        match self {
            Self::LeakResolved | Self::LeakRetracted => "Normal",
            Self::OomKilled | Self::V8HeapOutOfMemory | Self::LeakLikely | Self::LeakConfirmed => "Warning",
        }
    }
}

/// What was said, once or several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) times: u32,
    pub(super) first: WallTime,
    pub(super) last: WallTime,
    /// The newest sentence.
    pub(super) message: String,
}

/// What a finding of a pod is to be told as; `None` where it is none of those that are, or is not a pod's.
pub(super) fn reason(finding: &Finding) -> Option<Reason> {
    let subject = finding.subject.as_ref()?;
    if !matches!(subject.slot, Slot::Pod { .. }) {
        return None;
    }
    Some(match &finding.event {
        Event::OomKill(_) => Reason::OomKilled,
        Event::HeapOom(_) => Reason::V8HeapOutOfMemory,
        Event::Leak(verdict) => match (verdict.state, verdict.previous) {
            (State::Likely, _) => Reason::LeakLikely,
            (State::Confirmed, _) => Reason::LeakConfirmed,
            (State::Resolved, _) => Reason::LeakResolved,
            // What was never told need not be taken back.
            (State::Retracted, State::Likely | State::Confirmed) => Reason::LeakRetracted,
            _ => return None,
        },
        _ => return None,
    })
}

/// The Event; `None` where the pod is not known by name.
pub(super) fn of(finding: &Finding, reason: Reason) -> Option<(Key, Said)> {
    let subject = finding.subject.as_ref()?;
    let Slot::Pod { uid, .. } = &subject.slot else {
        return None;
    };
    let told = |name: &str| subject.resource.get(name).filter(|value| !value.is_empty()).cloned();
    let key = Key {
        namespace: told(semconv::K8S_NAMESPACE_NAME)?,
        pod: told(semconv::K8S_POD_NAME)?,
        uid: uid.clone(),
        container: told(semconv::K8S_CONTAINER_NAME)?,
        reason,
    };
    let said = Said {
        times: 1,
        first: finding.wall,
        last: finding.wall,
        message: shortened(line::sentence(finding)),
    };
    Some((key, said))
}

fn shortened(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// Its name: the same from an agent that starts anew, which may not list what is there.
pub(super) fn name(key: &Key) -> String {
    let mut hash = Sha256::new();
    for part in [&key.uid, &key.container, key.reason.name()] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let hash = hash.finalize();
    let hash = hash
        .iter()
        .take(8)
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let pod = &key.pod[..key.pod.floor_char_boundary(LONGEST_POD)];
    format!("{}.{hash}", pod.trim_end_matches(['.', '-']))
}

/// The object. `core/v1`, which `kubectl describe` reads and whose count may be patched.
pub(super) fn object(key: &Key, said: &Said, node: &str) -> PodEvent {
    PodEvent {
        metadata: ObjectMeta {
            name: Some(name(key)),
            namespace: Some(key.namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(key.namespace.clone()),
            name: Some(key.pod.clone()),
            uid: Some(key.uid.clone()),
            field_path: Some(format!("spec.containers{{{}}}", key.container)),
            ..ObjectReference::default()
        },
        type_: Some(key.reason.type_().to_owned()),
        reason: Some(key.reason.name().to_owned()),
        message: Some(said.message.clone()),
        count: Some(count(said.times)),
        first_timestamp: time(said.first),
        last_timestamp: time(said.last),
        source: Some(EventSource {
            component: Some(COMPONENT.to_owned()),
            host: Some(node.to_owned()),
        }),
        reporting_component: Some(COMPONENT.to_owned()),
        reporting_instance: Some(node.to_owned()),
        ..PodEvent::default()
    }
}

/// What changes of it when it is said again.
pub(super) fn change(said: &Said, count: i32) -> serde_json::Value {
    serde_json::json!({"count": count, "lastTimestamp": time(said.last), "message": said.message})
}

/// As the API counts.
pub(super) fn count(times: u32) -> i32 {
    i32::try_from(times).unwrap_or(i32::MAX)
}

fn time(wall: WallTime) -> Option<Time> {
    // Whole seconds: all that `core/v1` keeps.
    let seconds = i64::try_from(wall.0 / 1_000_000_000).ok()?;
    Timestamp::from_second(seconds).ok().map(Time)
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
