//! The catalogue as somebody else may have drawn it: reads a container's spec, produces one with other sizes, sampling,
//! noise and gaps in what is reported. Verdicts that hold only for our own choices show here.

use super::{
    rng::Rng,
    spec::{Leak, Spec, Teeth, Withheld},
};

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3_600.0;
const MB: f64 = 1_048_576.0;

/// `spec`, as another author may have had it; the same for the same seed.
pub fn vary(mut spec: Spec, seed: u64) -> Spec {
    let mut rng = Rng::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x07e4_a171);
    let r = &mut rng;
    if !matches!(spec.kind, "L1" | "L18") {
        spec.limit = r.log_between(128.0, 8_192.0) * MB;
    }
    spec.interval = r.pick(&[5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 60.0]).unwrap_or(60.0);
    if spec.days > 7.0 && !matches!(spec.kind, "L3" | "L10" | "L18") {
        spec.days = r.pick(&[7.0, 10.0, 14.0]).unwrap_or(14.0);
    }
    spec.base = r.between(0.05, 0.3);
    spec.start_tau = r.log_between(1.0, 1_800.0);
    spec.noise = r.log_between(0.001, 0.015);
    // First-order autocorrelation of 0 to 0.99 from sample to sample.
    spec.noise_tau = -spec.interval / r.between(0.02, 0.99).ln();
    spec.traffic.reported = r.chance(0.6);
    spec.traffic.noise = r.between(0.0, 0.3);
    spec.versions = r.chance(0.5);
    if spec.teeth.is_none() && r.chance(0.5) {
        spec.teeth = Some(Teeth {
            height: r.between(0.02, 0.08),
            period: r.log_between(1.0, 40.0) * MINUTE,
            jitter: r.between(0.0, 0.6),
        });
    }
    spec.leak = match spec.leak {
        Leak::Exponential(cycle, _) => Leak::Exponential(cycle, (1.0 / spec.base).ln()),
        Leak::Bursts(cycle, bursts) => Leak::Bursts(cycle, bursts.min(r.log_between(20.0, 120.0))),
        other => other,
    };
    if spec.kind == "L9" {
        spec.v8_known = true;
    }
    if spec.kind == "N22" {
        spec.v8 = Some(r.between(0.95, 1.3));
        spec.v8_known = true;
    }
    spec.withheld = Withheld {
        ends: if r.chance(0.3) { r.between(0.3, 1.0) } else { 0.0 },
        top: r.chance(0.5),
        beginning: if r.chance(0.15) {
            r.log_between(0.2, 3.0) * HOUR
        } else {
            0.0
        },
    };
    spec
}
