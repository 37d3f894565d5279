//! Real counterparts of the agent: reads `xtask/counterpart/NAME`, produces where the programs built from it are.
//!
//! They are built from published modules by `cargo xtask counterpart NAME` and kept outside the repository, under a
//! name that changes with every input, so that a stale one is never used.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::places;

/// Programs built together from one Go module of ours.
#[derive(Debug, PartialEq, Eq)]
pub struct Counterpart {
    /// Name of the directory that holds its `go.mod`.
    pub name: &'static str,
    /// What a test wants it for.
    pub why: &'static str,
    /// The module whose version is the counterpart's.
    pub module: &'static str,
    /// Program and Go package, in building order.
    pub programs: &'static [(&'static str, &'static str)],
    /// Variables that the linker sets; `{version}` and `{minor}` are filled in.
    pub variables: &'static [(&'static str, &'static str)],
    /// Build tags, comma-separated.
    pub tags: &'static str,
    /// Programs of a host that has all of them in `PATH` do as well: they belong together there.
    pub from_path: bool,
    /// Minutes of two cores, roughly.
    pub minutes: u32,
}

/// The OpenTelemetry Collector: OTLP receiver, file exporter, and the parts that `deploy/collector` configures.
pub static COLLECTOR: Counterpart = Counterpart {
    name: "collector",
    why: "takes what the agent exports and writes it to files that tests read",
    module: "go.opentelemetry.io/collector/otelcol",
    programs: &[("collector", ".")],
    variables: &[],
    tags: "",
    from_path: false,
    minutes: 1,
};

/// Jaeger: spans in, its query API out.
pub static JAEGER: Counterpart = Counterpart {
    name: "jaeger",
    why: "shows the runs of a rollout as one trace",
    module: "github.com/jaegertracing/jaeger",
    programs: &[("jaeger", "github.com/jaegertracing/jaeger/cmd/all-in-one")],
    variables: &[],
    tags: "",
    from_path: false,
    minutes: 3,
};

/// A Prometheus that receives OTLP.
pub static PROMETHEUS: Counterpart = Counterpart {
    name: "prometheus",
    why: "receives the metrics over OTLP and answers queries about them",
    module: "github.com/prometheus/prometheus",
    programs: &[
        ("prometheus", "github.com/prometheus/prometheus/cmd/prometheus"),
        ("promtool", "github.com/prometheus/prometheus/cmd/promtool"),
    ],
    variables: &[],
    tags: "",
    from_path: false,
    minutes: 8,
};

/// The programs of a Kubernetes cluster but its container runtime.
pub static KUBERNETES: Counterpart = Counterpart {
    name: "kubernetes",
    why: "runs pods as production does, with a real kubelet and a real API server",
    module: "k8s.io/kubernetes",
    programs: &[
        ("etcd", "go.etcd.io/etcd/server/v3"),
        ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
        (
            "kube-controller-manager",
            "k8s.io/kubernetes/cmd/kube-controller-manager",
        ),
        ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
        ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
        ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    ],
    variables: &[
        ("k8s.io/component-base/version.gitVersion", "{version}"),
        ("k8s.io/component-base/version.gitMajor", "1"),
        ("k8s.io/component-base/version.gitMinor", "{minor}"),
    ],
    tags: "",
    from_path: true,
    minutes: 8,
};

/// Helm: renders and installs the chart.
pub static HELM: Counterpart = Counterpart {
    name: "helm",
    why: "renders the chart and installs it",
    module: "helm.sh/helm/v4",
    programs: &[("helm", "helm.sh/helm/v4/cmd/helm")],
    variables: &[],
    tags: "",
    from_path: true,
    minutes: 3,
};

/// Helm 3, which most clusters have.
pub static HELM3: Counterpart = Counterpart {
    name: "helm3",
    why: "renders the chart as Helm 4 does, and installs it",
    module: "helm.sh/helm/v3",
    programs: &[("helm", "helm.sh/helm/v3/cmd/helm")],
    variables: &[],
    tags: "",
    from_path: false,
    minutes: 3,
};

/// krew: installs the kubectl plugin.
pub static KREW: Counterpart = Counterpart {
    name: "krew",
    why: "installs the kubectl plugin as people do",
    module: "sigs.k8s.io/krew",
    programs: &[("krew", "sigs.k8s.io/krew/cmd/krew")],
    variables: &[],
    tags: "",
    from_path: false,
    minutes: 1,
};

/// Thanos: a Prometheus spread over processes, with replicated storage.
pub static THANOS: Counterpart = Counterpart {
    name: "thanos",
    why: "stores each series three times and evaluates rules apart from that",
    module: "github.com/thanos-io/thanos",
    programs: &[("thanos", "github.com/thanos-io/thanos/cmd/thanos")],
    variables: &[],
    // Its stores hand over labels as slices.
    tags: "slicelabels",
    from_path: false,
    minutes: 5,
};

/// What evaluates rules for VictoriaMetrics.
pub static VMALERT: Counterpart = Counterpart {
    name: "vmalert",
    why: "evaluates the rules on VictoriaMetrics, over a history too",
    module: "github.com/VictoriaMetrics/VictoriaMetrics",
    programs: &[("vmalert", "github.com/VictoriaMetrics/VictoriaMetrics/app/vmalert")],
    variables: &[],
    tags: "",
    from_path: false,
    minutes: 1,
};

/// Jsonnet, as mixins are rendered.
pub static JSONNET: Counterpart = Counterpart {
    name: "jsonnet",
    why: "renders the mixin",
    module: "github.com/google/go-jsonnet",
    programs: &[("jsonnet", "github.com/google/go-jsonnet/cmd/jsonnet")],
    variables: &[],
    tags: "",
    from_path: false,
    minutes: 1,
};

/// Grafana's schema of dashboards, as its typed SDK has it.
pub static GRAFANA: Counterpart = Counterpart {
    name: "grafana",
    why: "holds the dashboards against Grafana's published schema",
    module: "github.com/grafana/grafana-foundation-sdk/go",
    programs: &[("grafana-schema", ".")],
    variables: &[],
    tags: "",
    from_path: false,
    minutes: 1,
};

/// actionlint: reads a workflow, says what in it its runner would refuse.
pub static ACTIONLINT: Counterpart = Counterpart {
    name: "actionlint",
    why: "checks the workflow of a release",
    module: "github.com/rhysd/actionlint",
    programs: &[("actionlint", "github.com/rhysd/actionlint/cmd/actionlint")],
    variables: &[],
    tags: "",
    from_path: true,
    minutes: 1,
};

/// All that can be built.
pub static ALL: [&Counterpart; 12] = [
    &COLLECTOR,
    &JAEGER,
    &PROMETHEUS,
    &KUBERNETES,
    &HELM,
    &KREW,
    &THANOS,
    &VMALERT,
    &JSONNET,
    &GRAFANA,
    &ACTIONLINT,
    &HELM3,
];

impl Counterpart {
    /// Directory of its sources in this repository.
    pub fn source(&self) -> PathBuf {
        places::workspace().join("xtask/counterpart").join(self.name)
    }

    /// Its version, `v1.2.3`, as its `go.mod` requires it.
    pub fn version(&self) -> io::Result<String> {
        let path = self.source().join("go.mod");
        let manifest = fs::read_to_string(&path)?;
        let required = manifest.lines().find_map(|line| {
            let line = line.trim().trim_start_matches("require ");
            line.strip_prefix(self.module)?.strip_prefix(' ')?.split(' ').next()
        });
        required.map(str::to_owned).ok_or_else(|| {
            let message = format!("{} does not require {}", path.display(), self.module);
            io::Error::new(io::ErrorKind::InvalidData, message)
        })
    }

    /// Where its programs are, or will be: the name carries the version and a hash of everything that goes in.
    pub fn directory(&self) -> io::Result<PathBuf> {
        let mut hash = Sha256::new();
        let mut field = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        for path in sorted_files(&self.source())? {
            field(path.file_name().unwrap_or_default().as_encoded_bytes());
            field(&fs::read(&path)?);
        }
        for (first, second) in self.programs.iter().chain(self.variables) {
            field(first.as_bytes());
            field(second.as_bytes());
        }
        if !self.tags.is_empty() {
            hash.update(self.tags.as_bytes());
        }
        let digest = hash.finalize();
        let short = digest
            .iter()
            .take(6)
            .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        let leaf = format!("{}-{}-{short}", self.name, self.version()?);
        Ok(places::cache().join("counterparts").join(leaf))
    }

    /// The program of this name: the host's where it has all of them, else the one that is built.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        if self.from_path && self.programs.iter().all(|(name, _)| places::program(name).is_some()) {
            return places::program(name);
        }
        let path = self.directory().ok()?.join(name);
        path.is_file().then_some(path)
    }

    /// Why it cannot be used now, and what to do; `None` where it can.
    pub fn missing(&self) -> Option<String> {
        let unbuilt = self.programs.iter().find(|(name, _)| self.program(name).is_none())?;
        let Self { name, minutes, .. } = self;
        let stand_in = if *name == COLLECTOR.name {
            "; OpenTelemetry's Python classes stand in for it (tests `otlp`, `faults`)"
        } else {
            ""
        };
        Some(if places::program("go").is_none() {
            format!(
                "{} is not built, and there is no Go to build it with{stand_in}",
                unbuilt.0
            )
        } else {
            format!(
                "{} is not built: `cargo xtask counterpart {name}` (about {minutes} min){stand_in}",
                unbuilt.0
            )
        })
    }
}

fn sorted_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    paths.retain(|path| path.is_file());
    paths.sort();
    Ok(paths)
}

/// A program of a Debian package: the one in `PATH`, else the one unpacked into the cache by
/// `cargo xtask counterpart NAME` (unpacked, not installed: an installed one would start as a service).
pub fn debian_program(package: &str, below: &str) -> Option<PathBuf> {
    let name = below.rsplit('/').next().unwrap_or(below);
    let unpacked = places::cache()
        .join("counterparts")
        .join(format!("debian-{package}"))
        .join(below);
    places::program(name).or_else(|| unpacked.is_file().then_some(unpacked))
}

/// A library of a Debian package that is unpacked in the cache.
pub fn debian_library(package: &str, name: &str) -> Option<PathBuf> {
    let below = format!("debian-{package}/usr/lib/x86_64-linux-gnu/{name}");
    let unpacked = places::cache().join("counterparts").join(below);
    unpacked.is_file().then_some(unpacked)
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn every_counterpart_names_a_version_and_a_place() {
        for counterpart in ALL {
            assert!(counterpart.version().unwrap().starts_with('v'), "{}", counterpart.name);
            let first = counterpart.directory().unwrap();
            assert_eq!(first, counterpart.directory().unwrap());
            // A checksum list beside it: what is downloaded is verified.
            assert!(
                counterpart.source().join("go.sum").is_file(),
                "{} has no go.sum",
                counterpart.name
            );
        }
    }
}
