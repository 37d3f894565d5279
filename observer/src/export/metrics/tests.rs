//! Names of what goes out, and how many series there are when very many containers come and go.

use std::collections::BTreeSet;

use observer_core::{
    Engine, Input, What,
    input::{Begin, Settings},
    kernel::{ExitStatus, KernelEvent},
    process::{HeapFlags, NodeEvidence, ProcessFacts, ProcessKey, Runtime},
    telemetry,
    time::{Anchor, BootTime, USER_HZ, WallTime},
};

use super::*;
use crate::{agent::AgentView, export::prometheus};

const ALIVE: u64 = 100;

fn facts(nth: u64, cgroup: String) -> ProcessFacts {
    ProcessFacts {
        key: ProcessKey {
            pid: nth as u32 + 10,
            start: nth * USER_HZ,
        },
        parent: ProcessKey { pid: 1, start: 1 },
        runtime: Runtime::Node {
            version: Some("20.20.0".into()),
            evidence: NodeEvidence::ElfSymbol,
        },
        comm: "node".into(),
        exe: "/usr/bin/node".into(),
        script: Some("/app/server.js".into()),
        cwd: Some("/app".into()),
        heap_flags: HeapFlags::default(),
        otel: std::collections::BTreeMap::new(),
        package: None,
        cgroup,
        ns_pid: 1,
        containerised: true,
    }
}

fn snapshot(engine: &Engine) -> Snapshot {
    Snapshot {
        agent: AgentView::default(),
        began: WallTime(1),
        now: WallTime(engine.now().0),
        counting_since: engine.counting_since(),
        workloads: engine.workloads(),
    }
}

fn series(engine: &Engine) -> BTreeSet<String> {
    let text = prometheus::text(&workloads(&snapshot(engine)));
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, _)| series.to_owned())
        .collect()
}

/// An engine in which one container is born each second, lives for [`ALIVE`] seconds and ends; 10,000 in all.
fn born_and_dead(cgroup: impl Fn(u64) -> String, mut look: impl FnMut(&Engine)) -> Engine {
    let mut engine = Engine::new();
    let step = |engine: &mut Engine, second: u64, what: What| {
        engine.step(&Input {
            at: BootTime(second * SECOND),
            what,
        });
    };
    let begin = Begin {
        format: 1,
        agent: String::new(),
        boot_id: "boot".into(),
        host: "host".into(),
        clock: Anchor::default(),
        sample_interval_s: 1.0,
        host_memory: 1 << 34,
        cgroup_version: 2,
        settings: Settings::default(),
    };
    step(&mut engine, 0, What::Begin(Box::new(begin)));
    for nth in 1..10_000 {
        step(&mut engine, nth, What::Process(Box::new(facts(nth, cgroup(nth)))));
        if let Some(old) = nth.checked_sub(ALIVE) {
            let exit = KernelEvent::Exit {
                process: facts(old, String::new()).key,
                status: Some(ExitStatus::Code(0)),
                comm: "node".into(),
                peak_rss: None,
                max_rss: None,
            };
            step(&mut engine, nth, What::Kernel(exit));
        }
        step(&mut engine, nth, What::Tick);
        if nth % 1_000 == 0 {
            look(&engine);
        }
    }
    engine
}

#[test]
fn resource_attributes_of_the_environment_are_percent_decoded_and_all_or_none() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        told_attributes("a=b%2Cc, deployment.environment.name=test ,"),
        [pair("a", "b,c"), pair("deployment.environment.name", "test")]
    );
    for wrong in ["", "a", "a=b,c", "=b", "a=%ff"] {
        assert_eq!(told_attributes(wrong), [], "{wrong}");
    }
}

/// Each with a name of its own: series of the living, and for a quarter of an hour counts of the dead.
#[test]
fn ten_thousand_containers_leave_no_series() {
    let mut most = 0;
    let mut engine = born_and_dead(
        |nth| format!("/docker/{nth:064x}"),
        |engine| most = most.max(series(engine).len()),
    );
    let a_run = 8 + 1;
    let counts = 4 + 1;
    let bound = ALIVE as usize * (a_run + counts) + (LINGER / SECOND) as usize * counts;
    assert!(most <= bound, "{most} series, {bound} expected at most");
    engine.step(&Input {
        at: BootTime(12_000 * SECOND),
        what: What::Tick,
    });
    let left = series(&engine).len();
    assert!(left <= ALIVE as usize * (a_run + counts), "{left} series of the living");
}

#[test]
fn every_name_that_goes_out_is_in_the_reference_and_the_sdk_knows_the_agents_own() {
    let (names, attributes) = telemetry::metrics_reference();
    let known: BTreeSet<&str> = names.iter().map(|(name, _)| *name).collect();
    let mut keys: BTreeSet<&str> = attributes.iter().map(|(name, _)| *name).collect();
    keys.extend([semconv::EXIT_CAUSE, semconv::CEILING_KIND]);
    let engine = born_and_dead(|nth| format!("/demo/{}", nth % 7), |_| {});
    let mut shown = snapshot(&engine);
    shown.agent.hooks = vec![("exec".into(), "tp_btf".into())];
    shown.agent.evicted = vec![("slots".into(), 1)];
    shown.agent.lost = vec![observer_core::input::Lost {
        stage: "ring".into(),
        kind: "exec".into(),
        count: 1,
    }];
    shown.agent.export = vec![crate::agent::LaneView::default()];
    shown.agent.store = Some(crate::agent::StoreView::default());
    let groups = groups(&shown);
    for point in groups.iter().flat_map(|group| &group.points) {
        assert!(known.contains(point.metric.name), "{}", point.metric.name);
        for (key, _) in &point.attributes {
            assert!(keys.contains(key), "{key} of {}", point.metric.name);
        }
    }
    let own: BTreeSet<&str> = own(&shown.agent).iter().map(|point| point.metric.name).collect();
    assert_eq!(own, OWN.iter().map(|metric| metric.name).collect());
}
