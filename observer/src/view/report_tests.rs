//! Reports written: every text of theirs hostile, as HTML and as Markdown.

use observer_core::{
    detect::{Blame, Comparison, Gate, Side, State, Verdict},
    engine::view::ReleaseView,
    exit::{Cause, End},
    finding::{Ceiling, CeilingKind, Confidence, RunSummary},
    heap::{Compared, Diagnosis, Grower},
    identity::Version,
    memory_use::{KindBytes, MemoryGrowth, MemoryKind, MemoryUse},
    telemetry::Severity,
    time::{BootTime, WallTime},
};

use super::*;
use crate::{
    terminal::hostile,
    view::{case::Happened, sawtooth::Mark},
};

const HOUR: u64 = 3_600_000_000_000;

/// A container's memory, all of it free inside the allocator.
fn all_of_it(bytes: u64) -> MemoryUse {
    let kind = MemoryKind::Fragmentation;
    MemoryUse {
        usage: bytes,
        kinds: vec![KindBytes { kind, bytes }],
        trimmable: 40 << 20,
        arenas: 9,
    }
}

/// A case in which every text is this one.
fn case(name: &str) -> Case {
    let version = || Some(Version(name.to_owned()));
    let ceiling = Ceiling {
        bytes: 512 << 20,
        kind: CeilingKind::Cgroup,
    };
    let run = RunSummary {
        run: 1,
        started: BootTime(0),
        ended: BootTime(HOUR),
        version: version(),
        end: End {
            cause: Cause::KernelOom,
            confidence: Confidence::Observed,
            status: None,
            sender: None,
            because: name.to_owned(),
        },
        reported: Some(name.to_owned()),
        peak: 512 << 20,
        ceiling: Some(ceiling),
        slope_bytes_per_hour: Some(1e8),
    };
    let side = || Side {
        version: version(),
        baseline: 1 << 20,
        peak: 512 << 20,
        slope_bytes_per_hour: 1e8,
        lifetime_s: 3_600.0,
    };
    let verdict = Verdict {
        at: BootTime(HOUR),
        state: State::Confirmed,
        previous: State::Likely,
        previous_at: None,
        slope_bytes_per_hour: 1e8,
        slope_interval: (9e7, 1.1e8),
        span_ns: HOUR,
        floor: 300 << 20,
        ceiling: Some(ceiling),
        time_to_ceiling: None,
        runs: vec![run.clone()],
        first_version: version(),
        attribution: None,
        comparison: Some(Comparison {
            before: side(),
            after: side(),
        }),
        blame: Some(Blame {
            introduced_by: version(),
            since: WallTime(0),
            last_clean: version(),
            evidence: name.to_owned(),
        }),
        heap: None,
        diagnosis: None,
        larger_limit: None,
        heap_flag: None,
        page_cache: None,
        gates: vec![Gate {
            name: name.to_owned(),
            held: true,
            value: 2.0,
            threshold: 1.0,
        }],
        because: name.to_owned(),
    };
    let grower = Grower {
        what: name.to_owned(),
        place: Some(name.to_owned()),
        count: (1, 2),
        bytes: 1 << 20,
        held_by: vec![name.to_owned(); 3],
        culprit: true,
        retained: Some(1 << 20),
        share: Some(0.9),
    };
    Case {
        whose: name.to_owned(),
        verdicts: vec![verdict.clone()],
        verdict: Some(verdict),
        contradicted_by: Some(name.to_owned()),
        said: vec![(60.0, State::Suspected), (3_000.0, State::Confirmed)],
        levels: (0..60u32)
            .map(|nth| (f64::from(nth) * 60.0, f64::from(nth) * 8e6))
            .collect(),
        began: Some(WallTime(1_777_626_725_000_000_000)),
        ends: vec![Mark {
            at: 1_800.0,
            died: true,
            how: "kernel_oom",
        }],
        rollouts: vec![(600.0, name.to_owned())],
        ceiling: Some(512e6),
        ceilings: vec![ceiling],
        recurring: Some(name.to_owned()),
        diagnosis: Some(Diagnosis {
            compared: Compared::Versions(version(), version()),
            growers: vec![grower],
            grown: 1 << 20,
            explained: 1.0,
            exact: true,
            readings: 2,
            container: None,
            memory: Some(Box::new(MemoryGrowth {
                apart_s: 60.0,
                before: all_of_it(100 << 20),
                after: all_of_it(180 << 20),
            })),
        }),
        happened: vec![Happened {
            wall: None,
            since: 60.0,
            severity: Severity::Error,
            what: name.to_owned(),
        }],
        runs: vec![run],
        releases: vec![ReleaseView {
            version: version(),
            first_seen: WallTime(0),
            found: false,
            last_seen: WallTime(0),
            runs: 1,
            live: 0,
            ends: vec![(Cause::KernelOom, 1)],
            state: State::Confirmed,
            slope_bytes_per_hour: Some(1e8),
            peak: 1,
        }],
        unseen: vec![name.to_owned()],
        ..Case::default()
    }
}

fn about() -> About {
    About {
        source: "from a test".to_owned(),
        made: WallTime(1_777_626_725_000_000_000),
    }
}

#[test]
fn every_part_is_there() {
    let page = page(&[case("checkout")], &about(), false);
    let (html, markdown) = (html(&page), markdown(&page));
    for part in [
        "A leak is confirmed",
        "Memory over time",
        "What is known",
        "What happened",
        "Runs",
        "Versions",
        "Before and after",
        "What grew in the heap",
        "Where its memory is",
        "malloc",
        "What the verdict stands on",
        "What was not seen",
        "2026-05-01 09:12:05",
        "kernel_oom",
        "512 MiB",
        "checkout",
    ] {
        assert!(html.contains(part), "{part:?} is missing in\n{html}");
        let part = part.replace("A leak", "a leak").replace('_', "\\_");
        assert!(markdown.contains(&part), "{part:?} is missing in\n{markdown}");
    }
    assert!(
        html.contains("held by checkout -&gt; checkout -&gt; checkout"),
        "{html}"
    );
    // One chart for screens and one for telephones.
    assert_eq!(html.matches("<svg").count(), 2);
}

/// What of Markdown is not escaped.
fn unescaped(markdown: &str) -> String {
    let mut letters = markdown.chars();
    let mut bare = String::new();
    while let Some(letter) = letters.next() {
        if letter == '\\' {
            letters.next();
        } else {
            bare.push(letter);
        }
    }
    bare
}

#[test]
fn names_are_text_and_nothing_else() {
    let plain = html(&page(&[case("checkout")], &about(), false));
    let markup = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "</style></svg><b>",
        "[link](javascript:alert(1)) ![i](http://x/y) <b>| |\n\n# heading `code` ~~~ @all",
    ];
    let names = hostile::names().into_iter().filter(|name| !name.is_empty());
    for name in names.chain(markup.map(str::to_owned)) {
        let page = page(&[case(&name)], &about(), false);
        let (html, markdown) = (html(&page), markdown(&page));
        hostile::harmless(&html);
        hostile::harmless(&markdown);
        // As many tags as with a name that is none.
        assert_eq!(html.matches('<').count(), plain.matches('<').count(), "{name:.100}");
        assert!(html.len() < 200_000, "{} bytes", html.len());
        let bare = unescaped(&markdown);
        for raw in ["<script", "<img", "<b>", "[link]", "![i]", "`code`"] {
            assert!(!bare.contains(raw), "{raw:?} in\n{markdown:.2000}");
        }
        let rows = bare.lines().filter(|line| line.starts_with('|'));
        for row in rows {
            assert!(row.ends_with('|'), "{row:.300}");
        }
    }
}

#[test]
fn all_of_them_have_a_table_and_those_of_which_something_is_said_a_chapter() {
    let quiet = Case {
        whose: "quiet".to_owned(),
        levels: vec![(0.0, 1e7)],
        ..Case::default()
    };
    let page = page(&[quiet, case("checkout")], &about(), true);
    let html = html(&page);
    assert!(html.contains("Memory of 2 containers, 1 with findings"), "{html}");
    assert_eq!(html.matches("<article").count(), 1);
    assert!(
        html.find("href=\"#workload-1\">checkout") < html.find(">quiet<"),
        "{html}"
    );
}
