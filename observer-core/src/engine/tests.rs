//! A small world for the engine: processes with cgroups that live and die by Inputs.

mod exits;
mod lives;
mod order;

use std::collections::BTreeMap;

use super::Engine;
use crate::{
    Finding, Input, Request, What,
    finding::Event,
    input::{Begin, Settings},
    kernel::{ExitStatus, KernelEvent, OomVictim, Signal},
    process::{HeapFlags, NodeEvidence, ProcessFacts, ProcessKey, Runtime},
    sample::{CgroupLevel, Limit, Sample},
    time::{Anchor, BootTime, SECOND, USER_HZ, WallTime},
};

pub(super) const MB: u64 = 1_000_000;
pub(super) const LEAKY: &str = "/demo/leaky";
pub(super) const CODE_0: Option<ExitStatus> = Some(ExitStatus::Code(0));
pub(super) const KILLED: Option<ExitStatus> = Some(ExitStatus::Signal(9));

/// A process with this pid that started at this second.
pub(super) const fn key(pid: u32, second: u64) -> ProcessKey {
    ProcessKey {
        pid,
        start: second * USER_HZ,
    }
}

/// Facts of a Node.js process that is init of its container.
pub(super) fn node(key: ProcessKey, cgroup: &str) -> ProcessFacts {
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
        package: None,
        cgroup: cgroup.into(),
        ns_pid: 1,
        containerised: true,
    }
}

/// Facts of a Node.js process on the bare host, child of `parent`.
pub(super) fn bare(key: ProcessKey, parent: ProcessKey) -> ProcessFacts {
    ProcessFacts {
        parent,
        ns_pid: key.pid,
        containerised: false,
        ..node(key, "/user.slice/session-1.scope")
    }
}

/// Facts of a process that is not Node.js.
pub(super) fn other(key: ProcessKey, cgroup: &str) -> ProcessFacts {
    ProcessFacts {
        runtime: Runtime::Other,
        comm: "sh".into(),
        exe: "/bin/sh".into(),
        script: None,
        ..node(key, cgroup)
    }
}

/// An engine and all it has said.
pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) now: BootTime,
    pub(super) findings: Vec<Finding>,
    pub(super) requests: Vec<Request>,
    pub(super) inputs: Vec<Input>,
}

impl World {
    /// Observation begins at second 100.
    pub(super) fn new() -> Self {
        let mut world = Self {
            engine: Engine::new(),
            now: BootTime(100 * SECOND),
            findings: Vec::new(),
            requests: Vec::new(),
            inputs: Vec::new(),
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

    pub(super) fn feed(&mut self, what: What) {
        let input = Input { at: self.now, what };
        let out = self.engine.step(&input);
        self.findings.extend(out.findings);
        self.requests.extend(out.requests);
        self.inputs.push(input);
    }

    /// Time passes up to this second.
    pub(super) fn at(&mut self, second: u64) -> &mut Self {
        self.now = BootTime(second * SECOND);
        self.feed(What::Tick);
        self
    }

    pub(super) fn exec(&mut self, key: ProcessKey) -> &mut Self {
        self.feed(What::Kernel(KernelEvent::Exec {
            process: key,
            ppid: 1,
            comm: "node".into(),
        }));
        self
    }

    pub(super) fn facts(&mut self, facts: ProcessFacts) -> &mut Self {
        self.feed(What::Process(Box::new(facts)));
        self
    }

    pub(super) fn start(&mut self, facts: ProcessFacts) -> &mut Self {
        self.exec(facts.key).facts(facts)
    }

    pub(super) fn exit(&mut self, key: ProcessKey, status: Option<ExitStatus>) -> &mut Self {
        self.feed(What::Kernel(KernelEvent::Exit {
            process: key,
            status,
            comm: "node".into(),
        }));
        self
    }

    pub(super) fn mark(&mut self, key: ProcessKey) -> &mut Self {
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

    pub(super) fn signal(
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
    pub(super) fn sample(&mut self, process: ProcessKey, cgroup: &str, anon: u64, limit: u64) -> &mut Self {
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

    /// One line for each finding: what a reader would ask first.
    pub(super) fn told(&self) -> Vec<String> {
        self.findings
            .iter()
            .map(|f| {
                let what = match &f.event {
                    Event::Restart(r) => format!("run {} after {}", r.run, r.previous.cause().name()),
                    Event::OomKill(k) => format!("{:?} main={} others={}", k.scope, k.main_process, k.co_victims),
                    Event::HeapOom(h) => format!("{:?}", h.end.status),
                    Event::Gap(g) => g.reason.clone(),
                    Event::NearCeiling(n) => format!("{:.2}", n.ratio),
                    Event::Rollout(r) => r.to.0.clone(),
                    Event::Leak(_) | Event::Misfit(_) => String::new(),
                };
                format!("{} {what}", f.event.kind())
            })
            .collect()
    }
}
