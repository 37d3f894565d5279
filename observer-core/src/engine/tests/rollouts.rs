//! Several versions of a Deployment on one node: a leak that comes and goes with them, a canary, a rollback; with the
//! names there before the processes, and as on a real node a second after them.

use super::{
    CODE_0, KILLED, World, key,
    names::{UID, id, named, pod_cgroup},
    node,
};
use crate::{
    container_facts::{ContainerFacts, Origin, PodFacts},
    detect::{State, Verdict},
    exit::Cause::{KernelOom, Rollout},
    finding::{Event, Finding},
    process::ProcessKey,
};

const MINUTE: u64 = 60;

/// What the API server says, and what containerd's files say: no owner, no labels, an image all versions share.
pub(super) fn told(pod: u8, container: u8, version: &str) -> (ContainerFacts, ContainerFacts) {
    let uid = uid(pod);
    let mut api = ContainerFacts {
        origin: Origin::Kubernetes,
        image: Some("shop/checkout:stable".into()),
        ..named(container, &uid, version)
    };
    if let Some(pod) = &mut api.pod {
        pod.labels.insert("app.kubernetes.io/version".into(), version.into());
    }
    let engine = ContainerFacts {
        origin: Origin::Engine,
        id: id(container),
        name: "api".into(),
        image: Some("shop/checkout:stable".into()),
        pod: Some(PodFacts {
            uid,
            name: format!("checkout-{version}-x"),
            namespace: "shop".into(),
            ..PodFacts::default()
        }),
        ..ContainerFacts::default()
    };
    (api, engine)
}

pub(super) fn uid(pod: u8) -> String {
    format!("{pod}{}", &UID[1..])
}

/// A node on which pods live one after another.
struct Node {
    world: World,
    now: u64,
    late: bool,
}

impl Node {
    fn new(late: bool) -> Self {
        Self {
            world: World::new(),
            now: 100,
            late,
        }
    }

    /// A container of a pod starts; its names are told before or after its process.
    fn start(&mut self, pod: u8, container: u8, version: &str) -> ProcessKey {
        let pid = key(10 + u32::from(container), self.now);
        let (api, engine) = told(pod, container, version);
        self.world.at(self.now);
        if !self.late {
            self.world.named(api.clone());
        }
        self.world
            .named(engine)
            .start(node(pid, &pod_cgroup(&uid(pod), container)));
        if self.late {
            self.world.at(self.now + 2).named(api);
        }
        pid
    }

    /// It lives for some minutes, and grows or does not, in a container of 4,096 MB.
    fn live(&mut self, pid: ProcessKey, pod: u8, container: u8, minutes: u64, grows: bool) {
        for minute in 1..=minutes {
            let level = if grows {
                60 + minute * 4_000 / minutes
            } else {
                60 + minute % 3
            };
            self.world
                .at(self.now + minute * MINUTE)
                .sample(pid, &pod_cgroup(&uid(pod), container), level, 4_096);
        }
        self.now += minutes * MINUTE;
        self.world.at(self.now);
    }

    /// Its pod is deleted because another has taken its place.
    fn retire(&mut self, pid: ProcessKey, pod: u8, container: u8, version: &str) {
        let (mut api, _) = told(pod, container, version);
        if let Some(pod) = &mut api.pod {
            pod.terminating = true;
        }
        self.world
            .at(self.now + 5)
            .named(api.clone())
            .signal(pid, 15, 0, true, (7, "containerd-shim"))
            .exit(pid, CODE_0)
            .at(self.now + 20)
            .named(ContainerFacts { deleted: true, ..api });
        self.now += 20;
    }

    /// It is killed for its memory.
    fn kill(&mut self, pid: ProcessKey) {
        self.world.mark(pid).exit(pid, KILLED).at(self.now + 5);
        self.now += 10;
    }

    /// Pod 0 with version 1.41.3 lives half a day; then pod 1 with 1.42.0, of which so many containers die at their limit and
    /// the next lives: that one.
    fn clean_then_leaking(&mut self, killed: u8) -> ProcessKey {
        let clean = self.start(0, 0, "1.41.3");
        self.live(clean, 0, 0, 12 * 60, false);
        let mut leaking = self.start(1, 1, "1.42.0");
        self.retire(clean, 0, 0, "1.41.3");
        for container in 1..=killed {
            self.live(leaking, 1, container, 6 * 60, true);
            self.kill(leaking);
            leaking = self.start(1, container + 1, "1.42.0");
        }
        self.live(leaking, 1, killed + 1, 30, true);
        leaking
    }

    fn verdicts(&self, state: State) -> Vec<(&Finding, &Verdict)> {
        let all = self.world.findings.iter();
        all.filter_map(|finding| match &finding.event {
            Event::Leak(verdict) if verdict.state == state => Some((finding, &**verdict)),
            _ => None,
        })
        .collect()
    }

    fn rollouts(&self) -> Vec<String> {
        let all = self.world.findings.iter();
        all.filter_map(|finding| match &finding.event {
            Event::Rollout(rollout) => {
                let from = rollout.from.as_ref().map_or("-", |version| version.0.as_str());
                Some(format!("{from} -> {}", rollout.to.0))
            }
            _ => None,
        })
        .collect()
    }
}

#[test]
fn a_leak_that_one_version_brings_and_the_next_one_ends() {
    for late in [false, true] {
        let mut host = Node::new(late);
        let leaking = host.clean_then_leaking(3);
        let fixed = host.start(2, 5, "1.43.0");
        host.retire(leaking, 1, 4, "1.42.0");
        host.live(fixed, 2, 5, 40 * 60, false);

        assert_eq!(
            host.rollouts(),
            ["1.41.3 -> 1.42.0", "1.42.0 -> 1.43.0"],
            "late: {late}"
        );
        let confirmed = host.verdicts(State::Confirmed);
        let [(finding, verdict)] = confirmed[..] else {
            panic!("late: {late}: {confirmed:?}")
        };
        let subject = finding.subject.clone().expect("a subject");
        assert_eq!(
            (subject.workload.kind.as_str(), subject.service()),
            ("Deployment", "checkout")
        );
        assert_eq!(subject.version.as_ref().map(|v| v.0.as_str()), Some("1.42.0"));
        let blame = verdict.blame.clone().expect("a blame");
        assert_eq!(
            blame.introduced_by.map(|v| v.0).as_deref(),
            Some("1.42.0"),
            "{}",
            blame.evidence
        );
        assert_eq!(
            blame.last_clean.map(|v| v.0).as_deref(),
            Some("1.41.3"),
            "{}",
            blame.evidence
        );

        let resolved = host.verdicts(State::Resolved);
        let [(_, verdict)] = resolved[..] else {
            panic!("late: {late}: {resolved:?}")
        };
        let table = verdict.comparison.clone().expect("a table");
        let versions = [table.before.version, table.after.version].map(|v| v.map(|v| v.0));
        assert_eq!(
            versions,
            [Some("1.42.0".to_owned()), Some("1.43.0".to_owned())],
            "late: {late}"
        );
        assert!(table.before.slope_bytes_per_hour > 50.0 * table.after.slope_bytes_per_hour.abs());
        assert!(table.before.peak > 10 * table.after.peak);

        let view = host.world.engine.workloads();
        let [checkout] = &view[..] else {
            panic!("late: {late}: {view:?}")
        };
        let told: Vec<_> = checkout
            .releases
            .iter()
            .map(|r| (r.version.as_ref().map_or("-", |v| v.0.as_str()), r.ends.clone()))
            .collect();
        assert_eq!(
            told,
            [
                ("1.41.3", vec![(Rollout, 1)]),
                ("1.42.0", vec![(KernelOom, 3), (Rollout, 1)]),
                ("1.43.0", vec![]),
            ],
            "late: {late}"
        );
    }
}

/// Two versions alive: the leak is the canary's, and the stable side, which goes on beside it, is not reported.
#[test]
fn a_leaking_canary_is_blamed_and_its_rollback_is_a_rollout_back() {
    for late in [false, true] {
        let mut host = Node::new(late);
        let stable = host.start(0, 0, "1.41.3");
        host.live(stable, 0, 0, 12 * 60, false);
        for container in 1..4 {
            let canary = host.start(1, container, "1.42.0");
            host.live(canary, 1, container, 6 * 60, true);
            // Beside it, the stable one.
            host.world.sample(stable, &pod_cgroup(&uid(0), 0), 61, 4_096);
            host.kill(canary);
        }
        assert_eq!(host.rollouts(), ["1.41.3 -> 1.42.0"], "late: {late}");
        for state in [State::Likely, State::Confirmed] {
            for (finding, verdict) in host.verdicts(state) {
                let version = finding.subject.as_ref().and_then(|s| s.version.clone()).map(|v| v.0);
                assert_eq!(version.as_deref(), Some("1.42.0"), "late: {late}");
                let blame = verdict.blame.clone().expect("a blame");
                assert_eq!(
                    blame.introduced_by.map(|v| v.0).as_deref(),
                    Some("1.42.0"),
                    "{}",
                    blame.evidence
                );
                assert_eq!(
                    blame.last_clean.map(|v| v.0).as_deref(),
                    Some("1.41.3"),
                    "{}",
                    blame.evidence
                );
            }
        }
        assert_eq!(host.verdicts(State::Confirmed).len(), 1, "late: {late}");
        // The canary is taken back: the stable version, which never went, gets its place and nothing is rolled out.
        let (mut gone, _) = told(1, 3, "1.42.0");
        gone.deleted = true;
        host.world.named(gone);
        let second = host.start(2, 5, "1.41.3");
        host.live(second, 2, 5, 30, false);
        assert_eq!(host.rollouts(), ["1.41.3 -> 1.42.0"], "late: {late}");
    }
}

/// The old version comes back after it was gone: that is said, and what is reported of it is not what the one between was.
#[test]
fn a_rollback_is_a_rollout_to_a_version_that_is_clean() {
    for late in [false, true] {
        let mut host = Node::new(late);
        let leaking = host.clean_then_leaking(2);
        let back = host.start(2, 5, "1.41.3");
        host.retire(leaking, 1, 3, "1.42.0");
        host.live(back, 2, 5, 40 * 60, false);
        assert_eq!(
            host.rollouts(),
            ["1.41.3 -> 1.42.0", "1.42.0 -> 1.41.3"],
            "late: {late}"
        );
        let resolved = host.verdicts(State::Resolved);
        let [(finding, verdict)] = resolved[..] else {
            panic!("late: {late}: {resolved:?}")
        };
        let version = finding.subject.as_ref().and_then(|s| s.version.clone()).map(|v| v.0);
        assert_eq!(version.as_deref(), Some("1.41.3"));
        assert_eq!(
            verdict
                .comparison
                .as_ref()
                .and_then(|c| c.before.version.clone())
                .map(|v| v.0)
                .as_deref(),
            Some("1.42.0")
        );
        let view = host.world.engine.workloads();
        let states: Vec<_> = view[0]
            .releases
            .iter()
            .map(|r| (r.version.clone().map(|v| v.0), r.state))
            .collect();
        assert_eq!(
            states,
            [
                (Some("1.41.3".to_owned()), State::Quiet),
                (Some("1.42.0".to_owned()), State::Confirmed)
            ]
        );
    }
}

/// Pods of one version that are replaced each time before they die, one after another or by a rolling update: none of them
/// climbs twice, their place does.
#[test]
fn a_leak_whose_pods_are_replaced_is_confirmed_once() {
    for (late, rolling) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut host = Node::new(late);
        let mut pod = host.start(0, 1, "1.42.0");
        for number in 0..4 {
            host.live(pod, number, number + 1, 6 * 60, true);
            if rolling {
                let next = host.start(number + 1, number + 2, "1.42.0");
                host.retire(pod, number, number + 1, "1.42.0");
                pod = next;
            } else {
                host.retire(pod, number, number + 1, "1.42.0");
                host.now += 30;
                pod = host.start(number + 1, number + 2, "1.42.0");
            }
        }
        let said = [State::Likely, State::Confirmed].map(|state| host.verdicts(state).len());
        assert_eq!(said, [2, 1], "late: {late}, rolling: {rolling}");
        let (_, verdict) = host.verdicts(State::Confirmed)[0];
        let starts: std::collections::BTreeSet<_> = verdict.runs.iter().map(|run| run.started).collect();
        assert_eq!(
            starts.len(),
            verdict.runs.len(),
            "each of them once: {:?}",
            verdict.runs
        );
    }
}
