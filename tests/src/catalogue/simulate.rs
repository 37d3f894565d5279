//! Plays a container's life: reads its spec, produces the rows a sampler would have written and when it really died.

use observer_core::exit::Cause;

use super::{
    rng::Rng,
    spec::{Bounded, Leak, Spec},
};

const HOUR: f64 = 3_600.0;
const DAY: f64 = 86_400.0;

/// One sample.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// When, seconds from the series' beginning.
    pub t: f64,
    /// Anonymous memory, bytes.
    pub anon: f64,
    /// Page cache, bytes.
    pub file: f64,
    /// The container's limit, bytes.
    pub limit: f64,
    /// CPU in use, cores.
    pub cpu: Option<f64>,
    /// Which run.
    pub run: u64,
    /// Why it ended, on a run's last row.
    pub end: Option<Cause>,
    /// Which version.
    pub version: u32,
}

/// A generated series and the truth about it.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it was played from.
    pub spec: Spec,
    /// What a sampler would have written.
    pub rows: Vec<Row>,
    /// Start and end of each run that died at a ceiling, seconds.
    pub deaths: Vec<(f64, f64)>,
    /// When the first run began to leak.
    pub began: f64,
    /// V8's limit as reported, bytes.
    pub heap_limit: Option<f64>,
    /// When a ramp levelled off, seconds; where there is one.
    pub levelled: Option<f64>,
}

/// The state of a run.
struct Life {
    started: f64,
    leaked: f64,
    rate: f64,
    onset: f64,
    phase: f64,
    tooth_height: f64,
    tooth_period: f64,
    walk: f64,
    stairs: f64,
    lagged: f64,
    ends: Option<(f64, Cause)>,
}

/// Plays `spec`.
pub fn play(spec: &Spec) -> Series {
    let mut rng = Rng::new(spec.seed ^ 0x5eed_0f11_fe00 ^ spec.limit.to_bits());
    let r = &mut rng;
    let mut series = Series {
        spec: spec.clone(),
        rows: Vec::with_capacity((spec.days * DAY / spec.interval) as usize + 1),
        deaths: Vec::new(),
        began: spec.onset,
        heap_limit: None,
        levelled: match spec.bounded {
            Bounded::Ramp(_, seconds) => Some(seconds),
            _ => None,
        },
    };
    let horizon = spec.days * DAY;
    let dt = spec.interval;
    let (mut t, mut run, mut version) = (0.0, 0u64, 0u32);
    let (mut noise, mut step_level, mut limit) = (0.0, 1.0, spec.limit);
    let mut cache = 0.0f64;
    let cores = r.log_between(0.02, 1.5);
    series.heap_limit = spec.v8.filter(|_| spec.v8_known).map(|share| share * limit * 0.93);
    let keep = (-dt / spec.noise_tau).exp();
    let mut limits = spec.limits.clone();
    limits.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut life = begin(spec, run, t, horizon, r);
    while t < horizon {
        t += dt;
        while let Some((at, factor)) = limits.first().copied() {
            if at > t {
                break;
            }
            // A container cannot be given less than it uses.
            limit = (limit * factor).max(series.rows.last().map_or(0.0, |row| row.anon * 1.2));
            limits.remove(0);
        }
        if spec.traffic.steps > 0.0 && r.chance(dt / spec.traffic.steps) {
            step_level = r.between(0.4, 1.8);
        }
        let load = traffic(spec, t) * step_level;
        let age = t - life.started;
        life.lagged += (load - life.lagged) * (dt / (dt + spec.traffic.lag));
        leak(spec, &mut life, age, load, dt, limit, r);
        let ceiling = spec.v8.map_or(limit, |share| (share * spec.limit).min(limit));
        noise = keep * noise + (1.0 - keep * keep).sqrt() * r.normal() * spec.noise;
        let started = 1.0 - spec.start * (-age / spec.start_tau).exp();
        let bounded = bounded(spec, &mut life, age, t, dt, r);
        let held = spec.base * started + bounded + spec.traffic.memory * life.lagged;
        let garbage = tooth(spec, &mut life, r);
        let anon_with = |garbage: f64| {
            let level = (held + garbage) * spec.limit + life.leaked;
            (level + noise * if spec.noise_of_level { level } else { spec.limit }).max(1e6)
        };
        let mut anon = anon_with(garbage);
        // V8 gives up only what it holds: before that it collects.
        if ceiling < limit && anon >= ceiling && !spec.leaks() {
            anon = anon_with(0.0);
            life.phase = 0.0;
        }
        let recycled = spec
            .ends
            .recycled
            .filter(|(at, _)| life.leaked + spec.base * spec.limit > at * ceiling);
        if let Some((_, gives)) = recycled {
            // Some recycle at once, some at times not at all, so that the container dies.
            if r.chance(0.02) {
                life.leaked *= 1.0 - gives;
            }
        }
        cache = if spec.cache {
            (cache + dt / 30_000.0 * limit).min((limit - anon).max(0.0))
        } else {
            0.03 * spec.limit
        };
        let spiked = spec.ends.spikes.is_some_and(|mean| r.chance(dt / mean));
        let died = anon >= ceiling || spiked;
        let scheduled = life.ends.filter(|(at, _)| t >= *at);
        let cause = if died && (anon >= limit || spiked) {
            Some(Cause::KernelOom)
        } else if died {
            Some(Cause::V8HeapOom)
        } else {
            scheduled.map(|(_, cause)| cause)
        };
        let unseen = spec.gaps.iter().any(|(from, to)| t >= *from && t < *to)
            || (cause.is_none() && spec.missing > 0.0 && r.chance(spec.missing));
        let reported = cause.filter(|_| spec.withheld.ends == 0.0 || !r.chance(spec.withheld.ends));
        let topped = cause.is_some() && spec.withheld.top;
        if topped && let Some(last) = series.rows.last_mut().filter(|row| row.run == run) {
            last.end = reported;
        } else if !unseen && t >= spec.withheld.beginning {
            let cpu = (load * cores * (1.0 + spec.traffic.noise * r.normal())).max(0.0);
            series.rows.push(Row {
                t: (t * 1_000.0).round() / 1_000.0,
                anon: if spiked && r.chance(0.3) {
                    anon.max(0.9 * limit)
                } else {
                    anon.min(ceiling)
                },
                file: cache,
                limit,
                cpu: spec.traffic.reported.then_some(cpu),
                run,
                end: reported,
                version,
            });
        }
        if let Some(cause) = cause {
            if died && !spiked {
                series.deaths.push((life.started, t));
            }
            run += 1;
            version += u32::from(cause == Cause::Rollout);
            t += match spec.ends.job {
                Some((_, pause)) => pause * r.between(0.5, 1.5),
                None if died || cause == Cause::ErrorExit => r.between(2.0, 300.0),
                None => r.between(2.0, 40.0),
            };
            if spec.ends.scaled.is_some() {
                t += r.between(0.0, 4.0) * HOUR;
            }
            life = begin(spec, run, t, horizon, r);
            if spec.cache {
                cache *= 0.5;
            }
        }
    }
    series
}

fn begin(spec: &Spec, run: u64, t: f64, horizon: f64, r: &mut Rng) -> Life {
    let ends = &spec.ends;
    let soon = |mean: f64, r: &mut Rng| t + mean * r.exponential().max(0.05);
    let night = ends.nightly.map(|hour| {
        let today = (t / DAY).floor() * DAY + hour * HOUR;
        let next = if today > t + 60.0 { today } else { today + DAY };
        (next + r.between(0.0, 600.0), Cause::Terminated)
    });
    let planned = [
        night,
        ends.rollouts.map(|mean| (soon(mean, r), Cause::Rollout)),
        ends.crashes
            .map(|mean| (t + mean * r.between(0.5, 1.5), Cause::ErrorExit)),
        ends.job
            .map(|(life, _)| (t + life * r.between(0.8, 1.2), Cause::Completed)),
        ends.scaled.map(|mean| (soon(mean, r), Cause::Terminated)),
    ];
    let first = planned.into_iter().flatten().min_by(|a, b| a.0.total_cmp(&b.0));
    let spread = 1.0 + spec.rate_spread * r.normal().clamp(-2.0, 2.0);
    Life {
        started: t,
        leaked: 0.0,
        rate: spread.max(0.3),
        onset: if run == 0 || spec.onset_each {
            spec.onset * if run == 0 { 1.0 } else { r.between(0.3, 1.0) }
        } else {
            0.0
        },
        phase: r.unit(),
        tooth_height: 1.0,
        tooth_period: 1.0,
        walk: 0.0,
        stairs: 0.0,
        lagged: traffic(spec, t),
        ends: first.filter(|(at, _)| *at < horizon),
    }
}

fn traffic(spec: &Spec, t: f64) -> f64 {
    let hours = t / HOUR + spec.traffic.phase;
    let turn = std::f64::consts::TAU;
    let daily = spec.traffic.daily * (hours / 24.0 * turn).sin();
    let weekly = spec.traffic.weekly * (hours / 168.0 * turn).sin();
    ((1.0 + daily) * (1.0 + weekly) * (1.0 + spec.traffic.growth * t / DAY)).max(0.02)
}

/// Lets the run leak for `dt`.
fn leak(spec: &Spec, life: &mut Life, age: f64, load: f64, dt: f64, limit: f64, r: &mut Rng) {
    if age < life.onset {
        return;
    }
    let whole = (1.0 - spec.base).max(0.1) * spec.v8.filter(|_| spec.leaks()).unwrap_or(1.0) * spec.limit;
    life.leaked += match spec.leak {
        Leak::None => 0.0,
        Leak::Linear(cycle) => whole / cycle * dt * life.rate,
        Leak::Load(cycle) => whole / cycle * dt * life.rate * load,
        Leak::Exponential(cycle, folds) => {
            let passed = (age - life.onset) * life.rate / cycle;
            let total = folds.exp() - 1.0;
            whole * (folds * passed).exp() / total * folds * dt / cycle * life.rate
        }
        Leak::Bursts(cycle, bursts) => {
            if r.chance(bursts / cycle * dt * life.rate) {
                whole / bursts * r.exponential()
            } else {
                0.0
            }
        }
    };
    life.leaked = life.leaked.min(1.2 * limit);
}

fn bounded(spec: &Spec, life: &mut Life, age: f64, t: f64, dt: f64, r: &mut Rng) -> f64 {
    match spec.bounded {
        Bounded::None => 0.0,
        Bounded::Fill(share, tau) => share * (1.0 - (-age / tau).exp()),
        Bounded::Ramp(share, seconds) => share * (age / seconds).min(1.0),
        Bounded::Logarithm(share, tau) => share * (1.0 + age / tau).ln(),
        Bounded::Stairs(share, steps, apart) => {
            if life.stairs < f64::from(steps) && r.chance(dt / apart) {
                life.stairs += 1.0;
            }
            share * life.stairs
        }
        Bounded::Swing(share, period) => {
            share * 0.5 * (1.0 - ((age / period + life.phase) * std::f64::consts::TAU).cos())
        }
        Bounded::Walk(sigma, bound) => {
            life.walk += sigma * (dt / HOUR).sqrt() * r.normal();
            // Reflected at both bounds.
            life.walk = life.walk.abs();
            if life.walk > bound {
                life.walk = 2.0 * bound - life.walk;
            }
            life.walk
        }
        Bounded::Nightly(share, seconds) => {
            let into = (t + spec.traffic.phase * HOUR).rem_euclid(DAY);
            if into < seconds {
                share * (into / seconds * 1.5).min(1.0)
            } else {
                0.0
            }
        }
    }
}

fn tooth(spec: &Spec, life: &mut Life, r: &mut Rng) -> f64 {
    let Some(teeth) = spec.teeth else { return 0.0 };
    let period = teeth.period * life.tooth_period;
    life.phase += spec.interval / period;
    if life.phase >= 1.0 {
        life.phase -= life.phase.floor();
        life.tooth_height = 1.0 + teeth.jitter * r.between(-1.0, 1.0) * 0.5;
        life.tooth_period = 1.0 + teeth.jitter * r.between(-1.0, 1.0);
    }
    teeth.height * life.tooth_height * life.phase
}
