//! `observer heap`: reads the heap of a live Node.js process from outside, prints what it holds or what grew.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use observer_heap::{Growth, Learned, MOMENTS, Metadata, Reader, Reading, Row};

use difference::{Difference, Process as Grew};

use super::{Exit, target};
use crate::{
    source::memory::{self, LiveMemory},
    source::proc::stat::rss_anon,
    terminal::{self, say},
};

mod difference;
mod json;
mod pprof;
mod snapshot;
mod table;

/// Objects followed upwards for each row.
const FOLLOWED: usize = 48;
/// Bytes of a source map that is read.
const SOURCE_MAPS: u64 = 64 << 20;
/// Rows of a difference, and largest collections, whose holders are looked up.
const HELD: usize = 3;

/// Arguments of `observer heap`.
#[derive(Debug, clap::Args)]
pub(super) struct HeapArgs {
    /// A process, or the id (or the beginning of the id) of the container it runs in
    #[arg(value_name = "PID|CONTAINER")]
    target: String,
    /// Read several times within TIME (10s, 5m), and print what grew and where it accumulates
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "retainers")]
    diff: Option<Duration>,
    /// Print what holds the things of this name, most common way first
    #[arg(long, value_name = "WHAT")]
    retainers: Option<String>,
    /// Write the heap as Chrome DevTools, memlab and VS Code read it; strings by their length and a salted hash only
    #[arg(long, value_name = "FILE", conflicts_with_all = ["diff", "retainers", "json"])]
    snapshot: Option<PathBuf>,
    /// Write N snapshots, FILE-1 to FILE-N, with the same ids for the same objects
    #[arg(long, value_name = "N", requires = "snapshot", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    count: u32,
    /// Time between two of them
    #[arg(long, value_name = "TIME", requires = "snapshot", default_value = "30s", value_parser = duration)]
    every: Duration,
    /// Write what strings contain, too: passwords, tokens and people's data among it
    #[arg(long, requires = "snapshot")]
    with_strings: bool,
    /// Write the growth as a profile for pprof, Pyroscope, Grafana or speedscope, too: what holds is the caller of what it holds
    #[arg(long, value_name = "FILE", requires = "diff")]
    pprof: Option<PathBuf>,
    /// Rows to print
    #[arg(long, value_name = "N", default_value_t = 30)]
    top: usize,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

pub(super) fn heap(args: &HeapArgs) -> anyhow::Result<Exit> {
    let pid = target::node(&args.target)?;
    let process = Process {
        pid,
        metadata: memory::metadata(pid).with_context(|| format!("process {pid} is not read"))?,
        live: LiveMemory::open(pid)?.with_source_maps(SOURCE_MAPS),
    };
    let out = &mut terminal::stdout();
    let exit = match (&args.snapshot, &args.diff, &args.retainers) {
        (Some(file), _, _) => snapshot::snapshots(args, &process, file),
        (None, Some(apart), _) => diff(out, args, &process, *apart),
        (None, None, Some(what)) => retainers(out, args, &process, what),
        (None, None, None) => table(out, args, &process),
    }?;
    say(format_args!(
        "copied {} MiB of process {}'s memory in all",
        process.live.copied() >> 20,
        process.pid
    ));
    Ok(exit)
}

/// A process whose heap is read.
struct Process {
    pid: u32,
    metadata: Metadata,
    live: LiveMemory,
}

impl Process {
    /// Pages come and go: each reading finds them anew.
    fn open(&self, known: Option<&Learned>) -> anyhow::Result<Reader<'_>> {
        memory::open(&self.live, &self.metadata, known)
            .with_context(|| format!("the heap of process {} is not read", self.pid))
    }
}

fn table(out: &mut impl Write, args: &HeapArgs, process: &Process) -> anyhow::Result<Exit> {
    let mut reader = process.open(None)?;
    let mut reading = read(&mut reader)?;
    let shown = args.top.min(reading.rows.len());
    table::order(&mut reading.rows);
    reader.lines(reading.rows.iter_mut().take(shown))?;
    reading.collections.truncate(HELD);
    let held = reader.collection_holders(&reading.collections, &mut |_| {})?;
    if args.json {
        json::reading(out, process.pid, &reading, &held)?;
    } else {
        table::reading(out, &reading, &held, shown)?;
    }
    Ok(Exit::Success)
}

fn retainers(out: &mut impl Write, args: &HeapArgs, process: &Process, what: &str) -> anyhow::Result<Exit> {
    let mut reader = process.open(None)?;
    let mut reading = read(&mut reader)?;
    let wanted = what.strip_suffix("()").unwrap_or(what);
    table::order(&mut reading.rows);
    let mut rows: Vec<Row> = reading
        .rows
        .into_iter()
        .filter(|row| row.what == wanted)
        .take(args.top)
        .collect();
    if rows.is_empty() {
        bail!(
            "nothing named `{what}` is held by process {}; `observer heap {}` lists the names",
            process.pid,
            process.pid
        );
    }
    reader.lines(&mut rows)?;
    let held = reader.holders(&rows.iter().collect::<Vec<_>>(), FOLLOWED, &mut |level| progress(level))?;
    if args.json {
        json::retainers(out, process.pid, &rows, &held)?;
    } else {
        table::retainers(out, &rows, &held)?;
    }
    Ok(Exit::Success)
}

fn diff(out: &mut impl Write, args: &HeapArgs, process: &Process, apart: Duration) -> anyhow::Result<Exit> {
    say(format_args!(
        "reading {} times within {} s",
        MOMENTS.len(),
        apart.as_secs_f32()
    ));
    let began = Instant::now();
    let mut readings = Vec::new();
    let mut anonymous = Vec::new();
    let mut reader = process.open(None)?;
    for (index, moment) in MOMENTS.into_iter().enumerate() {
        if index > 0 {
            wait(process.pid, began + apart.mul_f64(moment))?;
            let known = reader.learned();
            reader = process.open(Some(&known))?;
        }
        anonymous.push(anonymous_bytes(process.pid)?);
        readings.push(read(&mut reader)?);
    }
    let mut growth = Growth::over(&readings.iter().collect::<Vec<_>>());
    let marked = reader.is_marked();
    let mut suspects = match readings.as_slice() {
        [first, .., last] => reader.suspects(&growth, (first, last), &mut |pass| progress(pass))?,
        _ => Vec::new(),
    };
    growth.grown.truncate(args.top);
    let rows = growth.grown.iter_mut().map(|grown| &mut grown.row);
    reader.lines(rows.chain(suspects.iter_mut().map(|suspect| &mut suspect.content)))?;
    let held = if marked {
        Vec::new()
    } else {
        let rows: Vec<&Row> = growth.grown.iter().take(HELD).map(|grown| &grown.row).collect();
        reader.holders(&rows, FOLLOWED, &mut |pass| progress(pass))?
    };
    growth.confirm(&held);
    let difference = Difference {
        apart,
        growth: &growth,
        suspects: &suspects,
        held: &held,
        marked,
        process: Grew {
            anonymous: more(anonymous.first(), anonymous.last()),
            unheld: more(
                readings.first().map(Reading::unheld_bytes).as_ref(),
                readings.last().map(Reading::unheld_bytes).as_ref(),
            ),
        },
    };
    if let Some(file) = &args.pprof {
        let create = || File::create(file).and_then(|created| pprof::write(created, &difference));
        create().with_context(|| format!("cannot write {}", file.display()))?;
    }
    if args.json {
        json::growth(out, process.pid, &difference)?;
    } else {
        table::growth(out, &difference)?;
    }
    Ok(Exit::Success)
}

fn more(before: Option<&u64>, after: Option<&u64>) -> i64 {
    let bytes = |level: Option<&u64>| level.copied().unwrap_or(0).cast_signed();
    bytes(after) - bytes(before)
}

/// Bytes of a process's anonymous memory (`RssAnon` of /proc/PID/status).
fn anonymous_bytes(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read(&path).with_context(|| format!("cannot read {path}"))?;
    rss_anon(&status).with_context(|| format!("{path} has no RssAnon"))
}

/// How far the search for holders is; on a terminal only.
fn progress(level: usize) {
    if level > 0 {
        terminal::progress(format_args!(
            "observer: looked for what holds it, {level} passes over the heap"
        ));
    }
}

/// One reading; on a terminal, heaps that take longer than a moment tell how far it is.
fn read(reader: &mut Reader<'_>) -> anyhow::Result<Reading> {
    let mut next = Instant::now() + Duration::from_millis(500);
    let mut told = false;
    let reading = reader.read(&mut |done, all| {
        if Instant::now() >= next {
            next += Duration::from_millis(200);
            told = true;
            let percent = (u128::from(done) * 100).checked_div(u128::from(all)).unwrap_or(100);
            terminal::progress(format_args!(
                "observer: read {} of {} MiB ({percent} %)",
                done >> 20,
                all >> 20
            ));
        }
    })?;
    if told {
        terminal::progress_done();
    }
    Ok(reading)
}

/// Waits for the next reading; ends early, with an error, when the process does.
fn wait(pid: u32, until: Instant) -> anyhow::Result<()> {
    while let Some(left) = until
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
    {
        std::thread::sleep(left.min(Duration::from_millis(250)));
        if !std::path::Path::new(&format!("/proc/{pid}")).exists() {
            bail!("process {pid} ended between the readings");
        }
    }
    Ok(())
}

/// `10s`, `500ms`, `5m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("`{unit}` is no unit of time; use ms, s, m or h")),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "expected a number and a unit, as in 60s".to_owned())?;
    number
        .checked_mul(milliseconds)
        .map(Duration::from_millis)
        .ok_or_else(|| "too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("60s"), Ok(Duration::from_mins(1)));
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert!(duration("5 parsecs").is_err() && duration("s").is_err() && duration("99999999999999999h").is_err());
    }
}
