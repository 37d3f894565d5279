//! Where a run grew, and what a reading of its heap said of the growth. Plain data.

use serde::{Deserialize, Serialize};

use super::end::Confidence;
use crate::time::BootTime;

/// Share of the growth that must be garbage, or elsewhere than in V8's heap, to decide.
pub(crate) const MOST: f64 = 0.5;

/// Shares of a run's growth by place; each 0 to 1, together 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// V8's heap.
    pub v8_heap: f64,
    /// The allocator: `brk` and small arenas.
    pub malloc: f64,
    /// Anonymous mappings of 128 KiB and more that are not V8's.
    pub large_buffer: f64,
    /// Files: page cache and mapped files.
    pub file: f64,
    /// Files in memory: a tmpfs, shared memory. No process holds them, and they outlive each.
    #[serde(default)]
    pub shmem: f64,
    /// Anything else: kernel memory, or anonymous memory nobody looked into.
    pub other: f64,
}

/// Where a run grew.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attribution {
    /// By place.
    pub shares: Shares,
    /// `observed` where the calls that asked for the memory were counted and their sum agrees with the growth within a
    /// factor of two; `inferred` otherwise.
    pub confidence: Confidence,
    /// Bytes attributed.
    pub bytes: u64,
}

impl Attribution {
    /// The place with the largest share, by the name it has in telemetry.
    pub fn largest(&self) -> (&'static str, f64) {
        let shares = &self.shares;
        [
            ("v8_heap", shares.v8_heap),
            ("malloc", shares.malloc),
            ("large_buffer", shares.large_buffer),
            ("file", shares.file),
            ("shmem", shares.shmem),
            ("other", shares.other),
        ]
        .into_iter()
        .fold(("other", 0.0), |best, next| if next.1 > best.1 { next } else { best })
    }
}

/// What a reading of the heap says of the growth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeapEvidence {
    /// When it was read.
    pub at: BootTime,
    /// Bytes by which the floor had risen since the run's start.
    pub grown: u64,
    /// Of these, bytes of garbage that V8 had not collected.
    pub garbage: u64,
    /// Bytes that were held in the heap.
    pub held: u64,
}

impl HeapEvidence {
    /// Most of the growth was garbage: no leak, whatever its shape.
    pub fn is_garbage(&self) -> bool {
        self.garbage as f64 >= MOST * self.grown as f64
    }
}
