//! Exec, fork and exit.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use observer::kernel::{Hook, Rung};
use observer_core::{
    kernel::{ExitStatus, KernelEvent},
    process::ProcessKey,
};
use observer_tests::{
    app::{App, READY},
    need,
};

use crate::{
    on_each_rung,
    tap::{Tap, key},
};

on_each_rung! {
    exec_and_exit needs Program("sh");
    ends needs Program("sh");
    main_thread_first needs Program("python3");
    exec_by_another_thread needs Program("python3");
    forks needs Program("python3");
}

/// An exit of a shell with this code, which carries the largest resident set of its life.
fn ended(exit: KernelEvent, shell: ProcessKey, code: u8) {
    let KernelEvent::Exit {
        process,
        status,
        comm,
        peak_rss,
        max_rss,
    } = exit
    else {
        panic!("{exit:?}");
    };
    assert_eq!(
        (process, status, comm.as_str()),
        (shell, Some(ExitStatus::Code(code)), "sh")
    );
    // Older kernels tell only a bound, which this program's own memory raises: the shell was forked from it.
    assert!(max_rss.is_some_and(|bytes| bytes > 64 << 10), "{max_rss:?}");
    assert_eq!(peak_rss.is_some(), tells_peak(), "{peak_rss:?}");
    // A shell's: more than a page, less than any Node.js's.
    assert!(
        peak_rss.is_none_or(|bytes| (64 << 10..64 << 20).contains(&bytes)),
        "{peak_rss:?}"
    );
}

/// From 6.16 on a process still has its memory when its exit is told.
fn tells_peak() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release
        .split(['.', '-', '+'])
        .map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(16))
}

fn exec_and_exit(rung: Rung) {
    let mut tap = Tap::open(rung);
    assert_eq!(tap.report.rung(Hook::Exec), rung);
    assert_eq!(tap.report.rung(Hook::Exit), rung);
    let mut child = Command::new("/bin/sh")
        .args(["-c", "read x; exit 7"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let process = key(child.id());
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    child.wait().unwrap();
    let (ppid, comm) = tap.until("the exec", |event| match event {
        KernelEvent::Exec {
            process: found,
            ppid,
            comm,
        } if *found == process => Some((*ppid, comm.clone())),
        _ => None,
    });
    assert_eq!((ppid, comm.as_str()), (std::process::id(), "sh"));
    ended(tap.exit(process.pid), process, 7);
    let at: Vec<_> = tap.seen.iter().map(|input| input.at).collect();
    assert!(at.is_sorted(), "one batch at a time is in order");
}

fn ends(rung: Rung) {
    let mut tap = Tap::open(rung);
    for (script, expected) in [
        ("exit 0", ExitStatus::Code(0)),
        ("exit 255", ExitStatus::Code(255)),
        ("kill -KILL $$", ExitStatus::Signal(9)),
        ("kill -TERM $$", ExitStatus::Signal(15)),
        ("ulimit -c 0; kill -SEGV $$", ExitStatus::Signal(11)),
    ] {
        let mut child = Command::new("/bin/sh").args(["-c", script]).spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        match tap.exit(pid) {
            KernelEvent::Exit { status, .. } => assert_eq!(status, Some(expected), "{script}"),
            other => panic!("{other:?}"),
        }
    }
}

/// The main thread has been gone for long when another one ends the process: one exit, at its end, with its code.
fn main_thread_first(rung: Rung) {
    const SCRIPT: &str = "
import ctypes, os, sys, threading
def rest():
    while open(f'/proc/self/task/{os.getpid()}/stat').read().rsplit(')', 1)[1].split()[0] != 'Z': pass
    os.write(1, b'gone\\n')
    os.read(0, 1)
    os._exit(9)
threading.Thread(target=rest).start()
ctypes.CDLL(None).pthread_exit(None)
";
    let mut tap = Tap::open(rung);
    let mut child = Command::new("python3")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = [0; 5];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
    assert_eq!(&line, b"gone\n");
    tap.barrier();
    assert_eq!(tap.exits(child.id()), 0, "the process lives while a thread does");
    child.stdin.take().unwrap().write_all(b"x").unwrap();
    let pid = child.id();
    assert_eq!(child.wait().unwrap().code(), Some(9));
    tap.barrier();
    assert_eq!(tap.exits(pid), 1);
    match tap.exit(pid) {
        KernelEvent::Exit { status, .. } => assert_eq!(status, Some(ExitStatus::Code(9))),
        other => panic!("{other:?}"),
    }
}

/// `execve` by another thread ends the main one and takes its place: an exec of the same process, no exit.
fn exec_by_another_thread(rung: Rung) {
    const SCRIPT: &str = "
import os, signal, threading
threading.Thread(target=lambda: os.execv('/bin/sh', ['sh', '-c', 'read x; exit 5'])).start()
signal.pause()
";
    let mut tap = Tap::open(rung);
    let mut child = Command::new("python3")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let process = key(child.id());
    tap.until("the second exec", |event| match event {
        KernelEvent::Exec {
            process: found, comm, ..
        } if *found == process && comm == "sh" => Some(()),
        _ => None,
    });
    tap.barrier();
    assert_eq!(tap.exits(process.pid), 0);
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    child.wait().unwrap();
    tap.barrier();
    assert_eq!(tap.exits(process.pid), 1);
    ended(tap.exit(process.pid), process, 5);
}

/// Forks of a watched process are told, and only those; the first rung leaves threads out.
fn forks(rung: Rung) {
    const SCRIPT: &str = "
import os, sys, threading
print('{\"ready\":true}', flush=True)
sys.stdin.readline()
threading.Thread(target=lambda: None).start()
child = os.fork()
if child == 0: os._exit(0)
os.waitpid(child, 0)
print(child, flush=True)
sys.stdin.readline()
";
    let mut tap = Tap::open(rung);
    let start = || {
        let mut app = App::start(Command::new("python3").args(["-c", SCRIPT])).unwrap();
        app.ready().unwrap();
        app
    };
    let (mut watched, mut other) = (start(), start());
    tap.kernel.watch(key(watched.pid())).unwrap();
    let [child, _] = [&mut watched, &mut other].map(|parent| {
        parent.tell("go").unwrap();
        parent
            .output
            .wait("the child", READY, |line| line.parse::<u32>().ok())
            .unwrap()
    });
    tap.barrier();
    let told: Vec<(u32, u32)> = tap
        .edges()
        .filter_map(|event| match event {
            KernelEvent::Fork { process, ppid } => Some((process.pid, *ppid)),
            _ => None,
        })
        .collect();
    assert!(told.contains(&(child, watched.pid())), "{told:?}");
    assert!(told.iter().all(|&(_, parent)| parent == watched.pid()), "{told:?}");
    if rung == Rung::TpBtf {
        assert_eq!(told.len(), 1, "{told:?}");
    }
}

#[test]
fn an_agent_that_may_not_load_programs_says_why_and_goes_on() {
    need!(Root, Bpf, Program("setpriv"));
    let agent = observer_tests::places::agent();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(agent)
        .arg("doctor")
        .output()
        .unwrap();
    let page = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(3),
        "{page}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(page.contains("CAP_BPF              MISSING"), "{page}");
    assert!(page.contains("No kernel programs: "), "{page}");
    assert!(page.contains("files only"), "{page}");
}
