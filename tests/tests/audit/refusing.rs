//! Servers that refuse, are busy or do not answer, and an audit that is killed: a proxy in front of the real one.

use std::{
    collections::BTreeMap,
    fs,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use observer_tests::{
    need,
    proxy::{Proxy, Question, Reply},
    stage::Scratch,
};

use super::{EXPECTED, audit, command, containers, errors, outcomes, prometheus};

type Rule = Box<dyn Fn(&Question) -> Reply + Send + Sync>;

#[test]
fn a_server_that_refuses_is_asked_for_less_or_later() {
    need!(DebianPrometheus);
    let (backend, end) = prometheus();
    let whole = audit(&backend.query, end, &["--json"]);
    let answer = |status: u16, headers: &str, kind: &str, error: &str| {
        Reply::Answer(
            status,
            headers.to_owned(),
            format!("{{\"status\":\"error\",\"errorType\":\"{kind}\",\"error\":\"{error}\"}}"),
        )
    };
    let rules: Vec<(&str, Rule)> = vec![
        ("too many samples", {
            Box::new(move |question| match question.points() {
                500.. => answer(
                    422,
                    "",
                    "execution",
                    "query processing would load too many samples into memory",
                ),
                _ => Reply::Pass,
            })
        }),
        ("maximum resolution", {
            Box::new(move |question| match question.points() {
                1_001.. => answer(
                    400,
                    "",
                    "bad_data",
                    "exceeded maximum resolution of 1,000 points per timeseries",
                ),
                _ => Reply::Pass,
            })
        }),
        ("too many pods", {
            Box::new(move |question| match question.form.get("query") {
                Some(query) if query.matches('|').count() > 5 => answer(422, "", "execution", "too many chunks"),
                _ => Reply::Pass,
            })
        }),
        ("lists are too long", {
            Box::new(move |question| {
                let selector = question.form.get("match[]").map_or("", String::as_str);
                let named = selector
                    .split("pod=~")
                    .nth(1)
                    .map_or(0, |pods| 1 + pods.matches('|').count());
                match question.path.as_str() {
                    "/api/v1/series" if !(1..=3).contains(&named) => answer(422, "", "execution", "too many series"),
                    "/api/v1/label/__name__/values" if !selector.is_empty() => {
                        answer(422, "", "execution", "too many series")
                    }
                    _ => Reply::Pass,
                }
            })
        }),
        ("lists of a day at most", {
            Box::new(move |question| {
                let asked = question.number_of("end") - question.number_of("start");
                if asked > 86_400 && question.points() == 0 {
                    answer(422, "", "execution", "the query time range exceeds the limit")
                } else {
                    Reply::Pass
                }
            })
        }),
        ("every third is too many", {
            Box::new(move |question| match question.number % 3 {
                0 => answer(429, "Retry-After: 1\r\n", "", "too many outstanding requests"),
                _ => Reply::Pass,
            })
        }),
        ("timeouts", {
            Box::new(move |question| match question.points() {
                2_000.. if question.number % 2 == 0 => answer(503, "", "timeout", "query timed out"),
                2_000.. => Reply::Answer(504, String::new(), "<html>Gateway Timeout</html>".to_owned()),
                _ => Reply::Pass,
            })
        }),
        ("hangs up", {
            Box::new(move |question| match question.number % 5 {
                4 => Reply::Hangup,
                _ => Reply::Pass,
            })
        }),
        ("reads only", {
            Box::new(move |question| {
                if question.headers.contains_key("content-length") {
                    Reply::Answer(405, String::new(), String::new())
                } else {
                    Reply::Pass
                }
            })
        }),
    ];
    for (name, rule) in rules {
        let proxy = Proxy::before(&backend.query, rule).unwrap();
        let output = audit(&proxy.address, end, &["--json"]);
        assert_eq!(output.status.code(), Some(3), "{name}: {}", errors(&output));
        assert_eq!(containers(&output), containers(&whole), "{name}: {}", errors(&output));
    }
}

#[test]
fn what_a_server_never_answers_is_not_judged_and_said() {
    need!(DebianPrometheus);
    let (backend, end) = prometheus();
    let proxy = Proxy::before(&backend.query, |question| match question.form.get("query") {
        Some(query) if query.contains("tight-3") => Reply::Answer(
            422,
            String::new(),
            "{\"error\":\"this one is\\u001b[31m too much\"}".to_owned(),
        ),
        _ => Reply::Pass,
    })
    .unwrap();
    let output = audit(&proxy.address, end, &["--json"]);
    let judged = containers(&output);
    let expected = EXPECTED.map(|(name, outcome)| match name {
        "shop/tight-3/worker" => (name, "not_judged"),
        _ => (name, outcome),
    });
    assert_eq!(outcomes(&judged), BTreeMap::from(expected), "{}", errors(&output));
    assert!(
        judged["shop/tight-3/worker"]["why"]
            .as_str()
            .unwrap()
            .contains("too much")
    );
}

#[test]
fn a_server_that_goes_away_ends_the_audit_and_what_was_judged_is_kept() {
    need!(DebianPrometheus);
    let (backend, end) = prometheus();
    let scratch = Scratch::new("journal").unwrap();
    let journal = scratch.file("journal");
    let journal = journal.to_str().unwrap();
    // `Retry-After: 0`: this server does not want the test to take long.
    let proxy = Proxy::before(&backend.query, |question| match question.form.get("query") {
        Some(query) if query.contains("cart-0") => Reply::Answer(
            502,
            "Retry-After: 0\r\n".to_owned(),
            "<html>Bad Gateway</html>".to_owned(),
        ),
        _ => Reply::Pass,
    })
    .unwrap();
    let output = audit(&proxy.address, end, &["--resume", journal, "--parallel", "1"]);
    assert_eq!(output.status.code(), Some(1));
    let said = errors(&output);
    assert!(said.contains("502 Bad Gateway; the same command goes on"), "{said}");
    assert_eq!(fs::read_to_string(journal).unwrap().lines().count(), 2);
}

#[test]
fn an_audit_that_is_killed_goes_on_where_it_was() {
    need!(DebianPrometheus);
    let (backend, end) = prometheus();
    let scratch = Scratch::new("journal").unwrap();
    let journal = scratch.file("journal");
    let journal = journal.to_str().unwrap();
    let (reached, silent) = mpsc::channel();
    let open = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&open);
    // One namespace is answered, of the other one nothing until later.
    let proxy = Proxy::before(&backend.query, move |question| match question.form.get("query") {
        Some(query) if query.contains("cart-0") && !opened.load(Ordering::SeqCst) => {
            // Nobody waits for a second one.
            let _ = reached.send(());
            Reply::Silence
        }
        _ => Reply::Pass,
    })
    .unwrap();
    let mut first = command(&proxy.address, end, &["--resume", journal, "--parallel", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    silent.recv_timeout(Duration::from_secs(120)).unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    let kept = fs::read_to_string(journal).unwrap();
    assert_eq!(kept.lines().count(), 2, "{kept}");
    // A line that was being written.
    fs::write(journal, kept + "{\"namespace\":\"sh").unwrap();
    open.store(true, Ordering::SeqCst);

    let other = audit(&backend.query, end, &["--resume", journal]);
    assert!(errors(&other).contains("another server"), "{}", errors(&other));
    let resumed = audit(&proxy.address, end, &["--json", "--resume", journal]);
    assert!(
        errors(&resumed).contains("1 containers were judged before"),
        "{}",
        errors(&resumed)
    );
    let direct = audit(&proxy.address, end, &["--json"]);
    assert_eq!(resumed.stdout, direct.stdout);
    // Once more, later: nothing is left to be asked, and the time is the first one's.
    let again = audit(&proxy.address, end + 600, &["--json", "--resume", journal]);
    assert!(
        errors(&again).contains("10 containers were judged before"),
        "{}",
        errors(&again)
    );
    assert_eq!(again.stdout, direct.stdout);
}
