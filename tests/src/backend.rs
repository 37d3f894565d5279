//! Real backends: starts a Prometheus or a Jaeger on free ports of the loopback, produces their addresses and what
//! their query APIs answer.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{app, ports::free_ports, stage::Scratch};

/// Longest time for a backend to answer.
const READY: Duration = Duration::from_secs(120);

/// A running backend; killed on drop.
#[derive(Debug)]
pub struct Backend {
    child: Child,
    directory: Scratch,
    /// Where it takes OTLP over HTTP: `host:port`.
    pub otlp: String,
    /// Where it answers: `host:port`.
    pub query: String,
}

impl Backend {
    /// A Prometheus that scrapes `target` each second, where one is given, and takes OTLP where `receiver` says so.
    pub fn prometheus(program: &Path, target: Option<&str>, receiver: bool) -> Result<Self> {
        Self::prometheus_at(program, Scratch::new("prometheus")?, target, &[], receiver)
    }

    fn prometheus_at(
        program: &Path,
        directory: Scratch,
        target: Option<&str>,
        rules: &[PathBuf],
        receiver: bool,
    ) -> Result<Self> {
        let [port] = free_ports()?;
        let query = format!("127.0.0.1:{port}");
        let scrape = target.map_or_else(String::new, |target| {
            format!(
                "scrape_configs:\n- job_name: scraped\n  honor_labels: true\n  static_configs:\n  - targets: ['{target}']\n"
            )
        });
        let configuration = directory.file("prometheus.yml");
        fs::write(
            &configuration,
            format!("global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nrule_files: {rules:?}\n{scrape}"),
        )?;
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", directory.file("data").display()))
            .arg(format!("--web.listen-address={query}"));
        if receiver {
            command.arg("--web.enable-otlp-receiver");
        }
        Self::start(
            &mut command,
            directory,
            format!("{query}/api/v1/otlp"),
            query,
            "/-/ready",
        )
    }

    /// A Prometheus that scrapes `target` and evaluates these files' rules, each second.
    pub fn prometheus_with_rules(program: &Path, target: &str, rules: &[PathBuf]) -> Result<Self> {
        let directory = Scratch::new("prometheus")?;
        let mut copies = Vec::new();
        for path in rules {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let often = text.lines().map(|line| {
                let is_interval = line.starts_with("    interval: ");
                if is_interval { "    interval: 1s" } else { line }
            });
            let copy = directory.file(&path.file_name().unwrap_or_default().to_string_lossy());
            fs::write(&copy, often.collect::<Vec<_>>().join("\n"))?;
            copies.push(copy);
        }
        Self::prometheus_at(program, directory, Some(target), &copies, false)
    }

    /// A Prometheus with a history that is given as OpenMetrics text, asked over TLS, with a password and a certificate, where
    /// a file says so (`--web.config.file`).
    pub fn with_history(program: &Path, text: &str, web: Option<&Path>) -> Result<Self> {
        let scratch = Scratch::new("history")?;
        let history = scratch.file("history");
        fs::write(&history, text)?;
        Self::with_history_file(program, &history, web)
    }

    /// The same of a file.
    pub fn with_history_file(program: &Path, history: &Path, web: Option<&Path>) -> Result<Self> {
        Self::with_history_and(program, history, web, "global: {}")
    }

    fn with_history_and(program: &Path, history: &Path, web: Option<&Path>, configuration: &str) -> Result<Self> {
        let directory = Scratch::new("prometheus")?;
        let data = directory.file("data");
        let blocks = Command::new(program.with_file_name("promtool"))
            .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
            .args([history, data.as_path()])
            .output()
            .context("cannot start promtool")?;
        anyhow::ensure!(
            blocks.status.success(),
            "promtool: {}",
            String::from_utf8_lossy(&blocks.stderr)
        );
        let [port] = free_ports()?;
        let query = format!("127.0.0.1:{port}");
        fs::write(directory.file("prometheus.yml"), configuration)?;
        let mut command = Command::new(program);
        command
            .arg("--config.file=prometheus.yml")
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg("--storage.tsdb.retention.time=400d")
            .arg(format!("--web.listen-address={query}"));
        if let Some(web) = web {
            command.arg(format!("--web.config.file={}", web.display()));
        }
        Self::start(&mut command, directory, query.clone(), query, "/-/ready")
    }

    /// A Thanos as most have it: a Prometheus with a history that is given as OpenMetrics text, a sidecar beside it, and before
    /// them what answers queries.
    pub fn thanos(prometheus: &Path, thanos: &Path, text: &str) -> Result<Vec<Self>> {
        let scratch = Scratch::new("history")?;
        let history = scratch.file("history");
        fs::write(&history, text)?;
        let labels = "global:\n  external_labels:\n    cluster: test\n    replica: '0'\n";
        let storage = Self::with_history_and(prometheus, &history, None, labels)?;
        let ports: [u16; 4] = free_ports()?;
        let [sidecar_grpc, sidecar, grpc, http] = ports.map(|port| format!("127.0.0.1:{port}"));
        let mut command = Command::new(thanos);
        command.args([
            "sidecar".to_owned(),
            format!("--prometheus.url=http://{}", storage.query),
            format!("--tsdb.path={}", storage.directory.file("data").display()),
            format!("--grpc-address={sidecar_grpc}"),
            format!("--http-address={sidecar}"),
        ]);
        let sidecar = Self::start(
            &mut command,
            Scratch::new("sidecar")?,
            String::new(),
            sidecar,
            "/-/ready",
        )?;
        let mut command = Command::new(thanos);
        command.args([
            "query".to_owned(),
            "--query.replica-label=replica".to_owned(),
            format!("--endpoint={sidecar_grpc}"),
            format!("--grpc-address={grpc}"),
            format!("--http-address={http}"),
        ]);
        let query = Self::start(&mut command, Scratch::new("query")?, String::new(), http, "/-/ready")?;
        Ok(vec![query, sidecar, storage])
    }

    /// A VictoriaMetrics with a history that is given in Prometheus' text format, started with more flags.
    pub fn victoria_metrics(program: &Path, text: &str, flags: &[&str]) -> Result<Self> {
        let backend = Self::empty_victoria_metrics(program, flags)?;
        backend.import(text)?;
        backend.imported()?;
        Ok(backend)
    }

    /// A VictoriaMetrics without a history.
    pub fn empty_victoria_metrics(program: &Path, flags: &[&str]) -> Result<Self> {
        let directory = Scratch::new("victoria-metrics")?;
        let [port] = free_ports()?;
        let query = format!("127.0.0.1:{port}");
        let mut command = Command::new(program);
        command
            .arg("-storageDataPath=data")
            .arg("-retentionPeriod=12")
            .arg(format!("-httpListenAddr={query}"))
            .args(flags);
        Self::start(&mut command, directory, query.clone(), query, "/health")
    }

    /// Gives a VictoriaMetrics a piece of history in Prometheus' text format, times in milliseconds.
    pub fn import(&self, text: &str) -> Result<()> {
        let mut stream = TcpStream::connect(&self.query)?;
        write!(
            stream,
            "POST /api/v1/import/prometheus HTTP/1.0\r\nHost: {}\r\nContent-Length: {}\r\n\r\n",
            self.query,
            text.len()
        )?;
        stream.write_all(text.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        anyhow::ensure!(answer.contains(" 204 "), "import: {answer}");
        Ok(())
    }

    /// What was imported can be asked for from here on.
    pub fn imported(&self) -> Result<()> {
        let (code, _) = get(&self.query, "/internal/force_flush")?;
        anyhow::ensure!(code == 200, "force_flush: {code}");
        Ok(())
    }

    /// A Jaeger that keeps traces in memory.
    pub fn jaeger(program: &Path) -> Result<Self> {
        let directory = Scratch::new("jaeger")?;
        let ports: [u16; 7] = free_ports()?;
        let [http, grpc, query, query_grpc, admin, own_grpc, own_http] = ports.map(|port| format!("127.0.0.1:{port}"));
        let mut command = Command::new(program);
        command.arg("--collector.otlp.enabled=true").args([
            format!("--collector.otlp.http.host-port={http}"),
            format!("--collector.otlp.grpc.host-port={grpc}"),
            format!("--query.http-server.host-port={query}"),
            format!("--query.grpc-server.host-port={query_grpc}"),
            format!("--admin.http.host-port={admin}"),
            format!("--collector.grpc-server.host-port={own_grpc}"),
            format!("--collector.http-server.host-port={own_http}"),
        ]);
        Self::start(&mut command, directory, http, query, "/api/services")
    }

    /// Starts a program that works in `directory`, and waits until it answers `ready` at `query`.
    pub(crate) fn start(
        command: &mut Command,
        directory: Scratch,
        otlp: String,
        query: String,
        ready: &str,
    ) -> Result<Self> {
        let log = fs::File::create(directory.file("log"))?;
        let child = app::dies_with_us(command)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start the backend")?;
        let mut backend = Self {
            child,
            directory,
            otlp,
            query,
        };
        let deadline = Instant::now() + READY;
        // 400: it is ready, and wants TLS.
        while !matches!(get(&backend.query, ready), Ok((200 | 400, _))) {
            if let Some(status) = backend.child.try_wait()? {
                bail!("the backend ended with {status}: {}", backend.log());
            }
            if Instant::now() > deadline {
                bail!("the backend is not ready within {READY:?}: {}", backend.log());
            }
            // It announces its readiness nowhere else.
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(backend)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What its query API answers.
    pub fn ask(&self, path: &str) -> Result<Value> {
        let (code, body) = get(&self.query, path)?;
        anyhow::ensure!(code == 200, "{path}: {code}: {body}");
        serde_json::from_str(&body).with_context(|| format!("{path}: not JSON: {body}"))
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.file("log")).unwrap_or_default()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Debian's Prometheus: the one in `PATH`, or the one that `cargo xtask counterpart debian-prometheus` unpacked.
pub fn debian_prometheus() -> Option<PathBuf> {
    crate::counterpart::debian_program("prometheus", "usr/bin/prometheus")
}

/// Debian's VictoriaMetrics, likewise.
pub fn debian_victoria_metrics() -> Option<PathBuf> {
    crate::counterpart::debian_program("victoria-metrics", "usr/bin/victoria-metrics")
}

/// One HTTP exchange: the status code and the body.
pub fn get(address: &str, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    // 1.0: a body without chunks, to the end.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").context("no HTTP response")?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((code.context("no status code")?, body.to_owned()))
}
