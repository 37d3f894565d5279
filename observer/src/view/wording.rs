//! Words that several pages share: reads states, ceilings and sizes, produces how they are told.

use observer_core::{
    detect::{State, Verdict},
    finding::CeilingKind,
};

const MIB: f64 = 1_048_576.0;

/// Where nothing was said.
pub(super) const NOTHING: &str = "nothing is said of it";

/// A verdict in one sentence.
pub(super) fn headline(verdict: &Verdict) -> &'static str {
    match verdict.state {
        State::Quiet => NOTHING,
        State::Suspected => "a leak is suspected: its memory grows, and the growth is no noise",
        State::Likely => "a leak is likely: its growth leads to the ceiling",
        State::Confirmed => "a leak is confirmed: run after run climbs alike",
        State::Retracted => "what was said of a leak is retracted",
        State::Resolved => "the leak is gone with this version",
    }
}

/// What sets a ceiling.
pub(super) const fn whose(kind: CeilingKind) -> &'static str {
    match kind {
        CeilingKind::Cgroup => "the container's memory limit",
        CeilingKind::CgroupAncestor => "the memory limit of a group above the container",
        CeilingKind::V8Heap => "V8's heap limit and what lies outside the heap",
        CeilingKind::Learned => "the level at which earlier runs died",
        CeilingKind::Host => "the host's memory",
    }
}

/// Bytes as people write them.
pub(super) fn size(bytes: f64) -> String {
    let megabytes = bytes / MIB;
    match megabytes.abs() {
        size if size >= 10_240.0 => format!("{:.1} GiB", megabytes / 1_024.0),
        size if size >= 10.0 => format!("{megabytes:.0} MiB"),
        _ => format!("{megabytes:.1} MiB"),
    }
}

/// What the two ends of a slope's interval are.
pub(super) const fn interval(verdict: &Verdict) -> &'static str {
    if matches!(verdict.state, State::Confirmed) {
        "from run to run"
    } else {
        "99 % interval"
    }
}

/// How often.
pub(super) fn times(count: usize) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times"),
    }
}
