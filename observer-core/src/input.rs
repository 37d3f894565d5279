//! What goes into the engine, and what it asks for.

use serde::{Deserialize, Serialize};

pub use crate::settings::{Begin, Settings};
use crate::{
    container_facts::ContainerFacts,
    heap::{HeapAnswer, ReadHeap},
    kernel::KernelEvent,
    process::{ProcessFacts, ProcessKey, PublishedResource},
    sample::Sample,
    state::Engine,
    time::{Anchor, BootTime},
};

/// Something that happened or was read, and when. A recording is a sequence of these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// When it happened (edges) or was read (facts, samples), by the boot clock.
    pub at: BootTime,
    /// What.
    pub what: What,
}

/// The kinds of inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The agent starts observing.
    Begin(Box<Begin>),
    /// What an earlier agent knew when it was last able to put it away; right after [`What::Begin`].
    Restore(Box<Engine>),
    /// The wall clock, read again.
    Clock(Anchor),
    /// An edge.
    Kernel(KernelEvent),
    /// The answer to [`Request::Inspect`], or a process found running.
    Process(Box<ProcessFacts>),
    /// The answer to [`Request::ReadResource`].
    Resource(Box<PublishedResource>),
    /// The process was gone, or another had its pid, before it could be inspected.
    Vanished(ProcessKey),
    /// Names, owner, version and limits of a container, from Kubernetes or a container engine: at any time, repeatedly,
    /// or never.
    Container(Box<ContainerFacts>),
    /// A level.
    Sample(Box<Sample>),
    /// The answer to [`Request::ReadHeap`].
    Heap(Box<HeapAnswer>),
    /// What a cgroup's own events file and its ancestors' said after a death: kills counted at `cgroup`.
    OomKills {
        /// Path of the cgroup in the memory hierarchy.
        cgroup: String,
        /// Its cumulative count.
        count: u64,
    },
    /// Something was lost before it reached the engine.
    Lost(Lost),
    /// Nothing could be seen for a while.
    Gap {
        /// From when; the Input's own time is its end.
        from: BootTime,
        /// Why.
        reason: String,
    },
    /// Time has passed.
    Tick,
    /// The agent stops observing.
    End,
}

/// Records that were produced and never arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Where they were lost: `kernel`, `ring`, `decode`, `inspect`.
    pub stage: String,
    /// What they were, where known.
    pub kind: String,
    /// How many.
    pub count: u64,
}

/// What the engine asks for; a source answers with a new Input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Read a process's facts.
    Inspect(ProcessKey),
    /// Read the Resource that a process's SDK publishes in its memory, and which cgroup it is in.
    ReadResource(ProcessKey),
    /// Sample this process and its cgroup from now on, and have the kernel report signals to it.
    Watch {
        /// Which.
        process: ProcessKey,
        /// Its cgroup in the memory hierarchy.
        cgroup: String,
    },
    /// No more.
    Unwatch(ProcessKey),
    /// Count a process's growth by place, or stop counting.
    Trace {
        /// Which.
        process: ProcessKey,
        /// On or off.
        on: bool,
    },
    /// Read this process's heap from outside: its operator opted in.
    ReadHeap(ReadHeap),
    /// Read the kill counters of a cgroup's ancestors once more: somebody died there.
    OomKills {
        /// Path of the cgroup in the memory hierarchy.
        cgroup: String,
    },
}
