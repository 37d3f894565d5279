//! The outcome as text for people, JSON, JUnit's XML, or annotations of GitHub Actions.

use std::{env, path::Path};

use maud::{Markup, PreEscaped, Render as _, html};
use observer_core::telemetry::units;

use super::outcome::{Culprit, Judged, Outcome, Verdict};
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
        for culprit in &judged.culprits {
            for (nth, line) in text::wrapped(&clean::sentence(&culprit.sentence()), 110)
                .iter()
                .enumerate()
            {
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
    let lines: Vec<String> = judged.culprits.iter().map(Culprit::sentence).collect();
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
                Verdict::Clean => {}
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
            page += &format!("::error title=Memory leak::{}\n", data(&said));
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
    if outcome.verdict == Verdict::NotJudged {
        page += &format!("::warning title=observer watch::{}\n", data(&outcome.sentence()));
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
    use crate::{command::watch::outcome::Ended, terminal::hostile};

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
