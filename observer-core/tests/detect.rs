//! The detector over whole lives of slots: what is said, when, and what is never said.

mod slot;

use observer_core::{
    detect::{Ceilings, DetectConfig, MAX_BYTES, Point, RunEnd, SlotDetector, State},
    exit::Cause,
    finding::{Ceiling, CeilingKind},
    identity::Version,
    time::{BootTime, SECOND},
};

use slot::{MB, Slot};

fn each_second() -> DetectConfig {
    DetectConfig {
        time_scale: DetectConfig::scale_for_interval(1.0),
        ..DetectConfig::default()
    }
}

#[test]
fn the_incident_is_likely_hours_before_its_first_death_and_confirmed_at_its_second() {
    let mut slot = Slot::new(DetectConfig::default());
    let hours = 6.0 * 3_600.0;
    slot.run(
        "1",
        10.0,
        hours,
        512.0,
        |t| 64.0 + 448.0 * t / hours,
        Some(Cause::KernelOom),
    );
    let likely = slot
        .said
        .iter()
        .find(|verdict| verdict.state == State::Likely)
        .expect("likely");
    let at = likely.at.0 as f64 / 1e9 - 1_000.0;
    let forecast = likely.time_to_ceiling.expect("a forecast");
    assert!(
        hours - at >= 2.0 * 3_600.0,
        "said {:.2} h before the death",
        (hours - at) / 3_600.0
    );
    assert!(
        (forecast.p50 / (hours - at) - 1.0).abs() < 0.1,
        "{forecast:?} for {}",
        hours - at
    );
    slot.run(
        "1",
        10.0,
        hours,
        512.0,
        |t| 64.0 + 448.0 * t / hours,
        Some(Cause::KernelOom),
    );
    assert_eq!(slot.states(), [State::Suspected, State::Likely, State::Confirmed]);
    let confirmed = slot.said.last().expect("a verdict");
    assert_eq!(confirmed.runs.len(), 2);
    assert_eq!(confirmed.first_version, Some(Version("1".to_owned())));
    // The next version lives on: resolved, with both sides told.
    slot.run("2", 10.0, 30.0 * 3_600.0, 512.0, |_| 80.0, None);
    assert_eq!(slot.states().last(), Some(&State::Resolved));
    let comparison = slot
        .said
        .last()
        .and_then(|verdict| verdict.comparison.clone())
        .expect("both sides");
    assert!(comparison.before.peak as f64 > 500.0 * MB && (comparison.after.peak as f64) < 90.0 * MB);
}

#[test]
fn crashes_at_one_level_confirm_at_the_second_and_crashes_of_a_flat_service_do_not() {
    let hours = 8.0 * 3_600.0;
    let twice = |level: &dyn Fn(f64) -> f64| {
        let mut slot = Slot::new(DetectConfig::default());
        for _ in 0..2 {
            slot.run("1", 30.0, hours, 1_024.0, level, Some(Cause::Crash));
        }
        slot.states()
    };
    // V8 aborts at 58 % of the container's limit, and nobody said what it was.
    assert_eq!(twice(&|t| 100.0 + 494.0 * t / hours).last(), Some(&State::Confirmed));
    assert_eq!(twice(&|_| 300.0), []);
}

#[test]
fn a_level_beyond_v8s_limit_leads_to_the_containers() {
    let mut detector = SlotDetector::new(DetectConfig::default());
    detector.begin_run(1, BootTime(0), None);
    let mut kinds = Vec::new();
    for i in 0..720u64 {
        detector.observe(&Point {
            at: BootTime(i * 30 * SECOND),
            trend: ((64 + i * 448 / 720) as f64 * MB) as u64,
            ceilings: Ceilings {
                cgroup: Some(Ceiling {
                    bytes: (512.0 * MB) as u64,
                    kind: CeilingKind::Cgroup,
                }),
                v8: Some((299.0 * MB) as u64),
            },
            ..Point::default()
        });
        kinds.extend(detector.ceiling().map(|ceiling| ceiling.kind));
    }
    kinds.dedup();
    assert_eq!(kinds, [CeilingKind::V8Heap, CeilingKind::Cgroup]);
}

/// Exit 0 is the end of work, whether or not anybody said that it is a job.
#[test]
fn what_completes_each_time_is_not_likely() {
    let mut slot = Slot::new(DetectConfig::default());
    for _ in 0..30 {
        slot.run(
            "1",
            30.0,
            3_000.0,
            512.0,
            |t| 60.0 + 400.0 * t / 3_000.0,
            Some(Cause::Completed),
        );
    }
    let reported = slot
        .states()
        .iter()
        .filter(|state| matches!(state, State::Likely | State::Confirmed))
        .count();
    // The first of them may be a service's first hour.
    assert!(reported <= 1, "{:?}", slot.states());
}

#[test]
fn a_leak_that_kills_in_half_a_minute_is_confirmed_by_its_third_death() {
    for seconds in [20.0, 30.0, 40.0] {
        let mut slot = Slot::new(each_second());
        for _ in 0..3 {
            slot.run(
                "1",
                1.0,
                seconds,
                128.0,
                |t| 40.0 + 86.0 * t / seconds,
                Some(Cause::KernelOom),
            );
            slot.now += 2.0;
        }
        assert!(
            slot.states().contains(&State::Confirmed),
            "{seconds} s: {:?}",
            slot.states()
        );
    }
}

#[test]
fn beside_it_a_healthy_server_and_a_filling_cache_are_not_reported() {
    let mut healthy = Slot::new(each_second());
    healthy.run("1", 1.0, 300.0, 128.0, |t| 50.0 + 8.0 * (t % 7.0) / 7.0, None);
    assert_eq!(healthy.states(), []);
    let mut cache = Slot::new(each_second());
    cache.run(
        "1",
        1.0,
        300.0,
        128.0,
        |t| 40.0 + 50.0 * (1.0 - (-t / 25.0).exp()),
        None,
    );
    assert_eq!(cache.states(), []);
}

#[test]
fn nonsense_is_counted_and_says_nothing() {
    let mut slot = Slot::new(DetectConfig::default());
    slot.run("1", 10.0, 3_600.0, 512.0, |_| 100.0, None);
    let before = slot.detector.counts();
    let point = |at: BootTime, trend: u64, limit: u64, cpu_ns: Option<u64>| Point {
        at,
        trend,
        cpu_ns,
        ceilings: Ceilings {
            cgroup: Some(Ceiling {
                bytes: limit,
                kind: CeilingKind::Cgroup,
            }),
            v8: Some(0),
        },
        ..Point::default()
    };
    let now = slot.at();
    assert_eq!(slot.detector.observe(&point(now, 1, 1, None)), None);
    assert_eq!(slot.detector.observe(&point(BootTime(5), 1, 1, None)), None);
    for (i, limit) in [0, 1 << 63, u64::MAX, 1].into_iter().enumerate() {
        let at = now.plus((i as u64 + 1) * SECOND);
        assert_eq!(
            slot.detector
                .observe(&point(at, u64::MAX, limit, Some(1_000 - i as u64))),
            None
        );
    }
    assert_eq!(slot.detector.observe(&point(BootTime(u64::MAX), 0, 1, None)), None);
    let counts = slot.detector.counts();
    assert_eq!(
        (counts.duplicates, counts.backwards),
        (before.duplicates + 1, before.backwards + 1)
    );
    assert_eq!((counts.limits, counts.shrunk), (3, 3));
    slot.detector.end_run(&RunEnd::new(BootTime(0), Cause::KernelOom));
    slot.detector.end_run(&RunEnd::new(BootTime(0), Cause::KernelOom));
    assert_eq!(slot.detector.counts().outside, 1);
}

#[test]
fn the_state_is_bounded_and_survives_the_store() {
    let mut slot = Slot::new(DetectConfig::default());
    for run in 0..12 {
        slot.run(
            &format!("{:064}", run / 3),
            60.0,
            30_000.0,
            512.0,
            |t| 64.0 + 448.0 * t / 30_000.0,
            Some(Cause::KernelOom),
        );
    }
    slot.run(&"v".repeat(64), 10.0, 500_000.0, 512.0, |_| 64.0, None);
    let bytes = slot.detector.footprint();
    assert!(bytes <= MAX_BYTES, "{bytes} bytes");
    let stored = serde_json::to_string(&slot.detector).expect("serialises");
    let restored: SlotDetector = serde_json::from_str(&stored).expect("comes back");
    assert_eq!(restored, slot.detector);
}

/// V8 collects hard near its limit: a leak hardly grows there any more, and is none the less one.
#[test]
fn growth_that_stops_at_the_ceiling_is_not_taken_back_and_growth_that_stops_below_is() {
    let climbs_to = |top: f64| {
        let mut slot = Slot::new(DetectConfig::default());
        let level = |t: f64| (64.0 + 448.0 * t / (6.0 * 3_600.0)).min(top);
        let arrives = (top - 64.0) / 448.0 * 6.0 * 3_600.0;
        slot.run("1", 10.0, arrives + 2.6 * 3_600.0, 512.0, level, None);
        slot.states()
    };
    let near = climbs_to(0.9 * 512.0);
    assert_eq!(near.last(), Some(&State::Likely), "{near:?}");
    let below = climbs_to(0.75 * 512.0);
    assert!(below.contains(&State::Likely), "{below:?}");
    assert_eq!(below.last(), Some(&State::Retracted), "{below:?}");
}
