//! The table of `observer ps`: reads workloads as they stand, produces one line for each life in progress, in a given
//! width, those reported to leak first.

use std::{cmp::Reverse, collections::BTreeSet};

use observer_core::{
    detect::State,
    engine::view::{RunView, SlotView, WorkloadView},
    finding::CeilingKind,
    identity::Slot,
    semconv,
    telemetry::units::{self, seconds as duration},
};

use crate::terminal::text;

const COLUMNS: usize = 9;
/// Columns whose texts may be cut: service, node, instance, version; the least they are cut to.
const FLEXIBLE: [usize; 4] = [10, 8, 10, 7];
const HEADINGS: [&str; COLUMNS] = [
    "SERVICE", "NODE", "INSTANCE", "VERSION", "STATE", "LEVEL", "CEILING", "RUN", "UP",
];
/// The column that is left out where only one agent is asked.
const NODE: usize = 1;
/// Columns of numbers, which stand at their right edge.
const RIGHT: [bool; COLUMNS] = [false, false, false, false, false, true, true, true, true];

/// A workload as an agent watches it.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    /// The agent's node; empty where only one agent is asked.
    pub node: String,
    /// What is watched.
    pub workload: WorkloadView,
}

impl Watched {
    /// As the only agent watches them.
    pub fn here(workloads: Vec<WorkloadView>) -> Vec<Self> {
        Self::on("", workloads)
    }

    /// As the agent of a node watches them.
    pub fn on(node: &str, workloads: Vec<WorkloadView>) -> Vec<Self> {
        let watched = workloads.into_iter().map(|workload| Self {
            node: node.to_owned(),
            workload,
        });
        watched.collect()
    }
}

/// The table; `now_s` is seconds since 1970, for the ages of runs.
pub fn table(watched: &[Watched], now_s: f64, width: usize) -> String {
    let mut rows: Vec<(Reverse<State>, [String; COLUMNS])> = Vec::new();
    for Watched { node, workload } in watched {
        rows.extend(shown(workload).map(|slot| (Reverse(rank(slot.state)), row(node, workload, slot, now_s))));
    }
    // By service within a state; of several nodes in the order they were given.
    rows.sort_by(|(a_state, a), (b_state, b)| (a_state, &a[0]).cmp(&(b_state, &b[0])));
    let rows: Vec<[String; COLUMNS]> = rows.into_iter().map(|(_, row)| row).collect();
    let widths = widths(&rows, width);
    let mut page = line(&HEADINGS.map(str::to_owned), &widths);
    for row in &rows {
        page += &line(row, &widths);
    }
    page + &summary(watched)
}

/// Slots with a life in progress; of a workload of which nothing runs, the one that ran last.
pub(super) fn shown(workload: &WorkloadView) -> impl Iterator<Item = &SlotView> {
    let live = || workload.slots.iter().filter(|slot| slot.current.is_some());
    let ended = workload.slots.iter().filter(|slot| !slot.ended.is_empty());
    let last = ended.max_by_key(|slot| slot.ended.last().map(|run| run.ended));
    live().chain(last.filter(|_| live().next().is_none()))
}

/// What needs looking at first; `resolved` and `retracted` need none.
pub(super) fn rank(state: State) -> State {
    if matches!(state, State::Retracted | State::Resolved) {
        State::Quiet
    } else {
        state
    }
}

/// The service, with its namespace.
pub(super) fn service(workload: &WorkloadView) -> String {
    match &workload.workload.namespace {
        Some(namespace) => format!("{namespace}/{}", workload.service),
        None => workload.service.clone(),
    }
}

fn row(node: &str, workload: &WorkloadView, slot: &SlotView, now_s: f64) -> [String; COLUMNS] {
    let service = service(workload);
    let state = slot.state.name().to_owned();
    let Some(run) = &slot.current else {
        let last = slot.ended.last();
        let version = last
            .and_then(|run| run.version.as_ref())
            .map_or("-", |version| version.0.as_str());
        let how = last.map_or("-", |run| run.cause().name());
        let run = slot.runs.to_string();
        return [
            service,
            node.to_owned(),
            format!("ended: {how}"),
            version.to_owned(),
            state,
            "-".into(),
            "-".into(),
            run,
            "-".into(),
        ];
    };
    let started = run.started.0 as f64 / 1e9;
    [
        service,
        node.to_owned(),
        instance(slot, run),
        run.version
            .as_ref()
            .map_or_else(|| "-".to_owned(), |version| version.0.clone()),
        state,
        run.level.map_or_else(|| "-".to_owned(), units::bytes),
        ceiling(run),
        run.run.to_string(),
        duration((now_s - started).max(0.0)),
    ]
}

/// The pod, the container or the unit; the process where there is nothing else.
pub(super) fn instance(slot: &SlotView, run: &RunView) -> String {
    if let Some(pod) = run.resource.get(semconv::K8S_POD_NAME) {
        return pod.clone();
    }
    match &slot.slot {
        Slot::Pod { uid, .. } => format!("pod {uid}"),
        Slot::Unit(unit) => unit.clone(),
        Slot::Container { name, .. } => name.get(..12).filter(|_| name.len() == 64).unwrap_or(name).to_owned(),
        Slot::Cgroup(path) => path.clone(),
        Slot::Bare { .. } => format!("pid {}", run.main.pid),
    }
}

/// Bytes, and whose limit that is where it is not the container's own.
pub(super) fn ceiling(run: &RunView) -> String {
    let Some(ceiling) = run.ceiling else {
        return "-".to_owned();
    };
    let whose = match ceiling.kind {
        CeilingKind::Cgroup => "",
        CeilingKind::CgroupAncestor => " shared",
        CeilingKind::V8Heap => " V8",
        CeilingKind::Learned => " died",
        CeilingKind::Host => " host",
    };
    units::bytes(ceiling.bytes) + whose
}

/// As wide as their texts, until the line is too wide: then the widest that may be cut is cut.
fn widths(rows: &[[String; COLUMNS]], width: usize) -> [usize; COLUMNS] {
    let mut widths = HEADINGS.map(str::len);
    for row in rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(text::width(text));
        }
    }
    let mut gaps = widths.len() - 1;
    if rows.iter().all(|row| row[NODE].is_empty()) {
        (widths[NODE], gaps) = (0, gaps - 1);
    }
    while widths.iter().sum::<usize>() + gaps > width {
        let cuttable = FLEXIBLE.iter().enumerate().filter(|(at, least)| widths[*at] > **least);
        let Some((at, _)) = cuttable.max_by_key(|(at, least)| widths[*at] - **least) else {
            break;
        };
        widths[at] -= 1;
    }
    widths
}

fn line(row: &[String; COLUMNS], widths: &[usize; COLUMNS]) -> String {
    let mut line = String::new();
    for ((text, width), right) in row.iter().zip(widths).zip(RIGHT).filter(|((_, width), _)| **width > 0) {
        line += &text::cell(text, *width, right);
        line.push(' ');
    }
    line.trim_end().to_owned() + "\n"
}

fn summary(watched: &[Watched]) -> String {
    let mut running = 0;
    let (mut names, mut leaking) = (BTreeSet::new(), BTreeSet::new());
    for Watched { node, workload } in watched {
        running += workload.slots.iter().filter(|slot| slot.current.is_some()).count();
        // What Kubernetes deploys may run on several nodes; what has no namespace is each node's own.
        let own = workload.workload.namespace.as_ref().map_or(node.as_str(), |_| "");
        names.insert((own, &workload.workload));
        let reported = |slot: &SlotView| matches!(slot.state, State::Likely | State::Confirmed);
        // Between two lives it leaks no less.
        if shown(workload).any(reported) {
            leaking.insert((own, &workload.workload));
        }
    }
    let s = |count: usize| if count == 1 { "" } else { "s" };
    format!(
        "{} workload{}, {running} running, {} leaking\n",
        names.len(),
        s(names.len()),
        leaking.len()
    )
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use observer_core::{
        finding::Ceiling,
        identity::{Resource, Version, Workload},
        process::ProcessKey,
        time::{BootTime, WallTime},
    };

    use super::*;
    use crate::terminal::hostile;

    fn running(name: &str, pod: &str, version: &str, state: State, ceiling: Ceiling) -> WorkloadView {
        let run = RunView {
            run: 3,
            version: Some(Version(version.into())),
            started: WallTime(1_000_000_000),
            started_boot: BootTime(0),
            found: false,
            gap: false,
            main: ProcessKey { pid: 7, start: 1 },
            processes: 1,
            level: Some(45 << 20),
            usage: None,
            rss: None,
            anon: None,
            working_set: None,
            page_cache: None,
            peak: 0,
            ceiling: Some(ceiling),
            heap_limit: None,
            cgroup_limit: None,
            limit_current: None,
            limit_desired: None,
            growth: None,
            restart_count: None,
            traced: false,
            resource: Resource::from([(semconv::K8S_POD_NAME.to_owned(), pod.to_owned())]),
        };
        let slot = SlotView {
            slot: Slot::Unit("x.service".into()),
            instance: 0,
            state,
            slope_bytes_per_hour: None,
            slope_standard_error: None,
            pace: None,
            ceilings: Vec::new(),
            time_to_ceiling_s: None,
            runs: 3,
            current: Some(run),
            ended: Vec::new(),
            said: None,
            levels: Vec::new(),
            asked: Vec::new(),
            diagnosis: None,
        };
        WorkloadView {
            workload: Workload {
                namespace: Some("shop".into()),
                kind: "Deployment".into(),
                name: name.into(),
                container: None,
            },
            service: name.into(),
            service_namespace: Some("shop".into()),
            releases: Vec::new(),
            oom_kills: 0,
            restarts: 0,
            slots: vec![slot],
        }
    }

    #[test]
    fn those_reported_first_and_no_line_wider_than_asked() {
        let limit = |bytes, kind| Ceiling { bytes, kind };
        let mut bare = running("worker", "", "-", State::Quiet, limit(8 << 30, CeilingKind::Host));
        bare.workload.namespace = None;
        if let Some(run) = &mut bare.slots[0].current {
            run.resource.clear();
        }
        let workloads = [
            running(
                "cart",
                "cart-6f7d8-zzzzz",
                "2.0.1",
                State::Quiet,
                limit(512 << 20, CeilingKind::Cgroup),
            ),
            running(
                "checkout-with-a-long-name",
                "checkout-with-a-long-name-7d9c5f6b8-x2x4v",
                "1.42.0-rc.1+build.20260501",
                State::Confirmed,
                limit(1 << 30, CeilingKind::V8Heap),
            ),
            bare,
        ];
        let page = table(&Watched::here(workloads.into()), 3_601.0, 80);
        hostile::fits(&page, 80);
        expect![[r"
            SERVICE         INSTANCE       VERSION     STATE      LEVEL      CEILING RUN  UP
            shop/ch…ng-name checko…8-x2x4v 1.42.…60501 confirmed 45 MiB   1.0 GiB V8   3 1 h
            shop/cart       cart-6…8-zzzzz 2.0.1       quiet     45 MiB      512 MiB   3 1 h
            worker          x.service      -           quiet     45 MiB 8.0 GiB host   3 1 h
            3 workloads, 3 running, 1 leaking
        "]]
        .assert_eq(&page);
    }

    #[test]
    fn of_several_nodes_the_worst_first_and_each_workload_counted_once() {
        let limit = Ceiling {
            bytes: 1 << 30,
            kind: CeilingKind::Cgroup,
        };
        let of = |node: &str, pod: &str, state| Watched::on(node, vec![running("cart", pod, "2.0.1", state, limit)]);
        let watched = [
            of("node-a", "cart-1", State::Quiet),
            of("node-b", "cart-2", State::Likely),
            of("node-c", "cart-3", State::Confirmed),
        ];
        let page = table(&watched.concat(), 3_601.0, 100);
        expect![[r"
            SERVICE   NODE   INSTANCE VERSION STATE      LEVEL CEILING RUN  UP
            shop/cart node-c cart-3   2.0.1   confirmed 45 MiB 1.0 GiB   3 1 h
            shop/cart node-b cart-2   2.0.1   likely    45 MiB 1.0 GiB   3 1 h
            shop/cart node-a cart-1   2.0.1   quiet     45 MiB 1.0 GiB   3 1 h
            1 workload, 3 running, 1 leaking
        "]]
        .assert_eq(&page);
    }

    #[test]
    fn hostile_names_break_no_row() {
        for name in hostile::names() {
            let ceiling = Ceiling {
                bytes: 1 << 30,
                kind: CeilingKind::Cgroup,
            };
            let mut odd = running(&name, &name, &name, State::Likely, ceiling);
            odd.workload.namespace = Some(name.clone());
            odd.slots[0].slot = Slot::Cgroup(name.clone());
            let page = table(&Watched::on(&name, vec![odd]), 3_601.0, 80);
            hostile::fits(&page, 80);
            assert_eq!(page.lines().count(), 3, "{page}");
        }
    }

    #[test]
    fn nothing_running_and_nothing_known() {
        expect![[r"
            SERVICE INSTANCE VERSION STATE LEVEL CEILING RUN UP
            0 workloads, 0 running, 0 leaking
        "]]
        .assert_eq(&table(&[], 0.0, 80));
    }
}
