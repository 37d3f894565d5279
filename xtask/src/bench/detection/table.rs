//! The table of docs/detection.md: reads outcomes, produces Markdown between the page's markers.

use std::{fmt::Write, fs, path::Path};

use anyhow::{Context, Result, bail};

use observer_tests::catalogue::kinds::describe;

use super::score::{Outcome, by_kind, figures, median};

const BEGIN: &str = "<!-- begin: cargo xtask bench detection -->";
const END: &str = "<!-- end: cargo xtask bench detection -->";

fn number(value: f64, digits: usize) -> String {
    if value.is_finite() {
        format!("{value:.digits$}")
    } else {
        "-".to_owned()
    }
}

/// All rules side by side, then ours kind by kind.
pub(crate) fn markdown(title: &str, ours: &[Outcome], peers: &[(&str, Vec<Outcome>)]) -> String {
    let mut text = format!("{title}\n\n");
    text += "| rule | P | R | F1 | alarms per container-month | false ones per clean month | reported before the first death | median lead |\n|---|---|---|---|---|---|---|---|\n";
    let one = |name: &str, outcomes: &[Outcome]| {
        let all: Vec<&Outcome> = outcomes.iter().collect();
        let f = figures(&all);
        let volume = outcomes.iter().map(|outcome| outcome.alarms).sum::<usize>() as f64
            / outcomes.iter().map(|outcome| outcome.months).sum::<f64>();
        format!(
            "| {name} | {} | {} | {} | {} | {} | {} | {} |\n",
            number(f.precision, 3),
            number(f.recall, 3),
            number(f.f1, 3),
            number(volume, 2),
            number(f.false_per_month, 2),
            number(f.before_death.1, 3),
            number(f.lead, 2)
        )
    };
    text += &one("**observer**", ours);
    for (name, outcomes) in peers {
        text += &one(name, outcomes);
    }
    let all: Vec<&Outcome> = ours.iter().collect();
    let f = figures(&all);
    let _ = write!(
        text,
        "\nobserver, beside that: `confirmed` P {}; confirmed at the second death {}, by the third {}; before the first death of a steady leak {}; \
         median error of the first forecast {} (steady) and {} (others), true time within p10-p90 {}; findings per leaking version {}, per clean container {}.\n",
        number(f.confirmed_precision, 3),
        number(f.confirmed_by.0, 3),
        number(f.confirmed_by.1, 3),
        number(f.before_death.0, 3),
        number(f.forecast.0, 2),
        number(f.forecast.1, 2),
        number(f.coverage, 2),
        number(f.volume.0, 2),
        number(f.volume.1, 2)
    );
    text += "\n| kind | what | series | reported | confirmed | before 1st death | by 2nd | by 3rd | lead | forecast error | within p10-p90 | findings | `recurring_oom` | to retract, min |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
    for (kind, of) in by_kind(ours) {
        let f = figures(&of);
        let _ = writeln!(
            text,
            "| {kind} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            describe(kind),
            of.len(),
            of.iter().filter(|outcome| outcome.reported).count(),
            of.iter().filter(|outcome| outcome.confirmed).count(),
            number(f.before_death.1, 2),
            number(f.confirmed_by.0, 2),
            number(f.confirmed_by.1, 2),
            number(f.lead, 2),
            number(median(of.iter().filter_map(|outcome| Some(outcome.forecast?.0))), 2),
            number(f.coverage, 2),
            number(
                of.iter().map(|outcome| outcome.findings).sum::<usize>() as f64 / of.len() as f64,
                2
            ),
            number(
                of.iter().map(|outcome| outcome.recurring).sum::<usize>() as f64 / of.len() as f64,
                2
            ),
            number(f.retract / 60.0, 0)
        );
    }
    text
}

/// Puts `table` between the markers of `page`.
pub(crate) fn write(page: &Path, table: &str) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))?;
    let (Some(begin), Some(end)) = (text.find(BEGIN), text.find(END)) else {
        bail!("{} has no markers {BEGIN:?} and {END:?}", page.display());
    };
    let before = text.get(..begin + BEGIN.len()).unwrap_or_default();
    let after = text.get(end..).unwrap_or_default();
    fs::write(page, format!("{before}\n{table}{after}")).with_context(|| format!("cannot write {}", page.display()))
}
