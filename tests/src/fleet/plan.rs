//! What runs in a fleet: reads its size and a seed, produces the containers of each node.

use crate::catalogue::{
    kinds::{self, KINDS},
    spec::{Leak, Spec},
};

/// Kinds that do not leak.
pub const HEALTHY: usize = 24;
const HOUR: f64 = 3_600.0;
const DAY: f64 = 86_400.0;

/// What a container does under one version.
#[derive(Clone, Debug)]
pub struct Part {
    /// When it is rolled out, seconds from the fleet's beginning.
    pub from: f64,
    /// Its version; where there is none, the series' own versions are counted.
    pub version: Option<&'static str>,
    /// What it does.
    pub spec: Spec,
}

/// A replica of a workload.
#[derive(Clone, Debug)]
pub struct Container {
    /// Its workload's name.
    pub workload: String,
    /// Which replica.
    pub replica: u64,
    /// What it does, in the order of time; at least one.
    pub parts: Vec<Part>,
}

/// The one service that leaks, among many that do not.
#[derive(Clone, Copy, Debug)]
pub struct Leaking {
    /// Its replicas, each on a node of its own while there are nodes.
    pub replicas: u64,
    /// Days into the history at which the version that leaks is rolled out.
    pub since: f64,
    /// Hours from its start to its limit.
    pub hours: f64,
}

/// A fleet: nodes, what runs on them, for how long it is watched and how often it is read.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Nodes.
    pub nodes: u64,
    /// Containers of each, beside those of the service that leaks.
    pub containers: u64,
    /// Replicas of each healthy workload.
    pub replicas: u64,
    /// Days of history.
    pub days: f64,
    /// Seconds between two readings of a container's memory.
    pub interval: f64,
    /// What chance is drawn from.
    pub seed: u64,
    /// The service that leaks, where one does.
    pub leaking: Option<Leaking>,
}

impl Plan {
    /// Workloads that do not leak.
    pub const fn healthy(&self) -> u64 {
        self.nodes * self.containers / if self.replicas == 0 { 1 } else { self.replicas }
    }

    /// What runs on a node: replicas of a workload stand on neighbouring nodes.
    pub fn node(&self, node: u64) -> Vec<Container> {
        let mut containers: Vec<Container> = (0..self.containers)
            .map(|nth| nth * self.nodes + node)
            .map(|place| self.quiet(place / self.replicas.max(1), place % self.replicas.max(1)))
            .collect();
        if let Some(leaking) = self.leaking {
            let own = (0..leaking.replicas).filter(|replica| replica % self.nodes == node);
            containers.extend(own.map(|replica| self.checkout(leaking, replica)));
        }
        containers
    }

    /// Replicas of one workload run one program: they differ by chance alone.
    fn replica(&self, spec: Spec, replica: u64) -> Spec {
        Spec {
            seed: spec.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ replica.wrapping_mul(0x2545_f491_4f6c_dd1d),
            interval: self.interval,
            days: self.days,
            ..spec
        }
    }

    fn quiet(&self, workload: u64, replica: u64) -> Container {
        let kind = KINDS[KINDS.len() - HEALTHY + (workload % HEALTHY as u64) as usize];
        let spec = kinds::spec(kind, self.seed.wrapping_mul(1_000_003).wrapping_add(workload));
        let name = format!("{}-{workload}", kind.to_lowercase());
        // A series draws its rollouts alone, and replicas of one workload are rolled out together.
        let alone = spec.ends.rollouts.is_some();
        Container {
            workload: if alone { format!("{name}-{replica}") } else { name },
            replica,
            parts: vec![Part {
                from: 0.0,
                version: None,
                spec: self.replica(spec, replica),
            }],
        }
    }

    /// 1.41 does not leak, 1.42 does.
    fn checkout(&self, leaking: Leaking, replica: u64) -> Container {
        let leaks = Spec {
            leak: Leak::Linear(leaking.hours * HOUR),
            owner: "Deployment",
            versions: true,
            rate_spread: 0.1,
            ..kinds::spec("L2", self.seed)
        };
        let quiet = Spec {
            kind: "N1",
            leak: Leak::None,
            ..leaks.clone()
        };
        let part = |from, version, spec| Part {
            from,
            version: Some(version),
            spec: self.replica(spec, replica),
        };
        Container {
            workload: "checkout".into(),
            replica,
            parts: vec![part(0.0, "1.41", quiet), part(leaking.since * DAY, "1.42", leaks)],
        }
    }
}
