//! A real OpenTelemetry Collector: reads the certificates to serve with, produces ports to send to and, once stopped,
//! what it wrote.
//!
//! Where there is no Go to build it with, OpenTelemetry's own Python classes ([`crate::otlp`]) are all that decodes what the
//! agent sends, and the skipped tests say so.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{app, counterpart::COLLECTOR, lines::Lines, otlp::Tls, ports::free_ports, stage::Scratch};

/// A running Collector; killed on drop.
#[derive(Debug)]
pub struct Collector {
    child: Child,
    directory: Scratch,
    log: Lines,
    /// Port of its gRPC receiver.
    pub grpc: u16,
    /// Port of its HTTP receiver.
    pub http: u16,
}

impl Collector {
    /// Starts one on free ports of the loopback and waits until it takes requests.
    pub fn start(tls: Option<Tls<'_>>) -> Result<Self> {
        let program = COLLECTOR.program("collector").context("the Collector is not built")?;
        let directory = Scratch::new("collector")?;
        let [grpc, http] = free_ports()?;
        let file = directory.file("collector.json");
        // JSON is YAML.
        fs::write(&file, configuration(&directory, [grpc, http], tls).to_string())?;
        let mut command = Command::new(program);
        command.arg("--config").arg(&file);
        let mut child = app::dies_with_us(&mut command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start the Collector")?;
        let mut log = Lines::of(child.stderr.take().context("no standard error")?);
        log.wait("the Collector's readiness", Duration::from_secs(90), |line| {
            line.contains("Everything is ready").then_some(())
        })?;
        Ok(Self {
            child,
            directory,
            log,
            grpc,
            http,
        })
    }

    /// Stops it and returns what it wrote. It writes what it holds before it ends.
    pub fn stop(mut self) -> Result<Written> {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("no pid")?;
        kill_process(pid, Signal::TERM).context("the Collector has ended before")?;
        let status = self.child.wait()?;
        let said = || format!("the Collector ended with {status}");
        anyhow::ensure!(status.success(), "{}: {}", said(), self.log.so_far().join("\n  "));
        let written = |name: &str| -> Result<Vec<Value>> {
            let text = fs::read_to_string(self.directory.file(name)).unwrap_or_default();
            let requests = text.lines().map(serde_json::from_str).collect::<Result<_, _>>();
            requests.with_context(|| format!("the Collector's {name} is not JSON"))
        };
        Ok(Written {
            logs: written("logs.jsonl")?,
            traces: written("traces.jsonl")?,
            metrics: written("metrics.jsonl")?,
        })
    }
}

/// The requests that a Collector took, by signal.
#[derive(Debug)]
pub struct Written {
    /// Of events.
    pub logs: Vec<Value>,
    /// Of ended runs.
    pub traces: Vec<Value>,
    /// Of metrics.
    pub metrics: Vec<Value>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It may have been stopped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(directory: &Scratch, [grpc, http]: [u16; 2], tls: Option<Tls<'_>>) -> Value {
    let tls = tls.map(|tls| {
        json!({
            "cert_file": tls.certificate,
            "key_file": tls.key,
            "client_ca_file": tls.clients.map_or_else(String::new, |path: &Path| path.display().to_string()),
        })
    });
    let receiver = |port: u16| json!({"endpoint": format!("127.0.0.1:{port}"), "tls": tls});
    let exporter = |name: &str| json!({"path": directory.file(name)});
    json!({
        "receivers": {"otlp": {"protocols": {"grpc": receiver(grpc), "http": receiver(http)}}},
        "exporters": {
            "file/logs": exporter("logs.jsonl"),
            "file/traces": exporter("traces.jsonl"),
            "file/metrics": exporter("metrics.jsonl"),
        },
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {
                "logs": {"receivers": ["otlp"], "exporters": ["file/logs"]},
                "traces": {"receivers": ["otlp"], "exporters": ["file/traces"]},
                "metrics": {"receivers": ["otlp"], "exporters": ["file/metrics"]},
            },
        },
    })
}
