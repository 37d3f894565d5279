//! The watch against the real API server: late, cut, killed, forgetful, refusing; and limits changed in place.

use observer_core::{What, container_facts::ContainerFacts};
use observer_tests::{
    agent::{Agent, DEADLINE},
    cluster::{Asked, Cluster, Proxy},
    counterpart::KUBERNETES,
    need,
    stage::Scratch,
};

use super::{NODE, account, agent_as, agent_with, allow, delete, run_idle};

/// Waits for what the agent was told of a container.
fn told(agent: &mut Agent, what: &str, wanted: impl Fn(&ContainerFacts) -> bool) -> ContainerFacts {
    agent
        .wait_input(what, |input| match &input.what {
            What::Container(facts) if wanted(facts) => Some((**facts).clone()),
            _ => None,
        })
        .unwrap()
}

fn says(agent: &mut Agent, what: &str) {
    agent
        .messages
        .wait(what, DEADLINE, |line| line.contains(what).then_some(()))
        .unwrap();
}

fn lists(asked: &[Asked]) -> usize {
    asked
        .iter()
        .filter(|asked| asked.verb == "list" && asked.code == 200)
        .count()
}

#[test]
fn an_api_server_that_comes_after_the_agent_and_goes_for_a_while() {
    need!(Root, Runc, Node, Counterpart(&KUBERNETES));
    let cluster = Cluster::shared().unwrap();
    let scratch = Scratch::new("late").unwrap();
    let who = account(&cluster, "late", true);
    let (stays, leaves) = (run_idle(&cluster, "late-stays"), run_idle(&cluster, "late-leaves"));
    let proxy = Proxy::start(&cluster.server().unwrap(), false).unwrap();
    let mut agent = agent_as(&cluster, &who, NODE, &proxy, &scratch);
    says(&mut agent, "pods are not watched at the moment");

    proxy.open();
    let facts = told(&mut agent, "a pod that was there before", |facts| facts.id == stays);
    let pod = facts.pod.unwrap();
    assert_eq!(
        (pod.name.as_str(), pod.node.as_str(), pod.workload()),
        ("late-stays", NODE, ("Pod", "late-stays"))
    );
    assert_eq!(facts.memory_limit, Some(32 << 20));
    told(&mut agent, "the other one", |facts| facts.id == leaves);
    says(&mut agent, "watching");

    // Cut. What changes meanwhile is told when the line is back, from the same watch: nothing is listed anew.
    proxy.close();
    delete(&cluster, "late-leaves");
    let comes = run_idle(&cluster, "late-comes");
    let before = cluster.asked(&who, "fieldSelector").unwrap();
    proxy.open();
    told(&mut agent, "a pod that came meanwhile", |facts| facts.id == comes);
    told(&mut agent, "the end of one that went meanwhile", |facts| {
        facts.id == leaves && facts.deleted
    });
    let asked = cluster.asked(&who, "fieldSelector").unwrap();
    assert_eq!((lists(&before), lists(&asked)), (1, 1), "{asked:#?}");
    assert_eq!(
        asked[0].parameter("resourceVersion"),
        Some("0"),
        "from the server's cache: {asked:#?}"
    );
    let resumed = asked.last().unwrap();
    assert!(
        resumed.verb == "watch" && resumed.parameter("resourceVersion") > Some("0"),
        "{asked:#?}"
    );
    assert!(
        asked
            .iter()
            .all(|asked| asked.uri.contains("spec.nodeName%3Dobserver-node")),
        "{asked:#?}"
    );
    for name in ["late-stays", "late-comes"] {
        delete(&cluster, name);
    }
}

/// Killed with SIGKILL and started again, the server does not know the version at which the watch stood: 410 Gone.
#[test]
fn an_api_server_that_is_killed_and_has_forgotten() {
    need!(Root, Runc, Node, Counterpart(&KUBERNETES));
    let cluster = Cluster::alone().unwrap();
    let scratch = Scratch::new("gone").unwrap();
    let who = account(&cluster, "gone", true);
    let (stays, leaves) = (run_idle(&cluster, "gone-stays"), run_idle(&cluster, "gone-leaves"));
    let proxy = Proxy::start(&cluster.server().unwrap(), true).unwrap();
    let mut agent = agent_as(&cluster, &who, NODE, &proxy, &scratch);
    told(&mut agent, "a pod", |facts| facts.id == stays);
    told(&mut agent, "another", |facts| facts.id == leaves);

    proxy.close();
    says(&mut agent, "pods are not watched at the moment");
    delete(&cluster, "gone-leaves");
    let killed = cluster.kill_api_server().unwrap();
    killed.start_again().unwrap();
    cluster.answers().unwrap();
    let comes = run_idle(&cluster, "gone-comes");
    proxy.open();
    told(&mut agent, "a pod that came meanwhile", |facts| facts.id == comes);
    told(&mut agent, "the end of one that went meanwhile", |facts| {
        facts.id == leaves && facts.deleted
    });
    says(&mut agent, "too old resource version");
    let asked = cluster.asked(&who, "fieldSelector").unwrap();
    assert_eq!(lists(&asked), 2, "a new list after 410 Gone: {asked:#?}");
    for name in ["gone-stays", "gone-comes"] {
        delete(&cluster, name);
    }
}

#[test]
fn an_agent_without_rights_says_which_it_lacks_and_goes_on_when_it_gets_them() {
    need!(Root, Runc, Node, Counterpart(&KUBERNETES));
    let cluster = Cluster::shared().unwrap();
    let scratch = Scratch::new("refused").unwrap();
    let who = account(&cluster, "refused", false);
    let id = run_idle(&cluster, "refused");
    let proxy = Proxy::start(&cluster.server().unwrap(), true).unwrap();
    // At first nothing tells where the API server is.
    let kubeconfig = scratch.file("kubeconfig");
    let mut agent = agent_with(&kubeconfig, NODE);
    says(&mut agent, "cannot find the Kubernetes API");
    cluster.kubeconfig_of(&who, proxy.port, &kubeconfig).unwrap();
    says(&mut agent, "allow the agent's service account to list and watch pods");
    allow(&cluster, "refused");
    told(&mut agent, "a pod", |facts| facts.id == id);
    let asked = cluster.asked(&who, "fieldSelector").unwrap();
    assert!(asked.iter().any(|asked| asked.code == 403), "{asked:#?}");
    delete(&cluster, "refused");
}

/// The new limit is told by the API and read from the cgroup; the container is the one it was.
#[test]
fn a_limit_that_is_changed_in_place() {
    need!(Root, Runc, Node, Counterpart(&KUBERNETES));
    let cluster = Cluster::shared().unwrap();
    let scratch = Scratch::new("resized").unwrap();
    let who = account(&cluster, "resized", true);
    let id = run_idle(&cluster, "resized");
    let proxy = Proxy::start(&cluster.server().unwrap(), true).unwrap();
    let mut agent = agent_as(&cluster, &who, NODE, &proxy, &scratch);
    let before = told(&mut agent, "the pod", |facts| facts.id == id);
    assert_eq!(before.memory_limit, Some(32 << 20));
    let patch = r#"{"spec":{"containers":[{"name":"idle","resources":{"limits":{"memory":"48Mi"}}}]}}"#;
    cluster
        .ask(&["patch", "pod", "resized", "--subresource=resize", "--patch", patch])
        .unwrap();
    let after = told(&mut agent, "the pod with its new limit", |facts| {
        facts.id == id && facts.memory_limit == Some(48 << 20)
    });
    assert_eq!(after.restart_count, Some(0));
    delete(&cluster, "resized");
}
