//! One Node.js process under watch: reads its heap now and then, produces what grew in it and where that accumulates.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use observer_core::{process::ProcessKey, telemetry::units};
use observer_heap::{Growth, Learned, MOMENTS, Metadata, Reader, Reading, Refusal, Suspect};

use super::{
    levels::{self, Levels},
    outcome::{Culprit, Judged, Verdict},
    outside::{Said, said},
    schedule::{MOST, Over, Taken},
    tree::{anonymous, arguments, program},
};
use crate::source::{
    memory::{self, LiveMemory},
    proc::heap_flags,
    usage::{Outside, WholeProcess},
};

/// Growth of what is held, bytes, below which nothing is said.
const LEAST: i64 = 128 << 10;
/// Below this share of what was held at the reading before, what is held is looked for once more.
const GIVEN_BACK: f64 = 0.95;
/// What a program may hold more, as a share of what it held, when that seems to have ended and few readings were taken, or it goes on and
/// no place is found for it: more of it is no warm-up for certain.
const WARM_UP: f64 = 0.1;
/// A test runner keeps the results of its tests: what hangs there is no leak of what is tested.
const RUNNER: &str = "node:internal/test_runner";

pub(super) struct Watched {
    pub(super) key: ProcessKey,
    name: String,
    program: Option<PathBuf>,
    since: Instant,
    metadata: Option<Metadata>,
    known: Option<Learned>,
    taken: Vec<Taken>,
    readings: Vec<Reading>,
    /// Memory outside the heap, at each of these.
    outside: Vec<Outside>,
    /// Bytes held at the newest.
    held: u64,
    /// One in so many readings is kept.
    every: u32,
    passed: u32,
    levels: Levels,
    compared: Option<Compared>,
    refused: Option<String>,
    lived: f64,
}

/// Readings compared.
struct Compared {
    first: Taken,
    last: Taken,
    readings: usize,
    held: (u64, u64),
    culprits: Vec<Culprit>,
    /// Why it is neither a leak nor none, where that cannot be told.
    untold: Option<String>,
    /// Of memory outside the heap.
    outside: Said,
}

impl Watched {
    /// A process, where it runs Node.js; `heap` where its heap may be read.
    pub(super) fn of(key: ProcessKey, over: Over, heap: bool) -> Option<Self> {
        let program = program(key.pid);
        let metadata = memory::metadata(key.pid);
        // Of another user's process not even the executable can be read: then its name has to do.
        let name = arguments(key.pid);
        let named = name
            .first()
            .is_some_and(|program| program.rsplit('/').next() == Some("node"));
        let refused = match &metadata {
            _ if !heap => Some("its heap was not to be read (--no-heap)".to_owned()),
            Ok(_) => None,
            Err(refusal) => Some(refusal.to_string()),
        };
        if metadata.is_err() && !named {
            return None;
        }
        let watched = Self {
            key,
            name: shown(&name, program.as_deref()),
            program,
            since: Instant::now(),
            metadata: metadata.ok().filter(|_| heap),
            known: None,
            taken: Vec::new(),
            readings: Vec::new(),
            outside: Vec::new(),
            held: 0,
            every: 1,
            passed: 0,
            levels: Levels::new(over, heap_flags(key.pid)),
            compared: None,
            refused,
            lived: 0.0,
        };
        // It may have become another program while it was looked at, as `/usr/bin/env node` does.
        watched.is_same().then_some(watched)
    }

    /// Whether it still runs what it ran: a process begins as a copy of its parent. One that is ending runs nothing any more.
    pub(super) fn is_same(&self) -> bool {
        program(self.key.pid).is_none_or(|now| Some(now) == self.program)
    }

    /// Reads its level; `None` where it has ended.
    pub(super) fn level(&mut self) -> Option<()> {
        let bytes = anonymous(self.key.pid)?;
        self.lived = self.since.elapsed().as_secs_f64();
        self.levels.take(self.lived, bytes);
        Some(())
    }

    /// Reads its heap, and compares.
    pub(super) fn read(&mut self, over: Over, round: u64) {
        if self.metadata.is_none() {
            return;
        }
        self.refused = self.try_read(over, round).err().map(|refusal| refusal.to_string());
    }

    fn try_read(&mut self, over: Over, round: u64) -> Result<(), Refusal> {
        let Some(metadata) = &self.metadata else { return Ok(()) };
        let live = LiveMemory::open(self.key.pid)?;
        let whole = WholeProcess::read(self.key.pid)?;
        let mut reader = memory::open(&live, metadata, self.known.as_ref())?;
        let mut reading = reader.read(&mut |_, _| {})?;
        self.known = Some(reader.learned());
        // A reading may find too little held (the head of a chain that moves while it is read leaves all of the chain out), and hardly
        // too much: what seems to have been given back is looked for again. The reader keeps the marks of its last reading, so that
        // that one is compared.
        if reading.disturbed || (reading.held_bytes() as f64) < GIVEN_BACK * self.held as f64 {
            reading = reader.read(&mut |_, _| {})?;
        }
        if reading.disturbed {
            return Ok(());
        }
        let outside = match Outside::read(whole, (&reader, &reading), &live) {
            // Of a process that has ended meanwhile nothing was there any more.
            _ if live.is_gone() => None,
            outside => Some(outside?),
        };
        self.held = reading.held_bytes();
        let taken = Taken {
            at: self.since.elapsed().as_secs_f64(),
            round,
        };
        reading.at = over.position(&taken);
        self.taken.push(taken);
        if over.compares(&taken, self.compared.as_ref().map(|compared| &compared.last)) {
            self.compare(over, &mut reader, (&reading, outside.as_ref()))?;
        }
        // What is compared later is the newest then; of the others one in `every` stays.
        self.passed += 1;
        match outside {
            Some(outside) if self.passed >= self.every => {
                self.passed = 0;
                self.readings.push(reading.kept());
                self.outside.push(outside);
            }
            _ => {
                self.taken.pop();
            }
        }
        if self.readings.len() >= MOST {
            thin_out(&mut self.readings);
            thin_out(&mut self.outside);
            thin_out(&mut self.taken);
            self.every *= 2;
        }
        Ok(())
    }

    /// Compares the newest reading with those before.
    fn compare(
        &mut self,
        over: Over,
        reader: &mut Reader<'_>,
        (newest, outside): (&Reading, Option<&Outside>),
    ) -> Result<(), Refusal> {
        let chosen = over.chosen(&self.taken);
        let (Some(&first), Some(&last)) = (chosen.first(), chosen.last()) else {
            return Ok(());
        };
        let all: Vec<&Reading> = self.readings.iter().chain([newest]).collect();
        let readings: Vec<&Reading> = chosen.iter().filter_map(|nth| all.get(*nth).copied()).collect();
        let (Some(&before), Some(&taken_first), Some(&taken_last)) =
            (readings.first(), self.taken.get(first), self.taken.get(last))
        else {
            return Ok(());
        };
        let mut growth = Growth::over(&readings);
        let rounds = taken_last.round - taken_first.round;
        let at: Vec<f64> = readings.iter().map(|reading| reading.at).collect();
        let outside = self.outside_of(&chosen, (outside, &at));
        let few = readings.len() < MOMENTS.len();
        let mut culprits = Vec::new();
        let mut untold = None;
        if growth.grows && growth.net >= LEAST {
            if reader.is_marked() {
                let mut suspects = reader.suspects(&growth, (before, newest), &mut |_| {})?;
                suspects.retain(|suspect| growth.blames(suspect.share, suspect.steady));
                let blamed = !suspects.is_empty();
                suspects.retain(|suspect| !suspect.path.iter().any(|step| step.contains(RUNNER)));
                reader.lines(suspects.iter_mut().map(|suspect| &mut suspect.content))?;
                culprits.extend(suspects.iter().map(|suspect| placed(suspect, rounds)));
                let more = units::bytes(growth.net.unsigned_abs());
                let much = growth.net as f64 > WARM_UP * before.held_bytes() as f64;
                let unplaced = growth.culprits(3).find(|grown| grown.row.is_named());
                untold = match unplaced {
                    _ if blamed => None,
                    Some(grown) => Some(format!(
                        "{} became more, and no place was found where they accumulate",
                        grown.row.title()
                    )),
                    None if much && growth.leaking => Some(format!(
                        "it holds {more} more than before, and no place was found where that accumulates"
                    )),
                    None if growth.unclear || few && much => {
                        let count = readings.len();
                        Some(format!(
                            "it holds {more} more than before, and {count} readings do not tell whether that goes on"
                        ))
                    }
                    None => None,
                };
            } else {
                // Too large for places of accumulation to be told.
                reader.lines(growth.grown.iter_mut().map(|grown| &mut grown.row))?;
                culprits.extend(growth.culprits(3).map(|grown| Culprit::unplaced(grown, rounds)));
            }
        }
        self.compared = Some(Compared {
            first: taken_first,
            last: taken_last,
            readings: readings.len(),
            held: (before.held_bytes(), newest.held_bytes()),
            culprits,
            untold,
            outside,
        });
        Ok(())
    }

    /// What is said of memory outside the heap at these readings, of which the last is the `newest`. Where the process has ended
    /// meanwhile, what was said before, or else of those before.
    fn outside_of(&self, chosen: &[usize], (newest, at): (Option<&Outside>, &[f64])) -> Said {
        if let Some(before) = self.compared.as_ref().filter(|_| newest.is_none()) {
            return before.outside.clone();
        }
        let rounds = self.taken.iter().map(|taken| taken.round);
        let all: Vec<(&Outside, u64)> = self.outside.iter().chain(newest).zip(rounds).collect();
        let read = chosen.iter().filter_map(|nth| all.get(*nth).copied());
        let (outside, rounds): (Vec<&Outside>, Vec<u64>) = read.unzip();
        let rounds = rounds
            .last()
            .zip(rounds.first())
            .map_or(0, |(last, first)| last - first);
        said(&outside, at.get(..outside.len()).unwrap_or_default(), rounds)
    }

    /// What is said of it in the end.
    pub(super) fn judged(&self, over: Over) -> Judged {
        let mut judged = Judged {
            pid: self.key.pid,
            name: self.name.clone(),
            verdict: Verdict::NotJudged,
            lived_s: self.lived,
            readings: self.taken.len(),
            rounds: 0,
            over_s: 0.0,
            held_bytes: None,
            culprits: Vec::new(),
            outside_heap: None,
            why: String::new(),
        };
        if let Some(compared) = &self.compared {
            judged.verdict = match &compared.untold {
                _ if !compared.culprits.is_empty() => Verdict::Leaks,
                Some(why) => {
                    judged.why.clone_from(why);
                    Verdict::NotJudged
                }
                None => Verdict::Clean,
            };
            judged.readings = compared.readings;
            judged.rounds = compared.last.round - compared.first.round;
            judged.over_s = compared.last.at - compared.first.at;
            judged.held_bytes = Some(compared.held);
            judged.culprits.clone_from(&compared.culprits);
            judged.beside(&compared.outside);
            if !over.reaches_end(&compared.last, self.lived) {
                judged.unseen(compared.last.at);
            }
            return judged;
        }
        let refused = match &self.refused {
            Some(refused) if self.taken.is_empty() => refused,
            _ => {
                judged.why = format!(
                    "{} readings, which are too few or come from too short a time",
                    self.taken.len()
                );
                return judged;
            }
        };
        let (verdict, why) = match self.levels.told() {
            levels::Told::Grows => (Verdict::Leaks, "its memory grows"),
            levels::Told::Flat => (Verdict::Clean, "its memory stays level"),
            levels::Told::Nothing => (Verdict::NotJudged, "its memory alone does not tell"),
        };
        judged.verdict = verdict;
        judged.why = format!("{why}; {refused}");
        judged.over_s = self.lived;
        judged.held_bytes = self.levels.ends().map(|(first, last)| (first as u64, last as u64));
        judged
    }
}

fn placed(suspect: &Suspect, rounds: u64) -> Culprit {
    Culprit::new(
        &suspect.content,
        suspect.path.clone(),
        suspect.new,
        suspect.grown,
        suspect.share,
        rounds,
    )
}

/// Leaves out every second one; the first stays.
fn thin_out<T>(all: &mut Vec<T>) {
    let mut keep = false;
    all.retain(|_| {
        keep = !keep;
        keep
    });
}

/// The program and its first argument that is no flag, without their directories.
fn shown(arguments: &[String], program: Option<&Path>) -> String {
    let base = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
    // One that has written over its arguments, or is ending, has none.
    let program = arguments
        .first()
        .cloned()
        .or_else(|| Some(program?.display().to_string()));
    let program = program.as_ref().map(base);
    let script = arguments
        .iter()
        .skip(1)
        .find(|argument| !argument.starts_with('-'))
        .map(base);
    let words: Vec<String> = program.into_iter().chain(script).collect();
    words.join(" ")
}
