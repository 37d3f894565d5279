//! Releases of which the API server tells when their containers have ended: what becomes known is no rollout, what changed is one.

use super::{
    CODE_0, World, key,
    names::pod_cgroup,
    node,
    rollouts::{told, uid},
};
use crate::{container_facts::ContainerFacts, identity::Version};

/// The API server is slow or away: containers of a pod end before it tells of them, and what they were is known by their image's
/// name only.
#[test]
fn a_release_that_becomes_known_better_is_no_rollout() {
    // How many containers end before the API server tells, and whether it does before or after the next one begins.
    for (ended, after) in [(1, false), (1, true), (3, false), (3, true)] {
        let mut world = World::new();
        for n in 0..=ended {
            let (api, engine) = told(0, n, "1.0.0");
            let pid = key(10 + u32::from(n), 100 + 60 * u64::from(n));
            world.at(100 + 60 * u64::from(n));
            if n == ended && !after {
                world.named(told(0, n - 1, "1.0.0").0).named(api.clone());
            }
            world.named(engine).start(node(pid, &pod_cgroup(&uid(0), n)));
            if n == ended {
                world.at(105 + 60 * u64::from(n)).named(api);
            } else {
                world
                    .at(150 + 60 * u64::from(n))
                    .signal(pid, 15, 0, true, (7, "runc"))
                    .exit(pid, CODE_0);
            }
        }
        world.at(400);
        let edges = world.edges();
        let restarts = edges.iter().filter(|edge| edge.starts_with("restart")).count();
        assert_eq!(restarts, usize::from(ended), "{edges:?}");
        assert!(!edges.iter().any(|edge| edge.contains("rollout")), "{edges:?}");
        let view = world.engine.workloads();
        let checkout = view
            .iter()
            .find(|w| w.workload.kind == "Deployment")
            .expect("the workload");
        let releases: Vec<_> = checkout.releases.iter().map(|r| (r.version.clone(), r.live)).collect();
        assert_eq!(releases, [(Some(Version("1.0.0".into())), 1)], "{ended} {after}");
        let versions = checkout.slots[0].ended.iter().map(|run| run.version.clone());
        assert!(
            versions.eq(vec![Some(Version("1.0.0".into())); usize::from(ended)]),
            "{ended} {after}"
        );
    }
}

/// An image of another name is another release, however little was known of the one before.
#[test]
fn another_image_in_the_same_pod_is_a_rollout_though_the_first_was_known_by_its_name_only() {
    let mut world = World::new();
    let (_, engine) = told(0, 0, "1.0.0");
    let pid = key(10, 100);
    world
        .named(engine)
        .start(node(pid, &pod_cgroup(&uid(0), 0)))
        .at(150)
        .signal(pid, 15, 0, true, (7, "runc"))
        .exit(pid, CODE_0);
    let (api, engine) = told(0, 1, "1.1.0");
    let next = |facts| ContainerFacts {
        image: Some("shop/checkout:next".into()),
        ..facts
    };
    world
        .at(160)
        .named(next(engine))
        .start(node(key(11, 160), &pod_cgroup(&uid(0), 1)))
        .at(162)
        .named(next(api))
        .at(200);
    assert!(
        world.edges().contains(&"restart run 2 after rollout".to_owned()),
        "{:?}",
        world.edges()
    );
}
