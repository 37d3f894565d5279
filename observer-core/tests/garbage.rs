//! Growth that V8's collector would give back is no leak, whatever its shape; what is held is one, whatever the limits.

mod slot;

use observer_core::{
    detect::{DetectConfig, Point, SlotDetector, State, Verdict},
    exit::Cause,
    heap::Contents,
    time::SECOND,
};

use slot::{MB, Slot};

const HOUR: f64 = 3_600.0;

fn bytes(megabytes: f64) -> u64 {
    (megabytes * MB) as u64
}

/// Runs that climb from 90 MB to the container's limit in six hours and are killed there, all alike.
fn killed(heap_limit: f64, limit: f64, runs: usize, change: impl Fn(&mut Slot)) -> Slot {
    let mut slot = Slot::new(DetectConfig::default());
    slot.beside.heap_limit = Some(bytes(heap_limit));
    change(&mut slot);
    for _ in 0..runs {
        let level = |t: f64| 90.0 + (limit - 90.0) * t / (6.0 * HOUR);
        slot.run("1", 30.0, 6.0 * HOUR, limit, level, Some(Cause::KernelOom));
    }
    slot
}

/// A reading three and four hours into each run that finds this share of the growth dead.
fn read(share: f64) -> impl Fn(f64, &mut SlotDetector) -> Option<Verdict> {
    move |t, detector| {
        let due = (t - 3.0 * HOUR).abs() < 1.0 || (t - 4.0 * HOUR).abs() < 1.0;
        let grown = detector
            .levels()
            .last()
            .map_or(0, |level| level.1)
            .saturating_sub(bytes(90.0)) as f64;
        let contents = Contents {
            held: bytes(60.0) + ((1.0 - share) * grown) as u64,
            dead: (share * grown) as u64,
        };
        let at = detector.levels().last()?.0;
        due.then(|| detector.read_heap(at, SECOND, &contents)).flatten()
    }
}

fn reported(slot: &Slot) -> bool {
    slot.states()
        .iter()
        .any(|state| matches!(state, State::Likely | State::Confirmed))
}

#[test]
fn a_heap_limit_far_above_the_containers_is_no_leak_and_one_that_fits_lets_a_leak_be_one() {
    for (heap_limit, limit) in [(4_144.0, 256.0), (4_144.0, 512.0), (2_096.0, 512.0), (1_048.0, 400.0)] {
        let slot = killed(heap_limit, limit, 5, |_| {});
        assert_eq!(slot.states(), [], "{heap_limit} of {limit}");
    }
    // Node's own limits: the collector has done its work long before the container is full.
    for (heap_limit, limit) in [(259.0, 256.0), (524.0, 512.0), (259.0, 160.0)] {
        let slot = killed(heap_limit, limit, 2, |_| {});
        assert_eq!(slot.states().last(), Some(&State::Confirmed), "{heap_limit} of {limit}");
    }
}

#[test]
fn what_was_read_decides_in_both_directions() {
    // Far above, and held all the same.
    let held = killed(4_144.0, 256.0, 2, |slot| {
        slot.each = |t, detector| read(0.1)(t, detector);
    });
    assert!(held.states().contains(&State::Likely), "{:?}", held.states());
    assert_eq!(held.states().last(), Some(&State::Confirmed));
    let said = held
        .said
        .last()
        .and_then(|verdict| verdict.heap)
        .expect("it stands on a reading");
    assert!(!said.is_garbage() && said.held > bytes(60.0), "{said:?}");
    // A limit under which growth alone is reported, and all of it garbage.
    let garbage = killed(259.0, 256.0, 3, |slot| slot.each = |t, detector| read(0.9)(t, detector));
    assert!(!reported(&garbage), "{:?}", garbage.states());
}

#[test]
fn growth_outside_v8s_heap_is_a_leak_whatever_v8_may_use() {
    // Shared memory is told apart by the kernel: all of what grows here is.
    let mut slot = Slot::new(DetectConfig::default());
    slot.beside.heap_limit = Some(bytes(4_144.0));
    let hours = 6.0 * HOUR;
    for _ in 0..2 {
        slot.level_in_shmem = true;
        slot.run(
            "1",
            30.0,
            hours,
            256.0,
            |t| 90.0 + 166.0 * t / hours,
            Some(Cause::KernelOom),
        );
    }
    assert_eq!(slot.states().last(), Some(&State::Confirmed), "{:?}", slot.states());
}

/// Restarted each night: below half of V8's limit nothing need have been collected, above it something was.
#[test]
fn nightly_restarts_confirm_only_what_lay_beyond_the_first_collection() {
    let nightly = |top: f64| {
        let mut slot = Slot::new(DetectConfig::default());
        slot.beside = Point {
            heap_limit: Some(bytes(1_048.0)),
            ..Point::default()
        };
        for _ in 0..4 {
            let level = |t: f64| 90.0 + (top - 90.0) * t / (24.0 * HOUR);
            slot.run("1", 60.0, 24.0 * HOUR, 2_048.0, level, Some(Cause::Terminated));
        }
        slot.states()
    };
    assert!(!nightly(540.0).contains(&State::Confirmed), "{:?}", nightly(540.0));
    assert!(nightly(800.0).contains(&State::Confirmed), "{:?}", nightly(800.0));
}

/// A reader that gets no processor: what the process promoted meanwhile was not marked, and looks dead.
#[test]
fn a_reading_that_the_growth_outran_decides_nothing() {
    let slow = killed(4_144.0, 512.0, 1, |slot| {
        slot.each = |t, detector| {
            let due = (t - 4.0 * HOUR).abs() < 1.0;
            let contents = Contents {
                held: bytes(90.0),
                dead: bytes(280.0),
            };
            let at = detector.levels().last()?.0;
            due.then(|| detector.read_heap(at, 3 * 3_600 * SECOND, &contents))
                .flatten()
        };
    });
    // As without a reading: the limits alone say misfit, and no leak.
    assert!(slow.states().is_empty(), "{:?}", slow.states());
    let leak = killed(259.0, 512.0, 1, |slot| {
        slot.each = |t, detector| {
            let due = (t - 5.5 * HOUR).abs() < 1.0;
            let contents = Contents {
                held: bytes(90.0),
                dead: bytes(400.0),
            };
            let at = detector.levels().last()?.0;
            due.then(|| detector.read_heap(at, 3 * 3_600 * SECOND, &contents))
                .flatten()
        };
    });
    assert!(
        reported(&leak) && !leak.states().contains(&State::Retracted),
        "{:?}",
        leak.states()
    );
}

/// The head of a chain that moves while it is read leaves the whole chain unmarked.
#[test]
fn one_reading_that_misses_what_is_held_retracts_nothing() {
    let missed = killed(259.0, 512.0, 1, |slot| {
        slot.each = |t, detector| {
            let hour = (t / HOUR).round();
            // Every second one misses it.
            let share = if (hour as u64).is_multiple_of(2) { 0.05 } else { 0.95 };
            let due = hour >= 2.0 && (t - hour * HOUR).abs() < 1.0;
            let grown = detector.levels().last()?.1.saturating_sub(bytes(90.0)) as f64;
            let contents = Contents {
                held: bytes(60.0) + ((1.0 - share) * grown) as u64,
                dead: (share * grown) as u64,
            };
            let at = detector.levels().last()?.0;
            due.then(|| detector.read_heap(at, SECOND, &contents)).flatten()
        };
    });
    assert!(reported(&missed), "{:?}", missed.states());
    assert!(!missed.states().contains(&State::Retracted), "{:?}", missed.states());
}
