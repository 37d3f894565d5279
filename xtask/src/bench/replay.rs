//! `cargo xtask bench replay`: reads nothing, writes a history of many series to a temporary file, and measures how fast
//! `observer replay --format csv` judges it beside plain reading and parsing of the same file, and how much memory it
//! holds with four times the rows.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use observer_tests::{places, stage::Scratch};

use crate::shell;

/// What to replay.
#[derive(Args)]
pub(crate) struct Options {
    /// Series, side by side
    #[arg(long, default_value_t = 1_000)]
    series: u64,
    /// Days of each, at 10 s; 14 make a file of 10 GB
    #[arg(long, default_value_t = 0.1)]
    days: f64,
    /// The agent to measure, instead of building one
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Pairs of runs: plain reading, then replay
    #[arg(long, default_value_t = 3)]
    pairs: u32,
}

const INTERVAL: u64 = 10;

pub(crate) fn command(options: &Options) -> Result<ExitCode> {
    if cfg!(debug_assertions) {
        bail!(
            "what it is compared with must be optimised as well: cargo run --release --package xtask -- bench replay"
        );
    }
    let agent = options.agent.clone().map_or_else(build, Ok)?;
    let scratch = Scratch::new("replay")?;
    let rows = (options.days * 86_400.0) as u64 / INTERVAL;
    let (file, long) = (scratch.file("rows.csv"), scratch.file("rows4.csv"));
    write(&file, options.series, rows)?;
    let bytes = fs::metadata(&file)?.len();
    let megabytes = bytes as f64 / 1e6;
    println!("{} series x {rows} rows, {megabytes:.0} MB", options.series);
    let (mut ratios, mut added) = (Vec::new(), Vec::new());
    let mut memory = 0;
    for _ in 0..options.pairs {
        let started = Instant::now();
        let parsed = parse(&file)?;
        let plain = started.elapsed().as_secs_f64();
        let started = Instant::now();
        memory = replay(&agent, &file)?;
        let judged = started.elapsed().as_secs_f64();
        ratios.push(judged / plain);
        added.push((judged - plain) / (options.series * rows) as f64);
        println!(
            "plain {:.0} MB/s ({parsed} numbers), replay {:.0} MB/s: {:.2} times as long",
            megabytes / plain,
            megabytes / judged,
            judged / plain
        );
    }
    write(&long, options.series, 4 * rows)?;
    let four = replay(&agent, &long)?;
    println!(
        "median {:.2} times as long as reading and parsing; peak memory {:.1} MB, with four times the rows {:.1} MB",
        median(&mut ratios),
        memory as f64 / 1e6,
        four as f64 / 1e6
    );
    let each = median(&mut added);
    println!(
        "judging takes {:.0} ns a sample: 1,000 series sampled every {INTERVAL} s take {:.4} % of a core",
        each * 1e9,
        each * 1_000.0 / INTERVAL as f64 * 100.0
    );
    Ok(ExitCode::SUCCESS)
}

fn build() -> Result<PathBuf> {
    if !shell::cargo(["build", "--release", "--package", "observer"])
        .status()?
        .success()
    {
        bail!("the agent does not build");
    }
    Ok(places::target().join("release").join("observer"))
}

fn median(of: &mut [f64]) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Rows as a metrics store gives them: all series at one instant, then all at the next.
fn write(file: &Path, series: u64, rows: u64) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file)?);
    writeln!(out, "series,t,anon,file,limit,cpu,run,end,version,kind,heap_limit")?;
    let mut noise = 88_172_645_463_325_252u64;
    for row in 0..rows {
        let t = 1_700_000_000 + row * INTERVAL;
        for number in 0..series {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            let day = (t % 86_400) as f64 / 86_400.0 * std::f64::consts::TAU;
            let cpu = 0.3 + 0.1 * day.sin() + (noise % 100) as f64 / 2_000.0;
            // One in twenty leaks.
            let leaked = if number % 20 == 0 { (row % 2_000) * 200_000 } else { 0 };
            let anon = 100_000_000 + number * 10_000 + noise % 2_000_000 + leaked;
            writeln!(
                out,
                "shop/service-{number:04}/app,{t},{anon},20000000,536870912,{cpu:.3},0,,1.4.2,Deployment,"
            )?;
        }
    }
    out.flush().with_context(|| format!("cannot write {}", file.display()))
}

/// Reads and parses it and does nothing else: gives back how many numbers there were.
fn parse(file: &Path) -> Result<u64> {
    let mut reader = csv::ReaderBuilder::new().buffer_capacity(1 << 18).from_path(file)?;
    let mut record = csv::ByteRecord::new();
    let mut numbers = 0;
    while reader.read_byte_record(&mut record)? {
        for at in [1, 2, 3, 4, 5, 6] {
            let field = record.get(at).unwrap_or_default();
            let number = std::str::from_utf8(field)
                .ok()
                .and_then(|text| text.parse::<f64>().ok());
            numbers += u64::from(number.is_some());
        }
    }
    Ok(numbers)
}

/// Replays it; gives back the most memory it held, bytes.
fn replay(agent: &Path, file: &Path) -> Result<u64> {
    let mut child = Command::new(agent)
        .args(["replay", "--format", "csv"])
        .arg(file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start the agent")?;
    let mut most = 0;
    loop {
        most = most.max(peak(&child));
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(most),
            Some(status) => bail!("the replay failed: {status}"),
            // A look at its memory, not a wait for anything.
            None => thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn peak(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .trim()
                .strip_suffix("kB")?
                .trim()
                .parse::<u64>()
                .ok()
        })
        .map_or(0, |kib| kib << 10)
}
