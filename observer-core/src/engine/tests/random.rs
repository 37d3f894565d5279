//! Any sequence of Inputs: no panic, bounded memory, the same findings again, and the same engine after a restart.

use proptest::{collection::vec, option, prelude::*};

use super::{
    Engine, LEAKY, World,
    names::{named, pod_cgroup},
    node,
};
use crate::{
    Input, What,
    input::Lost,
    kernel::{ExitStatus, KernelEvent, OomVictim, Signal},
    process::{ProcessFacts, ProcessKey, Runtime},
    recording::replay,
    sample::{CgroupLevel, Growth, Limit, Sample},
    time::{Anchor, BootTime, SECOND, WallTime},
};

fn key() -> impl Strategy<Value = ProcessKey> {
    (0..6_u32, 0..4_u64).prop_map(|(pid, start)| ProcessKey {
        pid,
        start: start * 5_000,
    })
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(LEAKY.to_owned()),
        Just("/a".to_owned()),
        Just("/a/b".to_owned()),
        (1..4_u8, 0..2_u8).prop_map(|(n, pod)| pod_cgroup(&uid(pod), n)),
        Just("/system.slice/api.service".to_owned()),
        Just("/".to_owned()),
        Just(String::new()),
    ]
}

fn facts() -> impl Strategy<Value = What> {
    (
        key(),
        key(),
        path(),
        any::<bool>(),
        any::<bool>(),
        0..3_u32,
        option::of("[a-z/=%,2-4]{0,12}"),
    )
        .prop_map(|(key, parent, cgroup, containerised, is_node, ns_pid, otel)| {
            let mut facts = ProcessFacts {
                parent,
                ns_pid,
                containerised,
                ..node(key, &cgroup)
            };
            if !is_node {
                facts.runtime = Runtime::Other;
            }
            facts
                .otel
                .extend(otel.map(|text| ("OTEL_RESOURCE_ATTRIBUTES".to_owned(), text)));
            What::Process(Box::new(facts))
        })
}

/// Bytes as they come, and as they should not.
fn bytes() -> impl Strategy<Value = u64> {
    prop_oneof![0..1_000_000_000_u64, Just(0), Just(u64::MAX), Just(1 << 63)]
}

fn sample() -> impl Strategy<Value = What> {
    let level = (
        bytes(),
        bytes(),
        option::of((bytes(), path())),
        option::of(bytes()),
        option::of(0..5_u64),
    );
    let growth = option::of(vec((bytes(), bytes()), 0..7));
    (key(), option::of(bytes()), option::of(level), growth).prop_map(|(process, rss, level, growth)| {
        What::Sample(Box::new(Sample {
            process,
            rss,
            rss_anon: rss,
            cgroup: level.map(|(usage, anon, limit, peak, oom_kills)| CgroupLevel {
                usage,
                anon,
                limit: limit.map(|(bytes, cgroup)| Limit { bytes, cgroup }),
                peak,
                oom_kills,
                ..CgroupLevel::default()
            }),
            growth: growth.map(|g| g.into_iter().map(|(grown, shrunk)| Growth { grown, shrunk }).collect()),
        }))
    })
}

fn status() -> impl Strategy<Value = Option<ExitStatus>> {
    option::of(prop_oneof![
        any::<u8>().prop_map(ExitStatus::Code),
        (1..65_u8).prop_map(ExitStatus::Signal)
    ])
}

fn edge() -> impl Strategy<Value = What> {
    let comm = || "node".to_owned();
    prop_oneof![
        (key(), 0..6_u32).prop_map(move |(process, ppid)| KernelEvent::Exec {
            process,
            ppid,
            comm: comm()
        }),
        (key(), 0..6_u32).prop_map(|(process, ppid)| KernelEvent::Fork { process, ppid }),
        (key(), status(), option::of(bytes())).prop_map(move |(process, status, peak_rss)| KernelEvent::Exit {
            process,
            status,
            comm: comm(),
            peak_rss,
            max_rss: peak_rss,
        }),
        (key(), 0..9_u32, option::of(bytes())).prop_map(move |(process, tid, anon)| KernelEvent::OomVictim(
            OomVictim {
                process,
                tid,
                comm: comm(),
                anon,
                file: None,
                shmem: None,
                pgtables: None,
                oom_score_adj: None,
            }
        )),
        (key(), 0..65_u8, -6..2_i32, any::<bool>()).prop_map(move |(target, signal, code, delivered)| {
            KernelEvent::Signal(Signal {
                target,
                signal,
                code,
                delivered,
                sender_pid: 3,
                sender_comm: comm(),
            })
        }),
        path().prop_map(|path| KernelEvent::CgroupRelease { root: 0, id: 1, path }),
    ]
    .prop_map(What::Kernel)
}

fn uid(n: u8) -> String {
    format!("{n}f2e9d5c-1b3a-4c6d-8e7f-9a0b1c2d3e4f")
}

fn names() -> impl Strategy<Value = What> {
    (0..4_u8, 0..2_u8, 0..3_u8, any::<bool>(), any::<bool>()).prop_map(|(n, pod, version, deleted, terminating)| {
        let mut facts = named(n, &uid(pod), &version.to_string());
        facts.deleted = deleted;
        if let Some(pod) = &mut facts.pod {
            pod.terminating = terminating;
        }
        What::Container(Box::new(facts))
    })
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        4 => edge(),
        3 => facts(),
        2 => names(),
        3 => sample(),
        1 => key().prop_map(What::Vanished),
        1 => (path(), 0..9_u64).prop_map(|(cgroup, count)| What::OomKills { cgroup, count }),
        1 => Just(What::Tick),
        1 => Just(What::End),
        1 => any::<bool>().prop_map(|rebooted| {
            let mut first = World::new().inputs.swap_remove(0).what;
            if let What::Begin(begin) = &mut first
                && rebooted
            {
                begin.boot_id = "another".into();
            }
            first
        }),
        1 => any::<u64>().prop_map(|count| What::Lost(Lost { stage: "ring".into(), kind: String::new(), count })),
        1 => any::<u64>().prop_map(|from| What::Gap { from: BootTime(from), reason: "no reason".into() }),
        1 => (any::<u64>(), any::<u64>())
            .prop_map(|(boot, wall)| What::Clock(Anchor { boot: BootTime(boot), wall: WallTime(wall) })),
    ]
}

/// Time mostly goes on, sometimes back, and once in a while to its end.
fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let step = prop_oneof![20 => 0..30_u64, 1 => Just(u64::MAX / SECOND)];
    vec((step, any::<bool>(), what()), 0..120).prop_map(|steps| {
        let mut inputs = World::new().inputs;
        let mut now = 100_u64;
        for (step, back, what) in steps {
            now = if back {
                now.saturating_sub(step / 3)
            } else {
                now.saturating_add(step)
            };
            inputs.push(Input {
                at: BootTime(now.saturating_mul(SECOND)),
                what,
            });
        }
        inputs
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(160) })]

    #[test]
    fn any_sequence_is_survived_and_gives_the_same_findings_again(inputs in inputs()) {
        let json = |findings: Vec<crate::Finding>| serde_json::to_string(&findings).expect("findings are JSON");
        let once = json(replay(inputs.iter().cloned()).collect());
        let again = json(replay(inputs.iter().cloned()).collect());
        prop_assert_eq!(&once, &again);
    }

    /// What was recorded and read back is what was stepped.
    #[test]
    fn a_recording_read_back_gives_the_same_findings(inputs in inputs()) {
        let live: Vec<_> = replay(inputs.iter().cloned()).collect();
        let read = inputs.iter().map(|input| {
            let line = serde_json::to_string(input).expect("an Input is JSON");
            serde_json::from_str::<Input>(&line).expect("and can be read back")
        });
        let replayed: Vec<_> = replay(read).collect();
        prop_assert_eq!(live, replayed);
    }

    /// Put away in the middle and taken out again, the engine goes on as if nothing had happened.
    #[test]
    fn an_engine_put_away_and_taken_out_goes_on(inputs in inputs(), cut in 0..120_usize) {
        let mut stays = Engine::new();
        let mut goes = Engine::new();
        for (i, input) in inputs.iter().enumerate() {
            if i == cut {
                let state = serde_json::to_string(&goes).expect("an engine is JSON");
                goes = serde_json::from_str(&state).expect("and can be read back");
            }
            prop_assert_eq!(stays.step(input), goes.step(input));
        }
    }

    /// Whatever is left out or told in another order, members of a container are alive and known.
    #[test]
    fn the_registry_stays_consistent(inputs in inputs()) {
        let mut engine = Engine::new();
        for input in &inputs {
            engine.step(input);
            prop_assert_eq!(engine.inconsistency(), None);
        }
    }
}
