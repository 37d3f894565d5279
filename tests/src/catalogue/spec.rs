//! What a generated container does: the vocabulary of which every kind of the catalogue is a choice of values.
//!
//! Levels are shares of the limit, times are seconds.

/// How it leaks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Leak {
    /// Not at all.
    #[default]
    None,
    /// At a constant rate: from base to ceiling in so long.
    Linear(f64),
    /// In proportion to the load: the same at mean load.
    Load(f64),
    /// Exponentially: the same, over so many e-foldings.
    Exponential(f64, f64),
    /// In Poisson bursts: the same, in about so many bursts.
    Bursts(f64, f64),
}

/// How a bounded part of its memory behaves beside its base.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Bounded {
    /// There is none.
    #[default]
    None,
    /// Fills exponentially to a share, with this time constant.
    Fill(f64, f64),
    /// Fills linearly to a share in so long, then stays.
    Ramp(f64, f64),
    /// Grows as the logarithm of time by this share per e-folding, from this time constant.
    Logarithm(f64, f64),
    /// Steps up by a share, so many times in all, so far apart on average.
    Stairs(f64, u32, f64),
    /// Swings over a share with this period.
    Swing(f64, f64),
    /// Wanders by this share per square root of an hour, up to a share.
    Walk(f64, f64),
    /// Each night for so long, up to a share.
    Nightly(f64, f64),
}

/// How its garbage collection shows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Teeth {
    /// Share of the limit.
    pub height: f64,
    /// Seconds from one to the next.
    pub period: f64,
    /// How much both vary, 0 to 1.
    pub jitter: f64,
}

/// Its traffic, 1 on average.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Amplitude over a day.
    pub daily: f64,
    /// Amplitude over a week.
    pub weekly: f64,
    /// Hour of the day at which the series begins.
    pub phase: f64,
    /// Share by which it grows a day.
    pub growth: f64,
    /// It jumps to another level about so often, seconds; 0 never.
    pub steps: f64,
    /// Share of the limit that follows the traffic.
    pub memory: f64,
    /// How late it does, seconds.
    pub lag: f64,
    /// Relative noise of the CPU reading.
    pub noise: f64,
    /// Whether the CPU is reported at all.
    pub reported: bool,
}

/// What ends its runs, beside reaching the ceiling.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ends {
    /// Restarted each day at this hour of the series.
    pub nightly: Option<f64>,
    /// Rollouts about so far apart, seconds.
    pub rollouts: Option<f64>,
    /// Crashes (exit code not 0) about so far apart.
    pub crashes: Option<f64>,
    /// Completes after about so long, and starts again after about so long: a job.
    pub job: Option<(f64, f64)>,
    /// Scaled in and out again about so far apart.
    pub scaled: Option<f64>,
    /// A single request takes all memory about so far apart.
    pub spikes: Option<f64>,
    /// A worker inside is recycled at this share of the ceiling, giving back this share of what leaked.
    pub recycled: Option<(f64, f64)>,
}

/// What of a series is withheld, or changed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Withheld {
    /// Share of ends that carry no cause.
    pub ends: f64,
    /// The last row of a run is the sample before its death.
    pub top: bool,
    /// Seconds cut off at the beginning.
    pub beginning: f64,
}

/// A container's life.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spec {
    /// Catalogue's name: `L1` to `N24`.
    pub kind: &'static str,
    /// What its chance is drawn from.
    pub seed: u64,
    /// How long it is watched.
    pub days: f64,
    /// Seconds from one reading to the next.
    pub interval: f64,
    /// Its container's limit, bytes.
    pub limit: f64,
    /// What it holds when it does nothing.
    pub base: f64,
    /// Start-up: share by which the level is below base at first.
    pub start: f64,
    /// The time constant with which that is made up.
    pub start_tau: f64,
    /// Standard deviation of the noise.
    pub noise: f64,
    /// Its time constant.
    pub noise_tau: f64,
    /// Whether it is a share of the level, or of the limit.
    pub noise_of_level: bool,
    /// How it leaks.
    pub leak: Leak,
    /// Seconds into the first run at which it begins to leak.
    pub onset: f64,
    /// The onset comes again in each run.
    pub onset_each: bool,
    /// Relative spread of the rate from run to run.
    pub rate_spread: f64,
    /// How the bounded part behaves.
    pub bounded: Bounded,
    /// How its garbage collection shows.
    pub teeth: Option<Teeth>,
    /// V8 aborts at this share of the limit.
    pub v8: Option<f64>,
    /// V8's limit is reported.
    pub v8_known: bool,
    /// At these times the limit is multiplied.
    pub limits: Vec<(f64, f64)>,
    /// Page cache: fills the rest of the limit.
    pub cache: bool,
    /// Its traffic.
    pub traffic: Traffic,
    /// What ends its runs.
    pub ends: Ends,
    /// Stretches without samples.
    pub gaps: Vec<(f64, f64)>,
    /// Share of samples missing at random.
    pub missing: f64,
    /// The owner's kind.
    pub owner: &'static str,
    /// Versions are reported.
    pub versions: bool,
    /// What is withheld.
    pub withheld: Withheld,
}

impl Spec {
    /// Whether it leaks.
    pub fn leaks(&self) -> bool {
        self.kind.starts_with('L')
    }

    /// Leaks at a rate that neither load nor chance changes.
    pub const fn steady(&self) -> bool {
        matches!(self.leak, Leak::Linear(_)) && self.traffic.memory == 0.0
    }
}
