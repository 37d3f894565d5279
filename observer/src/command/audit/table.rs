//! The table: reads what is said of all containers, produces lines for people, worst first.

use std::{collections::BTreeMap, fmt::Write as _};

use observer_core::telemetry::units;

use super::outcome::{Judged, Outcome};
use crate::terminal::{
    clean::{name, sentence},
    text,
};

const HEADINGS: [&str; 7] = ["", "CONTAINER", "LEVEL", "LIMIT", "GROWTH", "KILLS", "WHY"];
/// Columns of numbers, which stand at their right edge.
const RIGHT: [bool; 7] = [false, false, true, true, true, true, false];

/// The table and its totals; healthy containers and those not judged one by one where `all` says so.
pub(super) fn table(judged: &[Judged], all: bool) -> String {
    let listed = |one: &&Judged| all || !matches!(one.outcome, Outcome::Healthy | Outcome::NotJudged);
    let rows: Vec<[String; 7]> = judged.iter().filter(listed).map(row).collect();
    let mut widths = HEADINGS.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(text::width(cell));
        }
    }
    let mut page = String::new();
    if !rows.is_empty() {
        page += &line(&HEADINGS.map(str::to_owned), &widths);
        for row in &rows {
            page += &line(row, &widths);
        }
        page.push('\n');
    }
    page + &totals(judged)
}

fn row(one: &Judged) -> [String; 7] {
    let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), units::bytes);
    let growth = one.slope_bytes_per_hour.filter(|slope| *slope != 0.0);
    let mut why = sentence(&one.why).into_owned();
    if let Some(version) = one.version.as_ref().filter(|_| one.outcome == Outcome::Leaking) {
        // Writing to a string does not fail.
        let _ = write!(why, " [{}]", name(version));
    }
    [
        if one.gone {
            format!("{} (gone)", one.outcome.name())
        } else {
            one.outcome.name().to_owned()
        },
        name(&one.place().name()).into_owned(),
        bytes(one.level_bytes),
        bytes(one.limit_bytes),
        growth.map_or_else(|| "-".to_owned(), units::rate),
        if one.oom_kills == 0 {
            "-".to_owned()
        } else {
            one.oom_kills.to_string()
        },
        why,
    ]
}

fn line(cells: &[String; 7], widths: &[usize; 7]) -> String {
    let mut page = String::new();
    for ((cell, width), right) in cells.iter().zip(widths).zip(RIGHT) {
        let pad = " ".repeat(width.saturating_sub(text::width(cell)));
        page += &if right {
            format!("{pad}{cell}  ")
        } else {
            format!("{cell}{pad}  ")
        };
    }
    page.truncate(page.trim_end().len());
    page + "\n"
}

/// How many there are of each, and why some were not judged.
pub(super) fn totals(judged: &[Judged]) -> String {
    let count = |outcome: Outcome| judged.iter().filter(|one| one.outcome == outcome).count();
    let mut parts = Vec::new();
    for outcome in Outcome::ALL {
        let all = count(outcome);
        let gone = judged.iter().filter(|one| one.outcome == outcome && one.gone).count();
        if all > 0 || outcome == Outcome::Leaking {
            let gone = if gone == 0 || outcome > Outcome::Growing {
                String::new()
            } else {
                format!(" ({gone} gone)")
            };
            parts.push(format!("{all} {}{gone}", outcome.name()));
        }
    }
    let mut page = format!("{} containers: {}\n", judged.len(), parts.join(", "));
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for one in judged.iter().filter(|one| one.outcome == Outcome::NotJudged) {
        *reasons.entry(&one.why).or_default() += 1;
    }
    for (why, count) in reasons {
        page += &format!("  not judged, {count}: {}\n", sentence(why));
    }
    page
}
