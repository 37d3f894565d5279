//! Words for values: reads parts of a finding, produces the text that sentence and attributes share.

use crate::{
    finding::{CeilingKind, Confidence, OomKiller, OomScope, RunSummary},
    heap::Grower,
    time::SECOND,
    units,
};

/// Mean seconds from one end to the next of the runs a verdict compared; `None` for fewer than two.
pub(super) fn period_s(runs: &[RunSummary]) -> Option<f64> {
    let (first, last) = (runs.first()?, runs.last()?);
    let gaps = runs.len() - 1;
    (gaps > 0).then(|| last.ended.since(first.ended) as f64 / SECOND as f64 / gaps as f64)
}

pub(super) const fn confidence(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Observed => "observed",
        Confidence::Inferred => "inferred",
    }
}

pub(super) fn killer(killer: &OomKiller) -> &str {
    match killer {
        OomKiller::Kernel => "kernel",
        OomKiller::Userspace(name) => name,
    }
}

pub(super) const fn scope(scope: OomScope) -> &'static str {
    match scope {
        OomScope::Container => "container",
        OomScope::Pod => "pod",
        OomScope::Group => "group",
        OomScope::Host => "host",
        OomScope::Unknown => "unknown",
    }
}

/// The name of a kind of ceiling.
pub const fn ceiling_kind(kind: CeilingKind) -> &'static str {
    match kind {
        CeilingKind::Cgroup => "cgroup",
        CeilingKind::CgroupAncestor => "cgroup_ancestor",
        CeilingKind::V8Heap => "v8_heap",
        CeilingKind::Learned => "learned",
        CeilingKind::Host => "host",
    }
}

/// `onUserMessage() (/app/server.js:42): 8432 -> 16891, held by bus in /app/server.js -> EventEmitter._events (12 MiB, 93 % of
/// the growth)`
pub(super) fn grower(grower: &Grower) -> String {
    let place = grower
        .place
        .as_ref()
        .map_or_else(String::new, |place| format!(" ({place})"));
    let held = if grower.held_by.is_empty() {
        String::new()
    } else {
        format!(", held by {}", grower.held_by.join(" -> "))
    };
    let part = match (grower.share, grower.retained) {
        (Some(share), Some(retained)) => {
            format!(" ({}, {} of the growth)", units::bytes(retained), units::percent(share))
        }
        (Some(share), None) => format!(" ({} of the growth)", units::percent(share)),
        _ => String::new(),
    };
    format!(
        "{}{place}: {} -> {}{held}{part}",
        grower.what, grower.count.0, grower.count.1
    )
}
