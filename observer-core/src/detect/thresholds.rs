//! The thresholds that decide what is said, in one table: the tables of docs/detection.md are written from it. Constants of a method (grids,
//! intervals, V8's own factors, what makes a pattern) stand with it.
//!
//! Shares are 0 to 1. Durations are those at time scale 1 ([`DetectConfig`](super::DetectConfig)).

#[cfg(test)]
mod page;

const MIB: f64 = 1_048_576.0;

// Gates: what a stretch of a run must show.

/// `size`: growth, as a share of the ceiling.
pub const SIZE_SHARE: f64 = 0.06;
/// `size`: growth, bytes.
pub const SIZE_BYTES: f64 = 12.0 * MIB;
/// The same where there is no ceiling: a share of the floor.
pub const SIZE_OF_FLOOR: f64 = 0.3;
/// `high_water`, `history`: the floor over what the run held before, or bounded runs reached.
pub const HIGH_WATER: f64 = 1.03;
/// A drop by this share of the ceiling is a large one.
pub const LARGE_DROP: f64 = 0.1;
/// `monotone_floor`: blocks of a window.
pub const BLOCKS: usize = 8;
/// `monotone_floor`: how many of the steps between blocks must rise.
pub const RISES: usize = 6;
/// `drift`: mean step over its standard error. A random walk's steps have none.
pub const DRIFT_T: f64 = 3.0;
/// `not_saturating`: the last third's slope over the whole's.
pub const LAST_THIRD: f64 = 0.5;
/// `load_adjusted`: share of the slope that remains beside the load.
pub const LOAD_SHARE: f64 = 0.5;
/// `load_adjusted`: t of the slope that remains beside the load.
pub const LOAD_T: f64 = 4.0;
/// Share of the slope that remains beside the load over the whole run.
pub const WHOLE_RUN_LOAD_SHARE: f64 = 0.4;
/// t of the slope that remains beside the load over the whole run.
pub const WHOLE_RUN_LOAD_T: f64 = 3.0;
/// A load that alone leaves so many times what time leaves is no rival.
pub const NO_RIVAL: f64 = 3.0;
/// `model`: how directly the preferred curve leads to the ceiling, in a window.
pub const REACHES: f64 = 0.3;
/// The same over the whole run.
pub const WHOLE_RUN_REACHES: f64 = 0.15;

// Troughs: what stands in for the gates under tall teeth.

/// Fewest troughs.
pub const TROUGHS: usize = 5;
/// Least height of a tooth, as a share of the ceiling.
pub const TOOTH: f64 = 0.05;
/// Least growth from the first trough to the last, as a share of the ceiling.
pub const TROUGH_GROWTH: f64 = 0.15;
/// Least share of the troughs' variance that a line explains.
pub const TROUGHS_STRAIGHT: f64 = 0.95;
/// The later half's slope over the whole's.
pub const LATER_HALF: f64 = 0.7;

// The decision: when growth that passed the gates is `suspected` or `likely`.

/// Minutes for which the gates must hold, or a tenth of the window.
pub const LASTING_MINUTES: f64 = 20.0;
/// Least share of the predicted rise that was seen lately.
pub const STILL_RISING: f64 = 0.2;
/// Least growth since the run's start, as a share of the ceiling.
pub const GAINED: f64 = 0.15;
/// `suspected`: saturation.
pub const SUSPECTED: f64 = 0.5;
/// `suspected`: how far below the saturation of `likely`.
pub const BELOW_LIKELY: f64 = 0.15;
/// Days and multiples of the window within which the ceiling must lie, for `likely`.
pub const LIKELY_WITHIN: (f64, f64) = (7.0, 8.0);
/// The same for `suspected`.
pub const SUSPECTED_WITHIN: (f64, f64) = (7.0, 4.0);
/// Days within which the ceiling must lie after steady days.
pub const SLOW_WITHIN_DAYS: f64 = 30.0;
/// Without a death it must be nearer than so many times the run's age.
pub const OF_AGE: f64 = 1.2;

// The saturation from which growth is `likely`: the floor over the ceiling. The first that fits counts.

/// A run of the version already died that way, or growth was steady for days.
pub const AFTER_DEATH: f64 = 0.4;
/// Days of steady growth.
pub const SLOW_DAYS: f64 = 5.0;
/// Share of the ceiling that steady days must have gained.
pub const SLOW_GAINED: f64 = 0.25;
/// V8's heap limit is not known, and the growth was straight for longer than it takes to fill a cache.
pub const PERHAPS_V8: f64 = 0.52;
/// For how many hours.
pub const PERHAPS_V8_HOURS: f64 = 9.5;
/// Where a process dies whose V8 limit nobody set, as a share of the container's limit.
pub const V8_DEFAULT: f64 = 0.58;
/// The run is older than a day.
pub const GROWN_UP: f64 = 0.6;
/// From when on, hours.
pub const GROWN_UP_HOURS: f64 = 24.0;
/// Growth began late in the run and has lasted no longer than a nightly job.
pub const LATE: f64 = 0.85;
/// The same while more is worked than before.
pub const LATE_AND_BUSY: f64 = 0.92;
/// How long a nightly job lasts, hours.
pub const JOB_HOURS: f64 = 4.0;
/// It began late and has lasted longer.
pub const LATE_AND_LONG: f64 = 0.7;
/// A run's first hours: jobs and caches fill within them.
pub const NEW: f64 = 0.75;
/// How many hours these are.
pub const NEW_HOURS: f64 = 3.0;
/// The load is not known, before a whole day was seen.
pub const BLIND: f64 = 0.69;
/// Otherwise: ramps that level off mostly do below it.
pub const YOUNG: f64 = 0.67;
/// Until when a run is young, hours.
pub const YOUNG_HOURS: f64 = 30.0;

// What raises it.

/// In a young run whose V8 may grow a large heap: it collects such a heap late.
pub const LAZY: f64 = 0.85;
/// Which heap limit, bytes.
pub const LARGE_HEAP: u64 = 1 << 30;
/// In a young run that gained little of the ceiling: days of traffic do that.
pub const SWINGING: f64 = 0.8;
/// Which share of the ceiling.
pub const LITTLE: f64 = 0.35;
/// Where a few steps hold most of the growth: what comes next is anyone's guess.
pub const STAIRCASE: f64 = 0.8;
/// How many steps are few.
pub const FEW_STEPS: usize = 5;
/// Which share of the growth is most of it.
pub const MOST_OF_GROWTH: f64 = 0.7;

// The sawtooth: which ended runs confirm a leak.

/// Runs alike that died at a ceiling.
pub const DEATHS: usize = 2;
/// Runs alike that were restarted before a ceiling.
pub const MASKED: usize = 3;
/// Runs alike that climbed in bursts.
pub const BURSTS: usize = 3;
/// Peak over ceiling from which a run ended at it.
pub const AT_CEILING: f64 = 0.85;
/// Two runs rose alike: factor between slopes.
pub const ALIKE_SLOPE: f64 = 3.0;
/// Two runs rose alike: factor between peaks.
pub const ALIKE_PEAK: f64 = 1.3;
/// Two runs rose alike: correlation of their profiles.
pub const ALIKE_PROFILE: f64 = 0.85;
/// Two runs ended at one level: factor between peaks.
pub const SAME_LEVEL: f64 = 1.06;
/// Kills from which they recur.
pub const KILLS: u32 = 3;
/// Hours after which a kill is not counted together with the one before.
pub const KILLS_APART_HOURS: f64 = 168.0;
