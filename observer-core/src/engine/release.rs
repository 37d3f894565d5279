//! Releases: reads runs as they begin and end and what is said of them, produces rollouts, and who is to blame.

use super::Engine;
use crate::{
    Output,
    detect::{Blame, State, Verdict},
    exit::Cause,
    finding::{Confidence, Event, Rollout},
    identity::{Release, Slot, Version},
    registry::ContainerId,
    semconv::SERVICE_NAMESPACE,
    telemetry::units,
    time::{BootTime, SECOND},
};

impl Engine {
    /// A container's run counts as one of its release.
    pub(super) fn enter_release(&mut self, id: ContainerId, out: &mut Output) {
        let Some(container) = self.registry.containers.get_mut(id) else {
            return;
        };
        if container.run.entered || container.left_out {
            return;
        }
        container.run.entered = true;
        let run = &container.run;
        let (release, started, found) = (run.release.clone(), run.started, run.found);
        let workload = run.subject.workload.clone();
        let in_place = self.registry.slots.get(&container.slot).and_then(|s| s.release.clone());
        container.run.before.clone_from(&in_place);
        if let Some(state) = self.registry.slots.get_mut(&container.slot) {
            state.release = Some(release.clone());
        }
        let evicted = &mut self.registry.evictions.workloads;
        let entered = self
            .registry
            .workloads
            .enter(&workload, &release, (started, found), in_place.as_ref(), evicted);
        self.name_service(id);
        let Some(before) = entered
            .replaces
            .filter(|before| before.is_known() && release.is_known())
        else {
            return;
        };
        let Some(to) = release.name() else { return };
        let changed = release.changes_since(&before);
        let changed = if entered.returned {
            format!("back to an earlier one: {changed}")
        } else {
            changed
        };
        let event = Event::Rollout(Rollout {
            from: before.name(),
            to,
            changed,
        });
        // What ran before the agent did may have been rolled out in any order.
        let confidence = if found {
            Confidence::Inferred
        } else {
            Confidence::Observed
        };
        self.find(
            id,
            started,
            event,
            confidence,
            "another run of this version before; none was seen",
            out,
        );
    }

    /// A pod's runs before this one ended before Kubernetes told of them: no more than the name of their image is known. What it
    /// says now holds for them too: a pod keeps what it is labelled with, and an image of the same name is no other release.
    pub(super) fn name_releases_before(&mut self, id: ContainerId) {
        let Some(container) = self.registry.containers.get(id) else {
            return;
        };
        let facts = self
            .registry
            .processes
            .get(&container.main)
            .and_then(|p| p.facts.as_ref());
        let (Some(facts), Some(named)) = (facts, &container.named) else {
            return;
        };
        let slot_id = &container.slot;
        let state = self
            .registry
            .slots
            .get_mut(slot_id)
            .filter(|_| matches!(slot_id.slot, Slot::Pod { .. }));
        let Some(state) = state else { return };
        let release = &container.run.release;
        let Some(before) = state
            .release
            .take_if(|before| before != release && Release::untold(facts, named).contains(before))
        else {
            return;
        };
        let (from, to) = (before.name(), release.name());
        let ended = state.ended.iter_mut().filter(|run| run.version == from);
        ended.for_each(|run| run.version.clone_from(&to));
        state.detector.rename_version(from.as_ref(), to.as_ref());
        state.release = Some(release.clone());
        self.registry
            .workloads
            .rename(&container.run.subject.workload, &before, release);
    }

    /// A workload's service is called as its last run's Resource has it.
    pub(super) fn name_service(&mut self, id: ContainerId) {
        let Some(container) = self.registry.containers.get(id) else {
            return;
        };
        let subject = &container.run.subject;
        if let Some(state) = self.registry.workloads.get_mut(&subject.workload) {
            let namespace = subject.resource.get(SERVICE_NAMESPACE).cloned();
            state.service = Some((subject.service().to_owned(), namespace));
        }
    }

    /// It ends (`cause`), or turns out to be another one's.
    pub(super) fn leave_release(&mut self, id: ContainerId, cause: Option<(BootTime, Cause)>) {
        let Some(container) = self.registry.containers.get_mut(id) else {
            return;
        };
        if !container.run.entered {
            return;
        }
        container.run.entered = false;
        let (at, cause) = cause.map_or((self.time.now, None), |(at, cause)| (at, Some(cause)));
        let before = container.run.before.take();
        if cause.is_none()
            && let Some(state) = self.registry.slots.get_mut(&container.slot)
        {
            // Known better now: that is no change in place.
            state.release = before;
        }
        let run = &container.run;
        let workload = &run.subject.workload;
        if let Some(state) = self
            .registry
            .workloads
            .get_mut(workload)
            .and_then(|w| w.get_mut(&run.release))
        {
            state.peak = state.peak.max(run.peak);
        }
        self.registry.workloads.leave(workload, &run.release, at, cause);
    }

    /// Whether another release has taken over from this container's.
    pub(super) fn is_superseded(&self, container: &crate::registry::Container) -> bool {
        let workload = self.registry.workloads.get(&container.run.subject.workload);
        workload.is_some_and(|w| w.is_superseded(&container.run.release))
    }

    /// Notes what is said of a release; `false` where it has been said of this release already by a replica.
    pub(super) fn note_verdict(&mut self, id: ContainerId, verdict: &mut Verdict) -> bool {
        let Some(container) = self.registry.containers.get(id) else {
            return true;
        };
        let release = container.run.release.clone();
        let Some(workload) = self.registry.workloads.get_mut(&container.run.subject.workload) else {
            return true;
        };
        if verdict.state == State::Resolved {
            let told = workload.resolved.as_ref() == Some(&release);
            workload.resolved = Some(release.clone());
            if told {
                return false;
            }
        }
        if let Some(state) = workload.get_mut(&release) {
            state.worst = match verdict.state {
                State::Suspected | State::Likely | State::Confirmed => state.worst.max(verdict.state),
                State::Quiet | State::Retracted | State::Resolved if state.worst != State::Confirmed => State::Quiet,
                _ => state.worst,
            };
            if state.leaks() {
                let slope = verdict.slope_bytes_per_hour;
                state.slope = Some(state.slope.map_or(slope, |s| s.max(slope)));
            }
        }
        if matches!(verdict.state, State::Likely | State::Confirmed) {
            verdict.blame = self.blame(&release, id);
            if let Some(introduced_by) = verdict.blame.as_ref().and_then(|b| b.introduced_by.clone()) {
                verdict.first_version = Some(introduced_by);
            }
        }
        true
    }

    /// The release that introduced what is said of this one: the first of an unbroken row of leaking releases.
    fn blame(&self, release: &Release, id: ContainerId) -> Option<Blame> {
        let container = self.registry.containers.get(id)?;
        let workload = self.registry.workloads.get(&container.run.subject.workload)?;
        let at = workload.releases.iter().position(|r| r.release == *release)?;
        let clean = workload.releases.iter().take(at).rposition(|r| !r.leaks());
        let first = workload.releases.get(clean.map_or(0, |clean| clean + 1))?;
        let name = |release: &Release| release.name().map_or_else(|| "the release".to_owned(), |Version(v)| v);
        let last_clean = clean.and_then(|clean| workload.releases.get(clean));
        let leaking_ns = first.observed_ns(self.time.now);
        let seconds = |ns: u64| units::seconds(ns as f64 / SECOND as f64);
        let evidence = match last_clean {
            // A release that ran for a shorter time than this one needed to show it has proved nothing.
            Some(clean) if clean.observed_ns(self.time.now) < leaking_ns / 2 => format!(
                "{} shows it; {} before it ran for {} only, too short to be called clean",
                name(&first.release),
                name(&clean.release),
                seconds(clean.observed_ns(self.time.now))
            ),
            Some(clean) => format!(
                "{} ran for {} in {} runs without it; {} shows it",
                name(&clean.release),
                seconds(clean.observed_ns(self.time.now)),
                clean.runs,
                name(&first.release)
            ),
            None if first.found => format!("{} was running before observation began", name(&first.release)),
            None => format!("{} is the first version seen", name(&first.release)),
        };
        let proved = last_clean.filter(|clean| clean.observed_ns(self.time.now) >= leaking_ns / 2);
        Some(Blame {
            introduced_by: first.release.name().filter(|_| proved.is_some() || !first.found),
            since: self.time.wall(first.first_seen),
            last_clean: proved.and_then(|clean| clean.release.name()),
            evidence,
        })
    }
}
