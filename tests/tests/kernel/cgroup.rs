//! Birth and death of cgroups in the hierarchy that accounts for memory.

use observer::kernel::Rung;
use observer_core::kernel::KernelEvent;
use observer_tests::cgroup::Memcg;

use crate::{on_each_rung, tap::Tap};

on_each_rung! {
    birth_and_death needs Memory;
}

fn birth_and_death(rung: Rung) {
    let mut tap = Tap::open(rung);
    let cgroup = Memcg::new("born", None).unwrap();
    let wanted = cgroup.path().to_owned();
    let born = tap.until("the birth", |event| match event {
        KernelEvent::CgroupMkdir { root, path, .. } if *path == wanted => Some(*root),
        _ => None,
    });
    drop(cgroup);
    let died = tap.until("the death", |event| match event {
        KernelEvent::CgroupRelease { root, path, .. } if *path == wanted => Some(*root),
        _ => None,
    });
    assert_eq!(born, died, "the same hierarchy");
    let births = tap
        .edges()
        .filter(|event| matches!(event, KernelEvent::CgroupMkdir { path, .. } if *path == wanted))
        .count();
    assert_eq!(births, 1, "once, not once per controller");
}
