//! The agent's own restart: reads the state that an earlier agent put away, produces an engine that goes on where that
//! one was, with the time in between marked.

use super::Engine;
use crate::{
    Output, Request,
    finding::Gap,
    registry::Evictions,
    time::{BootTime, SECOND},
};

impl Engine {
    /// Goes on from an earlier agent's state. Comes right after [`crate::What::Begin`], whose circumstances stay: this
    /// agent's settings and clock, the other one's runs.
    ///
    /// Who was alive then is asked after: who still is goes on in its run, who is not has ended while nobody looked.
    /// What a counter tells of that time is told as counted, not as seen.
    pub(super) fn restore(&mut self, at: BootTime, state: &Self, out: &mut Output) {
        if self.host.boot_id != state.host.boot_id {
            // Nobody lives on over a boot, and times of two boots do not compare: only the wall clock tells how long it was.
            let away = self.time.wall(at).0.saturating_sub(state.time.wall(state.time.last).0);
            let gap = Gap {
                from: at,
                to: at,
                reason: "the host was restarted; what was known of it before is not carried over".into(),
                lost: 0,
                over_boot: Some(away),
            };
            self.tell_gap(at, gap, out);
            return;
        }
        let this = std::mem::replace(self, state.clone());
        let away_from = self.time.last;
        self.time.resume(&this.time);
        self.host = this.host;
        self.settings = this.settings;
        // Counts are since this agent's beginning.
        self.losses.count_anew();
        self.findings = 0;
        self.oom_marks.count_anew();
        self.registry.evictions = Evictions::default();
        self.registry.processes.forget_unplaced();
        self.away(at.since(away_from));
        self.gap(away_from, at, "the agent was not running", out);
        self.watch_again(out);
        self.select_all(out);
    }

    /// Nobody looked for so many nanoseconds.
    fn away(&mut self, ns: u64) {
        for process in self.registry.processes.iter_mut().filter(|p| p.alive()) {
            process.unasked = true;
        }
        for container in self.registry.containers.iter_mut() {
            container.run.away = container.run.away.saturating_add(ns);
        }
    }

    /// The agent's other parts start anew and know nothing of what was watched.
    fn watch_again(&mut self, out: &mut Output) {
        for process in self.registry.processes.iter_mut().filter(|p| p.alive()) {
            process.traced = false;
            let key = process.key;
            if process.watched {
                let container = process.container.and_then(|id| self.registry.containers.get(id));
                let cgroup = container.map_or_else(|| process.cgroup.clone(), |container| container.cgroup.clone());
                out.requests.push(Request::Watch { process: key, cgroup });
            } else if !process.asked {
                // Those that are watched have been asked after for the gap.
                out.requests.push(Request::Inspect(key));
            }
        }
        for container in self.registry.containers.iter_mut() {
            container.run.tracing = false;
            if !container.cgroup.is_empty() {
                out.requests.push(Request::OomKills {
                    cgroup: container.cgroup.clone(),
                });
            }
        }
    }
}

/// What is added to the reason of an end that came while nobody looked.
pub(super) const AWAY: &str = "it ended while the agent was away: ";

/// What is added to a verdict over a run that the agent did not see all of; empty where it did.
pub(super) fn seen_with_gaps(away: u64) -> String {
    if away == 0 {
        return String::new();
    }
    let span = crate::telemetry::units::seconds(away as f64 / SECOND as f64);
    format!("; the agent was away for {span} of this run")
}
