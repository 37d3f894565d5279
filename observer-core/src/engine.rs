//! The engine: reads [`Input`]s in the order they arrived, produces requests for more facts and findings.
//!
//! ```
//! use observer_core::{Engine, Input, What, time::BootTime};
//!
//! let mut engine = Engine::new();
//! let output = engine.step(&Input { at: BootTime(1), what: What::Tick });
//! assert!(output.findings.is_empty());
//! ```
//!
//! Time is that of the Inputs: the engine's clock is the latest one seen. Deaths are decided [`GRACE`] later, when the
//! records that explain them have arrived by whichever ring; send a [`What::Tick`] at least once a second so that
//! nothing waits for an event. Inputs may be late, doubled or missing; none of them makes the engine fail.

mod bare;
mod claimed;
mod closing;
#[cfg(test)]
mod consistency;
mod create;
mod edge;
mod emit;
mod ends;
mod facts;
mod heap;
mod level;
mod naming;
mod published;
mod release;
mod restore;
mod selected;
mod settle;
mod succession;
#[cfg(test)]
pub(crate) mod tests;
pub mod view;

use std::collections::BTreeMap;

use crate::{
    Input, Output, Request, What,
    detect::Gate,
    finding::{Confidence, Event, Gap},
    identity::Subject,
    input::{Begin, Lost},
    kernel::KernelEvent,
    process::ProcessKey,
    registry::Death,
    state::Host,
    time::{BootTime, SECOND, WallTime},
};
pub use crate::{
    registry::Evictions,
    state::{Engine, marks::MarkCounts},
};

/// Nanoseconds a death waits for late records (the other ring, kill counters) before it is decided.
pub const GRACE: u64 = 2 * SECOND;
/// What the engine counts of itself; all since [`What::Begin`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Processes known.
    pub processes: usize,
    /// Containers alive or being settled, of pods that are observed or of none.
    pub containers: usize,
    /// Containers of pods that are left out.
    pub left_out: usize,
    /// Slots known, idle ones included.
    pub slots: usize,
    /// Findings made.
    pub findings: u64,
    /// Put out to keep memory bounded.
    pub evictions: Evictions,
    /// Victims that the kernel marked, by what became of them.
    pub oom_marks: MarkCounts,
    /// Records lost before they reached the engine, by stage.
    pub lost: BTreeMap<String, u64>,
}

impl Engine {
    /// An engine that knows nothing. Its circumstances and settings arrive with [`What::Begin`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one Input.
    pub fn step(&mut self, input: &Input) -> Output {
        let mut out = Output::default();
        self.time.advance(input.at);
        match &input.what {
            What::Begin(begin) => self.begin(input.at, begin),
            What::Restore(state) => self.restore(input.at, state, &mut out),
            What::Clock(anchor) => self.time.anchor = *anchor,
            What::Kernel(event) => self.edge(input.at, event, &mut out),
            What::Process(facts) => self.process(input.at, facts, &mut out),
            What::Resource(published) => self.published(published, &mut out),
            What::Container(facts) => self.container_facts(facts, &mut out),
            What::Vanished(key) => self.vanished(input.at, *key, &mut out),
            What::Sample(sample) => self.sample(input.at, sample, &mut out),
            What::Heap(answer) => self.heap(input.at, answer, &mut out),
            What::OomKills { cgroup, count } => self.oom_kills(input.at, cgroup, *count),
            What::Lost(lost) => self.lost(input.at, lost, &mut out),
            What::Gap { from, reason } => self.gap(input.at, *from, reason, &mut out),
            What::Tick => self.release_due(&mut out),
            What::End => {
                self.settle_all(&mut out);
                self.release_all_closing(&mut out);
            }
        }
        self.settle_due(&mut out);
        self.oom_marks.expire(self.time.now);
        self.time.settle();
        out
    }

    /// The latest time seen.
    pub const fn now(&self) -> BootTime {
        self.time.now
    }

    /// Since when runs and kills of workloads are counted.
    pub const fn counting_since(&self) -> WallTime {
        self.time.counting_since
    }

    /// An instant of boot time on the wall clock, as it was last read.
    pub fn wall(&self, at: BootTime) -> WallTime {
        self.time.wall(at)
    }

    /// Whose run a process belongs to, while that run is remembered.
    pub fn subject(&self, process: ProcessKey) -> Option<&Subject> {
        let container = self.registry.processes.get(&process)?.container?;
        Some(&self.registry.containers.get(container)?.run.subject)
    }

    /// What detection asks of the run that a process is part of, and what is measured.
    pub fn ask(&self, process: ProcessKey) -> Vec<Gate> {
        let container = self.registry.processes.get(&process).and_then(|known| known.container);
        let slot = container.and_then(|id| self.registry.slots.get(&self.registry.containers.get(id)?.slot));
        slot.map_or_else(Vec::new, |slot| slot.detector.gates())
    }

    /// What it counts of itself.
    pub fn counts(&self) -> Counts {
        Counts {
            processes: self.registry.processes.len(),
            containers: self.registry.containers.iter().filter(|c| !c.left_out).count(),
            left_out: self.registry.containers.iter().filter(|c| c.left_out).count(),
            slots: self.registry.slots.len(),
            findings: self.findings,
            evictions: self.registry.evictions,
            oom_marks: self.oom_marks.counts(),
            lost: self.losses.by_stage().clone(),
        }
    }

    /// The agent starts.
    fn begin(&mut self, at: BootTime, begin: &Begin) {
        self.time.begin(at, begin.clock);
        self.host = Host {
            boot_id: begin.boot_id.clone(),
            name: begin.host.clone(),
            memory: begin.host_memory,
            cgroup_version: begin.cgroup_version,
        };
        self.settings = begin.settings.clone();
    }

    fn edge(&mut self, at: BootTime, event: &KernelEvent, out: &mut Output) {
        match event {
            KernelEvent::Exec { process, ppid, comm } => self.exec(at, *process, *ppid, comm, out),
            KernelEvent::Fork { process, ppid } => self.fork(*process, *ppid),
            KernelEvent::Exit {
                process,
                status,
                comm,
                peak_rss,
                max_rss,
            } => {
                let death = Death {
                    peak_rss: *peak_rss,
                    max_rss: *max_rss,
                    ..Death::seen(at, *status)
                };
                self.exit(*process, death, comm, out);
            }
            KernelEvent::OomVictim(victim) => self.oom_victim(at, victim),
            KernelEvent::Signal(signal) => self.signal(at, signal),
            KernelEvent::CgroupMkdir { root, id, path } => self.cgroups.made(*root, *id, path),
            KernelEvent::CgroupRelease { root, id, path } => self.cgroup_released(*root, *id, path),
        }
    }

    fn lost(&mut self, at: BootTime, lost: &Lost, out: &mut Output) {
        self.losses.add(&lost.stage, lost.count);
        if lost.count > 0 {
            self.blinded(at, out);
        }
    }

    fn gap(&mut self, at: BootTime, from: BootTime, reason: &str, out: &mut Output) {
        let gap = Gap {
            from,
            to: at,
            reason: reason.to_owned(),
            lost: 0,
            over_boot: None,
        };
        self.tell_gap(at, gap, out);
    }

    fn tell_gap(&mut self, at: BootTime, gap: Gap, out: &mut Output) {
        let event = Event::Gap(gap);
        self.find_own(
            at,
            event,
            Confidence::Observed,
            "nothing: the agent knows when it did not look",
            out,
        );
        self.blinded(at, out);
    }

    /// Something may have been missed: nothing that ended in it is told as seen, and who is still there is asked.
    fn blinded(&mut self, at: BootTime, out: &mut Output) {
        self.losses.blinded(at);
        for container in self.registry.containers.iter_mut() {
            container.run.gap = true;
        }
        for detector in self.registry.slots.iter_mut().map(|s| &mut s.detector) {
            detector.gap();
        }
        // An answer may be among what was lost.
        let open = self
            .registry
            .processes
            .iter()
            .filter(|p| (p.watched || p.asked) && p.alive());
        out.requests.extend(open.map(|p| Request::Inspect(p.key)));
    }
}
