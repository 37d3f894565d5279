//! Outcomes: reads libtest's lines, produces counts, who failed and who was skipped and why, and a table of programs.

use std::{collections::BTreeMap, time::Duration};

/// Outcomes summed over every test program.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    skipped: u64,
    failures: Vec<String>,
    /// Name to reason.
    skips: BTreeMap<String, String>,
    /// One row for each program.
    table: String,
}

fn row(name: &str, passed: &str, failed: &str, skipped: &str, took: &str) -> String {
    format!("{name:<28} {passed:>7} {failed:>7} {skipped:>8} {took:>7}\n")
}

impl Tally {
    /// One line of libtest's output.
    pub(crate) fn line(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            let count = |what: &str| {
                result
                    .split([';', '.'])
                    .find_map(|part| part.trim().strip_suffix(what)?.trim().parse::<u64>().ok())
                    .unwrap_or(0)
            };
            self.passed += count(" passed");
            self.failed += count(" failed");
            self.skipped += count(" ignored");
        } else if let Some((name, outcome)) = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... ")) {
            if outcome == "FAILED" {
                self.failures.push(name.to_owned());
            } else if let Some(reason) = outcome.strip_prefix("ignored") {
                let reason = reason.trim_start_matches([',', ' ']);
                self.skips.insert(
                    name.to_owned(),
                    if reason.is_empty() { "ignored" } else { reason }.to_owned(),
                );
            }
        }
    }

    /// Tests that returned early because the machine lacks something: libtest counted them as passed.
    pub(crate) fn skipped_at_run_time(&mut self, lines: &str) {
        for (name, reason) in lines.lines().filter_map(|line| line.split_once('\t')) {
            if self.skips.insert(name.to_owned(), reason.to_owned()).is_none() {
                self.passed = self.passed.saturating_sub(1);
                self.skipped += 1;
            }
        }
    }

    /// Who failed, who was skipped and why, a table, and the closing line.
    pub(crate) fn report(&self) -> String {
        let failures = self.failures.iter().map(|name| format!("failed: {name}\n"));
        let skips = self
            .skips
            .iter()
            .map(|(name, reason)| format!("skipped: {name}: {reason}\n"));
        failures
            .chain(skips)
            .chain([self.table.clone(), self.closing()])
            .collect()
    }

    /// The closing line alone.
    pub(crate) fn closing(&self) -> String {
        format!(
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }

    /// Takes a program's outcomes in, with a row of their own.
    pub(super) fn add(&mut self, name: &str, took: Duration, of: Self) {
        if self.table.is_empty() {
            self.table = row("test program", "passed", "failed", "skipped", "took");
        }
        let took = format!("{} s", took.as_secs());
        self.table += &row(
            name,
            &of.passed.to_string(),
            &of.failed.to_string(),
            &of.skipped.to_string(),
            &took,
        );
        self.passed += of.passed;
        self.failed += of.failed;
        self.skipped += of.skipped;
        self.failures.extend(of.failures);
        self.skips.extend(of.skips);
    }

    /// A failure that no test's own line tells.
    pub(crate) fn fail(&mut self, what: &str) {
        self.failed += 1;
        self.failures.push(what.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_programs_and_takes_skips_out_of_the_passed() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test a::slow ... ignored, needs a day",
            "test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.31s",
        ] {
            tally.line(line);
        }
        tally.skipped_at_run_time("oom::a_kill_is_seen\tnot root\n");
        let mut sum = Tally::default();
        sum.add("kernel", Duration::from_millis(62_500), tally);
        let expected = [
            "failed: a::c",
            "skipped: a::slow: needs a day",
            "skipped: oom::a_kill_is_seen: not root",
            "test program                  passed  failed  skipped    took",
            "kernel                            12       1        2    62 s",
            "12 passed, 1 failed, 2 skipped",
        ];
        assert_eq!(sum.report(), expected.join("\n"));
    }
}
