//! The kernel's OOM killer in a limited memory cgroup.

use std::{path::Path, time::Duration};

use observer::kernel::{Hook, Rung};
use observer_core::kernel::{ExitStatus, KernelEvent, OomVictim};
use observer_tests::{app::App, cgroup::Memcg, lines::Lines};

use crate::{
    on_each_rung,
    tap::{Tap, key},
};

on_each_rung! {
    victim needs Memory, Program("python3");
    bystander needs Memory, Program("python3");
}

const MIB: u64 = 1 << 20;

/// Takes so many MiB when told, then waits.
const HOG: &str = "
import sys
print('{\"ready\":true}', flush=True)
for line in sys.stdin:
    kept = bytearray(int(line) << 20)
    print('taken', flush=True)
";

fn hog(cgroup: &Memcg) -> App {
    let mut app = App::start(cgroup.command(Path::new("python3")).args(["-c", HOG])).unwrap();
    app.ready().unwrap();
    app
}

fn taken(lines: &mut Lines) {
    lines
        .wait("the memory", Duration::from_mins(1), |line| {
            (line == "taken").then_some(())
        })
        .unwrap();
}

/// Other tests cause victims meanwhile.
fn victim_among(tap: &mut Tap, pids: &[u32]) -> OomVictim {
    tap.until("the victim", |event| match event {
        KernelEvent::OomVictim(victim) if pids.contains(&victim.process.pid) => Some(victim.clone()),
        _ => None,
    })
}

fn victim(rung: Rung) {
    let mut tap = Tap::open(rung);
    assert_eq!(tap.report.rung(Hook::OomVictim), rung);
    let cgroup = Memcg::new("oom", Some(96 * MIB)).unwrap();
    let mut app = hog(&cgroup);
    let process = key(app.pid());
    app.tell("200").unwrap();
    assert_eq!(app.wait().unwrap(), 137);
    let victim = victim_among(&mut tap, &[process.pid]);
    assert_eq!((victim.process.pid, victim.tid), (process.pid, process.pid));
    let lost = tap
        .report
        .hooks
        .iter()
        .find(|report| report.hook == Hook::OomVictim)
        .unwrap()
        .lost;
    // A kernel whose hook carries a bare pid tells neither start nor sizes, and is reported so.
    if lost == "nothing" {
        assert_eq!(victim.process, process);
        assert!(
            victim.anon.is_some() && victim.file.is_some() && victim.shmem.is_some(),
            "{victim:?}"
        );
    }
    // Where this kernel tells sizes, they are those of a process that filled 96 MiB, in bytes.
    if let Some(anon) = victim.anon {
        assert!((64 * MIB..96 * MIB).contains(&anon), "{anon}");
        assert_eq!(victim.comm, "python3");
        assert!(
            victim
                .pgtables
                .is_some_and(|bytes| (64 << 10..8 * MIB).contains(&bytes)),
            "{victim:?}"
        );
        assert_eq!(victim.oom_score_adj, Some(own_oom_score_adj()));
    }
    match tap.exit(process.pid) {
        KernelEvent::Exit { status, .. } => assert_eq!(status, Some(ExitStatus::Signal(9))),
        other => panic!("{other:?}"),
    }
    let order: Vec<_> = tap
        .edges()
        .filter_map(|event| match event {
            KernelEvent::OomVictim(found) if found.process.pid == process.pid => Some("victim"),
            KernelEvent::Exit { process: found, .. } if found.pid == process.pid => Some("exit"),
            _ => None,
        })
        .collect();
    assert_eq!(order.last(), Some(&"exit"), "{order:?}");
}

/// The one who asks for memory is not the one who is killed for it: the victim is described, not the other.
fn bystander(rung: Rung) {
    let mut tap = Tap::open(rung);
    let cgroup = Memcg::new("bystander", Some(128 * MIB)).unwrap();
    let (mut large, mut small) = (hog(&cgroup), hog(&cgroup));
    let process = key(large.pid());
    std::fs::write(format!("/proc/{}/oom_score_adj", large.pid()), "1000").unwrap();
    large.tell("80").unwrap();
    taken(&mut large.output);
    small.tell("60").unwrap();
    assert_eq!(large.wait().unwrap(), 137);
    // The first of the two: a kernel that cannot take the victim's memory back in time chooses again.
    let victim = victim_among(&mut tap, &[process.pid, small.pid()]);
    assert_eq!(victim.process.pid, process.pid, "{victim:?}");
    if let Some(anon) = victim.anon {
        assert!((80 * MIB..110 * MIB).contains(&anon), "{anon}");
        assert_eq!(victim.oom_score_adj, Some(1000));
    }
    small.kill();
}

/// Children inherit it.
fn own_oom_score_adj() -> i32 {
    std::fs::read_to_string("/proc/self/oom_score_adj")
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}
