//! Ends of runs: reads a container that is over, produces its summary, what detection makes of it, and the next run.

use std::fmt::Write;

use super::{Engine, restore::seen_with_gaps};
use crate::{
    Output, Request,
    container_facts::ContainerFacts,
    detect::{RunEnd, Verdict, growth::misfit::misfit},
    exit::{self, Cause, End},
    finding::{Confidence, CrashLoop, Event, RecurringOom, Restart, RunSummary},
    identity::Slot,
    registry::{ContainerId, Home, LoopCounts, RestartReport, SlotId},
    time::{BootTime, SECOND},
};

impl Engine {
    /// A run is over.
    pub(super) fn end_container(&mut self, id: ContainerId, out: &mut Output) {
        let Some(slot_id) = self.registry.containers.get(id).map(|c| c.slot.clone()) else {
            return;
        };
        // A life cannot be told before the one it follows.
        let before: Vec<ContainerId> = self.registry.slots.get(&slot_id).map_or_else(Vec::new, |state| {
            let order = state.current.iter().chain(&state.waiting).copied();
            order.take_while(|other| *other != id).collect()
        });
        for earlier in before {
            self.close(earlier, &slot_id, out);
        }
        self.close(id, &slot_id, out);
        self.begin_waiting(&slot_id, out);
    }

    fn close(&mut self, id: ContainerId, slot_id: &SlotId, out: &mut Output) {
        self.begin_waiting(slot_id, out);
        let Some(container) = self.registry.containers.get(id) else {
            return;
        };
        for key in container.members.iter().chain(&container.dying) {
            if let Some(process) = self.registry.processes.get_mut(key) {
                process.container = None;
                if process.watched {
                    process.watched = false;
                    out.requests.push(Request::Unwatch(*key));
                }
            }
        }
        let end = container.main_end.clone().map_or_else(End::unseen, |(_, end)| end);
        let run = &container.run;
        let mut summary = RunSummary {
            run: run.number,
            started: run.started,
            ended: container.last_exit.max(run.started),
            version: run.release.name(),
            end,
            reported: None,
            peak: run.peak,
            ceiling: run.ceiling(),
            slope_bytes_per_hour: None,
        };
        let pod = container.named.as_ref().and_then(|named| named.pod.as_ref());
        if let Some(disruption) = pod.and_then(|pod| pod.disruption.as_ref()) {
            exit::disrupted(&mut summary.end, disruption);
        }
        let own_limit = container.own_limit().map(|limit| limit.bytes);
        let peak = Some(run.peak).filter(|peak| *peak > 0);
        let (ended, cause) = (summary.ended, summary.cause());
        let Some(state) = self.registry.slots.get_mut(slot_id) else {
            return;
        };
        let mut verdict = None;
        let mut recurring = None;
        if state.current == Some(id) {
            let (at, confidence) = (ended, summary.end.confidence);
            let lower = state.detector.ceiling().or(summary.ceiling);
            // Killed at a limit that it shared with others: no ceiling of its own ended it.
            let shared = cause == Cause::KernelOom && matches!(container.home, Home::Tree(_));
            summary.ceiling = run.ceiling_of(cause).or(lower.filter(|_| !shared));
            summary.peak = run.peak_against(summary.ceiling);
            verdict = state.detector.end_run(&RunEnd {
                at,
                cause,
                confidence,
                peak,
            });
            recurring = state.detector.recurring();
            let record = state
                .detector
                .records()
                .last()
                .filter(|record| record.run == summary.run);
            summary.slope_bytes_per_hour = record.map(|record| f64::from(record.slope));
            let uncollected = record.is_some_and(|record| record.garbage && cause == Cause::KernelOom);
            let limits = run.heap_limit.zip(container.own_limit()).filter(|_| uncollected);
            if let Some(misfit) = limits.and_then(|(heap, limit)| misfit(heap, limit.bytes)) {
                let _ = write!(summary.end.because, "; {}", misfit.advice);
            }
        }
        state.last_container = match &container.home {
            Home::Container(id) => Some(id.clone()),
            _ => None,
        };
        state.last_limit = own_limit;
        state.last_active = self.time.now;
        state.current = state.current.filter(|current| *current != id);
        state.waiting.retain(|waiting| *waiting != id);
        state.keep(summary.clone());
        state.restarts = container
            .named
            .as_ref()
            .and_then(|named| named.restart_count)
            .or(state.restarts);
        self.hold_back(id, slot_id, summary, out);
        self.verdict(id, verdict, out);
        if let Some(recurring) = recurring {
            self.recurring(id, ended, recurring, out);
        }
        self.leave_release(id, Some((ended, cause)));
        self.registry.containers.remove(id);
        self.succeed_beside(slot_id);
    }

    /// The next life of a slot begins when the one before is settled.
    pub(super) fn begin_waiting(&mut self, slot_id: &SlotId, out: &mut Output) {
        let Some(state) = self.registry.slots.get_mut(slot_id) else {
            return;
        };
        if state.current.is_some() {
            return;
        }
        let Some(id) = state.waiting.pop_front() else { return };
        state.current = Some(id);
        self.name_releases_before(id);
        self.succeed_ended(slot_id);
        let Some(state) = self.registry.slots.get_mut(slot_id) else {
            return;
        };
        let named = self.registry.containers.get(id).and_then(|c| c.named.as_deref());
        let reported = named.and_then(reported);
        let restarts = named.and_then(|named| named.restart_count);
        let (probed, limit) = named.map_or((None, None), |named| (named.probed, named.memory_limit));
        let Some(run) = self.registry.containers.get_mut(id).map(|c| &mut c.run) else {
            return;
        };
        state.told_by_owner(reported);
        // The owner's count goes up by one with each life.
        let counted = state.restarts.zip(restarts);
        let unseen = counted.map_or(0, |(before, now)| now.saturating_sub(before).saturating_sub(1));
        let (at, number, version) = (run.started, run.number, run.release.name());
        // In a name that stood for its slot's until now.
        let told = run.succession_told;
        run.succession_told = told || !state.ended.is_empty();
        let mut verdicts = vec![state.detector.begin_run(number, at, version.as_ref())];
        verdicts.extend(
            std::mem::take(&mut run.early)
                .iter()
                .map(|point| state.detector.observe(point)),
        );
        if let Some(previous) = state.ended.back_mut().filter(|_| !told) {
            if previous.end.status.is_none() {
                // An end that nobody saw came no later than the next beginning.
                previous.ended = previous.ended.min(at).max(previous.started);
            }
            let decided = previous.end.cause;
            let rollout = matches!((&previous.version, &version), (Some(a), Some(b)) if a != b);
            if let (true, Cause::Terminated, Some(version)) = (rollout, previous.end.cause, &version) {
                previous.end.cause = Cause::Rollout;
                previous.end.confidence = Confidence::Inferred;
                let _ = write!(previous.end.because, "; {} took its place", version.0);
            } else if !rollout && matches!(slot_id.slot, Slot::Pod { .. }) {
                let resized = matches!((state.last_limit, limit), (Some(before), Some(now)) if before != now);
                exit::started_again(&mut previous.end, probed, resized);
            }
            if let Some(release) = &state.release {
                let to = previous.end.cause;
                self.registry.workloads.recount(&state.workload, release, decided, to);
            }
            let previous = previous.clone();
            let confidence = previous.end.confidence;
            let told = state
                .crash_loop
                .restarted(at, &previous, rollout, self.settings.time_scale);
            let contradicted_by = "the former process found alive; it was not";
            match told {
                RestartReport::Single => {
                    let event = Event::Restart(Box::new(Restart {
                        run: number,
                        previous,
                        rollout,
                        unseen,
                    }));
                    self.find(id, at, event, confidence, contradicted_by, out);
                }
                RestartReport::Loop(counts) => {
                    let event = self.crash_loop(at, counts, Some(previous), false);
                    self.find(id, at, event, confidence, contradicted_by, out);
                }
                RestartReport::Counted => {}
            }
            self.count_restart(id);
            self.succeeded(slot_id, rollout, out);
        }
        self.enter_release(id, out);
        for verdict in verdicts {
            self.verdict(id, verdict, out);
        }
    }

    fn crash_loop(&self, at: BootTime, counts: LoopCounts, last: Option<RunSummary>, over: bool) -> Event {
        Event::CrashLoop(Box::new(CrashLoop {
            restarts: counts.restarts,
            since: self.time.wall(counts.since),
            within_s: at.since(counts.since) as f64 / SECOND as f64,
            interval_s: counts.interval as f64 / SECOND as f64,
            causes: counts.causes,
            last,
            over,
        }))
    }

    /// States that a crash loop is over, once the current run has outlived it.
    pub(super) fn crash_loop_over(&mut self, at: BootTime, id: ContainerId, out: &mut Output) {
        let Some(container) = self.registry.containers.get(id) else {
            return;
        };
        let started = container.run.started;
        let Some(state) = self.registry.slots.get_mut(&container.slot) else {
            return;
        };
        if state.current != Some(id) {
            return;
        }
        if let Some(counts) = state.crash_loop.over(started, at, self.settings.time_scale) {
            let event = self.crash_loop(started, counts, None, true);
            let contradicted_by = "another end of its run; it lives";
            self.find(id, at, event, Confidence::Observed, contradicted_by, out);
        }
    }

    fn count_restart(&mut self, id: ContainerId) {
        let container = self.registry.containers.get(id).filter(|c| !c.left_out);
        let workload = container.map(|c| &c.run.subject.workload);
        if let Some(state) = workload.and_then(|workload| self.registry.workloads.get_mut(workload)) {
            state.restarts += 1;
        }
    }

    /// States that kills recur, with all that is known of the runs.
    fn recurring(&mut self, id: ContainerId, at: BootTime, mut recurring: RecurringOom, out: &mut Output) {
        let slot = self.registry.containers.get(id).map(|container| &container.slot);
        if let Some(state) = slot.and_then(|slot| self.registry.slots.get(slot)) {
            state.complete(&mut recurring.runs);
        }
        let contradicted_by = "a leak that is confirmed, which would have been said instead";
        self.find(
            id,
            at,
            Event::RecurringOom(Box::new(recurring)),
            Confidence::Observed,
            contradicted_by,
            out,
        );
    }

    /// States a change of what detection says, with all that is known of the runs it compared.
    pub(super) fn verdict(&mut self, id: ContainerId, verdict: Option<Verdict>, out: &mut Output) {
        let Some(mut verdict) = verdict else { return };
        if self.registry.containers.get(id).is_some_and(|c| c.left_out) {
            return;
        }
        if !self.note_verdict(id, &mut verdict) {
            return;
        }
        let Some(container) = self.registry.containers.get(id) else {
            return;
        };
        if let Some(state) = self.registry.slots.get(&container.slot) {
            state.complete(&mut verdict.runs);
            verdict.previous_at = state.said.as_ref().map(|said| said.wall);
            let version = &container.run.subject.version;
            verdict.diagnosis = match &state.heap.diagnosis {
                Some((of, diagnosis)) if of == version => Some(Box::new(diagnosis.clone())),
                _ => None,
            };
        }
        verdict.because.push_str(&seen_with_gaps(container.run.away));
        let at = verdict.at;
        let contradicted_by = "a plateau, a falling floor, growth that follows the load, a level earlier runs had lived with: \
                               the gates name what was measured";
        self.find(
            id,
            at,
            Event::Leak(Box::new(verdict)),
            Confidence::Inferred,
            contradicted_by,
            out,
        );
        let slot = self.registry.containers.get(id).map(|container| &container.slot);
        if let Some(state) = slot.and_then(|slot| self.registry.slots.get_mut(slot)) {
            state.said = out.findings.last().cloned().map(Box::new);
        }
    }
}

/// The container and the end that Kubernetes or an engine tells of.
pub(super) fn reported(facts: &ContainerFacts) -> Option<(String, String)> {
    let told = facts.last_termination.as_ref()?;
    let reason = told.reason.as_deref().unwrap_or("no reason given");
    Some((told.container_id.clone()?, format!("{reason} ({})", told.exit_code)))
}
