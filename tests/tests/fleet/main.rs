//! Fleets before the recording rules and alerts that are shipped: every replica is played through the real detector, and
//! what its agent would send goes through Prometheus' own engine (`promtool test rules`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, process::Command};

use observer_tests::{counterpart, need};

mod alerts;
mod pooled;
mod promtool;
mod replica;

use observer_tests::fleet::{promtool::program, server::shipped};
use promtool::Fleet;
use replica::Replica;

const VERDICT: &str = "sum by (service_version) (workload_version:observer_leak:verdict)";

fn healthy(version: &'static str, numbers: std::ops::Range<u64>, hours: f64) -> Vec<Replica> {
    numbers.map(|number| Replica::healthy(version, number, hours)).collect()
}

#[test]
fn the_rules_and_alerts_are_valid() {
    need!(DebianPrometheus);
    let output = Command::new(program().unwrap())
        .args(["check", "rules"])
        .args([shipped("observer.rules.yaml"), shipped("observer.alerts.yaml")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn alertmanager_takes_its_example() {
    let Some(amtool) = counterpart::debian_program("prometheus-alertmanager", "usr/bin/amtool") else {
        observer_tests::need::record(
            "fleet::alertmanager_takes_its_example",
            "no amtool: `cargo xtask setup`",
        );
        return;
    };
    let output = Command::new(amtool)
        .arg("check-config")
        .arg(shipped("alertmanager.yaml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Each alert says what to do, and the place it points to is there.
#[test]
fn every_alert_has_a_runbook_entry() {
    let alerts = fs::read_to_string(shipped("observer.alerts.yaml")).unwrap();
    let docs = fs::read_to_string(observer_tests::places::workspace().join("docs/runbook.md")).unwrap();
    let named: Vec<&str> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(named.len() > 5);
    for alert in &named {
        let anchor = format!("docs/runbook.md#{}", alert.to_lowercase());
        assert!(alerts.contains(&anchor), "{alert} has no runbook_url");
        assert!(
            docs.contains(&format!("\n### {alert}\n")),
            "docs/runbook.md has no section {alert}"
        );
    }
}

/// So does each event.
#[test]
fn every_event_has_a_runbook_entry() {
    let runbook = fs::read_to_string(observer_tests::places::workspace().join("docs/runbook.md")).unwrap();
    for (event, _) in observer_core::semconv::event::ALL {
        assert!(
            runbook.contains(&format!("\n### {event}\n")),
            "docs/runbook.md has no section {event}"
        );
    }
}

#[test]
fn a_healthy_fleet_is_left_alone() {
    need!(DebianPrometheus);
    let fleet = Fleet::of(&healthy("1.0", 0..20, 72.0), 72.0);
    let firing = fleet.firing(&[6.0, 24.0, 30.0, 36.0, 42.0, 48.0, 60.0, 71.0]);
    assert!(firing.iter().all(Vec::is_empty), "{firing:?}");
    let verdict = fleet.ask(&[(20.0, VERDICT), (40.0, VERDICT)]);
    assert!(
        verdict[0].is_empty(),
        "nothing is known before a day has passed: {verdict:?}"
    );
    assert_eq!(verdict[1].get("1.0"), Some(&0.0), "{verdict:?}");
}

#[test]
fn one_version_of_three_is_named() {
    need!(DebianPrometheus);
    let mut replicas = healthy("1.40", 0..8, 40.0);
    replicas.extend(healthy("1.41", 0..8, 40.0));
    replicas.extend(
        healthy("1.42", 0..8, 40.0)
            .into_iter()
            .map(|replica| Replica { leak: 3.0, ..replica }),
    );
    let fleet = Fleet::of(&replicas, 40.0);
    assert_eq!(
        fleet.firing(&[39.0]),
        [["ObserverLeakSuspected 1.42"]],
        "first alone: {:?}",
        fleet.first_alone
    );
}

/// Fifty replicas of which each is too weak to be `likely` alone: found together, and long before the first of them is.
#[test]
fn fifty_weak_replicas_are_found_together() {
    need!(DebianPrometheus);
    let weak = |replica: Replica| Replica {
        leak: 1.2,
        noise: 14.0,
        ..replica
    };
    let replicas: Vec<Replica> = healthy("1.42", 0..50, 60.0).into_iter().map(weak).collect();
    let fleet = Fleet::of(&replicas, 60.0);
    assert_eq!(
        fleet.firing(&[59.0]),
        [["ObserverLeakSuspected 1.42"]],
        "first alone: {:?}",
        fleet.first_alone
    );
    let slope = "sum by (service_version) (workload_version:observer_slope:pooled) / 1048576";
    let pooled = fleet.ask(&[
        (59.0, slope),
        (59.0, "sum by (service_version) (workload_version:observer_slope:z)"),
    ]);
    assert!((pooled[0]["1.42"] - 1.2).abs() < 0.2, "{pooled:?}");
    assert_eq!(fleet.first_alone, None, "one was likely alone: {pooled:?}");
    assert!(pooled[1]["1.42"] > 5.0, "{pooled:?}");
}

/// Five of twenty: too few for the version to be reported by the pool, but their agents say it, and the pool says that
/// replicas differ. One alert for the version, not five.
#[test]
fn only_some_replicas() {
    need!(DebianPrometheus);
    let mut replicas = healthy("1.42", 0..20, 60.0);
    for replica in replicas.iter_mut().take(5) {
        replica.leak = 8.0;
    }
    let fleet = Fleet::of(&replicas, 60.0);
    assert!(
        fleet.first_alone.is_some_and(|hour| hour < 58.0),
        "{:?}",
        fleet.first_alone
    );
    assert_eq!(fleet.firing(&[59.0]), [["ObserverLeakLikely 1.42"]]);
    let differ = fleet.ask(&[(
        59.0,
        "sum by (service_version) (workload_version:observer_slope_heterogeneity:i2)",
    )]);
    assert!(differ[0]["1.42"] > 0.75, "{differ:?}");
}

/// Two replicas of a new version beside eighteen of the old one; rolled back after a day.
#[test]
fn a_canary_is_told_before_its_version_is_everywhere_and_not_after_it_is_gone() {
    need!(DebianPrometheus);
    let mut replicas = healthy("1.41", 0..18, 50.0);
    replicas.extend((0..2).map(|number| Replica {
        lives: (24.0, 40.0),
        leak: 9.0,
        ..Replica::healthy("1.42", number, 50.0)
    }));
    let fleet = Fleet::of(&replicas, 50.0);
    let firing = fleet.firing(&[24.0, 39.0, 49.0]);
    assert_eq!(firing[0], [""; 0], "{firing:?}");
    assert_eq!(firing[1], ["ObserverCanaryLeaks 1.42"], "{firing:?}");
    assert_eq!(firing[2], [""; 0], "{firing:?}");
    let by = "max by (service_version) (service_version:observer_slope_difference:canary) / 1048576";
    let by = fleet.ask(&[(38.0, by)]);
    assert!((by[0]["1.42"] - 9.0).abs() < 2.0, "{by:?}");
}

/// Replicas come and go, a node has no agent, agents without a store restart: the alert stays, and stays one.
#[test]
fn an_alert_stays_while_replicas_nodes_and_agents_come_and_go() {
    need!(DebianPrometheus);
    let leaks = |replica: Replica| Replica { leak: 3.0, ..replica };
    let mut replicas: Vec<Replica> = healthy("1.42", 0..16, 70.0).into_iter().map(leaks).collect();
    for (nth, replica) in replicas.iter_mut().enumerate() {
        match nth % 4 {
            // Scaled in.
            0 if nth < 8 => replica.lives.1 = 44.0,
            1 => replica.unseen = nth == 1,
            2 => replica.agent_restarts = Some(50.0),
            _ => {}
        }
    }
    // Scaled out.
    replicas.extend((20..26).map(|number| Replica {
        lives: (52.0, 70.0),
        ..leaks(Replica::healthy("1.42", number, 70.0))
    }));
    let fleet = Fleet::of(&replicas, 70.0);
    let hours = [32.0, 43.0, 45.0, 50.2, 50.5, 51.0, 52.1, 53.0, 56.0, 62.0, 69.0];
    for (hour, firing) in hours.iter().zip(fleet.firing(&hours)) {
        assert_eq!(firing.len(), 1, "hour {hour}: {firing:?}");
    }
}

/// The version that brought the growth and the one that ended it, with clocks ten minutes apart.
#[test]
fn the_version_that_brought_it_and_the_one_that_ended_it() {
    need!(DebianPrometheus);
    let of = |version, from, to, leak| {
        (0..6).map(move |number| Replica {
            lives: (from, to),
            leak,
            ahead: if number % 2 == 0 { 600.0 } else { 0.0 },
            ..Replica::healthy(version, number, 100.0)
        })
    };
    let mut replicas: Vec<Replica> = of("1.41", 0.0, 30.0, 0.0).collect();
    replicas.extend(of("1.42", 30.0, 62.0, 4.0));
    replicas.extend(of("1.43", 62.0, 96.0, 0.0));
    let fleet = Fleet::of(&replicas, 96.0);
    let answers = fleet.ask(&[
        (
            61.0,
            "sum by (service_version) (workload_version:observer_leak_introduced_seconds:first_seen)",
        ),
        (
            61.0,
            "sum by (service_version) (workload_version:observer_leak_ended_seconds:first_seen)",
        ),
        (
            95.0,
            "sum by (service_version) (workload_version:observer_leak_introduced_seconds:first_seen)",
        ),
        (
            95.0,
            "sum by (service_version) (workload_version:observer_leak_ended_seconds:first_seen)",
        ),
    ]);
    let versions: Vec<Vec<&str>> = answers
        .iter()
        .map(|of| of.keys().map(String::as_str).collect())
        .collect();
    assert_eq!(
        versions,
        [vec!["1.42"], vec![], vec!["1.42"], vec!["1.43"]],
        "{answers:?}"
    );
    assert!((answers[2]["1.42"] - 30.0 * 3_600.0).abs() < 1.0, "{answers:?}");
}
