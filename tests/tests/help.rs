//! docs/help.md: what each command says of itself, and what those print that read a file. Written by
//! `UPDATE_EXPECT=1 cargo test -p observer-tests --test help`, and held against the program.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fmt::Write as _, os::unix::process::CommandExt as _, process::Command};

use expect_test::expect_file;
use observer_tests::{agent, places};

const HEAD: &str = "\
# Help

<!-- Written by `UPDATE_EXPECT=1 cargo test -p observer-tests --test help` from the program itself. -->

What `--help` of each command prints, and what the commands that read a file print of a recording. [commands.md](commands.md) says
what they have in common: exit codes, streams, delivery, recordings.

";

/// Commands that read a file, with a recording of tests/recordings.
const EXAMPLES: [&[&str]; 3] = [
    &["replay", "tests/recordings/listener.jsonl.gz", "--output", "human"],
    &["replay", "tests/recordings/listener.jsonl.gz", "--chart", "listener"],
    &["explain", "listener", "--from", "tests/recordings/listener.jsonl.gz"],
];

fn printed(arguments: &[&str]) -> String {
    let mut command: Command = agent::command(arguments);
    // No terminal: its own width, and no colours.
    command.current_dir(places::workspace()).env_remove("COLUMNS");
    text(command)
}

fn text(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// The commands that a help text lists.
fn commands(help: &str) -> Vec<&str> {
    let listed = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest);
    listed
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect()
}

#[test]
fn the_page_is_what_the_program_prints() {
    let top = printed(&["--help"]);
    let mut page = format!("{HEAD}## observer\n\n```text\n{top}\n```\n");
    let commands = commands(&top);
    assert!(commands.contains(&"run") && commands.len() >= 10, "{commands:?}");
    for command in commands {
        let help = printed(&[command, "--help"]);
        let _ = write!(page, "\n## observer {command}\n\n```text\n{help}\n```\n");
        for example in EXAMPLES.iter().filter(|example| example[0] == command) {
            let _ = write!(
                page,
                "\n```text\n$ observer {}\n{}\n```\n",
                example.join(" "),
                printed(example)
            );
        }
    }
    let called = |arguments: &[&str]| {
        let mut plugin = Command::new(places::agent());
        plugin.arg0("kubectl-observer").args(arguments).env_remove("COLUMNS");
        text(plugin)
    };
    let top = called(&["--help"]);
    let _ = write!(page, "\n## kubectl observer\n\n```text\n{top}\n```\n");
    let commands = self::commands(&top);
    assert_eq!(commands, ["ps", "top", "explain", "report"]);
    for command in commands {
        let help = called(&[command, "--help"]);
        let _ = write!(page, "\n## kubectl observer {command}\n\n```text\n{help}\n```\n");
    }
    expect_file![places::workspace().join("docs/help.md")].assert_eq(&page);
}
