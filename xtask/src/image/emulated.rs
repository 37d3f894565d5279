//! The other machine's programs on this one: cross-builds the unit tests of the engine and the heap reader for 64-bit Arm and runs them
//! under emulation.

use std::process::Command;

use observer_tests::{need, places};

use super::{QUICK, cross};
use crate::{architecture::Architecture, shell};

const EMULATOR: &str = "qemu-aarch64-static";
/// Crates whose unit tests run there: they read no process and no kernel.
const CRATES: [&str; 2] = ["observer-core", "observer-heap"];
/// Fewest tests of both together.
const FEWEST: u64 = 200;

#[test]
fn unit_tests_of_the_engine_and_the_heap_reader_pass_on_aarch64() {
    need!(Full, Program(EMULATOR));
    let mut command = shell::cargo(["test", "--locked", "--lib"]);
    cross(&mut command, Architecture::Aarch64).unwrap();
    let variable = Architecture::Aarch64.target().replace('-', "_").to_uppercase();
    command.args(CRATES.iter().flat_map(|name| ["--package", name]));
    command.args(QUICK.iter().flat_map(|setting| ["--config", setting]));
    let ran = finished(
        command
            .current_dir(places::workspace())
            .env(format!("CARGO_TARGET_{variable}_RUNNER"), EMULATOR)
            // The properties hold for many cases on this machine; there, that they hold at all is to be shown.
            .env("PROPTEST_CASES", "8"),
    );
    assert!(ran >= FEWEST, "{ran} tests");
}

/// How many tests passed.
fn finished(command: &mut Command) -> u64 {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let results = said.lines().filter_map(|line| line.strip_prefix("test result: ok. "));
    let passed = results.filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    passed.sum()
}
