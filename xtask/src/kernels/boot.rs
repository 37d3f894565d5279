//! One boot: reads a kernel and a root, produces what the guest said of its hooks and of its tests.

use std::{fs::File, io::Write as _, path::Path, process::Command, time::Instant};

use anyhow::{Context as _, Result};
use observer_tests::places;
use serde_json::Value;

use super::{outcome::Outcome, root::Disk};
use crate::{
    architecture::Architecture,
    guest::{self, Image},
    shell,
};

/// Longest a guest may take, in seconds: emulation is some twenty times slower than the processor.
const PATIENCE: &str = "2400";
/// How many times longer tests wait than on a processor.
const SLOWER: u32 = 5;
/// What the guest's memory holds: its root twice while it is unpacked, and what tests fill.
const MEMORY: &str = "4G";
/// Lines of the guest's kernel shown where it did not finish.
const LAST_WORDS: usize = 15;

/// Boots, runs the tests, waits for the end.
pub(super) fn boot(kernel: &Image, disk: &Disk, cgroup: u8, kvm: bool) -> Result<Outcome> {
    let started = Instant::now();
    let console = disk.beside(&format!("console-{}-v{cgroup}.log", kernel.release));
    let mut outcome = Outcome::default();
    let mut output = GuestOutput::default();
    let log = places::target().join(format!("kernels-{}-v{cgroup}.log", kernel.release));
    let mut all = File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
    let mut written = Ok(());
    println!("kernels: all that the guest says: {}", log.display());
    shell::each_line(emulator(kernel, disk, cgroup, kvm, &console)?, |line| {
        if written.is_ok() {
            written = writeln!(all, "{}", line.trim_end());
        }
        output.line(line.trim_end(), &mut outcome);
    })?;
    written.with_context(|| format!("cannot write {}", log.display()))?;
    outcome.tally.skipped_at_run_time(&output.skips);
    outcome.seconds = started.elapsed().as_secs();
    if !outcome.finished {
        let said = std::fs::read(&console).with_context(|| format!("cannot read {}", console.display()))?;
        let said = String::from_utf8_lossy(&said).into_owned();
        let lines: Vec<&str> = said.lines().collect();
        for line in &lines[lines.len().saturating_sub(LAST_WORDS)..] {
            println!("  {line}");
        }
    }
    Ok(outcome)
}

fn emulator(kernel: &Image, disk: &Disk, cgroup: u8, kvm: bool, console: &Path) -> Result<Command> {
    let (emulator, _) = kernel.architecture.emulator();
    let mut command = shell::command("timeout", ["--kill-after=10", PATIENCE, emulator]);
    guest::emulator(
        &mut command,
        kernel,
        &disk.for_kernel(kernel)?,
        MEMORY,
        &format!("cgroup={cgroup} slower={}", if kvm { 1 } else { SLOWER }),
        kvm,
    );
    command.arg("-serial").arg(format!("file:{}", console.display()));
    match kernel.architecture {
        Architecture::X86_64 => command.args(["-serial", "stdio"]),
        // It has one of its own; the other is a card.
        Architecture::Aarch64 => command.args(["-chardev", "stdio,id=second", "-device", "pci-serial,chardev=second"]),
    };
    if let Some(volume) = disk.volume() {
        // What it writes goes into a file of the emulator's own, which nobody sees.
        command
            .arg("-drive")
            .arg(format!(
                "file={},format=raw,if=none,id=disk,snapshot=on",
                volume.display()
            ))
            .args(["-device", "virtio-blk-pci,drive=disk"]);
    }
    Ok(command)
}

/// What is kept between two lines of the guest's.
#[derive(Default)]
struct GuestOutput {
    /// Tests that were skipped, as need.rs writes them.
    skips: String,
    /// The next line is a panic's message.
    message: bool,
}

impl GuestOutput {
    fn line(&mut self, line: &str, outcome: &mut Outcome) {
        if let Some(line) = line.strip_prefix("guest: ") {
            guest_line(line, outcome, &mut self.skips);
            return;
        }
        let panicked = line.contains("panicked at");
        if self.message || panicked || line.contains(" ... FAILED") || line.starts_with("test result") {
            println!("  {line}");
        }
        self.message = panicked;
        outcome.tally.line(line);
    }
}

/// A line of the guest's `/init`.
fn guest_line(line: &str, outcome: &mut Outcome, skips: &mut String) {
    if let Some(skip) = line.strip_prefix("skipped ") {
        skips.push_str(skip);
        skips.push('\n');
    } else if let Some((asked, answer)) = line.strip_prefix("doctor ").and_then(|rest| rest.split_once(' ')) {
        match serde_json::from_str(answer) {
            Ok(answer) => outcome.fallen.extend(fallen(asked, &answer)),
            Err(error) => outcome
                .tally
                .fail(&format!("doctor's answer cannot be read ({error}): {answer}")),
        }
    } else if line == "finished" {
        outcome.finished = true;
    } else if let Some((test, code)) = line.strip_prefix("ended ").and_then(|rest| rest.split_once(' '))
        && !["0", "101"].contains(&code)
    {
        outcome.tally.fail(&format!("{test} was killed ({code})"));
    }
}

/// Hooks that stand lower than was asked for.
fn fallen(asked: &str, answer: &Value) -> Vec<String> {
    let wanted = if asked == "auto" { "tp_btf" } else { "tracepoint" };
    if let Some(reason) = answer["unavailable"].as_str() {
        return vec![format!("everything: {reason}")];
    }
    let hooks = answer["hooks"].as_array().map(Vec::as_slice).unwrap_or_default();
    hooks
        .iter()
        // Growth has one rung only.
        .filter(|hook| hook["rung"] != wanted && !(hook["hook"] == "growth" && asked != "auto"))
        .map(|hook| {
            let reason = hook["failed"][0]["reason"].as_str().unwrap_or("no reason");
            let text = |of: &Value| of.as_str().unwrap_or("?").to_owned();
            format!(
                "{} below {wanted}: {} ({reason})",
                text(&hook["hook"]),
                text(&hook["rung"])
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_lines_add_up() {
        let (mut outcome, mut output) = (Outcome::default(), GuestOutput::default());
        for line in [
            r#"guest: doctor auto {"hooks":[{"hook":"exit","rung":"tracepoint","failed":[{"reason":"no"}]}]}"#,
            r#"guest: doctor tracepoint {"hooks":[{"hook":"growth","rung":"files only","failed":[]}]}"#,
            "test a::b ... ok",
            "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
            "guest: ended kernel 0",
            "guest: skipped kernel::a::b\tno Node.js",
            "guest: finished",
        ] {
            output.line(line, &mut outcome);
        }
        outcome.tally.skipped_at_run_time(&output.skips);
        assert_eq!(outcome.fallen, ["exit below tp_btf: tracepoint (no)"]);
        assert!(outcome.passed());
        assert!(
            outcome.line().contains("1 passed, 0 failed, 1 skipped"),
            "{}",
            outcome.line()
        );
        output.line("guest: ended source 139", &mut outcome);
        assert!(!outcome.passed());
    }
}
