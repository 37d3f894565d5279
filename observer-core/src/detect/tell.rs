//! Telling: reads a change of state and what it stands on, produces the verdict.

use super::{
    Attribution, Forecast, SlotDetector, State, Verdict,
    gates::{Evaluation, Outcome, round},
    record::Record,
};
use crate::time::BootTime;

impl SlotDetector {
    /// Enters a state by an evaluation of the current run.
    pub(super) fn enter(
        &mut self,
        state: State,
        age: u64,
        evaluation: &Evaluation,
        time_to_ceiling: Option<Forecast>,
    ) -> Verdict {
        let previous = self.state;
        let number = self.run.as_ref().map_or(0, |run| run.number);
        self.state = state;
        self.entered = (number, age);
        if self.first_version.is_none() {
            self.first_version.clone_from(&self.version);
        }
        let because = match state {
            State::Likely => "growth leads to the ceiling within days",
            _ => "growth within this run is significant",
        };
        let runs: Vec<_> = self
            .deaths()
            .map(|record| record.summary(self.version.as_ref()))
            .collect();
        Verdict {
            slope_bytes_per_hour: round(evaluation.slope.median),
            slope_interval: (
                round(evaluation.slope.interval99.0),
                round(evaluation.slope.interval99.1),
            ),
            span_ns: (evaluation.hours * 3.6e12) as u64,
            floor: evaluation.floor as u64,
            time_to_ceiling: time_to_ceiling.map(rounded),
            first_version: self.first_version.clone(),
            attribution: self.attribution(),
            gates: evaluation.gates.iter().map(Outcome::gate).collect(),
            runs,
            ..self.plain(state, previous, age, because)
        }
    }

    /// Where the current run has grown so far.
    pub fn attribution(&self) -> Option<Attribution> {
        let run = self.run.as_ref()?;
        run.early?.attribute(&run.now)
    }

    /// Takes an accusation back.
    pub(super) fn retract(&mut self, age: u64, because: &str) -> Verdict {
        let previous = self.state;
        let growth = self.growth.take();
        let floor = self.run.as_ref().map_or(0.0, super::judge::highest_floor);
        self.refuted = self.refuted.max(floor);
        let runs: Vec<_> = self
            .deaths()
            .map(|record: &Record| record.summary(self.version.as_ref()))
            .collect();
        let said = Verdict {
            slope_bytes_per_hour: round(growth.map_or(0.0, |growth| growth.slope)),
            slope_interval: growth.map_or((0.0, 0.0), |growth| {
                (round(growth.interval.0), round(growth.interval.1))
            }),
            first_version: self.first_version.take(),
            runs,
            ..self.plain(State::Retracted, previous, age, because)
        };
        self.state = State::Retracted;
        said
    }

    /// A verdict with what is known of the current run and nothing else.
    pub(super) fn plain(&self, state: State, previous: State, age: u64, because: &str) -> Verdict {
        let run = self.run.as_ref();
        Verdict {
            at: run.map_or(BootTime::default(), |run| run.started.plus(age)),
            state,
            previous,
            previous_at: None,
            slope_bytes_per_hour: 0.0,
            slope_interval: (0.0, 0.0),
            span_ns: age,
            floor: run.map_or(0, |run| run.now.trend),
            ceiling: self.ceiling(),
            time_to_ceiling: None,
            runs: Vec::new(),
            first_version: None,
            attribution: None,
            comparison: None,
            blame: None,
            heap: self.heap,
            diagnosis: None,
            gates: Vec::new(),
            because: because.to_owned(),
        }
    }
}

fn rounded(forecast: Forecast) -> Forecast {
    Forecast {
        p10: round(forecast.p10),
        p50: round(forecast.p50),
        p90: round(forecast.p90),
    }
}
