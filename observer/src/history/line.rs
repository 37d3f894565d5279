//! A verdict as a line: reads a series' name and a verdict, produces JSON, or a sentence.

use observer_core::{
    detect::{Forecast, State, Verdict, replay::Said},
    finding::{Misfit, RecurringOom},
    telemetry,
    time::BootTime,
};
use serde::Serialize;

use crate::terminal::{clean, text};

/// How findings are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// One JSON object a line.
    #[default]
    Json,
    /// One sentence a line.
    Human,
}

#[derive(Serialize)]
struct Line<'a> {
    series: &'a str,
    /// Seconds, by the file's own clock.
    t: f64,
    event: &'a str,
    state: State,
    slope_bytes_per_hour: f64,
    time_to_ceiling_s: Option<Forecast>,
    ceiling: Option<observer_core::finding::Ceiling>,
    evidence: Evidence<'a>,
}

#[derive(Serialize)]
struct Evidence<'a> {
    because: &'a str,
    previous: State,
    slope_interval: (f64, f64),
    span_s: f64,
    floor_bytes: u64,
    first_version: Option<&'a str>,
    attribution: &'a Option<observer_core::detect::Attribution>,
    gates: &'a [observer_core::detect::Gate],
    runs: Vec<Run<'a>>,
    comparison: &'a Option<observer_core::detect::Comparison>,
    /// What a larger limit or a flag would buy, and page cache that is no reason to worry; where there is such advice.
    #[serde(skip_serializing_if = "Option::is_none")]
    larger_limit: Option<observer_core::finding::LargerLimit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heap_flag: Option<observer_core::finding::HeapFlag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    page_cache: Option<observer_core::finding::PageCache>,
}

#[derive(Serialize)]
struct Run<'a> {
    run: u64,
    started_s: f64,
    ended_s: f64,
    end: &'a str,
    peak_bytes: u64,
    slope_bytes_per_hour: Option<f64>,
}

/// The line of what is said, with its line break, fit to be printed.
pub fn of(series: &str, said: Said<'_>, output: Output) -> String {
    let shown = clean::name(series);
    let line = match (said, output) {
        (Said::Verdict(verdict), Output::Json) => json(series, verdict),
        (Said::Verdict(verdict), Output::Human) => sentence(&shown, verdict),
        (Said::Recurring(at, recurring), Output::Json) => recurring_json(series, at, recurring),
        (Said::Recurring(at, recurring), Output::Human) => {
            format!(
                "{:>14.0} s  {}\n",
                seconds(at.0),
                telemetry::recurring_oom(&shown, "", recurring)
            )
        }
        (Said::Misfit(at, misfit), Output::Json) => misfit_json(series, at, misfit),
        (Said::Misfit(at, misfit), Output::Human) => {
            format!("{:>14.0} s  {shown}: misfit: {}\n", seconds(at.0), misfit.advice)
        }
    };
    match output {
        Output::Json => text::visible_json(&line).into_owned(),
        Output::Human => line,
    }
}

/// A misfit changes nothing of what is said of the growth: its state is `quiet`.
fn misfit_json(series: &str, at: BootTime, misfit: &Misfit) -> String {
    let line = serde_json::json!({
        "series": series,
        "t": seconds(at.0),
        "event": "memory.misfit",
        "state": State::Quiet,
        "slope_bytes_per_hour": 0.0,
        "time_to_ceiling_s": null,
        "ceiling": null,
        "evidence": {
            "because": misfit.advice,
            "heap_limit": misfit.heap_limit,
            "cgroup_limit": misfit.cgroup_limit,
        },
    });
    format!("{line}\n")
}

/// Kills that recur change nothing of what is said of the growth either.
fn recurring_json(series: &str, at: BootTime, recurring: &RecurringOom) -> String {
    let (low, high) = recurring.from;
    let (end_low, end_high) = recurring.to;
    let line = serde_json::json!({
        "series": series,
        "t": seconds(at.0),
        "event": "memory.recurring_oom",
        "state": State::Quiet,
        "slope_bytes_per_hour": 0.0,
        "time_to_ceiling_s": null,
        "ceiling": recurring.ceiling,
        "evidence": {
            "because": telemetry::recurring_oom(series, "", recurring),
            "kills": recurring.kills,
            "within_s": recurring.within_s,
            "lifetime_s": recurring.lifetime_s,
            "from_bytes": [low, high],
            "to_bytes": [end_low, end_high],
            "pattern": recurring.pattern,
            "explanation": recurring.explanation,
            "advice": recurring.advice,
        },
    });
    format!("{line}\n")
}

fn seconds(ns: u64) -> f64 {
    (ns / 1_000_000) as f64 / 1_000.0
}

fn event(state: State) -> &'static str {
    match state {
        State::Quiet | State::Retracted => "memory.leak_retracted",
        State::Suspected => "memory.leak_suspected",
        State::Likely => "memory.leak_likely",
        State::Confirmed => "memory.leak_confirmed",
        State::Resolved => "memory.leak_resolved",
    }
}

fn json(series: &str, verdict: &Verdict) -> String {
    let line = Line {
        series,
        t: seconds(verdict.at.0),
        event: event(verdict.state),
        state: verdict.state,
        slope_bytes_per_hour: verdict.slope_bytes_per_hour,
        time_to_ceiling_s: verdict.time_to_ceiling,
        ceiling: verdict.ceiling,
        evidence: Evidence {
            because: &verdict.because,
            previous: verdict.previous,
            slope_interval: verdict.slope_interval,
            span_s: seconds(verdict.span_ns),
            floor_bytes: verdict.floor,
            first_version: verdict.first_version.as_ref().map(|version| version.0.as_str()),
            attribution: &verdict.attribution,
            gates: &verdict.gates,
            runs: verdict
                .runs
                .iter()
                .map(|run| Run {
                    run: run.run,
                    started_s: seconds(run.started.0),
                    ended_s: seconds(run.ended.0),
                    end: run.cause().name(),
                    peak_bytes: run.peak,
                    slope_bytes_per_hour: run.slope_bytes_per_hour,
                })
                .collect(),
            comparison: &verdict.comparison,
            larger_limit: verdict.larger_limit,
            heap_flag: verdict.heap_flag,
            page_cache: verdict.page_cache,
        },
    };
    // Plain data with string keys always serialises; an empty line would be seen by any reader.
    let mut text = serde_json::to_string(&line).unwrap_or_default();
    text.push('\n');
    text
}

const MB: f64 = 1_048_576.0;

fn sentence(series: &str, verdict: &Verdict) -> String {
    let mut text = format!("{:>14.0} s  {series}: {} ", seconds(verdict.at.0), verdict.state.name());
    text += &format!("({}); floor {:.0} MiB", verdict.because, verdict.floor as f64 / MB);
    if let Some(ceiling) = verdict.ceiling {
        text += &format!(" of {:.0} MiB", ceiling.bytes as f64 / MB);
    }
    if verdict.slope_bytes_per_hour != 0.0 {
        text += &format!(", {:+.1} MiB/h", verdict.slope_bytes_per_hour / MB);
    }
    if let Some(forecast) = verdict.time_to_ceiling {
        text += &format!(
            ", at the ceiling in {:.1} h ({:.1} to {:.1})",
            forecast.p50 / 3_600.0,
            forecast.p10 / 3_600.0,
            forecast.p90 / 3_600.0
        );
    }
    for run in &verdict.runs {
        text += &format!(
            "\n{:18}run {}: {:.1} h, peak {:.0} MiB, {}",
            "",
            run.run,
            run.duration_ns() as f64 / 3.6e12,
            run.peak as f64 / MB,
            run.cause().name()
        );
    }
    text.push('\n');
    text
}
