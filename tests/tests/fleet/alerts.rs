//! The alerts that are no verdict on growth: each fires where it should, once for a workload and version, ends, and does not
//! fire beside that.

use std::fmt::Write as _;

use observer_tests::{fleet::promtool::ask, need};

/// Seconds between two points.
const EVERY: u64 = 60;
const FIRING: &str = r#"sum by (alertname, service_version) (ALERTS{alertstate="firing"})"#;

/// Series in promtool's notation.
#[derive(Default)]
pub(crate) struct Told(String);

impl Told {
    fn put(mut self, name: &str, labels: &str, values: &str) -> Self {
        writeln!(self.0, "  - series: '{name}{{{labels}}}'\n    values: '{values}'").unwrap();
        self
    }

    /// Ends of a version's runs, as the agent of one node counts them.
    fn ends(self, version: &str, node: u32, cause: &str, values: &str) -> Self {
        let labels = format!(
            r#"job="shop/cart",instance="node-{node}",observer_workload="shop/Deployment/cart/api",service_version="{version}",observer_exit_cause="{cause}""#
        );
        self.put("observer_container_exits_total", &labels, values)
    }

    /// What is told of one replica of a version.
    fn replica(self, version: &str, name: &str, values: &str) -> Self {
        self.replica_of(version, 1, name, values)
    }

    /// The same of the `number`th.
    pub(crate) fn replica_of(self, version: &str, number: u32, name: &str, values: &str) -> Self {
        self.put(name, &labels_of(version, number), values)
    }

    /// A ceiling of it, by kind.
    pub(crate) fn ceiling_of(self, version: &str, number: u32, kind: &str, values: &str) -> Self {
        let labels = format!(
            r#"{},observer_memory_ceiling_kind="{kind}""#,
            labels_of(version, number)
        );
        self.put("observer_memory_ceiling_bytes", &labels, values)
    }

    /// All of it.
    pub(crate) fn series(&self) -> &str {
        &self.0
    }

    fn agent(self, node: u32, name: &str, more: &str, values: &str) -> Self {
        let labels = format!(r#"job="observer",instance="node-{node}"{more}"#);
        self.put(name, &labels, values)
    }

    /// `alertname version` at each of these minutes.
    fn firing(&self, minutes: &[u64]) -> Vec<Vec<String>> {
        let questions: Vec<_> = minutes.iter().map(|minute| (*minute, FIRING)).collect();
        let answers = ask(&self.0, EVERY, &questions).unwrap();
        answers.into_iter().map(|answer| answer.into_keys().collect()).collect()
    }
}

fn labels_of(version: &str, number: u32) -> String {
    format!(
        r#"job="shop/cart",instance="shop.cart-{number}.api",observer_workload="shop/Deployment/cart/api",service_version="{version}""#
    )
}

const NONE: [&str; 0] = [];

#[test]
fn a_storm_of_kills_is_one_alert_of_its_version() {
    need!(DebianPrometheus);
    let told = Told::default()
        .ends("2", 1, "kernel_oom", "0+0x20 1+1x2 3+0x60")
        .ends("2", 2, "v8_heap_oom", "0+0x20 1+1x2 3+0x60")
        .ends("1", 1, "kernel_oom", "0+0x20 1+1x1 2+0x60")
        .ends("1", 1, "error_exit", "0+0x20 9+9x2 27+0x60");
    let firing = told.firing(&[19, 25, 60]);
    assert_eq!(firing[0], NONE);
    assert!(firing[1].contains(&"ObserverOomStorm 2".to_owned()), "{firing:?}");
    assert!(!firing[1].contains(&"ObserverOomStorm 1".to_owned()), "{firing:?}");
    assert!(!firing[2].iter().any(|alert| alert.contains("Storm")), "{firing:?}");
}

#[test]
fn the_first_death_by_v8s_limit_is_told_and_for_an_hour() {
    need!(DebianPrometheus);
    let told =
        Told::default()
            .ends("2", 1, "v8_heap_oom", "0+0x20 1+0x120")
            .ends("1", 1, "kernel_oom", "0+0x20 1+0x120");
    assert_eq!(
        told.firing(&[20, 23, 79, 90]),
        [
            vec![],
            vec!["ObserverV8HeapDeath 2"],
            vec!["ObserverV8HeapDeath 2"],
            vec![]
        ]
    );
}

/// Three versions die alike: one does not grow, one is suspected to leak by its agent, one rises on its replicas.
#[test]
fn a_limit_too_low_is_told_where_nothing_grows() {
    need!(DebianPrometheus);
    let mut told = Told::default();
    for version in ["flat", "suspected", "rising"] {
        told = told.ends(version, 1, "kernel_oom", "0+0x60 1+0x240 2+0x1500");
    }
    let told = told
        .replica("suspected", "observer_leak_state", "0+0x100 1+0x30 0+0x1700")
        .replica("rising", "observer_memory_slope_bytes_per_hour", "1000000+0x1800")
        .replica(
            "rising",
            "observer_memory_slope_standard_error_bytes_per_hour",
            "100000+0x1800",
        )
        .replica("flat", "observer_memory_slope_bytes_per_hour", "1000+0x1800")
        .replica(
            "flat",
            "observer_memory_slope_standard_error_bytes_per_hour",
            "100000+0x1800",
        );
    let firing = told.firing(&[200, 330, 370, 600, 1_600]);
    assert_eq!(firing[0], NONE, "once is not too often");
    assert_eq!(firing[1], NONE, "not before it has stood for an hour");
    assert_eq!(firing[2], ["ObserverUndersized flat"]);
    assert_eq!(firing[3], ["ObserverUndersized flat"]);
    assert_eq!(firing[4], NONE, "a day after the first death");
}

/// A scrape that fails ends its target's series at once; what is pushed ends when it is not looked up any more.
#[test]
fn an_agent_that_is_gone_is_told() {
    need!(DebianPrometheus);
    let gone = |end: &str| {
        (1..4).fold(Told::default(), |told, node| {
            let values = if node == 2 {
                format!("0+1x30 {end}")
            } else {
                "0+1x200".to_owned()
            };
            told.agent(node, "observer_agent_inputs_total", "", &values)
        })
    };
    for end in ["stale", "_x150"] {
        let firing = gone(end).firing(&[29, 40, 55, 80, 150]);
        assert_eq!(firing[0], NONE);
        assert_eq!(firing[1], NONE, "{end}: it may be restarting");
        assert_eq!(firing[2], ["ObserverAgentGone"], "{end}");
        assert_eq!(firing[3], ["ObserverAgentGone"], "{end}");
        assert_eq!(firing[4], NONE, "{end}: its node is gone for good");
    }
}

#[test]
fn an_agent_that_fell_back_to_files_is_told() {
    need!(DebianPrometheus);
    let hook = |rung: &str| format!(r#",observer_agent_hook="exec",observer_agent_hook_rung="{rung}""#);
    let told = Told::default()
        .agent(1, "observer_agent_hook", &hook("tp_btf"), "1+0x60")
        .agent(2, "observer_agent_hook", &hook("files only"), "1+0x60");
    assert_eq!(told.firing(&[10, 20]), [vec![], vec!["ObserverAgentBlind"]]);
}

/// The counter of a loss is there from the first loss on: it has not risen, and counts.
#[test]
fn what_is_lost_is_told_from_the_first_loss_on() {
    need!(DebianPrometheus);
    let lost = r#",observer_agent_stage="ring",observer_agent_kind="exec""#;
    let fate = |fate: &str| format!(r#",observer_agent_signal="logs",observer_agent_fate="{fate}""#);
    let records = "observer_agent_export_records_total";
    let inputs = |told: Told| told.agent(1, "observer_agent_inputs_total", "", "0+1x90");
    for (what, told) in [
        (
            "the first",
            Told::default().agent(1, "observer_agent_lost_total", lost, "_x20 3+0x70"),
        ),
        (
            "a later one",
            Told::default().agent(1, "observer_agent_lost_total", lost, "3+0x20 5+0x70"),
        ),
        (
            "dropped",
            Told::default().agent(1, records, &fate("dropped"), "0+0x20 5+0x70"),
        ),
        (
            "refused",
            Told::default().agent(1, records, &fate("refused"), "_x20 5+0x70"),
        ),
    ] {
        let firing = inputs(told).firing(&[19, 24, 60]);
        assert_eq!(firing[1], ["ObserverLosingData"], "{what}");
        assert_eq!(firing[2], NONE, "{what}: nothing was lost since");
    }
    let delivered = inputs(Told::default()).agent(1, records, &fate("delivered"), "0+9x90");
    assert_eq!(delivered.firing(&[60])[0], NONE);
}
