//! What a reading means, or what grew between two: reads accounts, produces one sentence and how sure it is.
//!
//! One reading tells what most of the memory is, and nothing about leaks. Two tell what grew. Whether what grew leaks is an
//! inference: a cache that fills looks the same.

use observer_core::memory_use::{KindBytes, MemoryKind as Kind};
use serde::Serialize;

use crate::source::usage::{Container, Heap, Process, Tmpfs};

/// What is most has at least this share.
const MOST: f64 = 0.5;
/// From this share on the second is named as well.
const SECOND: f64 = 0.2;

/// One sentence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Meaning {
    /// What it is about; none where nothing stands out.
    pub(super) kind: Option<Kind>,
    /// Bytes of it, or by how much it grew.
    pub(super) bytes: u64,
    /// Its share of everything, or of everything that grew.
    pub(super) share: f64,
    /// `observed`, or `inferred` where the sentence says more than was read.
    pub(super) confidence: &'static str,
    /// For people.
    pub(super) sentence: String,
}

/// Of one reading.
pub(super) fn now(container: &Container) -> Meaning {
    let mut kinds = container.by_kind().kinds;
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.bytes));
    let all: u64 = kinds.iter().map(|kind| kind.bytes).sum();
    let share = |bytes: u64| bytes as f64 / all.max(1) as f64;
    let Some(&KindBytes { kind, bytes }) = kinds.first() else {
        return nothing("nothing of it could be told".to_owned());
    };
    if share(bytes) < MOST {
        let named: Vec<String> = kinds
            .iter()
            .take(3)
            .map(|KindBytes { kind, bytes }| {
                format!("{} ({}, {:.0} %)", kind.noun(), size(*bytes), share(*bytes) * 100.0)
            })
            .collect();
        return nothing(format!(
            "no kind of memory is most of it; the largest: {}",
            named.join(", ")
        ));
    }
    let (means, inferred) = advice(kind, container);
    Meaning {
        kind: Some(kind),
        bytes,
        share: share(bytes),
        confidence: confidence(inferred),
        sentence: format!(
            "most of it ({}, {:.0} %) is {}{}: {means}",
            size(bytes),
            share(bytes) * 100.0,
            kind.noun(),
            unmarked(kind, container)
        ),
    }
}

/// Of two readings.
pub(super) fn growth(before: &Container, after: &Container) -> Meaning {
    let (first, last) = (before.by_kind(), after.by_kind());
    let grown = last.grown_since(&first);
    let all: u64 = grown.iter().map(|kind| kind.bytes).sum();
    let share = |bytes: u64| bytes as f64 / all.max(1) as f64;
    let least = first.least_growth();
    let Some(&KindBytes { kind, bytes }) = grown.first().filter(|kind| kind.bytes >= least) else {
        return nothing(format!("nothing grew by {} or more", size(least)));
    };
    let second = grown
        .get(1)
        .filter(|second| share(second.bytes) >= SECOND)
        .map_or_else(String::new, |second| {
            format!("; {} grew by {}", second.kind.noun(), size(second.bytes))
        });
    let (verdict, inferred) = verdict(kind, after);
    Meaning {
        kind: Some(kind),
        bytes,
        share: share(bytes),
        confidence: confidence(inferred),
        sentence: format!(
            "what grew is {}{}, by {} ({:.0} % of all that grew){second}: {verdict}",
            kind.noun(),
            unmarked(kind, after),
            size(bytes),
            share(bytes) * 100.0
        ),
    }
}

/// The largest process whose heap was read.
fn node(container: &Container) -> u32 {
    let read = |process: &&Process| matches!(process.heap, Heap::Read { .. });
    container.processes.iter().find(read).map_or(0, |process| process.pid)
}

fn nothing(sentence: String) -> Meaning {
    Meaning {
        kind: None,
        bytes: 0,
        share: 0.0,
        confidence: confidence(false),
        sentence,
    }
}

const fn confidence(inferred: bool) -> &'static str {
    if inferred { "inferred" } else { "observed" }
}

/// Where dead objects were not told apart, they are among those that are held.
fn unmarked(kind: Kind, container: &Container) -> &'static str {
    let whole = |heap: &Heap| matches!(heap, Heap::Read { marked: false, .. });
    if kind == Kind::Heap && container.processes.iter().any(|process| whole(&process.heap)) {
        ", dead ones among them (the heap is too large to tell them apart)"
    } else {
        ""
    }
}

/// What one reading lets one do, and whether that is an inference.
fn advice(kind: Kind, container: &Container) -> (String, bool) {
    let pid = node(container);
    match kind {
        Kind::Heap | Kind::Buffers => (format!("`observer heap {pid}` says which"), false),
        Kind::Native => ("`--classes` says whose, `--diff` whether it grows".to_owned(), false),
        _ => verdict(kind, container),
    }
}

/// What it means that this grew, and whether that is an inference.
fn verdict(kind: Kind, container: &Container) -> (String, bool) {
    let pid = node(container);
    let means = kind.means();
    match kind {
        Kind::Heap | Kind::Buffers => (
            format!(
                "{means} (inferred: two readings do not tell them apart); `observer heap {pid} --diff 60s` says what holds it"
            ),
            true,
        ),
        Kind::Native => (
            format!(
                "{means} (inferred: two readings do not tell them apart); `--classes --diff` says of which classes"
            ),
            true,
        ),
        Kind::Fragmentation => (format!("{means}; {}", fragmentation(container)), true),
        Kind::OtherProcesses => (
            "`observer memory PID` of the largest of them says more".to_owned(),
            false,
        ),
        Kind::Tmpfs => (format!("{means}; {}", tmpfs(&container.tmpfs)), false),
        Kind::Kernel => (means.to_owned(), true),
        _ => (means.to_owned(), false),
    }
}

fn fragmentation(container: &Container) -> String {
    let memory = container.by_kind();
    let pieces = memory.of(Kind::Fragmentation).saturating_sub(memory.trimmable);
    format!(
        "{} of it in whole pages, which malloc_trim would give back, {} in pieces between blocks in use; fewer arenas (MALLOC_ARENA_MAX; \
         there are {}) or another allocator may keep less (inferred)",
        size(memory.trimmable),
        size(pieces),
        memory.arenas,
    )
}

fn tmpfs(mounts: &[Tmpfs]) -> String {
    let named: Vec<String> = mounts
        .iter()
        .take(2)
        .map(|tmpfs| format!("{} holds {}", tmpfs.mount, size(tmpfs.used)))
        .collect();
    if named.is_empty() {
        "no mounted tmpfs holds files, so it is shared memory".to_owned()
    } else {
        named.join(", ")
    }
}

/// Bytes for a sentence.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}
