//! The kubectl plugin's archive and manifest: installed by krew itself, which refuses what its index would.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, process::Command};

use observer_tests::{cluster::xtask, counterpart::KREW, need, places, stage::Scratch};

#[test]
fn krew_installs_the_plugin() {
    need!(Counterpart(&KREW), Program("git"));
    let scratch = Scratch::new("krew").unwrap();
    let at = |name: &str| scratch.file(name).display().to_string();
    let agent = places::agent().display().to_string();
    let url = "https://releases.example/observer";
    let packed = xtask(&["plugin", "--built", &agent, "--output", &at("plugin"), "--url", url]).output();
    let packed = packed.unwrap();
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    let manifest = fs::read_to_string(scratch.file("plugin/observer.yaml")).unwrap();
    let archive = format!("kubectl-observer-v{}-linux-amd64.tar.gz", env!("CARGO_PKG_VERSION"));
    assert!(manifest.contains(&format!("uri: {url}/{archive}\n")), "{manifest}");
    // As krew's own check of its index has it.
    let long = manifest
        .lines()
        .find(|line| line.trim().len() > 80 && line.trim().contains(' '));
    assert!(long.is_none_or(|line| line.contains("uri:")), "{long:?}");

    let install = |manifest: &str| {
        let mut krew = Command::new(KREW.program("krew").unwrap());
        let arguments = [
            "install",
            "--manifest",
            manifest,
            "--archive",
            &at(&format!("plugin/{archive}")),
        ];
        krew.args(arguments).env("KREW_ROOT", at("root")).output().unwrap()
    };
    // A manifest that is not of this archive is refused: what follows is no empty test.
    let wrong = scratch.file("plugin/wrong");
    fs::create_dir_all(&wrong).unwrap();
    let wrong = wrong.join("observer.yaml");
    fs::write(&wrong, manifest.replace("  version: v", "  version: ")).unwrap();
    assert!(!install(&wrong.display().to_string()).status.success());

    let installed = install(&at("plugin/observer.yaml"));
    let said = String::from_utf8_lossy(&installed.stderr).into_owned();
    assert!(installed.status.success(), "{said}");
    assert!(said.contains("The agent must run in the cluster"), "{said}");
    let help = Command::new(scratch.file("root/bin/kubectl-observer"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("Usage: kubectl observer"), "{help}");
}
