//! Prometheus' own engine over a whole history (`promtool test rules`): reads series, produces what expressions over the
//! shipped rules give at a time.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use super::server;
use crate::{counterpart, stage::Scratch};

/// A value at each step, by series; `None` where it was not told.
pub type Values = BTreeMap<String, Vec<Option<f64>>>;

/// Where promtool is: the one in `PATH`, or Debian's.
pub fn program() -> Option<PathBuf> {
    counterpart::debian_program("prometheus", "usr/bin/promtool")
}

/// What each expression gives at a minute: values of its labels, and the value, of each sample. `series` are entries of
/// `input_series`, with a value each `every` seconds; rules are evaluated as often.
pub fn ask(series: &str, every: u64, questions: &[(u64, &str)]) -> Result<Vec<BTreeMap<String, f64>>> {
    let directory = Scratch::new("promtool")?;
    let interval = format!("{every}s");
    let rules = server::rules(directory.path(), Some(&interval))?;
    // promtool evaluates groups in any order otherwise, and what alerts read is older than it is looked up.
    let mut groups = Vec::new();
    for rules in &rules {
        let text = fs::read_to_string(rules)?;
        groups.extend(
            text.lines()
                .filter_map(|line| line.strip_prefix("  - name: "))
                .map(str::to_owned),
        );
    }
    let mut text = format!(
        "rule_files: {rules:?}\ngroup_eval_order: {groups:?}\nevaluation_interval: {interval}\ntests:\n- interval: {interval}\n  input_series:\n{series}  promql_expr_test:\n"
    );
    // A sample that no expression gives: promtool then says what it got instead.
    for (minute, expression) in questions {
        let _ = write!(
            text,
            "  - expr: '{expression}'\n    eval_time: {minute}m\n    exp_samples: [{{labels: 'nothing', value: 0}}]\n"
        );
    }
    let path = directory.file("fleet.yaml");
    fs::write(&path, text)?;
    let output = Command::new(program().context("no promtool")?)
        .args(["test", "rules"])
        .arg(&path)
        .output()
        .context("cannot start promtool")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let answers: Vec<_> = said.split("expr: \"").skip(1).map(samples).collect();
    anyhow::ensure!(answers.len() == questions.len(), "promtool: {said}");
    Ok(answers)
}

/// `got: {a="b"} 1E+00, {__name__="name", a="c"} 2E+00`, or `got: nil`.
fn samples(answer: &str) -> BTreeMap<String, f64> {
    let got = answer.split("got: ").nth(1).and_then(|got| got.lines().next());
    let (mut rest, mut samples) = (got.unwrap_or_default(), BTreeMap::new());
    while let Some((_, labels)) = rest.split_once('{') {
        let (values, after) = label_values(labels);
        let number = after.split(',').next().unwrap_or_default();
        if let Ok(number) = number.trim().parse() {
            samples.insert(values.join(" "), number);
        }
        rest = after;
    }
    samples
}

/// Values of labels, but for the metric's name, and what stands after them. They are quoted as Go does it.
fn label_values(labels: &str) -> (Vec<String>, &str) {
    let (mut values, mut text, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    let mut name = String::new();
    for (at, c) in labels.char_indices() {
        match c {
            _ if escaped => {
                text.push(c);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' if quoted => {
                let value = std::mem::take(&mut text);
                if name.trim_start_matches([',', ' ']) != "__name__=" {
                    values.push(value);
                }
                quoted = false;
            }
            '"' => {
                name = std::mem::take(&mut text);
                quoted = true;
            }
            '}' if !quoted => return (values, labels.get(at + 1..).unwrap_or_default()),
            _ => text.push(c),
        }
    }
    (values, "")
}

/// Entries of `input_series`: equal values in a row stand once.
pub fn entries(values: &Values) -> String {
    let mut text = String::new();
    for (series, values) in values {
        let _ = write!(text, "  - series: '{series}'\n    values: '");
        let mut at = 0;
        while at < values.len() {
            let same = values[at..].iter().take_while(|value| **value == values[at]).count();
            let _ = match values[at] {
                // Through a scrape a series that is not told any more is stale at once.
                None if at > 0 => write!(text, "stale {}", blank(same - 1)),
                None => write!(text, "{}", blank(same)),
                Some(value) => write!(text, "{value:e}+0x{} ", same - 1),
            };
            at += same;
        }
        text.push_str("'\n");
    }
    text
}

fn blank(times: usize) -> String {
    if times == 0 {
        String::new()
    } else {
        format!("_x{times} ")
    }
}
