//! A small world for the engine: processes with cgroups that live and die by Inputs.

mod claims;
mod exits;
mod heaps;
mod known_better;
mod lives;
mod many;
mod names;
mod order;
mod pods;
mod random;
mod resume;
mod rollouts;
mod selected;

use std::collections::BTreeMap;

use super::Engine;
use crate::{
    Finding, Input, Request, What,
    finding::{EndedRun, Event},
    input::{Begin, Settings},
    kernel::{ExitStatus, KernelEvent, OomVictim, Signal},
    process::{HeapFlags, NodeEvidence, ProcessFacts, ProcessKey, Runtime},
    sample::{CgroupLevel, Limit, Sample},
    time::{Anchor, BootTime, SECOND, USER_HZ, WallTime},
};

pub(crate) const MB: u64 = 1_000_000;
pub(crate) const LEAKY: &str = "/demo/leaky";
pub(crate) const CODE_0: Option<ExitStatus> = Some(ExitStatus::Code(0));
pub(crate) const KILLED: Option<ExitStatus> = Some(ExitStatus::Signal(9));

/// A process with this pid that started at this second.
pub(crate) const fn key(pid: u32, second: u64) -> ProcessKey {
    ProcessKey {
        pid,
        start: second * USER_HZ,
    }
}

/// Facts of a Node.js process that is init of its container.
pub(crate) fn node(key: ProcessKey, cgroup: &str) -> ProcessFacts {
    ProcessFacts {
        key,
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
        otel: BTreeMap::new(),
        published: BTreeMap::new(),
        package: None,
        cgroup: cgroup.into(),
        ns_pid: 1,
        containerised: true,
        limit_cgroup: None,
    }
}

/// Facts of a Node.js process on the bare host, child of `parent`.
pub(crate) fn bare(key: ProcessKey, parent: ProcessKey) -> ProcessFacts {
    ProcessFacts {
        parent,
        ns_pid: key.pid,
        containerised: false,
        ..node(key, "/user.slice/session-1.scope")
    }
}

/// Facts of a process that is not Node.js.
pub(crate) fn other(key: ProcessKey, cgroup: &str) -> ProcessFacts {
    ProcessFacts {
        runtime: Runtime::Other,
        comm: "sh".into(),
        exe: "/bin/sh".into(),
        script: None,
        ..node(key, cgroup)
    }
}

/// An engine and all it has said.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) now: BootTime,
    pub(crate) findings: Vec<Finding>,
    pub(crate) requests: Vec<Request>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) ended: Vec<EndedRun>,
}

impl World {
    /// Observation begins at second 100.
    pub(crate) fn new() -> Self {
        let mut world = Self {
            engine: Engine::new(),
            now: BootTime(100 * SECOND),
            findings: Vec::new(),
            requests: Vec::new(),
            inputs: Vec::new(),
            ended: Vec::new(),
        };
        world.feed(What::Begin(Box::new(Begin {
            format: 1,
            agent: "test".into(),
            boot_id: "boot".into(),
            host: "host".into(),
            clock: Anchor {
                boot: BootTime(0),
                wall: WallTime(1_700_000_000 * SECOND),
            },
            sample_interval_s: 1.0,
            host_memory: 16_000 * MB,
            cgroup_version: 2,
            settings: Settings::default(),
        })));
        world
    }

    pub(crate) fn feed(&mut self, what: What) {
        let input = Input { at: self.now, what };
        let out = self.engine.step(&input);
        self.findings.extend(out.findings);
        self.requests.extend(out.requests);
        self.ended.extend(out.ended);
        self.inputs.push(input);
    }

    /// Time passes up to this second.
    pub(crate) fn at(&mut self, second: u64) -> &mut Self {
        self.now = BootTime(second * SECOND);
        self.feed(What::Tick);
        self
    }

    pub(crate) fn exec(&mut self, key: ProcessKey) -> &mut Self {
        self.exec_of(key, 1)
    }

    pub(crate) fn exec_of(&mut self, key: ProcessKey, ppid: u32) -> &mut Self {
        self.feed(What::Kernel(KernelEvent::Exec {
            process: key,
            ppid,
            comm: "node".into(),
        }));
        self
    }

    pub(crate) fn fork(&mut self, key: ProcessKey, parent: ProcessKey) -> &mut Self {
        self.feed(What::Kernel(KernelEvent::Fork {
            process: key,
            ppid: parent.pid,
        }));
        self
    }

    pub(crate) fn facts(&mut self, facts: ProcessFacts) -> &mut Self {
        self.feed(What::Process(Box::new(facts)));
        self
    }

    pub(crate) fn start(&mut self, facts: ProcessFacts) -> &mut Self {
        self.exec(facts.key).facts(facts)
    }

    pub(crate) fn exit(&mut self, key: ProcessKey, status: Option<ExitStatus>) -> &mut Self {
        self.feed(What::Kernel(KernelEvent::Exit {
            process: key,
            status,
            comm: "node".into(),
            peak_rss: None,
            max_rss: None,
        }));
        self
    }

    pub(crate) fn mark(&mut self, key: ProcessKey) -> &mut Self {
        self.feed(What::Kernel(KernelEvent::OomVictim(OomVictim {
            process: key,
            tid: key.pid,
            comm: "node".into(),
            anon: Some(500 * MB),
            file: Some(2 * MB),
            shmem: Some(0),
            pgtables: None,
            oom_score_adj: None,
        })));
        self
    }

    pub(crate) fn signal(
        &mut self,
        target: ProcessKey,
        signal: u8,
        code: i32,
        delivered: bool,
        by: (u32, &str),
    ) -> &mut Self {
        self.feed(What::Kernel(KernelEvent::Signal(Signal {
            target,
            signal,
            code,
            delivered,
            sender_pid: by.0,
            sender_comm: by.1.into(),
        })));
        self
    }

    /// A level of `anon` MB in a container limited to `limit` MB.
    pub(crate) fn sample(&mut self, process: ProcessKey, cgroup: &str, anon: u64, limit: u64) -> &mut Self {
        self.feed(What::Sample(Box::new(Sample {
            process,
            rss: Some((anon + 40) * MB),
            rss_anon: Some(anon * MB),
            cgroup: Some(CgroupLevel {
                usage: (anon + 5) * MB,
                anon: anon * MB,
                file: 5 * MB,
                limit: Some(Limit {
                    bytes: limit * MB,
                    cgroup: cgroup.into(),
                }),
                oom_kills: Some(0),
                ..CgroupLevel::default()
            }),
            growth: None,
        })));
        self
    }

    /// One line for each finding on an edge: what a reader would ask first.
    pub(crate) fn edges(&self) -> Vec<String> {
        let level = |line: &String| {
            ["near_ceiling", "leak", "misfit"]
                .iter()
                .any(|kind| line.starts_with(kind))
        };
        self.told().into_iter().filter(|line| !level(line)).collect()
    }

    /// One line for each finding: what a reader would ask first.
    pub(crate) fn told(&self) -> Vec<String> {
        self.findings
            .iter()
            .map(|f| {
                let what = match &f.event {
                    Event::Restart(r) => format!("run {} after {}", r.run, r.previous.cause().name()),
                    Event::CrashLoop(c) => format!("{} over={}", c.restarts, c.over),
                    Event::OomKill(k) => format!("{:?} main={} others={}", k.scope, k.main_process, k.co_victims),
                    Event::HeapOom(h) => format!("{:?}", h.end.status),
                    Event::Gap(g) => g.reason.clone(),
                    Event::NearCeiling(n) => format!("{:.2}", n.ratio),
                    Event::Rollout(r) => r.to.0.clone(),
                    Event::RecurringOom(r) => format!("{} kills, {}", r.kills, r.explanation.name()),
                    Event::Leak(_) | Event::Misfit(_) | Event::Diagnosis(_) | Event::HeapRead(_) => String::new(),
                };
                format!("{} {what}", f.event.kind())
            })
            .collect()
    }
}
