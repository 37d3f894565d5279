//! A Thanos of several processes: reads how many, produces storage that holds each series three times, one place to ask, and
//! two evaluators that share the shipped rules between them.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result};

use super::server::{self, RULES};
use crate::{backend::Backend, ports::free_ports, stage::Scratch};

/// Processes that store: a write is taken when two of three have it.
const STORES: usize = 3;

/// The processes; killed on drop.
#[derive(Debug)]
pub struct Thanos {
    stores: Vec<Option<Backend>>,
    /// Where all of it is asked.
    pub query: Backend,
    /// Each evaluates one of the files of rules.
    pub rulers: Vec<Backend>,
}

impl Thanos {
    /// Starts all of them; rules are evaluated every `interval`.
    pub fn start(program: &Path, interval: &str) -> Result<Self> {
        let address = |port: u16| format!("127.0.0.1:{port}");
        let grpc: [u16; STORES] = free_ports()?;
        let ring = grpc.map(|port| format!("\"{}\"", address(port))).join(",");
        let ring = format!("[{{\"hashring\":\"all\",\"endpoints\":[{ring}]}}]");
        let mut stores = Vec::new();
        let mut commands = Vec::new();
        for (nth, own) in grpc.into_iter().enumerate() {
            let [http, write, capnproto] = free_ports()?;
            let directory = Scratch::new("thanos")?;
            let mut command = Command::new(program);
            command
                .args(["receive", "--tsdb.path=data", "--receive.replication-factor=3"])
                // The history comes late.
                .args(["--tsdb.out-of-order.time-window=60d", "--tsdb.out-of-order.cap-max=30"])
                .arg(format!("--label=replica=\"{nth}\""))
                .arg(format!("--receive.hashrings={ring}"))
                .arg(format!("--receive.local-endpoint={}", address(own)))
                .arg(format!("--grpc-address={}", address(own)))
                .arg(format!("--http-address={}", address(http)))
                .arg(format!("--receive.capnproto-address={}", address(capnproto)))
                .arg(format!("--remote-write.address={}", address(write)));
            commands.push((command, directory, address(write), address(http)));
        }
        for (mut command, directory, write, http) in commands {
            stores.push(Some(Backend::start(&mut command, directory, write, http, "/-/ready")?));
        }
        let rule_ports: [u16; RULES.len()] = free_ports()?;
        let [http, own] = free_ports()?;
        let mut command = Command::new(program);
        command
            .args(["query", "--query.replica-label=replica", "--query.auto-downsampling"])
            .arg(format!("--grpc-address={}", address(own)))
            .arg(format!("--http-address={}", address(http)));
        for port in grpc.into_iter().chain(rule_ports) {
            command.arg(format!("--endpoint={}", address(port)));
        }
        let query = Backend::start(
            &mut command,
            Scratch::new("thanos")?,
            address(http),
            address(http),
            "/-/ready",
        )?;
        let mut rulers = Vec::new();
        for (nth, port) in rule_ports.into_iter().enumerate() {
            let directory = Scratch::new("thanos")?;
            let rules = server::rules(directory.path(), Some(interval))?;
            let rules = rules.get(nth).context("no such file of rules")?;
            let [http] = free_ports()?;
            let mut command = Command::new(program);
            command
                .args(["rule", "--data-dir=data"])
                .arg(format!("--label=replica=\"rule-{nth}\""))
                .arg(format!("--rule-file={}", rules.display()))
                .arg(format!("--query={}", query.query))
                .arg(format!("--eval-interval={interval}"))
                .arg(format!("--grpc-address={}", address(port)))
                .arg(format!("--http-address={}", address(http)));
            rulers.push(Backend::start(
                &mut command,
                directory,
                String::new(),
                address(http),
                "/-/ready",
            )?);
        }
        Ok(Self { stores, query, rulers })
    }

    /// Where the first store takes metrics over OTLP.
    pub fn otlp(&self) -> Option<String> {
        let first = self.stores.first()?.as_ref()?;
        Some(format!("{}/api/v1/otlp", first.otlp))
    }

    /// Kills a store: it loses what it was doing.
    pub fn kill(&mut self, nth: usize) {
        if let Some(store) = self.stores.get_mut(nth) {
            *store = None;
        }
    }

    /// What all of it logged.
    pub fn log(&self) -> String {
        let processes = self.stores.iter().flatten().chain([&self.query]).chain(&self.rulers);
        processes.map(Backend::log).collect::<Vec<_>>().join("\n---\n")
    }
}
