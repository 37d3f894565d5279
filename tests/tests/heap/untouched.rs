//! What a reading costs the process it reads: no page table, no page brought in, nothing written.

use std::fs;

use super::*;

/// Fields of /proc/PID/status in kB.
fn status(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
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
