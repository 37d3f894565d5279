//! What a reading costs the process it reads: no page table, no page brought in, nothing written.

use std::fs;

use observer_heap::Refusal;
use observer_tests::cgroup::Memcg;

use super::*;

/// Fields of /proc/PID/status in kB.
fn status(pid: u32, field: &str) -> u64 {
    told(pid, "status", field)
}

/// Fields of /proc/PID/smaps_rollup in kB, which are summed up when they are asked for.
fn exactly(pid: u32, field: &str) -> u64 {
    told(pid, "smaps_rollup", field)
}

fn told(pid: u32, file: &str, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with(field))
        .unwrap_or_else(|| panic!("no {field}"));
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Waits until every thread has stopped: the signal is sent to all of them, and each may first finish what it is at.
fn stopped(pid: u32) {
    for _ in 0..600 {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let states = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("stat")).unwrap());
        if states
            .into_iter()
            .all(|stat| stat.rsplit(") ").next().unwrap().starts_with('T'))
        {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("process {pid} has not stopped for 30 s");
}

#[test]
fn no_page_of_the_process_is_touched() {
    need!(Root, Node);
    for (major, node) in nodes() {
        // Stopped, so that every difference is the reading's: the reader does not need it to run.
        let mut app = start(&node, "known-contents.js");
        let pid = rustix::process::Pid::from_raw(app.pid().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        stopped(app.pid());
        let facts = |app: &App| ["VmPTE:", "VmSize:", "VmRSS:", "VmSwap:"].map(|field| status(app.pid(), field));
        let [tables, size, resident, swapped] = facts(&app);
        let reading = read(app.pid());
        assert!(!reading.rows.is_empty());
        let after = facts(&app);
        // The host may take pages from it meanwhile; a page that was brought in is one more.
        assert!(
            after[..2] == [tables, size] && after[2] <= resident && after[3] >= swapped,
            "Node {major}: VmPTE, VmSize, VmRSS, VmSwap were {:?} before a reading and are {after:?}",
            [tables, size, resident, swapped]
        );
        app.kill();
    }
}

#[test]
fn a_process_that_is_killed_in_mid_reading_ends_the_reading() {
    need!(Root, Node);
    let node = places::node().unwrap();
    let mut app = start(&node, "known-contents.js");
    let pid = app.pid();
    let metadata = memory::metadata(pid).unwrap();
    let live = LiveMemory::open(pid).unwrap();
    let mut reader = memory::open(&live, &metadata, None).unwrap();
    let mut pages = 0;
    let ended = reader.read(&mut |_, _| {
        pages += 1;
        if pages == 3 {
            app.kill();
        }
    });
    assert!(ended.is_err(), "a dead process was read to the end");
}

/// A file to swap to, while it lives.
struct Swap(std::path::PathBuf);

impl Swap {
    fn on(bytes: u64) -> Self {
        // Not on a tmpfs, which cannot be swapped to.
        let swap = Self(places::cache().join("swap-of-a-test"));
        let path = swap.0.to_str().unwrap();
        for command in [
            ["fallocate", "-l", &bytes.to_string(), path].as_slice(),
            &["chmod", "600", path],
            &["mkswap", "-q", path],
            &["swapon", path],
        ] {
            assert!(
                Command::new(command[0]).args(&command[1..]).status().unwrap().success(),
                "{command:?}"
            );
        }
        swap
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        let _ = Command::new("swapoff").arg(&self.0).status();
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_process_that_is_swapped_out_is_not_read_and_not_brought_in() {
    need!(Full, Root, Memory, Node, Program("mkswap"), Program("swapon"));
    let _swap = Swap::on(256 << 20);
    let cgroup = Memcg::new("swapped", Some(512 << 20)).unwrap();
    let mut app = started(cgroup.command(&places::node().unwrap()), "known-contents.js");
    let pid = rustix::process::Pid::from_raw(app.pid().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    stopped(app.pid());
    assert!(!read(app.pid()).rows.is_empty());
    let mut limit = status(app.pid(), "VmRSS:") << 10;
    // Some of it at first, then most.
    for part in [10, 3] {
        for _ in 0..1_000 {
            if exactly(app.pid(), "Swap:") * part >= exactly(app.pid(), "Anonymous:") {
                break;
            }
            // Refused where not that much could be taken at once; some of it was.
            if cgroup.limit(limit).is_ok() {
                limit -= 1 << 20;
            }
        }
        let swapped = exactly(app.pid(), "Swap:");
        assert!(swapped > 0, "nothing was swapped out");
        let metadata = memory::metadata(app.pid()).unwrap();
        let live = LiveMemory::open(app.pid()).unwrap();
        let read = memory::open(&live, &metadata, None).and_then(|mut reader| reader.read(&mut |_, _| {}));
        let read = read.map(|_| "read");
        assert!(matches!(read, Err(Refusal::SwappedOut)), "{swapped} kB: {read:?}");
        let after = exactly(app.pid(), "Swap:");
        assert!(after >= swapped, "{swapped} kB before, {after} kB after");
    }
    app.kill();
}
