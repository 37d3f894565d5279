//! A replica: reads what its memory does, produces the points its agent would send, by the real detector.

use observer_core::{
    detect::{Ceilings, DetectConfig, Pace, Point, SlotDetector, State},
    finding::{Ceiling, CeilingKind},
    time::{BootTime, SECOND},
};

/// Between two readings. The agent's default is 10 s; nothing here is faster than this.
const STEP: u64 = 120;
/// Between two points of a metric.
pub(crate) const EVERY: u64 = 300;
const MB: f64 = 1_048_576.0;

/// What a container does.
#[derive(Clone, Debug)]
pub(crate) struct Replica {
    pub(crate) version: &'static str,
    pub(crate) number: u64,
    /// Hours of the fleet's clock at which it starts and ends.
    pub(crate) lives: (f64, f64),
    /// MiB per hour that are never given back.
    pub(crate) leak: f64,
    /// MiB that a day of traffic moves.
    pub(crate) daily: f64,
    /// MiB that a cache fills, and the hours in which it does by two thirds.
    pub(crate) fills: (f64, f64),
    /// Standard deviation of its level, MiB, which is remembered for half an hour.
    pub(crate) noise: f64,
    /// Its agent restarts at this hour and has no store: it finds the run as it stands.
    pub(crate) agent_restarts: Option<f64>,
    /// Its node has no agent.
    pub(crate) unseen: bool,
    /// Seconds by which its node's clock is ahead.
    pub(crate) ahead: f64,
}

impl Replica {
    /// One of 512 MiB that does nothing but its work, for `hours`.
    pub(crate) fn healthy(version: &'static str, number: u64, hours: f64) -> Self {
        Self {
            version,
            number,
            lives: (0.0, hours),
            leak: 0.0,
            daily: 20.0,
            fills: (60.0, 0.5),
            noise: 5.0,
            agent_restarts: None,
            unseen: false,
            ahead: 0.0,
        }
    }
}

/// What its agent says of it at one time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reported {
    pub(crate) pace: Option<Pace>,
    pub(crate) state: State,
    /// Bytes.
    pub(crate) level: f64,
    pub(crate) time_to_ceiling_s: Option<f64>,
}

/// The limit of each.
pub(crate) const LIMIT: f64 = 512.0 * MB;

/// Plays a replica from hour 0 to `hours`; one entry each [`EVERY`] seconds, `None` while it does not live or is not seen.
pub(crate) fn play(replica: &Replica, hours: f64) -> Vec<Option<Reported>> {
    let mut random = fastrand::Rng::with_seed(replica.number.wrapping_mul(0x9e37_79b9) ^ replica.version.len() as u64);
    let mut normal = move || (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
    let (starts, ends) = replica.lives;
    let keep = (-(STEP as f64) / 1_800.0).exp();
    let mut wander = 0.0;
    let mut cpu_s = 0.0;
    let mut detector: Option<SlotDetector> = None;
    let mut reported = Vec::new();
    for second in (0..(hours * 3_600.0) as u64).step_by(STEP as usize) {
        let hour = second as f64 / 3_600.0;
        let lives = (starts..ends).contains(&hour);
        let mut level_now = 0.0;
        if lives {
            let age = hour - starts;
            let traffic = 1.0 + 0.5 * (hour / 24.0 * std::f64::consts::TAU).sin();
            wander = keep * wander + (1.0 - keep * keep).sqrt() * normal() * replica.noise;
            cpu_s += traffic * 0.2 * STEP as f64 * (1.0 + 0.05 * normal());
            let (share, tau) = replica.fills;
            let cache = share * (1.0 - (-age / tau).exp());
            let level = 100.0 + cache + replica.daily * traffic + replica.leak * age + wander;
            level_now = level * MB;
            let at = |second: u64| BootTime((second + 1_000) * SECOND);
            let restarts = replica.agent_restarts.is_some_and(|at| (hour - at).abs() < 1.0 / 60.0);
            if restarts {
                detector = None;
            }
            let detector = detector.get_or_insert_with(|| {
                let mut detector = SlotDetector::new(DetectConfig::default());
                // The agent knows when the run began, also where it came later.
                detector.begin_run(1, at((starts * 3_600.0) as u64), None);
                detector
            });
            detector.observe(&Point {
                at: at(second),
                trend: level_now as u64,
                cpu_ns: Some((cpu_s * 1e9) as u64),
                ceilings: Ceilings {
                    cgroup: Some(Ceiling {
                        bytes: LIMIT as u64,
                        kind: CeilingKind::Cgroup,
                    }),
                    v8: None,
                },
                ..Point::default()
            });
        }
        if reported.len() as u64 * EVERY <= second {
            let seen = detector.as_ref().filter(|_| lives && !replica.unseen);
            reported.push(seen.map(|detector| Reported {
                pace: detector.pace(),
                state: detector.state(),
                level: level_now,
                time_to_ceiling_s: detector.time_to_ceiling_s().filter(|s| *s < 3.2e9),
            }));
        }
    }
    reported
}
