//! The incident's report: reads the Inputs of the recording, produces the table it ended in, before the fix and after.

use std::collections::BTreeMap;

use observer_core::{Input, What, kernel::KernelEvent, process::ProcessKey, time::SECOND};

/// One life of a service.
#[derive(Clone, Copy, Debug)]
struct Life {
    process: ProcessKey,
    first: u64,
    last: u64,
    /// Lowest level of its first seconds, the level last seen, and the highest, bytes.
    baseline: u64,
    level: u64,
    peak: u64,
    ended: bool,
}

/// Nanoseconds after the first sample in which a server is still starting.
const SETTLING: u64 = 3 * SECOND;

/// A column of the table.
#[derive(Debug, Default)]
pub(super) struct Report {
    lives: Vec<Life>,
}

impl Report {
    /// What a recording says of one service.
    pub(super) fn of<'i>(inputs: impl Iterator<Item = &'i Input>, name: &str) -> Self {
        let mut lives: BTreeMap<ProcessKey, Life> = BTreeMap::new();
        let mut mine = Vec::new();
        for input in inputs {
            match &input.what {
                What::Process(facts) if facts.otel.get("OTEL_SERVICE_NAME").is_some_and(|said| said == name) => {
                    mine.push(facts.key);
                }
                What::Sample(sample) if mine.contains(&sample.process) => {
                    let Some(level) = sample.cgroup.as_ref().map(|cgroup| cgroup.anon) else {
                        continue;
                    };
                    let life = lives.entry(sample.process).or_insert(Life {
                        process: sample.process,
                        first: input.at.0,
                        last: input.at.0,
                        baseline: level,
                        level,
                        peak: level,
                        ended: false,
                    });
                    if input.at.0 - life.first <= SETTLING {
                        life.baseline = life.baseline.max(level);
                    }
                    life.last = input.at.0;
                    life.level = level;
                    life.peak = life.peak.max(level);
                }
                What::Kernel(KernelEvent::Exit { process, .. }) => {
                    if let Some(life) = lives.get_mut(process) {
                        life.ended = true;
                    }
                }
                _ => {}
            }
        }
        let mut lives: Vec<Life> = lives.into_values().collect();
        lives.sort_by_key(|life| (life.first, life.process));
        Self { lives }
    }

    fn mean(&self, of: impl Fn(&Life) -> f64) -> f64 {
        self.lives.iter().map(of).sum::<f64>() / self.lives.len().max(1) as f64
    }

    /// Baseline, growth, restart interval and peak, as the table has them.
    pub(super) fn cells(&self) -> [String; 4] {
        let mib = |bytes: f64| format!("{:.0} MiB", bytes / f64::from(1 << 20));
        let grown = |life: &Life| {
            let seconds = life.last.saturating_sub(life.first + SETTLING) as f64 / SECOND as f64;
            if seconds > 0.0 {
                (life.level as f64 - life.baseline as f64) / seconds * 60.0
            } else {
                0.0
            }
        };
        let ended = self.lives.iter().filter(|life| life.ended).count();
        let restarts = if ended == 0 {
            "none".to_owned()
        } else {
            let lived = self.lives.iter().filter(|life| life.ended);
            let seconds: f64 = lived.map(|life| (life.last - life.first) as f64 / SECOND as f64).sum();
            format!("every {:.0} s", seconds / ended as f64)
        };
        [
            mib(self.mean(|life| life.baseline as f64)),
            format!("{} / min", mib(self.mean(grown))),
            restarts,
            mib(self.lives.iter().map(|life| life.peak).max().unwrap_or(0) as f64),
        ]
    }
}

/// The table's lines.
pub(super) fn table(before: (&str, &Report), after: (&str, &Report)) -> Vec<String> {
    let line = |what: &str, before: &str, after: &str| format!("  {what:<18} {before:>18} {after:>18}");
    let names = ["baseline", "growth", "restarted", "peak"];
    let mut lines = vec![line("", before.0, after.0)];
    let (left, right) = (before.1.cells(), after.1.cells());
    lines.extend(
        names
            .iter()
            .zip(left.iter().zip(&right))
            .map(|(name, (l, r))| line(name, l, r)),
    );
    lines
}
