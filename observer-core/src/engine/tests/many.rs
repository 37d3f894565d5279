//! A thousand pods on a node, and ten thousand that come and go: what is kept stays bounded, and nothing is said under the
//! name of a pod that is no more.

use super::{CODE_0, KILLED, World, key, node};
use crate::container_facts::{ContainerFacts, Origin, OwnerRef, PodFacts};

const PODS: usize = 1_000;
const CHANGES: usize = 10_000;

fn uid(n: usize) -> String {
    format!("{n:08x}-1b3a-4c6d-8e7f-9a0b1c2d3e4f")
}

fn cgroup(n: usize) -> String {
    format!("/kubepods/burstable/pod{}/{n:064x}", uid(n))
}

fn told(n: usize) -> ContainerFacts {
    ContainerFacts {
        id: format!("{n:064x}"),
        name: "api".into(),
        origin: Origin::Kubernetes,
        pod: Some(PodFacts {
            uid: uid(n),
            name: format!("pod-{n}"),
            namespace: "shop".into(),
            // Forty Deployments: names of owners repeat, names of pods do not.
            owners: vec![OwnerRef {
                kind: "Deployment".into(),
                name: format!("service-{}", n % 40),
                uid: None,
            }],
            ..PodFacts::default()
        }),
        ..ContainerFacts::default()
    }
}

#[test]
fn ten_thousand_pods_leave_what_a_thousand_need_and_no_wrong_name() {
    let mut world = World::new();
    let pid = |n: usize| key(10 + n as u32, 100 + n as u64 / 10);
    let mut kilobytes = Vec::new();
    for n in 0..PODS + CHANGES {
        let second = 100 + n as u64 / 10;
        if world.now.0 < second * crate::time::SECOND {
            world.at(second);
        }
        // The pod before it in its place goes; of some nobody tells that they are gone.
        if let Some(old) = n.checked_sub(PODS) {
            if old % 50 == 0 {
                world.mark(pid(old)).exit(pid(old), KILLED);
            } else {
                world.exit(pid(old), CODE_0);
            }
            if old % 7 != 0 && old % 11 != 0 {
                world.named(ContainerFacts {
                    deleted: true,
                    ..told(old)
                });
            }
        }
        // Every third is told of late, every eleventh never.
        let (late, never) = (n % 3 == 0, n % 11 == 0);
        if !late && !never {
            world.named(told(n));
        }
        world.start(node(pid(n), &cgroup(n)));
        if late && !never {
            world.named(told(n));
        }
        if n % (PODS * 2) == PODS {
            world.requests.clear();
            world.inputs.clear();
            let state = serde_json::to_vec(&world.engine).expect("the state can be written");
            kilobytes.push(state.len() / 1024);
        }
    }
    world.at(100 + (PODS + CHANGES) as u64);

    let counts = world.engine.counts();
    assert!(counts.containers <= PODS, "{}", counts.containers);
    assert!(counts.processes <= 2 * PODS, "{}", counts.processes);
    // What is idle makes room. Only names of which nobody said that they are gone add up, to 4,096 of them.
    assert!(kilobytes[4] <= kilobytes[1] * 5 / 4, "state of {kilobytes:?} KiB");

    let mut kills = 0;
    for finding in &world.findings {
        let Some(subject) = &finding.subject else { continue };
        let of = |name: &str| subject.resource.get(name).map(String::as_str);
        let container = of("container.id").expect("an id");
        let n = usize::from_str_radix(container.trim_start_matches('0'), 16).unwrap_or(0);
        assert_eq!(of("k8s.pod.uid"), Some(uid(n).as_str()));
        let name = (n % 11 != 0).then(|| format!("pod-{n}"));
        assert_eq!(of("k8s.pod.name"), name.as_deref(), "pod {n}");
        let owner = (n % 11 != 0).then(|| format!("service-{}", n % 40));
        assert_eq!(of("k8s.deployment.name"), owner.as_deref(), "pod {n}");
        kills += usize::from(finding.event.kind() == "oom_kill");
    }
    assert_eq!(kills, CHANGES / 50);
}
