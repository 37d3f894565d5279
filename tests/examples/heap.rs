//! What `cargo xtask bench heap` runs: reads the heaps of real Node.js programs, produces what a reading costs: seconds and
//! memory of the reader for a heap of 1 GB, seconds for suspects in one, and what becomes of the throughput and the response
//! times of a server driven to its limit meanwhile, as paired ratios.

use std::{
    fs,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use observer::source::{
    idle,
    memory::{self, LiveMemory},
};
use observer_heap::{Growth, Metadata, Reading};
use observer_tests::{
    app::App,
    load::{Figures, Server},
    places,
};
use rustix::time::{ClockId, clock_gettime};

/// Bytes that the agent spends on marks, and the command.
const MARKINGS: [(&str, usize); 2] = [("agent", 20 << 20), ("command", 144 << 20)];
/// Readings of the large heap for each.
const READINGS: usize = 5;
/// Pairs of windows, one with a reading every second and one without.
const PAIRS: usize = 25;
const WINDOW: Duration = Duration::from_secs(6);
/// From the beginning of one reading to that of the next.
const EVERY: Duration = Duration::from_secs(1);
/// Megabytes that the server holds.
const HELD: u32 = 150;
/// How long a program may take to fill its heap.
const FILLED: Duration = Duration::from_mins(3);

fn main() -> Result<()> {
    let wanted = std::env::args().nth(1);
    let is_wanted = |part: &str| wanted.as_deref().is_none_or(|wanted| wanted == part);
    if is_wanted("large") {
        large()?;
    }
    if is_wanted("suspects") {
        suspects()?;
    }
    if is_wanted("beside") {
        beside()?;
    }
    Ok(())
}

fn start(script: &str, megabytes: u32) -> Result<App> {
    let node = places::cached_node(22)
        .or_else(places::node)
        .context("no Node.js: `cargo xtask setup`")?;
    let mut command = Command::new(node);
    command
        .arg("--max-old-space-size=4096")
        .arg(places::fixtures().join(script))
        .arg(megabytes.to_string());
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
    let app = start("large-heap.js", 1000)?;
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

/// Ten variables that leak at once in a heap of 1 GB: CPU seconds for what each of them retains, beyond the reading.
fn suspects() -> Result<()> {
    let mut app = start("ten-leaks.js", 1000)?;
    let metadata = memory::metadata(app.pid())?;
    let live = LiveMemory::open(app.pid())?;
    let (_, marking) = MARKINGS[1];
    let before = read(&live, &metadata, marking)?;
    let (mut seconds, mut reading, mut rise, mut named) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..READINGS {
        app.tell("")?;
        app.output
            .wait("its growth", FILLED, |line| (line == "grown").then_some(()))?;
        fs::write("/proc/self/clear_refs", "5")?;
        let (resident, began) = (own("VmRSS:")?, cpu());
        let mut reader = memory::open(&live, &metadata, None)?.with_marking(marking);
        let after = reader.read(&mut |_, _| {})?;
        let read = cpu();
        let growth = Growth::over(&[&before, &after]);
        let suspects = reader.suspects(&growth, (&before, &after), &mut |_| {})?;
        reading.push(read - began);
        seconds.push(cpu() - read);
        rise.push(own("VmHWM:")? - resident);
        named.push(suspects.len() as f64);
    }
    println!(
        "suspects: {:.0} places told in {:.2} s of one core (median of {READINGS}; {:.2} to {:.2}) beyond a reading of {:.2} s; \
         peak of the reader {:.1} MiB above before",
        median(named),
        median(seconds.clone()),
        seconds.iter().copied().fold(f64::INFINITY, f64::min),
        seconds.iter().copied().fold(0.0, f64::max),
        median(reading),
        rise.iter().copied().fold(0.0, f64::max),
    );
    Ok(())
}

/// A reading every second, on a thread of its own that waits for everybody else, until asked to stop; how many there were.
fn readings(pid: u32, stop: &AtomicBool) -> Result<u32> {
    idle::run_when_idle()?;
    let metadata = memory::metadata(pid)?;
    let live = LiveMemory::open(pid)?;
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let due = Instant::now() + EVERY;
        read(&live, &metadata, MARKINGS[0].1)?;
        count += 1;
        sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(count)
}

/// What the server does with a reading every second, and how many there were.
fn read_beside(server: &Server) -> Result<(Figures, u32)> {
    let (pid, stop) = (server.pid(), AtomicBool::new(false));
    thread::scope(|scope| {
        let reader = scope.spawn(|| readings(pid, &stop));
        let figures = server.drive(WINDOW);
        stop.store(true, Ordering::Relaxed);
        let count = reader.join().ok().context("the reader panicked")??;
        Ok((figures?, count))
    })
}

/// Windows in pairs, the order changing from pair to pair.
fn beside() -> Result<()> {
    let server = Server::start(HELD)?;
    let mut ratios: [Vec<f64>; 4] = Default::default();
    let mut counts = 0;
    for pair in 0..PAIRS {
        let before = (pair % 2 == 0).then(|| server.drive(WINDOW)).transpose()?;
        let (with, count) = read_beside(&server)?;
        let without = before.map_or_else(|| server.drive(WINDOW), Ok)?;
        counts += count;
        let pairs = [
            (with.throughput, without.throughput),
            (with.p50, without.p50),
            (with.p99, without.p99),
            (with.cpu, without.cpu),
        ];
        for (ratios, (with, without)) in ratios.iter_mut().zip(pairs) {
            ratios.push(with / without);
        }
    }
    for (what, mut ratios) in ["throughput", "p50", "p99", "CPU time of a request"]
        .into_iter()
        .zip(ratios)
    {
        ratios.sort_by(f64::total_cmp);
        println!(
            "{what} of a server driven to its limit with {:.2} readings a second, beside without: {:.3} (median of {PAIRS} \
             pairs; middle half {:.3} to {:.3})",
            f64::from(counts) / (PAIRS as f64 * WINDOW.as_secs_f64()),
            ratios[PAIRS / 2],
            ratios[PAIRS / 4],
            ratios[PAIRS * 3 / 4],
        );
    }
    Ok(())
}
