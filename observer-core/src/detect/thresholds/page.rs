//! The tables of docs/detection.md: reads the thresholds, writes them between the page's markers, and holds the page against
//! that.

use expect_test::expect_file;

use super::*;
use crate::units::bytes;

/// A share as the page prints it: `52 %`.
fn percent(share: f64) -> String {
    format!("{} %", (share * 1e4).round() / 100.0)
}

/// Hours as the page prints them.
fn hours(hours: f64) -> String {
    format!("{hours} h")
}

/// The saturation from which growth is `likely`.
fn saturation() -> Vec<[String; 3]> {
    let row = |place: String, share: String, why: &str| [place, share, why.to_owned()];
    vec![
        row(
            format!(
                "a run of this version already died that way; or {SLOW_DAYS} steady days that gained {} of the ceiling",
                percent(SLOW_GAINED)
            ),
            percent(AFTER_DEATH),
            "",
        ),
        row(
            format!(
                "V8's limit is unknown, and growth was straight for {}",
                hours(PERHAPS_V8_HOURS)
            ),
            percent(PERHAPS_V8),
            "V8 ends most processes at 55 to 60 % of the container's limit",
        ),
        row(
            format!("the run is older than {}", hours(GROWN_UP_HOURS)),
            percent(GROWN_UP),
            "",
        ),
        row(
            format!("the growth began late in the run, less than {} ago", hours(JOB_HOURS)),
            format!(
                "{}, or {} while half as much again is worked as before",
                percent(LATE),
                percent(LATE_AND_BUSY)
            ),
            "a nightly job; growth that quickens is excepted",
        ),
        row("it began late, longer ago".to_owned(), percent(LATE_AND_LONG), ""),
        row(
            format!("the run's first {}", hours(NEW_HOURS)),
            percent(NEW),
            "jobs and caches fill within them",
        ),
        row(
            format!("the load is unknown, before {}", hours(YOUNG_HOURS)),
            percent(BLIND),
            "a morning's traffic",
        ),
        row(
            "otherwise".to_owned(),
            percent(YOUNG),
            "ramps that level off mostly do below it",
        ),
        row(
            format!(
                "before {}: V8 may grow its heap to {} or more",
                hours(YOUNG_HOURS),
                bytes(LARGE_HEAP)
            ),
            percent(LAZY),
            "it collects such a heap late, and hard only near its end",
        ),
        row(
            format!(
                "before {}: less than {} of the ceiling was gained",
                hours(YOUNG_HOURS),
                percent(LITTLE)
            ),
            percent(SWINGING),
            "days of traffic do that",
        ),
        row(
            format!(
                "{FEW_STEPS} steps or fewer hold {} of the growth",
                percent(MOST_OF_GROWTH)
            ),
            percent(STAIRCASE),
            "a staircase: what comes next is anyone's guess",
        ),
    ]
}

/// The gates, in the order they are evaluated.
fn gates() -> Vec<[String; 3]> {
    let row = |gate: &str, rule: String, against: &str| [gate.to_owned(), rule, against.to_owned()];
    let above = percent(HIGH_WATER - 1.0);
    vec![
        row(
            "size",
            format!("growth of at least {} of the ceiling and {}", percent(SIZE_SHARE), bytes(SIZE_BYTES as u64)),
            "noise",
        ),
        row(
            "high_water",
            format!("the floor is {above} above all that this run held before the window, and above the peak before its last drop of {} of the ceiling", percent(LARGE_DROP)),
            "collection teeth, swings",
        ),
        row(
            "history",
            format!("{above} above the peaks of earlier runs that were bounded"),
            "caches after a restart, nightly restarts",
        ),
        row(
            "monotone_floor",
            format!("{RISES} of {} steps between the lowest floors of {BLOCKS} blocks rise", BLOCKS - 1),
            "oscillation",
        ),
        row("drift", format!("mean step at least {DRIFT_T} standard errors"), "random walks"),
        row(
            "significance",
            "Theil-Sen slope (Sen 1968), its 99 % interval above 0, Kendall's variance inflated by (1 + rho) / (1 - rho), at most 12".to_owned(),
            "autocorrelated noise",
        ),
        row("not_saturating", format!("the last third's slope at least {} of the whole's", percent(LAST_THIRD)), "warm-up"),
        row(
            "load_adjusted",
            format!("beside the load (as it is, and with lags of 2, 6 and 16 points) {} of the slope remains, with t of {LOAD_T}; over the whole run, from the onset that explains most, {} with t of {WHOLE_RUN_LOAD_T}. A load that would leave the service less than nothing without it explains nothing, and one that alone fits {NO_RIVAL} times worse than time does is no rival", percent(LOAD_SHARE), percent(WHOLE_RUN_LOAD_SHARE)),
            "daily traffic, traffic steps",
        ),
        row(
            "model",
            format!("the best of a line, a saturating exponential and a logarithm (BIC on the effective number of points) leads to the ceiling, at {} of the line's pace in the window and {} over the whole run", percent(REACHES), percent(WHOLE_RUN_REACHES)),
            "long cache fills, fragmentation",
        ),
        row(
            "collected",
            "where V8's heap limit is known and most of the growth is, or may be, in its heap: the floor stands above the level up to which V8 need not have collected, or the heap was read and most of the growth was no garbage".to_owned(),
            "garbage not collected yet",
        ),
    ]
}

/// The page with `rows` between the markers of this name.
fn with_table(page: &str, name: &str, head: [&str; 3], rows: &[[String; 3]]) -> String {
    let (begin, end) = (format!("<!-- begin {name} -->"), format!("<!-- end {name} -->"));
    let (before, rest) = page.split_once(&begin).unwrap();
    let (_, after) = rest.split_once(&end).unwrap();
    let mut table = format!("| {} |\n|---|---|---|\n", head.join(" | "));
    for row in rows {
        table += &format!("| {} |\n", row.join(" | ").replace("|  |", "| |"));
    }
    format!("{before}{begin}\n\n{table}\n{end}{after}")
}

#[test]
fn the_page_states_the_thresholds_in_force() {
    let page = include_str!("../../../../docs/detection.md");
    let page = with_table(page, "saturation", ["where", "share", "why"], &saturation());
    let page = with_table(&page, "gates", ["gate", "rule", "keeps out"], &gates());
    expect_file!["../../../../docs/detection.md"].assert_eq(&page);
}
