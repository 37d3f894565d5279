//! Kills that come again, and climbs under tall teeth: what is said where no stretch of a run passes the gates.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod slot;

use observer_core::{
    detect::{DetectConfig, State},
    exit::Cause,
    finding::{Explanation, GrowthPattern, RecurringOom},
};

use slot::{MB, Slot};

const HOUR: f64 = 3_600.0;
const LIMIT: f64 = 512.0;

/// What is said of `runs` lives of six hours at this level, each killed at the limit; after each of them.
fn killed(runs: usize, level: impl Fn(f64) -> f64) -> (Slot, Vec<Option<RecurringOom>>) {
    let mut slot = Slot::new(DetectConfig::default());
    let said = (0..runs).map(|_| {
        slot.run("1", 30.0, 6.0 * HOUR, LIMIT, &level, Some(Cause::KernelOom));
        slot.detector.recurring()
    });
    let said = said.collect();
    (slot, said)
}

/// A level that jumps to the limit in a run's last minutes.
fn spiking(from: f64) -> impl Fn(f64) -> f64 {
    move |t| if t > 6.0 * HOUR - 120.0 { LIMIT } else { from }
}

fn reported(slot: &Slot) -> bool {
    let leaks = |state: &State| matches!(state, State::Likely | State::Confirmed);
    slot.states().iter().any(leaks)
}

#[test]
fn each_doubling_of_the_kills_is_news_and_nothing_between() {
    let (slot, said) = killed(13, spiking(180.0));
    let told: Vec<usize> = (1..=13).filter(|n| said[n - 1].is_some()).collect();
    assert_eq!(told, [3, 6, 12]);
    assert_eq!(said[11].as_ref().unwrap().kills, 12);
    assert!(!reported(&slot), "{:?}", slot.states());
}

#[test]
fn what_the_growth_looked_like_says_what_may_explain_it() {
    let first = |level: &dyn Fn(f64) -> f64| {
        let (slot, said) = killed(3, level);
        (said[2].clone().unwrap(), reported(&slot))
    };
    let (spike, leaks) = first(&spiking(180.0));
    assert_eq!(
        (spike.pattern, spike.explanation, leaks),
        (GrowthPattern::Spike, Explanation::Undersized, false)
    );
    assert!((spike.lifetime_s - 6.0 * HOUR).abs() < 60.0, "{spike:?}");
    let low = |range: (u64, u64)| range.0 as f64 / MB;
    assert!(
        (low(spike.from) - 180.0).abs() < 5.0 && low(spike.to) > 500.0,
        "{spike:?}"
    );
    let (flat, leaks) = first(&spiking(440.0));
    assert_eq!(
        (flat.pattern, flat.explanation, leaks),
        (GrowthPattern::Flat, Explanation::Undersized, false)
    );
}

#[test]
fn bursts_that_give_nothing_back_confirm_a_leak_by_the_third_death_and_bursts_that_do_are_none() {
    let steps = |t: f64| 90.0 + 105.0 * (t / (1.4 * HOUR)).floor();
    let (slot, said) = killed(3, steps);
    assert_eq!(slot.states().last(), Some(&State::Confirmed), "{:?}", slot.states());
    assert!(said[2].is_none(), "where the leak is confirmed, that says it all");
    // Each burst is worked off before the next.
    let batches = |t: f64| {
        if t > 6.0 * HOUR - 120.0 {
            return LIMIT;
        }
        90.0 + if (t / HOUR).fract() < 0.3 { 320.0 } else { 0.0 }
    };
    let (slot, said) = killed(3, batches);
    assert!(!reported(&slot), "{:?}", slot.states());
    assert!(said[2].is_some());
}

#[test]
fn kills_weeks_apart_do_not_recur_and_neither_does_another_version_s() {
    let mut slot = Slot::new(DetectConfig::default());
    for _ in 0..5 {
        slot.run("1", 30.0, 6.0 * HOUR, LIMIT, spiking(180.0), Some(Cause::KernelOom));
        assert_eq!(slot.detector.recurring(), None);
        slot.now += 10.0 * 24.0 * HOUR;
    }
    let mut slot = Slot::new(DetectConfig::default());
    for version in ["1", "1", "2", "2", "3", "3"] {
        slot.run(version, 30.0, 6.0 * HOUR, LIMIT, spiking(180.0), Some(Cause::KernelOom));
        assert_eq!(slot.detector.recurring(), None, "version {version}");
    }
}

/// A collection every 40 minutes gives 120 MB back; what is left after it is `floor`.
fn teeth(floor: impl Fn(f64) -> f64) -> impl Fn(f64) -> f64 {
    move |t| (floor(t) + 120.0 * (t / (40.0 * 60.0)).fract()).min(LIMIT)
}

#[test]
fn a_climb_under_tall_teeth_is_reported_before_its_first_death() {
    let mut slot = Slot::new(DetectConfig::default());
    let life = 7.0 * HOUR;
    let climb = teeth(|t| 70.0 + 46.0 * t / HOUR);
    slot.run("1", 10.0, life, LIMIT, climb, Some(Cause::KernelOom));
    let first = slot.said.iter().find(|verdict| verdict.state == State::Likely).unwrap();
    let left = life - (first.at.0 as f64 / 1e9 - 1_000.0);
    assert!(left > 600.0, "said {left} s before the death");
    let forecast = first.time_to_ceiling.unwrap();
    assert!(forecast.p10 < left && left < forecast.p90, "{forecast:?} for {left}");
    let slope = first.slope_bytes_per_hour / MB;
    assert!((slope / 46.0 - 1.0).abs() < 0.15, "{slope} MB an hour");
}

#[test]
fn teeth_on_a_level_floor_or_on_one_that_fills_are_no_leak() {
    let floors: [fn(f64) -> f64; 3] = [
        |_| 250.0,
        |t| 70.0 + 250.0 * (1.0 - (-t / (2.0 * HOUR)).exp()),
        |t| 200.0 + 60.0 * (t / (24.0 * HOUR) * core::f64::consts::TAU).sin(),
    ];
    for floor in floors {
        let mut slot = Slot::new(DetectConfig::default());
        slot.run("1", 10.0, 60.0 * HOUR, LIMIT, teeth(floor), None);
        assert!(!reported(&slot), "{:?}", slot.states());
    }
}
