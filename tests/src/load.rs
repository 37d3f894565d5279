//! A server driven to its limit: starts tests/fixtures/busy.js in a memory cgroup and `wrk` against it, produces its throughput
//! and its response times.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};

use crate::{app::App, cgroup::Memcg, places, ports::free_ports};

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
        let output = Command::new("wrk")
            .args(["-t1", CONNECTIONS, &format!("-d{}s", during.as_secs()), "--latency"])
            .arg(format!("http://127.0.0.1:{}/", self.port))
            .output()
            .context("cannot start wrk")?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || said.contains("Socket errors") || said.contains("Non-2xx") {
            bail!("wrk: {said}{}", String::from_utf8_lossy(&output.stderr));
        }
        figures(&said).with_context(|| format!("wrk said: {said}"))
    }
}

/// What wrk prints with `--latency`.
fn figures(said: &str) -> Option<Figures> {
    let behind = |name: &str| {
        let line = said.lines().map(str::trim).find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()
    };
    Some(Figures {
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
        let figures = figures(said).unwrap();
        assert_eq!(figures.throughput, 19371.59);
        assert!((figures.p50 - 763e-6).abs() < 1e-12 && (figures.p99 - 2.01e-3).abs() < 1e-12);
        assert_eq!(seconds("3 parsecs"), None);
    }
}
