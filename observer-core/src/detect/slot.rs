//! One slot's detector: reads its points and the ends of its runs, produces a verdict for each change of state.

use serde::{Deserialize, Serialize};

use super::{
    Ceilings, DetectConfig, HeapEvidence, Point, RunEnd, State, Verdict,
    attribution::Parts,
    ceiling,
    config::RING_WIDTHS_MIN,
    record::{RECORDS, Record},
    recurring::Kills,
    ring::{Ring, UNIT, to_unit},
    span::Span,
};
use crate::{
    finding::{Ceiling, CeilingKind},
    identity::Version,
    time::BootTime,
};

/// Most bytes a detector keeps, versions' names of up to 64 bytes included.
pub const MAX_BYTES: usize = 4_096;

/// Scales at which growth is looked for: the three rings, and the whole run.
pub(super) const SCALES: usize = 4;

/// Floors beyond this many times V8's ceiling refute it.
const OUTLIVED: f64 = 1.1;

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

/// What is remembered of an accusation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Accusation {
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

/// How the growth stands on one scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Hold {
    /// Age of the run since which the gates have held, nanoseconds.
    pub since_ns: Option<u64>,
    /// Evaluations in a row that failed.
    pub failed: u8,
    /// Buckets closed since the last evaluation, or the age of the next one on the run's scale.
    pub pending: u64,
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

/// The run in progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Run {
    pub number: u64,
    pub started: BootTime,
    pub last: Option<BootTime>,
    pub cpu_ns: Option<u64>,
    /// CPU seconds since the start.
    pub work: f64,
    pub early: Option<Parts>,
    pub now: Point,
    pub rings: [Ring; 3],
    pub span: Span,
    pub holds: [Hold; SCALES],
    /// Height of the garbage-collection teeth above the floor, bytes.
    pub teeth: f64,
    /// Lowest and highest level of the quarter of an hour being seen, and the highest of the one before, KiB.
    pub tooth: (u32, u32),
    pub before: u32,
    /// It would be accused, were it not for garbage that V8 may not have collected.
    #[serde(default)]
    pub withheld: bool,
}

impl Run {
    /// The ceilings in force. A floor that lies beyond V8's says that what grows is not V8's heap (buffers, native memory):
    /// it goes on to the next.
    pub(super) fn ceilings(&self) -> Ceilings {
        let now = self.now.ceilings;
        let v8 = now.v8.filter(|v8| {
            let mut before = self.span.buckets().rev().skip(1).take(2);
            !before.all(|(_, wide)| wide.low.floor() > OUTLIVED * *v8 as f64) || self.span.buckets().count() < 3
        });
        Ceilings { v8, ..now }
    }

    /// Closes a quarter of an hour. What it reached above the next one's floor is a tooth; a steady rise has none.
    pub(super) fn tooth_ends(&mut self) {
        let (low, high) = self.tooth;
        if self.before > 0 && low < u32::MAX {
            let height = f64::from(self.before.saturating_sub(low)) * UNIT as f64;
            let weight = if self.teeth == 0.0 { 1.0 } else { 8.0 };
            self.teeth += (height - self.teeth) / weight;
        }
        self.before = high;
        self.tooth = (u32::MAX, 0);
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
    /// First version that was accused, while the accusation stands.
    pub(super) first_version: Option<Version>,
    pub(super) records: Vec<Record>,
    pub(super) growth: Option<Growth>,
    /// Highest floor at which an accusation of this version was taken back, bytes.
    pub(super) refuted: f64,
    /// Why the state was entered last: the run in which, and its age then.
    pub(super) entered: (u64, u64),
    /// An earlier version's accusation that has not been resolved.
    pub(super) accused: Option<Accusation>,
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
            accused: None,
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

    /// Ended runs, oldest first; at most [`RECORDS`].
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
        let holds = run.holds.iter().any(|hold| hold.since_ns.is_some());
        let age = run.now.at.since(run.started);
        holds.then(|| (growth, age.saturating_sub(growth.age_ns)))
    }

    /// The level at which earlier runs of this version died.
    pub fn learned_ceiling(&self) -> Option<Ceiling> {
        let now = self.run.as_ref().map_or_else(Ceilings::default, |run| run.now.ceilings);
        ceiling::learned(&self.records, self.generation, &now).map(|bytes| Ceiling {
            bytes,
            kind: CeilingKind::Learned,
        })
    }

    /// The ceiling the current run is heading for: the lowest limit in force, V8's, or the learned one.
    pub fn ceiling(&self) -> Option<Ceiling> {
        let now = self.run.as_ref().map_or_else(Ceilings::default, Run::ceilings);
        let learned = ceiling::learned(&self.records, self.generation, &now);
        ceiling::effective(&now, learned, self.config.host_memory)
    }

    /// Every ceiling of the current run, one of each kind; [`SlotDetector::ceiling`] is the lowest.
    pub fn ceilings(&self) -> Vec<Ceiling> {
        let now = self.run.as_ref().map_or_else(Ceilings::default, Run::ceilings);
        let learned = ceiling::learned(&self.records, self.generation, &now);
        ceiling::in_force(&now, learned, self.config.host_memory)
    }

    /// A run begins. An unfinished one ends for a reason nobody saw.
    ///
    /// `number` counts the slot's runs; `version` is what is running, where known: a run of another version is judged
    /// anew, and against the one before.
    pub fn begin_run(&mut self, number: u64, at: BootTime, version: Option<&Version>) -> Option<Verdict> {
        let verdict = if self.run.is_some() {
            self.end_run(&RunEnd::new(at, crate::exit::Cause::Unknown))
        } else {
            None
        };
        self.enter_version(version);
        let width = |i: usize| self.config.minutes(RING_WIDTHS_MIN[i]);
        self.run = Some(Run {
            number,
            started: at,
            last: None,
            cpu_ns: None,
            work: 0.0,
            early: None,
            now: Point::default(),
            rings: [Ring::new(width(0)), Ring::new(width(1)), Ring::new(width(2))],
            span: Span::new(self.config.minutes(1.0 / 6.0)),
            holds: [Hold::default(); SCALES],
            teeth: 0.0,
            tooth: (u32::MAX, 0),
            before: 0,
            withheld: false,
        });
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
        if point.ceilings.cgroup.is_some_and(|limit| !ceiling::sane(limit.bytes)) {
            self.counts.limits += 1;
        }
        match (run.cpu_ns, point.cpu_ns) {
            (Some(before), Some(now)) if now < before => self.counts.shrunk += 1,
            (Some(before), Some(now)) => run.work += (now - before) as f64 / 1e9,
            _ => {}
        }
        run.cpu_ns = point.cpu_ns.or(run.cpu_ns);
        let work = if run.cpu_ns.is_some() { run.work as f32 } else { -1.0 };
        run.last = Some(point.at);
        run.now = *point;
        let age = point.at.since(run.started);
        let level = to_unit(point.trend);
        if run.early.is_none_or(|early| !early.traced() && point.growth.is_some()) && age >= self.config.minutes(2.0) {
            run.early = Some(Parts::of(point));
        }
        for (ring, hold) in run.rings.iter_mut().zip(&mut run.holds) {
            hold.pending += ring.take(age, level, work);
        }
        run.span.take(age, level, work);
        run.tooth = (run.tooth.0.min(level), run.tooth.1.max(level));
        self.judge(age)
    }

    /// Nothing could be seen for a while: what held before is not taken to have held through it.
    pub fn gap(&mut self) {
        if let Some(run) = &mut self.run {
            run.tooth = (u32::MAX, 0);
            run.before = 0;
        }
    }

    /// Bytes this detector holds, on the heap and off it; at most [`MAX_BYTES`] for versions' names of up to 64 bytes.
    pub fn footprint(&self) -> usize {
        let name = |version: &Option<Version>| version.as_ref().map_or(0, |version| version.0.capacity());
        let accused = self.accused.as_ref().map_or(0, |accused| name(&accused.version));
        let run = self.run.as_ref().map_or(0, |run| {
            run.rings.iter().map(Ring::footprint).sum::<usize>() + run.span.footprint()
        });
        size_of::<Self>()
            + self.records.capacity() * size_of::<Record>()
            + run
            + name(&self.version)
            + name(&self.first_version)
            + accused
    }

    /// Its level over time, bytes, as far as it is remembered: the profiles of ended runs and the floors of this one.
    pub fn levels(&self) -> Vec<(BootTime, u64)> {
        let mut levels: Vec<(BootTime, u64)> = self.records.iter().flat_map(Record::levels).collect();
        if let Some(run) = &self.run {
            let half = run.span.width_ns() / 2;
            levels.extend(run.span.buckets().map(|(number, wide)| {
                let age = number.saturating_mul(run.span.width_ns()).saturating_add(half);
                (run.started.plus(age), wide.low.floor() as u64)
            }));
        }
        levels
    }

    /// Keeps a record, oldest out first.
    pub(super) fn keep(&mut self, record: Record) {
        if self.records.len() >= RECORDS {
            self.records.remove(0);
        }
        if self.records.capacity() < RECORDS {
            self.records.reserve_exact(RECORDS - self.records.len());
        }
        self.records.push(record);
    }
}
