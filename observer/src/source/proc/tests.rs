//! The reader of processes over fabricated trees, and on this very process. Real Node.js processes: the crate `tests`.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use observer_core::process::{NodeEvidence, Package};

use super::*;

/// A procfs of files, with a root directory for its processes.
struct Tree {
    dir: tempfile::TempDir,
}

impl Tree {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        Self { dir }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn process(&self, pid: u32, start: u64, exe: &Path) -> PathBuf {
        let dir = self.dir.path().join(pid.to_string());
        fs::create_dir(&dir).unwrap();
        let stat = format!("{pid} (a) S) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {start} 0 0\n");
        fs::write(dir.join("stat"), stat).unwrap();
        fs::write(dir.join("status"), format!("Name:\ta\nNSpid:\t{pid}\t1\n")).unwrap();
        fs::write(dir.join("cgroup"), "0::/system.slice/api.service\n").unwrap();
        fs::write(dir.join("cmdline"), "node\0--max-old-space-size=99\0dist/main.js\0").unwrap();
        fs::write(dir.join("environ"), "OTEL_SERVICE_NAME=api\0HOME=/root\0").unwrap();
        symlink(exe, dir.join("exe")).unwrap();
        symlink("/srv/app", dir.join("cwd")).unwrap();
        symlink(self.root(), dir.join("root")).unwrap();
        dir
    }

    fn procfs(&self) -> Procfs {
        Procfs::new(self.dir.path(), Arc::new(Hierarchy::at(2, "/sys/fs/cgroup", None)))
    }
}

fn key(pid: u32, start: u64) -> ProcessKey {
    ProcessKey { pid, start }
}

/// The kernel is freeing its memory: it is no zombie yet, and cgroup v1 shows it in the root cgroup already.
#[test]
fn a_process_that_is_ending_is_gone_and_tells_no_cgroup() {
    let tree = Tree::new();
    let dir = tree.process(7, 500, Path::new("/bin/sh"));
    let stat = |flags: u32, threads: u32| {
        let stat = format!("7 (tail) R 1 1 1 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 {threads} 0 500 0 0\n");
        fs::write(dir.join("stat"), stat).unwrap();
        tree.procfs().inspect(key(7, 500)).is_ok()
    };
    assert!(stat(0x0040_0000, 1));
    assert!(!stat(0x0040_0004, 1));
    assert!(stat(0x0040_0004, 3), "only its first thread has ended");
}

#[test]
fn a_reused_pid_is_gone() {
    let tree = Tree::new();
    tree.process(7, 500, Path::new("/bin/sh"));
    assert_eq!(tree.procfs().inspect(key(7, 500)).unwrap().key, key(7, 500));
    assert_eq!(
        tree.procfs().inspect(key(7, 0)).unwrap().key,
        key(7, 500),
        "0: whoever has the pid"
    );
    for other in [key(7, 499), key(8, 500), key(8, 0)] {
        assert!(
            matches!(tree.procfs().inspect(other), Err(ProcError::Gone { .. })),
            "{other:?}"
        );
    }
}

#[test]
fn an_unwatched_process_keeps_its_arguments_and_environment_to_itself() {
    let tree = Tree::new();
    let dir = tree.process(7, 500, Path::new("/bin/sh"));
    // Not even opened: a directory in their place would be an error.
    for file in ["cmdline", "environ"] {
        fs::remove_file(dir.join(file)).unwrap();
        fs::create_dir(dir.join(file)).unwrap();
    }
    let facts = tree.procfs().inspect(key(7, 500)).unwrap();
    assert_eq!(facts.runtime, Runtime::Other);
    assert_eq!((facts.comm.as_str(), facts.exe.as_str()), ("a) S", "/bin/sh"));
    assert!(facts.otel.is_empty() && facts.script.is_none());
}

#[test]
fn without_its_elf_only_the_executables_own_name_counts() {
    let tree = Tree::new();
    // No such file, as where SYS_PTRACE is missing: only the link's text tells.
    for (pid, exe, watched) in [
        (1, "/no/such/bin/node", true),
        (2, "/no/such/bin/nodejs (deleted)", true),
        (3, "/no/such/bin/datanode", false),
        (4, "/no/such/node/bun", false),
    ] {
        let dir = tree.process(pid, 500, Path::new(exe));
        // A link into itself cannot be followed, and that is not "no executable".
        fs::remove_file(dir.join("exe")).unwrap();
        symlink(
            Path::new("exe-file/").join(exe.trim_start_matches('/')),
            dir.join("exe"),
        )
        .unwrap();
        fs::write(dir.join("exe-file"), "").unwrap();
        let procfs = tree.procfs();
        let facts = procfs.inspect(key(pid, 500)).unwrap();
        let expected = Runtime::Node {
            version: None,
            evidence: NodeEvidence::ExecutableName,
        };
        assert_eq!(facts.runtime == expected, watched, "{exe}: {:?}", facts.runtime);
        assert_eq!(procfs.unreadable_executables(), 1, "{exe}");
    }
}

#[test]
fn a_script_named_node_is_no_node() {
    let tree = Tree::new();
    let script = tree.root().join("node");
    fs::write(&script, "#!/bin/sh\nsleep 1\n").unwrap();
    tree.process(7, 500, &script);
    assert_eq!(tree.procfs().inspect(key(7, 500)).unwrap().runtime, Runtime::Other);
}

/// Facts of a process that counts as Node.js by its name.
fn watched(tree: &Tree) -> ProcessFacts {
    let dir = tree.process(7, 500, Path::new("x"));
    fs::remove_file(dir.join("exe")).unwrap();
    fs::write(dir.join("exe-file"), "").unwrap();
    symlink("exe-file/node", dir.join("exe")).unwrap();
    tree.procfs().inspect(key(7, 500)).unwrap()
}

#[test]
fn a_watched_process_is_described() {
    let tree = Tree::new();
    fs::create_dir_all(tree.root().join("srv/app/dist")).unwrap();
    fs::write(
        tree.root().join("srv/app/package.json"),
        r#"{"name": "api", "version": "1.4.2", "x": {}}"#,
    )
    .unwrap();
    fs::write(tree.root().join("srv/app/dist/package.json"), r#"{"type": "module"}"#).unwrap();
    fs::write(tree.root().join("package.json"), r#"{"name": "outer"}"#).unwrap();
    let facts = watched(&tree);
    assert_eq!(facts.script.as_deref(), Some("dist/main.js"));
    assert_eq!(facts.heap_flags.max_old_space_mib, Some(99));
    assert_eq!(facts.otel.len(), 1);
    assert_eq!((facts.ns_pid, facts.containerised), (1, true));
    assert_eq!(facts.cgroup, "/system.slice/api.service");
    assert_eq!(
        facts.package,
        Some(Package {
            name: "api".into(),
            version: Some("1.4.2".into())
        })
    );
}

#[test]
fn a_package_json_that_is_none_is_passed_by() {
    let tree = Tree::new();
    fs::create_dir_all(tree.root().join("srv/app")).unwrap();
    fs::write(tree.root().join("srv/app/package.json"), r#"{"name": 3"#).unwrap();
    fs::write(tree.root().join("srv/package.json"), r#"{"name": "workspace"}"#).unwrap();
    assert_eq!(
        watched(&tree).package,
        Some(Package {
            name: "workspace".into(),
            version: None
        })
    );
}

#[test]
fn a_scan_finds_this_process_and_no_kernel_thread() {
    let hierarchy = Arc::new(Hierarchy::at(2, "/sys/fs/cgroup", None));
    let procfs = Procfs::new("/proc", hierarchy);
    let found: Vec<_> = procfs.scan().unwrap().filter_map(Result::ok).collect();
    let own = found.iter().find(|facts| facts.key.pid == std::process::id()).unwrap();
    assert_eq!(own.runtime, Runtime::Other);
    assert_eq!(PathBuf::from(&own.exe), std::env::current_exe().unwrap());
    assert_eq!(own.parent.pid, std::os::unix::process::parent_id());
    assert!(own.key.start > 0 && own.parent.start > 0 && own.parent.start <= own.key.start);
    assert!(found.iter().all(|facts| facts.comm != "kthreadd"));
    // The kernel's own answer for the same process is the same key.
    assert_eq!(procfs.inspect(own.key).unwrap().key, own.key);
}

#[test]
fn this_process_is_watched_where_it_was_told_to_watch_itself() {
    let hierarchy = Arc::new(Hierarchy::at(2, "/sys/fs/cgroup", None));
    let procfs = Procfs::new("/proc", hierarchy).watching_itself();
    let own = procfs.inspect(key(std::process::id(), 0)).unwrap();
    assert!(own.is_watched() && own.runtime == Runtime::Agent, "{own:?}");
    let package = own.package.unwrap();
    let of_it = (package.name.as_str(), package.version.as_deref());
    assert_eq!(of_it, ("observer", Some(env!("CARGO_PKG_VERSION"))));
    assert_eq!((own.script, own.heap_flags), (None, HeapFlags::default()));
    let mut other = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let facts = procfs.inspect(key(other.id(), 0)).unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(!facts.is_watched(), "{facts:?}");
}

#[test]
fn a_process_that_ended_is_gone_even_while_its_directory_is_held() {
    let hierarchy = Arc::new(Hierarchy::at(2, "/sys/fs/cgroup", None));
    let procfs = Procfs::new("/proc", hierarchy);
    let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let facts = procfs.inspect(key(child.id(), 0)).unwrap();
    let held = procfs.open(facts.key).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(matches!(held.stat(), Err(ProcError::Gone { .. })));
    assert!(matches!(held.read("cmdline"), Err(ProcError::Gone { .. })));
    assert!(matches!(procfs.inspect(facts.key), Err(ProcError::Gone { .. })));
}
