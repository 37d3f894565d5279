//! Judges a series with a rule: reads its rows as they would come, produces what was said and when.

use observer_core::{
    detect::{Ceilings, DetectConfig, Point, RunEnd, SlotDetector, State, Verdict, growth::ceiling::v8_ceiling},
    finding::{Ceiling, CeilingKind},
    identity::Version,
    time::{BootTime, SECOND},
};

use observer_tests::catalogue::simulate::Series;

/// What a rule said: when, and the time to the ceiling (p10, p50, p90) it foretold, seconds.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) t: f64,
    pub(crate) state: State,
    pub(crate) foretold: Option<(f64, f64, f64)>,
}

/// A point of a series, as a detector takes it.
pub(crate) fn at(t: f64) -> BootTime {
    BootTime(((t + 1_000.0) * SECOND as f64) as u64)
}

/// Runs our detector over a series: what it said of leaks, and how often of kills that recur.
pub(crate) fn ours(series: &Series, mut hear: impl FnMut(&Verdict)) -> (Vec<Statement>, usize) {
    let mut detector = SlotDetector::new(DetectConfig {
        time_scale: DetectConfig::scale_for_interval(series.spec.interval),
        job: matches!(series.spec.owner, "Job" | "CronJob"),
        host_memory: None,
    });
    let mut said = Vec::new();
    let mut recurring = 0;
    let mut cpu_ns = 0.0;
    let mut before: Option<(u64, f64)> = None;
    let mut take = |verdict: Option<Verdict>| {
        if let Some(verdict) = verdict {
            hear(&verdict);
            said.push(Statement {
                t: verdict.at.0 as f64 / SECOND as f64 - 1_000.0,
                state: verdict.state,
                foretold: verdict.time_to_ceiling.map(|f| (f.p10, f.p50, f.p90)),
            });
        }
    };
    for row in &series.rows {
        let new_run = before.is_none_or(|(run, _)| run != row.run);
        if new_run {
            if detector.current_run().is_some() {
                take(detector.end_run(&RunEnd::new(
                    at(before.map_or(row.t, |b| b.1)),
                    observer_core::exit::Cause::Unknown,
                )));
            }
            let version = series.spec.versions.then(|| Version(format!("v{}", row.version)));
            take(detector.begin_run(row.run, at(row.t), version.as_ref()));
        } else if let (Some(cpu), Some((_, t))) = (row.cpu, before) {
            cpu_ns += cpu * (row.t - t) * 1e9;
        }
        before = Some((row.run, row.t));
        let point = Point {
            at: at(row.t),
            trend: row.anon as u64,
            file: row.file as u64,
            cpu_ns: row.cpu.map(|_| cpu_ns as u64),
            ceilings: Ceilings {
                cgroup: Some(Ceiling {
                    bytes: row.limit as u64,
                    kind: CeilingKind::Cgroup,
                }),
                v8: series.heap_limit.map(|bytes| v8_ceiling(bytes as u64)),
            },
            heap_limit: series.heap_limit.map(|bytes| bytes as u64),
            ..Point::default()
        };
        take(detector.observe(&point));
        if let Some(cause) = row.end {
            take(detector.end_run(&RunEnd::new(at(row.t), cause)));
            recurring += usize::from(detector.recurring().is_some());
        }
    }
    (said, recurring)
}
