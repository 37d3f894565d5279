//! A server driven to its limit: starts tests/fixtures/busy.js in a memory cgroup and `wrk` against it, produces its throughput,
//! its response times, and the CPU time of a request.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};

use crate::{app::App, cgroup::Memcg, places, ports::free_ports, threads};

/// Connections side by side, from one thread: enough to keep the server busy all the time.
const CONNECTIONS: &str = "-c16";
/// How long it may take to fill its heap.
const FILLED: Duration = Duration::from_mins(3);

/// A running server that the agent takes for a container; ended on drop.
#[derive(Debug)]
pub struct Server {
    app: App,
    port: u16,
    _cgroup: Memcg,
}

/// What a server did in a while.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Requests a second.
    pub throughput: f64,
    /// Median of the response times, seconds.
    pub p50: f64,
    /// Their 99th percentile, seconds.
    pub p99: f64,
    /// CPU time of the server for each request, seconds: what shares its processors does not change it, what is done on its own
    /// way to an answer does.
    pub cpu: f64,
}

impl Server {
    /// One that holds so many megabytes of objects, ready and warm.
    pub fn start(megabytes: u32) -> Result<Self> {
        if places::program("wrk").is_none() {
            bail!("no wrk: `apt-get install wrk`");
        }
        let node = places::node().context("no Node.js: `cargo xtask setup`")?;
        let [port] = free_ports()?;
        let cgroup = Memcg::exactly(&format!("docker/{:064x}", 0x5e7_u64), Some(2 << 30))?;
        let mut command: Command = cgroup.command(&node);
        command
            .arg(places::fixtures().join("busy.js"))
            .args([port.to_string(), megabytes.to_string()])
            .env("OTEL_SERVICE_NAME", "busy");
        let mut app = App::start(&mut command)?;
        app.output.wait("the server", FILLED, |line| {
            line.contains("\"listening\"").then_some(())
        })?;
        let server = Self {
            app,
            port,
            _cgroup: cgroup,
        };
        // Its code is compiled and its heap grown before anything is compared.
        server.drive(Duration::from_secs(8))?;
        Ok(server)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.app.pid()
    }

    /// Asks without a pause for so long, in whole seconds.
    pub fn drive(&self, during: Duration) -> Result<Figures> {
        let before = threads::cpu(self.pid())?;
        let output = Command::new("wrk")
            .args(["-t1", CONNECTIONS, &format!("-d{}s", during.as_secs()), "--latency"])
            .arg(format!("http://127.0.0.1:{}/", self.port))
            .output()
            .context("cannot start wrk")?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || said.contains("Socket errors") || said.contains("Non-2xx") {
            bail!("wrk: {said}{}", String::from_utf8_lossy(&output.stderr));
        }
        let cpu = threads::cpu(self.pid())?.saturating_sub(before);
        figures(&said, cpu).with_context(|| format!("wrk said: {said}"))
    }
}

/// What wrk prints with `--latency`, and the CPU time that all of its requests took.
fn figures(said: &str, cpu: Duration) -> Option<Figures> {
    let behind = |name: &str| {
        let line = said.lines().map(str::trim).find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()
    };
    let (requests, _) = said.split_once(" requests in ")?;
    let requests: f64 = requests.split_whitespace().next_back()?.parse().ok()?;
    Some(Figures {
        cpu: cpu.as_secs_f64() / requests,
        throughput: behind("Requests/sec:")?.parse().ok()?,
        p50: seconds(behind("50%")?)?,
        p99: seconds(behind("99%")?)?,
    })
}

/// As wrk writes a time: `812.00us`, `1.20ms`, `2.01s`.
fn seconds(text: &str) -> Option<f64> {
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)];
    let (number, unit) = units
        .into_iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    Some(number.parse::<f64>().ok()? * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_prints() {
        let said = "Running 4s test @ http://127.0.0.1:1/\n  1 threads and 16 connections\n  Thread Stats   Avg      Stdev     \
                    Max   +/- Stdev\n    Latency   819.43us  364.59us  11.32ms   96.29%\n  Latency Distribution\n     50%  \
                    763.00us\n     75%  822.00us\n     90%    0.94ms\n     99%    2.01ms\n  79412 requests in 4.10s, 74.11MB \
                    read\nRequests/sec:  19371.59\nTransfer/sec:     18.08MB\n";
        let figures = figures(said, Duration::from_secs(4)).unwrap();
        assert_eq!(figures.throughput, 19371.59);
        assert!((figures.p50 - 763e-6).abs() < 1e-12 && (figures.p99 - 2.01e-3).abs() < 1e-12);
        assert_eq!(figures.cpu, 4.0 / 79412.0);
        assert_eq!(seconds("3 parsecs"), None);
    }
}
