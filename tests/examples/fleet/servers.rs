//! A fleet before real servers: reads a plan and recordings, plays their history into a Prometheus that scrapes and one that takes OTLP, goes on
//! in real time, and produces what both say and what that costs.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use observer_core::time::WallTime;
use observer_tests::{
    backend::{Backend, debian_prometheus},
    counterpart::PROMETHEUS,
    fleet::{Plan, Recorded, server},
    stage::Scratch,
};

use crate::{
    agent::{Agent, Told},
    measure, picture, scrape,
};

const HOUR: f64 = 3_600.0;
/// Seconds between two rounds once the present is reached: a scrape's interval.
const ROUND: u64 = 15;

/// How to play it.
pub(crate) struct Run {
    /// Seconds between two points of a metric in the history.
    pub(crate) every: f64,
    /// Seconds of history told in one of the clock, at most; 0: as fast as it goes.
    pub(crate) speed: f64,
    /// Minutes for which it goes on in real time.
    pub(crate) minutes: f64,
    /// How often rules are evaluated instead of as shipped.
    pub(crate) evaluate: Option<String>,
    /// Where the dashboards are drawn.
    pub(crate) pictures: Option<PathBuf>,
}

/// Plays it.
pub(crate) async fn run(plan: &Plan, recorded: &[Recorded], how: &Run) -> Result<()> {
    let evaluate = how.evaluate.as_deref();
    let began = WallTime(wall()?.saturating_sub((plan.days * 86_400e9) as u64));
    let live = Plan {
        // What it does after the present is reached is of the same history.
        days: plan.days + how.minutes / 1_440.0 + 0.25,
        ..*plan
    };
    let receiving = match PROMETHEUS.program("prometheus") {
        Some(program) => Some(server::receiving(&program, evaluate)?),
        None => None,
    };
    if receiving.is_none() {
        println!("fleet: no Prometheus that takes OTLP: `cargo xtask counterpart prometheus`");
    }
    let receiver = receiving.as_ref().map(|backend| format!("{}/v1/metrics", backend.otlp));
    let receiver = receiver.as_deref();
    let present = plan.days * 86_400.0;
    let mut agents = (0..plan.nodes)
        .map(|node| Agent::start(&live, node, began, receiver))
        .chain(
            recorded
                .iter()
                .map(|of| Agent::recorded(&live, of, present, began, receiver)),
        )
        .collect::<Result<Vec<_>>>()?;
    let scratch = Scratch::new("fleet")?;
    let (history, samples) = tell_history(&mut agents, how, began, &scratch).await?;
    let page = scrape::Pages::serve(agents.iter_mut().map(|agent| agent.now().text()).collect())?;
    let program = debian_prometheus().context("no Prometheus: `cargo xtask counterpart debian-prometheus`")?;
    let started = Instant::now();
    let scraping = server::scraping(&program, Some(&history), &page.targets(), evaluate)?;
    println!(
        "fleet: the scraping Prometheus took {samples} samples of history in {:.0} s",
        started.elapsed().as_secs_f64()
    );
    let servers: Vec<(&str, &Backend)> = [("scraped", Some(&scraping)), ("over OTLP", receiving.as_ref())]
        .into_iter()
        .filter_map(|(name, backend)| Some((name, backend?)))
        .collect();
    let mut seen = measure::Seen::default();
    let taken = |servers: &[(&str, &Backend)]| -> Result<Vec<f64>> {
        servers
            .iter()
            .map(|(_, server)| measure::samples_taken(server))
            .collect()
    };
    let before = taken(&servers)?;
    let started = Instant::now();
    let mut last = Vec::new();
    while started.elapsed().as_secs_f64() < how.minutes * 60.0 {
        let round = Instant::now();
        let now = since(began)?;
        last = agents
            .iter_mut()
            .map(|agent| {
                agent.play(now, f64::MAX);
                agent.now()
            })
            .collect();
        page.tell(last.iter().map(Told::text).collect());
        send(&agents, &last).await?;
        while round.elapsed() < Duration::from_secs(ROUND) {
            for (name, server) in &servers {
                seen.look(name, server, started.elapsed())?;
            }
            // Nothing announces an alert without an Alertmanager.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let rates: Vec<f64> = taken(&servers)?
        .iter()
        .zip(&before)
        .map(|(after, before)| (after - before) / seconds)
        .collect();
    for ((name, server), rate) in servers.iter().zip(rates) {
        measure::server(name, server, rate)?;
        measure::panels(name, server)?;
    }
    if let Some(directory) = &how.pictures {
        let view = picture::View {
            server: &scraping,
            end: wall()? as f64 / 1e9,
            hours: plan.days * 24.0,
            workload: ".*checkout.*",
        };
        picture::draw(&view, directory)?;
    }
    seen.report();
    if let (Some(told), Some(agent)) = (last.first(), agents.first()) {
        measure::wire(&agent.node.host, told).await?;
    }
    measure::exposition(&last);
    for agent in agents {
        agent.finish().await;
    }
    Ok(())
}

/// Tells the history, hour by hour on all nodes side by side: over OTLP, and into a file of OpenMetrics text. Produces that
/// file and how many samples it holds.
async fn tell_history(agents: &mut [Agent], how: &Run, began: WallTime, scratch: &Scratch) -> Result<(PathBuf, usize)> {
    let path = scratch.file("history");
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&path)?);
    let (started, mut samples, mut inputs, mut now) = (Instant::now(), 0, 0, 0.0);
    loop {
        let present = since(began)?;
        if now + how.every > present {
            break;
        }
        now = (now + HOUR).min(present);
        let told: Vec<Vec<Told>> = play(agents, now, how.every);
        for (agent, told) in agents.iter().zip(&told) {
            let mut text = String::new();
            told.iter().for_each(|told| told.history(&mut text));
            samples += text.lines().count();
            file.write_all(text.as_bytes())?;
            for told in told {
                agent.send(told).await?;
            }
        }
        if how.speed > 0.0 {
            let due = Duration::from_secs_f64(now / how.speed);
            tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
        }
    }
    inputs += agents.iter_mut().map(|agent| agent.node.moment().inputs).sum::<u64>();
    file.write_all(b"# EOF\n")?;
    file.flush()?;
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "fleet: {now:.0} s of history in {seconds:.0} s ({:.0} times as fast): {inputs} inputs, {samples} samples",
        now / seconds
    );
    Ok((path, samples))
}

/// All agents to the same moment, on both cores.
fn play(agents: &mut [Agent], end: f64, every: f64) -> Vec<Vec<Told>> {
    let half = agents.len().div_ceil(2).max(1);
    let all = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for (nth, half) in agents.chunks_mut(half).enumerate() {
            let all = &all;
            scope.spawn(move || {
                let told: Vec<_> = half.iter_mut().map(|agent| agent.play(end, every)).collect();
                all.lock().unwrap_or_else(PoisonError::into_inner).push((nth, told));
            });
        }
    });
    let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.sort_by_key(|(nth, _)| *nth);
    all.into_iter().flat_map(|(_, told)| told).collect()
}

async fn send(agents: &[Agent], told: &[Told]) -> Result<()> {
    for (agent, told) in agents.iter().zip(told) {
        agent.send(told).await?;
    }
    Ok(())
}

fn wall() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64)
}

fn since(began: WallTime) -> Result<f64> {
    Ok(wall()?.saturating_sub(began.0) as f64 / 1e9)
}
