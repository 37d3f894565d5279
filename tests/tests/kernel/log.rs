//! What the kernel programs say of themselves: every edge where they are told to, nothing where they are not.

use std::{process::Command, time::Duration};

use observer::kernel::{KernelLog, Options, Rung};
use observer_tests::need;

use crate::{on_each_rung, tap::Tap};

on_each_rung! {
    a_real_exec_and_exit_are_said needs Program("sh");
}

fn a_real_exec_and_exit_are_said(rung: Rung) {
    let mut tap = Tap::with(&Options {
        best_rung: rung,
        log: KernelLog::Debug,
        ..Options::default()
    });
    let mut log = tap.kernel.take_log().unwrap();
    assert!(tap.kernel.take_log().is_none(), "its lines go to one reader");
    let mut child = Command::new("/bin/sh").args(["-c", "exit 7"]).spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    // What the programs do they say at once: the record of it comes later than the line.
    tap.exit(pid);
    let said = log.wait(Duration::from_secs(60)).unwrap();
    for line in [format!("exec by {pid}"), format!("exit of {pid}, status {}", 7 << 8)] {
        assert!(said.contains(&line), "{line}: {said:?}");
    }
}

#[test]
fn nothing_is_said_unasked() {
    need!(Root, Bpf);
    let mut tap = Tap::open(Rung::TpBtf);
    assert!(tap.kernel.take_log().is_none());
    tap.barrier();
}
