//! Histories as broken as they come: nothing panics, nothing is reported for being broken, everything refused is counted.

use observer_core::{
    detect::{
        Ceilings, DetectConfig, MAX_BYTES, Point, RunEnd, SlotDetector, State,
        replay::{Replay, Row, Said},
    },
    exit::Cause,
    finding::{Ceiling, CeilingKind},
    time::{BootTime, SECOND},
};
use proptest::prelude::*;

const MB: f64 = 1_048_576.0;

/// Numbers that a broken exporter writes.
fn odd() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        Just(-1.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(9_223_372_036_854_775_807.0),
        Just(1e300),
        Just(f64::MIN_POSITIVE),
        0.0..1e10,
    ]
}

fn cause() -> impl Strategy<Value = Option<Cause>> {
    prop_oneof![
        8 => Just(None),
        1 => Just(Some(Cause::KernelOom)),
        1 => Just(Some(Cause::Rollout)),
        1 => Just(Some(Cause::Completed)),
        1 => Just(Some(Cause::Unknown)),
    ]
}

/// What is said of a history, and how many rows were refused.
fn states(rows: &[Row<'_>]) -> (Vec<State>, u64) {
    let mut replay = Replay::new(None);
    let mut said = Vec::new();
    let mut hear = |_: &str, heard: Said<'_>| {
        if let Said::Verdict(verdict) = heard {
            said.push(verdict.state);
        }
    };
    for row in rows {
        replay.row(row, &mut hear);
    }
    replay.finish(&mut hear);
    let refused = replay.refused();
    (said, refused.duplicates + refused.backwards)
}

fn reported(said: &[State]) -> bool {
    said.iter()
        .any(|state| matches!(state, State::Likely | State::Confirmed))
}

/// A flat service of 100 MB under 512 MB, a sample a minute, with noise.
fn flat(i: u32) -> Row<'static> {
    Row {
        series: "flat",
        t: 1.7e9 + f64::from(i) * 60.0,
        anon: (100.0 + f64::from(i.wrapping_mul(2_654_435_761) >> 24) / 100.0) * MB,
        limit: Some(512.0 * MB),
        cpu: Some(0.2),
        ..Row::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_rows_at_all_do_no_harm(
        rows in proptest::collection::vec(
            (odd(), odd(), proptest::option::of(odd()), proptest::option::of(odd()), proptest::option::of(0u64..4), cause()), 0..400),
    ) {
        let rows: Vec<Row<'_>> = rows
            .into_iter()
            .map(|(t, anon, limit, cpu, run, end)| Row {
                series: "odd", t, anon, limit, cpu, run, end,
                file: limit, heap_limit: cpu, version: Some("v"), kind: Some("?"),
            })
            .collect();
        states(&rows);
    }

    #[test]
    fn a_detector_takes_any_points_within_its_bound(
        points in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), any::<bool>(), any::<u64>()), 0..500),
        scale in prop_oneof![Just(0.0), Just(f64::NAN), Just(1e-9), Just(1.0), Just(1e9)],
    ) {
        let mut detector = SlotDetector::new(DetectConfig { time_scale: scale, ..DetectConfig::default() });
        for (number, (at, trend, cpu, end, limit)) in points.iter().enumerate() {
            if detector.current_run().is_none() {
                detector.begin_run(number as u64, BootTime(*at), None);
            }
            detector.observe(&Point {
                at: BootTime(*at),
                trend: *trend,
                cpu_ns: Some(*cpu),
                ceilings: Ceilings {
                    cgroup: Some(Ceiling { bytes: *limit, kind: CeilingKind::Cgroup }),
                    v8: Some(*trend),
                },
                ..Point::default()
            });
            if *end {
                detector.end_run(&RunEnd::new(BootTime(*at), Cause::KernelOom));
            }
            prop_assert!(detector.footprint() <= MAX_BYTES, "{} bytes", detector.footprint());
        }
        detector.levels();
    }

    /// Duplicates, swapped and repeated stretches of a flat service: refused, counted, and no accusation.
    #[test]
    fn a_flat_service_stays_unreported_however_its_rows_are_mangled(
        mangled in proptest::collection::vec((0u32..3_000, 0u8..5, odd()), 1..60),
    ) {
        let mut rows: Vec<Row<'_>> = (0..3_000).map(flat).collect();
        let mut doubled = 0;
        for (at, how, value) in mangled {
            let at = at as usize % rows.len();
            match how {
                0 => { let twice = rows[at]; rows.insert(at, twice); doubled += 1; }
                1 => rows.swap(at, 0),
                2 => rows[at].limit = Some(value),
                3 => rows[at].cpu = Some(value),
                _ => { let to = (at + 200).min(rows.len()); rows.drain(at..to); if rows.is_empty() { rows.push(flat(0)); } }
            }
        }
        let (said, refused) = states(&rows);
        prop_assert!(!reported(&said), "{said:?}");
        prop_assert!(doubled == 0 || refused > 0 || rows.len() < 400);
    }

    /// A gap in which a service moved from one level to another is no growth.
    #[test]
    fn a_step_across_a_gap_is_no_leak(before in 200u32..2_000, gap in 1u32..5_000, step in 1.0f64..3.5) {
        let after = |i: u32| {
            let row = flat(i);
            Row { anon: row.anon * step, ..row }
        };
        let rows: Vec<Row<'_>> = (0..before).map(flat).chain((before + gap..before + gap + 2_000).map(after)).collect();
        let (said, _) = states(&rows);
        prop_assert!(!reported(&said), "{said:?}");
    }
}

/// The incident: 64 to 512 MB in six hours, twice.
fn incident(change: impl Fn(u32, &mut Row<'static>)) -> Vec<Row<'static>> {
    (0..720u32)
        .map(|i| {
            let mut row = Row {
                series: "leaky",
                t: 1.7e9 + f64::from(i) * 60.0,
                anon: (64.0 + f64::from(i % 360) * 448.0 / 360.0) * MB,
                limit: Some(512.0 * MB),
                run: Some(u64::from(i / 360)),
                end: (i % 360 == 359).then_some(Cause::KernelOom),
                ..Row::default()
            };
            change(i, &mut row);
            row
        })
        .collect()
}

#[test]
fn limits_of_nothing_and_of_everything_are_none_and_a_death_still_teaches_the_ceiling() {
    for limit in [Some(0.0), Some(9_223_372_036_854_771_712.0), Some(f64::NAN), None] {
        let (said, _) = states(&incident(|_, row| row.limit = limit));
        assert_eq!(said.last(), Some(&State::Confirmed), "{limit:?}: {said:?}");
    }
}

#[test]
fn a_counter_that_shrinks_and_a_series_that_starts_in_its_middle_change_nothing() {
    let (said, _) = states(&incident(|i, row| row.cpu = Some(if i % 7 == 0 { -5.0 } else { 0.3 })));
    assert!(reported(&said), "{said:?}");
    let late: Vec<Row<'_>> = incident(|_, _| {}).split_off(100);
    let (said, _) = states(&late);
    assert_eq!(said.last(), Some(&State::Confirmed), "{said:?}");
}

#[test]
fn ends_that_nobody_named_are_told_by_the_run_alone() {
    let (said, _) = states(&incident(|i, row| {
        row.end = None;
        // The last samples before the death are missing as well.
        row.t += if i % 360 > 355 { 1e-3 } else { 0.0 };
    }));
    // The file's last run has not ended as far as it says.
    assert!(reported(&said), "{said:?}");
}

#[test]
fn intervals_of_5_to_60_s_that_jitter_say_the_same() {
    for interval in [5.0, 7.3, 15.0, 60.0] {
        let mut rows = Vec::new();
        for run in 0..2u32 {
            let count = (21_600.0 / interval) as u32;
            rows.extend((0..count).map(|i| {
                let jitter = f64::from((i * 7_919) % 100) / 100.0 * 0.4 * interval;
                let age = f64::from(i) * interval + jitter;
                Row {
                    series: "leaky",
                    t: f64::from(run) * 21_700.0 + age,
                    anon: (64.0 + age / 21_600.0 * 448.0) * MB,
                    limit: Some(512.0 * MB),
                    run: Some(u64::from(run)),
                    end: (i + 1 == count).then_some(Cause::KernelOom),
                    ..Row::default()
                }
            }));
        }
        let (said, _) = states(&rows);
        assert_eq!(
            said,
            [State::Suspected, State::Likely, State::Confirmed],
            "{interval} s apart"
        );
    }
}

#[test]
fn a_misfit_is_told_once_for_each_pair_of_limits() {
    let mut replay = Replay::new(None);
    let mut told = Vec::new();
    for row in incident(|i, row| row.heap_limit = Some(if i < 500 { 512.0 * MB } else { 300.0 * MB })) {
        replay.row(&row, &mut |_, heard| {
            if let Said::Misfit(at, misfit) = heard {
                told.push((at.0 / SECOND, misfit.heap_limit));
            }
        });
    }
    assert_eq!(told, [(1_700_000_000, 512 << 20)]);
}

/// A limit of nothing and a load below nothing are taken as none, and told; a last row written twice ends its run once.
#[test]
fn what_is_repaired_is_counted() {
    let mut replay = Replay::new(None);
    let rows = incident(|i, row| {
        row.limit = Some(if i % 2 == 0 { 0.0 } else { 512.0 * MB });
        row.cpu = Some(if i % 4 == 0 { -1.0 } else { 0.2 });
    });
    for row in &rows {
        replay.row(row, &mut |_, _| {});
        if row.end.is_some() {
            replay.row(row, &mut |_, _| {});
        }
    }
    let refused = replay.refused();
    assert_eq!((refused.limits, refused.shrunk, refused.duplicates), (360, 180, 2));
}

/// Where the number of the run is missing now and then it is the one before, and where it always is, one run.
#[test]
fn a_run_that_is_not_told_goes_on() {
    let (all, _) = states(&incident(|_, _| {}));
    let (some, _) = states(&incident(|i, row| {
        if i % 360 % 3 != 0 {
            row.run = None;
        }
    }));
    assert_eq!(some, all);
    let (none, _) = states(&incident(|_, row| row.run = None));
    assert_eq!(none, all);
}
