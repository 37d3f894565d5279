//! The agents of a cluster: asks `kubectl` which there are, and each of them a question in its own pod, with the rights of
//! whoever runs it.

use std::{
    io::{self, Read},
    process::{Child, Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};

use crate::{
    command::ask::{Agents, Answer},
    question::Question,
    terminal::clean,
};

/// Nodes asked at once.
const AT_ONCE: usize = 16;
/// Longest wait for a node's answer: longer than the agent's own patience.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest answer, bytes.
const LONGEST: u64 = 256 << 20;
/// Bytes kept of what `kubectl` says of a failure.
const SAID: u64 = 4 << 10;
/// The agent's container in the chart and in the plain manifest.
const CONTAINER: &str = "observer";
/// A pod a line: namespace, name, node, phase, and whether it is being deleted.
const COLUMNS: &str = r#"jsonpath={range .items[*]}{.metadata.namespace}{"\t"}{.metadata.name}{"\t"}{.spec.nodeName}{"\t"}{.status.phase}{"\t"}{.metadata.deletionTimestamp}{"\n"}{end}"#;

/// How to reach the cluster, and which agents are asked.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Place {
    /// The kubeconfig file, as kubectl takes it
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<String>,
    /// The context of the kubeconfig, as kubectl takes it
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// Only these nodes
    #[arg(long, global = true, value_name = "NAME,...", value_delimiter = ',')]
    node: Vec<String>,
    /// Namespace of the agents' pods [default: looked for in all]
    #[arg(long, global = true, value_name = "NAME")]
    agent_namespace: Option<String>,
    /// Labels of the agents' pods
    #[arg(
        long,
        global = true,
        value_name = "LABELS",
        default_value = "app.kubernetes.io/name=observer,app.kubernetes.io/component=agent"
    )]
    agent_selector: String,
}

/// An agent's pod.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pod {
    namespace: String,
    name: String,
    node: String,
    phase: String,
}

impl Pod {
    /// The node's name, or the pod's where it is on none.
    fn place(&self) -> String {
        let (namespace, name) = (&self.namespace, &self.name);
        let place = match self.node.as_str() {
            "" => format!("of pod {namespace}/{name}"),
            node => node.to_owned(),
        };
        clean::name(&place).into_owned()
    }
}

/// All agents that are meant.
#[derive(Debug)]
pub(super) struct Nodes {
    place: Place,
}

impl Nodes {
    pub(super) const fn new(place: Place) -> Self {
        Self { place }
    }

    fn kubectl(&self) -> Command {
        let mut command = Command::new("kubectl");
        if let Some(file) = &self.place.kubeconfig {
            command.args(["--kubeconfig", file]);
        }
        if let Some(context) = &self.place.context {
            command.args(["--context", context]);
        }
        command
    }

    fn pods(&self) -> anyhow::Result<Vec<Pod>> {
        let mut command = self.kubectl();
        command.args([
            "get",
            "pods",
            "--output",
            COLUMNS,
            "--selector",
            &self.place.agent_selector,
        ]);
        match &self.place.agent_namespace {
            Some(namespace) => command.args(["--namespace", namespace]),
            None => command.arg("--all-namespaces"),
        };
        let listed = printed(&mut command).map_err(|error| {
            let next = match &self.place.agent_namespace {
                None => "; where you may not list pods of all namespaces, name the agents' with --agent-namespace",
                Some(_) => "",
            };
            anyhow!("cannot find the agents: {error}{next}")
        })?;
        let pods = wanted(&listed, &self.place.node);
        if pods.is_empty() {
            bail!(
                "no agent's pod has the labels {}; is observer installed in this cluster? --agent-selector and --agent-namespace say \
                 where",
                self.place.agent_selector
            );
        }
        Ok(pods)
    }

    fn ask_one(&self, pod: &Pod, question: &str) -> anyhow::Result<String> {
        if pod.phase != "Running" {
            bail!("its agent is {}", pod.phase);
        }
        let mut command = self.kubectl();
        command.args([
            "exec",
            "--namespace",
            &pod.namespace,
            &pod.name,
            "--container",
            CONTAINER,
        ]);
        command.args(["--", "/observer", "ask", question]);
        printed(&mut command)
    }
}

impl Agents for Nodes {
    fn ask(&self, question: &Question) -> anyhow::Result<Vec<Answer>> {
        let question = serde_json::to_string(question)?;
        let pods = self.pods()?;
        let next = Mutex::new(pods.iter().enumerate());
        let answers = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..AT_ONCE.min(pods.len()) {
                scope.spawn(|| {
                    loop {
                        // A thread that panicked held nothing half done.
                        let taken = next.lock().map_or(None, |mut next| next.next());
                        let Some((at, pod)) = taken else { break };
                        let text = self.ask_one(pod, &question);
                        if let Ok(mut answers) = answers.lock() {
                            let node = pod.place();
                            answers.push((at, Answer { node, text }));
                        }
                    }
                });
            }
        });
        let mut answers = answers.into_inner().unwrap_or_default();
        answers.sort_by_key(|(at, _)| *at);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }
}

/// One pod for each of the nodes, in order of their names: that which runs, where another is on its way out.
fn wanted(listed: &str, nodes: &[String]) -> Vec<Pod> {
    let mut pods: Vec<(bool, Pod)> = listed.lines().filter_map(pod).collect();
    pods.retain(|(_, pod)| nodes.is_empty() || nodes.contains(&pod.node));
    pods.sort_by(|(leaves, a), (others, b)| {
        (&a.node, leaves, a.phase != "Running", &a.name).cmp(&(&b.node, others, b.phase != "Running", &b.name))
    });
    // A pod without a node has none to share.
    pods.dedup_by(|(_, a), (_, b)| !a.node.is_empty() && a.node == b.node);
    pods.into_iter().map(|(_, pod)| pod).collect()
}

fn pod(line: &str) -> Option<(bool, Pod)> {
    let mut columns = line.split('\t').map(str::to_owned);
    let pod = Pod {
        namespace: columns.next()?,
        name: columns.next()?,
        node: columns.next()?,
        phase: columns.next()?,
    };
    Some((columns.next().is_some_and(|deleted| !deleted.is_empty()), pod))
}

/// What a command prints; what it says, where it fails.
fn printed(command: &mut Command) -> anyhow::Result<String> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow!("there is no kubectl in PATH"),
        _ => anyhow!("cannot start kubectl: {error}"),
    })?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let out = thread::spawn(move || read(out, LONGEST));
    let err = thread::spawn(move || read(err, SAID));
    let status = ended(&mut child)?;
    let read = |thread: thread::JoinHandle<io::Result<String>>| {
        let text = thread.join().map_err(|_| anyhow!("a thread panicked"))?;
        text.context("cannot read what kubectl prints")
    };
    let (out, err) = (read(out)?, read(err)?);
    if !status {
        // The last line says what failed; those before are kubectl's own ("command terminated with ...").
        let lines: Vec<&str> = err.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        bail!("{}", clean::sentence(&lines.join("; ")));
    }
    Ok(out)
}

fn read(from: Option<impl Read>, longest: u64) -> io::Result<String> {
    let mut text = Vec::new();
    if let Some(from) = from {
        let mut from = from;
        from.by_ref().take(longest).read_to_end(&mut text)?;
        // What is beyond is read and let go, so that nobody waits to write it.
        io::copy(&mut from, &mut io::sink())?;
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Whether it succeeded; ended by force where it takes too long.
fn ended(child: &mut Child) -> anyhow::Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if Instant::now() > deadline {
            // It may have ended meanwhile.
            let _ = child.kill();
            let _ = child.wait();
            bail!("no answer within {} s", PATIENCE.as_secs());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pod_for_each_node_that_which_runs() {
        let listed = "a\tobserver-1\tnode-b\tRunning\t2026-01-01T00:00:00Z\n\
                      a\tobserver-2\tnode-b\tPending\t\n\
                      a\tobserver-3\tnode-a\tRunning\t\n\
                      a\tobserver-4\tnode-a\tFailed\t\n\
                      a\tobserver-5\t\tPending\t\n\
                      a\tobserver-6\t\tPending\t\n\
                      broken\n";
        let names = |nodes: &[String]| -> Vec<String> {
            let pods = wanted(listed, nodes);
            pods.into_iter().map(|pod| pod.name).collect()
        };
        assert_eq!(names(&[]), ["observer-5", "observer-6", "observer-3", "observer-2"]);
        assert_eq!(names(&["node-a".to_owned()]), ["observer-3"]);
        assert_eq!(names(&["node-c".to_owned()]), [""; 0]);
    }

    #[test]
    fn what_a_command_prints_and_what_it_says_where_it_fails() {
        let run = |script: &str| printed(Command::new("sh").args(["-c", script]));
        assert_eq!(run("echo yes").unwrap(), "yes\n");
        let failed = run("echo out; echo first >&2; echo second >&2; exit 3").unwrap_err();
        assert_eq!(failed.to_string(), "first; second");
        let missing = printed(&mut Command::new("/nowhere/kubectl")).unwrap_err();
        assert_eq!(missing.to_string(), "there is no kubectl in PATH");
    }
}
