//! The report: reads cases, produces one page, its content decided once, written as HTML or as Markdown.

mod chapter;
mod html;
mod markdown;
mod page;
mod plot;
mod tables;

use observer_core::telemetry::units;

use crate::terminal::clean;

use super::{case::Case, timeline::time, workloads::rank};
use chapter::chapter;
use page::{Page, Table, left, long, right};

pub use html::html;
pub use markdown::markdown;
pub use page::About;

/// The page about one container, or about all there are: a table of them, and a chapter of each that something is said of.
pub fn page(cases: &[Case], about: &About, all: bool) -> Page {
    let told = |case: &&Case| !all || case.has_findings();
    let mut order: Vec<&Case> = cases.iter().collect();
    order.sort_by_key(|case| std::cmp::Reverse((rank(case.state()), case.has_findings())));
    let findings = cases.iter().filter(|case| case.has_findings()).count();
    let chapters: Vec<_> = order.iter().copied().filter(told).enumerate().map(chapter).collect();
    let title = match cases {
        [case] if !all => format!("Memory of {}", clean::name(&case.whose)),
        [_] => format!("Memory of 1 container, {findings} with findings"),
        _ => format!("Memory of {} containers, {findings} with findings", cases.len()),
    };
    Page {
        title,
        about: vec![
            about.source.clone(),
            format!(
                "made {} UTC by observer {}",
                time(about.made),
                env!("CARGO_PKG_VERSION")
            ),
        ],
        index: all.then(|| index(&order, chapters.len())),
        chapters,
    }
}

/// All of them in a table, those reported first.
fn index(cases: &[&Case], chapters: usize) -> Table {
    let head = vec![
        long("Service"),
        left("State"),
        right("Level"),
        right("Ceiling"),
        right("Growth"),
        right("To ceiling"),
    ];
    let row = |(nth, case): (usize, &&Case)| {
        let verdict = case.verdict.as_ref();
        let dash = || "-".to_owned();
        let bytes = |bytes: Option<f64>| bytes.map_or_else(dash, |bytes| units::bytes(bytes as u64));
        let slope = verdict
            .map(|verdict| verdict.slope_bytes_per_hour)
            .filter(|slope| *slope != 0.0);
        let cells = vec![
            clean::name(&case.whose).into_owned(),
            case.state().name().to_owned(),
            bytes(case.levels.last().map(|level| level.1)),
            bytes(case.ceiling_in_force()),
            slope.map_or_else(dash, units::rate),
            case.time_left().map_or_else(dash, units::seconds),
        ];
        (cells, (nth < chapters).then(|| page::anchor(nth)))
    };
    let (rows, links) = cases.iter().enumerate().map(row).unzip();
    Table { head, rows, links }
}

#[cfg(test)]
#[path = "../report_tests.rs"]
mod tests;
