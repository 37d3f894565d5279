//! What `cargo xtask bench heap` runs: reads the heaps of real Node.js programs, produces what a reading costs: seconds and
//! memory of the reader for a heap of 1 GB, and what becomes of the program's throughput and event loop meanwhile, as paired
//! ratios.

use std::{
    fs,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use observer::source::{
    idle,
    memory::{self, LiveMemory},
};
use observer_heap::{Metadata, Reading};
use observer_tests::{app::App, places};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

/// Bytes that the agent spends on marks, and the command.
const MARKINGS: [(&str, usize); 2] = [("agent", 20 << 20), ("command", 144 << 20)];
/// Readings of the large heap for each.
const READINGS: usize = 5;
/// Pairs of windows, one with a reading every second and one without.
const PAIRS: usize = 15;
const WINDOW: Duration = Duration::from_secs(4);
/// How long a program may take to fill its heap.
const FILLED: Duration = Duration::from_mins(3);

fn main() -> Result<()> {
    idle::run_when_idle()?;
    large()?;
    beside()
}

fn start(megabytes: u32, work: &str) -> Result<App> {
    let node = places::cached_node(22)
        .or_else(places::node)
        .context("no Node.js: `cargo xtask setup`")?;
    let mut command = Command::new(node);
    command
        .arg("--max-old-space-size=4096")
        .arg(places::fixtures().join("heap-bench.js"))
        .args([megabytes.to_string().as_str(), work]);
    let mut app = App::start(&mut command)?;
    app.output.wait("the program's readiness", FILLED, |line| {
        line.contains("ready").then_some(())
    })?;
    Ok(app)
}

fn read(live: &LiveMemory, metadata: &Metadata, marking: usize) -> Result<Reading> {
    Ok(memory::open(live, metadata, None)?
        .with_marking(marking)
        .read(&mut |_, _| {})?)
}

/// CPU seconds of this process.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// A field of /proc/self/status, MiB.
fn own(field: &str) -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .context("no such field")?;
    let kilobytes: f64 = value.trim_matches(|c: char| !c.is_ascii_digit()).parse()?;
    Ok(kilobytes / 1024.0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A heap of 1 GB: CPU seconds, and how far the reader's own memory rises.
fn large() -> Result<()> {
    let app = start(1000, "idle")?;
    let metadata = memory::metadata(app.pid())?;
    let live = LiveMemory::open(app.pid())?;
    for (who, marking) in MARKINGS {
        let (mut seconds, mut rise) = (Vec::new(), Vec::new());
        let mut told = None;
        for _ in 0..READINGS {
            // Resets the peak (Documentation/filesystems/proc.rst).
            fs::write("/proc/self/clear_refs", "5")?;
            let before = own("VmRSS:")?;
            let began = cpu();
            let reading = read(&live, &metadata, marking)?;
            seconds.push(cpu() - began);
            rise.push(own("VmHWM:")? - before);
            told = reading
                .isolates
                .first()
                .map(|isolate| (isolate.heap_bytes, isolate.dead_bytes));
        }
        let (bytes, dead) = told.context("no isolate")?;
        println!(
            "{who}: {} MB of objects{} read and counted in {:.2} s of one core (median of {READINGS}; most {:.2}); peak of the reader {:.1} MiB above before",
            bytes / 1_000_000,
            if dead.is_some() {
                ", the dead told apart,"
            } else {
                " (upper bound: the dead not told apart)"
            },
            median(seconds.clone()),
            seconds.iter().copied().fold(0.0, f64::max),
            rise.iter().copied().fold(0.0, f64::max),
        );
    }
    Ok(())
}

/// What a program does in a window of time.
struct Window {
    /// A second.
    requests: f64,
    /// How late the event loop was, milliseconds.
    p50: f64,
    p99: f64,
}

fn window(app: &mut App, reading: bool, live: &LiveMemory, metadata: &Metadata) -> Result<Window> {
    tell(app)?;
    let began = Instant::now();
    for second in 1..=WINDOW.as_secs() {
        if reading {
            read(live, metadata, MARKINGS[0].1)?;
        }
        sleep(Duration::from_secs(second).saturating_sub(began.elapsed()));
    }
    let mut window = tell(app)?;
    window.requests /= began.elapsed().as_secs_f64();
    Ok(window)
}

fn tell(app: &mut App) -> Result<Window> {
    app.tell("")?;
    let told = app.output.wait("its figures", FILLED, |line| {
        let told: Value = serde_json::from_str(line).ok()?;
        Some((told["requests"].as_f64()?, told["p50"].as_f64()?, told["p99"].as_f64()?))
    })?;
    Ok(Window {
        requests: told.0,
        p50: told.1,
        p99: told.2,
    })
}

/// Windows in pairs, the order changing from pair to pair.
fn beside() -> Result<()> {
    let mut app = start(150, "work")?;
    let metadata = memory::metadata(app.pid())?;
    let live = LiveMemory::open(app.pid())?;
    let (mut requests, mut p50, mut p99) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let first = window(&mut app, pair % 2 == 0, &live, &metadata)?;
        let second = window(&mut app, pair % 2 == 1, &live, &metadata)?;
        let (with, without) = if pair % 2 == 0 {
            (first, second)
        } else {
            (second, first)
        };
        requests.push(with.requests / without.requests);
        p50.push(with.p50 / without.p50);
        p99.push(with.p99 / without.p99);
    }
    for (what, ratios) in [
        ("throughput", requests),
        ("event loop p50", p50),
        ("event loop p99", p99),
    ] {
        let mut sorted = ratios.clone();
        sorted.sort_by(f64::total_cmp);
        println!(
            "{what} with a reading every second, beside without: {:.3} (median of {PAIRS} pairs; middle half {:.3} to {:.3})",
            median(ratios),
            sorted[PAIRS / 4],
            sorted[PAIRS * 3 / 4],
        );
    }
    Ok(())
}
