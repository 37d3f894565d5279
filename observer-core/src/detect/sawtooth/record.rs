//! Ended runs: reads the span of a run that ended, produces a record of it, and says which runs rose alike.

use serde::{Deserialize, Serialize};

use crate::{
    detect::{
        growth::load::{LoadAdjustment, NOTHING_LEFT},
        history::{
            point::RunEnd,
            ring::{Ring, UNIT, to_unit},
            run::Run,
        },
        statistics::{correlation, line, mean, plane, within},
        thresholds::{ALIKE_PEAK, ALIKE_PROFILE, ALIKE_SLOPE, AT_CEILING, GAINED, SIZE_OF_FLOOR},
    },
    finding::{Cause, Ceiling, Confidence, End, RunSummary},
    identity::Version,
    time::BootTime,
};

/// Records kept of a slot.
pub const RECORDS: usize = 8;
/// Points of a profile.
pub const PROFILE: usize = 16;
/// Fewest buckets of a span that make a profile.
const MIN_BUCKETS: usize = 14;

/// What is kept of an ended run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its number within the slot.
    pub run: u64,
    /// Start.
    pub started: BootTime,
    /// End.
    pub ended: BootTime,
    /// Which version of the slot's it was, counted from 0.
    pub generation: u32,
    /// Why it ended.
    pub cause: Cause,
    /// Whether that was seen.
    pub confidence: Confidence,
    /// Highest level, KiB.
    pub peak: u32,
    /// Level after the start, KiB.
    pub base: u32,
    /// The ceiling in force at the end.
    pub ceiling: Option<Ceiling>,
    /// Slope over the rising part, bytes per hour.
    pub slope: f32,
    /// How it rose; `None` where too little was seen.
    pub climb: Option<Climb>,
    /// What it grew by may have been garbage that V8 had not collected, and nothing else.
    #[serde(default)]
    pub garbage: bool,
    /// V8's heap limit, KiB; 0 where it is not known.
    #[serde(default)]
    pub heap_limit: u32,
}

/// How a run rose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Climb {
    /// Share of the profile's steps that rise, or of all its ups and downs the ups, whichever is more: the first steps of
    /// a climb that quickens are lost in noise.
    pub rising: f32,
    /// Share of the growth that falls into the second half.
    pub second_half: f32,
    /// Share of the growth that falls into the last step.
    pub spike: f32,
    /// Growth from the profile's first to its last point, KiB.
    pub growth: f32,
    /// That growth over the distance between the lowest and the highest level of the whole run.
    pub net: f32,
    /// Share of the growth that the load explains.
    pub by_load: f32,
    /// The profile: floors of equal stretches, 0 the lowest, 65535 the highest.
    pub profile: [u16; PROFILE],
    /// Share of the run's life at which the profile begins: what was flat before it is left out.
    #[serde(default)]
    pub from: f32,
}

impl Record {
    /// Of an ended run.
    pub(in crate::detect) fn of(run: &Run, generation: u32, end: &RunEnd, ceiling: Option<Ceiling>) -> Self {
        let span = &run.span;
        let all: Vec<Kept> = span
            .buckets()
            .map(|(number, wide)| {
                let high = f64::from(wide.max) * UNIT as f64;
                (number, wide.low.floor(), high, f64::from(wide.low.work))
            })
            .collect();
        let peak = all.iter().fold(0.0f64, |high, bucket| high.max(bucket.2));
        let skip = all.len() / 20 + usize::from(all.len() > 4);
        let settled = all.get(skip..).unwrap_or_default();
        let still = without_load(settled, run);
        let settled = still.as_deref().unwrap_or(settled);
        let base = settled.first().map_or(0.0, |bucket| bucket.1);
        let (slope, mut climb) = climb(settled, span.width_ns(), &run.rings);
        if let Some(climb) = &mut climb {
            climb.from = from_share(settled, end.at.since(run.started), span.width_ns());
        }
        Self {
            run: run.number,
            started: run.started,
            ended: end.at,
            generation,
            cause: end.cause,
            confidence: end.confidence,
            peak: (peak / UNIT as f64) as u32,
            base: (base / UNIT as f64) as u32,
            ceiling,
            slope: slope as f32,
            climb,
            garbage: false,
            heap_limit: to_unit(run.now.heap_limit.unwrap_or(0)),
        }
    }

    /// Nanoseconds it lived.
    pub const fn lifetime_ns(&self) -> u64 {
        self.ended.since(self.started)
    }

    /// Highest level, bytes.
    pub fn peak_bytes(&self) -> u64 {
        u64::from(self.peak) * UNIT
    }

    /// Peak over ceiling; 0 where no ceiling was known.
    pub fn saturation(&self) -> f64 {
        self.ceiling
            .filter(|ceiling| ceiling.bytes > 0)
            .map_or(0.0, |ceiling| self.peak_bytes() as f64 / ceiling.bytes as f64)
    }

    /// It died at a ceiling: killed for memory, or ended otherwise within 15 % of one.
    pub fn at_ceiling(&self) -> bool {
        match self.cause {
            Cause::KernelOom | Cause::UserspaceOom | Cause::V8HeapOom => true,
            Cause::Completed | Cause::Rollout => false,
            _ => self.saturation() >= AT_CEILING,
        }
    }

    /// It rose as a leak does, whatever ended it: steadily, not levelling off, not in one spike, and by enough.
    pub fn rose(&self) -> bool {
        let enough = self.ceiling.map_or(f64::from(self.peak) * SIZE_OF_FLOOR, |ceiling| {
            GAINED * ceiling.bytes as f64 / UNIT as f64
        });
        self.climb.as_ref().is_some_and(|climb| {
            self.slope > 0.0
                && climb.rising >= 0.7
                && climb.second_half >= 0.25
                && climb.spike < 0.5
                && climb.net >= 0.6
                && climb.by_load < 0.5
                && f64::from(climb.growth) > enough
        })
    }

    /// It rose as a leak does, and not by what may have been garbage.
    pub fn leaked(&self) -> bool {
        self.rose() && !self.garbage
    }

    /// Two runs that rose alike: slopes within a factor of 3, profiles correlated above 0.85, peaks (or their shares of the
    /// ceiling) within a factor of 1.3.
    pub fn alike(&self, other: &Self) -> bool {
        let (Some(a), Some(b)) = (&self.climb, &other.climb) else {
            return false;
        };
        let profile = |climb: &Climb| climb.profile.iter().map(|p| f64::from(*p)).collect::<Vec<_>>();
        within(f64::from(self.slope), f64::from(other.slope), ALIKE_SLOPE)
            && (within(f64::from(self.peak), f64::from(other.peak), ALIKE_PEAK)
                || within(self.saturation(), other.saturation(), ALIKE_PEAK))
            && correlation(&profile(a), &profile(b)) > ALIKE_PROFILE
    }

    /// Its level over its life, bytes: the profile, and its peak at the end. Nothing where too little was seen of it, and nothing of
    /// the time before the profile begins: what warmed up then is not kept.
    pub fn levels(&self) -> Vec<(BootTime, u64)> {
        let Some(climb) = &self.climb else { return Vec::new() };
        let life = self.lifetime_ns() as f64;
        let after = |share: f64| self.started.plus((life * share.clamp(0.0, 1.0)) as u64);
        let (first, last) = (climb.profile[0], climb.profile[PROFILE - 1]);
        let rise = f64::from(last.saturating_sub(first)).max(1.0);
        let unit = f64::from(climb.growth).max(0.0) / rise * UNIT as f64;
        let lowest = self.peak_bytes() as f64 - f64::from(climb.profile.iter().copied().max().unwrap_or(0)) * unit;
        let at = |height: u16| (lowest + f64::from(height) * unit).max(0.0) as u64;
        let from = f64::from(climb.from);
        let mut levels = Vec::with_capacity(PROFILE + 1);
        levels.extend(climb.profile.iter().enumerate().map(|(step, height)| {
            let share = (step as f64 + 0.5) / PROFILE as f64;
            (after(from + share * (1.0 - from)), at(*height))
        }));
        levels.push((self.ended, self.peak_bytes()));
        levels
    }

    /// As findings tell it.
    pub fn summary(&self, version: Option<&Version>) -> RunSummary {
        RunSummary {
            run: self.run,
            started: self.started,
            ended: self.ended,
            version: version.cloned(),
            end: End {
                cause: self.cause,
                confidence: self.confidence,
                status: None,
                sender: None,
                because: String::new(),
            },
            reported: None,
            peak: self.peak_bytes(),
            ceiling: self.ceiling,
            slope_bytes_per_hour: Some(f64::from(self.slope)),
        }
    }
}

/// A bucket: number, floor, high, work.
type Kept = (u64, f64, f64, f64);

/// The buckets with floors that the load's swings are taken from, where they swing by much.
fn without_load(buckets: &[Kept], run: &Run) -> Option<Vec<Kept>> {
    let [finest, ..] = &run.rings;
    let day = 720.0 * finest.width_ns() as f64;
    let (first, last) = (buckets.first()?, buckets.last()?);
    let days = (last.0 - first.0) as f64 * run.span.width_ns() as f64 / day;
    if buckets.iter().any(|bucket| bucket.3 < 0.0) {
        return None;
    }
    let axis: Vec<f64> = buckets.iter().map(|bucket| bucket.0 as f64).collect();
    let floor: Vec<f64> = buckets.iter().map(|bucket| bucket.1).collect();
    let mut load: Vec<f64> = buckets
        .windows(2)
        .map(|pair| (pair[1].3 - pair[0].3).max(0.0) / (pair[1].0 - pair[0].0).max(1) as f64)
        .collect();
    load.insert(0, load.first().copied()?);
    let straight = line(&axis, &floor)?;
    let left = LoadAdjustment::of(&axis, &load, &floor, &straight).adjusted_floors(&axis, &floor, &straight, days)?;
    let still = buckets
        .iter()
        .zip(left)
        .map(|(bucket, floor)| (bucket.0, floor.max(0.0), bucket.2, bucket.3));
    Some(still.collect())
}

/// Slope (bytes per hour) and climb of a run's buckets, `width_ns` wide each; from a ring where the rise is too short for
/// them.
fn climb(buckets: &[Kept], width_ns: u64, rings: &[Ring]) -> (f64, Option<Climb>) {
    let onset = onset(buckets);
    let rising = buckets.get(onset..).unwrap_or_default();
    if rising.len() >= MIN_BUCKETS || onset == 0 {
        return climb_of(rising, buckets, width_ns);
    }
    let from = rising.first().map_or(0, |bucket| bucket.0 * width_ns);
    let finer = rings.iter().rev().find_map(|ring| {
        let width = ring.width_ns();
        let kept: Vec<Kept> = ring
            .closed()
            .filter(|(number, _)| number * width >= from)
            .map(|(number, bucket)| (number, bucket.floor(), bucket.floor(), f64::from(bucket.work)))
            .collect();
        (kept.len() >= MIN_BUCKETS).then_some((kept, width))
    });
    match finer {
        Some((kept, width)) => climb_of(&kept, &kept, width),
        None => climb_of(buckets, buckets, width_ns),
    }
}

/// Of the rising part of buckets.
fn climb_of(rising: &[Kept], buckets: &[Kept], width_ns: u64) -> (f64, Option<Climb>) {
    let hours = width_ns as f64 / 3_600e9;
    let x: Vec<f64> = rising.iter().map(|bucket| bucket.0 as f64 * hours).collect();
    let y: Vec<f64> = rising.iter().map(|bucket| bucket.1).collect();
    let slope = line(&x, &y).map_or(0.0, |line| line.slope);
    let profile = segments(rising);
    let (Some(first), Some(last)) = (profile.first().copied(), profile.last().copied()) else {
        return (slope, None);
    };
    if rising.len() < MIN_BUCKETS || profile.len() < PROFILE {
        return (slope, None);
    }
    let steps: Vec<f64> = profile.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let growth = last - first;
    let low = buckets.iter().fold(f64::INFINITY, |low, bucket| low.min(bucket.1));
    let high = buckets.iter().fold(0.0f64, |high, bucket| high.max(bucket.1));
    let share = |part: f64| if growth > 0.0 { part / growth } else { 0.0 };
    let spread = (high - low).max(1.0);
    let ups = steps.iter().filter(|step| **step > 0.0);
    let (count, up) = (ups.clone().count() as f64, ups.sum::<f64>());
    let moved: f64 = steps.iter().map(|step| step.abs()).sum();
    // Ups that outweigh the downs seven to one, weighed like seven steps of ten.
    let weighed = if moved > 0.0 { 0.8 * up / moved } else { 0.0 };
    let climb = Climb {
        rising: (count / steps.len() as f64).max(weighed) as f32,
        second_half: share(last - profile[PROFILE / 2]) as f32,
        spike: share(steps.last().copied().unwrap_or(0.0)) as f32,
        growth: (growth / UNIT as f64) as f32,
        net: (growth / spread) as f32,
        by_load: explained_by_load(rising, growth) as f32,
        profile: core::array::from_fn(|i| ((profile[i] - low) / spread * 65_535.0).clamp(0.0, 65_535.0) as u16),
        from: 0.0,
    };
    (slope, Some(climb))
}

/// Where the rise begins: a leak may begin days after the start, and what is flat before it is left out. 0 where what
/// comes before is not flat.
fn onset(buckets: &[Kept]) -> usize {
    let low = buckets.iter().fold(f64::INFINITY, |low, bucket| low.min(bucket.1));
    let Some(last) = buckets.last() else { return 0 };
    let growth = last.1 - low;
    let Some(onset) = buckets.iter().rposition(|bucket| bucket.1 <= low + 0.1 * growth) else {
        return 0;
    };
    let flat = buckets.iter().take(onset).all(|bucket| bucket.1 <= low + 0.25 * growth);
    if flat { onset } else { 0 }
}

/// Where the rising part of `settled` begins, as a share of a life of `life` nanoseconds.
fn from_share(settled: &[Kept], life: u64, width_ns: u64) -> f32 {
    let from = settled.get(onset(settled)).map_or(0, |bucket| bucket.0 * width_ns);
    (from as f64 / life.max(1) as f64).clamp(0.0, 1.0) as f32
}

/// Floors of [`PROFILE`] equal stretches; a stretch in which nothing was seen takes its neighbour's.
fn segments(buckets: &[Kept]) -> Vec<f64> {
    let (Some(first), Some(last)) = (buckets.first(), buckets.last()) else {
        return Vec::new();
    };
    let span = (last.0 - first.0 + 1) as f64;
    let mut floors = [f64::INFINITY; PROFILE];
    for bucket in buckets {
        let at = ((bucket.0 - first.0) as f64 / span * PROFILE as f64) as usize;
        if let Some(floor) = floors.get_mut(at) {
            *floor = floor.min(bucket.1);
        }
    }
    let mut previous = first.1;
    floors
        .iter()
        .map(|floor| {
            if floor.is_finite() {
                previous = *floor;
            }
            previous
        })
        .collect()
}

/// Share of the growth that a change of load explains: the load's coefficient times its own change.
fn explained_by_load(buckets: &[Kept], growth: f64) -> f64 {
    if growth <= 0.0 || buckets.len() < 8 || buckets.iter().any(|bucket| bucket.3 < 0.0) {
        return 0.0;
    }
    let mut load: Vec<f64> = buckets
        .windows(2)
        .map(|pair| (pair[1].3 - pair[0].3).max(0.0) / (pair[1].0 - pair[0].0) as f64)
        .collect();
    // The newest bucket is rarely full.
    load.pop();
    let n = load.len();
    let average = mean(&load);
    let spread = load.iter().map(|value| (value - average).abs()).sum::<f64>() / n as f64;
    if average <= 0.0 || spread < 0.05 * average {
        return 0.0;
    }
    let x: Vec<f64> = buckets[1..=n].iter().map(|bucket| bucket.0 as f64).collect();
    let y: Vec<f64> = buckets[1..=n].iter().map(|bucket| bucket.1).collect();
    let (Some(plain), Some(both)) = (line(&x, &y), plane(&x, &load, &y)) else {
        return 0.0;
    };
    // Nor can it explain more than there is at no load at all.
    if plain.slope <= 0.0 || both.without < NOTHING_LEFT {
        return 0.0;
    }
    (1.0 - both.slope / plain.slope).clamp(0.0, 1.0)
}
