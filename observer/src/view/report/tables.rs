//! The tables of a chapter: read a case, produce rows.

use observer_core::{
    detect::Gate,
    finding::{Confidence, RunSummary},
    heap::{Compared, Diagnosis, Grower},
    telemetry::{Severity, units},
    time::SECOND,
};

use super::page::{Block, Table, left, long, right};
use crate::view::{
    case::{Case, HAPPENED},
    explain::question::answer,
    timeline::{time, version},
    wording::size,
};

fn table(head: Vec<super::page::Column>, rows: Vec<Vec<String>>) -> Table {
    Table {
        head,
        rows,
        links: Vec::new(),
    }
}

fn dash() -> String {
    "-".to_owned()
}

pub(super) fn happened(case: &Case) -> Vec<Block> {
    if case.happened.is_empty() {
        return Vec::new();
    }
    let row = |happened: &crate::view::case::Happened| {
        let when = happened
            .wall
            .map_or_else(|| format!("after {}", units::seconds(happened.since)), time);
        let how = match happened.severity {
            Severity::Info => "",
            Severity::Warn => "warning",
            Severity::Error => "error",
        };
        vec![when, how.to_owned(), happened.what.clone()]
    };
    let rows = case.happened.iter().map(row).collect();
    let mut blocks = vec![Block::Table(table(
        vec![left("When"), left("Severity"), long("What")],
        rows,
    ))];
    if case.happened.len() >= HAPPENED {
        blocks.insert(0, Block::Text(format!("The last {HAPPENED}.")));
    }
    blocks
}

/// Runs that ended; those that a verdict compared where no others are known.
pub(super) fn runs(case: &Case) -> Vec<Block> {
    let compared = case.verdict.as_ref().map_or(&[][..], |verdict| &verdict.runs);
    let runs = if case.runs.is_empty() { compared } else { &case.runs[..] };
    if runs.is_empty() {
        return Vec::new();
    }
    let row = |run: &RunSummary| {
        let alike = compared.iter().any(|one| one.run == run.run && one.ended == run.ended);
        vec![
            run.run.to_string(),
            version(run.version.as_ref()),
            units::seconds(run.duration_ns() as f64 / SECOND as f64),
            if run.peak > 0 { size(run.peak as f64) } else { dash() },
            run.ceiling.map_or_else(dash, |ceiling| size(ceiling.bytes as f64)),
            run.slope_bytes_per_hour.map_or_else(dash, units::rate),
            run.cause().name().to_owned(),
            run.reported.clone().unwrap_or_else(dash),
            if alike { "yes" } else { "" }.to_owned(),
        ]
    };
    let head = vec![
        right("Run"),
        left("Version"),
        right("Lived"),
        right("Peak"),
        right("Ceiling"),
        right("Growth"),
        left("Ended by"),
        left("Its owner says"),
        left("Compared"),
    ];
    let mut blocks = vec![Block::Table(table(head, runs.iter().map(row).collect()))];
    if case.runs.is_empty() && case.ends.len() > runs.len() {
        let only = format!("Those that the verdict compared; {} ended in all.", case.ends.len());
        blocks.insert(0, Block::Text(only));
    }
    blocks
}

pub(super) fn versions(case: &Case) -> Vec<Block> {
    if case.releases.iter().all(|release| release.version.is_none()) {
        return Vec::new();
    }
    let rows = case.releases.iter().map(|release| {
        let ends = release.ends.iter();
        let ends: Vec<String> = ends.map(|(cause, count)| format!("{count} {}", cause.name())).collect();
        vec![
            version(release.version.as_ref()),
            time(release.first_seen),
            release.runs.to_string(),
            ends.join(", "),
            release.state.name().to_owned(),
            release.slope_bytes_per_hour.map_or_else(dash, units::rate),
        ]
    });
    let head = vec![
        left("Version"),
        left("First seen"),
        right("Runs"),
        long("Ends"),
        left("State"),
        right("Growth"),
    ];
    vec![Block::Table(table(head, rows.collect()))]
}

pub(super) fn comparison(case: &Case) -> Vec<Block> {
    let Some(both) = case.verdict.as_ref().and_then(|verdict| verdict.comparison.as_ref()) else {
        return Vec::new();
    };
    let rows = [("before", &both.before), ("after", &both.after)].map(|(when, side)| {
        vec![
            when.to_owned(),
            version(side.version.as_ref()),
            size(side.baseline as f64),
            size(side.peak as f64),
            units::rate(side.slope_bytes_per_hour),
            units::seconds(side.lifetime_s),
        ]
    });
    let head = vec![
        left(""),
        left("Version"),
        right("From"),
        right("To"),
        right("Growth"),
        right("Lived"),
    ];
    vec![Block::Table(table(head, rows.to_vec()))]
}

/// Suspects with how they are held, then all that grew.
pub(super) fn growers(diagnosis: &Diagnosis) -> Vec<Block> {
    let mut blocks = vec![Block::Text(compared(diagnosis))];
    let suspects: Vec<String> = diagnosis.culprits().map(suspect).collect();
    if suspects.is_empty() {
        blocks.push(Block::Text("No one place accumulates it.".to_owned()));
    } else {
        blocks.push(Block::Text(
            "Suspects, and what holds them, from the root down:".to_owned(),
        ));
        blocks.push(Block::Items(suspects));
    }
    let rows = diagnosis.growers.iter().map(|grower| {
        vec![
            grower.what.clone(),
            grower.place.clone().unwrap_or_else(dash),
            grower.count.0.to_string(),
            grower.count.1.to_string(),
            units::bytes(grower.bytes),
            grower.share.map_or_else(dash, units::percent),
            if grower.culprit { "yes" } else { "" }.to_owned(),
        ]
    });
    let head = vec![
        long("What"),
        long("Where in the source"),
        right("Before"),
        right("After"),
        right("Grown by"),
        right("Share"),
        left("Suspect"),
    ];
    blocks.push(Block::Table(table(head, rows.collect())));
    blocks
}

fn compared(diagnosis: &Diagnosis) -> String {
    let exact = if diagnosis.exact {
        ""
    } else {
        " Dead objects could not be told apart: the numbers are upper bounds."
    };
    let grown = units::bytes(diagnosis.grown);
    match &diagnosis.compared {
        Compared::Times(apart) => format!("It holds {grown} more than {} before.{exact}", units::seconds(*apart)),
        Compared::Versions(from, to) => format!(
            "Version {} holds {grown} that version {} did not.{exact}",
            version(to.as_ref()),
            version(from.as_ref())
        ),
    }
}

fn suspect(grower: &Grower) -> String {
    let place = grower
        .place
        .as_ref()
        .map_or_else(String::new, |place| format!(" ({place})"));
    let held = match &grower.held_by[..] {
        [] => "no one place".to_owned(),
        path => path.join(" -> "),
    };
    let retained = grower.retained.map_or_else(String::new, |retained| {
        format!("; without that place {} would be free", units::bytes(retained))
    });
    format!("{}{place}: held by {held}{retained}", grower.what)
}

/// Where it grew, and the counters as they stand.
pub(super) fn places(case: &Case) -> Vec<Block> {
    let mut blocks = Vec::new();
    if let Some(attribution) = case.attribution() {
        let shares = &attribution.shares;
        let how = match attribution.confidence {
            Confidence::Observed => "counted from the calls that asked for the memory",
            Confidence::Inferred => "from the kernel's accounts, which do not tell V8's heap from other memory",
        };
        blocks.push(Block::Text(format!("Of its growth, {how}:")));
        let all = [
            ("V8's heap", shares.v8_heap),
            ("the allocator (malloc)", shares.malloc),
            ("large buffers", shares.large_buffer),
            ("files, page cache", shares.file),
            ("files in memory, shared memory", shares.shmem),
            ("other", shares.other),
        ];
        let mut rows: Vec<(f64, Vec<String>)> = all
            .into_iter()
            .filter(|(_, share)| *share > 0.0)
            .map(|(place, share)| {
                let bytes = size(share * attribution.bytes as f64);
                (share, vec![place.to_owned(), units::percent(share), bytes])
            })
            .collect();
        rows.sort_by(|a, b| b.0.total_cmp(&a.0));
        let head = vec![left("Place"), right("Share"), right("Bytes")];
        blocks.push(Block::Table(table(
            head,
            rows.into_iter().map(|(_, row)| row).collect(),
        )));
    }
    let rows = counters(case);
    if !rows.is_empty() {
        blocks.push(Block::Text("As it was read last:".to_owned()));
        blocks.push(Block::Table(table(vec![left("Counter"), right("Bytes")], rows)));
    }
    blocks
}

fn counters(case: &Case) -> Vec<Vec<String>> {
    let run = case.current.as_ref();
    let cgroup = case.counters.as_ref();
    let of_run = |pick: fn(&observer_core::engine::view::RunView) -> Option<u64>| run.and_then(pick);
    let of_cgroup = |pick: fn(&observer_core::sample::CgroupLevel) -> u64| cgroup.map(pick);
    let all = [
        (
            "used, page cache included",
            of_cgroup(|level| level.usage).or(of_run(|run| run.usage)),
        ),
        ("anonymous", of_cgroup(|level| level.anon).or(of_run(|run| run.anon))),
        ("page cache", of_cgroup(|level| level.file)),
        ("files in memory, shared memory", of_cgroup(|level| level.shmem)),
        ("swapped out", of_cgroup(|level| level.swap)),
        (
            "kernel memory that is not reclaimed",
            of_cgroup(|level| level.slab_unreclaimable),
        ),
        ("resident in the main process", of_run(|run| run.rss)),
        ("V8's heap limit, predicted", of_run(|run| run.heap_limit)),
        ("highest usage", of_run(|run| Some(run.peak))),
    ];
    all.into_iter()
        .filter_map(|(name, bytes)| Some((name, bytes.filter(|bytes| *bytes > 0)?)))
        .map(|(name, bytes)| vec![name.to_owned(), units::bytes(bytes)])
        .collect()
}

/// Questions with their answers.
pub(super) fn answers(gates: &[Gate]) -> Table {
    let rows = gates.iter().map(|gate| {
        let answer = answer(gate);
        vec![
            if answer.held { "yes" } else { "no" }.to_owned(),
            answer.asked,
            answer.measured,
            answer.needed.unwrap_or_else(dash),
        ]
    });
    let head = vec![left("Held"), long("Question"), right("Measured"), right("At least")];
    table(head, rows.collect())
}
