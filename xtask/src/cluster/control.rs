//! The API server as one who administers it: reads its answers through the real `kubectl`, produces waits and a status.

use std::{
    process::{Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use observer_tests::counterpart::KUBERNETES;

use super::{
    part,
    place::{MACHINE, NODE, Place},
};
use crate::shell;

/// The parts that `up` starts.
pub(super) fn parts(place: &Place) -> Vec<&'static str> {
    let control = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];
    let node: &[&str] = if place.machine {
        &[MACHINE]
    } else {
        &["containerd", "kubelet"]
    };
    control.iter().chain(node).copied().collect()
}

/// `kubectl` as the cluster's administrator.
pub(super) fn kubectl(place: &Place, arguments: &[&str]) -> Result<Command> {
    let program = KUBERNETES
        .program("kubectl")
        .context("kubectl is not built: `cargo xtask cluster up`")?;
    let mut command = Command::new(program);
    command
        .arg("--kubeconfig")
        .arg(place.kubeconfig("admin"))
        .arg("--request-timeout=20s")
        .args(arguments)
        // Discovery is cached below HOME otherwise.
        .arg("--cache-dir")
        .arg(place.at("kubectl"));
    Ok(command)
}

/// Whether everything runs and the node is ready.
pub(super) fn healthy(place: &Place) -> bool {
    let running = part::running(place).unwrap_or_default();
    let all = parts(place)
        .iter()
        .all(|name| running.iter().any(|part| part.name == *name));
    let jsonpath = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
    all && kubectl(place, &["get", "node", NODE, "-o", jsonpath])
        .and_then(shell::quiet)
        .is_ok_and(|status| status == "True")
}

/// Waits until `kubectl ARGUMENTS` succeeds; fails when the part that answers it has died, with its last lines.
pub(super) fn until(place: &Place, part: &str, what: &str, deadline: Duration, ready: impl Fn() -> bool) -> Result<()> {
    let started = Instant::now();
    // Polled, since none of these parts says when it is ready.
    while !ready() {
        let alive = part::running(place)?.iter().any(|running| running.name == part);
        if !alive || started.elapsed() > deadline {
            let state = if alive {
                "is not there yet"
            } else {
                "cannot come: its part has ended"
            };
            bail!(
                "{what} {state}, after {} s\n{}",
                started.elapsed().as_secs(),
                last_lines(place, part)
            );
        }
        thread::sleep(Duration::from_millis(200));
    }
    println!("cluster: {what} ({} s)", started.elapsed().as_secs());
    Ok(())
}

fn last_lines(place: &Place, part: &str) -> String {
    // What runs in a machine writes to its serial line.
    let path = place.log(if part == MACHINE { "node" } else { part });
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(12)..].join("\n  ");
    format!("end of {}:\n  {tail}", path.display())
}

/// `cargo xtask cluster status`
pub(super) fn status(place: &Place) -> Result<ExitCode> {
    let running = part::running(place)?;
    let mut complete = true;
    for name in parts(place) {
        let pids: Vec<String> = running
            .iter()
            .filter(|part| part.name == name)
            .map(|part| part.pid.to_string())
            .collect();
        complete &= !pids.is_empty();
        let state = if pids.is_empty() {
            "not running".to_owned()
        } else {
            pids.join(" ")
        };
        println!("{name}: {state}");
    }
    if complete {
        for what in [["nodes", "-o", "wide"], ["pods", "-A", "-owide"]] {
            let arguments = ["get"].iter().chain(&what).copied().collect::<Vec<_>>();
            print!("{}", shell::quiet(kubectl(place, &arguments)?)?);
        }
        println!("export KUBECONFIG={}", place.kubeconfig("admin").display());
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
