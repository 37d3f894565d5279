//! What a reading means, or what grew between two: reads accounts, produces one sentence and how sure it is.
//!
//! One reading tells what most of the memory is, and nothing about leaks. Two tell what grew. Whether what grew leaks is an
//! inference: a cache that fills looks the same.

use std::collections::BTreeMap;

use serde::Serialize;

use super::kind::Kind;
use crate::source::usage::{Container, Heap, Part, Process, Tmpfs};

/// What is most has at least this share.
const MOST: f64 = 0.5;
/// Growth below this is none, bytes, and below this share of all.
const LEAST_GROWTH: i64 = 1 << 20;
const LEAST_GROWN: f64 = 0.01;
/// From this share on the second is named as well.
const SECOND: f64 = 0.2;

/// One sentence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Meaning {
    /// What it is about; none where nothing stands out.
    pub(super) kind: Option<Kind>,
    /// Bytes of it, or by how much it grew.
    pub(super) bytes: i64,
    /// Its share of everything, or of everything that grew.
    pub(super) share: f64,
    /// `observed`, or `inferred` where the sentence says more than was read.
    pub(super) confidence: &'static str,
    /// For people.
    pub(super) sentence: String,
}

/// Bytes by kind.
fn kinds(container: &Container) -> BTreeMap<Kind, i64> {
    let mut kinds = BTreeMap::new();
    for (part, bytes) in container.parts() {
        *kinds.entry(Kind::of(part)).or_default() += bytes.cast_signed();
    }
    kinds
}

/// The kinds with more than nothing, largest first.
fn ordered(kinds: BTreeMap<Kind, i64>) -> Vec<(Kind, i64)> {
    let mut ordered: Vec<_> = kinds.into_iter().filter(|kind| kind.1 > 0).collect();
    ordered.sort_by_key(|kind| std::cmp::Reverse(kind.1));
    ordered
}

/// Of one reading.
pub(super) fn now(container: &Container) -> Meaning {
    let kinds = ordered(kinds(container));
    let all: i64 = kinds.iter().map(|kind| kind.1).sum();
    let share = |bytes: i64| bytes as f64 / all.max(1) as f64;
    let Some(&(kind, bytes)) = kinds.first() else {
        return nothing("nothing of it could be told".to_owned());
    };
    if share(bytes) < MOST {
        let named: Vec<String> = kinds
            .iter()
            .take(3)
            .map(|(kind, bytes)| format!("{} ({}, {:.0} %)", kind.noun(), size(*bytes), share(*bytes) * 100.0))
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
    let mut grown = kinds(after);
    for (kind, bytes) in kinds(before) {
        *grown.entry(kind).or_default() -= bytes;
    }
    let grown = ordered(grown);
    let all: i64 = grown.iter().map(|kind| kind.1).sum();
    let share = |bytes: i64| bytes as f64 / all.max(1) as f64;
    let least = LEAST_GROWTH.max((before.usage as f64 * LEAST_GROWN) as i64);
    let Some(&(kind, bytes)) = grown.first().filter(|kind| kind.1 >= least) else {
        return nothing(format!("nothing grew by {} or more", size(least)));
    };
    let second = grown
        .get(1)
        .filter(|second| share(second.1) >= SECOND)
        .map_or_else(String::new, |second| {
            format!("; {} grew by {}", second.0.noun(), size(second.1))
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
    match kind {
        Kind::Heap | Kind::Buffers => (
            format!(
                "a leak in the heap, or a cache that fills (inferred: two readings do not tell them apart); `observer heap {pid} --diff 60s` says what holds it"
            ),
            true,
        ),
        Kind::Garbage => (
            "no leak: nothing holds it, and V8 frees it by a major collection, at the latest near its heap limit".to_owned(),
            false,
        ),
        Kind::HeapFree => (
            "no leak: nothing stands there; V8 fills it before it asks for more".to_owned(),
            false,
        ),
        Kind::Young => (
            "what survives a minor collection or two counts as held or dead afterwards; another reading tells".to_owned(),
            false,
        ),
        Kind::Native => (
            "a leak in native memory, or a cache of native code that fills (inferred: two readings do not tell them apart); `--classes --diff` says of which classes".to_owned(),
            true,
        ),
        Kind::Fragmentation => (fragmentation(container), true),
        Kind::Allocator => (
            "a leak in native memory, or fragmentation: which of the two is not told of this allocator".to_owned(),
            false,
        ),
        Kind::Program => (
            "threads, code, libraries, or memory that native code maps for itself".to_owned(),
            false,
        ),
        Kind::OtherProcesses => ("`observer memory PID` of the largest of them says more".to_owned(), false),
        Kind::PageCache => (
            "no leak: the kernel takes it back before it kills for memory, except what is being written or locked".to_owned(),
            false,
        ),
        Kind::Tmpfs => (tmpfs(&container.tmpfs), false),
        Kind::Kernel => (
            "page tables, open files and sockets: it follows the number of mappings, files and connections".to_owned(),
            true,
        ),
    }
}

fn fragmentation(container: &Container) -> String {
    let parts = container.parts();
    let of = |part: Part| parts.get(&part).copied().unwrap_or(0).cast_signed();
    let arenas = container
        .processes
        .iter()
        .map(|process| process.arenas.len())
        .max()
        .unwrap_or(0);
    format!(
        "no leak: it was given back by the program, not by the allocator; {} of it in whole pages, which malloc_trim would give back, \
         {} in pieces between blocks in use; fewer arenas (MALLOC_ARENA_MAX; there are {arenas}) or another allocator may keep less (inferred)",
        size(of(Part::AllocatorFreePages)),
        size(of(Part::AllocatorFreePieces)),
    )
}

fn tmpfs(mounts: &[Tmpfs]) -> String {
    let named: Vec<String> = mounts
        .iter()
        .take(2)
        .map(|tmpfs| format!("{} holds {}", tmpfs.mount, size(tmpfs.used.cast_signed())))
        .collect();
    let mounts = if named.is_empty() {
        "no mounted tmpfs holds files, so it is shared memory".to_owned()
    } else {
        named.join(", ")
    };
    format!("the kernel cannot take it back, only removing the files or their last mapping does; {mounts}")
}

/// Bytes for a sentence.
pub(super) fn size(bytes: i64) -> String {
    match bytes.unsigned_abs() {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}
