//! The workflow of a release: what its runner would refuse, by actionlint.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, process::Command};

use observer_tests::{counterpart::ACTIONLINT, need, places, stage::Scratch};

#[test]
fn the_release_workflow_lints() {
    need!(Counterpart(&ACTIONLINT));
    let lint = |workflow: &std::path::Path| {
        let mut command = Command::new(ACTIONLINT.program("actionlint").unwrap());
        // Not with a shellcheck that one host has and another has not.
        let output = command
            .args(["-shellcheck=", "-pyflakes="])
            .arg(workflow)
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let workflow = places::workspace().join(".github/workflows/release.yml");
    let (passed, said) = lint(&workflow);
    assert!(passed, "{said}");

    // A workflow that hands on what no job puts out is refused: what passed was no empty test.
    let scratch = Scratch::new("workflow").unwrap();
    let wrong = scratch.file("wrong.yml");
    let text = fs::read_to_string(&workflow).unwrap();
    fs::write(
        &wrong,
        text.replace("needs.build.outputs.two", "needs.build.outputs.three"),
    )
    .unwrap();
    let (passed, said) = lint(&wrong);
    assert!(!passed && said.contains("three"), "{said}");
}
