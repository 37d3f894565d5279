//! The outcome as text for people, JSON, JUnit's XML, or annotations of GitHub Actions.

use std::{env, path::Path};

use maud::{Markup, PreEscaped, Render as _, html};
use observer_core::telemetry::units;

use super::outcome::{Judged, Outcome, Verdict};
use crate::terminal::{clean, text};

/// For people: a line in all, one for each process, and what leaks.
pub(super) fn human(outcome: &Outcome) -> String {
    let mut page = format!("observer watch: {}\n", outcome.sentence());
    if let Some(memory) = outcome.memory {
        let (highest, last) = (units::bytes(memory.highest_bytes), units::bytes(memory.last_bytes));
        page +=
            &format!("  all of it, in a cgroup of its own: {highest} at most, {last} at last, page cache left aside\n");
    }
    for judged in &outcome.processes {
        page += &format!(
            "  {} (pid {}): {}\n",
            clean::name(&judged.name),
            judged.pid,
            clean::sentence(&judged.sentence())
        );
        for detail in judged.details() {
            for (nth, line) in text::wrapped(&clean::sentence(&detail), 110).iter().enumerate() {
                page += &format!("    {}{line}\n", if nth == 0 { "" } else { "  " });
            }
        }
    }
    if outcome.verdict == Verdict::Leaks {
        page += "  a cache that has not filled yet looks the same: where one is meant, watch for longer than it takes to fill\n";
    }
    page
}

/// A test case for each process.
pub(super) fn junit(outcome: &Outcome) -> String {
    let count = |verdict: Verdict| {
        outcome
            .processes
            .iter()
            .filter(|judged| judged.verdict == verdict)
            .count()
    };
    let xml = html! {
        testsuites {
            testsuite name="observer watch" tests=(outcome.processes.len()) failures=(count(Verdict::Leaks))
                errors="0" skipped=(count(Verdict::NotJudged)) time=(format!("{:.3}", outcome.watched_s)) {
                @for judged in &outcome.processes { (case(judged)) }
            }
        }
    };
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}\n", xml.into_string())
}

fn case(judged: &Judged) -> Markup {
    let lines = judged.details();
    let said = clean::sentence(&judged.sentence()).into_owned();
    let name = clean::name(&judged.name).into_owned();
    html! {
        testcase classname="watch" name=(format!("{name} (pid {})", judged.pid)) time=(format!("{:.3}", judged.lived_s)) {
            @match judged.verdict {
                Verdict::Leaks => {
                    failure type="leak" message=(said) {
                        @for line in &lines { (PreEscaped(clean::sentence(line).render().into_string())) "\n" }
                    }
                }
                Verdict::NotJudged => { skipped message=(said) {} }
                Verdict::Clean if lines.is_empty() => {}
                Verdict::Clean => {
                    system-out { @for line in &lines { (clean::sentence(line)) "\n" } }
                }
            }
        }
    }
}

/// An annotation on the line where what leaks is made, for each culprit; one without a place where there is none.
pub(super) fn github(outcome: &Outcome) -> String {
    let mut page = String::new();
    for judged in outcome
        .processes
        .iter()
        .filter(|judged| judged.verdict == Verdict::Leaks)
    {
        let said = format!("{} {}", judged.name, judged.sentence());
        if judged.culprits.is_empty() {
            let all: Vec<String> = std::iter::once(said.clone()).chain(judged.details()).collect();
            page += &format!("::error title=Memory leak::{}\n", data(&all.join(": ")));
        }
        for culprit in &judged.culprits {
            let mut place = String::new();
            if let Some(file) = culprit.file.as_deref().filter(|file| file.starts_with('/')) {
                place = format!("file={},", property(&below_workspace(file)));
                if let Some(line) = culprit.line {
                    place += &format!("line={line},");
                }
            }
            page += &format!(
                "::error {place}title=Memory leak::{}\n",
                data(&format!("{said}: {}", culprit.sentence()))
            );
        }
    }
    for judged in outcome
        .processes
        .iter()
        .filter(|judged| judged.verdict == Verdict::Clean)
    {
        for detail in judged.details() {
            let said = data(&format!("{}: {detail}", judged.name));
            page += &format!("::notice title=observer watch::{said}\n");
        }
    }
    if outcome.verdict == Verdict::NotJudged {
        page += &format!("::warning title=observer watch::{}\n", data(&outcome.sentence()));
        let outside = |judged: &&Judged| judged.verdict == Verdict::NotJudged && judged.outside_heap.is_some();
        for judged in outcome.processes.iter().filter(outside) {
            let said = data(&format!("{}: {}", judged.name, judged.sentence()));
            page += &format!("::warning title=observer watch::{said}\n");
        }
    }
    page
}

/// As the repository has it.
fn below_workspace(file: &str) -> String {
    let workspace = env::var_os("GITHUB_WORKSPACE")
        .map(Into::into)
        .or_else(|| env::current_dir().ok());
    let below = workspace
        .as_deref()
        .and_then(|root: &Path| Path::new(file).strip_prefix(root).ok());
    below.map_or_else(|| file.to_owned(), |below| below.display().to_string())
}

/// A command's text, escaped as GitHub's runner reads it.
fn data(text: &str) -> String {
    clean::sentence(text)
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// And a property's.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::{
        command::watch::{
            outcome::{Culprit, Ended},
            outside::{Risen, What},
        },
        terminal::hostile,
    };

    fn outcome(name: &str) -> Outcome {
        let culprit = Culprit {
            what: name.to_owned(),
            file: Some(format!("/srv/app/{name}")),
            line: Some(7),
            held_by: vec![name.to_owned(), "Map".to_owned()],
            new: 2_000,
            per_round: Some(200.0),
            grown_bytes: 3 << 20,
            share: Some(0.97),
        };
        let judged = Judged {
            pid: 42,
            name: name.to_owned(),
            verdict: Verdict::Leaks,
            lived_s: 20.0,
            readings: 7,
            rounds: 10,
            over_s: 12.0,
            held_bytes: Some((5 << 20, 8 << 20)),
            culprits: vec![culprit],
            outside_heap: None,
            why: String::new(),
        };
        Outcome::of("node a.js".to_owned(), Ended::Itself(0), 20.0, 12, vec![judged])
    }

    #[test]
    fn every_format() {
        let outcome = outcome("cache.js");
        expect![[r"
            observer watch: it leaks (watched for 20 s, 12 rounds)
              cache.js (pid 42): leaks: what it holds went from 5.0 MiB to 8.0 MiB over 10 rounds and 12 s
                97 % of it: 2000 more cache.js (/srv/app/cache.js:7), 200 in each round, 3.0 MiB; held by cache.js -> Map
              a cache that has not filled yet looks the same: where one is meant, watch for longer than it takes to fill
        "]]
        .assert_eq(&human(&outcome));
        expect![[r"
            ::error file=/srv/app/cache.js,line=7,title=Memory leak::cache.js leaks: what it holds went from 5.0 MiB to 8.0 MiB over 10 rounds and 12 s: 97 %25 of it: 2000 more cache.js (/srv/app/cache.js:7), 200 in each round, 3.0 MiB; held by cache.js -> Map
        "]]
        .assert_eq(&github(&outcome));
        expect![[r#"
            <?xml version="1.0" encoding="UTF-8"?>
            <testsuites><testsuite name="observer watch" tests="1" failures="1" errors="0" skipped="0" time="20.000"><testcase classname="watch" name="cache.js (pid 42)" time="20.000"><failure type="leak" message="leaks: what it holds went from 5.0 MiB to 8.0 MiB over 10 rounds and 12 s">97 % of it: 2000 more cache.js (/srv/app/cache.js:7), 200 in each round, 3.0 MiB; held by cache.js -&gt; Map
            </failure></testcase></testsuite></testsuites>
        "#]]
        .assert_eq(&junit(&outcome));
    }

    /// Of a process of which nothing leaks in its heap.
    fn outside(verdict: Verdict, what: What) -> Outcome {
        let mut outcome = outcome("addon.js");
        let judged = &mut outcome.processes[0];
        judged.culprits.clear();
        judged.verdict = verdict;
        judged.outside_heap = Some(Risen {
            what,
            first_bytes: 3 << 20,
            last_bytes: 13 << 20,
            per_round_bytes: Some(1_048_576.0),
            blocks: None,
        });
        Outcome::of(outcome.command, outcome.ended, 20.0, 12, outcome.processes)
    }

    #[test]
    fn memory_outside_the_heap_in_every_format() {
        let leaks = outside(Verdict::Leaks, What::BlocksInUse);
        expect![[r"
            observer watch: it leaks (watched for 20 s, 12 rounds)
              addon.js (pid 42): leaks outside V8's heap, over 10 rounds and 12 s
                memory outside V8's heap: malloc blocks in use went from 3.0 MiB to 13 MiB, 1.0 MiB in each round; no
                  JavaScript object leads to them, and what holds them is not named
              a cache that has not filled yet looks the same: where one is meant, watch for longer than it takes to fill
        "]]
        .assert_eq(&human(&leaks));
        expect![[r"
            ::error title=Memory leak::addon.js leaks outside V8's heap, over 10 rounds and 12 s: memory outside V8's heap: malloc blocks in use went from 3.0 MiB to 13 MiB, 1.0 MiB in each round; no JavaScript object leads to them, and what holds them is not named
        "]]
        .assert_eq(&github(&leaks));
        expect![[r#"
            <?xml version="1.0" encoding="UTF-8"?>
            <testsuites><testsuite name="observer watch" tests="1" failures="1" errors="0" skipped="0" time="20.000"><testcase classname="watch" name="addon.js (pid 42)" time="20.000"><failure type="leak" message="leaks outside V8's heap, over 10 rounds and 12 s">memory outside V8's heap: malloc blocks in use went from 3.0 MiB to 13 MiB, 1.0 MiB in each round; no JavaScript object leads to them, and what holds them is not named
            </failure></testcase></testsuite></testsuites>
        "#]]
        .assert_eq(&junit(&leaks));
        let fragments = outside(Verdict::Clean, What::FreeInAllocator);
        expect![[r"
            observer watch: no leak (watched for 20 s, 12 rounds)
              addon.js (pid 42): no leak: what it holds went from 5.0 MiB to 8.0 MiB over 10 rounds and 12 s
                free memory inside malloc went from 3.0 MiB to 13 MiB, 1.0 MiB in each round: fragmentation, no leak;
                  `observer memory` tells how much of it malloc_trim gives back
        "]]
        .assert_eq(&human(&fragments));
        expect![[r"
            ::notice title=observer watch::addon.js: free memory inside malloc went from 3.0 MiB to 13 MiB, 1.0 MiB in each round: fragmentation, no leak; `observer memory` tells how much of it malloc_trim gives back
        "]]
        .assert_eq(&github(&fragments));
        expect![[r#"
            <?xml version="1.0" encoding="UTF-8"?>
            <testsuites><testsuite name="observer watch" tests="1" failures="0" errors="0" skipped="0" time="20.000"><testcase classname="watch" name="addon.js (pid 42)" time="20.000"><system-out>free memory inside malloc went from 3.0 MiB to 13 MiB, 1.0 MiB in each round: fragmentation, no leak; `observer memory` tells how much of it malloc_trim gives back
            </system-out></testcase></testsuite></testsuites>
        "#]]
        .assert_eq(&junit(&fragments));
        let mut untold = outside(Verdict::NotJudged, What::Other);
        untold.processes[0].why = "memory outside V8's heap went up".to_owned();
        expect![[r"
            ::warning title=observer watch::not judged: no process could be (watched for 20 s, 12 rounds)
            ::warning title=observer watch::addon.js: not judged (memory outside V8's heap went up)
        "]]
        .assert_eq(&github(&untold));
    }

    #[test]
    fn names_are_text_and_nothing_else() {
        let markup = ["</failure><x>", "a::error file=b::c", "a\n::error::b", "50%0A,:"];
        for name in hostile::names().into_iter().chain(markup.map(str::to_owned)) {
            let outcome = outcome(&name);
            hostile::harmless(&human(&outcome));
            let xml = junit(&outcome);
            hostile::harmless(&xml);
            assert_eq!(xml.matches('<').count(), 9, "{xml:.500}");
            let annotations = github(&outcome);
            hostile::harmless(&annotations);
            assert_eq!(annotations.lines().count(), 1, "{annotations:.500}");
            let properties = annotations
                .strip_prefix("::error ")
                .unwrap()
                .split("::")
                .next()
                .unwrap();
            assert_eq!(properties.matches(',').count(), 2, "{properties:.300}");
        }
    }
}
