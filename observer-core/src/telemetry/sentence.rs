//! Sentences for people: who, what, since when, how fast, which ceiling.

mod advice;
mod diagnosis;
mod recurring;

use std::fmt::Write;

use self::diagnosis::{diagnosed, grown};
use super::words::{grower, killer, period_s};
use crate::{
    Finding,
    finding::{
        Cause, Ceiling, CeilingKind, Confidence, CrashLoop, Event, HeapOom, NearCeiling, OomKill, OomScope, Restart,
        State, Verdict,
    },
    time::SECOND,
    units,
};

pub use advice::{advised, heap_flag, larger_limit, page_cache};
pub use diagnosis::{grew, whereabouts};
pub use recurring::{recurring_oom, recurring_pattern};

pub(super) fn of(finding: &Finding) -> String {
    let who = finding.subject.as_ref().map_or("observer", |subject| subject.service());
    let version = finding
        .subject
        .as_ref()
        .and_then(|subject| subject.version.as_ref())
        .map_or_else(String::new, |version| format!(" {}", version.0));
    let mut text = match &finding.event {
        Event::OomKill(kill) => oom_kill(who, kill),
        Event::HeapOom(death) => heap_oom(who, death),
        Event::Restart(restart) => restarted(who, &version, restart),
        Event::CrashLoop(crash_loop) => looping(who, &version, crash_loop),
        Event::NearCeiling(near) => near_ceiling(who, &version, near),
        Event::Leak(verdict) => leak(who, &version, verdict),
        Event::Misfit(misfit) => format!("{who}: {}", misfit.advice),
        Event::RecurringOom(recurring) => recurring_oom(who, &version, recurring),
        Event::Rollout(rollout) => {
            let from = rollout
                .from
                .as_ref()
                .map_or_else(String::new, |from| format!(" after {}", from.0));
            format!("{who} runs version {}{from} ({})", rollout.to.0, rollout.changed)
        }
        Event::Diagnosis(diagnosis) => diagnosed(who, &version, diagnosis),
        Event::HeapRead(read) => match &read.not_read {
            None => format!(
                "the heap of {who} (pid {}) was read from outside: {} in {}",
                read.pid,
                units::bytes(read.bytes),
                units::seconds(read.took_ns as f64 / SECOND as f64)
            ),
            Some(reason) => format!("the heap of {who} (pid {}) was not read: {reason}", read.pid),
        },
        Event::Gap(gap) => {
            let lasted = units::seconds(gap.lasted() as f64 / SECOND as f64);
            let lost = if gap.lost > 0 {
                format!("; {} records were lost", gap.lost)
            } else {
                String::new()
            };
            format!("nothing could be seen for {lasted}: {}{lost}", gap.reason)
        }
    };
    let told = matches!(
        &finding.event,
        Event::Restart(_)
            | Event::CrashLoop(_)
            | Event::Leak(_)
            | Event::Rollout(_)
            | Event::Misfit(_)
            | Event::RecurringOom(_)
    );
    if finding.confidence == Confidence::Inferred && !told {
        text.push_str(" (inferred)");
    }
    text
}

fn oom_kill(who: &str, kill: &OomKill) -> String {
    let by = match killer(&kill.killer) {
        "kernel" => "the kernel",
        daemon => daemon,
    };
    let mut text = if kill.main_process {
        format!("{who} was killed for memory by {by}")
    } else {
        format!("{by} killed a process of {who}, not its main one, for memory")
    };
    match (kill.scope, kill.limit) {
        (OomScope::Container, Some(limit)) => {
            let _ = write!(text, " at its limit of {}", units::bytes(limit));
        }
        (OomScope::Pod | OomScope::Group, Some(limit)) => {
            let cgroup = kill.cgroup.as_deref().unwrap_or("its parent");
            let _ = write!(text, " at the limit of {} set on {cgroup}", units::bytes(limit));
        }
        (OomScope::Host, _) => text.push_str(": the host ran out"),
        _ => {}
    }
    if let Some(anon) = kill.anon {
        let _ = write!(text, "; {} (pid {}) held {}", kill.comm, kill.pid, units::bytes(anon));
    }
    match kill.co_victims {
        0 => {}
        1 => text.push_str(", and one other process was killed with it"),
        others => {
            let _ = write!(text, ", and {others} other processes were killed with it");
        }
    }
    text
}

fn heap_oom(who: &str, death: &HeapOom) -> String {
    let mut text = format!("{who} died of V8's heap limit");
    if let Some(limit) = death.heap_limit {
        let how = if death.predicted { "predicted " } else { "" };
        let _ = write!(text, " ({how}{})", units::bytes(limit));
    }
    if let Some(rss) = death.rss {
        let _ = write!(text, " with {} resident", units::bytes(rss));
    }
    if let Some(limit) = death.cgroup_limit {
        let _ = write!(
            text,
            "; its container's limit of {} was not reached",
            units::bytes(limit)
        );
    }
    text
}

fn restarted(who: &str, version: &str, restart: &Restart) -> String {
    let previous = &restart.previous;
    let lived = units::seconds(previous.duration_ns() as f64 / SECOND as f64);
    if restart.rollout {
        let old = previous.version.as_ref().map_or("", |v| v.0.as_str());
        return format!("{who}{version} took the place of {old}, which had run for {lived}");
    }
    let ended = ended(previous.cause());
    let mut text = format!("{who}{version} restarted: run {} {ended} after {lived}", previous.run);
    if previous.peak > 0 {
        let _ = write!(text, ", highest level seen {}", units::bytes(previous.peak));
    }
    if let Some(ceiling) = previous.ceiling {
        let _ = write!(text, " against {}", ceiling_words(ceiling));
    }
    if let Some(slope) = previous.slope_bytes_per_hour.filter(|slope| *slope > 0.0) {
        let _ = write!(text, ", rising by {}", units::rate(slope));
    }
    let _ = write!(text, " ({})", previous.end.because);
    text
}

fn looping(who: &str, version: &str, crash_loop: &CrashLoop) -> String {
    let within = units::seconds(crash_loop.within_s);
    let times = |count: u32| match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        n => format!("{n} times"),
    };
    if crash_loop.over {
        return format!(
            "{who}{version} has left its crash loop: it runs on after {} restarts in {within}",
            crash_loop.restarts
        );
    }
    let mut text = format!(
        "{who}{version} is in a crash loop: {} restarts in {within}, now one every {}",
        crash_loop.restarts,
        units::seconds(crash_loop.interval_s)
    );
    for (n, (cause, count)) in crash_loop.causes.iter().enumerate() {
        let joint = if n == 0 { "; it" } else { "," };
        let _ = write!(text, "{joint} {} {}", ended(*cause), times(*count));
    }
    if let Some(last) = &crash_loop.last {
        let _ = write!(text, " (the last time {})", last.end.because);
    }
    text
}

const fn ended(cause: Cause) -> &'static str {
    match cause {
        Cause::KernelOom => "was killed by the kernel for memory",
        Cause::UserspaceOom => "was killed by a daemon for memory",
        Cause::V8HeapOom => "died of V8's heap limit",
        Cause::Rollout => "was replaced by another version",
        Cause::Terminated => "was stopped",
        Cause::Liveness => "was restarted after failed probes",
        Cause::Evicted => "was evicted",
        Cause::Crash => "crashed",
        Cause::ErrorExit => "failed",
        Cause::Completed => "completed",
        Cause::Unknown => "ended unseen",
    }
}

/// A ceiling with what it is.
pub fn ceiling_words(ceiling: Ceiling) -> String {
    let size = units::bytes(ceiling.bytes);
    match ceiling.kind {
        CeilingKind::Cgroup => format!("{size} (its container's limit)"),
        CeilingKind::CgroupAncestor => format!("{size} (a limit above its container)"),
        CeilingKind::V8Heap => format!("{size} (V8's heap limit and what lies outside)"),
        CeilingKind::Learned => format!("{size} (where earlier runs died)"),
        CeilingKind::Host => format!("{size} (the host's memory)"),
    }
}

fn near_ceiling(who: &str, version: &str, near: &NearCeiling) -> String {
    let mut text = format!(
        "{who}{version} stands at {}, {} of {}",
        units::bytes(near.level),
        units::percent(near.ratio),
        ceiling_words(near.ceiling)
    );
    if let Some(seconds) = near.time_to_ceiling_s {
        let _ = write!(text, "; it gets there in about {}", units::seconds(seconds));
    }
    text
}

fn leak(who: &str, version: &str, verdict: &Verdict) -> String {
    let rate = units::rate(verdict.slope_bytes_per_hour);
    let span = units::seconds(verdict.span_ns as f64 / SECOND as f64);
    let mut text = match verdict.state {
        State::Suspected => format!("{who}{version} may leak: it has grown by {rate} for {span}"),
        State::Likely => format!("{who}{version} probably leaks: it has grown by {rate} for {span}"),
        State::Confirmed => confirmed(who, version, verdict, &rate),
        State::Quiet | State::Retracted => {
            return format!(
                "{who}{version}: no longer taken for a leak, {}{}",
                verdict.because,
                heap_read(verdict)
            );
        }
        State::Resolved => return resolved(who, version, verdict),
    };
    if let Some((place, share)) = verdict.attribution.as_ref().map(crate::finding::Attribution::largest)
        && place != "other"
        && share >= 0.5
    {
        let _ = write!(text, ", {} of it in {}", units::percent(share), place_words(place));
    }
    text.push_str(&heap_read(verdict));
    match verdict
        .blame
        .as_ref()
        .map(|blame| (&blame.introduced_by, &blame.last_clean))
    {
        Some((Some(first), Some(clean))) => {
            let _ = write!(text, "; since version {}, {} did not", first.0, clean.0);
        }
        Some((Some(first), None)) => {
            let _ = write!(text, "; first seen in version {}", first.0);
        }
        _ => {}
    }
    if let Some(culprit) = verdict.diagnosis.as_ref().and_then(|diagnosis| diagnosis.culprit()) {
        let _ = write!(text, "; what grows: {}", grower(culprit));
    } else if let Some(grown) = verdict.diagnosis.as_ref().and_then(|diagnosis| grown(diagnosis)) {
        let _ = write!(text, "; {grown}");
    }
    if verdict.state != State::Confirmed
        && let Some(ceiling) = verdict.ceiling
    {
        let _ = write!(
            text,
            "; it stands at {} of {}",
            units::bytes(verdict.floor),
            ceiling_words(ceiling)
        );
    }
    if let Some(forecast) = verdict.time_to_ceiling.filter(|_| verdict.state != State::Confirmed) {
        let _ = write!(
            text,
            " and gets there in {} (between {} and {})",
            units::seconds(forecast.p50),
            units::seconds(forecast.p10),
            units::seconds(forecast.p90)
        );
    }
    for advice in advised(verdict) {
        let _ = write!(text, "; {advice}");
    }
    text
}

/// What a reading of the heap said of the growth, where there was one.
fn heap_read(verdict: &Verdict) -> String {
    verdict.heap.map_or_else(String::new, |read| {
        format!(
            "; of the {} it had grown by when its heap was read, {} were garbage",
            units::bytes(read.grown),
            units::bytes(read.garbage)
        )
    })
}

fn confirmed(who: &str, version: &str, verdict: &Verdict, rate: &str) -> String {
    let runs = &verdict.runs;
    let mut text = format!(
        "{who}{version} leaks: {} runs in a row grew alike, by {rate}",
        runs.len()
    );
    let (slowest, fastest) = verdict.slope_interval;
    let (slowest, fastest) = (units::rate(slowest), units::rate(fastest));
    if slowest != fastest {
        let _ = write!(text, " ({slowest} to {fastest})");
    }
    if let Some(ceiling) = verdict.ceiling {
        let _ = write!(text, ", and ended at {}", ceiling_words(ceiling));
    }
    if let Some(period) = period_s(runs) {
        let _ = write!(text, ", every {}", units::seconds(period));
    }
    text
}

fn resolved(who: &str, version: &str, verdict: &Verdict) -> String {
    let Some(table) = &verdict.comparison else {
        return format!("{who}{version} no longer leaks: {}", verdict.because);
    };
    let (before, after) = (&table.before, &table.after);
    let old = before.version.as_ref().map_or("the version before", |v| v.0.as_str());
    format!(
        "{who}{version} no longer leaks: it has stayed below {} for {}, where {old} grew by {} to {} and lived for {}",
        units::bytes(after.peak),
        units::seconds(after.lifetime_s),
        units::rate(before.slope_bytes_per_hour),
        units::bytes(before.peak),
        units::seconds(before.lifetime_s)
    )
}

fn place_words(place: &str) -> &str {
    match place {
        "v8_heap" => "the JavaScript heap",
        "malloc" => "native allocations",
        "large_buffer" => "large buffers outside the heap",
        "file" => "files",
        "shmem" => "files in memory (a tmpfs such as /dev/shm, or shared memory), which outlive the process",
        other => other,
    }
}
