//! What the agent holds and uses: reads its /proc beside idle containers and beside some that come and go, produces a
//! table, with the files read by the sampler beside plain open, read and close of as many.

use std::{fs, io::Read as _, path::Path, thread, time::Duration};

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};

use super::{agent::Running, containers::Containers};

/// Containers alive while others come and go, and how many do a second.
const CHURN: (usize, u32) = (100, 50);
/// Seconds between two sweeps: the agent's default.
const SWEEP: u64 = 10;
/// A file like those that a sweep reads, a small one, and how many a container has on cgroup v1 (statm among them).
const FILE: &str = "/proc/self/statm";
const FILES: u64 = 8;

pub(super) fn measure(program: &Path, counts: &[usize], seconds: u64) -> Result<String> {
    let mut table = String::from(
        "| containers | RSS, MB | of it anonymous | peak, MB | CPU, % of a core | wake-ups a second | descriptors | inputs a second |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for &count in counts {
        let mut containers = Containers::start(count)?;
        table.push_str(&row(program, &mut containers, count, None, seconds)?);
    }
    let (count, a_second) = CHURN;
    let mut containers = Containers::start(count)?;
    table.push_str(&row(program, &mut containers, count, Some(a_second), seconds)?);
    Ok(table)
}

fn row(program: &Path, containers: &mut Containers, count: usize, churn: Option<u32>, seconds: u64) -> Result<String> {
    let agent = Running::start(program, &[])?;
    agent.until("every container is watched", |state| {
        state["containers"].as_u64() >= Some(count as u64)
    })?;
    // The first sweep opens what the later ones keep open.
    thread::sleep(Duration::from_secs(SWEEP + 2));
    let inputs = |agent: &Running| anyhow::Ok(agent.state()?["inputs"].as_u64().unwrap_or(0));
    let before = (inputs(&agent)?, agent.usage()?);
    let window = Duration::from_secs(seconds);
    match churn {
        Some(a_second) => {
            containers.churn(a_second, window)?;
        }
        None => thread::sleep(window),
    }
    let after = (agent.usage()?, inputs(&agent)?);
    let each = |before: u64, after: u64| (after - before) as f64 / seconds as f64;
    let megabytes = |field: &str| anyhow::Ok(agent.kib(field)? as f64 * 1024.0 / 1e6);
    let name = match churn {
        Some(a_second) => format!("{count}, and {a_second} a second that come and go"),
        None => count.to_string(),
    };
    if count > 0 && churn.is_none() {
        let sweeps = (seconds / SWEEP).max(1);
        let swept = (after.0.sampler - before.1.sampler) as f64 / (sweeps * count as u64) as f64;
        let plain = plain_read()? * FILES as f64;
        println!(
            "{count} containers: a sweep takes {:.1} us of CPU time each; {FILES} small files opened, read and closed \
             take {:.1} us: {:.2}",
            swept / 1e3,
            plain / 1e3,
            swept / plain
        );
    }
    Ok(format!(
        "| {name} | {:.1} | {:.1} | {:.1} | {:.3} | {:.1} | {} | {:.1} |\n",
        megabytes("VmRSS:")?,
        megabytes("RssAnon:")?,
        megabytes("VmHWM:")?,
        each(before.1.cpu, after.0.cpu) / 1e7,
        each(before.1.wakeups, after.0.wakeups),
        agent.descriptors()?,
        each(before.0, after.1),
    ))
}

/// CPU time of opening, reading and closing a small file of /proc, nanoseconds: the lowest of some rounds.
fn plain_read() -> Result<f64> {
    const TIMES: u32 = 5_000;
    let mut lowest = f64::INFINITY;
    let mut text = [0; 4096];
    for _ in 0..5 {
        let began = cpu_time();
        for _ in 0..TIMES {
            let _length = fs::File::open(FILE)?.read(&mut text)?;
        }
        lowest = lowest.min((cpu_time() - began) / f64::from(TIMES));
    }
    Ok(lowest)
}

/// CPU time of this thread, nanoseconds.
pub(super) fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
