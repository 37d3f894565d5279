//! What `cargo xtask bench audit` runs: reads how many containers and on which server, produces what an audit of their two weeks
//! costs: CPU time and memory of the command and of the server. A Prometheus gets its blocks from `promtool`, which takes longer
//! than the audit; a VictoriaMetrics takes the history as it is written.

use std::{
    env, fs,
    io::{BufWriter, Read as _, Write as _},
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use observer_tests::{
    agent,
    backend::{Backend, debian_prometheus, debian_victoria_metrics},
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
    let victoria = env::args().nth(2).as_deref() == Some("victoria-metrics");
    let end = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64;
    let end = end - end % STEP;
    let begun = Instant::now();
    let (backend, values) = if victoria {
        victoria_metrics(containers, end)?
    } else {
        prometheus(containers, end)?
    };
    println!(
        "{containers} containers, {HOURS} h at {STEP} s: {:.1} million values, in the server after {:.0} s",
        values as f64 / 1e6,
        begun.elapsed().as_secs_f64()
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
    let mut out = child.stdout.take().context("no output")?;
    // A table of thousands does not fit into a pipe.
    let reader = thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).map(|_| text)
    });
    let (mut own, mut peak) = (0.0f64, 0u64);
    while child.try_wait()?.is_none() {
        // It may end between the two.
        own = cpu(child.id()).unwrap_or(own);
        peak = peak.max(high_water(child.id()).unwrap_or(0));
        thread::sleep(Duration::from_millis(20));
    }
    let lasted = begun.elapsed().as_secs_f64();
    ensure!(child.wait()?.success(), "the audit failed");
    let text = reader.join().map_err(|_| anyhow::anyhow!("no output"))??;
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

/// A Prometheus with the histories, and the number of values.
fn prometheus(containers: u32, end: i64) -> Result<(Backend, u64)> {
    let program = debian_prometheus().context("no Prometheus: `cargo xtask counterpart debian-prometheus`")?;
    let scratch = Scratch::new("audited")?;
    let file = scratch.file("history.txt");
    let values = write(&file, containers, end)?;
    Ok((Backend::with_history_file(&program, &file, None)?, values))
}

/// A VictoriaMetrics with the histories, and the number of values.
fn victoria_metrics(containers: u32, end: i64) -> Result<(Backend, u64)> {
    let program =
        debian_victoria_metrics().context("no VictoriaMetrics: `cargo xtask counterpart debian-victoria-metrics`")?;
    let backend = Backend::empty_victoria_metrics(&program, &[])?;
    let (mut values, mut text) = (0, String::new());
    for nth in 0..containers {
        text.clear();
        history(&monitored(nth), HOURS, end, &mut |line| {
            values += 1;
            // Its times are milliseconds.
            text.extend([line, "000\n"]);
        });
        backend.import(&text)?;
    }
    backend.imported()?;
    Ok((backend, values))
}

fn monitored(nth: u32) -> Monitored {
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
    Monitored::of(
        ["shop", &format!("service-{nth:04}-0"), "api"],
        lives[nth as usize % lives.len()],
    )
}

/// Writes the histories; the number of values.
fn write(file: &Path, containers: u32, end: i64) -> Result<u64> {
    let mut out = BufWriter::new(fs::File::create(file)?);
    let mut values = 0;
    let mut failed = None;
    for nth in 0..containers {
        history(&monitored(nth), HOURS, end, &mut |line| {
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
