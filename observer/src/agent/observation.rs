//! The loop: reads Inputs from every reader in order of time, steps the engine, produces wishes and findings.

use std::{sync::Arc, time::Duration};

use observer_core::{Engine, Finding, Input, Request, What, input::Begin, time::BootTime};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, interval, sleep},
};

use super::{
    clock,
    inspector::{Inspector, Wish},
    intake::{self, Outlet},
    order::Order,
    pods, rings,
    sampling::Sampling,
    scan::Scanner,
};
use crate::{
    command::say,
    config::Config,
    export::Exporters,
    kernel::{Hook, Kernel, Options, Rung},
    record::{self, RecordError, Recorder},
    source::{
        Cgroups, Procfs, Sampler,
        cgroup::{Hierarchy, HierarchyError},
    },
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
/// How often the wall clock is read again.
const CLOCK: Duration = Duration::from_secs(60);
/// Inputs taken from a channel at once.
const BURST: usize = 1_024;

/// Observes until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<(), AgentError> {
    let system = |what| move |error| AgentError::System { what, error };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("agent")
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
    let (intake, mut outlet) = intake::channel();
    let procfs = Arc::new(Procfs::new(&config.procfs, Arc::clone(&hierarchy)));
    let sampler = Sampler::new(
        Arc::clone(&procfs),
        Cgroups::new(Arc::clone(&hierarchy)),
        config.max_processes,
    );
    let (kernel, kernel_rings, report) = Kernel::load(&Options::of(config));
    for line in report.unavailable.iter().cloned().chain(report.degradations()) {
        say(line);
    }
    // Without these two, processes that come and go are found by looking for them.
    let blind = [Hook::Exec, Hook::Exit]
        .into_iter()
        .any(|hook| report.rung(hook) == Rung::Files);
    let mut observation = Observation {
        engine: Engine::new(),
        order: Order::default(),
        recorder,
        exporters,
        inspector: Inspector::start(
            Arc::clone(&procfs),
            Cgroups::new(Arc::clone(&hierarchy)),
            intake.clone(),
        )
        .map_err(system("start a thread"))?,
        sampling: Sampling::start(sampler, kernel, config.sample_interval, intake.clone())
            .map_err(system("start a thread"))?,
    };
    observation.step(&Input {
        at: clock::boot(),
        what: What::Begin(Box::new(begin(config, &hierarchy))),
    });
    observation.record(Recorder::flush);
    pods::start(config, intake.clone());
    rings::start(kernel_rings, intake.clone()).map_err(system("start a thread"))?;
    let scanner =
        Scanner::start(procfs, blind.then_some(config.sample_interval), intake).map_err(system("start a thread"))?;

    let (mut ticks, mut clocks) = (interval(TICK), interval(CLOCK));
    let (mut edges, mut answers) = (Vec::with_capacity(BURST), Vec::with_capacity(BURST));
    loop {
        let due = observation.order.due();
        tokio::select! {
            biased;
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = ticks.tick() => observation.tick(&outlet, &scanner),
            _ = clocks.tick() => observation.order.push(Input { at: clock::boot(), what: What::Clock(clock::anchor()) }),
            _ = outlet.edges.recv_many(&mut edges, BURST) => {}
            _ = outlet.answers.recv_many(&mut answers, BURST) => {}
            () = until(due), if due.is_some() => {}
        }
        edges
            .drain(..)
            .chain(answers.drain(..))
            .for_each(|input| observation.order.push(input));
        observation.advance(clock::boot());
    }
    let deadline = Instant::now() + config.stop_timeout;
    observation.finish(&mut outlet, deadline).await;
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
    let uname = rustix::system::uname();
    Begin {
        format: record::FORMAT,
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: read("sys/kernel/random/boot_id"),
        host: uname.nodename().to_string_lossy().into_owned(),
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

/// The engine with everything it is joined to.
struct Observation {
    engine: Engine,
    order: Order,
    recorder: Option<Recorder>,
    exporters: Exporters,
    inspector: Inspector,
    sampling: Sampling,
}

impl Observation {
    /// Steps the engine with every Input that is no longer held back.
    fn advance(&mut self, now: BootTime) {
        while let Some(input) = self.order.pop(now) {
            self.step(&input);
        }
    }

    fn step(&mut self, input: &Input) {
        self.record(|recorder| recorder.write(input));
        let output = self.engine.step(input);
        for request in output.requests {
            self.obey(request);
        }
        self.publish(&output.findings);
    }

    fn publish(&mut self, findings: &[Finding]) {
        for finding in findings {
            self.exporters.publish(finding);
        }
    }

    fn obey(&self, request: Request) {
        match request {
            Request::Inspect(key) => self.inspector.ask(Wish::Inspect(key)),
            Request::OomKills { cgroup } => self.inspector.ask(Wish::OomKills(cgroup)),
            watching @ (Request::Watch { .. } | Request::Unwatch(_) | Request::Trace { .. }) => {
                self.sampling.ask(watching);
            }
        }
    }

    /// Time has passed: the engine is told, with what was lost meanwhile, and the recording is brought to its file.
    fn tick(&mut self, outlet: &Outlet, scanner: &Scanner) {
        let lost = outlet.losses.take();
        if !lost.is_empty() {
            // A lost exec or exit is found in /proc.
            scanner.again();
        }
        let now = clock::boot();
        for lost in lost {
            self.order.push(Input {
                at: now,
                what: What::Lost(lost),
            });
        }
        self.order.push(Input {
            at: now,
            what: What::Tick,
        });
        self.record(Recorder::flush);
    }

    /// Writes to the recording, and ends it where that fails: observation goes on without.
    fn record(&mut self, write: impl FnOnce(&mut Recorder) -> Result<(), RecordError>) {
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = write(recorder)
        {
            say(error);
            self.recorder = None;
        }
    }

    /// Takes what has arrived already, ends the engine and the recording, and delivers what is queued.
    async fn finish(mut self, outlet: &mut Outlet, deadline: Instant) {
        while let Ok(input) = outlet.edges.try_recv() {
            self.order.push(input);
        }
        while let Ok(input) = outlet.answers.try_recv() {
            self.order.push(input);
        }
        while let Some(input) = self.order.take() {
            self.step(&input);
        }
        self.step(&Input {
            at: clock::boot(),
            what: What::End,
        });
        if let Some(recorder) = self.recorder.take()
            && let Err(error) = recorder.finish()
        {
            say(error);
        }
        self.exporters.finish(deadline).await;
    }
}
