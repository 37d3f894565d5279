//! The demo: the incident in two minutes. Reads nothing, produces a leak on real kernel limits, what the agent sees of
//! it, its verdict, and a failure if the verdict is missing or falls on somebody innocent.

mod report;
mod screen;
mod services;
mod stage;
mod verdict;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use observer_core::Input;
use observer_tests::{
    agent::{self, Tail},
    app, need,
};
use serde_json::Value;

use self::{
    report::Report,
    screen::Screen,
    services::Services,
    stage::{SERVICES, Stage},
    verdict::{Checks, reports_leak, service},
};
use crate::{setup, shell};

/// Ends at the latest after this long, verdict or not.
const PATIENCE: Duration = Duration::from_mins(4);
/// Between two looks at what has come.
const FRAME: Duration = Duration::from_millis(250);
/// Kills after which the sawtooth can be distinguished from an accident.
const KILLS: u32 = 3;

/// How to show it.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Do not look for, or install, what is missing
    #[arg(long)]
    no_setup: bool,
    /// Keep the agent's recording in this file, for `observer replay`
    #[arg(long, value_name = "FILE")]
    keep: Option<std::path::PathBuf>,
}

/// `cargo xtask demo`
pub(crate) fn command(options: &Options) -> Result<ExitCode> {
    if !options.no_setup {
        let missing = setup::for_running();
        if !missing.is_empty() {
            bail!("the demo needs what could not be set up: {}", missing.join(", "));
        }
    }
    let needs = [
        need::Need::Root,
        need::Need::Runc,
        need::Need::Node,
        need::Need::OtlpPython,
    ];
    if let Some(reason) = needs.into_iter().find_map(need::missing) {
        bail!("the demo runs containers and loads kernel programs, which is not possible here: {reason}");
    }
    println!(
        "demo: building the agent with its kernel programs; the first time this takes some 150 s of processor time: a minute and a half on two idle cores"
    );
    let mut build = shell::cargo(["build", "--package", "observer", "--no-default-features"]);
    build.env("OBSERVER_REQUIRE_EBPF", "1");
    shell::run(build)?;

    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // A second Ctrl-C, while this one is cleaning up, ends at once: what is left is swept by the next start.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&interrupted))?;
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let mut screen = Screen::new();
    introduce(&mut screen);
    let stage = Stage::start()?;
    let checks = watch(stage, &mut screen, &interrupted, options)?;
    Ok(match checks {
        Some(checks) if checks.passed() => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
        None => ExitCode::from(130),
    })
}

fn introduce(screen: &mut Screen) {
    screen.heading("Three real Node.js servers in memory-limited containers; one of them leaks.");
    screen.say("The agent watches from outside; the servers run unchanged.\n");
    for service in &SERVICES {
        let name = screen.paint("1", &format!("{:<11}", service.name));
        screen.say(&format!("  {name} {}", service.what));
    }
    screen.say("");
}

/// Shows what comes until the verdict is there; `None` where the viewer had enough.
fn watch(mut stage: Stage, screen: &mut Screen, interrupted: &AtomicBool, options: &Options) -> Result<Option<Checks>> {
    let started = Instant::now();
    let mut seen = Services::default();
    let mut tail = Tail::new(&stage.agent.recording());
    let mut shown = 0;
    let mut reports: Vec<Value> = Vec::new();
    let confirmed = |reports: &[Value]| reports.iter().any(|finding| finding["event"] == verdict::CONFIRMED);
    loop {
        if interrupted.load(Ordering::SeqCst) {
            screen.say("demo: stopping, cleaning up");
            return Ok(None);
        }
        for line in tail.lines()? {
            if let Ok(input) = serde_json::from_str(&line) {
                seen.take(&input);
            }
        }
        let lines = stage.agent.findings.so_far();
        let findings: Vec<Value> = lines[shown..]
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        shown = lines.len();
        for finding in findings {
            if SERVICES.iter().any(|known| known.name == service(&finding)) {
                screen.finding(&finding);
            }
            if reports_leak(&finding) {
                reports.push(finding);
            }
        }
        let kills = seen.of(SERVICES[0].name).oom_kills;
        if kills >= KILLS && confirmed(&reports) {
            break;
        }
        if started.elapsed() > PATIENCE {
            screen.say("demo: gave up waiting for a verdict");
            break;
        }
        if let Some(code) = stage.agent.ended()? {
            let said = stage.agent.messages.so_far().join("\n  ");
            bail!("the agent ended by itself with {code}:\n  {said}");
        }
        let waiting = if kills < KILLS {
            format!("the kernel's kill {} of {KILLS}", kills + 1)
        } else {
            "the verdict".to_owned()
        };
        screen.table(&seen, &waiting);
        thread::sleep(FRAME);
    }
    screen.erase();
    conclude(stage, screen, options).map(Some)
}

/// Stops the agent and shows verdict, sawtooth and what the receiver got.
fn conclude(stage: Stage, screen: &mut Screen, options: &Options) -> Result<Checks> {
    let Stage {
        agent: running,
        mut receiver,
        containers,
        ..
    } = stage;
    let stopped = running.stop()?;
    drop(containers);
    let findings: Vec<Value> = stopped
        .findings
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();

    screen.heading("What the agent saw of `chat`, drawn from its recording");
    let recording = stopped.recording.to_string_lossy().into_owned();
    shell::run(agent::command(&["replay", &recording, "--chart", "chat"]))?;

    screen.heading("What an OTLP receiver got, decoded by the official protobuf classes");
    let delivered = receiver.logs(findings.len());
    verdict::show_delivery(screen, &delivered);

    screen.heading("The incident's report: before the fix, and after");
    let text = std::fs::read_to_string(&stopped.recording).context("cannot read the recording")?;
    let inputs: Vec<Input> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let column = |name| Report::of(inputs.iter(), name);
    let (before, after) = (SERVICES[0].name, SERVICES[1].name);
    for line in report::table((before, &column(before)), (after, &column(after))) {
        screen.say(&line);
    }

    let checks = verdict::check(&findings, &delivered, &replayed(&recording)?, &stopped.findings);
    screen.heading("Verdict");
    for (passed, line) in checks.lines() {
        let mark = if *passed {
            screen.paint("1;32", "✓")
        } else {
            screen.paint("1;31", "✗")
        };
        screen.verdict(&mark, line);
    }
    if let Some(culprit) = verdict::culprit(&findings) {
        screen.heading("What leaks");
        screen.verdict("", &culprit);
    }
    screen.say("");
    if let Some(keep) = &options.keep {
        std::fs::copy(&stopped.recording, keep)
            .with_context(|| format!("cannot keep the recording in {}", keep.display()))?;
        screen.say(&format!(
            "The recording is in {}; `observer replay` judges it again.",
            keep.display()
        ));
    }
    Ok(checks)
}

/// The findings of a second, offline look at the recording.
fn replayed(recording: &str) -> Result<Vec<String>> {
    let mut command = agent::command(&["replay", recording, "--output", "json"]);
    let output = command.output().context("cannot start the agent")?;
    if !output.status.success() {
        bail!("observer replay ended with {}", app::shell_code(output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect())
}
