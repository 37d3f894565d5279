//! `observer memory`: reads where the memory of a process and its container is, prints the parts and what they mean.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use observer_heap::native::Class;

use classes::{Before, HELD};

use super::{Exit, target};
use crate::{
    source::{
        cgroup::Hierarchy,
        usage::{Container, Native},
    },
    terminal::{self, say},
};

mod classes;
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
    /// Native memory by C++ class and by size instead, and which JavaScript objects hold it
    #[arg(long)]
    classes: bool,
    /// Classes to print
    #[arg(long, value_name = "N", default_value_t = 15, requires = "classes")]
    top: usize,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

pub(super) fn memory(args: &MemoryArgs) -> anyhow::Result<Exit> {
    let pid = target::any(&args.target)?;
    if args.classes {
        return by_class(args, pid);
    }
    // Without a memory controller there is still the process.
    let hierarchy = Hierarchy::discover(Path::new("/proc"), None)
        .inspect_err(|error| say(format_args!("{error}: only the process is told")))
        .ok();
    let unread = || format!("the memory of process {pid} is not read");
    let before = Container::read(hierarchy.as_ref(), pid).with_context(unread)?;
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
    let after = before.read_again(hierarchy.as_ref(), pid).with_context(unread)?;
    let apart = began.elapsed();
    let meaning = meaning::growth(&before, &after);
    if args.json {
        terminal::json_value(&json::growth(apart, (&before, &after), &meaning)).print()?;
    } else {
        table::growth(out, apart, (&before, &after), &meaning)?;
    }
    Ok(Exit::Success)
}

fn by_class(args: &MemoryArgs, pid: u32) -> anyhow::Result<Exit> {
    let read = |choose: &dyn Fn(&[Class]) -> Vec<usize>| {
        Native::read(pid, choose).with_context(|| format!("the native memory of process {pid} is not read"))
    };
    let mut before = None;
    let native = if let Some(apart) = args.diff {
        let began = Instant::now();
        let first = Before::of(read(&|_| Vec::new())?);
        wait(pid, began + apart)?;
        let mut native = read(&|classes| first.most_grown(classes))?;
        first.order(&mut native);
        before = Some((first, began.elapsed()));
        native
    } else {
        read(&|classes| (0..classes.len().min(HELD)).collect())?
    };
    let before = before.as_ref().map(|(before, apart)| (before, *apart));
    if args.json {
        terminal::json_value(&classes::json(pid, &native, before)).print()?;
    } else {
        classes::print(&mut terminal::stdout(), &native, before, args.top)?;
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
