//! What is said of a command: of each of its processes, and in all. Plain data with its sentences.

use observer_core::telemetry::units;
use observer_heap::{Grown, Row};
use serde::Serialize;

use super::{
    super::Exit,
    cgroup::Memory,
    outside::{Risen, Said, What},
};

/// What is said of a process, or of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Leaks,
    Clean,
    NotJudged,
}

/// What accumulates, and where.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Culprit {
    pub(super) what: String,
    /// Where its function or class begins.
    pub(super) file: Option<String>,
    pub(super) line: Option<u32>,
    /// From a variable or a global down to it; empty where no place is known.
    pub(super) held_by: Vec<String>,
    pub(super) new: u64,
    /// Of these in each round, where rounds were counted.
    pub(super) per_round: Option<f64>,
    pub(super) grown_bytes: u64,
    /// Of all growth, 0 to 1; `None` where it was not told apart.
    pub(super) share: Option<f64>,
}

/// What is said of one process.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Judged {
    pub(super) pid: u32,
    pub(super) name: String,
    pub(super) verdict: Verdict,
    pub(super) lived_s: f64,
    /// Readings compared.
    pub(super) readings: usize,
    /// Rounds, and seconds, from the first of them to the last.
    pub(super) rounds: u64,
    pub(super) over_s: f64,
    /// What it held at the first and at the last of them; where its heap was not read, its anonymous memory.
    pub(super) held_bytes: Option<(u64, u64)>,
    pub(super) culprits: Vec<Culprit>,
    /// What rose outside its heap, where nothing in the heap leaks.
    pub(super) outside_heap: Option<Risen>,
    /// What else there is to say.
    pub(super) why: String,
}

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ended {
    /// With this exit code, or with 128 and a signal's number.
    Itself(i32),
    /// It was stopped when it had been watched for long enough; or it was not started here.
    Stopped,
}

/// Everything that is said.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) command: String,
    pub(super) ended: Ended,
    pub(super) watched_s: f64,
    pub(super) rounds: u64,
    pub(super) verdict: Verdict,
    pub(super) processes: Vec<Judged>,
    /// What all of it held, where it had a cgroup of its own.
    pub(super) memory: Option<Memory>,
}

impl Culprit {
    pub(super) fn new(content: &Row, held_by: Vec<String>, new: u64, grown: u64, share: f64, rounds: u64) -> Self {
        Self {
            what: content.title(),
            file: content.file.as_deref().map(path),
            line: content.line,
            held_by,
            new,
            per_round: (rounds > 0).then(|| new as f64 / rounds as f64),
            grown_bytes: grown,
            share: Some(share),
        }
    }

    /// Of a heap too large for its places to be told.
    pub(super) fn unplaced(grown: &Grown, rounds: u64) -> Self {
        let new = u64::try_from(grown.count).unwrap_or(0);
        Self {
            share: None,
            ..Self::new(&grown.row, Vec::new(), new, grown.bytes, 0.0, rounds)
        }
    }

    /// In a sentence.
    pub(super) fn sentence(&self) -> String {
        let share = self
            .share
            .map_or_else(String::new, |share| format!("{} of it: ", units::percent(share)));
        let place = match (&self.file, self.line) {
            (Some(file), Some(line)) => format!(" ({file}:{line})"),
            (Some(file), None) => format!(" ({file})"),
            _ => String::new(),
        };
        let rounds = match self.per_round {
            Some(each) if (each - each.round()).abs() < 0.02 && each >= 0.98 => {
                format!(", {each:.0} in each round")
            }
            Some(each) => format!(", {each:.1} a round"),
            None => String::new(),
        };
        let held = match &self.held_by[..] {
            [] => String::new(),
            path => format!("; held by {}", path.join(" -> ")),
        };
        format!(
            "{share}{} more {}{place}{rounds}, {}{held}",
            self.new,
            self.what,
            units::bytes(self.grown_bytes)
        )
    }
}

/// A script's path: Node names modules by address.
fn path(file: &str) -> String {
    file.strip_prefix("file://").unwrap_or(file).to_owned()
}

impl Judged {
    /// What is said of memory outside its heap counts where nothing in it leaks: what leaks there brings native memory along.
    pub(super) fn beside(&mut self, said: &Said) {
        if self.verdict == Verdict::Leaks {
            return;
        }
        self.outside_heap = match said {
            Said::Nothing => None,
            Said::Unread => {
                self.verdict = Verdict::NotJudged;
                "memory outside its heap was read too seldom".clone_into(&mut self.why);
                None
            }
            Said::Leaks(risen) => {
                self.verdict = Verdict::Leaks;
                self.why.clear();
                Some(risen.clone())
            }
            Said::Untold(risen, why) => {
                self.verdict = Verdict::NotJudged;
                if self.why.is_empty() {
                    self.why.clone_from(why);
                }
                Some(risen.clone())
            }
            Said::Fragments(risen) => Some(risen.clone()),
        };
    }

    /// Its heap was last read so many seconds after it was first seen, long before the end: nothing is said.
    pub(super) fn unseen(&mut self, last: f64) {
        self.verdict = Verdict::NotJudged;
        self.culprits.clear();
        self.outside_heap = None;
        self.why = format!(
            "its heap was last read after {}, of {} that it was watched for",
            units::seconds(last),
            units::seconds(self.lived_s)
        );
    }

    /// What leaks, or rises beside it, a sentence each.
    pub(super) fn details(&self) -> Vec<String> {
        let told = |risen: &&Risen| self.verdict == Verdict::Leaks || risen.what == What::FreeInAllocator;
        let outside = self.outside_heap.as_ref().filter(told).map(Risen::sentence);
        self.culprits.iter().map(Culprit::sentence).chain(outside).collect()
    }

    /// In a sentence, without its name.
    pub(super) fn sentence(&self) -> String {
        let over = if self.rounds > 0 {
            format!("{} rounds and {}", self.rounds, units::seconds(self.over_s))
        } else {
            units::seconds(self.over_s)
        };
        if self.verdict == Verdict::Leaks && self.culprits.is_empty() && self.outside_heap.is_some() {
            return format!("leaks outside V8's heap, over {over}");
        }
        let held = self.held_bytes.map_or_else(String::new, |(first, last)| {
            let what = if self.why.is_empty() {
                "what it holds"
            } else {
                "its anonymous memory"
            };
            let (first, last) = (units::bytes(first), units::bytes(last));
            format!(": {what} went from {first} to {last} over {over}")
        });
        let why = if self.why.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.why)
        };
        match self.verdict {
            Verdict::Leaks => format!("leaks{held}{why}"),
            Verdict::Clean => format!("no leak{held}{why}"),
            Verdict::NotJudged => format!("not judged{why}"),
        }
    }
}

impl Outcome {
    /// Puts together what is said of all: clean only where processes that were not judged lived for less than a quarter of the
    /// time, together.
    pub(super) fn of(command: String, ended: Ended, watched_s: f64, rounds: u64, processes: Vec<Judged>) -> Self {
        let any = |verdict: Verdict| processes.iter().any(|judged| judged.verdict == verdict);
        let unseen = processes.iter().filter(|judged| judged.verdict == Verdict::NotJudged);
        let unseen: f64 = unseen.map(|judged| judged.lived_s).sum();
        let verdict = if any(Verdict::Leaks) {
            Verdict::Leaks
        } else if any(Verdict::Clean) && unseen * 4.0 <= watched_s {
            Verdict::Clean
        } else {
            Verdict::NotJudged
        };
        Self {
            command,
            ended,
            watched_s,
            rounds,
            verdict,
            processes,
            memory: None,
        }
    }

    /// A leak comes before a failure, which may be its consequence.
    pub(super) fn exit(&self) -> Exit {
        match (self.verdict, self.ended) {
            (Verdict::Leaks, _) => Exit::Limited,
            (_, Ended::Itself(code)) if code != 0 => Exit::Failure,
            (Verdict::Clean, _) => Exit::Success,
            (Verdict::NotJudged, _) => Exit::NotJudged,
        }
    }

    /// In a sentence.
    pub(super) fn sentence(&self) -> String {
        let ended = match self.ended {
            Ended::Itself(0) | Ended::Stopped => String::new(),
            Ended::Itself(code) => format!("; the command failed with {code}"),
        };
        let said = match self.verdict {
            Verdict::Leaks => "it leaks",
            Verdict::Clean => "no leak",
            Verdict::NotJudged if self.processes.is_empty() => "not judged: no Node.js process was seen",
            Verdict::NotJudged if self.processes.iter().any(|judged| judged.verdict == Verdict::Clean) => {
                "not judged: too much of the time was spent in processes that could not be judged"
            }
            Verdict::NotJudged => "not judged: no process could be",
        };
        let rounds = if self.rounds > 0 {
            format!(", {} rounds", self.rounds)
        } else {
            String::new()
        };
        format!("{said} (watched for {}{rounds}){ended}", units::seconds(self.watched_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(verdict: Verdict, lived_s: f64) -> Judged {
        Judged {
            pid: 1,
            name: "node a.js".into(),
            verdict,
            lived_s,
            readings: 7,
            rounds: 0,
            over_s: 10.0,
            held_bytes: None,
            culprits: Vec::new(),
            outside_heap: None,
            why: String::new(),
        }
    }

    #[test]
    fn exit_codes() {
        let exit = |ended, processes| Outcome::of("x".into(), ended, 20.0, 0, processes).exit();
        let (leaks, clean) = (judged(Verdict::Leaks, 20.0), judged(Verdict::Clean, 20.0));
        let brief = judged(Verdict::NotJudged, 3.0);
        let long = judged(Verdict::NotJudged, 6.0);
        assert_eq!(
            exit(Ended::Itself(0), vec![clean.clone(), brief.clone()]),
            Exit::Success
        );
        assert_eq!(exit(Ended::Itself(0), vec![clean.clone(), long]), Exit::NotJudged);
        assert_eq!(
            exit(
                Ended::Itself(0),
                vec![clean.clone(), brief.clone(), brief.clone(), brief.clone(), brief]
            ),
            Exit::NotJudged
        );
        assert_eq!(exit(Ended::Itself(7), vec![clean.clone()]), Exit::Failure);
        assert_eq!(exit(Ended::Itself(137), vec![clean, leaks]), Exit::Limited);
        assert_eq!(exit(Ended::Stopped, Vec::new()), Exit::NotJudged);
    }
}
