//! Each kind of memory, made by a real program, is the one that is named.

use std::path::{Path, PathBuf};

use observer_tests::{
    bundle::Spec,
    compiled::MALLOC,
    container::{Container, Restart},
    need,
    need::Need,
    places,
    stage::Scratch,
};
use serde_json::Value;

use super::{InCgroup, grown, is_about, now, part};

/// One Node.js; with `--full` every version.
fn nodes(one: Option<PathBuf>) -> Vec<PathBuf> {
    let mut nodes = vec![one.or_else(places::node).unwrap()];
    if need::missing(Need::Full).is_none() {
        nodes.extend((18..=26).step_by(2).filter_map(places::cached_node));
    }
    nodes
}

/// Two readings; taken again, as the sentence advises, where most of what grew is young yet.
fn settled(target: &str) -> Value {
    let mut told = grown(target);
    for _ in 0..3 {
        if told["meaning"]["kind"] != "young" {
            break;
        }
        told = grown(target);
    }
    told
}

#[test]
fn a_leak_in_the_heap_is_named_on_every_version() {
    need!(Root, Memory, Node);
    for node in nodes(None) {
        let leak = InCgroup::with(&node, "memory-heap", "leak.js", &["--mb", "30", "--wait", "no"]);
        is_about(
            &settled(&leak.pid()),
            "heap",
            &[
                "what grew is objects that the JavaScript heap holds",
                "a leak in the heap",
                "inferred",
            ],
        );
    }
}

#[test]
fn big_buffers_that_are_held_are_named() {
    need!(Root, Memory, Node);
    let leak = InCgroup::node("memory-buffers", "heap/big-buffers.js", &[]);
    is_about(
        &grown(&leak.pid()),
        "buffers",
        &["ArrayBuffers (Buffers) that something holds"],
    );
}

#[test]
fn a_leak_of_native_memory_below_node_is_named() {
    need!(Root, Memory, Node);
    let leak = InCgroup::node("memory-gzip", "heap/gzip-never-closed.js", &[]);
    is_about(&grown(&leak.pid()), "native", &["a leak in native memory", "inferred"]);
}

#[test]
fn a_leak_of_a_program_in_c_is_named() {
    need!(Root, Memory, Compiled(&MALLOC));
    let scratch = Scratch::new("memory-malloc").unwrap();
    let leak = InCgroup::start("memory-malloc", &MALLOC.compiled(scratch.path()).unwrap(), &["leak"]);
    is_about(&grown(&leak.pid()), "native", &["a leak in native memory"]);
}

/// What is free is told to a block: seven of eight were given back.
#[test]
fn fragmentation_is_no_leak() {
    need!(Root, Memory, Compiled(&MALLOC));
    let scratch = Scratch::new("memory-fragments").unwrap();
    let program = MALLOC.compiled(scratch.path()).unwrap();
    let program = InCgroup::start("memory-fragments", &program, &["fragments"]);
    let told = now(&program.pid());
    is_about(&told, "fragmentation", &["no leak", "malloc_trim", "MALLOC_ARENA_MAX"]);
    let arenas = told["processes"][0]["arenas"].as_array().unwrap();
    assert_eq!(arenas.len(), 2, "{told:#}");
    for arena in arenas {
        let of = |name: &str| arena[name].as_u64().unwrap();
        let share = of("in_use") as f64 / (of("in_use") + of("free_pages") + of("free_pieces")) as f64;
        assert!((share - 0.125).abs() < 0.01, "{share}: {arena:#}");
    }
    let grown = grown(&program.pid());
    assert!(grown["meaning"]["kind"].is_null(), "{grown:#}");
}

/// Of 16 huge pages 64 KiB each are left: the rest is charged, and mapped by nobody.
#[test]
fn rests_of_huge_pages_are_told() {
    need!(Root, Memory, HugePages, Compiled(&MALLOC));
    let scratch = Scratch::new("memory-huge").unwrap();
    let program = MALLOC.compiled(scratch.path()).unwrap();
    let program = InCgroup::start("memory-huge", &program, &["huge"]);
    let told = now(&program.pid());
    assert!(part(&told, &["huge_page_rests"]) > 24 << 20, "{told:#}");
}

#[test]
fn fragmentation_by_buffers_is_no_leak() {
    need!(Root, Memory, Node);
    // From Node.js 22 on V8 still has the pages whose objects it moved: what stands there is neither held nor garbage.
    for node in nodes(places::cached_node(24)) {
        let arguments = ["--what", "fragmentation", "--mb", "256"];
        let program = InCgroup::with(&node, "memory-pieces", "memory/kinds.js", &arguments);
        let told = now(&program.pid());
        is_about(&told, "fragmentation", &["most of it", "no leak"]);
        let kept = part(&told, &["buffers"]);
        assert!(kept.abs_diff(32 << 20) < 3 << 20, "{told:#}");
        let objects = part(&told, &["v8_live", "v8_dead"]);
        assert!((2 << 20..9 << 20).contains(&objects), "{objects}: {told:#}");
    }
}

#[test]
fn garbage_is_no_leak() {
    need!(Root, Memory, Node);
    let program = InCgroup::node(
        "memory-garbage",
        "memory/kinds.js",
        &["--what", "garbage", "--mb", "160"],
    );
    is_about(&now(&program.pid()), "garbage", &["no leak", "nothing holds it"]);
}

#[test]
fn page_cache_is_no_leak() {
    need!(Root, Memory, Node);
    // On a disk: in a tmpfs it would be none.
    let directory = tempfile::tempdir_in(places::target()).unwrap();
    let arguments = ["--what", "page-cache", "--mb", "200", "--directory"];
    let path = directory.path().display().to_string();
    let program = InCgroup::node(
        "memory-cache",
        "memory/kinds.js",
        &[arguments.as_slice(), &[&path]].concat(),
    );
    is_about(&now(&program.pid()), "page_cache", &["no leak", "takes it back"]);
}

/// In a container, named by the beginning of its id.
#[test]
fn a_tmpfs_that_fills_is_named_with_its_mount() {
    need!(Root, Memory, Runc, Node);
    let mut spec = Spec::fixture("memory-of-a-tmpfs", Some(512 << 20), "shm.js", &["--mb", "10"]);
    spec.shm = Some(256 << 20);
    let container = Container::ready(spec, Restart::Never).unwrap();
    container.tell("go").unwrap();
    let told = grown("memory-of-a-tmpfs");
    is_about(&told, "tmpfs", &["what grew is files in a tmpfs", "/dev/shm holds"]);
    assert_eq!(told["after"]["limit_bytes"], 512 << 20);
}

/// Of many processes the largest are looked into: where some of those end, others are not looked into in their place, since all that they
/// have would seem to have grown.
#[test]
fn nothing_grows_where_processes_end() {
    need!(Full, Root, Memory, Node);
    let program = "for each in 1 2 3 4 5 6 7 8; do \"$0\" -e 'const b = Buffer.alloc(12 << 20, 1); setInterval(() => b.length, 1e6)' & [ $each -gt 2 ] || ending=\"$ending $!\"; done; \
                   for each in 1 2; do \"$0\" -e 'globalThis.t = Array.from({length: 60000}, (_, i) => ({i})); setInterval(() => {}, 1e6)' & done; \
                   sleep 6; echo '{\"ready\":true}'; sleep 4; kill $ending; wait";
    let many = InCgroup::command("memory-many", |memory| {
        let mut command = memory.command("/bin/sh".as_ref());
        command.args(["-c", program]).arg(places::node().unwrap());
        command
    });
    let told = super::memory(&[&many.pid(), "--diff", "10s"]);
    let looked_into = |when: &str| told[when]["processes"].as_array().unwrap().len();
    assert!(looked_into("before") > looked_into("after"), "{told:#}");
    assert_eq!(told["meaning"]["kind"], Value::Null, "{:#}", told["meaning"]);
}

/// On a host, or in a pod that is looked into from inside, the command runs in the cgroup that it tells of.
#[test]
fn the_command_itself_is_nothing_that_grew() {
    need!(Root, Memory, Program("sh"));
    let script = r#"echo '{"ready":true}'; read x"#;
    let idle = InCgroup::start("idle-beside-the-command", Path::new("/bin/sh"), &["-c", script]);
    let mut command = idle.memory.command(&places::agent());
    let output = command
        .args(["memory", &idle.pid(), "--diff", "1s", "--json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(part(&told["after"], &["observer"]) > 0, "{told:#}");
    assert_eq!(part(&told["after"], &["other_processes"]), 0, "{told:#}");
    assert_eq!(told["meaning"]["kind"], Value::Null, "{told:#}");
}
