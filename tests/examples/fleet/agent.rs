//! An agent of a node: reads what its engine knows, produces what the agent exports of it, by the agent's own exporters.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};
use observer::{
    config,
    export::{
        metrics::{self, Group},
        otlp::Otlp,
        prometheus,
    },
    snapshot::{AgentView, Snapshot},
};
use observer_core::time::WallTime;
use observer_tests::fleet::{Moment, Node, Plan, Recorded};

/// A node, and its agent's way out over OTLP where there is a receiver.
pub(crate) struct Agent {
    pub(crate) node: Node,
    pub(crate) began: WallTime,
    otlp: Option<Otlp>,
}

/// What an agent tells at one moment.
pub(crate) struct Told {
    /// The wall clock, nanoseconds since 1970.
    pub(crate) at: u64,
    /// All points.
    pub(crate) groups: Vec<Group>,
    own: Vec<metrics::Point>,
}

impl Told {
    pub(crate) fn of(moment: &Moment<'_>, host: &str, began: WallTime) -> Self {
        let counts = moment.engine.counts();
        let agent = AgentView {
            version: env!("CARGO_PKG_VERSION").into(),
            host: host.to_owned(),
            uptime_s: moment.t,
            hooks: ["exec", "exit", "oom", "signal", "fork"]
                .map(|hook| (hook.to_owned(), "tp_btf".to_owned()))
                .into(),
            processes: counts.processes,
            containers: counts.containers,
            inputs: moment.inputs,
            findings: counts.findings,
            ..AgentView::default()
        };
        let own = metrics::own(&agent);
        let snapshot = Snapshot {
            agent,
            began,
            now: moment.wall,
            counting_since: moment.engine.counting_since(),
            workloads: moment.engine.workloads(),
        };
        Self {
            at: moment.wall.0,
            groups: metrics::groups(&snapshot),
            own,
        }
    }

    /// Containers that are in it.
    pub(crate) fn containers(&self) -> usize {
        let of_run = |group: &&Group| group.resource.contains_key("k8s.pod.name");
        self.groups.iter().filter(of_run).count()
    }

    /// The exposition, as it is scraped.
    pub(crate) fn text(&self) -> String {
        prometheus::text(&self.groups)
    }

    /// Its samples with the time they were taken, as OpenMetrics text has it: seconds.
    pub(crate) fn history(&self, into: &mut String) {
        let seconds = self.at as f64 / 1e9;
        for line in self.text().lines().filter(|line| !line.starts_with('#')) {
            into.push_str(line);
            into.push_str(&format!(" {seconds:.3}\n"));
        }
    }
}

impl Agent {
    /// The agent of a node; within a runtime where it has a receiver.
    pub(crate) fn start(plan: &Plan, number: u64, began: WallTime, receiver: Option<&str>) -> Result<Self> {
        Self::on(Node::new(plan, number, began), began, receiver)
    }

    /// The agent of a recording, which ends at second `end` of the fleet's history.
    pub(crate) fn recorded(
        plan: &Plan,
        of: &Recorded,
        end: f64,
        began: WallTime,
        receiver: Option<&str>,
    ) -> Result<Self> {
        let takes = of.seconds();
        anyhow::ensure!(
            takes <= end,
            "{} stands for {:.1} days: --days is less",
            of.name,
            takes / 86_400.0
        );
        Self::on(Node::recorded(plan, of, end, began), began, receiver)
    }

    fn on(node: Node, began: WallTime, receiver: Option<&str>) -> Result<Self> {
        let otlp = receiver
            .map(|receiver| exporter(&node.host, receiver, "gzip"))
            .transpose()?;
        Ok(Self { node, began, otlp })
    }

    /// Plays up to `end` and tells what there is to tell every `every` seconds.
    pub(crate) fn play(&mut self, end: f64, every: f64) -> Vec<Told> {
        let (host, began) = (self.node.host.clone(), self.began);
        let mut told = Vec::new();
        self.node
            .play(end, every, |moment| told.push(Told::of(&moment, &host, began)));
        told
    }

    /// What there is to tell now.
    pub(crate) fn now(&mut self) -> Told {
        let host = self.node.host.clone();
        Told::of(&self.node.moment(), &host, self.began)
    }

    /// Sends points over OTLP and waits until they are taken: in production there is a minute between two of them.
    pub(crate) async fn send(&self, told: &Told) -> Result<()> {
        let Some(otlp) = &self.otlp else { return Ok(()) };
        otlp.set_own_metrics(told.own.clone());
        let sent = |otlp: &Otlp| {
            let exporters = otlp.exporters();
            let metrics = exporters.iter().find(|exporter| exporter.signal == "metrics");
            metrics.map_or((0, 0, None), |of| {
                (of.delivered, of.refused + of.rejected, of.failing.clone())
            })
        };
        let (before, refused, _) = sent(otlp);
        // The agent's own go by the SDK.
        let groups: Vec<Group> = told.groups.iter().skip(1).cloned().collect();
        if groups.is_empty() {
            return Ok(());
        }
        otlp.send_metrics(groups, told.at);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            let (delivered, now_refused, failing) = sent(otlp);
            anyhow::ensure!(now_refused == refused, "the receiver refused points: {failing:?}");
            if delivered > before {
                return Ok(());
            }
            anyhow::ensure!(
                tokio::time::Instant::now() < deadline,
                "nothing was taken within a minute"
            );
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
    }

    /// Delivers what waits.
    pub(crate) async fn finish(self) {
        if let Some(otlp) = self.otlp {
            otlp.finish(tokio::time::Instant::now() + Duration::from_secs(30)).await;
        }
    }
}

/// The agent's OTLP exporter as a node of this name has it, to a receiver of metrics: `host:port/path`.
pub(crate) fn exporter(host: &str, receiver: &str, compression: &str) -> Result<Otlp> {
    let flags = BTreeMap::from([
        ("otlp-endpoint", format!("http://{receiver}")),
        ("otlp-protocol", "http/protobuf".to_owned()),
        ("otlp-compression", compression.to_owned()),
        ("metrics-interval", "15s".to_owned()),
        // Names the host.
        ("kubernetes", "on".to_owned()),
        ("node-name", host.to_owned()),
    ]);
    let mut config = config::load(&flags, None).context("an agent's configuration")?.config;
    // Each receiver has a path of its own.
    if let Some(target) = &mut config.metrics {
        target.endpoint = format!("http://{receiver}").parse().context("a receiver's address")?;
    }
    // Prometheus takes metrics.
    (config.logs, config.traces) = (None, None);
    Ok(Otlp::start(&config)?)
}
