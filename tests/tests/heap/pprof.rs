//! Growth as a profile, read by pprof itself.

use observer_tests::stage::Scratch;

use super::*;

#[test]
fn pprof_reads_the_growth_by_what_holds_it() {
    need!(Root, Bpf, Node, Program("go"));
    let app = start(&places::node().unwrap(), "listener-per-connection.js");
    let directory = Scratch::new("pprof").unwrap();
    let file = directory.file("growth.pb.gz");
    let status = Command::new(places::agent())
        .args(["heap", &app.pid().to_string(), "--diff", "3s", "--pprof"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let pprof = |options: &[&str]| {
        let output = Command::new("go")
            .args(["tool", "pprof"])
            .args(options)
            .arg(&file)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // What is held stands first, its holders behind it, as callers do.
    let traces = pprof(&["-traces", "-sample_index=inuse_space"]);
    let at = |name: &str| traces.find(name).unwrap_or_else(|| panic!("no {name}: {traces}"));
    assert!(at("onUserMessage()") < at("EventEmitter._events"), "{traces}");
    assert!(at("EventEmitter._events") < at("bus in "), "{traces}");
    // All that hangs at `bus` is its: most of the growth.
    let top = pprof(&["-top", "-cum", "-unit=B", "-sample_index=inuse_space"]);
    assert!(top.contains("bus in "), "{top}");
    let objects = pprof(&["-raw", "-sample_index=inuse_objects"]);
    assert!(objects.contains("inuse_objects/count inuse_space/bytes"), "{objects}");
}
