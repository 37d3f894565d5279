//! The test cluster as a test uses it: reads nothing, produces a running one, images in it, and `kubectl`.
//!
//! One host has room for one cluster, so that the tests of a program share it ([`Cluster::shared`]); those that end the
//! API server take their turn alone ([`Cluster::alone`]).

mod audit;
mod parts;
pub mod pods;
mod proxy;

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::{
    app,
    counterpart::{Counterpart, KUBERNETES},
    lines::Lines,
    need, places,
};

pub use audit::Asked;
use parts::MACHINE;
pub use parts::{API_SERVER, processes};
pub use proxy::Proxy;

/// The cluster in use.
static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
/// Whose turn it is: readers use the API server, a writer may end it.
static TURN: RwLock<()> = RwLock::new(());

/// Longest time for anything a cluster is waited for.
pub const DEADLINE: Duration = Duration::from_mins(3);

/// A running cluster; ended with its last user.
#[derive(Debug)]
pub struct Cluster {
    kubeconfig: PathBuf,
}

/// The cluster, for as long as this is held, beside other tests that leave it as it is.
#[derive(Debug)]
pub struct SharedCluster {
    /// Given back before the cluster is let go.
    _turn: RwLockReadGuard<'static, ()>,
    cluster: Arc<Cluster>,
}

/// The cluster, for as long as this is held, with nobody beside.
#[derive(Debug)]
pub struct ExclusiveCluster {
    _turn: RwLockWriteGuard<'static, ()>,
    cluster: Arc<Cluster>,
}

impl std::ops::Deref for SharedCluster {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl std::ops::Deref for ExclusiveCluster {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl Cluster {
    /// The one that this program's tests share: started by the first, ended by the last. Whoever waits for a turn holds
    /// it, so that it lives from the first test to the last where two or more run side by side.
    pub fn shared() -> Result<SharedCluster> {
        let cluster = Self::in_use()?;
        let turn = TURN.read().unwrap_or_else(PoisonError::into_inner);
        Ok(SharedCluster { _turn: turn, cluster })
    }

    /// The same, with nobody beside.
    pub fn alone() -> Result<ExclusiveCluster> {
        let cluster = Self::in_use()?;
        let turn = TURN.write().unwrap_or_else(PoisonError::into_inner);
        Ok(ExclusiveCluster { _turn: turn, cluster })
    }

    /// One whose node has this cgroup version, with nobody beside: a virtual machine where this host has another.
    pub fn with_cgroup(version: u8) -> Result<ExclusiveCluster> {
        let turn = TURN.write().unwrap_or_else(PoisonError::into_inner);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = Arc::new(Self::up(&["--cgroup", &version.to_string()])?);
        *shared = Arc::downgrade(&cluster);
        Ok(ExclusiveCluster { _turn: turn, cluster })
    }

    fn in_use() -> Result<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = shared.upgrade() {
            return Ok(cluster);
        }
        let cluster = Arc::new(Self::up(&[])?);
        *shared = Arc::downgrade(&cluster);
        Ok(cluster)
    }

    /// A fresh one: `cargo xtask cluster`, as people start it.
    fn up(options: &[&str]) -> Result<Self> {
        printed(&mut xtask(&["cluster", "down"]))?;
        let printed = printed(&mut xtask(&[&["cluster", "up"], options].concat()))?;
        let kubeconfig = printed
            .lines()
            .find_map(|line| line.strip_prefix("export KUBECONFIG="))
            .with_context(|| format!("`cargo xtask cluster up` names no KUBECONFIG:\n{printed}"))?;
        Ok(Self {
            kubeconfig: kubeconfig.into(),
        })
    }

    /// Ends it, whoever uses it; fails where something of it stays.
    pub fn down() -> Result<()> {
        printed(&mut xtask(&["cluster", "down"])).map(drop)
    }

    /// Hands it the agent as the image that the manifest names: the one that this workspace has built for its tests, or
    /// under `cargo xtask ci --full` the static one that people get, unless `OBSERVER_BIN` names one.
    pub fn load_agent(&self, scratch: &Path) -> Result<()> {
        let archive = scratch.join("observer.oci.tar").display().to_string();
        let agent = places::agent().display().to_string();
        let mut arguments = vec!["image", "--output", &archive];
        if need::missing(need::Need::Full).is_some() || env::var_os("OBSERVER_BIN").is_some() {
            arguments.extend(["--built", &agent]);
        }
        printed(&mut xtask(&arguments))?;
        printed(&mut xtask(&["cluster", "load", &archive])).map(drop)
    }

    /// Puts a seccomp profile on the node, where its kubelet looks for it.
    pub fn give_seccomp_profile(&self, name: &str, profile: &str) -> Result<()> {
        let directory = self.kubeconfig.with_file_name("kubelet").join("seccomp");
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        fs::write(directory.join(name), profile).with_context(|| format!("cannot write the profile {name}"))
    }

    /// Hands its kubelet a static pod, until the value is dropped. Its node is this host.
    pub fn give_static_pod(&self, name: &str, pod: &Value) -> Result<StaticPod> {
        let file = self.kubeconfig.with_file_name("manifests").join(format!("{name}.json"));
        fs::write(&file, pod.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(StaticPod { file })
    }

    /// Where the API server is, `HOST:PORT`.
    pub fn server(&self) -> Result<String> {
        let url = self.ask(&["config", "view", "-o", "jsonpath={.clusters[0].cluster.server}"])?;
        let host = url
            .trim()
            .strip_prefix("https://")
            .context("the API server has no https URL")?;
        Ok(if host.contains(':') {
            host.to_owned()
        } else {
            format!("{host}:443")
        })
    }

    /// Address of the node, which pods reach.
    pub fn node_address(&self) -> Result<String> {
        let path = "jsonpath={.items[0].status.addresses[?(@.type==\"InternalIP\")].address}";
        Ok(self.ask(&["get", "nodes", "-o", path])?.trim().to_owned())
    }

    /// A KUBECONFIG of a service account (`namespace/name`) through a proxy on the loopback.
    pub fn kubeconfig_of(&self, account: &str, through: u16, file: &Path) -> Result<()> {
        let (namespace, name) = account.split_once('/').context("an account is `namespace/name`")?;
        let token = self.ask(&["create", "token", name, "--namespace", namespace])?;
        let authority = self.kubeconfig.with_file_name("pki").join("ca.crt");
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "users": [{"name": "test", "user": {"token": token.trim()}}],
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://127.0.0.1:{through}"),
                "tls-server-name": "kubernetes.default.svc",
                "certificate-authority": authority,
            }}],
        });
        fs::write(file, text.to_string()).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Requests for pods by a service account (`namespace/name`) whose path and query contain `about`.
    pub fn asked(&self, account: &str, about: &str) -> Result<Vec<Asked>> {
        let user = format!("system:serviceaccount:{}", account.replace('/', ":"));
        audit::read(&self.kubeconfig.with_file_name("log").join("audit.log"), &user, about)
    }

    /// Kills the API server with SIGKILL.
    pub fn kill_api_server(&self) -> Result<parts::Killed> {
        parts::kill(API_SERVER)
    }

    /// Takes the power from a node that is a virtual machine and gives it back; returns when its kubelet is ready in the next boot.
    pub fn reboot_node(&self, within: Duration) -> Result<()> {
        let boot = |node: &Value| node["status"]["nodeInfo"]["bootID"].as_str().map(str::to_owned);
        let before = self.wait("the node", &["nodes"], boot)?;
        parts::kill(MACHINE)?.start_again()?;
        self.wait_for("the node's next boot", within, &["nodes"], |node| {
            let mut conditions = node["status"]["conditions"].as_array()?.iter();
            let ready = conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
            (boot(node)? != before && ready).then_some(())
        })
    }

    /// `kubectl ARGUMENTS`
    pub fn kubectl(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(KUBERNETES.program("kubectl").context("kubectl is not built")?);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(arguments);
        Ok(command)
    }

    /// What `kubectl ARGUMENTS` prints.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        printed(&mut self.kubectl(arguments)?)
    }

    /// What `helm ARGUMENTS` of this version prints.
    pub fn helm(&self, helm: &Counterpart, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(helm.program("helm").context("Helm is not built")?);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(arguments);
        printed(&mut command)
    }

    /// Applies a manifest's text.
    pub fn apply(&self, manifest: &str, options: &[&str]) -> Result<String> {
        self.tell(&[&["apply", "-f", "-"], options].concat(), manifest)
    }

    /// Evicts a pod, as draining a node does.
    pub fn evict(&self, namespace: &str, name: &str) -> Result<String> {
        let eviction =
            json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}});
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
        self.tell(&["create", "--raw", &path, "-f", "-"], &eviction.to_string())
    }

    /// What `kubectl ARGUMENTS` prints, given a text.
    fn tell(&self, arguments: &[&str], text: &str) -> Result<String> {
        let mut command = self.kubectl(arguments)?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start kubectl")?;
        child
            .stdin
            .take()
            .context("no standard input")?
            .write_all(text.as_bytes())?;
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "kubectl {}: {said}", arguments.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &said)
    }

    /// The first object that `kubectl get ARGUMENTS -o json` lists for which `wanted` has something.
    pub fn wait<T>(&self, what: &str, arguments: &[&str], wanted: impl Fn(&Value) -> Option<T>) -> Result<T> {
        self.wait_for(what, DEADLINE, arguments, wanted)
    }

    /// The same, for as long as `within`.
    pub fn wait_for<T>(
        &self,
        what: &str,
        within: Duration,
        arguments: &[&str],
        wanted: impl Fn(&Value) -> Option<T>,
    ) -> Result<T> {
        let started = Instant::now();
        loop {
            let listed: Value = serde_json::from_str(&self.ask(&[&["get", "-o", "json"], arguments].concat())?)?;
            let items = listed["items"].as_array().into_iter().flatten();
            if let Some(found) = items.into_iter().find_map(&wanted) {
                return Ok(found);
            }
            if started.elapsed() > within {
                bail!("{what}: not within {} s; the last answer: {listed}", within.as_secs());
            }
            // The look-out for the API server's next answer.
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    /// Waits until the API server is ready.
    pub fn answers(&self) -> Result<()> {
        let started = Instant::now();
        while let Err(error) = self.ask(&["get", "--raw", "/readyz", "--request-timeout=10s"]) {
            ensure!(
                started.elapsed() < DEADLINE,
                "the API server does not answer: {error:#}"
            );
            // Its return can only be looked for.
            std::thread::sleep(Duration::from_millis(250));
        }
        Ok(())
    }

    /// Lines of a workload's log, from its beginning on; the process that reads them ends with the value.
    pub fn follow(&self, namespace: &str, of: &str) -> Result<LogStream> {
        let mut command = self.kubectl(&["logs", "--namespace", namespace, "--follow", of])?;
        let mut child = app::dies_with_us(&mut command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("cannot start kubectl")?;
        let lines = Lines::of(child.stdout.take().context("no standard output")?);
        Ok(LogStream { child, lines })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        // A successor has been started since, and has removed what was left of this one.
        if shared.strong_count() == 0 {
            // Where it was ended before there is nothing to do.
            let _ = Self::down();
        }
    }
}

/// A static pod, which ends with its file.
#[derive(Debug)]
pub struct StaticPod {
    file: PathBuf,
}

impl Drop for StaticPod {
    fn drop(&mut self) {
        // Removed with the whole cluster at the latest.
        let _ = fs::remove_file(&self.file);
    }
}

/// A log that is being read.
#[derive(Debug)]
pub struct LogStream {
    child: Child,
    /// Its lines.
    pub lines: Lines,
}

impl Drop for LogStream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `cargo xtask ARGUMENTS`: cargo becomes the program, so that who kills one kills the other.
pub fn xtask(arguments: &[&str]) -> Command {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["run", "--quiet", "--package", "xtask", "--"])
        .args(arguments)
        .current_dir(places::workspace());
    command
}

fn printed(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{command:?} failed: {}\n{text}{said}",
        output.status
    );
    Ok(text)
}
