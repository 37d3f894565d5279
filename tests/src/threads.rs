//! Reads the threads of a process in /proc; produces what each has used.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};

/// A thread.
#[derive(Clone, Debug)]
pub struct Thread {
    /// Its name.
    pub comm: String,
    /// CPU time since its start.
    pub cpu: Duration,
    /// Times it went to sleep by itself.
    pub wakeups: u64,
}

/// The threads of a process; those that end meanwhile are left out.
pub fn threads(pid: u32) -> Result<Vec<Thread>> {
    let tasks = Path::new("/proc").join(pid.to_string()).join("task");
    let mut threads = Vec::new();
    for task in fs::read_dir(&tasks).with_context(|| format!("cannot read {}", tasks.display()))? {
        let task = task?.path();
        let read = |file| fs::read_to_string(task.join(file));
        let (Ok(times), Ok(status), Ok(comm)) = (read("schedstat"), read("status"), read("comm")) else {
            continue;
        };
        threads.push(Thread {
            comm: comm.trim_end().to_owned(),
            cpu: Duration::from_nanos(times.split(' ').next().unwrap_or_default().parse()?),
            wakeups: number(&status, "voluntary_ctxt_switches:"),
        });
    }
    Ok(threads)
}

/// CPU time of all threads of a process that live.
pub fn cpu(pid: u32) -> Result<Duration> {
    Ok(threads(pid)?.iter().map(|thread| thread.cpu).sum())
}

/// The number behind the name of a field of a `status` file, such as `VmRSS:`; 0 where there is none.
pub fn number(text: &str, field: &str) -> u64 {
    let number = text.lines().find_map(|line| {
        let rest = line.strip_prefix(field)?;
        rest.split_whitespace().next()?.parse().ok()
    });
    number.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_of_ours_has_used() {
        let busy = std::thread::Builder::new().name("busy one".to_owned()).spawn(|| {
            let own = || {
                let threads = threads(std::process::id()).unwrap();
                threads
                    .into_iter()
                    .find(|thread| thread.comm == "busy one")
                    .unwrap()
                    .cpu
            };
            let began = own();
            while own() < began + Duration::from_millis(20) {}
        });
        busy.unwrap().join().unwrap();
        assert!(cpu(std::process::id()).unwrap() > Duration::ZERO);
        assert_eq!(number("VmRSS:\t  12 kB\n", "VmRSS:"), 12);
        assert_eq!(number("VmRSS:\t  12 kB\n", "VmHWM:"), 0);
    }
}
