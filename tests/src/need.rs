//! What a test needs of the machine: reads capabilities and programs, produces a run or a skip by name.
//!
//! libtest knows no skipping at run time, so a skipped test passes as far as libtest can tell. What it skipped and
//! why is appended to the file named by [`SKIPS`]; `cargo xtask test` takes those out of the passed and names them.

use std::{env, fs, io::Write as _, path::Path, process::Command, thread};

use crate::{compiled, counterpart, places};

/// Environment variable: the file that takes one line per skipped test, `name<TAB>reason`.
pub const SKIPS: &str = "OBSERVER_SKIPS";
/// Environment variable: set to 1 where tests may take their time.
pub const FULL: &str = "OBSERVER_FULL";

/// Grafana's typed builder of dashboards, from PyPI: another release may order or default otherwise. The epoch is the builder's,
/// the version Grafana's.
pub const GRAFANA_BUILDER: (&str, &str) = ("grafana-foundation-sdk", "1769699379!11.6.0");

/// Readers of bills of materials, from PyPI: CycloneDX's with its published schemas, and SPDX's.
pub const BILL_VALIDATORS: [&str; 2] = ["cyclonedx-python-lib[json-validation]==11.12.0", "spdx-tools==0.8.5"];

/// Something a test cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// uid 0.
    Root,
    /// The agent, built with its kernel programs, may load them here.
    Bpf,
    /// A memory controller to limit.
    Memory,
    /// Huge pages for who asks for them.
    HugePages,
    /// The kernel has tracefs; a test mounts it in a namespace of its own.
    Tracefs,
    /// `runc` and a memory controller to limit.
    Runc,
    /// A Node.js.
    Node,
    /// A Node.js of this major version in the cache.
    NodeMajor(u32),
    /// Debian's build of Node.js, V8 in a shared library, in the cache.
    DebianNode,
    /// Node.js on musl, in the cache.
    Musl,
    /// A library of a Debian package in the cache, by the names of both.
    Library(&'static str, &'static str),
    /// A Bun in the cache.
    Bun,
    /// The official OpenTelemetry protobuf classes.
    OtlpPython,
    /// Grafana's typed builder of dashboards.
    GrafanaBuilder,
    /// Validators of bills of materials.
    BillValidators,
    /// A real counterpart, built.
    Counterpart(&'static counterpart::Counterpart),
    /// Debian's Prometheus.
    DebianPrometheus,
    /// Debian's VictoriaMetrics.
    DebianVictoriaMetrics,
    /// A package of npm's in the cache: its directory there, and its name.
    Npm(&'static str, &'static str),
    /// Chromium, which tests run without a screen.
    Chromium,
    /// A program in `PATH`.
    Program(&'static str),
    /// One of the programs that are compiled for tests.
    Compiled(&'static compiled::Source),
    /// The time that `cargo xtask ci --full` takes.
    Full,
}

/// Why this machine cannot give `need`; `None` where it can.
pub fn missing(need: Need) -> Option<String> {
    match need {
        Need::Root => (!rustix::process::geteuid().is_root()).then(|| "not root".into()),
        Need::Bpf => bpf().map(str::to_owned),
        Need::Memory => no_memory_controller(),
        Need::HugePages => {
            let enabled = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
            (enabled.is_empty() || enabled.contains("[never]")).then(|| "no transparent huge pages".into())
        }
        Need::Tracefs => {
            let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
            (!known.contains("tracefs")).then(|| "this kernel has no tracefs".into())
        }
        Need::Runc => {
            if places::program("runc").is_none() {
                return Some("no runc: `cargo xtask setup`".into());
            }
            no_memory_controller()
        }
        Need::Node => places::node()
            .is_none()
            .then(|| "no Node.js: `cargo xtask setup`".into()),
        Need::NodeMajor(major) => places::cached_node(major)
            .is_none()
            .then(|| format!("no Node.js {major} in the cache: `cargo xtask setup --matrix`")),
        Need::DebianNode => {
            let root = places::debian_node();
            let runs = Command::new(root.join("usr/bin/node"))
                .args(["-e", "0"])
                .env("LD_LIBRARY_PATH", root.join("usr/lib/x86_64-linux-gnu"))
                .output()
                .is_ok_and(|output| output.status.success());
            (!runs).then(|| "no Debian build of Node.js that runs here: `cargo xtask setup --matrix`".into())
        }
        Need::Musl => {
            (!crate::musl::runs()).then(|| "no Node.js on musl that runs here: `cargo xtask setup --matrix`".into())
        }
        Need::Library(package, name) => counterpart::debian_library(package, name)
            .is_none()
            .then(|| format!("no {name} of Debian's {package} in the cache: `cargo xtask setup --matrix`")),
        Need::Bun => places::cached_bun()
            .is_none()
            .then(|| "no Bun in the cache: `cargo xtask setup --matrix`".into()),
        Need::OtlpPython => (!python_has("opentelemetry.proto.collector.logs.v1.logs_service_pb2"))
            .then(|| "no Python with opentelemetry-proto: `cargo xtask setup`".into()),
        Need::GrafanaBuilder => {
            let (name, version) = GRAFANA_BUILDER;
            (!python_runs(&format!(
                "import importlib.metadata as of; assert of.version('{name}') == '{version}'"
            )))
            .then(|| format!("no Python with {name} {version}: `cargo xtask setup --matrix`"))
        }
        Need::BillValidators => (!python_has("cyclonedx.validation.json, spdx_tools.spdx.validation, jsonschema"))
            .then(|| "no Python with CycloneDX's and SPDX's libraries: `cargo xtask setup --matrix`".into()),
        Need::Counterpart(counterpart) => counterpart.missing(),
        Need::Full => env::var_os(FULL)
            .is_none_or(|full| full != "1")
            .then(|| "takes minutes: `cargo xtask ci --full`".into()),
        Need::DebianPrometheus => crate::backend::debian_prometheus()
            .is_none()
            .then(|| "no Prometheus: `cargo xtask counterpart debian-prometheus`".into()),
        Need::DebianVictoriaMetrics => crate::backend::debian_victoria_metrics()
            .is_none()
            .then(|| "no VictoriaMetrics: `cargo xtask counterpart debian-victoria-metrics`".into()),
        Need::Npm(directory, package) => places::npm_package(directory, package)
            .is_none()
            .then(|| format!("no {package} of npm's in the cache: `cargo xtask setup --matrix`")),
        Need::Chromium => places::program("chromium")
            .is_none()
            .then(|| "no Chromium: `cargo xtask setup --matrix`".into()),
        Need::Program(name) => places::program(name).is_none().then(|| format!("no `{name}` in PATH")),
        Need::Compiled(source) => source.missing(),
    }
}

fn python_has(module: &str) -> bool {
    python_runs(&format!("import {module}"))
}

fn python_runs(statements: &str) -> bool {
    Command::new(places::python())
        .args(["-c", statements])
        .output()
        .is_ok_and(|output| output.status.success())
}

fn no_memory_controller() -> Option<String> {
    places::memory_controller()
        .is_none()
        .then(|| "no memory controller of cgroup v1 or v2 is mounted".into())
}

fn bpf() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("not root: kernel programs cannot be loaded");
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Some("this kernel has no BTF");
    }
    if !places::agent().is_file() {
        return Some("the agent is not built: `cargo xtask test` builds it");
    }
    None
}

/// Whether the running test can run here; where it cannot, that is recorded under the test's name.
///
/// libtest names each test's thread after the test.
pub fn met(program: &str, needs: &[Need]) -> bool {
    let Some(reason) = needs.iter().copied().find_map(missing) else {
        return true;
    };
    let test = thread::current().name().unwrap_or("unnamed").to_owned();
    // The thread's name begins with the test's module: only the program's name is missing from it.
    let program = program.split("::").next().unwrap_or(program);
    record(&format!("{program}::{test}"), &reason);
    false
}

/// Records that `test` was skipped for `reason`.
pub fn record(test: &str, reason: &str) {
    println!("skipped: {test}: {reason}");
    if let Some(path) = env::var_os(SKIPS)
        && let Ok(mut file) = fs::OpenOptions::new().create(true).append(true).open(path)
    {
        // In one piece: other tests are skipped at the same moment. A line that cannot be written leaves the test counted as
        // passed, which the printed line contradicts.
        let _ = file.write_all(format!("{test}\t{reason}\n").as_bytes());
    }
}

/// Returns from the test, recorded as skipped, unless everything named is there.
///
/// ```text
/// #[test]
/// fn a_kill_is_seen() {
///     need!(Root, Bpf, Runc, Node);
///     ...
/// ```
#[macro_export]
macro_rules! need {
    ($($need:ident $(($($argument:expr),+))?),+ $(,)?) => {
        if !$crate::need::met(module_path!(), &[$($crate::need::Need::$need $(($($argument),+))?),+]) {
            return;
        }
    };
}
