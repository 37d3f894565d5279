//! `observer watch`: runs a command, reads the heaps of its Node.js processes meanwhile, and ends with a code that tells
//! whether one of them leaks: a gate for CI.

mod cgroup;
mod child;
mod format;
mod levels;
mod outcome;
mod outside;
mod process;
mod schedule;
mod tree;

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::atomic::Ordering::Relaxed,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use observer_core::process::ProcessKey;

use super::Exit;
use crate::terminal;
use cgroup::OwnCgroup;
use child::{Heard, Watchee};
use outcome::{Ended, Outcome};
use process::Watched;
use schedule::{MOST, Over};

/// How often the loop looks around.
const TICK: Duration = Duration::from_millis(50);
/// Between two looks at which processes there are.
const SEARCH: Duration = Duration::from_millis(250);
/// Shortest time between two readings of a heap.
const BETWEEN: Duration = Duration::from_millis(200);

/// Arguments of `observer watch`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("extent").args(["over", "rounds"]).required(true))]
pub(super) struct WatchArgs {
    /// Judge over this time; the command is stopped when it is over
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    over: Option<Duration>,
    /// Judge over this many rounds of the same work, at least 5: a line on standard output, SIGUSR2 to OBSERVER_WATCH_PID,
    /// or --every tells that one is done
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(5..=1_000_000))]
    rounds: Option<u64>,
    /// What stands in the line that tells a round
    #[arg(long, value_name = "TEXT", default_value = "observer: round", requires = "rounds")]
    round_line: String,
    /// A round is this long; the command is stopped after the last
    #[arg(long, value_name = "DURATION", requires = "rounds", value_parser = humantime::parse_duration)]
    every: Option<Duration>,
    /// Watch this process, and those below it, instead of starting a command
    #[arg(long, value_name = "PID", conflicts_with = "command")]
    pid: Option<u32>,
    /// Do not read heaps: judge by levels alone, which takes minutes and names nothing
    #[arg(long)]
    no_heap: bool,
    /// How the outcome is written; what the command prints goes to standard error beside json and junit
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write the outcome to FILE instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The command and its arguments
    #[arg(last = true, required_unless_present = "pid", value_name = "COMMAND")]
    command: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Sentences
    #[default]
    Human,
    /// One object
    Json,
    /// XML that CI systems read as test results: a test case for each process
    Junit,
    /// Sentences, and annotations on the lines of code that GitHub Actions shows
    Github,
}

pub(super) fn watch(args: &WatchArgs) -> anyhow::Result<Exit> {
    let heard = Heard::default();
    heard.signals().context("cannot take signals")?;
    let aside = args.output.is_none() && matches!(args.format, Format::Json | Format::Junit);
    let own = args.pid.is_none().then(OwnCgroup::make).flatten();
    let mut watchee = match args.pid {
        Some(pid) if !tree::exists(pid) => bail!("there is no process {pid}"),
        Some(_) => None,
        None => {
            let start = || Watchee::start(&args.command, &args.round_line, aside, &heard);
            Some(match &own {
                Some(own) => own.inside(start).context("cannot leave the command's cgroup")??,
                None => start()?,
            })
        }
    };
    let mut watch = Watch::new(args, heard, own);
    let root = watchee.as_ref().map(Watchee::pid).or(args.pid).unwrap_or_default();
    watch.until_judged(root, watchee.as_mut())?;
    terminal::progress_done();
    let ended = match watchee {
        Some(watchee) => watchee.code()?.map_or(Ended::Stopped, Ended::Itself),
        None => Ended::Stopped,
    };
    let name = args
        .pid
        .map_or_else(|| args.command.join(" "), |pid| format!("pid {pid}"));
    let processes = watch
        .processes
        .values()
        .map(|watched| watched.judged(watch.over))
        .collect();
    let (watched_s, rounds) = (watch.watched.as_secs_f64(), watch.rounds());
    let mut outcome = Outcome::of(name, ended, watched_s, rounds, processes);
    outcome.memory = watch.own.as_ref().and_then(OwnCgroup::memory);
    write(args, &outcome)?;
    Ok(outcome.exit())
}

fn write(args: &WatchArgs, outcome: &Outcome) -> anyhow::Result<()> {
    let page = match args.format {
        Format::Human => format::human(outcome),
        Format::Json => terminal::json(outcome)?.as_str().to_owned(),
        Format::Junit => format::junit(outcome),
        Format::Github => format::human(outcome) + &format::github(outcome),
    };
    match &args.output {
        Some(file) => fs::write(file, page).with_context(|| format!("cannot write {}", file.display()))?,
        None => terminal::print(page)?,
    }
    Ok(())
}

/// A watch in progress.
struct Watch<'a> {
    args: &'a WatchArgs,
    over: Over,
    heard: Heard,
    began: Instant,
    watched: Duration,
    processes: BTreeMap<ProcessKey, Watched>,
    /// Where the command runs, if it was given one.
    own: Option<OwnCgroup>,
}

impl<'a> Watch<'a> {
    fn new(args: &'a WatchArgs, heard: Heard, own: Option<OwnCgroup>) -> Self {
        let over = match (args.over, args.rounds) {
            (Some(time), _) => Over::Time(time.as_secs_f64()),
            (None, rounds) => Over::Rounds(rounds.unwrap_or_default()),
        };
        Self {
            args,
            over,
            heard,
            began: Instant::now(),
            watched: Duration::ZERO,
            processes: BTreeMap::new(),
            own,
        }
    }

    /// Rounds done: announced, or by the clock.
    fn rounds(&self) -> u64 {
        let by_clock = self.args.every.map_or(0, |every| {
            let every = every.max(Duration::from_millis(1));
            (self.watched.as_nanos() / every.as_nanos()) as u64
        });
        self.heard.rounds.load(Relaxed).max(by_clock)
    }

    /// Looks on until the command ends, or enough was seen; then stops it, unless it announces its rounds itself and so
    /// knows its end.
    fn until_judged(&mut self, root: u32, mut watchee: Option<&mut Watchee>) -> anyhow::Result<()> {
        let time = match self.over {
            Over::Time(seconds) => Duration::from_secs_f64(seconds),
            Over::Rounds(_) => Duration::MAX,
        };
        let between = match self.over {
            Over::Time(seconds) => Duration::from_secs_f64(seconds / MOST as f64).max(BETWEEN),
            Over::Rounds(_) => BETWEEN,
        };
        let (mut searched, mut read, mut read_round) = (None::<Instant>, None::<Instant>, 0);
        let mut judged = false;
        loop {
            self.watched = self.began.elapsed();
            let ended = match watchee.as_mut() {
                Some(watchee) => watchee.ended()?.is_some(),
                None => !tree::exists(root),
            };
            if ended {
                return Ok(());
            }
            if searched.is_none_or(|at| at.elapsed() >= SEARCH) {
                searched = Some(Instant::now());
                self.search(root);
                if let Some(own) = &mut self.own {
                    own.look();
                }
            }
            self.processes
                .values_mut()
                .filter(|watched| tree::lives(watched.key))
                .for_each(|watched| {
                    // It may end between the two.
                    let _ = watched.level();
                });
            let (rounds, enough) = (self.rounds(), self.heard.enough.load(Relaxed));
            let over = enough || self.watched >= time || matches!(self.over, Over::Rounds(wanted) if rounds >= wanted);
            let due = match self.over {
                Over::Time(_) => read.is_none_or(|at: Instant| at.elapsed() >= between) || over,
                Over::Rounds(_) => rounds > read_round && (over || read.is_none_or(|at| at.elapsed() >= between)),
            };
            if due && !judged {
                (read, read_round) = (Some(Instant::now()), rounds);
                for watched in self.processes.values_mut().filter(|watched| tree::lives(watched.key)) {
                    watched.read(self.over, rounds);
                }
                self.tell(rounds);
            }
            judged |= over;
            let knows_its_end = matches!(self.over, Over::Rounds(_)) && self.args.every.is_none() && !enough;
            if over && !knows_its_end {
                if let Some(watchee) = watchee {
                    watchee.stop(self.own.as_ref())?;
                }
                return Ok(());
            }
            if over && watchee.is_none() {
                return Ok(());
            }
            thread::sleep(TICK);
        }
    }

    /// Finds processes that run Node.js by now.
    fn search(&mut self, root: u32) {
        self.processes
            .retain(|key, watched| !tree::lives(*key) || watched.is_same());
        for key in tree::of_command(root, self.own.as_ref()) {
            if self.processes.contains_key(&key) {
                continue;
            }
            // It may become Node.js yet: it is asked again each time.
            if let Some(watched) = Watched::of(key, self.over, !self.args.no_heap) {
                self.processes.insert(key, watched);
            }
        }
    }

    fn tell(&self, rounds: u64) {
        let of_rounds = match self.over {
            Over::Rounds(wanted) => format!(", round {rounds} of {wanted}"),
            Over::Time(_) => String::new(),
        };
        terminal::progress(format_args!(
            "observer watch: {:.0} s{of_rounds}, {} processes",
            self.watched.as_secs_f64(),
            self.processes.len()
        ));
    }
}
