//! Bookmarks: on a node where nothing happens, the watch moves on with the cluster all the same.

use std::time::Duration;

use observer_tests::{
    agent::DEADLINE,
    cluster::{Cluster, Proxy},
    counterpart::KUBERNETES,
    need,
    stage::Scratch,
};

use super::{account, agent_as, delete, run_idle};

/// The API server sends one about a minute after a watch began, and then each minute.
const BOOKMARK: Duration = Duration::from_secs(90);

#[test]
fn a_watch_of_a_quiet_node_is_resumed_at_a_bookmark() {
    need!(Root, Runc, Node, Full, Counterpart(&KUBERNETES));
    let cluster = Cluster::shared().unwrap();
    let scratch = Scratch::new("quiet").unwrap();
    let who = account(&cluster, "quiet", true);
    let proxy = Proxy::start(&cluster.server().unwrap(), true).unwrap();
    // No such node has pods: no event can move the watch on.
    let mut agent = agent_as(&cluster, &who, "a-quiet-node", &proxy, &scratch);
    let knows_none = "the Kubernetes API knows no pod on node a-quiet-node";
    agent
        .messages
        .wait(knows_none, DEADLINE, |line| line.contains(knows_none).then_some(()))
        .unwrap();
    let watches = |cluster: &Cluster| cluster.asked(&who, "watch=true").unwrap_or_default();
    cluster
        .wait("the watch", &["namespaces"], |_| {
            (!watches(&cluster).is_empty()).then_some(())
        })
        .unwrap();
    // The cluster moves on elsewhere: a bookmark tells how far, and none is sent where there is nothing to tell.
    run_idle(&cluster, "elsewhere");
    delete(&cluster, "elsewhere");
    // The protocol's own pace; nothing of it shows before the next request.
    std::thread::sleep(BOOKMARK);
    proxy.close();
    proxy.open();
    let version = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let (first, second) = cluster
        .wait("the resumed watch", &["namespaces"], |_| {
            let mut versions: Vec<u64> = watches(&cluster)
                .iter()
                .map(|a| version(a.parameter("resourceVersion")))
                .collect();
            versions.dedup();
            Some((*versions.first()?, *versions.get(1)?))
        })
        .unwrap();
    assert!(second > first, "resumed at {second}, begun at {first}");
    let lists = cluster.asked(&who, "fieldSelector").unwrap();
    let lists = lists.iter().filter(|asked| asked.verb == "list").count();
    assert_eq!(lists, 1, "resumed, not listed anew");
}
