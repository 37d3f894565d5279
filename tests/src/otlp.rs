//! An OTLP receiver that is not ours: starts tests/otlp/receiver.py, reads what its Python classes decoded.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver as Lines, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{places, ports::free_ports};

/// A running receiver; ends with its drop.
#[derive(Debug)]
pub struct Receiver {
    child: Child,
    lines: Lines<String>,
    /// Port of OTLP/gRPC on 127.0.0.1.
    pub grpc: u16,
    /// Port of OTLP/HTTP on 127.0.0.1.
    pub http: u16,
}

/// Certificates of a receiver.
#[derive(Clone, Copy, Debug)]
pub struct Tls<'a> {
    /// PEM of its certificate.
    pub certificate: &'a Path,
    /// PEM of its key.
    pub key: &'a Path,
    /// PEM of the authority whose clients it admits; any client where `None`.
    pub clients: Option<&'a Path>,
}

impl Receiver {
    /// Starts one that gives these answers, in order, and then accepts everything. Its ports stay its own when it has gone.
    pub fn start(answers: &Value, tls: Option<Tls<'_>>) -> Result<Self> {
        let [grpc, http] = free_ports()?;
        Self::on_ports(grpc, http, answers, tls)
    }

    /// The same on given ports, for one that comes back.
    pub fn on_ports(grpc: u16, http: u16, answers: &Value, tls: Option<Tls<'_>>) -> Result<Self> {
        let mut command = Command::new(places::python());
        command
            .arg(places::workspace().join("tests/otlp/receiver.py"))
            .args(["--answers", &answers.to_string()])
            .args(["--grpc-port", &grpc.to_string(), "--http-port", &http.to_string()]);
        if let Some(tls) = tls {
            command
                .arg("--certificate")
                .arg(tls.certificate)
                .arg("--key")
                .arg(tls.key);
            if let Some(clients) = tls.clients {
                command.arg("--client-authority").arg(clients);
            }
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the receiver")?;
        let out = child.stdout.take().context("the receiver's output")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut receiver = Self {
            child,
            lines,
            grpc: 0,
            http: 0,
        };
        let first = receiver.next()?;
        let port = |name: &str| {
            first["listening"][name]
                .as_u64()
                .and_then(|port| u16::try_from(port).ok())
        };
        receiver.grpc = port("grpc").context("the receiver tells no gRPC port")?;
        receiver.http = port("http").context("the receiver tells no HTTP port")?;
        Ok(receiver)
    }

    /// The next request, as the receiver decoded it. Fails when none comes for a minute.
    pub fn next(&self) -> Result<Value> {
        match self.lines.recv_timeout(Duration::from_mins(1)) {
            Ok(line) => serde_json::from_str(&line).with_context(|| format!("the receiver printed {line}")),
            Err(RecvTimeoutError::Timeout) => bail!("the receiver got no request for a minute"),
            Err(RecvTimeoutError::Disconnected) => bail!("the receiver ended"),
        }
    }

    /// Requests that have come and were not read yet.
    pub fn rest(&self) -> Vec<Value> {
        self.lines
            .try_iter()
            .filter_map(|line| serde_json::from_str(&line).ok())
            .collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
