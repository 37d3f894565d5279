//! Scores what was said against the truth: reads a series and what a rule said, produces one line of figures.

use std::collections::BTreeMap;

use observer_core::detect::State;

use observer_tests::catalogue::{kinds, simulate::Series};

use super::judge::Statement;

const MONTH: f64 = 30.44 * 86_400.0;

/// What is known of one series after a rule has judged it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) kind: &'static str,
    pub(crate) seed: u64,
    pub(crate) leaks: bool,
    pub(crate) steady: bool,
    /// Accused (`likely` or `confirmed`) at all; confirmed at all.
    pub(crate) reported: bool,
    pub(crate) confirmed: bool,
    /// Times it said `likely` or more; times it said anything; versions that ran.
    pub(crate) alarms: usize,
    pub(crate) findings: usize,
    pub(crate) versions: usize,
    pub(crate) months: f64,
    pub(crate) deaths: usize,
    /// Accused before the first death.
    pub(crate) before_death: bool,
    /// Number of the death by which it was confirmed.
    pub(crate) confirmed_by: Option<usize>,
    /// Share of the first cycle that was left when it was reported, and seconds.
    pub(crate) lead: Option<(f64, f64)>,
    /// Relative error of the first forecast, and whether its interval held the truth.
    pub(crate) forecast: Option<(f64, bool)>,
    /// Seconds from the end of a ramp to the retraction of what was said of it.
    pub(crate) retracted: Option<f64>,
    pub(crate) states: Vec<(f64, State)>,
    /// Times it reported recurring kills.
    pub(crate) recurring: usize,
}

/// Scores one series.
pub(crate) fn score(series: &Series, said: &[Statement]) -> Outcome {
    let spec = &series.spec;
    let strong = |said: &&Statement| matches!(said.state, State::Likely | State::Confirmed);
    let first = said.iter().find(strong);
    let confirmed = said.iter().find(|said| said.state == State::Confirmed);
    let end = series.rows.last().map_or(0.0, |row| row.t);
    let death = series.deaths.first();
    let before_death = match (first, death) {
        (Some(first), Some((_, death))) => first.t < *death,
        (Some(_), None) => true,
        _ => false,
    };
    let lead = match (first, death) {
        (Some(first), Some((started, death))) => {
            let cycle = death - started.max(series.began);
            Some((((death - first.t) / cycle).clamp(-1.0, 1.0), death - first.t))
        }
        _ => None,
    };
    let forecast = said.iter().find(|said| said.state == State::Likely).and_then(|likely| {
        let (low, middle, high) = likely.foretold?;
        let (_, death) = series.deaths.iter().find(|(_, death)| *death >= likely.t)?;
        let truth = death - likely.t;
        (truth > 0.0).then(|| ((middle - truth).abs() / truth, low <= truth && truth <= high))
    });
    let retracted = match (series.levelled, first) {
        (Some(levelled), Some(_)) => said
            .iter()
            .find(|said| said.state == State::Retracted)
            .map_or(Some(end), |said| Some(said.t - levelled)),
        _ => None,
    };
    Outcome {
        kind: spec.kind,
        seed: spec.seed,
        leaks: spec.leaks(),
        steady: spec.steady(),
        reported: first.is_some(),
        confirmed: confirmed.is_some(),
        alarms: said.iter().filter(strong).count(),
        findings: said.len(),
        versions: series.rows.last().map_or(1, |row| row.version as usize + 1),
        months: end / MONTH,
        deaths: series.deaths.len(),
        before_death,
        confirmed_by: confirmed.map(|said| series.deaths.iter().filter(|(_, death)| *death <= said.t + 1.0).count()),
        lead,
        forecast,
        retracted,
        states: said.iter().map(|said| (said.t, said.state)).collect(),
        recurring: 0,
    }
}

/// The figures of a set of outcomes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) precision: f64,
    pub(crate) recall: f64,
    pub(crate) f1: f64,
    /// Accused before the first death, of those that died: steady leaks, all leaks.
    pub(crate) before_death: (f64, f64),
    /// False `likely` or `confirmed` per container-month.
    pub(crate) false_per_month: f64,
    pub(crate) confirmed_precision: f64,
    /// Of leaks that died so often: confirmed at the second, by the third death.
    pub(crate) confirmed_by: (f64, f64),
    /// Median lead, share of the cycle.
    pub(crate) lead: f64,
    /// Median relative error of the forecast: steady, others; share of intervals that held.
    pub(crate) forecast: (f64, f64),
    pub(crate) coverage: f64,
    /// Findings per leaking version, per clean container.
    pub(crate) volume: (f64, f64),
    /// Median seconds to retract after a ramp levelled off.
    pub(crate) retract: f64,
}

fn share(of: impl Iterator<Item = bool>) -> f64 {
    let (mut held, mut all) = (0.0, 0.0);
    for one in of {
        held += f64::from(u8::from(one));
        all += 1.0;
    }
    if all > 0.0 { held / all } else { f64::NAN }
}

pub(crate) fn median(of: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = of.collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Kinds that cannot be foretold well: few bursts, and few tall teeth. When they are reported, and how well their ends are
/// foretold, stands in their own lines.
const HARD: [&str; 2] = ["L19", "L20"];

/// Sums outcomes up. N4, which cannot be distinguished from a leak before it levels off, counts in its own line and in the volume only.
pub(crate) fn figures(outcomes: &[&Outcome]) -> Figures {
    let leaks = || outcomes.iter().filter(|outcome| outcome.leaks);
    let clean = || outcomes.iter().filter(|outcome| !outcome.leaks);
    let judged = || clean().filter(|outcome| outcome.kind != "N4");
    let true_positives = leaks().filter(|outcome| outcome.reported).count() as f64;
    let false_positives = judged().filter(|outcome| outcome.reported).count() as f64;
    let precision = true_positives / (true_positives + false_positives);
    let recall = share(leaks().map(|outcome| outcome.reported));
    // Alone in their line they are what it is about.
    let alone = outcomes.iter().all(|outcome| HARD.contains(&outcome.kind));
    let foretold = || leaks().filter(move |outcome| alone || !HARD.contains(&outcome.kind));
    let died = || foretold().filter(|outcome| outcome.deaths > 0);
    let confirmed_true = leaks().filter(|outcome| outcome.confirmed).count() as f64;
    let confirmed_false = clean().filter(|outcome| outcome.confirmed).count() as f64;
    let by = |deaths: usize| {
        share(
            foretold()
                .filter(|outcome| outcome.deaths >= deaths)
                .map(|outcome| outcome.confirmed_by.is_some_and(|by| by <= deaths)),
        )
    };
    let errors = |steady: bool| {
        median(
            foretold()
                .filter(|outcome| outcome.steady == steady)
                .filter_map(|outcome| Some(outcome.forecast?.0)),
        )
    };
    let leak_versions = leaks().map(|outcome| outcome.versions).sum::<usize>() as f64;
    Figures {
        precision,
        recall,
        f1: 2.0 * precision * recall / (precision + recall),
        before_death: (
            share(
                died()
                    .filter(|outcome| outcome.steady)
                    .map(|outcome| outcome.before_death),
            ),
            share(died().map(|outcome| outcome.before_death)),
        ),
        false_per_month: judged().map(|outcome| outcome.alarms).sum::<usize>() as f64
            / judged().map(|outcome| outcome.months).sum::<f64>(),
        confirmed_precision: confirmed_true / (confirmed_true + confirmed_false),
        confirmed_by: (by(2), by(3)),
        lead: median(foretold().filter_map(|outcome| Some(outcome.lead?.0))),
        forecast: (errors(true), errors(false)),
        coverage: share(foretold().filter_map(|outcome| Some(outcome.forecast?.1))),
        volume: (
            leaks().map(|outcome| outcome.findings).sum::<usize>() as f64 / leak_versions,
            clean().map(|outcome| outcome.findings).sum::<usize>() as f64 / clean().count() as f64,
        ),
        retract: median(outcomes.iter().filter_map(|outcome| outcome.retracted)),
    }
}

/// Outcomes by kind, in the catalogue's order.
pub(crate) fn by_kind(outcomes: &[Outcome]) -> Vec<(&'static str, Vec<&Outcome>)> {
    let mut kinds: BTreeMap<usize, (&'static str, Vec<&Outcome>)> = BTreeMap::new();
    for outcome in outcomes {
        let at = kinds::KINDS
            .iter()
            .position(|kind| *kind == outcome.kind)
            .unwrap_or(usize::MAX);
        kinds.entry(at).or_insert((outcome.kind, Vec::new())).1.push(outcome);
    }
    kinds.into_values().collect()
}
