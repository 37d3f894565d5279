//! The configuration: reads flags, environment and file, produces one validated [`Config`] or every problem at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use observer_core::{heap::HeapSettings, input::Settings, selection::PodSelection};

pub mod key;
mod layer;
pub mod otlp;
mod problem;
#[cfg(test)]
mod tests;
mod value;

use layer::Layers;
use otlp::{Signal, Target};
pub use problem::{Problem, Problems, Source};
use value::ValueError;

/// When growth is counted by place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GrowthTracing {
    /// While a watched process grows.
    #[default]
    Auto,
    /// From the start.
    Always,
    /// Never: no hook on system calls.
    Off,
}

/// Highest rung of kernel hooks to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hooks {
    /// BTF-typed tracepoints, and what is below them where they fail.
    #[default]
    Auto,
    /// Plain tracepoints.
    Tracepoint,
    /// None: /proc and cgroup files only.
    Off,
}

/// What the kernel programs say of themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KernelLog {
    /// Nothing: the verifier prunes what would say it.
    #[default]
    Off,
    /// Each edge, and each record without room.
    Info,
    /// Also what they pass over.
    Debug,
}

/// How findings appear on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputFormat {
    /// For people on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

/// Whether this node's pods are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kubernetes {
    /// Where the agent itself runs in a pod.
    Auto,
    /// Always; by a kubeconfig outside a cluster.
    On,
    /// Never.
    Off,
}

/// What the agent was told to do. Every value is usable.
#[derive(Clone, Debug)]
pub struct Config {
    /// Time between two samples of a watched process.
    pub sample_interval: Duration,
    /// When growth is counted by place.
    pub growth_tracing: GrowthTracing,
    /// Highest rung of kernel hooks.
    pub hooks: Hooks,
    /// What the kernel programs say of themselves.
    pub kernel_log: KernelLog,
    /// Processes watched at most.
    pub max_processes: usize,
    /// Settings that shape findings: they stand in the recording.
    pub settings: Settings,
    /// Bytes of a process's heap read in a second at most.
    pub heap_bandwidth: u64,
    /// Recording file.
    pub record: Option<PathBuf>,
    /// Findings on standard output.
    pub output: OutputFormat,
    /// Longest time to deliver what is queued at the end.
    pub stop_timeout: Duration,
    /// The agent is watched as services are.
    pub watch_itself: bool,
    /// The host's /proc.
    pub procfs: PathBuf,
    /// The host's cgroup file system.
    pub cgroupfs: PathBuf,
    /// Whether this node's pods are watched.
    pub kubernetes: Kubernetes,
    /// Whether Events are written on pods.
    pub kubernetes_events: bool,
    /// This node's name in Kubernetes; `None` is the host's.
    pub node_name: Option<String>,
    /// Docker's or podman's socket, to be asked for containers that no file names.
    pub engine_socket: Option<PathBuf>,
    /// Where events go over OTLP.
    pub logs: Option<Target>,
    /// Where ended runs go over OTLP.
    pub traces: Option<Target>,
    /// Where metrics go over OTLP.
    pub metrics: Option<Target>,
    /// Time between two exports of metrics.
    pub metrics_interval: Duration,
    /// Unix socket for `observer status`; `None` where switched off.
    pub status_socket: Option<PathBuf>,
    /// Address of `/metrics`, `/healthz` and `/readyz`.
    pub listen: Option<SocketAddr>,
    /// Directory of the store; `None` keeps what waits for delivery in memory only.
    pub store: Option<PathBuf>,
    /// Time between two savings of the engine's state.
    pub state_interval: Duration,
    /// Bytes of history kept in the store.
    pub history_max: u64,
    /// Bytes that may wait for delivery, per signal.
    pub spool_max: usize,
}

/// A configuration, and what was odd about it but no error: one line each.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Oddities.
    pub notices: Vec<String>,
}

/// Loads the configuration of this process.
///
/// `flags` maps setting names to what the command line said; `file` is the file it named. Without one, the variable
/// `OBSERVER_CONFIG` names it, and without that [`key::DEFAULT_FILE`] is read where it exists.
pub fn load(flags: &BTreeMap<&'static str, String>, file: Option<&Path>) -> Result<Loaded, Problems> {
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let named = file.map(Path::to_path_buf).or_else(|| {
        environment
            .get("OBSERVER_CONFIG")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    });
    let path = named.clone().unwrap_or_else(|| PathBuf::from(key::DEFAULT_FILE));
    let text = match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(Problems(vec![Problem::File {
                path: path.display().to_string(),
                reason: error.to_string(),
            }]));
        }
    };
    validate(flags, environment, text.as_deref().map(|text| (path.as_path(), text)))
}

/// Merges the three places and validates every setting.
fn validate(
    flags: &BTreeMap<&'static str, String>,
    environment: BTreeMap<String, String>,
    file: Option<(&Path, &str)>,
) -> Result<Loaded, Problems> {
    let mut problems = Vec::new();
    let (layers, notices) = Layers::merge(flags, environment, file, &mut problems);
    let mut reader = Reader {
        layers: &layers,
        problems: &mut problems,
    };
    let seconds = Duration::from_secs;
    let config = Config {
        sample_interval: reader.read("sample-interval", seconds(10), |text| {
            value::duration(text, Duration::from_millis(100)..=seconds(60))
        }),
        growth_tracing: reader.read("growth-tracing", GrowthTracing::Auto, |text| {
            use GrowthTracing::{Always, Auto, Off};
            value::choice(text, &[("auto", Auto), ("always", Always), ("off", Off)])
        }),
        hooks: reader.read("hooks", Hooks::Auto, |text| {
            value::choice(
                text,
                &[
                    ("auto", Hooks::Auto),
                    ("tracepoint", Hooks::Tracepoint),
                    ("off", Hooks::Off),
                ],
            )
        }),
        kernel_log: reader.read("kernel-log", KernelLog::Off, |text| {
            use KernelLog::{Debug, Info, Off};
            value::choice(text, &[("off", Off), ("info", Info), ("debug", Debug)])
        }),
        max_processes: reader.read("max-processes", 4096, |text| value::count(text, 1..=1_000_000)),
        settings: Settings {
            near_ceiling_ratio: reader.read("near-ceiling", 0.8, |text| value::number(text, 0.1..=0.99)),
            time_scale: reader.read("time-scale", 1.0, |text| value::number(text, 0.0001..=1.0)),
            service_labels: reader.read("service-labels", false, value::boolean),
            heap: HeapSettings {
                workloads: reader.read("heap-workloads", Vec::new(), |text| {
                    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
                    Ok(names.map(str::to_owned).collect())
                }),
                interval_s: reader
                    .read("heap-interval", seconds(3600), |text| {
                        value::duration(text, seconds(1)..=seconds(7 * 86_400))
                    })
                    .as_secs_f64(),
            },
            pods: PodSelection {
                include_namespaces: reader.read("include-namespaces", Vec::new(), value::namespaces),
                exclude_namespaces: reader.read("exclude-namespaces", Vec::new(), value::namespaces),
                annotated_only: reader.read("pods", false, |text| {
                    value::choice(text, &[("all", false), ("annotated", true)])
                }),
            },
        },
        heap_bandwidth: reader.read("heap-bandwidth", 256 << 20, |text| {
            value::bytes(text, 1 << 20..=1 << 36)
        }) as u64,
        record: reader.read("record", None, |text| path(text).map(Some)),
        output: reader.read("output", OutputFormat::Auto, |text| {
            use OutputFormat::{Auto, Human, Json};
            value::choice(text, &[("auto", Auto), ("human", Human), ("json", Json)])
        }),
        stop_timeout: reader.read("stop-timeout", seconds(5), |text| {
            value::duration(text, Duration::ZERO..=seconds(300))
        }),
        watch_itself: reader.read("watch-itself", false, value::boolean),
        procfs: reader.read("procfs", PathBuf::from("/proc"), directory),
        cgroupfs: reader.read("cgroupfs", PathBuf::from("/sys/fs/cgroup"), directory),
        kubernetes: reader.read("kubernetes", Kubernetes::Auto, |text| {
            use Kubernetes::{Auto, Off, On};
            value::choice(text, &[("auto", Auto), ("on", On), ("off", Off)])
        }),
        kubernetes_events: reader.read("kubernetes-events", false, value::boolean),
        node_name: reader.read("node-name", None, |text| value::dns_name(text).map(Some)),
        engine_socket: reader.read("engine-socket", None, |text| path(text).map(Some)),
        status_socket: reader.read("status-socket", Some(PathBuf::from(key::STATUS_SOCKET)), |text| {
            if text == "off" { Ok(None) } else { path(text).map(Some) }
        }),
        listen: reader.read("listen", None, |text| {
            let wrong = |_| {
                ValueError::new(
                    format!("`{text}` is not an address"),
                    "write one such as 127.0.0.1:9464",
                )
            };
            text.parse().map(Some).map_err(wrong)
        }),
        store: reader.read("store", None, |text| path(text).map(Some)),
        state_interval: reader.read("state-interval", seconds(30), |text| {
            value::duration(text, seconds(1)..=seconds(3600))
        }),
        history_max: reader.read("history-max", 16 << 20, |text| {
            value::bytes(text, 64 << 10..=16 << 30).map(|bytes| bytes as u64)
        }),
        spool_max: reader.read("spool-max", 16 << 20, |text| value::bytes(text, 64 << 10..=16 << 30)),
        logs: otlp::target(&layers, Signal::Logs, &mut problems),
        traces: otlp::target(&layers, Signal::Traces, &mut problems),
        metrics: otlp::target(&layers, Signal::Metrics, &mut problems),
        metrics_interval: otlp::metrics_interval(&layers, &mut problems),
    };
    // What is wrong with a setting that several signals take is told once.
    let mut told = BTreeSet::new();
    problems.retain(|problem| told.insert(problem.to_string()));
    if problems.is_empty() {
        Ok(Loaded { config, notices })
    } else {
        Err(Problems(problems))
    }
}

/// Reads settings one by one and keeps what is wrong with them.
struct Reader<'a> {
    layers: &'a Layers,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn read<T>(&mut self, name: &str, default: T, parse: impl FnOnce(&str) -> Result<T, ValueError>) -> T {
        let Some((text, source)) = self.layers.get(name) else {
            return default;
        };
        parse(text).unwrap_or_else(|ValueError { wrong, remedy }| {
            self.problems.push(Problem::Value {
                source_of: source.clone(),
                wrong,
                remedy,
            });
            default
        })
    }
}

fn path(text: &str) -> Result<PathBuf, ValueError> {
    if text.is_empty() {
        return Err(ValueError::new("it is empty", "write a path"));
    }
    Ok(PathBuf::from(text))
}

fn directory(text: &str) -> Result<PathBuf, ValueError> {
    let path = path(text)?;
    if path.is_dir() {
        Ok(path)
    } else {
        Err(ValueError::new(
            format!("{text} is not a directory"),
            "name a mounted file system",
        ))
    }
}
