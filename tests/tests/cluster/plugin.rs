//! `kubectl observer` as a person runs it: the plugin in PATH, the cluster's own kubectl, agents of which one does not answer.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
};

use observer_tests::{cluster::Cluster, places, stage::Scratch};
use serde_json::{Value, json};

/// What it prints of a service that leaked, and of whom it says that they do not answer.
pub(super) fn shows(cluster: &Cluster, scratch: &Scratch, service: &str, namespace: &str) {
    let plugins = scratch.file("plugins");
    fs::create_dir_all(&plugins).unwrap();
    symlink(places::agent(), plugins.join("kubectl-observer")).unwrap();
    // An agent's pod for which there is no node.
    let stuck = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "stuck", "namespace": "observer",
            "labels": {"app.kubernetes.io/name": "observer", "app.kubernetes.io/component": "agent"},
        },
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": "nowhere"},
            "containers": [{"name": "observer", "image": "docker.io/local/pause:1", "imagePullPolicy": "Never"}],
        },
    });
    cluster.apply(&stuck.to_string(), &[]).unwrap();
    let run = |arguments: &[&str]| plugin(cluster, &plugins, arguments);

    let (page, said) = printed(&run(&["ps"]));
    let line = page.lines().find(|line| line.contains(service)).unwrap();
    assert!(line.contains(super::NODE), "{page}");
    let silent = "node of pod observer/stuck does not answer: its agent is Pending";
    assert!(said.contains(silent), "{said}");
    let (json, _) = printed(&run(&["--namespace", namespace, "ps", "--json"]));
    let workloads: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert!(
        workloads.iter().all(|of| of["workload"]["namespace"] == namespace),
        "{json}"
    );
    assert_eq!(workloads[0]["service"], service, "{json}");

    let (text, _) = printed(&run(&["explain", &format!("{namespace}/{service}")]));
    assert!(text.contains("the leak is gone"), "{text}");
    let html = scratch.file("all.html");
    printed(&run(&["report", "--all", "--html", html.to_str().unwrap()]));
    let html = fs::read_to_string(html).unwrap();
    assert!(html.contains(&format!("{service} on {}", super::NODE)), "{html:.2000}");

    // What is wrong is told with what to do next.
    let failing = |arguments: &[&str]| {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(failing(&["ps", "--agent-selector", "app=nobody"]).contains("--agent-namespace"));
    assert!(
        failing(&[
            "ps",
            "--agent-selector",
            "app.kubernetes.io/name=observer",
            "--node",
            "stuck"
        ])
        .contains("no agent's pod")
    );
    cluster
        .ask(&["delete", "pod", "stuck", "--namespace", "observer", "--wait=false"])
        .unwrap();
    assert!(failing(&["ps", "--context", "nobody"]).contains("nobody"));
}

/// `kubectl observer ARGUMENTS`
fn plugin(cluster: &Cluster, plugins: &Path, arguments: &[&str]) -> Output {
    let kubectl = cluster.kubectl(&[]).unwrap();
    let (program, kubeconfig) = (kubectl.get_program(), kubectl.get_args().nth(1).unwrap());
    let path = [plugins, Path::new(program).parent().unwrap()].map(|path| path.display().to_string());
    Command::new(program)
        .arg("observer")
        .args(arguments)
        .env("PATH", path.join(":") + ":/usr/bin:/bin")
        .env("KUBECONFIG", kubeconfig)
        .output()
        .unwrap()
}

fn printed(output: &Output) -> (String, String) {
    let (out, said) = (&output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "{said}");
    (String::from_utf8(out.clone()).unwrap(), said)
}
