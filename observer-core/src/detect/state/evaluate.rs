//! Evaluation of the run in progress: reads its history after each bucket, produces a verdict where the state changes.

use super::{
    decide::{Case, decide, progress},
    slot::{Growth, SlotDetector},
};
use crate::{
    detect::{
        growth::{
            garbage,
            gates::Outcome,
            measure::{Bounds, Growing, measure},
        },
        history::run::{Run, SCALES},
        sawtooth::ended::Ended,
    },
    finding::{Gate, State, Verdict},
    heap::Contents,
    time::BootTime,
};

impl SlotDetector {
    /// Evaluates the scales that are due at `age` nanoseconds into the run.
    pub(super) fn evaluate(&mut self, age: u64) -> Option<Verdict> {
        let due = self.run.as_mut()?.due(age, &self.config)?;
        let bounds = self.bounds();
        let mut verdict = None;
        for scale in (0..SCALES).filter(|scale| due[*scale]) {
            let growing = self.look(scale, age, &bounds);
            verdict = verdict.or_else(|| self.escalate(growing?, age, bounds.ceiling));
        }
        verdict.or_else(|| self.reconsider(age))
    }

    /// The ended runs on record.
    pub(super) fn ended(&self) -> Ended<'_> {
        Ended {
            records: &self.records,
            generation: self.generation,
        }
    }

    /// The ceiling, bytes; infinite where there is none.
    pub(super) fn ceiling_bytes(&self) -> f64 {
        self.ceiling().map_or(f64::INFINITY, |ceiling| ceiling.bytes as f64)
    }

    fn bounds(&self) -> Bounds {
        let ended = self.ended();
        Bounds {
            ceiling: self.ceiling_bytes(),
            bounded: ended.bounded(&self.config),
            lifetimes: ended.lifetimes(),
        }
    }

    /// Evaluates one scale and keeps how long it has held; gives back growth that does.
    fn look(&mut self, scale: usize, age: u64, bounds: &Bounds) -> Option<Growing> {
        let run = self.run.as_mut()?;
        let growing = measure(run, scale, age, bounds, &self.config)?;
        let hold = run.holds.get_mut(scale)?;
        if !growing.evaluation.passed {
            hold.failed = hold.failed.saturating_add(1);
            if hold.failed >= 2 {
                hold.since_ns = None;
            }
            return None;
        }
        hold.failed = 0;
        hold.since_ns.get_or_insert(age);
        self.growth = Some(Growth::of(&growing, run.number, age));
        Some(growing)
    }

    /// Raises the state where what was seen is enough.
    fn escalate(&mut self, mut growing: Growing, age: u64, ceiling: f64) -> Option<Verdict> {
        if matches!(self.state, State::Likely | State::Confirmed) {
            return None;
        }
        let decision = decide(&self.case(self.run.as_ref()?, ceiling), &growing, age);
        if decision.state.is_some() || decision.withheld {
            self.run.as_mut()?.withheld = decision.withheld;
        }
        let state = decision.state?;
        growing.evaluation.gates.extend(decision.outcomes);
        Some(self.enter(state, age, &growing.evaluation, decision.forecast))
    }

    fn case<'a>(&'a self, run: &'a Run, ceiling: f64) -> Case<'a> {
        Case {
            config: &self.config,
            state: self.state,
            run,
            ended: self.ended(),
            ceiling,
            refuted: self.refuted,
            heap: self.heap,
        }
    }

    /// The gates of the run in progress as they stand, on the scale that comes furthest.
    pub fn gates(&self) -> Vec<Gate> {
        let Some(run) = &self.run else { return Vec::new() };
        let (age, bounds) = (run.age(), self.bounds());
        let evaluated = (0..SCALES).filter_map(|scale| {
            let mut growing = measure(run, scale, age, &bounds, &self.config)?;
            if growing.evaluation.passed {
                let decision = decide(&self.case(run, bounds.ceiling), &growing, age);
                growing.evaluation.gates.extend(decision.outcomes);
            }
            Some(
                growing
                    .evaluation
                    .gates
                    .iter()
                    .map(Outcome::gate)
                    .collect::<Vec<Gate>>(),
            )
        });
        evaluated
            .max_by(|a, b| progress(a).total_cmp(&progress(b)))
            .unwrap_or_default()
    }

    /// Takes a reading of the current run's heap that took `took_ns`; gives back a verdict where it retracts one.
    pub fn read_heap(&mut self, at: BootTime, took_ns: u64, contents: &Contents) -> Option<Verdict> {
        let run = self.run.as_mut()?;
        let age = run.age();
        let evidence = garbage::evidence(run, at, took_ns, contents)?;
        // A reading may miss what is held, and hardly finds more than that: garbage is believed when it is found again.
        let known = self
            .heap
            .is_some_and(|heap| heap.is_garbage() && heap.at >= run.started);
        if evidence.is_garbage() && !known && run.unconfirmed.is_none() {
            run.unconfirmed = Some(evidence);
            return None;
        }
        run.unconfirmed = None;
        self.heap = Some(evidence);
        let reported = matches!(self.state, State::Suspected | State::Likely | State::Confirmed);
        (evidence.is_garbage() && reported)
            .then(|| self.retract(age, "most of what it grows by is garbage that V8 has not collected"))
    }

    /// A verdict would be due, were it not for garbage that V8 may not have collected: a reading of the heap decides.
    pub fn awaits_reading(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.withheld)
    }
}
