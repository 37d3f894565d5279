//! `observer doctor`: reads what this host allows and how its hooks load, produces a page for a person.

use std::{
    fmt::{self, Write as _},
    path::Path,
};

use rustix::fs::{Access, access};

use super::{
    ConfigArgs, Exit,
    doctor_json::{self, Memory, Wanted},
};
use crate::{
    export::kubernetes_events::rights,
    kernel::{Kernel, Options, Report, Rung, probe::Host},
    source::cgroup::Hierarchy,
    terminal::{self, clean},
};

/// The page, or the same as JSON; the configuration says what would be used.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct DoctorArgs {
    /// One JSON object instead of a page
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn doctor(args: &DoctorArgs) -> anyhow::Result<Exit> {
    let config = args.config.load()?;
    let memory = Hierarchy::discover(&config.procfs, Some(&config.cgroupfs))
        .map(|found| Memory {
            version: found.version(),
            shortfall: found.shortfall(),
            mount: found.mount().display().to_string(),
        })
        .map_err(|error| error.to_string());
    // Loaded and attached for real, then let go: nothing else tells what this kernel accepts.
    let (kernel, _, report) = Kernel::load(&Options::of(&config));
    drop(kernel);
    let host = Host::probe();
    let wanted = Wanted {
        events: rights::of(&config),
        store: config.store.as_deref().map(store),
    };
    let (page, exit) = render(&host, &memory, &report, &wanted);
    if args.json {
        terminal::json_value(&doctor_json::render(&host, &memory, &report, &wanted)).print()?;
    } else {
        terminal::print(page)?;
    }
    Ok(exit)
}

/// The store's directory, or why it cannot be used. It is not made: that is for the agent to do.
fn store(directory: &Path) -> Result<String, String> {
    let there = directory.ancestors().find(|path| path.exists());
    let writable = there.is_some_and(|path| access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok());
    let shown = directory.display().to_string();
    if writable {
        Ok(shown)
    } else {
        Err(format!("{shown} cannot be written"))
    }
}

/// What the page says, and whether everything the agent wants is possible.
fn render(host: &Host, memory: &Result<Memory, String>, report: &Report, wanted: &Wanted) -> (String, Exit) {
    let mut page = Page::default();
    page.host(host, memory);
    match &wanted.store {
        None => {}
        Some(Ok(directory)) => page.row("store", directory),
        Some(Err(reason)) => page.limit("store", format_args!("{reason}; nothing will outlive the agent")),
    }
    match &wanted.events {
        Some(Ok(())) => page.row("Kubernetes Events", format_args!("may be written")),
        Some(Err(reason)) => page.limit("Kubernetes Events", format_args!("cannot be written: {reason}")),
        None => {}
    }
    page.capabilities(host);
    page.hooks(report);
    page.verdict();
    (page.text, if page.limits == 0 { Exit::Success } else { Exit::Limited })
}

#[derive(Default)]
struct Page {
    text: String,
    limits: usize,
}

impl Page {
    fn host(&mut self, host: &Host, memory: &Result<Memory, String>) {
        self.row("kernel", format_args!("{} {}", host.release, host.machine));
        match &host.btf {
            Ok(types) => self.row("types", format_args!("BTF with {types} types")),
            Err(reason) => self.limit("types", format_args!("no BTF: {reason}")),
        }
        match &host.lockdown {
            Ok(mode) => self.row("lockdown", format_args!("{mode}")),
            Err(reason) => self.row("lockdown", format_args!("unknown: {reason}")),
        }
        match &host.tracefs {
            Some(mount) => self.row("tracefs", format_args!("{mount}")),
            None => self.row(
                "tracefs",
                format_args!("not to be read; only hooks on their second rung need it"),
            ),
        }
        match memory {
            Ok(found) => {
                let mounted = format!("cgroup v{} at {}", found.version, found.mount);
                match &found.shortfall {
                    None => self.row("memory", mounted),
                    Some(shortfall) => self.limit("memory", format_args!("{mounted}; {shortfall}")),
                }
            }
            Err(reason) => self.limit("memory", format_args!("{reason}")),
        }
        if host.in_host_pid_namespace {
            self.row("pids", format_args!("the host's namespace"));
        } else {
            self.limit(
                "pids",
                format_args!("a namespace of its own: run with hostPID: true, or --pid=host"),
            );
        }
        self.row("user", format_args!("uid {}", host.uid));
    }

    fn capabilities(&mut self, host: &Host) {
        self.line("");
        for &(capability, held) in &host.capabilities {
            let for_what = format_args!("for {}", capability.purpose());
            if held {
                self.line(format_args!("{:<20} held     {for_what}", capability.name()));
            } else {
                self.limits += 1;
                self.line(format_args!("{:<20} MISSING  {for_what}", capability.name()));
            }
        }
    }

    fn hooks(&mut self, report: &Report) {
        self.line("");
        if let Some(reason) = &report.unavailable {
            self.limits += 1;
            self.line(format_args!("No kernel programs: {reason}"));
        }
        self.line(format_args!("{:<15} {:<11} lost by it", "hook", "rung"));
        for hook in &report.hooks {
            self.line(format_args!(
                "{:<15} {:<11} {}",
                hook.hook.name(),
                hook.rung.name(),
                hook.lost
            ));
            for (rung, reason) in &hook.failed {
                self.line(format_args!("{:<15} {} failed: {reason}", "", rung.name()));
            }
            if hook.rung != Rung::TpBtf {
                self.limits += 1;
            }
        }
    }

    fn verdict(&mut self) {
        self.line("");
        match self.limits {
            0 => self.line("Everything the agent wants is possible here."),
            limits => self.line(format_args!("Limited in {limits} respects, all named above.")),
        }
    }

    fn row(&mut self, what: &str, value: impl fmt::Display) {
        self.line(format_args!("{what:<20} {value}"));
    }

    fn limit(&mut self, what: &str, value: impl fmt::Display) {
        self.limits += 1;
        self.row(what, value);
    }

    fn line(&mut self, line: impl fmt::Display) {
        // Writing into a String cannot fail.
        let _ = writeln!(self.text, "{}", clean::sentence(&line.to_string()));
    }
}

#[cfg(test)]
#[path = "doctor_tests.rs"]
mod tests;
