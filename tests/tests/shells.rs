//! `observer completions` and `observer man`: what a real shell makes of them; which next step errors name.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, process::Command};

use observer_tests::{agent, need, places, stage::Scratch};

fn printed(arguments: &[&str]) -> String {
    let output = agent::command(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn failing(arguments: &[&str]) -> String {
    let output = agent::command(arguments).output().unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn bash_completes_commands_and_flags() {
    need!(Program("bash"));
    let scratch = Scratch::new("completions").unwrap();
    let file = scratch.file("observer.bash");
    fs::write(&file, printed(&["completions", "bash"])).unwrap();
    let completed = |words: &str, at: u32| {
        let script = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD={at}; _observer observer \"${{COMP_WORDS[{at}]}}\" \"\"; echo \"${{COMPREPLY[@]}}\"",
            file.display()
        );
        let output = Command::new("bash").args(["--norc", "-c", &script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(completed("observer rep", 1).trim(), "report replay");
    assert!(completed("observer report --ht", 2).contains("--html"));
}

#[test]
fn every_shell_has_a_script_with_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completions", shell]);
        for command in ["run", "report", "audit", "status-socket"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    assert!(failing(&["completions", "cmd"]).contains("possible values: bash, elvish, fish"));
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let scratch = Scratch::new("man").unwrap();
    printed(&["man", scratch.path().to_str().unwrap()]);
    let page = fs::read_to_string(scratch.file("observer-report.1")).unwrap();
    assert!(page.contains("\\-\\-html") && page.contains("Examples:"), "{page}");
    for command in ["run", "top", "heap", "audit", "replay", "explain"] {
        assert!(scratch.file(&format!("observer-{command}.1")).is_file(), "{command}");
    }
    if let Some(groff) = places::program("groff") {
        let mut command = Command::new(groff);
        command
            .args(["-man", "-Tascii", "-ww"])
            .arg(scratch.file("observer-report.1"));
        let output = command.output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn errors_name_the_next_step() {
    let nowhere = "/nonexistent/observer";
    for (arguments, next) in [
        (&["ps", "--status-socket", nowhere][..], "is `observer run` running"),
        (
            &["history", "shop", "--store", nowhere],
            "`observer run --store DIR` makes one",
        ),
        (
            &["report", "shop", "--store", nowhere, "--md"],
            "`observer run --store DIR` makes one",
        ),
        (
            &["explain", "shop", "--from", nowhere],
            "`observer run --record FILE` writes one",
        ),
        (&["top"], "`observer ps` prints the same once"),
        (
            &["replay", "x.jsonl", "--cart", "a"],
            "a similar argument exists: '--chart'",
        ),
        (&["reprot"], "a similar subcommand exists"),
    ] {
        let said = failing(arguments);
        assert!(said.contains(next), "{arguments:?}: {said}");
        assert!(!said.contains('\x1b'), "{arguments:?}: {said:?}");
    }
}
