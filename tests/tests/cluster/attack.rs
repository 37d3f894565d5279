//! A pod that would mislead the agent, stop it or make it grow: reads what the agent made of it and of the pod beside it.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use observer_core::{Input, What, time::BootTime};
use observer_tests::{
    agent::{self, Agent},
    cluster::{
        Cluster, DEADLINE, Proxy,
        pods::{container, list, namespace, pod, running, spec, with},
    },
    counterpart::KUBERNETES,
    need, places,
    stage::Scratch,
};
use serde_json::{Value, json};

use super::{NODE, account, causes::replayed, kubeconfig, published};

const NAMESPACE: &str = "attack";
/// A kill for memory.
const KILL: &str = "observer.process.oom_kill";
/// What lies on the host, outside of every container.
const SECRET: &str = "stolen-from-the-host";
/// Directories with a program each, and what of them is hostile.
const TRAPS: [&str; 8] = [
    "pipe", "absolute", "climbing", "device", "long", "linked", "deep", "named",
];
/// What the program is called that is named to be read by a terminal and a browser.
const NAMED: &str = "\u{1b}[2J\r\n\u{202e}<script>alert(1)<.js";
/// Bytes that an impostor may take, by its cgroup's limit.
const IMPOSTORS_LIMIT: &str = "67108864";
/// Longest Input that a process may cause, bytes: environment and published Resource are kept by name and cut.
const LONGEST_INPUT: usize = 64 << 10;
/// How much the agent may grow by, bytes.
const GROWTH: u64 = 48 << 20;

#[test]
fn a_hostile_pod_reads_blocks_and_takes_nothing() {
    need!(
        Full,
        Root,
        Bpf,
        Runc,
        Node,
        Program("cc"),
        Program("mkfifo"),
        Program("nsenter"),
        Counterpart(&KUBERNETES)
    );
    let cluster = Cluster::shared().unwrap();
    let scratch = Scratch::new("attack").unwrap();
    let who = account(&cluster, "attack", true);
    let proxy = Proxy::start(&cluster.server().unwrap(), true).unwrap();
    let kubeconfig = kubeconfig(&cluster, &who, &proxy, &scratch);
    let app = scratch.file("app");
    traps(&app, &scratch.file("outside"));

    let mut objects = namespace(NAMESPACE).unwrap();
    objects.push(pod(NAMESPACE, "alice", spec(&[container("api", "serve")])));
    cluster.apply(&list(&objects), &[]).unwrap();
    let space = format!("--namespace={NAMESPACE}");
    let pod_of = |name: &str| cluster.wait(name, &["pods", &space], |pod| running(pod, name)).unwrap();
    let alice = pod_of("alice");
    cluster.apply(&carol(&app, &alice).to_string(), &[]).unwrap();
    let carol = pod_of("carol");
    let mut command = agent::command(&["run", "--output", "json", "--status-socket", "off"]);
    command
        .args(["--sample-interval", "500ms", "--kubernetes", "on", "--node-name", NODE])
        .args(["--heap-workloads", "*"])
        .env("KUBECONFIG", &kubeconfig);
    let mut agent = Agent::spawn(&mut command).unwrap();
    let (alices, _) = agent
        .wait_input("alice's process", |input| lives_in(input, &alice))
        .unwrap();
    let (carols, around) = agent
        .wait_input("carol's process", |input| lives_in(input, &carol))
        .unwrap();
    let before = resident(agent.pid());

    cluster.apply(&mallory(&app, &alice).to_string(), &[]).unwrap();
    let mut last = BootTime(0);
    for trap in TRAPS {
        let script = Path::new("/app").join(program(trap)).display().to_string();
        let (_, at) = agent.wait_input(trap, |input| process(input, &script)).unwrap();
        last = last.max(at);
    }
    // Whatever it met there, it goes on looking at everybody.
    agent
        .wait_input("a later level of alice", |input| match &input.what {
            What::Sample(sample) if sample.process.pid == alices && input.at > last => Some(()),
            _ => None,
        })
        .unwrap();
    let restart = agent
        .wait_finding("mallory's end", |finding| {
            let of_it = finding["resource"]["k8s.pod.name"] == "mallory";
            (of_it && finding["event"] == "observer.container.restart").then(|| finding.clone())
        })
        .unwrap();
    let grown = resident(agent.pid()).saturating_sub(before);
    assert!(grown < GROWTH, "{grown} bytes more than {before}");

    let mallory = pod_of("mallory");
    let resource = &restart["resource"];
    assert_eq!(resource["k8s.pod.uid"], mallory["metadata"]["uid"], "{resource}");
    assert_eq!(resource["k8s.namespace.name"], NAMESPACE, "{resource}");
    assert_ne!(resource["container.id"], "c".repeat(64), "{resource}");
    assert_eq!(restart["attributes"]["observer.exit.cause"], "error_exit", "{restart}");

    let claim = |input: &Input| match &input.what {
        What::Resource(published) => (published.attributes.get("k8s.pod.name")? == "alice").then_some(()),
        _ => None,
    };
    agent.wait_input("what carol publishes", claim).unwrap();
    // Each is killed within its own bounds: of whose container is that told?
    let id = container_id(&alice);
    let uid = alice["metadata"]["uid"].as_str().unwrap();
    let screen = format!("\u{1b}[2J<script>{}", "x".repeat(240));
    for (n, name) in [&id, &format!("kubepods/pod{uid}/{id}"), &screen]
        .into_iter()
        .enumerate()
    {
        let _impostor = Impostor::start(&around, name, carols);
        let killed = |line: &str| {
            let finding: Value = serde_json::from_str(line).unwrap();
            finding["event"] == KILL && finding["resource"]["k8s.pod.name"] == "carol"
        };
        let told = agent.findings.wait_count("kills at carol's", DEADLINE, n + 1, killed);
        assert!(told.is_ok(), "{told:?} {:#?}", agent.findings.so_far());
    }

    let stopped = agent.stop().unwrap();
    let recording = fs::read_to_string(&stopped.recording).unwrap();
    assert!(!recording.contains(SECRET), "read outside of its root");
    for line in recording.lines() {
        assert!(line.len() < LONGEST_INPUT, "{} bytes: {:.300}", line.len(), line);
    }
    for line in &stopped.findings {
        let finding: Value = serde_json::from_str(line).unwrap();
        let resource = &finding["resource"];
        let of_alice = resource["k8s.pod.uid"] == alice["metadata"]["uid"];
        assert_eq!(resource["k8s.pod.name"] == "alice", of_alice, "{finding}");
        let of_an_end = finding["event"] == "observer.container.restart" || finding["event"] == KILL;
        assert!(!(of_alice && of_an_end), "{finding}");
        if finding["resource"]["k8s.pod.name"] == "carol" && finding["event"] == KILL {
            assert_eq!(resource["container.id"], container_id(&carol), "{finding}");
            let refused = finding["attributes"]["observer.identity.refused"].to_string();
            assert!(refused.contains("k8s.pod.name=alice (it is carol)"), "{finding}");
        }
    }
    let (ended, _) = replayed(&recording);
    let of_alice = ended.iter().filter(|ended| {
        ended
            .subject
            .resource
            .get("k8s.pod.name")
            .is_some_and(|name| name == "alice")
    });
    assert_eq!(of_alice.count(), 0, "she lives on");
    cluster
        .ask(&["delete", "namespace", NAMESPACE, "--wait=false"])
        .unwrap();
}

/// A directory for each trap, with its program; what they lead to lies outside of the container.
fn traps(app: &Path, outside: &Path) {
    let program = fs::read(places::fixtures().join("hostile.js")).unwrap();
    fs::create_dir_all(outside).unwrap();
    let secret = outside.join("package.json");
    fs::write(&secret, json!({"name": SECRET, "version": SECRET}).to_string()).unwrap();
    for trap in TRAPS {
        let directory = app.join(trap);
        fs::create_dir_all(&directory).unwrap();
        let package = directory.join("package.json");
        let climbing = format!("../../../../../../../../..{}", secret.display());
        match trap {
            "pipe" => assert!(Command::new("mkfifo").arg(&package).status().unwrap().success()),
            "absolute" => symlink(&secret, &package).unwrap(),
            "climbing" => symlink(climbing, &package).unwrap(),
            "device" => symlink("/dev/zero", &package).unwrap(),
            "long" => fs::write(
                &package,
                json!({"name": "n".repeat(1 << 20), "version": "1"}).to_string(),
            )
            .unwrap(),
            "linked" => symlink("/proc/1/exe", &package).unwrap(),
            // Its program is what is hostile.
            _ => {}
        }
        let script = app.join(self::program(trap));
        fs::create_dir_all(script.parent().unwrap()).unwrap();
        fs::write(script, &program).unwrap();
    }
    fs::write(app.join("hostile.js"), &program).unwrap();
    for library in ["mappings", "otel_context"] {
        let source = places::fixtures().join(library).with_extension("c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-pthread", "-o"]);
        compiler.arg(app.join(library).with_extension("so")).arg(source);
        assert!(compiler.status().unwrap().success());
    }
}

/// Where a trap's program lies below `/app`: one has a path as long as the kernel takes, one a name that is no text.
fn program(trap: &str) -> PathBuf {
    let directory = Path::new(trap);
    match trap {
        "deep" => directory.join(vec!["d".repeat(255); 15].join("/")).join("index.js"),
        "named" => directory.join(NAMED),
        _ => directory.join("index.js"),
    }
}

/// It claims to be alice wherever it can.
fn mallory(app: &Path, alice: &Value) -> Value {
    let uid = alice["metadata"]["uid"].as_str().unwrap();
    let claims = format!(
        "k8s.pod.name=alice,k8s.pod.uid={uid},k8s.namespace.name=kube-system,container.id={},long={}",
        "c".repeat(64),
        "v".repeat(100_000)
    );
    let environment = json!([
        {"name": "OTEL_RESOURCE_ATTRIBUTES", "value": claims},
        {"name": "LD_PRELOAD", "value": "/app/mappings.so"},
    ]);
    let more = json!({"args": ["/app/hostile.js"], "env": environment});
    let api = with(container("api", ""), more);
    let volumes = json!({"volumes": [{"name": "app", "hostPath": {"path": app}}]});
    pod(NAMESPACE, "mallory", with(spec(&[api]), volumes))
}

/// It serves, and publishes in its memory that it is alice.
fn carol(app: &Path, alice: &Value) -> Value {
    let uid = alice["metadata"]["uid"].as_str().unwrap();
    let claims = published::resource(&[
        ("service.name", "alice"),
        ("service.instance.id", "attack.alice.api"),
        ("k8s.pod.name", "alice"),
        ("k8s.pod.uid", uid),
        ("container.id", &container_id(alice)),
    ]);
    let environment = json!([
        {"name": "OTEL_CTX_FIRST", "value": claims},
        {"name": "LD_PRELOAD", "value": "/hostile/otel_context.so"},
    ]);
    let mounts = json!([
        {"name": "app", "mountPath": "/app", "readOnly": true},
        {"name": "hostile", "mountPath": "/hostile", "readOnly": true},
    ]);
    let api = with(
        container("api", "serve"),
        json!({"env": environment, "volumeMounts": mounts}),
    );
    let mut spec = spec(&[api]);
    let hostile = json!({"name": "hostile", "hostPath": {"path": app}});
    spec["volumes"].as_array_mut().unwrap().push(hostile);
    pod(NAMESPACE, "carol", spec)
}

/// The id of a pod's only container.
fn container_id(pod: &Value) -> String {
    let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap();
    id.strip_prefix("containerd://").unwrap().to_owned()
}

/// A process in a container's namespaces, in a cgroup that somebody made below the container's; gone with the value.
struct Impostor {
    child: Child,
    cgroup: PathBuf,
}

impl Impostor {
    /// Below the cgroup `around`, in the namespaces of `pid`; it takes more memory than it may have.
    fn start(around: &str, name: &str, pid: u32) -> Self {
        let (controller, version) = places::memory_controller().unwrap();
        let cgroup = controller.join(&around[1..]).join(name);
        fs::create_dir_all(&cgroup).unwrap();
        let limit = if version == 1 {
            "memory.limit_in_bytes"
        } else {
            "memory.max"
        };
        fs::write(cgroup.join(limit), IMPOSTORS_LIMIT).unwrap();
        // With the pod's program under a path that no other process has.
        let enter = "echo $$ > \"$0/cgroup.procs\" && exec nsenter -t \"$1\" -m -p /usr/bin/node /app/./pod.js buffers";
        let child = Command::new("sh")
            .args(["-c", enter])
            .arg(&cgroup)
            .arg(pid.to_string())
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, cgroup }
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        // It was killed, and what is left of it is nsenter; the cgroup goes with the pod's where it is still in use.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir(&self.cgroup);
    }
}

/// The pid and cgroup of the process that runs in a pod's only container.
fn lives_in(input: &Input, pod: &Value) -> Option<(u32, String)> {
    match &input.what {
        What::Process(facts) if facts.is_watched() && facts.cgroup.ends_with(&container_id(pod)) => {
            Some((facts.key.pid, facts.cgroup.clone()))
        }
        _ => None,
    }
}

/// The pid of the process that runs this script, and when that was known.
fn process(input: &Input, script: &str) -> Option<(u32, BootTime)> {
    match &input.what {
        What::Process(facts) if facts.script.as_deref() == Some(script) => Some((facts.key.pid, input.at)),
        _ => None,
    }
}

/// Bytes that a process holds.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
