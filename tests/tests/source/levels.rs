//! Levels, limits and kill counters of real cgroups, and the sampler over real processes.

use std::{fs, process::Command, sync::Arc, time::Duration};

use observer::source::{
    Level, Sampler,
    cgroup::{CgroupReader, Cgroups},
};
use observer_core::{
    What,
    process::ProcessKey,
    sample::{CgroupLevel, Sample},
    time::BootTime,
};
use observer_tests::{
    app::{App, READY},
    cgroup::{self, Memcg},
    need, places,
};

use super::{MIB, hierarchy, inspect, procfs};

/// A Node.js that holds `mib` of written memory outside its heap.
fn holding(cgroup: &Memcg, mib: u64) -> App {
    let script = format!(
        "globalThis.kept = Buffer.alloc({mib} << 20, 1); console.log('{{\"ready\":true}}'); setInterval(() => {{}}, 1e9)"
    );
    let mut app = App::start(cgroup.command(&places::node().unwrap()).args(["-e", &script])).unwrap();
    app.ready().unwrap();
    app
}

fn read(cgroups: &mut Cgroups, reader: &mut CgroupReader) -> CgroupLevel {
    let level = cgroups.read(reader);
    cgroups.end_sweep();
    let Level::Read(level) = level else { panic!("{level:?}") };
    level
}

#[test]
fn a_cgroups_level_is_what_its_process_holds() {
    need!(Root, Node);
    let group = Memcg::new("levels", Some(512 * MIB)).unwrap();
    let _app = holding(&group, 100);
    let mut cgroups = Cgroups::new(hierarchy());
    let mut reader = cgroups.open(group.path());
    let level = read(&mut cgroups, &mut reader);
    assert!((100 * MIB..300 * MIB).contains(&level.anon), "{level:?}");
    // Up to 5.18 cgroup v2 keeps no peak.
    let peak = level.peak.unwrap_or(512 * MIB);
    assert!(
        level.usage >= level.anon && level.usage <= peak && level.usage < 512 * MIB,
        "{level:?}"
    );
    let file = hierarchy().directory(group.path()).unwrap().join("memory.peak");
    assert_eq!(
        level.peak.is_some(),
        cgroups.hierarchy().version() == 1 || file.exists(),
        "{level:?}"
    );
    assert!(level.cpu_ns.is_none_or(|ns| ns > 0));
    assert_eq!(level.oom_kills, Some(0));
    let limit = level.limit.unwrap();
    assert_eq!(
        (limit.bytes, limit.cgroup.as_str(), level.own_limit),
        (512 * MIB, group.path(), Some(512 * MIB))
    );
}

#[test]
fn the_lowest_limit_is_an_ancestors_and_follows_a_resize() {
    need!(Root, Node);
    let pod = Memcg::new("pod", Some(512 * MIB)).unwrap();
    let container = pod.child("container", None).unwrap();
    let _app = holding(&container, 10);
    let mut cgroups = Cgroups::new(hierarchy());
    let mut reader = cgroups.open(container.path());
    let limit = |level: &CgroupLevel| level.limit.clone().map(|limit| (limit.bytes, limit.cgroup));

    let level = read(&mut cgroups, &mut reader);
    assert_eq!(limit(&level), Some((512 * MIB, pod.path().to_owned())));
    assert_eq!(level.own_limit, None);
    pod.limit(384 * MIB).unwrap();
    assert_eq!(
        limit(&read(&mut cgroups, &mut reader)),
        Some((384 * MIB, pod.path().to_owned()))
    );
    container.limit(256 * MIB).unwrap();
    assert_eq!(
        limit(&read(&mut cgroups, &mut reader)),
        Some((256 * MIB, container.path().to_owned()))
    );
}

#[test]
fn a_kill_is_counted_where_the_version_counts_it() {
    need!(Root, Node);
    let pod = Memcg::new("kills", None).unwrap();
    let container = pod.child("container", Some(96 * MIB)).unwrap();
    // With its last child, a stage's cgroup goes too.
    let _beside = pod.child("beside", None).unwrap();
    let cgroups = Cgroups::new(hierarchy());
    let counts = |cgroups: &Cgroups| {
        let found = cgroups.oom_kills(container.path());
        let of = |path: &str| found.iter().find(|(cgroup, _)| cgroup == path).map(|(_, count)| *count);
        (of(container.path()), of(pod.path()))
    };
    assert_eq!(counts(&cgroups), (Some(0), Some(0)));
    let script = "const kept = []; for (;;) kept.push(Buffer.alloc(1 << 20, 1))";
    let mut app = App::start(container.command(&places::node().unwrap()).args(["-e", script])).unwrap();
    assert_eq!(app.wait().unwrap(), 137);
    let own = counts(&cgroups);
    if cgroups.hierarchy().version() == 1 {
        assert_eq!(own, (Some(1), Some(0)), "v1 counts at the victim's cgroup only");
    } else {
        assert_eq!(own, (Some(1), Some(1)));
    }
    // The container's own counter dies with it; what is left are its ancestors'.
    let path = container.path().to_owned();
    drop(container);
    assert!(cgroups.oom_kills(&path).iter().all(|(cgroup, _)| *cgroup != path));
    assert!(!cgroups.oom_kills(&path).is_empty());
}

#[test]
fn a_removed_cgroup_has_vanished_even_for_kept_descriptors() {
    need!(Root);
    let group = Memcg::new("removed", None).unwrap();
    let path = group.path().to_owned();
    let mut cgroups = Cgroups::new(hierarchy());
    let mut reader = cgroups.open(&path);
    assert!(matches!(cgroups.read(&mut reader), Level::Read(_)));
    cgroup::clear(&hierarchy().directory(&path).unwrap(), Duration::from_secs(20)).unwrap();
    assert_eq!(cgroups.read(&mut reader), Level::Vanished);
    // A successor of the same name is another cgroup: the old descriptors do not follow it.
    fs::create_dir(hierarchy().directory(&path).unwrap()).unwrap();
    assert_eq!(cgroups.read(&mut reader), Level::Vanished);
    let mut anew = cgroups.open(&path);
    assert!(matches!(cgroups.read(&mut anew), Level::Read(_)));
}

fn sampler(most: usize) -> Sampler {
    Sampler::new(Arc::new(procfs()), Cgroups::new(hierarchy()), most)
}

fn sweep(sampler: &mut Sampler) -> (Vec<Sample>, Vec<ProcessKey>) {
    let mut at = 0;
    let sweep = sampler.sample_all(|| {
        at += 1;
        BootTime(at)
    });
    assert_eq!(sweep.failed, 0);
    let (mut samples, mut vanished) = (Vec::new(), Vec::new());
    for input in sweep.inputs {
        match input.what {
            What::Sample(sample) => samples.push(*sample),
            What::Vanished(key) => vanished.push(key),
            other => panic!("{other:?}"),
        }
    }
    (samples, vanished)
}

#[test]
fn growth_shows_in_the_next_sample_and_a_death_one_sweep_later() {
    need!(Root, Node);
    let group = Memcg::new("sampled", Some(512 * MIB)).unwrap();
    let script = "const kept = []; console.log('{\"ready\":true}'); process.stdin.on('data', () => { \
                  kept.push(Buffer.alloc(100 << 20, 1)); console.log('grown'); })";
    let mut app = App::start(group.command(&places::node().unwrap()).args(["-e", script])).unwrap();
    app.ready().unwrap();
    let key = inspect(app.pid()).key;
    let mut sampler = sampler(10);
    sampler.watch(key, group.path()).unwrap();
    let (before, _) = sweep(&mut sampler);
    app.tell("").unwrap();
    app.output
        .wait("growth", READY, |line| (line == "grown").then_some(()))
        .unwrap();
    let (after, _) = sweep(&mut sampler);
    let grown = |of: fn(&Sample) -> u64| of(&after[0]) - of(&before[0]);
    for grown in [
        grown(|sample| sample.rss.unwrap()),
        grown(|sample| sample.rss_anon.unwrap()),
        grown(|sample| sample.cgroup.as_ref().unwrap().trend()),
    ] {
        assert!((95 * MIB..130 * MIB).contains(&grown), "{grown}: {before:?} {after:?}");
    }

    app.kill();
    assert_eq!(
        sweep(&mut sampler),
        (Vec::new(), Vec::new()),
        "the kernel's own exit event comes first"
    );
    assert_eq!(sweep(&mut sampler), (Vec::new(), vec![key]));
    assert_eq!(sampler.watched(), 0);
}

#[test]
fn processes_of_one_cgroup_share_its_reading_and_the_watched_are_bounded() {
    need!(Root, Node);
    let group = Memcg::new("shared", None).unwrap();
    let apps = [holding(&group, 1), holding(&group, 1)];
    let keys = apps.each_ref().map(|app| inspect(app.pid()).key);
    let mut sampler = sampler(2);
    for key in keys {
        sampler.watch(key, group.path()).unwrap();
        sampler.watch(key, group.path()).unwrap();
    }
    let own = inspect(std::process::id()).key;
    assert!(sampler.watch(own, "/").unwrap_err().to_string().contains('2'));
    let (samples, _) = sweep(&mut sampler);
    assert_eq!(samples.len(), 2);
    assert_eq!(samples[0].cgroup, samples[1].cgroup);
    sampler.unwatch(keys[0]);
    sampler.unwatch(keys[0]);
    assert_eq!(sweep(&mut sampler).0.len(), 1);
    sampler.watch(own, "/").unwrap();
}

#[test]
fn a_process_that_is_gone_is_not_watched() {
    let mut child = Command::new("true").spawn().unwrap();
    let key = procfs()
        .inspect(ProcessKey {
            pid: child.id(),
            start: 0,
        })
        .map(|facts| facts.key);
    child.wait().unwrap();
    let Ok(key) = key else { return }; // it was quicker than the inspection
    assert!(sampler(10).watch(key, "/").is_err());
}
