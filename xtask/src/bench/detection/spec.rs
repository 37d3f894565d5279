//! What a generated container does: the vocabulary of which every kind of the catalogue is a choice of values.
//!
//! Levels are shares of the limit, times are seconds.

/// How it leaks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Leak {
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
pub(crate) enum Bounded {
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
pub(crate) struct Teeth {
    /// Share of the limit.
    pub(crate) height: f64,
    /// Seconds from one to the next.
    pub(crate) period: f64,
    /// How much both vary, 0 to 1.
    pub(crate) jitter: f64,
}

/// Its traffic, 1 on average.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Traffic {
    /// Amplitude over a day and over a week.
    pub(crate) daily: f64,
    pub(crate) weekly: f64,
    /// Hour of the day at which the series begins.
    pub(crate) phase: f64,
    /// Share by which it grows a day.
    pub(crate) growth: f64,
    /// It jumps to another level about so often, seconds; 0 never.
    pub(crate) steps: f64,
    /// Share of the limit that follows the traffic, and how late, seconds.
    pub(crate) memory: f64,
    pub(crate) lag: f64,
    /// Relative noise of the CPU reading.
    pub(crate) noise: f64,
    /// Whether the CPU is reported at all.
    pub(crate) reported: bool,
}

/// What ends its runs, beside reaching the ceiling.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ends {
    /// Restarted each day at this hour of the series.
    pub(crate) nightly: Option<f64>,
    /// Rollouts about so far apart, seconds.
    pub(crate) rollouts: Option<f64>,
    /// Crashes (exit code not 0) about so far apart.
    pub(crate) crashes: Option<f64>,
    /// Completes after about so long, and starts again after about so long: a job.
    pub(crate) job: Option<(f64, f64)>,
    /// Scaled in and out again about so far apart.
    pub(crate) scaled: Option<f64>,
    /// A single request takes all memory about so far apart.
    pub(crate) spikes: Option<f64>,
    /// A worker inside is recycled at this share of the ceiling, giving back this share of what leaked.
    pub(crate) recycled: Option<(f64, f64)>,
}

/// What of a series is withheld, or changed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Withheld {
    /// Share of ends that carry no cause.
    pub(crate) ends: f64,
    /// The last row of a run is the sample before its death.
    pub(crate) top: bool,
    /// Seconds cut off at the beginning.
    pub(crate) beginning: f64,
}

/// A container's life.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Spec {
    /// Catalogue's name: `L1` to `N22`.
    pub(crate) kind: &'static str,
    pub(crate) seed: u64,
    pub(crate) days: f64,
    pub(crate) interval: f64,
    pub(crate) limit: f64,
    pub(crate) base: f64,
    /// Start-up: share by which the level is below base at first, and its time constant.
    pub(crate) start: f64,
    pub(crate) start_tau: f64,
    /// Standard deviation of the noise, its time constant, and whether it is a share of the level or of the limit.
    pub(crate) noise: f64,
    pub(crate) noise_tau: f64,
    pub(crate) noise_of_level: bool,
    pub(crate) leak: Leak,
    /// Seconds into the first run at which it begins to leak.
    pub(crate) onset: f64,
    /// The onset comes again in each run.
    pub(crate) onset_each: bool,
    /// Relative spread of the rate from run to run.
    pub(crate) rate_spread: f64,
    pub(crate) bounded: Bounded,
    pub(crate) teeth: Option<Teeth>,
    /// V8 aborts at this share of the limit.
    pub(crate) v8: Option<f64>,
    /// V8's limit is reported.
    pub(crate) v8_known: bool,
    /// At these times the limit is multiplied.
    pub(crate) limits: Vec<(f64, f64)>,
    /// Page cache: fills the rest of the limit.
    pub(crate) cache: bool,
    pub(crate) traffic: Traffic,
    pub(crate) ends: Ends,
    /// Stretches without samples.
    pub(crate) gaps: Vec<(f64, f64)>,
    /// Share of samples missing at random.
    pub(crate) missing: f64,
    /// The owner's kind.
    pub(crate) owner: &'static str,
    /// Versions are reported.
    pub(crate) versions: bool,
    /// What is withheld.
    pub(crate) withheld: Withheld,
}

impl Spec {
    pub(crate) fn leaks(&self) -> bool {
        self.kind.starts_with('L')
    }

    /// Leaks at a rate that neither load nor chance changes.
    pub(crate) const fn steady(&self) -> bool {
        matches!(self.leak, Leak::Linear(_)) && self.traffic.memory == 0.0
    }
}
