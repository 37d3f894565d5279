//! The report: reads cases, produces one page, its content decided once, written as HTML or as Markdown.

mod chapter;
mod html;
mod markdown;
mod page;
mod plot;
mod tables;

use observer_core::{detect::State, telemetry::units};

use crate::terminal::clean;

use super::{case::Case, timeline::time, workloads::rank};
use chapter::chapter;
use page::{Page, Table, left, long, right};

pub use html::html;
pub use markdown::markdown;
pub use page::About;

/// The page about one container, or about all there are: a table of them, and a chapter of each that something is said of.
pub fn page(cases: &[Case], about: &About, all: bool) -> Page {
    let told = |case: &&Case| !all || rank(case.state()) > State::Quiet || case.recurring.is_some();
    let mut order: Vec<&Case> = cases.iter().collect();
    order.sort_by_key(|case| std::cmp::Reverse(rank(case.state())));
    let chapters: Vec<_> = order.iter().copied().filter(told).enumerate().map(chapter).collect();
    let title = match cases {
        [case] if !all => format!("Memory of {}", clean::name(&case.whose)),
        [_] => format!("Memory of 1 container, {} with findings", chapters.len()),
        _ => format!("Memory of {} containers, {} with findings", cases.len(), chapters.len()),
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
        let left = verdict.and_then(|verdict| verdict.time_to_ceiling);
        let cells = vec![
            clean::name(&case.whose).into_owned(),
            case.state().name().to_owned(),
            bytes(case.levels.last().map(|level| level.1)),
            bytes(case.ceiling),
            slope.map_or_else(dash, units::rate),
            left.map_or_else(dash, |left| units::seconds(left.p50)),
        ];
        (cells, (nth < chapters).then(|| page::anchor(nth)))
    };
    let (rows, links) = cases.iter().enumerate().map(row).unzip();
    Table { head, rows, links }
}

#[cfg(test)]
#[path = "../report_tests.rs"]
mod tests;
