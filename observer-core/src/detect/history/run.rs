//! The run in progress: reads points, keeps its rings, its span, and the height of its collections' teeth.

use serde::{Deserialize, Serialize};

use super::{
    parts::Parts,
    point::{Ceilings, Point},
    ring::{BUCKETS, Ring, UNIT, to_unit},
    span::Span,
};
use crate::{
    detect::{
        config::{DetectConfig, RING_WIDTHS_MIN},
        statistics::quantile,
    },
    finding::HeapEvidence,
    time::BootTime,
};

/// Scales at which growth is looked for: the three rings, and the whole run.
pub(in crate::detect) const SCALES: usize = 4;
/// Buckets of each ring between two evaluations: 4, 16 and 128 min at time scale 1.
const EVERY: [u64; 3] = [2, 1, 1];
/// Floors beyond this many times V8's ceiling refute it.
const OUTLIVED: f64 = 1.1;

/// How the growth stands on one scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::detect) struct Hold {
    /// Age of the run since which the gates have held, nanoseconds.
    pub since_ns: Option<u64>,
    /// Evaluations in a row that failed.
    pub failed: u8,
    /// Buckets closed since the last evaluation, or the age of the next one on the run's scale.
    pub pending: u64,
}

/// The run in progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::detect) struct Run {
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
    /// Lowest and highest level of the current quarter of an hour, and the highest of the one before, KiB.
    pub tooth: (u32, u32),
    pub before: u32,
    /// A verdict is due, were it not for garbage that V8 may not have collected.
    #[serde(default)]
    pub withheld: bool,
    /// A reading by which most of its growth is garbage, until another confirms it.
    #[serde(default)]
    pub unconfirmed: Option<HeapEvidence>,
}

impl Run {
    /// A run of which nothing was seen yet.
    pub(in crate::detect) fn new(number: u64, started: BootTime, config: &DetectConfig) -> Self {
        let width = |i: usize| config.minutes(RING_WIDTHS_MIN[i]);
        Self {
            number,
            started,
            last: None,
            cpu_ns: None,
            work: 0.0,
            early: None,
            now: Point::default(),
            rings: [Ring::new(width(0)), Ring::new(width(1)), Ring::new(width(2))],
            span: Span::new(config.minutes(1.0 / 6.0)),
            holds: [Hold::default(); SCALES],
            teeth: 0.0,
            tooth: (u32::MAX, 0),
            before: 0,
            withheld: false,
            unconfirmed: None,
        }
    }

    /// Takes a point that is later than the one before. CPU time that fell counts as none.
    pub(in crate::detect) fn take(&mut self, point: &Point, config: &DetectConfig) {
        if let (Some(before), Some(now)) = (self.cpu_ns, point.cpu_ns) {
            self.work += now.saturating_sub(before) as f64 / 1e9;
        }
        self.cpu_ns = point.cpu_ns.or(self.cpu_ns);
        let work = if self.cpu_ns.is_some() { self.work as f32 } else { -1.0 };
        self.last = Some(point.at);
        self.now = *point;
        let age = self.age();
        let level = to_unit(point.trend);
        if self.early.is_none_or(|early| !early.traced() && point.growth.is_some()) && age >= config.minutes(2.0) {
            self.early = Some(Parts::of(point));
        }
        for (ring, hold) in self.rings.iter_mut().zip(&mut self.holds) {
            hold.pending += ring.take(age, level, work);
        }
        self.span.take(age, level, work);
        self.tooth = (self.tooth.0.min(level), self.tooth.1.max(level));
    }

    /// Nanoseconds from its start to its last point.
    pub(in crate::detect) const fn age(&self) -> u64 {
        self.now.at.since(self.started)
    }

    /// Nanoseconds at its beginning that no evaluation looks at: a start allocates, whether or not anything leaks.
    pub(in crate::detect) fn warm_up(age: u64, config: &DetectConfig) -> u64 {
        config.minutes(10.0).max((age / 10).min(config.hours(6.0)))
    }

    /// The scales that are due at `age` nanoseconds, marked as evaluated; `None` where none is.
    pub(in crate::detect) fn due(&mut self, age: u64, config: &DetectConfig) -> Option<[bool; SCALES]> {
        let mut due = [false; SCALES];
        for scale in 0..3 {
            let hold = &mut self.holds[scale];
            if hold.pending >= EVERY[scale] {
                hold.pending = 0;
                due[scale] = true;
                if scale == 1 {
                    self.close_tooth();
                }
            }
        }
        let hold = &mut self.holds[3];
        if age >= hold.pending {
            hold.pending = age.saturating_add((age / 24).max(config.minutes(5.0)));
            due[3] = true;
        }
        due.iter().any(|scale| *scale).then_some(due)
    }

    /// The ceilings in force. A floor that lies beyond V8's says that what grows is not V8's heap (buffers, native memory):
    /// it goes on to the next.
    pub(in crate::detect) fn ceilings(&self) -> Ceilings {
        let now = self.now.ceilings;
        let v8 = now.v8.filter(|v8| {
            let mut before = self.span.buckets().rev().skip(1).take(2);
            !before.all(|(_, wide)| wide.low.floor() > OUTLIVED * *v8 as f64) || self.span.buckets().count() < 3
        });
        Ceilings { v8, ..now }
    }

    /// Closes a quarter of an hour. What it reached above the next one's floor is a tooth; a steady rise has none.
    fn close_tooth(&mut self) {
        let (low, high) = self.tooth;
        if self.before > 0 && low < u32::MAX {
            let height = f64::from(self.before.saturating_sub(low)) * UNIT as f64;
            let weight = if self.teeth == 0.0 { 1.0 } else { 8.0 };
            self.teeth += (height - self.teeth) / weight;
        }
        self.before = high;
        self.tooth = (u32::MAX, 0);
    }

    /// Forgets the tooth in progress: samples are missing.
    pub(in crate::detect) const fn gap(&mut self) {
        self.tooth = (u32::MAX, 0);
        self.before = 0;
    }

    /// Whether all gates hold on some scale.
    pub(in crate::detect) fn holds(&self) -> bool {
        self.holds.iter().any(|hold| hold.since_ns.is_some())
    }

    /// The level after its start, bytes.
    pub(in crate::detect) fn base(&self) -> f64 {
        let early = self.span.buckets().skip(1).take(6);
        let mut early: Vec<f64> = early.map(|(_, wide)| wide.low.floor()).collect();
        quantile(&mut early, 0.25)
    }

    /// Its highest floor, bytes.
    pub(in crate::detect) fn highest_floor(&self) -> f64 {
        self.span
            .buckets()
            .map(|(_, wide)| wide.low.floor())
            .fold(0.0, f64::max)
    }

    /// How much the floor rose over the last `back` nanoseconds, as a share of what `slope` (bytes per hour) predicts;
    /// `None` where that is not remembered.
    pub(in crate::detect) fn rise_of_predicted(&self, age: u64, back: u64, slope: f64) -> Option<f64> {
        let (then, now) = self.floors(age, back)?;
        let predicted = slope * back as f64 / 3.6e12;
        (predicted > 0.0).then(|| (now - then) / predicted)
    }

    /// Bytes by which the level rose over the last `back` nanoseconds, at the pace since the last bucket that had closed by then.
    pub(in crate::detect) fn rise_during_last(&self, back: u64) -> f64 {
        let ring = &self.rings[0];
        let (age, width) = (self.age(), ring.width_ns());
        let before = ring
            .closed()
            .take_while(|(number, _)| (number + 1).saturating_mul(width) <= age.saturating_sub(back))
            .last();
        let (then, floor) = before.map_or((0, self.base()), |(number, bucket)| (number * width, bucket.floor()));
        let pace = (self.now.trend as f64 - floor).max(0.0) / age.saturating_sub(then).max(1) as f64;
        pace * back.min(age) as f64
    }

    /// The floor `back` nanoseconds ago and now, each over a sixth of that, bytes.
    fn floors(&self, age: u64, back: u64) -> Option<(f64, f64)> {
        let remembers = |ring: &&Ring| back / ring.width_ns() + 2 <= BUCKETS as u64;
        let ring = self.rings.iter().find(remembers)?;
        let width = ring.width_ns();
        let lowest = |from: u64, to: u64| {
            ring.closed()
                .filter(|(number, _)| number * width >= from && (number + 1) * width <= to)
                .map(|(_, bucket)| bucket.floor())
                .fold(f64::INFINITY, f64::min)
        };
        let part = (back / 6).max(2 * width);
        let start = age.checked_sub(back)?;
        let (then, now) = (
            lowest(start, start + part),
            lowest(age.saturating_sub(part + width), age),
        );
        (then.is_finite() && now.is_finite()).then_some((then, now))
    }

    /// Its floors over time, bytes, as far as they are remembered.
    pub(in crate::detect) fn levels(&self) -> impl Iterator<Item = (BootTime, u64)> + '_ {
        let half = self.span.width_ns() / 2;
        self.span.buckets().map(move |(number, wide)| {
            let age = number.saturating_mul(self.span.width_ns()).saturating_add(half);
            (self.started.plus(age), wide.low.floor() as u64)
        })
    }

    /// Bytes its history takes.
    pub(in crate::detect) fn footprint(&self) -> usize {
        self.rings.iter().map(Ring::footprint).sum::<usize>() + self.span.footprint()
    }
}
