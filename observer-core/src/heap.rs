//! Heaps: what a reading of a process's heap told, and when the next is due. Plain data; the reading itself is done
//! outside the core (crate `observer-heap`) and arrives as an Input, so that a replay needs no process.

use std::hash::Hasher;

use fnv::FnvHasher;
use serde::{Deserialize, Serialize};

use crate::{
    identity::{Version, Workload},
    memory_use::{MemoryGrowth, MemoryKind},
    process::ProcessKey,
};

/// The annotation by which a pod opts in: `"true"`.
pub const ANNOTATION: &str = "observer.dev/read-heap";
/// Which heaps are read, and how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeapSettings {
    /// Names of workloads or services, alone or with their namespace (`shop/checkout`); `shop/*` is all of a namespace, `*`
    /// all. Pods opt in by [`ANNOTATION`] as well.
    pub workloads: Vec<String>,
    /// The least time between two readings of one container, seconds.
    pub interval_s: f64,
}

impl Default for HeapSettings {
    fn default() -> Self {
        Self {
            workloads: Vec::new(),
            interval_s: 3_600.0,
        }
    }
}

impl HeapSettings {
    /// Whether the operator named this workload, its service or its namespace.
    pub(crate) fn names(&self, workload: &Workload, service: &str) -> bool {
        let whole = |name: &str| workload.namespace.as_deref() == name.strip_suffix("/*");
        self.workloads
            .iter()
            .any(|name| name == "*" || (name.ends_with("/*") && whole(name)) || workload.is_called(service, name))
    }
}

/// The least share of a container's growth that the heap must hold before anything in it is blamed, percent.
const EXPLAINS_PERCENT: u64 = 25;

/// A request to read a heap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadHeap {
    /// Whose.
    pub process: ProcessKey,
    /// What is deployed, as the key under which readings of several versions are compared.
    pub workload: String,
    /// Which version runs.
    pub version: Option<Version>,
    /// Compare with this process's earlier reading; otherwise this is the first.
    pub compare: bool,
    /// Bytes by which the container has grown since that reading.
    #[serde(default)]
    pub grown: u64,
}

/// The answer to [`ReadHeap`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeapAnswer {
    /// Whose heap.
    pub process: ProcessKey,
    /// How long the reading took, nanoseconds.
    pub took_ns: u64,
    /// Bytes of the process's memory that were read.
    pub bytes: u64,
    /// What was found held and dead, where the two could be told apart.
    #[serde(default)]
    pub contents: Option<Contents>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What one reading found in a heap, all isolates together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Bytes of objects that something holds, ArrayBuffers' memory included.
    pub held: u64,
    /// Bytes of old objects that nothing holds: garbage that waits for a major collection.
    pub dead: u64,
}

/// What came of a reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The first reading. With what this version holds that an earlier one did not, where one was read.
    First {
        /// Bytes held.
        held: u64,
        /// Compared with the earlier version's reading.
        newcomers: Option<Box<Diagnosis>>,
    },
    /// Compared with the first.
    Compared(Box<Diagnosis>),
    /// The host is short of memory, too many readings wait, or a collection is changing the heap: later.
    Postponed(String),
    /// It was refused, with the reason.
    Refused(String),
}

/// What grew between two readings of a heap, or over several, and how much of the container's growth that is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// What was compared.
    pub compared: Compared,
    /// What grew: culprits first, by what hangs where they accumulate; names from code and numbers only.
    pub growers: Vec<Grower>,
    /// Bytes of all that grew.
    pub grown: u64,
    /// Share of it that hangs where the culprits accumulate, 0 to 1.
    pub explained: f64,
    /// Dead objects were told apart; otherwise the numbers are upper bounds.
    pub exact: bool,
    /// Readings compared, the first and the last included; 0 where a recording does not say.
    #[serde(default)]
    pub readings: u32,
    /// Beside the container's growth, of comparisons in time.
    #[serde(default, rename = "beside")]
    pub container: Option<ContainerGrowth>,
    /// Where the container's memory was at the first reading and at the last, of comparisons in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Box<MemoryGrowth>>,
}

/// The heap's growth beside the container's, bytes between the same two moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerGrowth {
    /// By which the container grew.
    pub level: u64,
    /// By which the heap holds more; negative when it holds less.
    pub held: i64,
    /// By which V8's pages grew that is garbage, not collected yet, or free.
    pub garbage: i64,
}

impl ContainerGrowth {
    /// Whether what the heap holds may be why the container grew.
    pub fn explains(self) -> bool {
        u64::try_from(self.held).is_ok_and(|held| held >= self.level / 100 * EXPLAINS_PERCENT)
    }
}

/// What two readings differ in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// In time: seconds apart, of one process.
    Times(f64),
    /// In version: from this one to the one that runs.
    Versions(Option<Version>, Option<Version>),
}

/// Things of one name, and how they became more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grower {
    /// `onUserMessage()`, `Session`, `string`.
    pub what: String,
    /// `/app/server.js:42`, where known.
    pub place: Option<String>,
    /// How many there were, and are.
    pub count: (u64, u64),
    /// Bytes more than before; of a culprit, with all that hangs where it accumulates.
    pub bytes: u64,
    /// Where it accumulates, from a variable or a global down; empty where no one place holds most of it.
    pub held_by: Vec<String>,
    /// It grew so that it may well be what leaks.
    pub culprit: bool,
    /// Bytes that would be free without the place where it accumulates.
    #[serde(default)]
    pub retained: Option<u64>,
    /// Share of the heap's growth that hangs there, 0 to 1.
    #[serde(default)]
    pub share: Option<f64>,
}

impl Grower {
    /// What names the same suspect in every run, replica and version: a hash (FNV-1a, 64 bits, hexadecimal) of its name, of the
    /// file it stands in and of the path that holds it. Lines and numbers of elements change from build to build and are left out.
    pub fn id(&self) -> String {
        let mut hasher = FnvHasher::default();
        let file = self.place.as_deref().map_or("", file_of);
        let held_by = self.held_by.iter().map(String::as_str);
        for part in [self.what.as_str(), file].into_iter().chain(held_by) {
            hasher.write(part.as_bytes());
            hasher.write_u8(0);
        }
        format!("{:016x}", hasher.finish())
    }
}

/// A place without its line and column.
fn file_of(place: &str) -> &str {
    let number = |(file, digits): (&'_ str, &str)| {
        let all = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        all.then_some(file.len())
    };
    let mut file = place;
    while let Some(length) = file.rsplit_once(':').and_then(number) {
        file = &file[..length];
    }
    file
}

impl Diagnosis {
    /// The likeliest culprit, where there is one.
    pub fn culprit(&self) -> Option<&Grower> {
        self.culprits().next()
    }

    /// All of them, by how much of the growth hangs where they accumulate.
    pub fn culprits(&self) -> impl Iterator<Item = &Grower> {
        self.growers.iter().filter(|grower| grower.culprit)
    }

    /// Whether the heap can be why the container grew.
    pub fn explains(&self) -> bool {
        self.container.is_none_or(ContainerGrowth::explains)
    }

    /// The kind of memory that grew most, by how many bytes, and its share of all that grew, 0 to 1; where accounts were taken.
    pub fn grew_most(&self) -> Option<(MemoryKind, u64, f64)> {
        self.memory.as_ref().and_then(|memory| memory.most())
    }

    /// Whether another diagnosis says the same, whatever its numbers.
    pub(crate) fn says(&self, other: &Self) -> bool {
        let said = |diagnosis: &Self| -> Vec<(String, Vec<String>)> {
            let mut said: Vec<_> = diagnosis
                .culprits()
                .map(|c| (c.what.clone(), c.held_by.clone()))
                .collect();
            said.sort();
            said
        };
        let kind = |diagnosis: &Self| diagnosis.grew_most().map(|most| most.0);
        self.explains() == other.explains() && kind(self) == kind(other) && said(self) == said(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grower(what: &str, place: Option<&str>, held_by: &[&str]) -> Grower {
        Grower {
            what: what.to_owned(),
            place: place.map(str::to_owned),
            count: (1, 2),
            bytes: 3,
            held_by: held_by.iter().map(|&step| step.to_owned()).collect(),
            culprit: true,
            retained: None,
            share: None,
        }
    }

    #[test]
    fn a_suspect_keeps_its_id_when_lines_move_and_numbers_grow() {
        let held = ["bus in /app/bus.js", "EventEmitter._events"];
        let one = grower("onUserMessage()", Some("/app/sessions.js:32"), &held);
        let later = Grower {
            count: (7, 900),
            bytes: 1 << 30,
            ..grower("onUserMessage()", Some("/app/sessions.js:41:7"), &held)
        };
        assert_eq!(one.id(), later.id());
        for other in [
            grower("onUserMessage()", Some("/app/chat.js:32"), &held),
            grower("onMessage()", Some("/app/sessions.js:32"), &held),
            grower("onUserMessage()", Some("/app/sessions.js:32"), &held[..1]),
            grower("onUserMessage()", None, &held),
        ] {
            assert_ne!(one.id(), other.id());
        }
        assert_eq!(one.id().len(), 16);
    }

    #[test]
    fn a_place_is_a_file_with_numbers_behind_it() {
        for (place, file) in [
            ("/app/a.js:3", "/app/a.js"),
            ("/app/a.js:3:14", "/app/a.js"),
            ("file:///app/a.mjs:3", "file:///app/a.mjs"),
            ("node:zlib", "node:zlib"),
            ("/app/a.js:", "/app/a.js:"),
            ("", ""),
        ] {
            assert_eq!(file_of(place), file);
        }
    }
}
