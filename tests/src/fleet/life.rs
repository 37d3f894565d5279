//! A container's life as an agent's sources tell it: reads what is known of a container, produces Inputs.

use std::collections::BTreeMap;

use observer_core::{
    What,
    container_facts::{ContainerFacts, Origin, OwnerRef, PodFacts},
    exit::Cause,
    kernel::{ExitStatus, KernelEvent, OomVictim, Signal},
    process::{HeapFlags, NodeEvidence, ProcessFacts, ProcessKey, Runtime},
    sample::{CgroupLevel, Growth, Limit, Sample},
};

use crate::catalogue::simulate::Row;

const MIB: f64 = 1_048_576.0;
/// Places of growth ([`observer_core::sample::Sample::growth`]): V8's heap first.
const PLACES: usize = 5;
/// Resident memory beside what is anonymous: code and files, bytes.
const MAPPED: u64 = 40 << 20;

/// A run in progress.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) process: ProcessKey,
    pub(super) facts: ContainerFacts,
    pub(super) cgroup: String,
    /// CPU time used, nanoseconds; `None` where it is not reported.
    pub(super) cpu_ns: Option<f64>,
    /// When it was last read, seconds.
    pub(super) read: f64,
    /// The level at which its growth began to be counted, bytes; `None` where it is not: that of those that do not grow.
    pub(super) counted: Option<f64>,
}

/// Which pod it is.
pub(super) struct Place<'a> {
    pub(super) node: &'a str,
    pub(super) workload: &'a str,
    pub(super) owner: &'a str,
    pub(super) replica: u64,
    pub(super) version: Option<&'a str>,
    /// Pods that this replica has had before.
    pub(super) pods: u64,
    /// Containers that its pod has had before.
    pub(super) restarts: u32,
}

impl Place<'_> {
    /// Names of a pod and its container, as Kubernetes makes them.
    pub(super) fn facts(&self) -> ContainerFacts {
        let Self { workload, replica, .. } = self;
        let template = format!("{:08x}", hash(&[workload, self.version.unwrap_or_default()]) as u32);
        let owner = |kind: &str, name: String| OwnerRef {
            kind: kind.into(),
            name,
            uid: None,
        };
        let pods = self.pods;
        let (name, owners) = match self.owner {
            "Deployment" => (
                format!("{workload}-{template}-{replica}x{pods}"),
                vec![
                    owner("ReplicaSet", format!("{workload}-{template}")),
                    owner("Deployment", (*workload).to_owned()),
                ],
            ),
            "Job" => (
                format!("{workload}-{replica}x{pods}"),
                vec![owner("Job", (*workload).to_owned())],
            ),
            "CronJob" => (
                format!("{workload}-{replica}x{pods}"),
                vec![
                    owner("Job", format!("{workload}-{pods}")),
                    owner("CronJob", (*workload).to_owned()),
                ],
            ),
            "" => (format!("{workload}-{replica}"), Vec::new()),
            kind => (
                format!("{workload}-{replica}"),
                vec![owner(kind, (*workload).to_owned())],
            ),
        };
        let uid = uid(&[workload, &replica.to_string(), &pods.to_string()]);
        let labels = self
            .version
            .map(|version| ("app.kubernetes.io/version".to_owned(), version.to_owned()));
        ContainerFacts {
            id: format!("{:016x}", hash(&[&uid, &self.restarts.to_string()])).repeat(4),
            name: "api".into(),
            origin: Origin::Kubernetes,
            pod: Some(PodFacts {
                uid,
                name,
                namespace: "shop".into(),
                node: self.node.to_owned(),
                template_hash: Some(template).filter(|_| self.owner == "Deployment"),
                owners,
                labels: labels.into_iter().collect(),
                annotations: BTreeMap::from([(
                    "resource.opentelemetry.io/service.namespace".to_owned(),
                    "shop".to_owned(),
                )]),
                ..PodFacts::default()
            }),
            restart_count: Some(self.restarts),
            ..ContainerFacts::default()
        }
    }
}

impl Run {
    /// Its process starts.
    pub(super) fn begin(&self, heap_limit: Option<f64>) -> [What; 3] {
        let exec = KernelEvent::Exec {
            process: self.process,
            ppid: 1,
            comm: "node".into(),
        };
        let facts = ProcessFacts {
            key: self.process,
            parent: ProcessKey { pid: 1, start: 1 },
            runtime: Runtime::Node {
                // Without a version nothing is predicted: the catalogue's containers die at their limit, or at the one named.
                version: heap_limit.map(|_| "22.11.0".to_owned()),
                evidence: NodeEvidence::ElfSymbol,
            },
            comm: "node".into(),
            exe: "/usr/local/bin/node".into(),
            script: Some("/app/server.js".into()),
            cwd: Some("/app".into()),
            heap_flags: HeapFlags {
                max_heap_mib: heap_limit.map(|bytes| (bytes / MIB) as u64),
                ..HeapFlags::default()
            },
            otel: BTreeMap::new(),
            published: BTreeMap::new(),
            package: None,
            cgroup: self.cgroup.clone(),
            ns_pid: 7,
            containerised: true,
            limit_cgroup: None,
        };
        [
            What::Kernel(exec),
            What::Container(Box::new(self.facts.clone())),
            What::Process(Box::new(facts)),
        ]
    }

    /// A reading.
    pub(super) fn sample(&mut self, row: &Row) -> What {
        if let (Some(used), Some(cores)) = (&mut self.cpu_ns, row.cpu) {
            *used += cores * (row.t - self.read).max(0.0) * 1e9;
        }
        self.read = row.t;
        let (anon, file) = (row.anon as u64, row.file as u64);
        What::Sample(Box::new(Sample {
            process: self.process,
            rss: Some(anon + MAPPED),
            rss_anon: Some(anon),
            cgroup: Some(CgroupLevel {
                usage: anon + file,
                anon,
                file,
                inactive_file: file / 2,
                limit: Some(Limit {
                    bytes: row.limit as u64,
                    cgroup: self.cgroup.clone(),
                }),
                own_limit: Some(row.limit as u64),
                oom_kills: Some(0),
                cpu_ns: self.cpu_ns.map(|used| used as u64),
                ..CgroupLevel::default()
            }),
            growth: self.counted.map(|from| {
                let grown = (row.anon - from).max(0.0) as u64;
                let of = |place: usize| if place == 0 { grown } else { 0 };
                (0..PLACES)
                    .map(|place| Growth {
                        grown: of(place),
                        shrunk: 0,
                    })
                    .collect()
            }),
        }))
    }

    /// Its process ends.
    pub(super) fn end(&self, cause: Cause, row: &Row) -> Vec<What> {
        let exit = |status| {
            What::Kernel(KernelEvent::Exit {
                process: self.process,
                status: Some(status),
                comm: "node".into(),
                peak_rss: Some(row.anon as u64 + MAPPED),
                max_rss: None,
            })
        };
        let signal = |signal, code, pid, comm: &str| {
            What::Kernel(KernelEvent::Signal(Signal {
                target: self.process,
                signal,
                code,
                delivered: true,
                sender_pid: pid,
                sender_comm: comm.into(),
            }))
        };
        match cause {
            Cause::KernelOom => vec![
                What::Kernel(KernelEvent::OomVictim(OomVictim {
                    process: self.process,
                    tid: self.process.pid,
                    comm: "node".into(),
                    anon: Some(row.anon as u64),
                    file: Some(row.file as u64),
                    shmem: Some(0),
                    pgtables: None,
                    oom_score_adj: Some(900),
                })),
                exit(ExitStatus::Signal(9)),
            ],
            // abort() sends the signal to its own thread: SI_TKILL.
            Cause::V8HeapOom => vec![signal(6, -6, self.process.pid, "node"), exit(ExitStatus::Signal(6))],
            Cause::ErrorExit => vec![exit(ExitStatus::Code(1))],
            Cause::Completed => vec![exit(ExitStatus::Code(0)), self.deleted()],
            _ => vec![
                self.terminating(),
                signal(15, 0, 42, "containerd-shim"),
                exit(ExitStatus::Code(0)),
                self.deleted(),
            ],
        }
    }

    /// Its cgroup is gone.
    pub(super) fn released(&self) -> What {
        What::Kernel(KernelEvent::CgroupRelease {
            root: 0,
            id: 0,
            path: self.cgroup.clone(),
        })
    }

    fn terminating(&self) -> What {
        let mut facts = self.facts.clone();
        if let Some(pod) = &mut facts.pod {
            pod.terminating = true;
        }
        What::Container(Box::new(facts))
    }

    fn deleted(&self) -> What {
        What::Container(Box::new(ContainerFacts {
            deleted: true,
            ..self.facts.clone()
        }))
    }
}

/// FNV-1a over parts that are told apart.
fn hash(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A uid that looks like one.
fn uid(parts: &[&str]) -> String {
    let (first, second) = (hash(parts), hash(&[parts.concat().as_str(), "uid"]));
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        first as u32,
        (first >> 32) as u16,
        first >> 52,
        second & 0xfff,
        second >> 16
    )
}
