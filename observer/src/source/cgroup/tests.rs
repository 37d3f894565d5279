//! Levels from recorded files: v1 as this project's development kernel (6.18) writes them, v2 as cgroup-v2.rst has
//! them. Real cgroups: the crate `tests`.

use std::{fs, path::Path};

use observer_core::sample::{CgroupLevel, Limit};

use super::*;

const V1_STAT: &str = "cache 9461760
rss 12066816
shmem 9068544
swap 0
inactive_file 4096
hierarchical_memory_limit 536870912
hierarchical_memsw_limit 9223372036854771712
total_cache 3474513920
total_rss 113954816
total_shmem 9068544
total_swap 4096
total_inactive_file 2358833152
";

const V2_STAT: &str = "anon 104857600
file 20971520
kernel 5242880
kernel_stack 131072
pagetables 1048576
sock 4096
shmem 1048576
file_mapped 8192
inactive_anon 104857600
inactive_file 15728640
slab_reclaimable 1048576
slab_unreclaimable 524288
slab 1572864
workingset_refault_anon 0
";

fn write(root: &Path, dir: &str, files: &[(&str, &str)]) {
    let dir = root.join(dir.trim_start_matches('/'));
    fs::create_dir_all(&dir).unwrap();
    for (name, text) in files {
        fs::write(dir.join(name), text).unwrap();
    }
}

fn cgroups(version: u8, root: &Path, cpuacct: Option<&Path>) -> Cgroups {
    let hierarchy = Hierarchy::at(version, root, cpuacct.map(Path::to_path_buf));
    Cgroups {
        hierarchy: Arc::new(hierarchy),
        limits: Limits::default(),
        budget: Budget::of(100),
        text: Vec::new(),
    }
}

fn level(cgroups: &mut Cgroups, reader: &mut CgroupReader) -> CgroupLevel {
    let level = cgroups.read(reader);
    cgroups.end_sweep();
    let Level::Read(level) = level else { panic!("{level:?}") };
    level
}

#[test]
fn v1() {
    let (memory, cpu) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let no_limit = "9223372036854771712\n";
    write(memory.path(), "/", &[("memory.limit_in_bytes", no_limit)]);
    write(
        memory.path(),
        "/pod",
        &[
            ("memory.limit_in_bytes", "536870912\n"),
            ("memory.oom_control", "oom_kill 3\n"),
        ],
    );
    let own = [
        ("memory.stat", V1_STAT),
        ("memory.usage_in_bytes", "200000000\n"),
        ("memory.max_usage_in_bytes", "300000000\n"),
        ("memory.limit_in_bytes", no_limit),
        ("memory.soft_limit_in_bytes", "400000000\n"),
        ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
    ];
    write(memory.path(), "/pod/app", &own);
    write(cpu.path(), "/pod/app", &[("cpuacct.usage", "123456789\n")]);
    let mut cgroups = cgroups(1, memory.path(), Some(cpu.path()));
    let mut reader = cgroups.open("/pod/app");
    let expected = CgroupLevel {
        usage: 200_000_000,
        anon: 113_954_816,
        file: 3_474_513_920 - 9_068_544,
        shmem: 9_068_544,
        swap: 4096,
        slab_unreclaimable: 0,
        inactive_file: 2_358_833_152,
        limit: Some(Limit {
            bytes: 536_870_912,
            cgroup: "/pod".into(),
        }),
        own_limit: None,
        high: Some(400_000_000),
        peak: Some(300_000_000),
        oom_kills: Some(2),
        cpu_ns: Some(123_456_789),
    };
    assert_eq!(level(&mut cgroups, &mut reader), expected);
    assert_eq!(
        cgroups.oom_kills("/pod/app"),
        [("/pod/app".into(), 2), ("/pod".into(), 3)]
    );
    assert_eq!(
        cgroups.oom_kills("/pod/gone"),
        [("/pod".into(), 3)],
        "a dead cgroup's ancestors still tell"
    );

    // Without any limit the sentinel is none, not 8 EiB.
    let unlimited = V1_STAT.replace("536870912", "9223372036854771712");
    write(memory.path(), "/pod/app", &[("memory.stat", &unlimited)]);
    assert_eq!(level(&mut cgroups, &mut reader).limit, None);

    // Limits are told as they are in each sweep, however they change: of the pod's and its own, the lowest first.
    let mib = |mib: u64| mib << 20;
    for (lowest, own) in [
        (512, 512),
        (256, 256),
        (256, 256),
        (1024, 1024),
        (512, 768),
        (512, 2048),
        (512, 512),
    ] {
        let stat = V1_STAT.replace("536870912", &mib(lowest).to_string());
        let own_text = format!("{}\n", mib(own));
        write(
            memory.path(),
            "/pod/app",
            &[("memory.stat", &stat), ("memory.limit_in_bytes", &own_text)],
        );
        write(
            memory.path(),
            "/pod",
            &[("memory.limit_in_bytes", &format!("{}\n", mib(lowest)))],
        );
        let level = level(&mut cgroups, &mut reader);
        assert_eq!(level.own_limit, Some(mib(own)), "of {lowest} and {own}");
        assert_eq!(level.limit.map(|limit| limit.bytes), Some(mib(lowest)));
    }
}

#[test]
fn v2() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "/kubepods", &[("memory.max", "8589934592\n")]);
    write(
        root.path(),
        "/kubepods/pod",
        &[("memory.max", "268435456\n"), ("memory.events", "oom 2\noom_kill 5\n")],
    );
    let own = [
        ("memory.stat", V2_STAT),
        ("memory.current", "131072000\n"),
        ("memory.peak", "200000000\n"),
        ("memory.max", "max\n"),
        ("memory.high", "max\n"),
        ("memory.swap.current", "4096\n"),
        (
            "memory.events",
            "low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\noom_group_kill 0\n",
        ),
        ("cpu.stat", "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n"),
    ];
    write(root.path(), "/kubepods/pod/app", &own);
    let mut cgroups = cgroups(2, root.path(), None);
    let mut reader = cgroups.open("/kubepods/pod/app");
    let expected = CgroupLevel {
        usage: 131_072_000,
        anon: 104_857_600,
        file: 20_971_520 - 1_048_576,
        shmem: 1_048_576,
        swap: 4096,
        slab_unreclaimable: 524_288,
        inactive_file: 15_728_640,
        limit: Some(Limit {
            bytes: 268_435_456,
            cgroup: "/kubepods/pod".into(),
        }),
        own_limit: None,
        high: None,
        peak: Some(200_000_000),
        oom_kills: Some(1),
        cpu_ns: Some(1_500_000),
    };
    assert_eq!(level(&mut cgroups, &mut reader), expected);

    // A pod resized in place: the new limit counts from the next sample on.
    write(root.path(), "/kubepods/pod/app", &[("memory.max", "268435456\n")]);
    assert_eq!(
        level(&mut cgroups, &mut reader).limit.unwrap().cgroup,
        "/kubepods/pod/app",
        "of equals, its own"
    );
    write(root.path(), "/kubepods/pod", &[("memory.max", "134217728\n")]);
    assert_eq!(level(&mut cgroups, &mut reader).limit.unwrap().bytes, 134_217_728);
    assert_eq!(
        cgroups.oom_kills("/kubepods/pod/app"),
        [("/kubepods/pod/app".into(), 1), ("/kubepods/pod".into(), 5)]
    );
}

#[test]
fn what_older_kernels_lack_is_not_known_rather_than_zero() {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        "/a",
        &[("memory.stat", V2_STAT), ("memory.current", "1\n")],
    );
    let mut cgroups = cgroups(2, root.path(), None);
    let mut reader = cgroups.open("/a");
    let level = level(&mut cgroups, &mut reader);
    assert_eq!(
        (level.peak, level.oom_kills, level.cpu_ns, level.limit),
        (None, None, None, None)
    );
}

#[test]
fn removed_and_unaccounted_cgroups_are_told_apart() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "/a", &[("cgroup.procs", "")]);
    let mut cgroups = cgroups(2, root.path(), None);
    let mut reader = cgroups.open("/a");
    assert_eq!(cgroups.read(&mut reader), Level::Unaccounted);
    let mut reader = cgroups.open("/b");
    assert_eq!(cgroups.read(&mut reader), Level::Vanished);
    let mut reader = cgroups.open("/../etc");
    assert_eq!(cgroups.read(&mut reader), Level::Unaccounted, "outside what is mounted");
}

#[test]
fn ancestors_of_a_path() {
    let of = |path| ancestry(path).collect::<Vec<_>>();
    assert_eq!(of("/a/b/c"), ["/a/b/c", "/a/b", "/a", "/"]);
    assert_eq!(of("/a"), ["/a", "/"]);
    assert_eq!(of("/"), ["/"]);
    assert_eq!(of(""), ["/"]);
}
