//! Three versions of one service, the second of which leaks: reads what was said of them, produces what of it is wrong.
//!
//! The same judgement for every place a service may run in, and for findings as the agent prints them and as a receiver
//! decoded them.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;

/// The version that does not leak yet.
pub const CLEAN: &str = "1.41.3";
/// The one that does.
pub const LEAKING: &str = "1.42.0";
/// The one that does no longer.
pub const FIXED: &str = "1.43.0";
/// Limit of the service's memory, bytes: some seven seconds of `checkout.js leaks`.
pub const LIMIT: u64 = 96 << 20;
/// How long the first version runs: what ran for less than half as long as the leaking one needed is not called clean.
pub const CLEAN_FOR: Duration = Duration::from_secs(20);
/// How much detection's spans are shrunk: the leaking version lives for seconds.
pub const TIME_SCALE: &str = "0.001";

/// Arguments of `checkout.js` in this version.
pub fn argument(version: &str) -> &'static str {
    if version == LEAKING { "leaks" } else { "holds" }
}

/// Whether this is a finding of the service. An agent sees all of a host: tests side by side need names of their own.
pub fn is_of(finding: &Value, service: &str) -> bool {
    finding["resource"]["service.name"] == service
}

/// A finding of the service with this event, of the service running in this version.
pub fn said(finding: &Value, service: &str, event: &str, version: &str) -> bool {
    is_of(finding, service) && finding["event"] == event && finding["resource"]["service.version"] == version
}

/// All that is wrong with what was said of the service; `resource` must stand in the Resource of everything.
pub fn faults(findings: &[Value], service: &str, resource: &[(&str, &str)]) -> Vec<String> {
    let ours: Vec<&Value> = findings.iter().filter(|finding| is_of(finding, service)).collect();
    let mut faults = Vec::new();
    let mut check = |holds: bool, what: String| {
        if !holds {
            faults.push(what);
        }
    };
    for finding in &ours {
        for (name, value) in resource {
            let found = &finding["resource"][*name];
            check(found == value, format!("{name} is {found}, not {value}, in {finding}"));
        }
        let version = finding["resource"]["service.version"].as_str().unwrap_or_default();
        check(
            [CLEAN, LEAKING, FIXED].contains(&version),
            format!("version of {finding}"),
        );
    }
    let of = |event: &str| -> Vec<&Value> { ours.iter().copied().filter(|f| f["event"] == event).collect() };

    let rollouts: Vec<(&Value, &Value)> = of("observer.rollout.observed")
        .into_iter()
        .map(|f| {
            (
                &f["attributes"]["observer.rollout.from"],
                &f["attributes"]["observer.rollout.to"],
            )
        })
        .collect();
    let expected = rollouts.len() == 2
        && [(CLEAN, LEAKING), (LEAKING, FIXED)]
            .iter()
            .zip(&rollouts)
            .all(|((from, to), (told_from, told_to))| *told_from == from && *told_to == to);
    check(expected, format!("rollouts {rollouts:?}"));

    let kills = of("observer.process.oom_kill");
    check(kills.len() >= 2, format!("{} kills", kills.len()));
    for kill in kills {
        check(
            kill["resource"]["service.version"] == LEAKING,
            format!("whose kill is {kill}"),
        );
        check(
            kill["attributes"]["observer.memory.limit"] == LIMIT,
            format!("limit in {kill}"),
        );
        check(
            kill["attributes"]["observer.oom.main_process"] == true,
            format!("victim in {kill}"),
        );
    }
    // Nothing of its containers goes out under a name that is not theirs: until the owner is known that is the pod's.
    let containers: BTreeSet<&str> = ours
        .iter()
        .filter_map(|f| f["resource"]["container.id"].as_str())
        .collect();
    for other in findings.iter().filter(|finding| !is_of(finding, service)) {
        let resource = &other["resource"];
        let of_ours = resource["container.id"]
            .as_str()
            .is_some_and(|id| containers.contains(id));
        let pods = resource["service.name"] == resource["k8s.pod.name"];
        check(!of_ours || pods, format!("another name in {other}"));
    }

    let restarts = of("observer.container.restart");
    check(!restarts.is_empty(), format!("{} restarts", restarts.len()));
    for restart in restarts {
        let attributes = &restart["attributes"];
        let previous = &attributes["observer.run.previous.version"];
        let version = &restart["resource"]["service.version"];
        let cause = &attributes["observer.exit.cause"];
        let expected = if previous == version {
            cause == "kernel_oom"
        } else {
            cause == "rollout" || cause == "kernel_oom"
        };
        check(expected, format!("cause of {restart}"));
        check(
            attributes["observer.restart.rollout"] == (previous != version),
            format!("rollout of {restart}"),
        );
        if previous == CLEAN {
            check(cause == "rollout", format!("end of the clean version in {restart}"));
        }
    }

    for finding in of("observer.memory.leak_likely")
        .into_iter()
        .chain(of("observer.memory.leak_confirmed"))
    {
        check(
            finding["resource"]["service.version"] == LEAKING,
            format!("who is reported by {finding}"),
        );
    }
    let confirmed = of("observer.memory.leak_confirmed");
    check(confirmed.len() == 1, format!("{} times confirmed", confirmed.len()));
    for verdict in confirmed {
        let attributes = &verdict["attributes"];
        check(
            attributes["observer.leak.introduced_by"] == LEAKING,
            format!("blame in {verdict}"),
        );
        check(
            attributes["observer.leak.last_clean_version"] == CLEAN,
            format!("last clean version in {verdict}"),
        );
        let evidence = attributes["observer.leak.blame.evidence"].as_str().unwrap_or_default();
        check(
            evidence.contains(CLEAN) && evidence.contains(LEAKING),
            format!("evidence in {verdict}"),
        );
    }
    let resolved = of("observer.memory.leak_resolved");
    check(resolved.len() == 1, format!("{} times resolved", resolved.len()));
    for verdict in resolved {
        let side = |side: &str, of: &str| verdict["attributes"][format!("observer.leak.{side}.{of}")].clone();
        check(
            side("before", "version") == LEAKING,
            format!("version before in {verdict}"),
        );
        check(side("after", "version") == FIXED, format!("version after in {verdict}"));
        for of in ["slope", "peak"] {
            let (before, after) = (side("before", of), side("after", of));
            let fell = before
                .as_f64()
                .zip(after.as_f64())
                .is_some_and(|(before, after)| after < before);
            check(fell, format!("{of} before {before} and after {after} in {verdict}"));
        }
        for of in ["baseline", "lifetime"] {
            let found = ["before", "after"]
                .iter()
                .all(|when| side(when, of).as_f64() > Some(0.0));
            check(found, format!("{of} in {verdict}"));
        }
    }
    faults
}
