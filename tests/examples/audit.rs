//! What `cargo xtask bench audit` runs: reads how many containers, produces what an audit of their two weeks costs, on a real
//! Prometheus whose blocks `promtool` has made: CPU time and memory of the command and of the server.

use std::{
    env, fs,
    io::{BufWriter, Write as _},
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use observer_tests::{
    agent,
    backend::{Backend, debian_prometheus},
    histories::{Life, Monitored, STEP, history},
    stage::Scratch,
};

/// Containers, unless the first argument says otherwise.
const CONTAINERS: u32 = 100;
/// Hours of history: two weeks.
const HOURS: i64 = 14 * 24;

fn main() -> Result<()> {
    let containers = env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(CONTAINERS);
    let program = debian_prometheus().context("no Prometheus: `cargo xtask counterpart debian-prometheus`")?;
    let scratch = Scratch::new("audited")?;
    let end = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64;
    let end = end - end % STEP;
    let file = scratch.file("history.txt");
    let begun = Instant::now();
    let values = write(&file, containers, end)?;
    let written = begun.elapsed();
    let backend = Backend::with_history_file(&program, &file, None)?;
    fs::remove_file(&file)?;
    println!(
        "{containers} containers, {HOURS} h at {STEP} s: {:.1} million values, written in {:.0} s, made into blocks in {:.0} s",
        values as f64 / 1e6,
        written.as_secs_f64(),
        begun.elapsed().saturating_sub(written).as_secs_f64()
    );

    let server = backend.pid();
    let before = cpu(server)?;
    let begun = Instant::now();
    let url = format!("http://{}", backend.query);
    let mut command = agent::command(&["audit", &url, "--since", &format!("{HOURS}h"), "--fail-on", "never"]);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the audit")?;
    let (mut own, mut peak) = (0.0f64, 0u64);
    while child.try_wait()?.is_none() {
        // It may end between the two.
        own = cpu(child.id()).unwrap_or(own);
        peak = peak.max(high_water(child.id()).unwrap_or(0));
        thread::sleep(Duration::from_millis(20));
    }
    let lasted = begun.elapsed().as_secs_f64();
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "the audit failed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let totals = text
        .lines()
        .find(|line| line.contains(" containers: "))
        .unwrap_or_default();
    let spent = cpu(server)? - before;
    println!("{totals}");
    println!(
        "{lasted:.1} s; CPU time {own:.1} s of the command and {spent:.1} s of the server; peak memory {:.0} MiB and {:.0} MiB",
        peak as f64 / 1_048_576.0,
        high_water(server)? as f64 / 1_048_576.0
    );
    println!(
        "by the container: {:.0} ms of CPU of the command, {:.0} ms of the server",
        own / f64::from(containers) * 1e3,
        spent / f64::from(containers) * 1e3
    );
    Ok(())
}

/// Writes the histories; the number of values.
fn write(file: &Path, containers: u32, end: i64) -> Result<u64> {
    let lives = [
        Life::Flat,
        Life::Flat,
        Life::Flat,
        Life::Climb,
        Life::Sawtooth,
        Life::Tight,
        Life::Flat,
        Life::Fixed,
    ];
    let mut out = BufWriter::new(fs::File::create(file)?);
    let mut values = 0;
    let mut failed = None;
    for nth in 0..containers {
        let life = lives[nth as usize % lives.len()];
        let monitored = Monitored::of(["shop", &format!("service-{nth:04}-0"), "api"], life);
        history(&monitored, HOURS, end, &mut |line| {
            values += 1;
            if let Err(error) = writeln!(out, "{line}") {
                failed = Some(error);
            }
        });
    }
    if let Some(error) = failed {
        return Err(error).context("cannot write the history");
    }
    writeln!(out, "# EOF")?;
    out.flush()?;
    Ok(values)
}

/// User and system time of a process, seconds.
fn cpu(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("it has ended")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let field = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
    let ticks = field(11).context("no utime")? + field(12).context("no stime")?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Highest resident memory of a process, bytes.
fn high_water(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("it has ended")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("no VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1_024)
}
