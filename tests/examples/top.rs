//! What `cargo xtask bench top` runs: reads nothing, produces the time of a frame of 1,000 lives, and what `observer top` costs
//! when it is left alone, each on the program's own code.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{fs::FileTypeExt as _, net::UnixListener},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use observer::{
    terminal::Look,
    view::{
        top::{Board, Instant as Shown},
        workloads::Watched,
    },
};
use observer_core::engine::view::WorkloadView;
use observer_tests::{agent, app, stage::Scratch};
use ratatui::{buffer::Buffer, crossterm::event::KeyEvent, layout::Rect};
use serde_json::{Value, json};

/// Workloads that are watched.
const WORKLOADS: u64 = 1_000;
/// Frames measured of each kind.
const FRAMES: usize = 200;
/// Seconds that it is left alone, unless the first argument says otherwise.
const ALONE: u64 = 180;

fn main() -> Result<()> {
    let alone = env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(ALONE);
    frames()?;
    left_alone(Duration::from_secs(alone))
}

/// A snapshot as an agent of a full node answers it: one pod in ten leaks.
fn snapshot(tick: u64) -> Value {
    let workloads: Vec<Value> = (0..WORKLOADS).map(|nth| workload(nth, tick)).collect();
    json!({
        "agent": {
            "version": "0", "host": "node-1", "uptime_s": 1.0, "hooks": [], "processes": WORKLOADS, "containers": WORKLOADS,
            "inputs": 0, "late": 0, "findings": 0, "not_printed": 0, "lost": [], "evicted": [], "export": [], "store": null,
            "sweep_s": 0.0, "stalled": [], "memory": 0, "cpu_s": 0.0,
        },
        "began": 0, "now": (7_200 + tick) * 1_000_000_000, "counting_since": 0, "workloads": workloads,
    })
}

fn workload(nth: u64, tick: u64) -> Value {
    let (name, leaks) = (format!("service-{nth:04}"), nth.is_multiple_of(10));
    let level = (64 + nth % 300) * 1_048_576 + if leaks { tick * 65_536 } else { nth * tick % 4_096 };
    let ceiling = json!({"bytes": 536_870_912, "kind": "cgroup"});
    let resource =
        json!({"service.name": name, "k8s.pod.name": format!("{name}-7d9c5f6b8-x2x4v"), "k8s.namespace.name": "shop"});
    json!({
        "workload": {"namespace": "shop", "kind": "Deployment", "name": name, "container": null},
        "service": name, "service_namespace": "shop", "releases": [], "oom_kills": 0, "restarts": 0,
        "slots": [{
            "slot": {"pod": {"uid": format!("0f2e9d5c-1b3a-4c6d-8e7f-{nth:012}"), "container": "api"}},
            "instance": 0, "state": if leaks { "likely" } else { "quiet" },
            "slope_bytes_per_hour": leaks.then_some(9e7), "slope_standard_error": null,
            "time_to_ceiling_s": leaks.then_some(14_400.0), "runs": 1, "ended": [], "said": null, "levels": [],
            "current": {
                "run": 1, "version": "1.42.0", "started": 0, "started_boot": 0, "found": false, "gap": false,
                "main": {"pid": nth, "start": 1}, "processes": 1, "level": level, "usage": level, "rss": level, "anon": level,
                "working_set": level, "peak": level, "ceiling": ceiling, "heap_limit": null, "cgroup_limit": 536_870_912u64,
                "growth": null, "restart_count": 0, "traced": false, "resource": resource,
            },
        }],
    })
}

/// Time to take a snapshot in and draw it, and to draw again.
fn frames() -> Result<()> {
    let shown = |tick: u64| -> Result<Shown> {
        let workloads: Vec<WorkloadView> = serde_json::from_value(snapshot(tick)["workloads"].take())?;
        Ok(Shown {
            watched: Watched::here(workloads),
            now_s: 7_200.0 + tick as f64,
            source: "node-1".to_owned(),
            trouble: None,
        })
    };
    for (width, height) in [(80, 24), (200, 60)] {
        let mut board = Board::new(false, false);
        let area = Rect::new(0, 0, width, height);
        let look = Look {
            width: usize::from(width),
            colour: true,
            plain: false,
        };
        let (mut taken, mut drawn) = (Vec::new(), Vec::new());
        for tick in 0..FRAMES as u64 {
            let instant = shown(tick)?;
            let begun = Instant::now();
            board.show(instant);
            board.draw(area, &mut Buffer::empty(area), look);
            taken.push(begun.elapsed().as_secs_f64() * 1e3);
            // A key that moves the selection: nothing new is known.
            board.key(KeyEvent::from(ratatui::crossterm::event::KeyCode::Down));
            let begun = Instant::now();
            board.draw(area, &mut Buffer::empty(area), look);
            drawn.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        println!(
            "{WORKLOADS} lives, {width}x{height}: a frame with new values {}, one after a key {} (median, 99th of {FRAMES})",
            quantiles(&mut taken),
            quantiles(&mut drawn)
        );
    }
    Ok(())
}

fn quantiles(milliseconds: &mut [f64]) -> String {
    milliseconds.sort_by(f64::total_cmp);
    let at = |share: f64| milliseconds[((milliseconds.len() - 1) as f64 * share) as usize];
    format!("{:.2} ms, {:.2} ms", at(0.5), at(0.99))
}

/// CPU time of the command on a terminal, with an agent's socket that answers with other values each time.
fn left_alone(time: Duration) -> Result<()> {
    let scratch = Scratch::new("top")?;
    let socket = scratch.file("status.sock");
    let listener = UnixListener::bind(&socket).context("no socket")?;
    thread::spawn(move || {
        for (tick, stream) in listener.incoming().flatten().enumerate() {
            let mut line = String::new();
            let mut reader = BufReader::new(&stream);
            // Who hangs up has seen enough.
            if reader.read_line(&mut line).is_ok() {
                let _ = (&stream).write_all(snapshot(tick as u64).to_string().as_bytes());
            }
        }
    });
    let program = agent::command(&["top", "--status-socket", &socket.display().to_string()]);
    let line = [program.get_program()]
        .into_iter()
        .chain(program.get_args())
        .map(|part| part.to_string_lossy().into_owned())
        .collect::<Vec<_>>();
    // util-linux's `script` gives it a terminal.
    let mut command = Command::new("script");
    command
        .args([
            "--quiet",
            "--return",
            "--command",
            &format!("stty cols 200 rows 60; exec {}", line.join(" ")),
        ])
        .arg("/dev/null")
        .env("TERM", "xterm-256color");
    let mut child = app::dies_with_us(&mut command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start `script`")?;
    let mut output = child.stdout.take().context("no output")?;
    thread::spawn(move || {
        let mut bytes = [0; 4_096];
        while output.read(&mut bytes).is_ok_and(|count| count > 0) {}
    });
    let pid = wait_for(&socket.display().to_string(), child.id())?;
    let (begun, before) = (Instant::now(), ticks(pid)?);
    thread::sleep(time);
    let (after, lasted) = (ticks(pid)?, begun.elapsed().as_secs_f64());
    let seconds = (after - before) as f64 / rustix::param::clock_ticks_per_second() as f64;
    println!(
        "left alone for {lasted:.0} s with {WORKLOADS} lives at 200x60, asked every 2 s: {seconds:.2} s of CPU, {:.2} % of a core",
        100.0 * seconds / lasted
    );
    child.kill()?;
    child.wait()?;
    if socket.symlink_metadata().is_ok_and(|file| file.file_type().is_socket()) {
        fs::remove_file(socket)?;
    }
    Ok(())
}

/// The pid of what `script` runs, once it draws.
fn wait_for(argument: &str, script: u32) -> Result<u32> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&str> = line.split('\0').collect();
            if pid != script && words.get(1) == Some(&"top") && words.contains(&argument) {
                return Ok(pid);
            }
        }
        thread::sleep(Duration::from_millis(100));
    }
    bail!("`observer top` did not start")
}

/// User and system time of a process, in clock ticks.
fn ticks(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("it has ended")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let field = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
    // The 14th and 15th of proc(5), of which two stand before the last parenthesis.
    Ok(field(11).context("no utime")? + field(12).context("no stime")?)
}
