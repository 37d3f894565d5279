//! `observer heap`: reads the heap of a live Node.js process from outside, prints what it holds or what grew.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use observer_heap::{Growth, MOMENTS, Reader, Reading, Row};

use difference::{Difference, Process as Grew};
use duration::duration;
use process::Process;

use super::{Exit, target};
use crate::{
    source::usage::{Process as Usage, V8, WholeProcess},
    terminal::{self, say},
};

mod difference;
mod duration;
mod json;
mod pprof;
mod process;
mod snapshot;
mod table;

/// Objects followed upwards for each row.
const FOLLOWED: usize = 48;
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
    #[command(flatten)]
    snapshot: snapshot::SnapshotArgs,
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
    let process = Process::of(pid)?;
    let out = &mut terminal::stdout();
    let exit = match (&args.snapshot.snapshot, &args.diff, &args.retainers) {
        (Some(file), _, _) => snapshot::snapshots(&args.snapshot, &process, file).map(|()| Exit::Success),
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
    let is_wanted = |row: &Row| row.what == wanted;
    let mut rows: Vec<Row> = reading.rows.iter().filter(|row| is_wanted(row)).cloned().collect();
    if rows.is_empty() {
        // In a bundle it may be called something else.
        reading.rows.retain(Row::is_named);
        reader.lines(&mut reading.rows)?;
        rows = reading.rows.into_iter().filter(is_wanted).collect();
    }
    rows.truncate(args.top);
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
    let mut levels = Vec::new();
    let mut reader = process.open(None)?;
    for (index, moment) in MOMENTS.into_iter().enumerate() {
        if index > 0 {
            process.wait(began + apart.mul_f64(moment))?;
            let known = reader.learned();
            reader = process.open(Some(&known))?;
        }
        let at = began.elapsed().as_secs_f64();
        // What it has in all is compared at both ends.
        let ends = index == 0 || index == MOMENTS.len() - 1;
        let whole = ends.then(|| WholeProcess::read(process.pid)).transpose()?;
        let mut reading = read(&mut reader)?;
        reading.at = at;
        if let Some(whole) = whole {
            levels.push(whole.look_into_with(Ok(V8::of(&reader, &reading)?), Some(&process.live))?);
        }
        readings.push(reading);
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
            anonymous: more(&levels, Usage::anonymous),
            unheld: more(&levels, Usage::unheld),
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

/// By how many bytes the last has more than the first.
fn more(levels: &[Usage], bytes: impl Fn(&Usage) -> u64) -> i64 {
    let bytes = |level: Option<&Usage>| level.map_or(0, &bytes).cast_signed();
    bytes(levels.last()) - bytes(levels.first())
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
