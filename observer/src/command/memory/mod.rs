//! `observer memory`: reads where the memory of a process and its container is, prints the parts and what they mean.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::{Exit, target};
use crate::{
    source::{cgroup::Hierarchy, usage::Container},
    terminal::{self, say},
};

mod json;
mod kind;
mod meaning;
mod table;

/// How often it is looked whether the process is still there while waiting.
const LOOK: Duration = Duration::from_millis(250);

/// Arguments of `observer memory`.
#[derive(Debug, clap::Args)]
pub(super) struct MemoryArgs {
    /// A process, or the id (or the beginning of the id) of a container
    #[arg(value_name = "PID|CONTAINER")]
    target: String,
    /// Read twice, TIME apart (10s, 5m), and print what grew
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    diff: Option<Duration>,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

pub(super) fn memory(args: &MemoryArgs) -> anyhow::Result<Exit> {
    let pid = target::any(&args.target)?;
    // Without a memory controller there is still the process.
    let hierarchy = Hierarchy::discover(Path::new("/proc"), None)
        .inspect_err(|error| say(format_args!("{error}: only the process is told")))
        .ok();
    let read =
        || Container::read(hierarchy.as_ref(), pid).with_context(|| format!("the memory of process {pid} is not read"));
    let before = read()?;
    let out = &mut terminal::stdout();
    let Some(apart) = args.diff else {
        let meaning = meaning::now(&before);
        if args.json {
            terminal::json_value(&json::now(&before, &meaning)).print()?;
        } else {
            table::now(out, &before, &meaning)?;
        }
        return Ok(Exit::Success);
    };
    let began = Instant::now();
    wait(pid, began + apart)?;
    let after = read()?;
    let apart = began.elapsed();
    let meaning = meaning::growth(&before, &after);
    if args.json {
        terminal::json_value(&json::growth(apart, (&before, &after), &meaning)).print()?;
    } else {
        table::growth(out, apart, (&before, &after), &meaning)?;
    }
    Ok(Exit::Success)
}

/// Waits for the second reading; ends early, with an error, when the process does.
fn wait(pid: u32, until: Instant) -> anyhow::Result<()> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(LOOK));
        if !Path::new(&format!("/proc/{pid}")).exists() {
            bail!("process {pid} ended between the readings");
        }
    }
}
