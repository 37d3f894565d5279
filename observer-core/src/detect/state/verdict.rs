//! Verdicts: reads a change of state and what it stands on, produces the verdict.

use super::slot::SlotDetector;
use crate::{
    detect::{
        growth::{
            gates::{Evaluation, Outcome},
            reprieve::{heap_flag, larger_limit},
        },
        history::{point::Point, run::Run},
        sawtooth::{alike::Confirmation, record::Record},
        statistics::round,
    },
    finding::{Ceiling, Forecast, HeapFlag, LargerLimit, PageCache, RunSummary, State, Verdict},
    time::BootTime,
};

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
        let advice = self.run.as_ref().filter(|_| state == State::Likely);
        let advice = advice.map_or_else(Advice::default, |run| {
            let slope = &evaluation.slope;
            Advice::of(slope.median, slope.interval99, &run.now, self.ceiling())
        });
        Verdict {
            larger_limit: advice.larger_limit,
            heap_flag: advice.heap_flag,
            page_cache: advice.page_cache,
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
            runs: self.deaths(),
            ..self.plain(state, previous, age, because)
        }
    }

    /// Retracts what was said.
    pub(super) fn retract(&mut self, age: u64, because: &str) -> Verdict {
        let previous = self.state;
        let growth = self.growth.take();
        let floor = self.run.as_ref().map_or(0.0, Run::highest_floor);
        self.refuted = self.refuted.max(floor);
        let verdict = Verdict {
            slope_bytes_per_hour: round(growth.map_or(0.0, |growth| growth.slope)),
            slope_interval: growth.map_or((0.0, 0.0), |growth| {
                (round(growth.interval.0), round(growth.interval.1))
            }),
            first_version: self.first_version.take(),
            runs: self.deaths(),
            ..self.plain(State::Retracted, previous, age, because)
        };
        self.state = State::Retracted;
        verdict
    }

    /// Earlier runs of this version that died as a leak does, as verdicts carry them.
    fn deaths(&self) -> Vec<RunSummary> {
        let deaths = self.ended().deaths();
        deaths.map(|record| record.summary(self.version.as_ref())).collect()
    }

    /// `confirmed`, by the runs that confirm it; the last of them, number `run`, ended at `at` with this point.
    pub(super) fn enter_confirmed(
        &mut self,
        run: u64,
        at: BootTime,
        confirmation: &Confirmation,
        last: &Point,
    ) -> Verdict {
        let previous = self.state;
        let runs = &confirmation.runs;
        self.state = State::Confirmed;
        self.entered = (run, runs.last().map_or(0, Record::lifetime_ns));
        if self.first_version.is_none() {
            self.first_version.clone_from(&self.version);
        }
        let (slope, low, high) = confirmation.slopes();
        let advice = Advice::of(slope, (low, high), last, runs.last().and_then(|run| run.ceiling));
        let alike = Outcome {
            name: "alike",
            held: true,
            value: runs.len() as f64,
            threshold: confirmation.needed as f64,
        };
        Verdict {
            at,
            slope_bytes_per_hour: round(slope),
            slope_interval: (round(low), round(high)),
            span_ns: runs.iter().map(Record::lifetime_ns).sum(),
            floor: runs.last().map_or(0, Record::peak_bytes),
            ceiling: runs.last().and_then(|run| run.ceiling),
            time_to_ceiling: confirmation.next_death(),
            first_version: self.first_version.clone(),
            gates: vec![alike.gate()],
            larger_limit: advice.larger_limit,
            heap_flag: advice.heap_flag,
            page_cache: advice.page_cache,
            runs: runs.iter().map(|run| run.summary(self.version.as_ref())).collect(),
            ..self.plain(
                State::Confirmed,
                previous,
                0,
                &format!("{} {}", runs.len(), confirmation.because),
            )
        }
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
            larger_limit: None,
            heap_flag: None,
            page_cache: None,
            gates: Vec::new(),
            because: because.to_owned(),
        }
    }
}

/// What may be done about growth, and what need not be worried about.
#[derive(Default)]
struct Advice {
    larger_limit: Option<LargerLimit>,
    heap_flag: Option<HeapFlag>,
    page_cache: Option<PageCache>,
}

impl Advice {
    /// By a slope with its interval, the last point of the run and the ceiling it leads to.
    fn of(slope: f64, interval: (f64, f64), point: &Point, ceiling: Option<Ceiling>) -> Self {
        let limit = point.ceilings.cgroup.map(|limit| limit.bytes);
        Self {
            larger_limit: larger_limit(slope, interval, point, ceiling),
            heap_flag: heap_flag(slope, interval, point, ceiling),
            page_cache: limit.and_then(|limit| PageCache::of(point.file, point.trend, limit)),
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
