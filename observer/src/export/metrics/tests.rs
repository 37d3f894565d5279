//! Names of what goes out, and how many series there are when very many containers come and go.

use std::collections::BTreeSet;

use observer_common::growth::PLACES;
use observer_core::{
    Engine, Input, What,
    container_facts::{ContainerFacts, Origin, PodFacts},
    input::{Begin, Settings},
    kernel::{ExitStatus, KernelEvent},
    process::{HeapFlags, NodeEvidence, ProcessFacts, ProcessKey, Runtime},
    sample::{CgroupLevel, Growth, Limit, Sample},
    semconv, telemetry,
    time::{Anchor, BootTime, SECOND, USER_HZ, WallTime},
};

use super::{counts::LINGER, resource::parse_attributes, *};
use crate::{export::prometheus, snapshot::AgentView};

const ALIVE: u64 = 100;

/// The pod's cgroup, which has the limit.
const POD: &str = "/kubepods/burstable/pod0b9a3c1e-1111-2222-3333-444455556666";

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
        published: std::collections::BTreeMap::new(),
        package: None,
        cgroup,
        ns_pid: 1,
        containerised: true,
        limit_cgroup: None,
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

fn begun() -> Engine {
    let mut engine = Engine::new();
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
    engine
}

fn step(engine: &mut Engine, second: u64, what: What) {
    engine.step(&Input {
        at: BootTime(second * SECOND),
        what,
    });
}

fn exit(nth: u64) -> What {
    What::Kernel(KernelEvent::Exit {
        process: facts(nth, String::new()).key,
        status: Some(ExitStatus::Code(1)),
        comm: "node".into(),
        peak_rss: None,
        max_rss: None,
    })
}

/// A level of the `nth` process, within a limit.
fn level(nth: u64, anon: u64) -> What {
    What::Sample(Box::new(Sample {
        process: facts(nth, String::new()).key,
        rss: Some(anon),
        rss_anon: Some(anon),
        cgroup: Some(CgroupLevel {
            usage: anon,
            anon,
            limit: Some(Limit {
                bytes: 1 << 30,
                cgroup: POD.into(),
            }),
            ..CgroupLevel::default()
        }),
        growth: Some(vec![Growth::default(); PLACES]),
    }))
}

/// What Kubernetes says of the `nth` container.
fn named(nth: u64) -> What {
    What::Container(Box::new(ContainerFacts {
        id: format!("{nth:064x}"),
        name: "api".into(),
        origin: Origin::Kubernetes,
        image: Some("shop/api:1".into()),
        repo_digest: Some("docker.io/shop/api@sha256:ab".into()),
        pod: Some(PodFacts {
            uid: "0b9a3c1e-1111-2222-3333-444455556666".into(),
            name: "api-1".into(),
            namespace: "shop".into(),
            ..PodFacts::default()
        }),
        restart_count: Some(nth as u32),
        memory_limit: Some(1 << 30),
        memory_limit_desired: Some(1 << 30),
        ..ContainerFacts::default()
    }))
}

/// A container's cgroup in one pod, under an id of its own.
fn in_pod(nth: u64) -> String {
    format!("{POD}/{nth:064x}")
}

/// An engine in which one container is born each second, lives for [`ALIVE`] seconds and ends; 10,000 in all.
fn born_and_dead(cgroup: impl Fn(u64) -> String, mut look: impl FnMut(&Engine)) -> Engine {
    let mut engine = begun();
    for nth in 1..10_000 {
        step(&mut engine, nth, What::Process(Box::new(facts(nth, cgroup(nth)))));
        if let Some(old) = nth.checked_sub(ALIVE) {
            step(&mut engine, nth, exit(old));
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
        parse_attributes("a=b%2Cc, deployment.environment.name=test ,"),
        [pair("a", "b,c"), pair("deployment.environment.name", "test")]
    );
    for wrong in ["", "a", "a=b,c", "=b", "a=%ff"] {
        assert_eq!(parse_attributes(wrong), [], "{wrong}");
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
    let counts = 8 + 1;
    let bound = ALIVE as usize * (a_run + counts) + (LINGER / SECOND) as usize * counts;
    assert!(most <= bound, "{most} series, {bound} expected at most");
    engine.step(&Input {
        at: BootTime(12_000 * SECOND),
        what: What::Tick,
    });
    let left = series(&engine).len();
    assert!(left <= ALIVE as usize * (a_run + counts), "{left} series of the living");
}

/// A container that lives for hours has all that a run has: this many series, which docs/fleet.md counts with.
#[test]
fn a_container_has_at_most_this_many_series() {
    let mut engine = begun();
    step(&mut engine, 1, What::Process(Box::new(facts(1, in_pod(1)))));
    step(&mut engine, 1, named(1));
    for minute in 1..120 {
        step(&mut engine, 60 * minute, level(1, (100 << 20) + minute * 4_096));
    }
    let all = series(&engine);
    let pooled = all
        .iter()
        .filter(|series| series.contains("observer_workload=") && series.contains("instance=\"shop.api-1.api\""));
    let of_run = pooled.count();
    // Level, floor, two ceilings, slope, its error, late, its span, five places, state, uptime. The time to the ceiling
    // and a learned ceiling come and go.
    assert_eq!(of_run, 15, "{all:#?}");
    // Five levels by convention, the limit in force and asked for, Kubernetes' restarts; the workload's three totals, its version's first sight and three causes of
    // death; the target of each.
    assert_eq!(all.len(), of_run + 8 + 7 + 2, "{all:#?}");
}

/// A service that restarts every minute, in a container with an id of its own each time: the same series a day later.
#[test]
fn a_restart_makes_no_new_series() {
    let mut engine = begun();
    let mut ever = BTreeSet::new();
    let mut after_an_hour = 0;
    for minute in 1..1_440 {
        let start = 60 * minute;
        step(
            &mut engine,
            start,
            What::Process(Box::new(facts(start, in_pod(minute)))),
        );
        for second in (1..50).step_by(10) {
            step(&mut engine, start + second, level(start, (100 + second) << 20));
        }
        ever.extend(series(&engine));
        step(&mut engine, start + 50, exit(start));
        step(&mut engine, start + 55, What::Tick);
        ever.extend(series(&engine));
        if minute == 60 {
            after_an_hour = ever.len();
        }
    }
    assert!(after_an_hour > 20, "{ever:#?}");
    assert_eq!(ever.len(), after_an_hour, "{ever:#?}");
}

#[test]
fn every_name_that_goes_out_is_in_the_reference_and_the_sdk_knows_the_agents_own() {
    let (names, attributes) = telemetry::metrics_reference();
    let known: BTreeSet<&str> = names.iter().map(|(name, _)| *name).collect();
    let mut keys: BTreeSet<&str> = attributes.iter().map(|(name, _)| *name).collect();
    keys.extend([semconv::EXIT_CAUSE, semconv::CEILING_KIND, semconv::SERVICE_VERSION]);
    let mut engine = born_and_dead(|nth| format!("/demo/{}", nth % 7), |_| {});
    step(&mut engine, 10_000, What::Process(Box::new(facts(10_000, in_pod(1)))));
    step(&mut engine, 10_000, named(1));
    for minute in 1..60 {
        step(
            &mut engine,
            10_000 + 60 * minute,
            level(10_000, (100 << 20) + minute * 4_096),
        );
    }
    let mut shown = snapshot(&engine);
    shown.agent.hooks = vec![("exec".into(), "tp_btf".into())];
    shown.agent.evicted = vec![("slots".into(), 1)];
    shown.agent.oom_marks = vec![("unwatched".into(), 1)];
    shown.agent.lost = vec![observer_core::input::Lost {
        stage: "ring".into(),
        kind: "exec".into(),
        count: 1,
    }];
    shown.agent.export = vec![crate::snapshot::ExporterView::default()];
    shown.agent.store = Some(crate::snapshot::StoreView::default());
    let groups = groups(&shown);
    for point in groups.iter().flat_map(|group| &group.points) {
        assert!(known.contains(point.metric.name), "{}", point.metric.name);
        for (key, _) in &point.attributes {
            assert!(keys.contains(key), "{key} of {}", point.metric.name);
        }
    }
    // Every metric of the conventions that goes out is of the published instrument and unit, and all of them went out.
    let sent: BTreeSet<(&str, String)> = groups
        .iter()
        .flat_map(|group| &group.points)
        .filter(|point| !point.metric.name.starts_with("observer."))
        .map(|Point { metric, .. }| {
            let instrument = match metric.kind {
                Kind::Gauge => "gauge",
                Kind::UpDown => "updowncounter",
                Kind::Counter => "counter",
            };
            (metric.name, format!("{instrument} {}", metric.unit))
        })
        .collect();
    let published = names
        .iter()
        .filter_map(|(name, _)| Some((*name, semconv::published::metric(name)?.kind.to_owned())));
    assert_eq!(sent, published.collect());
    let own: BTreeSet<&str> = own(&shown.agent).iter().map(|point| point.metric.name).collect();
    assert_eq!(own, OWN.iter().map(|metric| metric.name).collect());
}
