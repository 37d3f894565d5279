//! One slot's detector: reads its points and the ends of its runs, produces a verdict for each change of state.

use serde::{Deserialize, Serialize};

use crate::{
    detect::{
        config::DetectConfig,
        growth::{
            ceiling::{self, sane},
            measure::Growing,
            pace::{Pace, pace},
        },
        history::{
            point::{Ceilings, Point, RunEnd},
            run::Run,
        },
        sawtooth::{record::Record, recurring::Kills},
    },
    finding::{Attribution, Cause, Ceiling, CeilingKind, HeapEvidence, State, Verdict},
    identity::Version,
    time::BootTime,
};

/// Most bytes a detector keeps, versions' names of up to 64 bytes included.
pub const MAX_BYTES: usize = 4_096;

/// What was refused or repaired, and how often. Nothing is dropped silently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Points taken.
    pub points: u64,
    /// Points at the time of the one before.
    pub duplicates: u64,
    /// Points before the one before.
    pub backwards: u64,
    /// Cumulative CPU times below the one before.
    pub shrunk: u64,
    /// Limits of 0 or beyond any host.
    pub limits: u64,
    /// Points or ends outside a run.
    pub outside: u64,
}

/// A leak that was reported and has not been resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct UnresolvedLeak {
    /// Version it was made of.
    pub version: Option<Version>,
    /// Highest state it reached.
    pub state: State,
    /// Level after a start, highest level, bytes.
    pub baseline: u64,
    pub peak: u64,
    /// Slope, bytes per hour.
    pub slope: f64,
    /// Nanoseconds from a start to the death it was heading for.
    pub lifetime_ns: u64,
}

/// The growth last seen while all gates held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Growth {
    /// Number of the run.
    pub run: u64,
    /// Age of the run, nanoseconds.
    pub age_ns: u64,
    /// Bytes per hour, and its 99 % interval.
    pub slope: f64,
    pub interval: (f64, f64),
    /// Floor, bytes.
    pub floor: f64,
    /// Hours it was seen over.
    pub hours: f64,
    /// Seconds to the ceiling by then.
    pub time_to_ceiling_s: f64,
}

impl Growth {
    /// Of growth measured in run number `run` at `age` nanoseconds.
    pub(super) fn of(growing: &Growing, run: u64, age: u64) -> Self {
        let evaluation = &growing.evaluation;
        Self {
            run,
            age_ns: age,
            slope: evaluation.slope.median,
            interval: evaluation.slope.interval99,
            floor: evaluation.floor,
            hours: evaluation.hours,
            time_to_ceiling_s: growing.time_to_ceiling.map_or(f64::MAX, |forecast| forecast.p50),
        }
    }
}

/// The detector of one slot. Streaming, pure, and serialisable: the store keeps it over the agent's own restarts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlotDetector {
    pub(super) config: DetectConfig,
    pub(super) state: State,
    pub(super) run: Option<Run>,
    /// Versions seen so far, less one.
    pub(super) generation: u32,
    pub(super) version: Option<Version>,
    /// First version with the leak, while it is reported.
    pub(super) first_version: Option<Version>,
    pub(super) records: Vec<Record>,
    pub(super) growth: Option<Growth>,
    /// Highest floor at which a report on this version was retracted, bytes.
    pub(super) refuted: f64,
    /// Why the state was entered last: the run in which, and its age then.
    pub(super) entered: (u64, u64),
    /// An earlier version's leak that has not been resolved.
    #[serde(rename = "accused")]
    pub(super) unresolved: Option<UnresolvedLeak>,
    /// What the last reading of a heap of this version said of its growth.
    #[serde(default)]
    pub(super) heap: Option<HeapEvidence>,
    /// Kills of this version.
    #[serde(default)]
    pub(super) kills: Kills,
    /// The last end was a rollout: a version without a name is a new one.
    pub(super) rolled: bool,
    pub(super) counts: Counts,
}

impl SlotDetector {
    /// A detector that has seen nothing.
    pub const fn new(config: DetectConfig) -> Self {
        Self {
            config,
            state: State::Quiet,
            run: None,
            generation: 0,
            version: None,
            first_version: None,
            records: Vec::new(),
            growth: None,
            refuted: 0.0,
            entered: (0, 0),
            unresolved: None,
            heap: None,
            kills: Kills::NONE,
            rolled: false,
            counts: Counts {
                points: 0,
                duplicates: 0,
                backwards: 0,
                shrunk: 0,
                limits: 0,
                outside: 0,
            },
        }
    }

    /// Sets the time scale of the runs that begin from now on.
    pub const fn set_time_scale(&mut self, time_scale: f64) {
        self.config.time_scale = time_scale;
    }

    /// What is said of the slot now.
    pub const fn state(&self) -> State {
        self.state
    }

    /// What was refused or repaired.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Number of the run in progress.
    pub fn current_run(&self) -> Option<u64> {
        self.run.as_ref().map(|run| run.number)
    }

    /// Ended runs, oldest first; at most `RECORDS`.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Slope (bytes per hour) and its standard error, while growth holds; for the metrics.
    pub fn slope(&self) -> Option<(f64, f64)> {
        let (growth, _) = self.holding()?;
        // The 99 % interval is 2 x 2.576 standard errors wide.
        Some((growth.slope, (growth.interval.1 - growth.interval.0) / 5.152))
    }

    /// Seconds to the ceiling, while growth holds: what the last evaluation foretold, less what has passed since.
    pub fn time_to_ceiling_s(&self) -> Option<f64> {
        let (growth, since_ns) = self.holding()?;
        Some((growth.time_to_ceiling_s - since_ns as f64 / 1e9).max(0.0))
    }

    /// Growth of the run in progress, while it holds on some scale, and nanoseconds since it was evaluated: what an earlier
    /// run did says nothing of how far this one is.
    fn holding(&self) -> Option<(Growth, u64)> {
        let run = self.run.as_ref()?;
        let growth = self.growth.filter(|growth| growth.run == run.number)?;
        run.holds().then(|| (growth, run.age().saturating_sub(growth.age_ns)))
    }

    /// The level at which earlier runs of this version died.
    pub fn learned_ceiling(&self) -> Option<Ceiling> {
        let now = self.run.as_ref().map_or_else(Ceilings::default, |run| run.now.ceilings);
        self.ended().learned_ceiling(&now).map(|bytes| Ceiling {
            bytes,
            kind: CeilingKind::Learned,
        })
    }

    /// The ceiling the current run is heading for: the lowest limit in force, V8's, or the learned one.
    pub fn ceiling(&self) -> Option<Ceiling> {
        let now = self.run.as_ref().map_or_else(Ceilings::default, Run::ceilings);
        ceiling::effective(&now, self.ended().learned_ceiling(&now), self.config.host_memory)
    }

    /// Every ceiling of the current run, one of each kind; [`SlotDetector::ceiling`] is the lowest.
    pub fn ceilings(&self) -> Vec<Ceiling> {
        let now = self.run.as_ref().map_or_else(Ceilings::default, Run::ceilings);
        ceiling::in_force(&now, self.ended().learned_ceiling(&now), self.config.host_memory)
    }

    /// Slope of the run in progress with its standard error, as soon as there are points enough.
    pub fn pace(&self) -> Option<Pace> {
        pace(self.run.as_ref()?, &self.config)
    }

    /// Where the current run has grown so far.
    pub fn attribution(&self) -> Option<Attribution> {
        let run = self.run.as_ref()?;
        run.early?.attribute(&run.now)
    }

    /// A run begins. An unfinished one ends for a reason nobody saw.
    ///
    /// `number` counts the slot's runs; `version` is what is running, where known: a run of another version is judged
    /// anew, and against the one before.
    pub fn begin_run(&mut self, number: u64, at: BootTime, version: Option<&Version>) -> Option<Verdict> {
        let verdict = if self.run.is_some() {
            self.end_run(&RunEnd::new(at, Cause::Unknown))
        } else {
            None
        };
        self.enter_version(version);
        self.run = Some(Run::new(number, at, &self.config));
        verdict
    }

    /// Takes a point of the current run in; gives back a verdict where it changes what is said.
    pub fn observe(&mut self, point: &Point) -> Option<Verdict> {
        let Some(run) = &mut self.run else {
            self.counts.outside += 1;
            return None;
        };
        match run.last {
            Some(last) if point.at == last => {
                self.counts.duplicates += 1;
                return None;
            }
            Some(last) if point.at < last => {
                self.counts.backwards += 1;
                return None;
            }
            None if point.at < run.started => {
                self.counts.backwards += 1;
                return None;
            }
            _ => {}
        }
        self.counts.points += 1;
        self.counts.limits += u64::from(point.ceilings.cgroup.is_some_and(|limit| !sane(limit.bytes)));
        let shrunk = run.cpu_ns.zip(point.cpu_ns).is_some_and(|(before, now)| now < before);
        self.counts.shrunk += u64::from(shrunk);
        run.take(point, &self.config);
        let age = run.age();
        self.evaluate(age)
    }

    /// Nothing could be seen for a while: what held before is not taken to have held through it.
    pub fn gap(&mut self) {
        if let Some(run) = &mut self.run {
            run.gap();
        }
    }

    /// Bytes this detector holds, on the heap and off it; at most [`MAX_BYTES`] for versions' names of up to 64 bytes.
    pub fn footprint(&self) -> usize {
        let name = |version: &Option<Version>| version.as_ref().map_or(0, |version| version.0.capacity());
        let unresolved = self.unresolved.as_ref().map_or(0, |leak| name(&leak.version));
        let run = self.run.as_ref().map_or(0, Run::footprint);
        size_of::<Self>()
            + self.records.capacity() * size_of::<Record>()
            + run
            + name(&self.version)
            + name(&self.first_version)
            + unresolved
    }

    /// Its level over time, bytes, as far as it is remembered: the profiles of ended runs and the floors of this one.
    pub fn levels(&self) -> Vec<(BootTime, u64)> {
        let mut levels: Vec<(BootTime, u64)> = self.records.iter().flat_map(Record::levels).collect();
        levels.extend(self.run.iter().flat_map(Run::levels));
        levels
    }
}
