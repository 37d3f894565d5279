//! An OTLP receiver to send to: reads nothing, produces a loopback endpoint whose records, decoded by the official
//! protobuf classes, can be awaited.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    agent::DEADLINE,
    app::{App, READY},
    places,
};

/// Longest time for records to pass through the receiver once their sender has ended.
const SETTLING: Duration = Duration::from_secs(10);
/// How a line of the receiver's for a log record begins.
const LOG: &str = "{\"signal\": \"log\"";

/// `tests/python/otlp_receiver.py`, running.
#[derive(Debug)]
pub struct Receiver {
    app: App,
    /// Its loopback port.
    pub port: u16,
}

impl Receiver {
    /// Starts it; `arguments` as its usage text has them.
    pub fn start(arguments: &[&str]) -> Result<Self> {
        let script = places::workspace().join("tests/python/otlp_receiver.py");
        let mut app = App::start(Command::new(places::python()).arg(script).args(arguments))?;
        let port = app
            .output
            .wait_json("the receiver's port", READY, |line| line["port"].as_u64());
        let port = u16::try_from(port.context("the OTLP receiver did not start")?)?;
        Ok(Self { app, port })
    }

    /// What to put into `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Waits for a record that `wanted` makes something of; records that have come already count.
    pub fn wait<T>(&mut self, what: &str, wanted: impl Fn(&Value) -> Option<T>) -> Result<T> {
        self.wait_for(what, DEADLINE, wanted)
    }

    /// The same, for as long as `within`.
    pub fn wait_for<T>(&mut self, what: &str, within: Duration, wanted: impl Fn(&Value) -> Option<T>) -> Result<T> {
        self.app.output.wait_json(what, within, wanted)
    }

    /// Waits for this many log records; those that came, where no more do.
    pub fn logs(&mut self, count: usize) -> Vec<Value> {
        // Fewer are the caller's to judge.
        let _ = self
            .app
            .output
            .wait_count("a log record", SETTLING, count, |line| line.starts_with(LOG));
        let mut records = self.so_far();
        records.retain(|record| record["signal"] == "log");
        records
    }

    /// The records that have come by now.
    pub fn so_far(&mut self) -> Vec<Value> {
        self.app.output.json_so_far()
    }
}
