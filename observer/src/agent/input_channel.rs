//! The bounded channel into the engine: takes Inputs from every thread that makes them, and counts those dropped because it was
//! full.
//!
//! Edges never wait: the kernel's reader must return to its rings. Facts and samples do: a reader of files that is
//! ahead of the engine slows down.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use observer_core::{Input, What, input::Lost, kernel::KernelEvent};
use tokio::sync::mpsc;

/// Edges waiting for the engine at most.
const EDGES: usize = 65_536;
/// Facts and samples waiting at most.
const ANSWERS: usize = 4_096;

/// Sends Inputs to the engine. Clones share their counts.
#[derive(Clone, Debug)]
pub(super) struct InputSender {
    edges: mpsc::Sender<Input>,
    answers: mpsc::Sender<Input>,
    losses: Losses,
}

/// The engine's end.
#[derive(Debug)]
pub(super) struct InputReceiver {
    /// Edges.
    pub edges: mpsc::Receiver<Input>,
    /// Facts and samples.
    pub answers: mpsc::Receiver<Input>,
    /// What was lost since it was last asked.
    pub losses: Losses,
}

/// A channel for each.
pub(super) fn channel() -> (InputSender, InputReceiver) {
    let (edges, edges_out) = mpsc::channel(EDGES);
    let (answers, answers_out) = mpsc::channel(ANSWERS);
    let losses = Losses::default();
    let sender = InputSender {
        edges,
        answers,
        losses: losses.clone(),
    };
    (
        sender,
        InputReceiver {
            edges: edges_out,
            answers: answers_out,
            losses,
        },
    )
}

impl InputSender {
    /// Passes an edge on, or counts it.
    pub(super) fn edge(&self, input: Input) {
        if let Err(mpsc::error::TrySendError::Full(input)) = self.edges.try_send(input) {
            self.losses.add("channel", kind(&input.what), 1);
        }
    }

    /// The agent has stopped.
    pub(super) fn is_closed(&self) -> bool {
        self.edges.is_closed()
    }

    /// Passes facts or a sample on, as soon as there is room. False where the agent has stopped.
    pub(super) fn answer(&self, input: Input) -> bool {
        self.answers.blocking_send(input).is_ok()
    }

    /// The same from an asynchronous task.
    #[cfg(feature = "kubernetes")]
    pub(super) async fn answer_soon(&self, input: Input) -> bool {
        self.answers.send(input).await.is_ok()
    }

    /// Where to count what is lost before it gets here.
    pub(super) const fn losses(&self) -> &Losses {
        &self.losses
    }
}

/// What was lost, by stage and kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses(Arc<Mutex<BTreeMap<(String, String), u64>>>);

impl Losses {
    /// Counts.
    pub(super) fn add(&self, stage: &str, kind: &str, count: u64) {
        if count > 0 {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.entry((stage.to_owned(), kind.to_owned())).or_default() += count;
        }
    }

    /// All losses since the last call.
    pub(super) fn take(&self) -> Vec<Lost> {
        let counts = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        counts
            .into_iter()
            .map(|((stage, kind), count)| Lost { stage, kind, count })
            .collect()
    }
}

/// What an Input is, for counts.
fn kind(what: &What) -> &'static str {
    match what {
        What::Kernel(event) => match event {
            KernelEvent::Exec { .. } => "exec",
            KernelEvent::Fork { .. } => "fork",
            KernelEvent::Exit { .. } => "exit",
            KernelEvent::OomVictim(_) => "oom_victim",
            KernelEvent::Signal(_) => "signal",
            KernelEvent::CgroupMkdir { .. } => "cgroup_mkdir",
            KernelEvent::CgroupRelease { .. } => "cgroup_release",
        },
        What::Process(_) | What::Vanished(_) => "process",
        What::Resource(_) => "resource",
        What::Sample(_) => "sample",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use observer_core::{process::ProcessKey, time::BootTime};

    use super::*;

    #[test]
    fn edges_without_room_are_counted_by_kind_and_never_block() {
        let (sender, mut inputs) = channel();
        let edge = Input {
            at: BootTime(1),
            what: What::Kernel(KernelEvent::Fork {
                process: ProcessKey::default(),
                ppid: 1,
            }),
        };
        (0..EDGES + 7).for_each(|_| sender.edge(edge.clone()));
        let lost = inputs.losses.take();
        assert_eq!(
            lost,
            [Lost {
                stage: "channel".into(),
                kind: "fork".into(),
                count: 7
            }]
        );
        assert!(inputs.losses.take().is_empty());
        let received = std::iter::from_fn(|| inputs.edges.try_recv().ok()).count();
        assert_eq!(received, EDGES);
    }
}
