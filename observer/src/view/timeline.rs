//! The page of `observer history`: reads what is known of workloads and what was kept of them, produces their versions and
//! what happened, in order, in a given width.

use std::{
    fmt::Write as _,
    time::{Duration, UNIX_EPOCH},
};

use observer_core::{
    engine::view::{ReleaseView, WorkloadView},
    finding::{Event, RunSummary},
    identity::{Subject, Version},
    semconv,
    telemetry::{
        self, Severity,
        units::{self, seconds as duration},
    },
    time::{Anchor, WallTime},
};

use crate::{export::line, question::HistoryView, store::Record, terminal::text};

/// Columns before the text of a line: the time and two spaces.
const INDENT: usize = 21;

/// The page. `clock` tells the wall clock's time of instants of this boot.
pub fn page(view: &HistoryView, clock: Anchor, width: usize) -> String {
    let mut page = String::new();
    for workload in &view.workloads {
        page += &heading(workload);
        page += &releases(&workload.releases);
        page.push('\n');
    }
    let mut lines = if view.kept {
        view.records.iter().filter_map(happened).collect()
    } else {
        remembered(&view.workloads, clock)
    };
    lines.sort_by_key(|(at, _)| *at);
    let indent = format!("\n{:INDENT$}", "");
    for (at, happened) in &lines {
        let _ = writeln!(
            page,
            "{}  {}",
            time(*at),
            text::wrapped(happened, width.saturating_sub(INDENT).max(20)).join(&indent)
        );
    }
    if !view.kept {
        page += "Only the last eight runs of each slot: an agent with --store DIR keeps findings and\nolder runs.\n";
    }
    page
}

fn heading(view: &WorkloadView) -> String {
    let workload = &view.workload;
    let namespace = workload
        .namespace
        .as_ref()
        .map_or_else(String::new, |name| format!("{name}/"));
    let container = workload
        .container
        .as_ref()
        .map_or_else(String::new, |name| format!(", container {name}"));
    let service = if view.service == workload.name {
        String::new()
    } else {
        format!(", service {}", view.service)
    };
    format!("{} {namespace}{}{container}{service}\n", workload.kind, workload.name)
}

/// `  1.42.0   since 2026-05-01 09:12:05, 4 runs, 3 kernel_oom, 1 rollout: confirmed, 86 MiB/h`
fn releases(releases: &[ReleaseView]) -> String {
    let name = |release: &ReleaseView| version(release.version.as_ref());
    let width = releases
        .iter()
        .map(|release| text::width(&name(release)))
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for release in releases {
        let since = if release.found { "before" } else { "since" };
        let runs = if release.runs == 1 { "run" } else { "runs" };
        let _ = write!(
            text,
            "  {}  {since} {}, {} {runs}",
            text::cell(&name(release), width, false),
            time(release.first_seen),
            release.runs
        );
        for (cause, count) in &release.ends {
            let _ = write!(text, ", {count} {}", cause.name());
        }
        let _ = write!(text, ": {}", release.state.name());
        if let Some(slope) = release.slope_bytes_per_hour {
            let _ = write!(text, ", {}", units::rate(slope));
        }
        text.push('\n');
    }
    text
}

pub(super) fn version(version: Option<&Version>) -> String {
    version.map_or_else(|| "no version".to_owned(), |version| version.0.clone())
}

fn happened(record: &Record) -> Option<(WallTime, String)> {
    told(record).map(|(at, _, what)| (at, what))
}

/// One record: when, how bad, and what. A restart tells what the record of the ended run tells as well.
pub(super) fn told(record: &Record) -> Option<(WallTime, Severity, String)> {
    match record {
        Record::Finding(finding) if matches!(finding.event, Event::Restart(_)) => None,
        Record::Finding(finding) => {
            let severity = telemetry::event(finding).severity;
            Some((finding.wall, severity, line::sentence(finding)))
        }
        Record::Run(ended) => {
            let severity = if ended.run.cause().at_ceiling() {
                Severity::Error
            } else {
                Severity::Info
            };
            Some((ended.ended, severity, end(&ended.run, Some(&ended.subject))))
        }
    }
}

/// How a run ended, in a sentence.
pub(super) fn end(run: &RunSummary, subject: Option<&Subject>) -> String {
    let pod = subject.and_then(|subject| subject.resource.get(semconv::K8S_POD_NAME));
    let mut text = format!(
        "{} run {}{} ended by {} after {}",
        version(run.version.as_ref()),
        run.run,
        pod.map_or_else(String::new, |pod| format!(" of {pod}")),
        run.cause().name(),
        duration(run.duration_ns() as f64 / 1e9)
    );
    if run.peak > 0 {
        let _ = write!(text, ", peak {}", units::bytes(run.peak));
    }
    if let Some(ceiling) = run.ceiling {
        let _ = write!(text, " of {}", units::bytes(ceiling.bytes));
    }
    if let Some(reported) = &run.reported {
        let _ = write!(text, "; its owner says {reported}");
    }
    text
}

/// What the engine remembers where nothing is kept.
fn remembered(workloads: &[WorkloadView], clock: Anchor) -> Vec<(WallTime, String)> {
    let slots = workloads.iter().flat_map(|workload| &workload.slots);
    slots
        .flat_map(|slot| &slot.ended)
        .map(|run| (clock.wall(run.ended), end(run, None)))
        .collect()
}

/// `2026-05-01 09:12:05`, UTC.
pub(super) fn time(at: WallTime) -> String {
    let text = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_nanos(at.0)).to_string();
    text.trim_end_matches('Z').replace('T', " ")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use observer_core::{
        detect::State,
        engine::view::SlotView,
        exit::{Cause, End},
        finding::{Ceiling, CeilingKind, Confidence},
        identity::{Slot, Workload},
        time::BootTime,
    };

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn what_is_remembered_without_a_store() {
        let ended = |run: u64, version: &str, cause: Cause| RunSummary {
            run,
            started: BootTime((run - 1) * 100 * SECOND),
            ended: BootTime(run * 100 * SECOND),
            version: Some(Version(version.into())),
            end: End {
                cause,
                confidence: Confidence::Observed,
                status: None,
                sender: None,
                because: String::new(),
            },
            reported: (run == 2).then(|| "OOMKilled (137)".to_owned()),
            peak: 128 << 20,
            ceiling: Some(Ceiling {
                bytes: 128 << 20,
                kind: CeilingKind::Cgroup,
            }),
            slope_bytes_per_hour: None,
        };
        let release = |version: &str, ends: &[(Cause, u64)], state: State| ReleaseView {
            version: Some(Version(version.into())),
            first_seen: WallTime(1_777_626_725 * SECOND),
            last_seen: WallTime(1_777_626_725 * SECOND),
            found: version == "1.9",
            runs: 1,
            live: 0,
            ends: ends.to_vec(),
            state,
            slope_bytes_per_hour: (state == State::Confirmed).then_some(86.0 * 1_048_576.0),
            peak: 0,
        };
        let slot = SlotView {
            slot: Slot::Unit("checkout.service".into()),
            instance: 0,
            state: State::Quiet,
            slope_bytes_per_hour: None,
            slope_standard_error: None,
            pace: None,
            ceilings: Vec::new(),
            time_to_ceiling_s: None,
            runs: 2,
            current: None,
            said: None,
            levels: Vec::new(),
            asked: Vec::new(),
            diagnosis: None,
            ended: vec![ended(1, "1.9", Cause::Rollout), ended(2, "1.10", Cause::KernelOom)],
        };
        let view = HistoryView {
            workloads: vec![WorkloadView {
                workload: Workload {
                    namespace: Some("shop".into()),
                    kind: "Deployment".into(),
                    name: "checkout".into(),
                    container: Some("api".into()),
                },
                service: "checkout".into(),
                service_namespace: None,
                releases: vec![
                    release("1.9", &[(Cause::Rollout, 1)], State::Quiet),
                    release("1.10", &[(Cause::KernelOom, 1)], State::Confirmed),
                ],
                slots: vec![slot],
                oom_kills: 1,
                restarts: 1,
            }],
            records: Vec::new(),
            kept: false,
        };
        let clock = Anchor {
            boot: BootTime(0),
            wall: WallTime(1_777_626_725 * SECOND),
        };
        expect![[r"
            Deployment shop/checkout, container api
              1.9   before 2026-05-01 09:12:05, 1 run, 1 rollout: quiet
              1.10  since 2026-05-01 09:12:05, 1 run, 1 kernel_oom: confirmed, 86 MiB/h

            2026-05-01 09:13:45  1.9 run 1 ended by rollout after 1 min 40 s, peak 128 MiB
                                 of 128 MiB
            2026-05-01 09:15:25  1.10 run 2 ended by kernel_oom after 1 min 40 s, peak 128
                                 MiB of 128 MiB; its owner says OOMKilled (137)
            Only the last eight runs of each slot: an agent with --store DIR keeps findings and
            older runs.
        "]]
        .assert_eq(&page(&view, clock, 80));
    }
}
