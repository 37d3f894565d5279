//! When heaps are read, and what of the answers is news.

use super::*;
use crate::heap::{Compared, ContainerGrowth, Grower};

const HOUR: u64 = 3_600 * SECOND;
const MIB: u64 = 1 << 20;

fn at(seconds: u64) -> BootTime {
    BootTime(seconds * SECOND)
}

fn answer(process: ProcessKey, outcome: Outcome) -> HeapAnswer {
    HeapAnswer {
        process,
        took_ns: 1,
        bytes: 1,
        contents: None,
        outcome,
    }
}

fn due(watch: &mut HeapWatch, at: BootTime, process: ProcessKey, mib: u64) -> Option<bool> {
    let level = Level {
        all: mib * MIB,
        shmem: 0,
    };
    let moment = moment(at, process, Some(State::Suspected), level);
    watch.due(&moment, HOUR).map(|due| due.compare)
}

fn moment(at: BootTime, process: ProcessKey, wanted: Option<State>, level: Level) -> Moment {
    Moment {
        at,
        process,
        wanted,
        level,
        age_ns: at.0,
        left_ns: None,
    }
}

fn diagnosis(culprit: bool, held: i64) -> Diagnosis {
    Diagnosis {
        compared: Compared::Times(60.0),
        growers: vec![Grower {
            what: "Session".into(),
            place: None,
            count: (1, 2),
            bytes: 1,
            held_by: vec!["open in /app/a.js".into()],
            culprit,
            retained: None,
            share: None,
        }],
        grown: 1,
        explained: 1.0,
        exact: true,
        readings: 3,
        memory: None,
        container: Some(ContainerGrowth {
            level: 20 * MIB,
            held,
            garbage: 0,
        }),
    }
}

fn first() -> Outcome {
    Outcome::First {
        held: 1,
        newcomers: None,
    }
}

#[test]
fn at_most_one_reading_an_hour_and_the_second_when_it_has_grown() {
    let process = ProcessKey { pid: 7, start: 1 };
    let mut watch = HeapWatch::default();
    assert_eq!(due(&mut watch, at(0), process, 100), Some(false));
    assert_eq!(due(&mut watch, at(1), process, 100), None, "one at a time");
    assert!(
        watch
            .answered(at(2), &answer(process, first()), None, State::Suspected)
            .is_some()
    );
    assert_eq!(due(&mut watch, at(1800), process, 300), None, "the hour is not over");
    assert_eq!(due(&mut watch, at(3700), process, 105), None, "it has hardly grown");
    assert_eq!(due(&mut watch, at(3800), process, 111), Some(true));
    // A new process of the slot is read from the beginning, and within the same budget.
    let next = ProcessKey { pid: 8, start: 2 };
    assert_eq!(due(&mut watch, at(3900), next, 111), None);
    assert_eq!(due(&mut watch, at(7500), next, 111), Some(false));
    assert!(
        watch
            .answered(at(7501), &answer(process, first()), None, State::Suspected)
            .is_none(),
        "a late answer of the dead"
    );
}

#[test]
fn what_was_postponed_is_tried_again_soon_and_what_was_refused_is_not() {
    let process = ProcessKey { pid: 7, start: 1 };
    let mut watch = HeapWatch::default();
    assert_eq!(due(&mut watch, at(0), process, 1), Some(false));
    watch.answered(
        at(1),
        &answer(process, Outcome::Postponed("short".into())),
        None,
        State::Suspected,
    );
    assert_eq!(due(&mut watch, at(30), process, 1), None);
    assert_eq!(due(&mut watch, at(70), process, 1), Some(false));
    watch.answered(
        at(71),
        &answer(process, Outcome::Refused("no symbols".into())),
        None,
        State::Suspected,
    );
    assert_eq!(due(&mut watch, at(9000), process, 900), None);
}

#[test]
fn a_tmpfs_that_fills_is_in_no_heap() {
    let process = ProcessKey { pid: 7, start: 1 };
    let mut watch = HeapWatch::default();
    let level = |all, shmem| Level {
        all: all * MIB,
        shmem: shmem * MIB,
    };
    let mut due = |at, wanted, level| watch.due(&moment(at, process, wanted, level), HOUR);
    assert_eq!(due(at(0), None, level(50, 1)), None);
    assert_eq!(due(at(10), Some(State::Likely), level(90, 40)), None);
    let due = due(at(20), Some(State::Likely), level(200, 41));
    assert!(due.is_some(), "now it is the process");
}

#[test]
fn the_same_is_said_once_and_the_next_reading_waits_for_another_state() {
    let process = ProcessKey { pid: 7, start: 1 };
    let mut watch = HeapWatch::default();
    let said = |watch: &mut HeapWatch, at, diagnosis| {
        let outcome = Outcome::Compared(Box::new(diagnosis));
        watch.answered(at, &answer(process, outcome), None, State::Suspected)
    };
    assert_eq!(due(&mut watch, at(0), process, 100), Some(false));
    watch.answered(at(1), &answer(process, first()), None, State::Suspected);
    assert_eq!(due(&mut watch, at(3601), process, 120), Some(true));
    assert_eq!(said(&mut watch, at(3602), diagnosis(false, 0)), Some(News::New));
    assert_eq!(
        due(&mut watch, at(7300), process, 125),
        None,
        "compared with the last reading, not with the first"
    );
    assert_eq!(due(&mut watch, at(7400), process, 140), Some(true));
    assert_eq!(said(&mut watch, at(7401), diagnosis(false, 1)), Some(News::Same));
    assert_eq!(due(&mut watch, at(11_100), process, 160), Some(true));
    assert_eq!(said(&mut watch, at(11_101), diagnosis(true, 18 << 20)), Some(News::New));
    assert_eq!(due(&mut watch, at(15_000), process, 200), None, "it is known");
    let level = Level {
        all: 200 * MIB,
        shmem: 0,
    };
    let likely = moment(at(15_000), process, Some(State::Likely), level);
    assert!(watch.due(&likely, HOUR).is_some());
}

/// A reading asked for at this age with this much time left, and answered.
fn read(watch: &mut HeapWatch, age: u64, left: u64, mib: u64, outcome: Outcome) -> bool {
    let process = ProcessKey { pid: 7, start: 1 };
    let level = Level {
        all: mib * MIB,
        shmem: 0,
    };
    let moment = Moment {
        left_ns: Some(left * SECOND),
        ..moment(at(age), process, Some(State::Likely), level)
    };
    let asked = watch.due(&moment, HOUR).is_some();
    if asked {
        watch.answered(at(age), &answer(process, outcome), None, State::Likely);
    }
    asked
}

#[test]
fn a_run_whose_end_is_foretold_is_read_sooner_and_once_more_shortly_before() {
    let compared = |readings| {
        Outcome::Compared(Box::new(Diagnosis {
            readings,
            ..diagnosis(true, 18 << 20)
        }))
    };
    let mut watch = HeapWatch::default();
    // Foretold to end after two hours.
    assert!(read(&mut watch, 3600, 3600, 100, first()));
    assert!(
        !read(&mut watch, 4000, 3200, 120, compared(2)),
        "a sixth of what is left has not passed"
    );
    assert!(read(&mut watch, 4300, 2900, 120, compared(2)));
    assert!(!read(&mut watch, 4700, 2500, 125, compared(3)), "it has hardly grown");
    assert!(read(&mut watch, 5000, 2200, 140, compared(3)));
    assert!(
        !read(&mut watch, 6000, 1200, 160, compared(4)),
        "it rose at three readings"
    );
    assert!(read(&mut watch, 6600, 600, 180, compared(4)), "the last tenth");
    assert!(!read(&mut watch, 7100, 100, 190, compared(5)), "once");
}

#[test]
fn what_was_postponed_before_the_end_is_tried_again() {
    let mut watch = HeapWatch::default();
    assert!(read(&mut watch, 3600, 3600, 100, first()));
    let postponed = || Outcome::Postponed("short".into());
    assert!(read(&mut watch, 6600, 600, 180, postponed()));
    assert!(!read(&mut watch, 6630, 570, 181, postponed()));
    assert!(read(&mut watch, 6670, 530, 182, postponed()));
}

#[test]
fn a_heap_that_holds_a_fiftieth_of_the_growth_explains_nothing() {
    assert!(!diagnosis(true, 409 << 10).explains());
    assert!(diagnosis(true, 12 << 20).explains());
    assert!(!diagnosis(true, -1).explains());
}
