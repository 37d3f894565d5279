//! The catalogue: reads a kind and a seed, produces what a container of that kind does.
//!
//! 20 kinds that leak and 24 that do not, each with as much variety as its description allows.

use super::{
    rng::Rng,
    spec::{Bounded, Leak, Spec, Teeth, Traffic},
};

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3_600.0;
const DAY: f64 = 86_400.0;
const MB: f64 = 1_048_576.0;

/// All kinds.
pub const KINDS: [&str; 44] = [
    "L1", "L2", "L3", "L4", "L5", "L6", "L7", "L8", "L9", "L10", "L11", "L12", "L13", "L14", "L15", "L16", "L17",
    "L18", "L19", "L20", "N1", "N2", "N3", "N4", "N5", "N6", "N7", "N8", "N9", "N10", "N11", "N12", "N13", "N14",
    "N15", "N16", "N17", "N18", "N19", "N20", "N21", "N22", "N23", "N24",
];

/// What a kind is, in words.
pub fn describe(kind: &str) -> &'static str {
    match kind {
        "L1" => "the incident: 64 to 512 MB in 6 h",
        "L2" => "48-84 h to the ceiling",
        "L3" => "9-13 days to the ceiling",
        "L4" => "60-150 min to the ceiling",
        "L5" => "proportional to a daily load, 18-40 h",
        "L6" => "exponential, 6-20 h",
        "L7" => "in Poisson bursts",
        "L8" => "under garbage-collection teeth",
        "L9" => "V8 aborts at 55-70 % of the limit",
        "L10" => "begins after 2-5 days",
        "L11" => "the limit is raised in mid-leak",
        "L12" => "masked by nightly restarts",
        "L13" => "page cache fills the rest",
        "L14" => "steady, beside memory that follows a daily load",
        "L15" => "a worker is recycled inside the container",
        "L16" => "replicas at different speeds",
        "L17" => "samples missing, the agent restarted",
        "L18" => "5 MB/h under 4 GB",
        "L19" => "3 to 10 bursts fill it",
        "L20" => "under teeth of 15-30 %, 4 to 12 a cycle",
        "N1" => "flat",
        "N2" => "garbage-collection teeth of 10-50 %",
        "N3" => "exponential cache fill",
        "N4" => "linear fill, then a plateau",
        "N5" => "daily load",
        "N6" => "weekly load",
        "N7" => "rollouts",
        "N8" => "page cache to the limit",
        "N9" => "limit changes",
        "N10" => "short jobs",
        "N11" => "spikes that are OOM-killed",
        "N12" => "crash loops",
        "N13" => "traffic steps",
        "N14" => "staircase",
        "N15" => "logarithmic fragmentation",
        "N16" => "a hog that swings",
        "N17" => "bounded random walk",
        "N18" => "nightly ETL",
        "N19" => "nightly restarts with daily load",
        "N20" => "traffic growing 0.6 % a day",
        "N21" => "scaled in and out",
        "N22" => "a large V8 heap, collected late",
        "N23" => "V8's limit far above the container's",
        "N24" => "close to the limit, OOM-killed by bursts",
        _ => "",
    }
}

/// A container of `kind`; the same for the same seed.
pub fn spec(kind: &'static str, seed: u64) -> Spec {
    let salt = kind
        .bytes()
        .fold(0u64, |salt, byte| salt.wrapping_mul(131).wrapping_add(u64::from(byte)));
    let mut rng = Rng::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ salt);
    let r = &mut rng;
    let mut spec = plain(kind, seed, r);
    match kind.as_bytes().first() {
        Some(b'L') => leaking(kind, &mut spec, r),
        _ => clean(kind, &mut spec, r),
    }
    spec
}

/// What every container has.
fn plain(kind: &'static str, seed: u64, r: &mut Rng) -> Spec {
    let daily = if r.chance(0.4) { r.between(0.1, 0.5) } else { 0.0 };
    Spec {
        kind,
        seed,
        days: 14.0,
        interval: r.pick(&[10.0, 30.0, 30.0, 60.0, 60.0, 60.0]).unwrap_or(60.0),
        limit: r.log_between(256.0, 2_048.0) * MB,
        base: r.between(0.08, 0.25),
        start: r.between(0.1, 0.6),
        start_tau: r.log_between(5.0, 120.0),
        noise: r.between(0.003, 0.012),
        noise_tau: r.log_between(10.0, 1_200.0),
        noise_of_level: r.chance(0.5),
        rate_spread: r.between(0.0, 0.2),
        traffic: Traffic {
            daily,
            phase: r.between(0.0, 24.0),
            noise: r.between(0.02, 0.2),
            reported: r.chance(0.85),
            ..Traffic::default()
        },
        // Young generation and small collections.
        teeth: r.chance(0.5).then(|| Teeth {
            height: r.between(0.005, 0.03),
            period: r.log_between(20.0, 300.0),
            jitter: 0.4,
        }),
        missing: if r.chance(0.3) { r.between(0.0, 0.02) } else { 0.0 },
        owner: r
            .pick(&["Deployment", "Deployment", "StatefulSet", "DaemonSet", ""])
            .unwrap_or(""),
        versions: r.chance(0.8),
        ..Spec::default()
    }
}

fn daily(r: &mut Rng, low: f64, high: f64) -> Traffic {
    Traffic {
        daily: r.between(low, high),
        phase: r.between(0.0, 24.0),
        noise: r.between(0.02, 0.15),
        reported: r.chance(0.9),
        ..Traffic::default()
    }
}

fn leaking(kind: &str, spec: &mut Spec, r: &mut Rng) {
    spec.leak = Leak::Linear(r.log_between(5.0, 72.0) * HOUR);
    match kind {
        "L1" => {
            spec.limit = 512.0 * MB;
            spec.base = 64.0 / 512.0;
            spec.leak = Leak::Linear(6.0 * HOUR);
            spec.rate_spread = r.between(0.0, 0.05);
            spec.days = 4.0;
        }
        "L2" => spec.leak = Leak::Linear(r.between(48.0, 84.0) * HOUR),
        "L3" => spec.leak = Leak::Linear(r.between(9.0, 13.0) * DAY),
        "L4" => {
            spec.leak = Leak::Linear(r.between(60.0, 150.0) * MINUTE);
            spec.interval = r.pick(&[10.0, 30.0]).unwrap_or(10.0);
            spec.days = 2.0;
        }
        "L5" => {
            spec.leak = Leak::Load(r.between(18.0, 40.0) * HOUR);
            spec.traffic = daily(r, 0.4, 0.6);
        }
        "L6" => spec.leak = Leak::Exponential(r.between(6.0, 20.0) * HOUR, r.between(1.5, 4.0)),
        "L7" => spec.leak = Leak::Bursts(r.log_between(8.0, 72.0) * HOUR, r.log_between(30.0, 200.0)),
        "L8" => {
            spec.teeth = Some(Teeth {
                height: r.between(0.08, 0.2),
                period: r.between(3.0, 25.0) * MINUTE,
                jitter: r.between(0.0, 0.4),
            });
        }
        "L9" => {
            spec.v8 = Some(r.between(0.55, 0.70));
            spec.v8_known = r.chance(0.6);
        }
        "L10" => {
            spec.onset = r.between(2.0, 5.0) * DAY;
            spec.onset_each = r.chance(0.3);
            spec.leak = Leak::Linear(r.log_between(6.0, 60.0) * HOUR);
        }
        "L11" => {
            let cycle = r.between(10.0, 60.0) * HOUR;
            spec.leak = Leak::Linear(cycle);
            spec.limits = vec![(cycle * r.between(0.3, 0.9), r.between(1.3, 2.0))];
        }
        "L12" => {
            spec.leak = Leak::Linear(r.between(30.0, 72.0) * HOUR);
            spec.ends.nightly = Some(r.between(0.0, 24.0));
        }
        "L13" => spec.cache = true,
        "L14" => {
            spec.leak = Leak::Linear(r.log_between(12.0, 72.0) * HOUR);
            spec.traffic = Traffic {
                memory: r.between(0.03, 0.12),
                lag: r.log_between(60.0, 3_600.0),
                ..daily(r, 0.3, 0.6)
            };
        }
        "L15" => {
            spec.leak = Leak::Linear(r.log_between(6.0, 48.0) * HOUR);
            spec.ends.recycled = Some((r.between(0.6, 0.9), r.between(0.2, 0.7)));
        }
        "L16" => spec.leak = Leak::Linear(r.log_between(3.0, 120.0) * HOUR),
        "L17" => {
            spec.missing = r.between(0.02, 0.2);
            for _ in 0..4 {
                let from = r.between(0.0, 13.0) * DAY;
                spec.gaps.push((from, from + r.log_between(5.0 * MINUTE, 4.0 * HOUR)));
            }
        }
        "L18" => {
            spec.limit = 4_096.0 * MB;
            let hours = (1.0 - spec.base) * 4_096.0 / 5.0;
            spec.leak = Leak::Linear(hours * HOUR);
        }
        "L19" => spec.leak = Leak::Bursts(r.log_between(6.0, 48.0) * HOUR, r.log_between(3.0, 10.0)),
        "L20" => {
            let cycle = r.log_between(5.0, 48.0) * HOUR;
            spec.leak = Leak::Linear(cycle);
            spec.teeth = Some(Teeth {
                height: r.between(0.15, 0.3),
                period: cycle / r.between(4.0, 12.0),
                jitter: r.between(0.0, 0.3),
            });
        }
        _ => {}
    }
}

fn clean(kind: &str, spec: &mut Spec, r: &mut Rng) {
    match kind {
        "N2" => {
            spec.teeth = Some(Teeth {
                height: r.between(0.1, 0.5),
                period: r.log_between(2.0, 240.0) * MINUTE,
                jitter: r.between(0.0, 0.4),
            });
        }
        "N3" => {
            spec.bounded = Bounded::Fill(r.between(0.15, 0.55), r.log_between(10.0, 480.0) * MINUTE);
            spec.ends.rollouts = r.chance(0.3).then(|| r.between(1.0, 5.0) * DAY);
        }
        "N4" => spec.bounded = Bounded::Ramp(r.between(0.2, 0.6), r.log_between(30.0, 720.0) * MINUTE),
        "N5" => {
            spec.traffic = Traffic {
                memory: r.between(0.1, 0.35),
                lag: r.log_between(30.0, 7_200.0),
                ..daily(r, 0.3, 0.8)
            };
        }
        "N6" => {
            spec.traffic = Traffic {
                memory: r.between(0.1, 0.35),
                lag: r.log_between(30.0, 7_200.0),
                weekly: r.between(0.2, 0.5),
                ..daily(r, 0.2, 0.5)
            };
        }
        "N7" => {
            spec.ends.rollouts = Some(r.log_between(2.0, 60.0) * HOUR);
            if r.chance(0.5) {
                spec.bounded = Bounded::Fill(r.between(0.1, 0.4), r.log_between(10.0, 240.0) * MINUTE);
            }
        }
        "N8" => spec.cache = true,
        "N9" => {
            for _ in 0..3 {
                spec.limits.push((r.between(0.2, 13.0) * DAY, r.between(0.7, 1.6)));
            }
        }
        "N10" => {
            let life = r.log_between(2.0 * MINUTE, 3.0 * HOUR);
            spec.ends.job = Some((life, r.log_between(10.0 * MINUTE, 12.0 * HOUR)));
            spec.bounded = Bounded::Ramp(r.between(0.2, 0.65), life);
            spec.owner = r.pick(&["Job", "CronJob", "CronJob"]).unwrap_or("Job");
        }
        "N11" => {
            spec.base = r.between(0.15, 0.5);
            spec.ends.spikes = Some(r.log_between(3.0, 72.0) * HOUR);
        }
        "N12" => {
            spec.ends.crashes = Some(r.log_between(30.0, 40.0 * MINUTE));
            spec.days = 3.0;
            if r.chance(0.5) {
                spec.bounded = Bounded::Fill(r.between(0.1, 0.5), r.log_between(1.0, 30.0) * MINUTE);
            }
        }
        "N13" => {
            spec.traffic = Traffic {
                memory: r.between(0.1, 0.3),
                lag: r.log_between(60.0, 3_600.0),
                steps: r.log_between(6.0, 72.0) * HOUR,
                ..daily(r, 0.0, 0.3)
            };
        }
        "N14" => {
            spec.bounded = Bounded::Stairs(
                r.between(0.03, 0.1),
                3 + (r.next() % 5) as u32,
                r.log_between(1.0, 36.0) * HOUR,
            );
        }
        "N15" => spec.bounded = Bounded::Logarithm(r.between(0.02, 0.09), r.log_between(5.0, 120.0) * MINUTE),
        "N16" => spec.bounded = Bounded::Swing(r.between(0.2, 0.6), r.log_between(0.5, 48.0) * HOUR),
        "N17" => spec.bounded = Bounded::Walk(r.log_between(0.01, 0.06), r.between(0.3, 0.6)),
        "N18" => spec.bounded = Bounded::Nightly(r.between(0.2, 0.65), r.between(0.5, 3.0) * HOUR),
        "N19" => {
            spec.ends.nightly = Some(r.between(0.0, 24.0));
            spec.traffic = Traffic {
                memory: r.between(0.1, 0.35),
                lag: r.log_between(30.0, 7_200.0),
                ..daily(r, 0.3, 0.8)
            };
            if r.chance(0.4) {
                spec.bounded = Bounded::Fill(r.between(0.1, 0.3), r.log_between(10.0, 240.0) * MINUTE);
            }
        }
        "N20" => {
            spec.traffic = Traffic {
                memory: r.between(0.1, 0.4),
                lag: r.log_between(30.0, 3_600.0),
                growth: 0.006,
                ..daily(r, 0.0, 0.5)
            };
        }
        "N21" => {
            spec.ends.scaled = Some(r.log_between(1.0, 12.0) * HOUR);
            spec.traffic = Traffic {
                memory: r.between(0.1, 0.3),
                lag: r.log_between(30.0, 1_800.0),
                ..daily(r, 0.2, 0.6)
            };
        }
        "N22" => {
            spec.teeth = Some(Teeth {
                height: r.between(0.3, 0.6),
                period: r.log_between(1.0, 24.0) * HOUR,
                jitter: r.between(0.1, 0.4),
            });
            spec.v8 = Some(r.between(0.9, 1.5));
            spec.v8_known = r.chance(0.6);
        }
        "N23" => {
            // What lives is constant; what dies piles up until the kernel ends it, since V8 would collect only beyond the limit.
            spec.limit = r.log_between(192.0, 2_048.0) * MB;
            spec.base = r.between(0.32, 0.5);
            spec.leak = Leak::Linear(r.log_between(1.0, 48.0) * HOUR);
            spec.v8 = Some((4_300.0 * MB / spec.limit).max(2.0));
            spec.v8_known = true;
        }
        "N24" => {
            spec.base = r.between(0.7, 0.88);
            spec.ends.spikes = Some(r.log_between(2.0, 48.0) * HOUR);
        }
        _ => {}
    }
}
