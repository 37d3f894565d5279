//! Test programs: asks cargo to build them, reads from its messages where they are, and runs each, so that they run in
//! an order of our own and each is reported by its name.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use observer_tests::need;
use serde_json::Value;

use super::{options::Options, tally::Tally};
use crate::shell;

/// What a test that runs against a real counterpart says in its first line (tests/src/need.rs).
const COUNTERPARTS: [&str; 2] = ["Counterpart(", "DebianPrometheus"];

/// A program of tests.
pub(super) struct Program {
    /// The crate, or the file of tests.
    pub(super) name: String,
    /// Some of its tests run against real counterparts.
    pub(super) needs_counterpart: bool,
    runs: Runs,
}

enum Runs {
    /// This executable, in its package's directory.
    Executable { file: PathBuf, package: PathBuf },
    /// The examples in the documentation, which cargo builds and runs.
    Documentation,
}

/// Builds all that `options` ask for.
pub(super) fn build(options: &Options, with_kernel_programs: bool) -> Result<Vec<Program>> {
    let mut command = cargo_test(options, with_kernel_programs);
    // Its progress is shown; where the programs are comes on standard output.
    command.args(["--no-run", "--message-format=json-render-diagnostics"]);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the tests do not build");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut programs = Vec::new();
    let mut documented = false;
    for message in messages {
        documented |= message["target"]["doctest"] == true && message["manifest_path"].is_string();
        programs.extend(executable(&message));
    }
    if documented {
        programs.push(Program {
            name: "examples in documentation".into(),
            needs_counterpart: false,
            runs: Runs::Documentation,
        });
    }
    Ok(programs)
}

/// The test program that a message of cargo's is about.
fn executable(message: &Value) -> Option<Program> {
    let file = PathBuf::from(message["executable"].as_str()?);
    if message["profile"]["test"] != true {
        return None;
    }
    let target = &message["target"];
    let (name, kind) = (target["name"].as_str()?, target["kind"][0].as_str()?);
    Some(Program {
        name: if kind == "test" {
            name.to_owned()
        } else {
            format!("{name} ({kind})")
        },
        needs_counterpart: kind == "test" && mentions_counterpart(Path::new(target["src_path"].as_str()?)),
        runs: Runs::Executable {
            file,
            package: Path::new(message["manifest_path"].as_str()?).parent()?.to_owned(),
        },
    })
}

/// Whether the sources of a test program, a file or a directory with `main.rs`, name a counterpart among their needs.
fn mentions_counterpart(source: &Path) -> bool {
    let files = match source.parent() {
        Some(directory) if source.ends_with("main.rs") => fs::read_dir(directory)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect(),
        _ => vec![source.to_owned()],
    };
    files.iter().any(|file| {
        let text = fs::read_to_string(file).unwrap_or_default();
        COUNTERPARTS.iter().any(|need| text.contains(need))
    })
}

impl Program {
    /// Runs it and shows what it says.
    pub(super) fn run(&self, options: &Options, with_kernel_programs: bool) -> Result<Tally> {
        let mut command = match &self.runs {
            Runs::Executable { file, package } => {
                let mut command = Command::new(file);
                command.current_dir(package).env("CARGO_MANIFEST_DIR", package);
                command.args(&options.filter);
                command
            }
            Runs::Documentation => {
                let mut command = cargo_test(options, with_kernel_programs);
                command
                    .args(["--doc", "--quiet", "--no-fail-fast"])
                    .args(&options.filter);
                command
            }
        };
        let skips = env::temp_dir().join(format!("observer-skips-{}", std::process::id()));
        command.env(need::SKIPS, &skips);
        if options.full {
            command.env(need::FULL, "1");
        }
        let mut tally = Tally::default();
        let succeeded = shell::each_line(command, |line| {
            println!("{line}");
            tally.line(line);
        })?;
        tally.skipped_at_run_time(&fs::read_to_string(&skips).unwrap_or_default());
        // It is there only if something was skipped.
        let _ = fs::remove_file(&skips);
        if !succeeded && tally.failed == 0 {
            // A program that was killed has no result line of its own.
            tally.fail(&format!("{} did not finish (see above)", self.name));
        }
        Ok(tally)
    }
}

fn cargo_test(options: &Options, with_kernel_programs: bool) -> Command {
    let mut command = shell::cargo(["test"]);
    match &options.package {
        Some(package) => command.args(["--package", package]),
        None => command.args(["--workspace", "--exclude", "observer-ebpf"]),
    };
    if with_kernel_programs {
        command.env("OBSERVER_REQUIRE_EBPF", "1");
    }
    command
}

#[cfg(test)]
mod tests {
    use observer_tests::places;

    use super::*;

    #[test]
    fn a_message_of_cargos_names_a_program_and_what_it_needs() {
        let tests = places::workspace().join("tests/tests");
        let of = |name: &str, source: &str| {
            let message = serde_json::json!({
                "executable": "/target/debug/deps/x-1",
                "manifest_path": "/w/tests/Cargo.toml",
                "profile": { "test": true },
                "target": { "name": name, "kind": ["test"], "src_path": tests.join(source) },
            });
            executable(&message).map(|program| (program.name, program.needs_counterpart))
        };
        assert_eq!(of("collector", "collector.rs"), Some(("collector".into(), true)));
        assert_eq!(of("cluster", "cluster/main.rs"), Some(("cluster".into(), true)));
        assert_eq!(of("kernel", "kernel/main.rs"), Some(("kernel".into(), false)));
        assert!(executable(&serde_json::json!({ "reason": "build-finished" })).is_none());
    }
}
