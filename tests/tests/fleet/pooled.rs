//! What the replicas of a version must show together before the pool says that it leaks, gate by gate.

use observer_tests::{fleet::promtool::ask, need};

use crate::alerts::Told;

const VERDICT: &str = "sum by (service_version) (workload_version:observer_leak:verdict)";

/// Replicas that rise by as many bytes an hour as `slopes` says, each minute; and V8's limit, where one is told.
fn verdict(replicas: u32, slopes: &str, span: f64, v8: Option<f64>, minute: u64) -> Option<f64> {
    let mut told = Told::default();
    for replica in 0..replicas {
        let mut put = |name: &str, values: &str| {
            told = std::mem::take(&mut told).replica_of("1", replica, name, values);
        };
        put("observer_memory_slope_bytes_per_hour", slopes);
        put("observer_memory_slope_late_bytes_per_hour", slopes);
        put(
            "observer_memory_slope_standard_error_bytes_per_hour",
            &format!("100000+0x{minute}"),
        );
        put("observer_memory_slope_span_seconds", &format!("{span}+0x{minute}"));
        put("observer_leak_state", &format!("0+0x{minute}"));
        told = told.ceiling_of("1", replica, "cgroup", &format!("500000000+0x{minute}"));
        if let Some(bytes) = v8 {
            told = told.ceiling_of("1", replica, "v8_heap", &format!("{bytes}+0x{minute}"));
        }
    }
    let answers = ask(told.series(), 60, &[(minute, VERDICT)]).unwrap();
    answers[0].get("1").copied()
}

#[test]
fn three_replicas_that_rise_leak_and_two_are_left_to_their_agents() {
    need!(DebianPrometheus);
    let steady = "2000000+0x100";
    assert_eq!(verdict(3, steady, 100_000.0, None, 90), Some(1.0));
    assert_eq!(verdict(2, steady, 100_000.0, None, 90), Some(0.0));
    assert_eq!(verdict(3, steady, 80_000.0, None, 90), None, "less than a day");
}

/// What is dead piles up to the container's limit where V8 would collect it only beyond.
#[test]
fn a_limit_of_v8_above_the_containers_proves_nothing() {
    need!(DebianPrometheus);
    let steady = "2000000+0x100";
    assert_eq!(verdict(3, steady, 100_000.0, Some(4e9), 90), Some(0.0));
    assert_eq!(verdict(3, steady, 100_000.0, Some(3e8), 90), Some(1.0));
}

/// Fragmentation grows as a logarithm: each four days rise by less than those before.
#[test]
fn a_pace_that_slows_down_is_no_leak() {
    need!(DebianPrometheus);
    let (minute, span) = (4_000, 345_000.0);
    assert_eq!(
        verdict(3, "3000000+0x2000 1500000+0x3000", span, None, minute),
        Some(0.0)
    );
    assert_eq!(verdict(3, "2000000+0x5000", span, None, minute), Some(1.0));
}

/// What one agent alone finds likely, among others of the same version, is suspected; two make it likely where the slopes say so too.
#[test]
fn one_agent_among_three_is_not_enough() {
    need!(DebianPrometheus);
    // Replicas, how many are likely, slopes of those that are and of the others, and which state that makes.
    for (replicas, likely, rises, others, state) in [
        (3, 1, 5e6, 0.0, 1.0),
        (4, 2, 5e6, 0.0, 2.0),
        (3, 3, 5e6, 0.0, 2.0),
        (3, 2, 0.0, 0.0, 1.0),
        (2, 1, 5e6, 0.0, 2.0),
    ] {
        let mut told = Told::default();
        for replica in 0..replicas {
            let leaks = replica < likely;
            let slope = format!("{}+0x60", if leaks { rises } else { others });
            let said = if leaks { "2+0x60" } else { "0+0x60" };
            told = told
                .replica_of("1", replica, "observer_memory_slope_bytes_per_hour", &slope)
                .replica_of(
                    "1",
                    replica,
                    "observer_memory_slope_standard_error_bytes_per_hour",
                    "100000+0x60",
                )
                .replica_of("1", replica, "observer_leak_state", said);
        }
        let agreed = "sum by (service_version) (workload_version:observer_leak_state:agreed)";
        let answers = ask(told.series(), 60, &[(30, agreed)]).unwrap();
        assert_eq!(
            answers[0].get("1"),
            Some(&state),
            "{likely} of {replicas}, {rises} and {others}"
        );
    }
}

/// Three that rise by very different paces, each well known, prove less than three that rise alike.
#[test]
fn what_lies_far_apart_is_weak_evidence() {
    need!(DebianPrometheus);
    let z = |slopes: [f64; 3]| {
        let mut told = Told::default();
        for (replica, slope) in (0..).zip(slopes) {
            told = told
                .replica_of(
                    "1",
                    replica,
                    "observer_memory_slope_bytes_per_hour",
                    &format!("{slope}+0x60"),
                )
                .replica_of(
                    "1",
                    replica,
                    "observer_memory_slope_standard_error_bytes_per_hour",
                    "100000+0x60",
                );
        }
        let answers = ask(
            told.series(),
            60,
            &[(30, "sum by (service_version) (workload_version:observer_slope:z)")],
        )
        .unwrap();
        answers[0]["1"]
    };
    let (alike, apart) = (z([2e6, 2e6, 2e6]), z([1e6, 2e6, 3e6]));
    assert!(alike > 5.0 && apart > 1.0 && apart < 3.0, "{alike}, {apart}");
    assert!(z([-2e6, -2e6, -2e6]) < -5.0, "falling is no evidence of rising");
}

/// A version of which agents say `likely`, and what stands for it beside that.
#[derive(Clone, Copy)]
struct Likely {
    /// Replicas, and of how many it is said.
    replicas: (u32, u32),
    /// Level of the latter, as a share of the ceiling.
    level: f64,
    /// Seconds to the ceiling, while growth goes on.
    left: Option<f64>,
    /// Bytes an hour; a standard error is 100,000.
    slope: f64,
    /// Seconds of history.
    span: f64,
    /// A run of it died like that.
    died: bool,
    /// An older version has been seen for a day without a leak.
    older: bool,
}

impl Likely {
    /// Half-way, on one replica that nobody knew before.
    const YOUNG: Self = Self {
        replicas: (1, 1),
        level: 0.7,
        left: Some(7_200.0),
        slope: 5e6,
        span: 20_000.0,
        died: false,
        older: false,
    };

    /// What each expression gives of it after as many minutes. From minute 40 on its growth has stopped, from 60 on its agents take
    /// it back.
    fn ask(&self, questions: &[(u64, &str)]) -> Vec<std::collections::BTreeMap<String, f64>> {
        let mut told = Told::default();
        if self.older {
            for (name, value) in [
                ("observer_memory_slope_bytes_per_hour", "0+0x90"),
                ("observer_memory_slope_standard_error_bytes_per_hour", "100000+0x90"),
                ("observer_memory_slope_span_seconds", "100000+0x90"),
                ("observer_leak_state", "0+0x90"),
            ] {
                told = told.replica_of("0", 9, name, value);
            }
        }
        for replica in 0..self.replicas.0 {
            let likely = replica < self.replicas.1;
            let mut put = |name: &str, values: String| {
                told = std::mem::take(&mut told).replica_of("1", replica, name, &values);
            };
            put("observer_memory_slope_bytes_per_hour", format!("{}+0x90", self.slope));
            put(
                "observer_memory_slope_late_bytes_per_hour",
                format!("{}+0x90", self.slope),
            );
            put(
                "observer_memory_slope_standard_error_bytes_per_hour",
                "100000+0x90".to_owned(),
            );
            put("observer_memory_slope_span_seconds", format!("{}+0x90", self.span));
            let level = if likely { self.level } else { 0.3 };
            put("observer_memory_level_bytes", format!("{}+0x90", level * 5e8));
            let state = if likely { "2+0x59 4+0x30" } else { "0+0x90" };
            put("observer_leak_state", state.to_owned());
            if let Some(left) = self.left.filter(|_| likely) {
                put(
                    "observer_memory_time_to_ceiling_seconds",
                    format!("{left}+0x39 stale _x50"),
                );
            }
            told = told.ceiling_of("1", replica, "cgroup", "500000000+0x90");
            if self.died {
                told = told.ceiling_of("1", replica, "learned", "490000000+0x90");
            }
        }
        ask(told.series(), 60, questions).unwrap()
    }

    fn due(&self) -> bool {
        let due = "sum by (service_version) (workload_version:observer_leak_likely:due)";
        self.ask(&[(30, due)])[0].contains_key("1")
    }
}

/// A ramp that levels off looks like a leak until it does: `likely` waits for what cannot wait, or for something that stands for it.
#[test]
fn likely_is_due_when_waiting_costs_more_than_it_tells() {
    need!(DebianPrometheus);
    let young = Likely::YOUNG;
    assert!(!young.due(), "two hours are left, and nothing is known of it");
    for (what, likely) in [
        ("near its ceiling", Likely { level: 0.91, ..young }),
        ("one like it died", Likely { died: true, ..young }),
        ("the version before was fine", Likely { older: true, ..young }),
        (
            "three that rise over a day",
            Likely {
                replicas: (3, 3),
                span: 90_000.0,
                slope: 2.5e5,
                ..young
            },
        ),
        (
            "three of three near it",
            Likely {
                level: 0.91,
                replicas: (3, 3),
                ..young
            },
        ),
        (
            "two of three near it whose slopes prove nothing",
            Likely {
                level: 0.91,
                replicas: (3, 2),
                slope: 0.0,
                ..young
            },
        ),
        (
            "the replicas together say so",
            Likely {
                replicas: (3, 3),
                span: 90_000.0,
                left: None,
                ..young
            },
        ),
    ] {
        assert!(likely.due(), "{what}");
    }
    for (what, likely) in [
        (
            "near its ceiling and still",
            Likely {
                level: 0.91,
                left: None,
                ..young
            },
        ),
        (
            "one of three",
            Likely {
                level: 0.91,
                replicas: (3, 1),
                older: true,
                died: true,
                ..young
            },
        ),
        (
            "one that rises over a day",
            Likely {
                span: 90_000.0,
                ..young
            },
        ),
        (
            "three with days left",
            Likely {
                replicas: (3, 3),
                span: 90_000.0,
                slope: 2.5e5,
                left: Some(200_000.0),
                ..young
            },
        ),
        (
            "three that hardly rise",
            Likely {
                replicas: (3, 3),
                span: 90_000.0,
                slope: 1.5e5,
                ..young
            },
        ),
    ] {
        assert!(!likely.due(), "{what}");
    }
}

/// Once it was due it is told until the agents take it back, also while growth pauses.
#[test]
fn what_was_due_is_told_until_it_is_retracted() {
    need!(DebianPrometheus);
    let firing = r#"sum by (alertname) (ALERTS{alertstate="firing"})"#;
    let near = Likely {
        level: 0.91,
        ..Likely::YOUNG
    };
    let answers = near.ask(&[(30, firing), (55, firing), (85, firing)]);
    let names: Vec<Vec<&String>> = answers.iter().map(|answer| answer.keys().collect()).collect();
    assert_eq!(names, [vec!["ObserverLeakLikely"], vec!["ObserverLeakLikely"], vec![]]);
    let young = Likely::YOUNG.ask(&[(30, firing)]);
    assert!(young[0].is_empty(), "{young:?}");
}
