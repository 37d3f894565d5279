//! Node.js is found by what it is, whatever it is called; what is only called so is not.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use observer::source::elf::{self, Image};
use observer_core::{
    container,
    process::{NodeEvidence, ProcessFacts, ProcessKey, Runtime},
};
use observer_tests::{
    app::App,
    bundle::Spec,
    container::{Container, Restart},
    need, places, stage,
};

use super::{MIB, inspect, procfs};

/// Runs a program until it is ready, and inspects it.
fn facts(command: &mut Command) -> ProcessFacts {
    let mut app = App::start(command).unwrap();
    app.ready().unwrap();
    inspect(app.pid())
}

fn end_js() -> std::path::PathBuf {
    places::fixtures().join("end.js")
}

fn version_of(node: &Path) -> String {
    let output = Command::new(node).arg("--version").output().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .trim_start_matches('v')
        .to_owned()
}

fn node(version: &str, evidence: NodeEvidence) -> Runtime {
    Runtime::Node {
        version: Some(version.to_owned()),
        evidence,
    }
}

/// Bytes this thread has read so far, from files and pipes.
fn bytes_read() -> u64 {
    let io = fs::read_to_string("/proc/thread-self/io").unwrap();
    let read = io.lines().find_map(|line| line.strip_prefix("rchar: "));
    read.unwrap().parse().unwrap()
}

/// As the executable of each container is: the same file under another id.
#[test]
fn a_copy_of_a_known_build_is_known_by_little_of_it_and_another_build_of_its_size_is_not() {
    need!(Node);
    let original = places::cached_node(24).or_else(places::node).unwrap();
    let version = version_of(&original);
    let scratch = stage::Scratch::new("copies").unwrap();
    let same = scratch.file("same");
    fs::copy(&original, &same).unwrap();
    let other = scratch.file("other");
    let mut bytes = fs::read(&original).unwrap();
    // The same number of digits, so that nothing moves.
    let [text, another] = [version.clone(), version.replace(|c: char| c.is_ascii_digit(), "9")]
        .map(|version| format!("node.js/v{version}").into_bytes());
    let mut places = 0;
    for at in 0..bytes.len() - text.len() {
        if bytes[at..].starts_with(&text) {
            bytes[at..at + another.len()].copy_from_slice(&another);
            places += 1;
        }
    }
    assert!(places > 0);
    fs::write(&other, bytes).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();

    let procfs = procfs();
    let read = |program: &Path| {
        let mut app = App::start(Command::new(program).arg(end_js())).unwrap();
        app.ready().unwrap();
        let before = bytes_read();
        let facts = procfs
            .inspect(ProcessKey {
                pid: app.pid(),
                start: 0,
            })
            .unwrap();
        (facts.runtime, bytes_read() - before)
    };
    let (told, first) = read(&original);
    assert_eq!(told, node(&version, NodeEvidence::ElfSymbol));
    let (told, second) = read(&same);
    assert_eq!(told, node(&version, NodeEvidence::ElfSymbol));
    assert!(first > MIB && second < MIB / 16, "{first} and {second} bytes");
    let another = version.replace(|c: char| c.is_ascii_digit(), "9");
    assert_eq!(read(&other).0, node(&another, NodeEvidence::ElfSymbol));
}

fn every_version_is_told(major: u32) {
    let program = places::cached_node(major).unwrap();
    let version = version_of(&program);
    assert!(version.starts_with(&format!("{major}.")), "{version}");
    let facts = facts(Command::new(&program).arg(end_js()));
    assert_eq!(facts.runtime, node(&version, NodeEvidence::ElfSymbol));
    assert_eq!(facts.script.as_deref(), end_js().to_str());
}

#[test]
fn node_18_is_told() {
    need!(NodeMajor(18));
    every_version_is_told(18);
}

#[test]
fn node_20_is_told() {
    need!(NodeMajor(20));
    every_version_is_told(20);
}

#[test]
fn node_22_is_told() {
    need!(NodeMajor(22));
    every_version_is_told(22);
}

#[test]
fn node_24_is_told() {
    need!(NodeMajor(24));
    every_version_is_told(24);
}

#[test]
fn node_26_is_told() {
    need!(NodeMajor(26));
    every_version_is_told(26);
}

#[test]
fn arguments_environment_and_package_are_read() {
    need!(Node);
    let mut command = Command::new(places::node().unwrap());
    command
        .current_dir(places::fixtures())
        .args([
            "--max-old-space-size=300",
            "--expose-gc",
            "end.js",
            "--sigterm",
            "handle",
        ])
        .env("NODE_OPTIONS", "--max-old-space-size=100 --max-semi-space-size=8")
        .env("OTEL_SERVICE_NAME", "checkout")
        .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret")
        .env("DATABASE_PASSWORD", "secret");
    let facts = facts(&mut command);
    assert_eq!(facts.script.as_deref(), Some("end.js"));
    assert_eq!(facts.cwd.as_deref(), places::fixtures().to_str());
    assert_eq!(
        (facts.heap_flags.max_old_space_mib, facts.heap_flags.max_semi_space_mib),
        (Some(300), Some(8))
    );
    assert_eq!(
        facts.otel.get("OTEL_SERVICE_NAME").map(String::as_str),
        Some("checkout")
    );
    assert!(!serde_json::to_string(&facts).unwrap().contains("secret"));
    let package = facts.package.unwrap();
    assert_eq!(
        (package.name.as_str(), package.version.as_deref()),
        ("observer-fixtures", Some("1.4.2"))
    );
    assert!(!facts.containerised);
}

#[test]
fn a_title_hides_neither_node_nor_its_environment() {
    need!(Node);
    let program = places::node().unwrap();
    let mut command = Command::new(&program);
    command
        .arg(end_js())
        .args(["--title", "next-server (v1) S 1 1"])
        .env("OTEL_SERVICE_NAME", "checkout");
    let facts = facts(&mut command);
    assert_eq!(facts.runtime, node(&version_of(&program), NodeEvidence::ElfSymbol));
    assert!(facts.comm.starts_with("next-server"), "{}", facts.comm);
    assert_eq!(facts.script, None, "the title is not a script");
    assert_eq!(facts.otel.len(), 1);
}

#[test]
fn node_under_another_name_and_stripped_is_node() {
    need!(Node, Program("strip"));
    let program = places::node().unwrap();
    let scratch = stage::Scratch::new("stripped").unwrap();
    let copy = scratch.file("datanode");
    fs::copy(&program, &copy).unwrap();
    assert!(Command::new("strip").arg(&copy).status().unwrap().success());
    let facts = facts(Command::new(&copy).arg(end_js()));
    assert_eq!(facts.runtime, node(&version_of(&program), NodeEvidence::ElfSymbol));
}

#[test]
fn node_whose_file_was_replaced_while_it_ran_is_node() {
    need!(Node);
    let program = places::node().unwrap();
    let scratch = stage::Scratch::new("replaced").unwrap();
    let copy = scratch.file("node");
    fs::copy(&program, &copy).unwrap();
    let mut app = App::start(Command::new(&copy).arg(end_js())).unwrap();
    app.ready().unwrap();
    fs::remove_file(&copy).unwrap();
    fs::copy("/bin/sleep", &copy).unwrap();
    let facts = inspect(app.pid());
    assert_eq!(facts.runtime, node(&version_of(&program), NodeEvidence::ElfSymbol));
    assert!(facts.exe.ends_with("/node (deleted)"), "{}", facts.exe);
}

#[test]
fn what_is_only_called_node_is_none() {
    let scratch = stage::Scratch::new("impostors").unwrap();
    let program = scratch.file("node");
    fs::copy(places::program("sleep").unwrap(), &program).unwrap();
    let app = App::start(Command::new(&program).arg("1000")).unwrap();
    // It may not have replaced its wrapper yet: the wrapper is no Node.js either.
    assert_eq!(inspect(app.pid()).runtime, Runtime::Other);

    let script = scratch.file("nodejs");
    fs::write(&script, "#!/bin/sh\necho '{\"ready\":true}'\nread line\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(facts(&mut Command::new(&script)).runtime, Runtime::Other);
}

#[test]
fn a_single_executable_application_is_node() {
    need!(NodeMajor(26));
    let builder = places::cached_node(26).unwrap();
    let scratch = stage::Scratch::new("sea").unwrap();
    fs::copy(end_js(), scratch.file("main.js")).unwrap();
    let source = fs::read_to_string(scratch.file("main.js")).unwrap();
    let bundled = source.replace(
        "require('./lib/arguments.js')({ title: '', sigterm: 'default' })",
        "{ title: '' }",
    );
    assert_ne!(source, bundled, "the fixture no longer begins as this test expects");
    fs::write(scratch.file("main.js"), bundled).unwrap();
    fs::write(scratch.file("sea.json"), r#"{"main": "main.js", "output": "service"}"#).unwrap();
    let built = Command::new(&builder)
        .current_dir(scratch.path())
        .args(["--build-sea", "sea.json"])
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let facts = facts(&mut Command::new(scratch.file("service")));
    assert_eq!(
        facts.runtime,
        node(&version_of(&builder), NodeEvidence::SingleExecutable)
    );
}

/// A distribution's build in small: a `node` that imports `node::Start` from a `libnode.so.N` it needs.
#[test]
fn a_distributions_node_is_told_by_its_libnode() {
    need!(Program("cc"));
    let scratch = stage::Scratch::new("libnode").unwrap();
    let compile = |source: &str, arguments: &[&str]| {
        fs::write(scratch.file("x.c"), source).unwrap();
        let made = Command::new("cc")
            .current_dir(scratch.path())
            .arg("x.c")
            .args(arguments)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    compile(
        r#"const char *browser(void) { return "node.js/v18.20.4"; }
           int start(int argc, char **argv) __asm__("_ZN4node5StartEiPPc");
           int start(int argc, char **argv) { return browser()[0] == 0 || argc < 0; }"#,
        &["-shared", "-fPIC", "-Wl,-soname,libnode.so.108", "-o", "libnode.so.108"],
    );
    compile(
        r#"#include <stdio.h>
           int start(int argc, char **argv) __asm__("_ZN4node5StartEiPPc");
           int main(int argc, char **argv) { puts("{\"ready\":true}"); fflush(stdout); getchar(); return start(argc, argv); }"#,
        &["-L.", "-l:libnode.so.108", "-Wl,-rpath,$ORIGIN", "-o", "service"],
    );
    let facts = facts(&mut Command::new(scratch.file("service")));
    assert_eq!(facts.runtime, node("18.20.4", NodeEvidence::Libnode));
    let library = fs::File::open(scratch.file("libnode.so.108")).unwrap();
    assert!(matches!(
        elf::inspect(&library).unwrap(),
        Image::Node {
            single_executable: false,
            ..
        }
    ));
}

#[test]
fn a_container_is_seen_through_its_own_root() {
    need!(Root, Runc, Node);
    let spec = Spec::fixture("identity", Some(256 * MIB), "end.js", &[]).with("OTEL_SERVICE_NAME", "inside");
    let container = Container::ready(spec, Restart::Never).unwrap();
    let found: Vec<_> = procfs().scan().unwrap().filter_map(Result::ok).collect();
    let facts = found.iter().find(|facts| facts.cgroup == container.cgroup()).unwrap();
    assert!(facts.is_watched() && facts.containerised);
    assert_eq!(facts.ns_pid, 1);
    assert_eq!(facts.script.as_deref(), Some("/app/end.js"));
    assert_eq!(
        facts.package.as_ref().unwrap().name,
        "observer-fixtures",
        "a path of the container's, not the host's"
    );
    assert_eq!(facts.otel.get("OTEL_SERVICE_NAME").map(String::as_str), Some("inside"));
    assert_eq!(container::owner(&facts.cgroup), None, "a tree of this test's own");
}
