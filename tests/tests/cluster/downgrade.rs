//! An older agent in the place of a newer one while a service leaks: it puts the state that it does not know aside, begins anew and
//! says so, and reaches its own verdict; the state is there as it was.

use std::path::Path;

use observer_core::recording::LAYOUT;
use observer_tests::{
    cluster::DEADLINE,
    counterpart::KUBERNETES,
    need,
    rollouts::{LEAKING, is_of, said},
};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde_json::Value;

use super::{
    mid_leak::{AGENT, CONFIRMED, MidLeak, RESTART},
    rollouts::SERVICE,
};

/// The store's table of states, as ARCHITECTURE.md has it.
const STATES: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("states");

#[test]
fn a_state_of_a_newer_agent_is_put_aside_and_kept() {
    need!(Full, Root, Bpf, Runc, Node, OtlpPython, Counterpart(&KUBERNETES));
    let (mut begun, mut newer) = MidLeak::start("downgrade");
    let restarted = |finding: &Value| said(finding, SERVICE, RESTART, LEAKING).then_some(());
    newer.lines.wait_json("a first restart", DEADLINE, restarted).unwrap();

    begun.end_agent();
    let told = newer.lines.json_so_far();
    let store = begun.scratch.file("store").join("history.redb");
    let put_away = as_of_a_newer_layout(&store);
    let mut older = begun.start_agent();
    let exec = ["exec", "--namespace=observer", AGENT, "--", "/observer"];
    let shown = begun.cluster.ask(&[&exec[..], &["status", "--json"]].concat()).unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["agent"]["store"]["resumed"], false, "{shown}");
    assert_eq!(shown["agent"]["store"]["foreign"], 1, "{shown}");
    let verdict = |finding: &Value| said(finding, SERVICE, CONFIRMED, LEAKING).then(|| finding.clone());
    older.lines.wait_json(CONFIRMED, DEADLINE, verdict).unwrap();
    // What had been found before is in the history still.
    let history = begun
        .cluster
        .ask(&[&exec[..], &["history", SERVICE, "--json"]].concat())
        .unwrap();
    let before = told.iter().filter(|finding| is_of(finding, SERVICE));
    for finding in before {
        let id = finding["attributes"]["observer.finding.id"].as_str().unwrap();
        assert!(history.contains(id), "{finding} is not in {history}");
        let arrived = |record: &Value| (record["attributes"]["observer.finding.id"] == id).then_some(());
        begun.receiver.wait(id, arrived).unwrap();
    }

    begun.end_agent();
    let database = Database::open(&store).unwrap();
    let reading = database.begin_read().unwrap();
    let states = reading.open_table(STATES).unwrap();
    let aside = states.get(format!("engine-layout-{}", LAYOUT + 1).as_str()).unwrap();
    assert!(aside.unwrap().value() == put_away, "it is not what it was");
    begun.end();
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
