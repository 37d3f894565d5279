//! The demo's checks of the agent: reads its findings, the receiver's records and the replay, produces what was right and
//! what was wrong.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{screen::Screen, stage::SERVICES};

/// Event of the verdict.
pub(super) const CONFIRMED: &str = "observer.memory.leak_confirmed";
/// Events that report a leak: `suspected` is an early note, which a healthy service may get.
const REPORTS: [&str; 2] = ["observer.memory.leak_likely", CONFIRMED];
const DIAGNOSIS: &str = "observer.memory.diagnosis";
const GROWERS: &str = "observer.heap.growers";
/// What leaks, by its name in the fixture's source, and what holds it.
const CULPRIT: &str = "onUserMessage()";
const HOLDER: &str = "EventEmitter._events";
const OOM_KILL: &str = "observer.process.oom_kill";

/// The service a finding or a record is about.
pub(super) fn service(finding: &Value) -> &str {
    finding["resource"]["service.name"].as_str().unwrap_or_default()
}

/// Whether it reports a leak.
pub(super) fn reports_leak(finding: &Value) -> bool {
    REPORTS.iter().any(|event| finding["event"] == *event)
}

/// What was right and what was not.
#[derive(Debug, Default)]
pub(super) struct Checks(Vec<(bool, String)>);

impl Checks {
    pub(super) fn passed(&self) -> bool {
        self.0.iter().all(|(passed, _)| *passed)
    }

    pub(super) fn lines(&self) -> &[(bool, String)] {
        &self.0
    }
}

/// Checks the findings, what was delivered of them, and their replay.
pub(super) fn check(findings: &[Value], delivered: &[Value], replayed: &[String], printed: &[String]) -> Checks {
    let mut lines = Vec::new();
    let kills = findings
        .iter()
        .filter(|finding| finding["event"] == OOM_KILL && service(finding) == SERVICES[0].name)
        .count();
    lines.push((
        kills >= 3,
        format!(
            "{} was killed by the kernel at its limit, {kills} times",
            SERVICES[0].name
        ),
    ));
    for known in &SERVICES {
        let said: BTreeSet<&str> = findings
            .iter()
            .filter(|finding| service(finding) == known.name && reports_leak(finding))
            .filter_map(|finding| finding["event"].as_str())
            .map(|event| event.strip_prefix("observer.memory.").unwrap_or(event))
            .collect();
        if known.leaks {
            let confirmed = findings
                .iter()
                .find(|finding| service(finding) == known.name && finding["event"] == CONFIRMED);
            let body = confirmed
                .and_then(|finding| finding["body"].as_str())
                .unwrap_or("nothing was confirmed");
            lines.push((confirmed.is_some(), format!("{}: {body}", known.name)));
        } else if said.is_empty() {
            lines.push((true, format!("{} ({}): no leak reported", known.name, known.what)));
        } else {
            let said: Vec<&str> = said.into_iter().collect();
            lines.push((
                false,
                format!(
                    "{} ({}): a leak reported wrongly: {}",
                    known.name,
                    known.what,
                    said.join(", ")
                ),
            ));
        }
    }
    let named = culprit(findings);
    // On a machine that is busy with other things the kernel may be quicker than the second reading.
    let compared = findings
        .iter()
        .any(|finding| service(finding) == SERVICES[0].name && finding["event"] == DIAGNOSIS);
    lines.push((
        named.is_some() || !compared,
        match &named {
            None if !compared => "its heap was not read twice before the kernel killed it: no name".to_owned(),
            Some(_) => format!("the leak has a name: {CULPRIT}, read from the heap of a process that went on running"),
            None => format!("no diagnosis named {CULPRIT} and what holds it"),
        },
    ));
    let ids = |values: &[Value]| -> BTreeSet<String> {
        values
            .iter()
            .filter_map(|value| value["attributes"]["observer.finding.id"].as_str().map(str::to_owned))
            .collect()
    };
    let (said, arrived) = (ids(findings), ids(delivered));
    let missing = said.difference(&arrived).count();
    lines.push((
        missing == 0,
        format!("{} of {} findings arrived over OTLP", said.len() - missing, said.len()),
    ));
    lines.push((
        replayed == printed,
        "replaying the recording gives the same findings, byte for byte".to_owned(),
    ));
    Checks(lines)
}

/// The sentence of the diagnosis that names the leaking function, as what grew or on the way to it, and its holder; the
/// last one made.
pub(super) fn culprit(findings: &[Value]) -> Option<String> {
    let diagnoses = findings
        .iter()
        .filter(|finding| service(finding) == SERVICES[0].name && finding["event"] == DIAGNOSIS);
    let named = diagnoses
        .filter_map(|finding| finding["attributes"][GROWERS].as_array())
        .flatten();
    let named: Vec<&str> = named
        .filter_map(Value::as_str)
        .filter(|grower| grower.contains(CULPRIT) && grower.contains(HOLDER))
        .collect();
    // The function itself, else what hangs from it.
    let itself = named.iter().rfind(|grower| grower.starts_with(CULPRIT));
    itself.or(named.last()).map(|grower| (*grower).to_owned())
}

/// One line per event and service, as the receiver has them.
pub(super) fn show_delivery(screen: &mut Screen, delivered: &[Value]) {
    let mut counts: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    for record in delivered.iter().filter(|record| record["signal"] == "log") {
        let text = |value: &'static str| record[value].as_str().unwrap_or_default();
        *counts
            .entry((service(record), text("event"), text("severity")))
            .or_default() += 1;
    }
    for ((service, event, severity), count) in counts {
        screen.say(&format!("  {service:<11} {severity:<6} {event:<34} {count}"));
    }
}
