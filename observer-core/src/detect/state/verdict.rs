//! Verdicts: reads a change of state and what it stands on, produces the verdict.

use super::slot::SlotDetector;
use crate::{
    detect::{
        growth::{
            gates::{Evaluation, Outcome},
            reprieve::{heap_flag, larger_limit},
        },
        history::run::Run,
        sawtooth::{alike::Confirmation, record::Record},
        statistics::round,
    },
    finding::{Ceiling, Forecast, HeapFlag, LargerLimit, MOST, PageCache, RunSummary, State, Verdict},
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
            State::Likely => "growth that is significant leads to the ceiling",
            _ => "growth within this run is significant",
        };
        let advice = self.run.as_ref().filter(|_| state == State::Likely);
        let advice = advice.map_or_else(Advice::default, |run| {
            let slope = &evaluation.slope;
            Advice::of(slope.median, slope.interval99, run, self.ceiling())
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

    /// `confirmed`, by the runs that confirm it; `last` is the last of them, which ended at `at`.
    pub(super) fn enter_confirmed(&mut self, at: BootTime, confirmation: &Confirmation, last: &Run) -> Verdict {
        let previous = self.state;
        let runs = &confirmation.runs;
        self.state = State::Confirmed;
        self.entered = (last.number, runs.last().map_or(0, Record::lifetime_ns));
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
    /// By a slope with its interval, the run as it was last seen and the ceiling it leads to. What grows outside V8's heap is
    /// neither ended by V8's limit nor helped by V8's flag.
    fn of(slope: f64, interval: (f64, f64), run: &Run, ceiling: Option<Ceiling>) -> Self {
        let point = &run.now;
        let in_v8 = run.early.is_none_or(|early| early.share_in_v8(point) >= MOST);
        let limit = point.ceilings.cgroup.map(|limit| limit.bytes);
        let larger_limit = larger_limit(slope, interval, point, ceiling).map(|larger| LargerLimit {
            heap_limit: larger.heap_limit.filter(|_| in_v8),
            ..larger
        });
        Self {
            larger_limit,
            heap_flag: heap_flag(slope, interval, point, ceiling).filter(|_| in_v8),
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

#[cfg(test)]
mod tests {
    use observer_common::growth::{PLACES, Place};

    use super::*;
    use crate::{
        detect::{
            config::DetectConfig,
            history::point::{Ceilings, Point, RunEnd},
        },
        finding::{Cause, CeilingKind},
        time::SECOND,
    };

    const MIB: u64 = 1 << 20;

    /// What is said last of two runs that climb from 64 to 512 MiB in six hours, and grow in this place.
    fn confirmed(place: Place) -> Verdict {
        let mut detector = SlotDetector::new(DetectConfig::default());
        let mut said = None;
        for run in 0..2u64 {
            let at = |seconds: u64| BootTime((run * 22_000 + seconds) * SECOND);
            detector.begin_run(run, at(0), None);
            for step in 0..=360u64 {
                let grown = step * 448 * MIB / 360;
                let mut growth = [0; PLACES];
                growth[place as usize] = grown as i64;
                detector.observe(&Point {
                    at: at(step * 60),
                    trend: 64 * MIB + grown,
                    growth: Some(growth),
                    heap_limit: Some(560 * MIB),
                    ceilings: Ceilings {
                        cgroup: Some(Ceiling {
                            bytes: 512 * MIB,
                            kind: CeilingKind::Cgroup,
                        }),
                        v8: None,
                    },
                    ..Point::default()
                });
            }
            said = detector.end_run(&RunEnd::new(at(21_600), Cause::KernelOom));
        }
        said.unwrap()
    }

    #[test]
    fn v8_s_limit_and_flag_are_told_of_growth_in_its_heap_and_of_no_other() {
        let heap = confirmed(Place::V8Heap);
        assert_eq!(heap.state, State::Confirmed);
        assert_eq!(heap.larger_limit.unwrap().heap_limit, Some(560 * MIB));
        assert!(heap.heap_flag.is_some());
        let native = confirmed(Place::Malloc);
        assert_eq!(native.state, State::Confirmed);
        // More room helps for a while wherever it grows.
        assert_eq!(native.larger_limit.unwrap().heap_limit, None);
        assert_eq!(native.heap_flag, None);
    }

    #[test]
    fn the_time_left_of_a_run_among_runs_alike_counts_from_where_it_stands() {
        let verdict = confirmed(Place::V8Heap);
        let ceiling = verdict.ceiling.unwrap().bytes;
        let (now, life) = (verdict.at, verdict.time_to_ceiling.unwrap());
        let hour = verdict.slope_bytes_per_hour as u64;
        let left = verdict.time_left(now, ceiling - hour).unwrap();
        assert!((left.p50 - 3_600.0).abs() < 1.0 && life.p50 > 5.0 * 3_600.0, "{left:?}");
        assert!(left.p10 < left.p50 && left.p50 < left.p90, "{left:?}");
        assert_eq!(verdict.time_left(now, ceiling + 1).unwrap().p50, 0.0);
        let likely = Verdict {
            state: State::Likely,
            ..verdict.clone()
        };
        let left = likely.time_left(now.plus(3_600 * SECOND), 0).unwrap();
        assert!(
            (left.p50 + 3_600.0 - life.p50).abs() < 1.0,
            "what is left of the forecast"
        );
        let over = Verdict {
            state: State::Resolved,
            ..verdict
        };
        assert_eq!(over.time_left(now, 0), None);
    }
}
