//! An older agent in the place of a newer one while a service leaks: it puts the state that it does not know aside, begins anew and
//! says so, and reaches its own verdict; the state is there as it was.

use std::{fs, path::Path};

use observer_core::recording::LAYOUT;
use observer_tests::{
    cluster::{Cluster, DEADLINE},
    counterpart::KUBERNETES,
    need, places,
    receiver::Receiver,
    rollouts::{LEAKING, is_of, said},
    stage::Scratch,
};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde_json::{Value, json};

use super::rollouts::{SERVICE, deployment, for_test, rolled_out};

const AGENT: &str = "daemonset/observer";
const RESTART: &str = "observer.container.restart";
const CONFIRMED: &str = "observer.memory.leak_confirmed";
/// The store's table of states, as ARCHITECTURE.md has it.
const STATES: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("states");

#[test]
fn a_state_of_a_newer_agent_is_put_aside_and_kept() {
    need!(Full, Root, Bpf, Runc, Node, OtlpPython, Counterpart(&KUBERNETES));
    let cluster = Cluster::alone().unwrap();
    let scratch = Scratch::new("downgrade").unwrap();
    cluster.load_agent(scratch.path()).unwrap();
    let address = cluster.node_address().unwrap();
    let mut receiver = Receiver::start(&["--host", &address]).unwrap();
    let manifest = for_test(&format!("http://{address}:{}", receiver.port), &scratch);
    cluster.apply(&manifest, &[]).unwrap();
    rolled_out(&cluster, "observer", AGENT);
    let mut newer = cluster.follow("observer", AGENT).unwrap();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    cluster.apply(&namespace.to_string(), &[]).unwrap();
    let files = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "checkout", "namespace": "shop"},
        "data": {"checkout.js": fs::read_to_string(places::fixtures().join("checkout.js")).unwrap()},
    });
    cluster.apply(&files.to_string(), &[]).unwrap();
    cluster.apply(&deployment(LEAKING).to_string(), &[]).unwrap();
    let restarted = |finding: &Value| said(finding, SERVICE, RESTART, LEAKING).then_some(());
    newer.lines.wait_json("a first restart", DEADLINE, restarted).unwrap();

    cluster
        .ask(&[
            "delete",
            AGENT,
            "--namespace=observer",
            "--cascade=foreground",
            "--timeout=120s",
        ])
        .unwrap();
    let told = newer.lines.json_so_far();
    let store = scratch.file("store").join("history.redb");
    let put_away = as_of_a_newer_layout(&store);
    cluster.apply(&manifest, &[]).unwrap();
    rolled_out(&cluster, "observer", AGENT);
    let mut older = cluster.follow("observer", AGENT).unwrap();
    let exec = ["exec", "--namespace=observer", AGENT, "--", "/observer"];
    let shown = cluster.ask(&[&exec[..], &["status", "--json"]].concat()).unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["agent"]["store"]["resumed"], false, "{shown}");
    assert_eq!(shown["agent"]["store"]["foreign"], 1, "{shown}");
    let verdict = |finding: &Value| said(finding, SERVICE, CONFIRMED, LEAKING).then(|| finding.clone());
    older.lines.wait_json(CONFIRMED, DEADLINE, verdict).unwrap();
    // What had been found before is in the history still.
    let history = cluster
        .ask(&[&exec[..], &["history", SERVICE, "--json"]].concat())
        .unwrap();
    let before = told.iter().filter(|finding| is_of(finding, SERVICE));
    for finding in before {
        let id = finding["attributes"]["observer.finding.id"].as_str().unwrap();
        assert!(history.contains(id), "{finding} is not in {history}");
        let arrived = |record: &Value| (record["attributes"]["observer.finding.id"] == id).then_some(());
        receiver.wait(id, arrived).unwrap();
    }

    cluster
        .ask(&[
            "delete",
            AGENT,
            "--namespace=observer",
            "--cascade=foreground",
            "--timeout=120s",
        ])
        .unwrap();
    let database = Database::open(&store).unwrap();
    let reading = database.begin_read().unwrap();
    let states = reading.open_table(STATES).unwrap();
    let aside = states.get(format!("engine-layout-{}", LAYOUT + 1).as_str()).unwrap();
    assert!(aside.unwrap().value() == put_away, "it is not what it was");
    for object in ["namespace/shop", "namespace/observer"] {
        cluster
            .ask(&["delete", object, "--wait=true", "--timeout=120s"])
            .unwrap();
    }
}

/// Makes the state that was put away one of the next layout, as the next agent would have put it away: the layout's number stands at
/// its beginning, and a checksum before that.
fn as_of_a_newer_layout(store: &Path) -> Vec<u8> {
    let database = Database::open(store).unwrap();
    let writing = database.begin_write().unwrap();
    let sealed = {
        let mut states = writing.open_table(STATES).unwrap();
        let sealed = states.get("engine").unwrap().unwrap().value().to_vec();
        let body = [&(LAYOUT + 1).to_le_bytes()[..], &sealed[8..]].concat();
        let sealed = [&crc32fast::hash(&body).to_le_bytes()[..], &body].concat();
        states.insert("engine", sealed.as_slice()).unwrap();
        sealed
    };
    writing.commit().unwrap();
    sealed
}
