//! What is made of a container: reads its metrics, produces what the audit says of it.

use observer_core::{
    detect::{
        Forecast, State, Verdict,
        replay::{Replay, Row, Said},
    },
    exit::Cause,
    finding::{LargerLimit, PageCache, RecurringOom},
    telemetry::{self, recurring_pattern, units},
    time::{BootTime, SECOND},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::history::{
    HistorySink, Output, line,
    prometheus::container::{Container, Place},
};

/// Readings below which nothing is said.
const FEWEST: u64 = 30;
/// Seconds that a run must last for anything to be said of it, where samples are 10 s apart or more.
const SHORTEST: f64 = 3_600.0;
/// Findings kept of each container: the last ones.
const FINDINGS: usize = 16;
/// Kills at the limit from which they are told where no leak is.
const KILLS: u32 = 2;

/// What is said of a container, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// `likely` or `confirmed` at the end of its history
    Leaking,
    /// Killed at its limit again and again, without a leak having been found
    Undersized,
    /// Its ceilings contradict each other
    Misfit,
    /// Grows, and nothing tells yet whether that will end
    Growing,
    /// None of these
    Healthy,
    /// Nothing can be said, and why
    NotJudged,
}

impl Outcome {
    pub(super) const ALL: [Self; 6] = [
        Self::Leaking,
        Self::Undersized,
        Self::Misfit,
        Self::Growing,
        Self::Healthy,
        Self::NotJudged,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Leaking => "leaking",
            Self::Undersized => "undersized",
            Self::Misfit => "misfit",
            Self::Growing => "growing",
            Self::Healthy => "healthy",
            Self::NotJudged => "not judged",
        }
    }
}

/// What the audit says of one container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Judged {
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) container: String,
    pub(super) outcome: Outcome,
    /// In a sentence.
    pub(super) why: String,
    /// Nothing was told of it at the end of the time looked at.
    pub(super) gone: bool,
    pub(super) state: State,
    pub(super) version: Option<String>,
    pub(super) owner_kind: Option<String>,
    /// Seconds since 1970.
    pub(super) first_s: Option<f64>,
    pub(super) last_s: Option<f64>,
    pub(super) samples: u64,
    pub(super) runs: u64,
    /// Ends at the limit of this version, as kube-state-metrics told them.
    pub(super) oom_kills: u32,
    pub(super) level_bytes: Option<u64>,
    pub(super) limit_bytes: Option<u64>,
    pub(super) slope_bytes_per_hour: Option<f64>,
    /// From `last_s` on.
    pub(super) time_to_ceiling_s: Option<Forecast>,
    /// What a larger limit would buy, where the growth leads to it.
    #[serde(default)]
    pub(super) larger_limit: Option<LargerLimit>,
    /// Page cache that makes its usage look close to its limit at the end of the time looked at.
    #[serde(default)]
    pub(super) page_cache: Option<PageCache>,
    /// What `observer replay` prints of it, as text: thousands of containers are held.
    pub(super) findings: Vec<Box<RawValue>>,
}

/// Listens to one container.
#[derive(Default)]
struct Heard {
    first: Option<f64>,
    last: f64,
    level: f64,
    file: f64,
    limit: Option<f64>,
    version: Option<String>,
    samples: u64,
    runs: u64,
    run: Option<u64>,
    run_started: f64,
    longest: f64,
    /// The last row ended a run.
    ended: bool,
    kills: u32,
    /// What was last said of kills that recur.
    recurring: Option<RecurringOom>,
    verdict: Option<Verdict>,
    /// An earlier version leaked.
    earlier: bool,
    misfit: Option<String>,
    findings: Vec<Box<RawValue>>,
}

impl HistorySink for Heard {
    fn row(&mut self, row: &Row<'_>) {
        self.samples += 1;
        self.first.get_or_insert(row.t);
        if self.run != row.run || self.runs == 0 {
            self.run = row.run;
            self.runs += 1;
            self.run_started = row.t;
        }
        self.longest = self.longest.max(row.t - self.run_started);
        self.ended = row.end.is_some();
        (self.last, self.level, self.file) = (row.t, row.anon, row.file.unwrap_or(0.0));
        self.limit = row.limit.filter(|limit| *limit > 0.0 && *limit < 1e15);
        if row.version != self.version.as_deref() {
            self.version = row.version.map(str::to_owned);
            // What an earlier version did says nothing of this one.
            (self.kills, self.recurring) = (0, None);
            self.earlier |= self.verdict.take().is_some_and(|verdict| reports_leak(verdict.state));
        }
        self.kills += u32::from(row.end == Some(Cause::KernelOom));
    }

    fn said(&mut self, series: &str, said: Said<'_>) {
        match said {
            Said::Verdict(verdict) => self.verdict = Some(verdict.clone()),
            Said::Misfit(_, misfit) => self.misfit = Some(misfit.advice.clone()),
            Said::Recurring(_, recurring) => self.recurring = Some(recurring.clone()),
        }
        if self.findings.len() == FINDINGS {
            self.findings.remove(0);
        }
        // A line that is no JSON would be a defect of `line`, which its own tests would show.
        let line = line::of(series, said, Output::Json).trim_end().to_owned();
        self.findings.extend(RawValue::from_string(line).ok());
    }
}

impl Heard {
    /// Seconds until the ceiling, where the run goes on.
    fn left(&self, verdict: &Verdict) -> Option<Forecast> {
        let now = BootTime((self.last.max(0.0) * SECOND as f64) as u64);
        verdict.time_left(now, self.level as u64).filter(|_| !self.ended)
    }

    fn page_cache(&self) -> Option<PageCache> {
        PageCache::of(self.file as u64, self.level as u64, self.limit? as u64)
    }
}

/// Judges one container; `end` is the last instant looked at, `step` seconds between two values.
pub(super) fn judge(place: &Place, kind: Option<&str>, metrics: &Container, end: f64, step: f64) -> Judged {
    let name = place.name();
    let mut heard = Heard::default();
    let mut replay = Replay::new(None);
    metrics.judge(&name, kind, &mut replay, &mut heard);
    replay.finish(&mut |series, said| heard.said(series, said));
    let (outcome, mut why) = say(&heard, kind, step);
    if let Some(page) = heard.page_cache().filter(|_| outcome != Outcome::NotJudged) {
        let joint = if why.is_empty() { "" } else { "; " };
        why += &format!("{joint}{}", telemetry::page_cache(&page));
    }
    let state = heard.verdict.as_ref().map_or(State::Quiet, |verdict| verdict.state);
    let reported = matches!(outcome, Outcome::Leaking | Outcome::Growing);
    let verdict = heard.verdict.as_ref().filter(|_| reported);
    Judged {
        outcome,
        why,
        gone: end - heard.last > (10.0 * step).max(600.0),
        state,
        version: heard.version.clone(),
        owner_kind: kind.map(str::to_owned),
        first_s: heard.first,
        last_s: heard.first.map(|_| heard.last),
        samples: heard.samples,
        runs: heard.runs,
        oom_kills: heard.kills,
        level_bytes: heard.first.map(|_| heard.level as u64),
        limit_bytes: heard.limit.map(|limit| limit as u64),
        slope_bytes_per_hour: verdict.map(|verdict| verdict.slope_bytes_per_hour),
        time_to_ceiling_s: verdict.and_then(|verdict| heard.left(verdict)),
        larger_limit: verdict.and_then(|verdict| verdict.larger_limit),
        page_cache: heard.page_cache(),
        findings: heard.findings,
        ..Judged::unasked(place, String::new())
    }
}

impl Judged {
    /// A container of which the server told nothing.
    pub(super) fn unasked(place: &Place, why: String) -> Self {
        Self {
            namespace: place.namespace.clone(),
            pod: place.pod.clone(),
            container: place.container.clone(),
            outcome: Outcome::NotJudged,
            why,
            gone: false,
            state: State::Quiet,
            version: None,
            owner_kind: None,
            first_s: None,
            last_s: None,
            samples: 0,
            runs: 0,
            oom_kills: 0,
            level_bytes: None,
            limit_bytes: None,
            slope_bytes_per_hour: None,
            time_to_ceiling_s: None,
            larger_limit: None,
            page_cache: None,
            findings: Vec::new(),
        }
    }

    pub(super) fn place(&self) -> Place {
        Place {
            namespace: self.namespace.clone(),
            pod: self.pod.clone(),
            container: self.container.clone(),
        }
    }

    /// Orders what needs looking at first: by outcome, what is still there, what comes soonest.
    pub(super) fn urgency(&self) -> (Outcome, bool, std::cmp::Reverse<State>, u64, Place) {
        let soon = self
            .time_to_ceiling_s
            .map_or(u64::MAX, |forecast| forecast.p50.max(0.0) as u64);
        (
            self.outcome,
            self.gone,
            std::cmp::Reverse(self.state),
            soon,
            self.place(),
        )
    }
}

/// Whether growth is said in this state.
const fn reports_leak(state: State) -> bool {
    matches!(state, State::Likely | State::Confirmed | State::Suspected)
}

fn say(heard: &Heard, kind: Option<&str>, step: f64) -> (Outcome, String) {
    if let Some(verdict) = &heard.verdict
        && reports_leak(verdict.state)
    {
        let outcome = if verdict.state == State::Suspected {
            Outcome::Growing
        } else {
            Outcome::Leaking
        };
        return (outcome, leak_sentence(verdict, heard));
    }
    if let Some(advice) = &heard.misfit {
        return (Outcome::Misfit, advice.clone());
    }
    if heard.kills >= KILLS {
        let limit = heard
            .limit
            .map_or_else(String::new, |limit| format!(" of {}", units::bytes(limit as u64)));
        let pattern = heard.recurring.as_ref().map(recurring_pattern);
        let pattern = pattern.as_deref().unwrap_or("no leak was found");
        return (
            Outcome::Undersized,
            format!("killed {} times at its limit{limit}; {pattern}", heard.kills),
        );
    }
    if matches!(kind, Some("Job" | "CronJob")) {
        return (
            Outcome::NotJudged,
            "a Job: it ends by itself, so growth says nothing".to_owned(),
        );
    }
    let shortest = SHORTEST * (step / 10.0).clamp(0.001, 1.0);
    if heard.samples < FEWEST {
        return (Outcome::NotJudged, format!("too few readings: fewer than {FEWEST}"));
    }
    if heard.longest < shortest {
        return (
            Outcome::NotJudged,
            format!("too short: none of its runs lasted {}", units::seconds(shortest)),
        );
    }
    let why = match heard.verdict.as_ref().map(|verdict| verdict.state) {
        Some(State::Resolved) => "an earlier version leaked; this one does not",
        None if heard.earlier => "an earlier version leaked; this one does not",
        Some(State::Retracted) => "it grew, and stopped",
        _ if heard.limit.is_none() => "no limit is known: only growth could have been told",
        _ => "",
    };
    (Outcome::Healthy, why.to_owned())
}

fn leak_sentence(verdict: &Verdict, heard: &Heard) -> String {
    let mut text = match verdict.state {
        // That is said once; more may have ended so since.
        State::Confirmed => format!("confirmed when {}; grows", verdict.because),
        _ => "grows".to_owned(),
    };
    if verdict.slope_bytes_per_hour > 0.0 {
        text += &format!(" by {}", units::rate(verdict.slope_bytes_per_hour));
    }
    if let Some(ceiling) = verdict.ceiling {
        text += &format!(", towards {}", units::bytes(ceiling.bytes));
    }
    if let Some(forecast) = heard.left(verdict) {
        text += &format!(
            ", there in {} ({} to {})",
            units::seconds(forecast.p50),
            units::seconds(forecast.p10),
            units::seconds(forecast.p90)
        );
    }
    if verdict.state == State::Suspected {
        text += "; a cache that fills looks the same";
    }
    if let Some(larger) = &verdict.larger_limit {
        text += &format!("; {}", telemetry::larger_limit(larger));
    }
    text
}
