//! Signals to watched processes.

use std::process::Command;

use observer::kernel::Rung;
use observer_core::{
    kernel::{KernelEvent, Signal},
    process::ProcessKey,
};
use observer_tests::app::dies_with_us;
use rustix::process::{Pid, Signal as Number, kill_process};

use crate::{
    on_each_rung,
    tap::{Tap, key, waiting},
};

on_each_rung! {
    sender needs Program("cat");
    ignored needs Program("sh");
    own_abort needs Program("python3");
}

fn first(tap: &mut Tap, pid: u32) -> Signal {
    tap.until("the signal", |event| match event {
        KernelEvent::Signal(signal) if signal.target.pid == pid => Some(signal.clone()),
        _ => None,
    })
}

/// The second rung knows no start time.
fn named(rung: Rung, process: ProcessKey) -> ProcessKey {
    ProcessKey {
        start: if rung == Rung::TpBtf { process.start } else { 0 },
        ..process
    }
}

fn send(pid: u32, number: Number) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), number).unwrap();
}

fn sender(rung: Rung) {
    // It came before anybody looked, and is not watched.
    let mut other = waiting();
    let mut tap = Tap::open(rung);
    let (mut watched, mut young) = (waiting(), waiting());
    let process = key(watched.id());
    tap.kernel.watch(process).unwrap();
    assert_eq!(tap.kernel.watched(), 1);
    send(other.id(), Number::TERM);
    // Neither is reported: a timer's, and one that ends nothing.
    send(watched.id(), Number::WINCH);
    send(watched.id(), Number::TERM);
    // It came just now: nobody has had the time to say whether it is watched. What starts it goes on a moment before its exec is told.
    tap.until("its exec", |event| {
        matches!(event, KernelEvent::Exec { process, .. } if process.pid == young.id()).then_some(())
    });
    send(young.id(), Number::TERM);
    for child in [&mut watched, &mut young, &mut other] {
        child.wait().unwrap();
    }
    let signal = first(&mut tap, process.pid);
    assert_eq!(signal.target, named(rung, process));
    assert_eq!((signal.signal, signal.code, signal.delivered), (15, 0, true));
    assert_eq!(signal.sender_pid, std::process::id());
    assert!(!signal.sender_comm.is_empty());
    tap.barrier();
    let told: Vec<u32> = tap
        .edges()
        .filter_map(|event| match event {
            KernelEvent::Signal(signal) => Some(signal.target.pid),
            _ => None,
        })
        .filter(|pid| [process.pid, young.id(), other.id()].contains(pid))
        .collect();
    assert_eq!(told, [process.pid, young.id()], "{:?}", tap.seen);

    tap.kernel.unwatch(process);
    assert_eq!(tap.kernel.watched(), 0);
}

fn ignored(rung: Rung) {
    let mut tap = Tap::open(rung);
    let mut app = observer_tests::app::App::start(
        Command::new("/bin/sh").args(["-c", "trap '' TERM; echo '{\"ready\":true}'; read x; exit 4"]),
    )
    .unwrap();
    app.ready().unwrap();
    let process = key(app.pid());
    tap.kernel.watch(process).unwrap();
    send(process.pid, Number::TERM);
    let signal = first(&mut tap, process.pid);
    assert_eq!((signal.signal, signal.delivered), (15, false));
    app.tell("go").unwrap();
    assert_eq!(app.wait().unwrap(), 4);
}

/// `abort` signals its own thread, which need not be the main one: the process is named all the same.
fn own_abort(rung: Rung) {
    const SCRIPT: &str = "
import os, sys, threading
print('{\"ready\":true}', flush=True)
sys.stdin.readline()
threading.Thread(target=os.abort).start()
sys.stdin.readline()
";
    let mut tap = Tap::open(rung);
    let mut app = observer_tests::app::App::start(dies_with_us(&mut Command::new("sh")).args([
        "-c",
        "ulimit -c 0; exec python3 -c \"$0\"",
        SCRIPT,
    ]))
    .unwrap();
    app.ready().unwrap();
    let process = key(app.pid());
    tap.kernel.watch(process).unwrap();
    app.tell("go").unwrap();
    assert_eq!(app.wait().unwrap(), 128 + 6);
    let signal = first(&mut tap, process.pid);
    assert_eq!(signal.target, named(rung, process));
    // SI_TKILL
    assert_eq!(
        (signal.signal, signal.code, signal.delivered, signal.sender_pid),
        (6, -6, true, process.pid)
    );
}
