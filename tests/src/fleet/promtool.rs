//! Prometheus' own engine over a whole history (`promtool test rules`): reads series, produces what expressions over the
//! shipped rules give at a time.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use super::server;
use crate::{counterpart, stage::Scratch};

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
    let mut text = format!(
        "rule_files: {rules:?}\nevaluation_interval: {interval}\ntests:\n- interval: {interval}\n  input_series:\n{series}  promql_expr_test:\n"
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

/// `got: {a="b"} 1E+00, {a="c"} 2E+00`, or `got: nil`.
fn samples(answer: &str) -> BTreeMap<String, f64> {
    let got = answer.split("got: ").nth(1).and_then(|got| got.lines().next());
    let got = got.unwrap_or_default().trim_start_matches('{');
    got.split(", {")
        .filter_map(|sample| {
            let (labels, value) = sample.rsplit_once("} ")?;
            let values: Vec<&str> = labels.split('"').skip(1).step_by(2).collect();
            Some((values.join(" "), value.trim().parse().ok()?))
        })
        .collect()
}
