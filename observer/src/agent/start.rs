//! The start of the agent and its loop: reads the configuration, starts every reader, passes on what they deliver.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use observer_core::{
    Engine, Input, What,
    input::Begin,
    time::{BootTime, SECOND},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, interval_at, sleep},
};

use super::{
    allocator,
    checkpoint::Checkpointer,
    heaps::Heaps,
    heartbeat::Heartbeat,
    input_channel,
    inspector::{self, Inspector},
    limits,
    names::Names,
    observation::Observation,
    pods, program_pages,
    reorder::ReorderBuffer,
    rings,
    sampling::Sampling,
    scan::Scanner,
    serve,
};
use crate::{
    clock,
    config::Config,
    export::Exporters,
    kernel::{Hook, Kernel, Options, Rung, probe::Host},
    record::{RecordError, Recorder},
    source::{
        Cgroups, Procfs, Sampler,
        cgroup::{Hierarchy, HierarchyError},
    },
    store::History,
    terminal::say,
};

/// Why the agent cannot run, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The recording could not be started.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// No hierarchy accounts for memory here.
    #[error(transparent)]
    Hierarchy(#[from] HierarchyError),
    /// An exporter could not be set up.
    #[error(transparent)]
    Export(#[from] crate::export::ExportError),
    /// The operating system refused something every program needs.
    #[error("cannot {what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        error: std::io::Error,
    },
}

/// How often the engine hears of the time, and losses are told to it.
const TICK: Duration = Duration::from_secs(1);
/// What only the start needs has been needed by then: two sweeps are over.
const START: u64 = 25 * SECOND;
/// How often the wall clock is read again.
const CLOCK: Duration = Duration::from_mins(1);
/// Why Kubernetes ends the agent's own pod is told at about the time of the signal: for so many nanoseconds the agent goes on
/// taking in what is told, where it watches pods and itself.
const LAST_WORD: u64 = SECOND / 2;
/// Inputs taken from a channel at once.
const BURST: usize = 1_024;

/// Observes until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<(), AgentError> {
    let system = |what| move |error| AgentError::System { what, error };
    allocator::bound();
    // One thread: on a host where little happens, most of the agent's time is waking up, and with workers beside it each
    // timer wakes two threads. What may block has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("start threads"))?;
    runtime.block_on(observe(config))
}

async fn observe(config: &Config) -> Result<(), AgentError> {
    let system = |what| move |error| AgentError::System { what, error };
    let mut terminate = signal(SignalKind::terminate()).map_err(system("handle SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("handle SIGINT"))?;

    let hierarchy = Arc::new(Hierarchy::discover(&config.procfs, Some(&config.cgroupfs))?);
    let recorder = config.record.as_deref().map(Recorder::create).transpose()?;
    let exporters = Exporters::start(config)?;
    let mut limits = Vec::new();
    let kept = config.store.as_deref().and_then(|directory| {
        History::start(directory, config.history_max)
            .inspect_err(|error| limits.push(error.to_string()))
            .ok()
    });
    let (checkpointer, history, state) = match kept {
        Some((history, thread, state)) => {
            let checkpointer = Checkpointer::new(history, config.state_interval);
            (Some(checkpointer), Some(thread), state)
        }
        None => (None, None, None),
    };
    let served_history = checkpointer.as_ref().map(|checkpointer| checkpointer.history().clone());
    let (sender, mut inputs) = input_channel::channel();
    let mut procfs = Procfs::new(&config.procfs, Arc::clone(&hierarchy));
    if config.watch_itself {
        procfs = procfs.watching_itself();
    }
    let procfs = Arc::new(procfs);
    let names = Names::of_host(&procfs, config.engine_socket.clone());
    let sampler = Sampler::new(
        Arc::clone(&procfs),
        Cgroups::new(Arc::clone(&hierarchy)),
        config.max_processes,
    );
    let (mut kernel, kernel_rings, report) = Kernel::load(&Options::of(config));
    allocator::trim();
    limits.extend(limits::of(&Host::probe(), &report, &hierarchy));
    let kernel_log = kernel.take_log();
    // Without these two, processes that come and go are found by looking for them.
    let blind = [Hook::Exec, Hook::Exit]
        .into_iter()
        .any(|hook| report.rung(hook) == Rung::Files);
    let heartbeats @ [of_rings, of_inspector, of_scanner, of_sampler] = &[
        Heartbeat::new("rings", rings::PATIENCE),
        Heartbeat::new("inspector", inspector::PATIENCE),
        Heartbeat::new("scanner", inspector::PATIENCE),
        Heartbeat::new("sampler", config.sample_interval),
    ];
    let mut observation = Observation {
        engine: Engine::new(),
        host: crate::host::name(config),
        began: clock::anchor(),
        hooks: report
            .hooks
            .iter()
            .map(|hook| (hook.hook.name().to_owned(), hook.rung.name().to_owned()))
            .collect(),
        checkpointer,
        history,
        resumed: state.is_some(),
        heartbeats: heartbeats.to_vec(),
        inputs: 0,
        lost: BTreeMap::new(),
        stalled: Vec::new(),
        limits: Vec::new(),
        pods: pods::Trouble::default(),
        order: ReorderBuffer::default(),
        recorder,
        exporters,
        inspector: Inspector::start(
            Arc::clone(&procfs),
            Cgroups::new(Arc::clone(&hierarchy)),
            names.clone(),
            of_inspector.clone(),
            sender.clone(),
        )
        .map_err(system("start a thread"))?,
        heaps: Heaps::start(
            Arc::clone(&procfs),
            Arc::clone(&hierarchy),
            config.heap_bandwidth,
            sender.clone(),
        )
        .map_err(system("start a thread"))?,
        sampling: Sampling::start(
            sampler,
            kernel,
            config.sample_interval,
            of_sampler.clone(),
            sender.clone(),
        )
        .map_err(system("start a thread"))?,
    };
    observation.step(&Input {
        at: clock::boot(),
        what: What::Begin(Box::new(begin(config, &hierarchy))),
    });
    if let Some(state) = state {
        observation.step(&Input {
            at: clock::boot(),
            what: What::Restore(Box::new(state)),
        });
    }
    observation.record(Recorder::flush);
    observation.pods = pods::start(config, sender.clone());
    rings::start(kernel_rings, of_rings.clone(), sender.clone()).map_err(system("start a thread"))?;
    if let Some(log) = kernel_log {
        rings::start_log(log, sender.clone()).map_err(system("start a thread"))?;
    }
    let scanner = Scanner::start(
        procfs,
        names,
        blind.then_some(config.sample_interval),
        of_scanner.clone(),
        sender,
    )
    .map_err(system("start a thread"))?;

    let (ask, mut asked) = mpsc::channel(8);
    if let Some(path) = &config.status_socket {
        limits.extend(serve::unix(path, ask.clone(), served_history).await);
    }
    if !limits.is_empty() {
        say(limits.join("; "));
    }
    observation.limits = limits;
    if let Some(address) = config.listen {
        serve::http(address, ask).await;
    }

    // Not at once: a tick tells a time before now, which must not lie before the beginning.
    let mut ticks = interval_at(Instant::now() + TICK, TICK);
    let (mut clocks, mut exports) = (interval(CLOCK), interval(config.metrics_interval));
    exports.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut edges, mut answers) = (Vec::with_capacity(BURST), Vec::with_capacity(BURST));
    let listens = config.watch_itself && crate::host::node(config).is_some();
    let mut ends = None;
    let mut started = Some(clock::boot().plus(START));
    loop {
        let due = observation.order.due();
        tokio::select! {
            biased;
            _ = terminate.recv() => {
                if ends.is_some() || !listens {
                    break;
                }
                ends = Some(clock::boot().plus(LAST_WORD));
            }
            _ = interrupt.recv() => break,
            () = until(ends), if ends.is_some() => break,
            () = until(started), if started.is_some() => {
                program_pages::let_go();
                started = None;
            }
            _ = ticks.tick() => observation.tick(&inputs, &scanner),
            Some((name, answer)) = asked.recv() => drop(answer.send(observation.explained(name.as_deref()))),
            _ = exports.tick() => observation.export_metrics(),
            _ = clocks.tick() => observation.order.push(Input { at: clock::boot(), what: What::Clock(clock::anchor()) }),
            _ = inputs.edges.recv_many(&mut edges, BURST) => {}
            _ = inputs.answers.recv_many(&mut answers, BURST) => {}
            () = until(due), if due.is_some() => {}
        }
        edges
            .drain(..)
            .chain(answers.drain(..))
            .for_each(|input| observation.order.push(input));
        observation.advance(clock::boot());
    }
    let deadline = Instant::now() + config.stop_timeout;
    observation.finish(&mut inputs, deadline).await;
    Ok(())
}

/// Sleeps until an instant of boot time.
async fn until(due: Option<BootTime>) {
    if let Some(due) = due {
        sleep(Duration::from_nanos(due.since(clock::boot()))).await;
    }
}

fn begin(config: &Config, hierarchy: &Hierarchy) -> Begin {
    let read = |path: &str| {
        std::fs::read_to_string(config.procfs.join(path))
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    };
    Begin {
        format: observer_core::recording::LAYOUT,
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: read("sys/kernel/random/boot_id"),
        host: crate::host::name(config),
        clock: clock::anchor(),
        sample_interval_s: config.sample_interval.as_secs_f64(),
        host_memory: host_memory(&read("meminfo")),
        cgroup_version: hierarchy.version(),
        settings: config.settings.clone(),
    }
}

/// `MemTotal` of /proc/meminfo, bytes; 0 where it is not told. (The kernel's kB are 1024 bytes.)
fn host_memory(meminfo: &str) -> u64 {
    meminfo
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .trim()
                .strip_suffix("kB")?
                .trim()
                .parse::<u64>()
                .ok()
        })
        .unwrap_or(0)
        .saturating_mul(1024)
}
