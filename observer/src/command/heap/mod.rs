//! `observer heap`: reads the heap of a live Node.js process from outside, prints what it holds or what grew.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use observer_heap::{Growth, Reader, Reading, Row};

use super::{Exit, say};
use crate::source::memory::{self, LiveMemory};

mod json;
mod table;
mod target;

/// Arguments of `observer heap`.
#[derive(Debug, clap::Args)]
pub(super) struct HeapArgs {
    /// A process, or the id (or the beginning of the id) of the container it runs in
    #[arg(value_name = "PID|CONTAINER")]
    target: String,
    /// Read twice, so far apart (10s, 5m), and print what grew
    #[arg(long, value_name = "TIME", value_parser = duration)]
    diff: Option<Duration>,
    /// Rows to print
    #[arg(long, value_name = "N", default_value_t = 30)]
    top: usize,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

pub(super) fn heap(args: &HeapArgs) -> anyhow::Result<Exit> {
    let pid = target::resolve(&args.target)?;
    let metadata = memory::metadata(pid).with_context(|| format!("process {pid} is not read"))?;
    let live = LiveMemory::open(pid)?;
    let out = &mut std::io::stdout().lock();
    let Some(apart) = args.diff else {
        let reader =
            Reader::open(&live, &metadata).with_context(|| format!("the heap of process {pid} is not read"))?;
        let mut reading = read(&reader)?;
        let shown = args.top.min(reading.rows.len());
        reader.lines(table::order(&mut reading.rows).take(shown))?;
        if args.json {
            json::reading(out, pid, &reading)?
        } else {
            table::reading(out, &reading, shown)?
        }
        return Ok(Exit::Success);
    };
    let before = {
        let reader =
            Reader::open(&live, &metadata).with_context(|| format!("the heap of process {pid} is not read"))?;
        read(&reader)?
    };
    wait(pid, apart)?;
    // Pages come and go: the second reading finds them anew.
    let reader =
        Reader::open(&live, &metadata).with_context(|| format!("the second reading of process {pid} failed"))?;
    let after = read(&reader)?;
    let mut growth = Growth::between(&before, &after);
    let shown = args.top.min(growth.grown.len());
    reader.lines(growth.grown.iter_mut().take(shown).map(|grown| &mut grown.row))?;
    if args.json {
        json::growth(out, pid, apart, &growth)?
    } else {
        table::growth(out, apart, &growth, shown)?
    }
    Ok(Exit::Success)
}

/// One reading; on a terminal, heaps that take longer than a moment tell how far it is.
fn read(reader: &Reader<'_, LiveMemory>) -> anyhow::Result<Reading> {
    let terminal = std::io::stderr().is_terminal();
    let mut next = Instant::now() + Duration::from_millis(500);
    let mut told = false;
    let reading = reader.read(&mut |done, all| {
        if terminal && Instant::now() >= next {
            next += Duration::from_millis(200);
            told = true;
            let percent = (u128::from(done) * 100).checked_div(u128::from(all)).unwrap_or(100);
            // Progress only: a closed standard error is no reason to stop.
            let _ = write!(
                std::io::stderr(),
                "\robserver: read {} of {} MiB ({percent} %)",
                done >> 20,
                all >> 20
            );
        }
    })?;
    if told {
        let _ = writeln!(std::io::stderr());
    }
    Ok(reading)
}

/// Waits between two readings; ends early, with an error, when the process does.
fn wait(pid: u32, apart: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + apart;
    say(format_args!("read once; reading again in {} s", apart.as_secs_f32()));
    while let Some(left) = until
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
    {
        std::thread::sleep(left.min(Duration::from_millis(250)));
        if !std::path::Path::new(&format!("/proc/{pid}")).exists() {
            bail!("process {pid} ended between the two readings");
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

/// Where a row's function or class stands, as an editor would open it.
fn place(row: &Row) -> String {
    let Some(file) = &row.file else { return String::new() };
    let file = file.strip_prefix("file://").unwrap_or(file);
    row.line
        .map_or_else(|| file.to_owned(), |line| format!("{file}:{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert!(duration("5 parsecs").is_err() && duration("s").is_err() && duration("99999999999999999h").is_err());
    }
}
