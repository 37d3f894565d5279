//! The loop's work: takes Inputs, gives them to the engine in order of time, produces requests and findings.

use std::{
    collections::BTreeMap,
    sync::{
        PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use observer_core::{
    Engine, Finding, Input, Request, What,
    finding::EndedRun,
    input::Lost,
    time::{Anchor, BootTime, SECOND},
};
use tokio::time::Instant;

use super::{
    checkpoint::Checkpointer,
    heaps::Heaps,
    heartbeat::Heartbeat,
    input_channel::InputReceiver,
    inspector::{Inspector, Query},
    pods::Trouble,
    reorder::ReorderBuffer,
    sampling::Sampling,
    scan::Scanner,
};
use crate::{
    clock,
    export::{Exporters, metrics},
    record::{RecordError, Recorder},
    snapshot::{self, AgentView, Snapshot, StoreView},
    store::{HistoryThread, Record},
    terminal::say,
};

/// The engine with everything it is joined to.
pub(super) struct Observation {
    pub(super) engine: Engine,
    pub(super) order: ReorderBuffer,
    pub(super) recorder: Option<Recorder>,
    pub(super) exporters: Exporters,
    pub(super) inspector: Inspector,
    pub(super) sampling: Sampling,
    /// The host's name.
    pub(super) host: String,
    pub(super) heaps: Heaps,
    /// The start, on both clocks.
    pub(super) began: Anchor,
    /// Each hook's rung.
    pub(super) hooks: Vec<(String, String)>,
    /// What keeps the engine's state and what it found; `None` without a store.
    pub(super) checkpointer: Option<Checkpointer>,
    /// The history's thread.
    pub(super) history: Option<HistoryThread>,
    /// Whether it went on from an earlier agent's state.
    pub(super) resumed: bool,
    /// Readers' signs of life.
    pub(super) heartbeats: Vec<Heartbeat>,
    /// Inputs stepped.
    pub(super) inputs: u64,
    /// Records lost since the start, by stage and kind.
    pub(super) lost: BTreeMap<(String, String), u64>,
    /// Readers that were named as stalled and still are.
    pub(super) stalled: Vec<&'static str>,
    /// What it was not given here.
    pub(super) limits: Vec<String>,
    /// Why pods are not watched at the moment.
    pub(super) pods: Trouble,
}

impl Observation {
    /// Steps the engine with every Input that is no longer held back.
    pub(super) fn advance(&mut self, now: BootTime) {
        while let Some(input) = self.order.pop(now) {
            self.step(&input);
        }
    }

    pub(super) fn step(&mut self, input: &Input) {
        self.inputs += 1;
        self.record(|recorder| recorder.write(input));
        let output = self.engine.step(input);
        for request in output.requests {
            self.dispatch(request);
        }
        self.publish(&output.findings, &output.ended);
    }

    fn publish(&self, findings: &[Finding], ended: &[EndedRun]) {
        let history = self.checkpointer.as_ref().map(Checkpointer::history);
        for finding in findings {
            self.exporters.publish(finding);
            if let Some(history) = history {
                history.keep(&Record::Finding(Box::new(finding.clone())));
            }
        }
        for run in ended {
            self.exporters.publish_run(run);
            if let Some(history) = history {
                history.keep(&Record::Run(Box::new(run.clone())));
            }
        }
    }

    fn dispatch(&self, request: Request) {
        match request {
            Request::Inspect(key) => self.inspector.ask(Query::Inspect(key)),
            Request::ReadResource(key) => self.inspector.ask(Query::Resource(key)),
            Request::OomKills { cgroup } => self.inspector.ask(Query::OomKills(cgroup)),
            Request::ReadHeap(request) => self.heaps.ask(request),
            watching @ (Request::Watch { .. } | Request::Unwatch(_) | Request::Trace { .. }) => {
                self.sampling.ask(watching);
            }
        }
    }

    /// Time has passed: the engine is told, with what was lost meanwhile, and the recording is brought to its file.
    pub(super) fn tick(&mut self, inputs: &InputReceiver, scanner: &Scanner) {
        let lost = inputs.losses.take();
        if !lost.is_empty() {
            // A lost exec or exit is found in /proc.
            scanner.again();
        }
        let now = clock::boot();
        for lost in lost {
            *self.lost.entry((lost.stage.clone(), lost.kind.clone())).or_default() += lost.count;
            self.order.push(Input {
                at: now,
                what: What::Lost(lost),
            });
        }
        // The time up to which everything has been heard: it need not be held back, which would take a timer of its own.
        self.order.push(Input {
            at: ReorderBuffer::settled(now),
            what: What::Tick,
        });
        self.record(Recorder::flush);
        if let Some(checkpointer) = &mut self.checkpointer {
            checkpointer.tick(&self.engine);
        }
        self.watch(now);
        if self.exporters.wants_metrics() {
            self.exporters.set_own_metrics(metrics::own(&self.agent()));
        }
    }

    /// Names readers that have stalled, once, and again when they go on.
    fn watch(&mut self, now: BootTime) {
        for heartbeat in &self.heartbeats {
            let said = self.stalled.contains(&heartbeat.name);
            match heartbeat.stalled(now) {
                Some(silent) if !said => {
                    say(format_args!(
                        "the {} thread has stalled: silent for {silent:.1?}",
                        heartbeat.name
                    ));
                    self.stalled.push(heartbeat.name);
                }
                None if said => {
                    say(format_args!("the {} thread goes on", heartbeat.name));
                    self.stalled.retain(|name| *name != heartbeat.name);
                }
                _ => {}
            }
        }
    }

    /// The state now.
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            agent: self.agent(),
            began: self.began.wall,
            now: clock::anchor().wall,
            counting_since: self.engine.counting_since(),
            workloads: self.engine.workloads(),
        }
    }

    /// The same, with all that explains what is called `name`.
    pub(super) fn explained(&self, name: Option<&str>) -> Snapshot {
        let mut snapshot = self.snapshot();
        if let Some(name) = name {
            snapshot.workloads = self.engine.explained(name);
        }
        snapshot
    }

    /// The agent itself, now.
    fn agent(&self) -> AgentView {
        let counts = self.engine.counts();
        let (memory, cpu_s) = snapshot::own_use();
        let now = clock::boot();
        let evicted = counts.evictions;
        AgentView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: self.host.clone(),
            uptime_s: now.since(self.began.boot) as f64 / SECOND as f64,
            hooks: self.hooks.clone(),
            processes: counts.processes,
            containers: counts.containers,
            left_out: counts.left_out,
            inputs: self.inputs,
            late: self.order.late(),
            findings: counts.findings,
            not_printed: self.exporters.not_printed(),
            lost: self
                .lost
                .iter()
                .map(|((stage, kind), count)| Lost {
                    stage: stage.clone(),
                    kind: kind.clone(),
                    count: *count,
                })
                .collect(),
            evicted: [
                ("processes", evicted.processes),
                ("containers", evicted.containers),
                ("slots", evicted.slots),
                ("workloads", evicted.workloads),
                ("names", evicted.names),
                ("members", evicted.members),
            ]
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| (kind.to_owned(), count))
            .collect(),
            oom_marks: [
                ("reported", counts.oom_marks.reported),
                ("not_killed", counts.oom_marks.not_killed),
                ("unwatched", counts.oom_marks.unwatched),
            ]
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(fate, count)| (fate.to_owned(), count))
            .collect(),
            export: self.exporters.exporters(),
            store: self.store(),
            sweep_s: self
                .heartbeats
                .last()
                .map_or(0.0, |sampler| sampler.work().as_secs_f64()),
            stalled: self.stalled.iter().map(|name| (*name).to_owned()).collect(),
            limits: self.limits.iter().cloned().chain(self.pods_unwatched()).collect(),
            memory,
            cpu_s,
        }
    }

    fn pods_unwatched(&self) -> Option<String> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn store(&self) -> Option<StoreView> {
        let counts = &self.checkpointer.as_ref()?.history().counts;
        let spool = self.exporters.spool();
        let (restored, damaged, failed) = spool.map_or((0, 0, 0), |spool| {
            let of = |count: &AtomicU64| count.load(Relaxed);
            (of(&spool.restored), of(&spool.damaged), of(&spool.failed))
        });
        Some(StoreView {
            resumed: self.resumed,
            records: counts.records.load(Relaxed),
            bytes: counts.bytes.load(Relaxed),
            states: counts.states.load(Relaxed),
            state_bytes: counts.state_bytes.load(Relaxed),
            dropped: counts.dropped.load(Relaxed),
            lost: counts.lost.load(Relaxed),
            damaged: counts.damaged.load(Relaxed) + damaged,
            foreign: counts.foreign.load(Relaxed),
            failed: counts.failed.load(Relaxed) + failed,
            restored,
        })
    }

    /// Sends the metrics of this instant, where they are wanted.
    pub(super) fn export_metrics(&self) {
        if self.exporters.wants_metrics() {
            let groups = metrics::workloads(&self.snapshot());
            self.exporters.send_metrics(groups, clock::anchor().wall.0);
        }
    }

    /// Writes to the recording, and ends it where that fails: observation goes on without.
    pub(super) fn record(&mut self, write: impl FnOnce(&mut Recorder) -> Result<(), RecordError>) {
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = write(recorder)
        {
            say(error);
            self.recorder = None;
        }
    }

    /// Takes what has arrived already, ends the engine and the recording, and delivers what is queued.
    pub(super) async fn finish(mut self, inputs: &mut InputReceiver, deadline: Instant) {
        while let Ok(input) = inputs.edges.try_recv() {
            self.order.push(input);
        }
        while let Ok(input) = inputs.answers.try_recv() {
            self.order.push(input);
        }
        while let Some(input) = self.order.take() {
            self.step(&input);
        }
        self.step(&Input {
            at: clock::boot(),
            what: What::End,
        });
        if let Some(checkpointer) = &mut self.checkpointer {
            checkpointer.keep(&self.engine);
        }
        if let Some(recorder) = self.recorder.take()
            && let Err(error) = recorder.finish()
        {
            say(error);
        }
        self.exporters.finish(deadline).await;
        if let Some(history) = self.history {
            // A sync is some milliseconds of disk.
            history.finish();
        }
    }
}
