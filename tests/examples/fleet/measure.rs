//! What a fleet costs its servers, and what they say of it: reads their APIs, produces lines of figures.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use observer_tests::{
    backend::{Backend, get},
    fleet::dashboards,
};

use crate::agent::{Told, exporter};

/// Alerts that were seen firing, by server.
#[derive(Default)]
pub(crate) struct Seen(BTreeMap<(String, String), (Duration, usize)>);

impl Seen {
    /// Looks once.
    pub(crate) fn look(&mut self, name: &str, server: &Backend, after: Duration) -> Result<()> {
        let answer = server.ask("/api/v1/alerts")?;
        let alerts = answer["data"]["alerts"].as_array().context("no list of alerts")?;
        let mut now: BTreeMap<String, usize> = BTreeMap::new();
        for alert in alerts.iter().filter(|alert| alert["state"] == "firing") {
            let of = |label: &str| alert["labels"][label].as_str().unwrap_or_default().to_owned();
            let text = [
                of("alertname"),
                of("job"),
                of("observer_workload"),
                of("service_version"),
            ];
            *now.entry(text.join(" ")).or_default() += 1;
        }
        for (alert, count) in now {
            let entry = self.0.entry((name.to_owned(), alert)).or_insert((after, 0));
            entry.1 = entry.1.max(count);
        }
        Ok(())
    }

    /// Says which fired, how long after the present was reached, and how many of the same labels stood at once.
    pub(crate) fn report(&self) {
        for ((server, alert), (after, count)) in &self.0 {
            println!(
                "fleet: {server}: {alert}: after {:.0} s, {count} at once",
                after.as_secs_f64()
            );
        }
    }
}

/// Series, samples a second, memory and what rules cost.
pub(crate) fn server(name: &str, server: &Backend, samples: f64) -> Result<()> {
    let own = own(server)?;
    let of = |name: &str| own.get(name).copied().unwrap_or(f64::NAN);
    let rules = server.ask("/api/v1/rules")?;
    let groups = rules["data"]["groups"].as_array().context("no groups")?;
    let cost: Vec<(String, f64)> = groups
        .iter()
        .map(|group| {
            let name = group["name"].as_str().unwrap_or_default().to_owned();
            (name, group["evaluationTime"].as_f64().unwrap_or(f64::NAN))
        })
        .collect();
    let broken: Vec<String> = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().into_iter().flatten())
        .filter(|rule| rule["health"] != "ok")
        .map(|rule| format!("{}: {}", rule["name"], rule["lastError"]))
        .collect();
    anyhow::ensure!(broken.is_empty(), "{name}: rules that fail: {broken:#?}");
    println!(
        "fleet: {name}: {:.0} series live, {samples:.0} samples/s, {:.0} MB resident, rules {:.3} s in all: {}",
        of("prometheus_tsdb_head_series"),
        of("process_resident_memory_bytes") / 1e6,
        cost.iter().map(|(_, seconds)| seconds).sum::<f64>(),
        cost.iter()
            .map(|(name, seconds)| format!("{name} {seconds:.3} s"))
            .collect::<Vec<_>>()
            .join(", ")
    );
    Ok(())
}

/// Samples that it has taken so far. It tells of no such count before the first.
pub(crate) fn samples_taken(server: &Backend) -> Result<f64> {
    let own = own(server)?;
    Ok(own
        .get("prometheus_tsdb_head_samples_appended_total")
        .copied()
        .unwrap_or(0.0))
}

/// A server's metrics of itself, summed over their labels.
fn own(server: &Backend) -> Result<BTreeMap<String, f64>> {
    let (_, text) = get(&server.query, "/metrics")?;
    let mut sums = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some((series, value)) = line.rsplit_once(' ') {
            let name = series.split('{').next().unwrap_or_default().to_owned();
            *sums.entry(name).or_insert(0.0) += value.parse::<f64>().unwrap_or(0.0);
        }
    }
    Ok(sums)
}

/// Which panels' queries give nothing.
pub(crate) fn panels(name: &str, server: &Backend) -> Result<()> {
    let all = dashboards::expressions()?;
    let mut empty = Vec::new();
    for (panel, expression) in &all {
        let answer = server.ask(&format!("/api/v1/query?query={}", dashboards::encoded(expression)))?;
        if answer["data"]["result"].as_array().is_none_or(Vec::is_empty) {
            empty.push(panel.as_str());
        }
    }
    println!(
        "fleet: {name}: {} of {} queries of the dashboards give data; none: {}",
        all.len() - empty.len(),
        all.len(),
        empty.join("; ")
    );
    Ok(())
}

/// Bytes over OTLP for a container and hour, at a point each minute.
pub(crate) async fn wire(host: &str, told: &Told) -> Result<()> {
    for compression in ["none", "gzip"] {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("{}/v1/metrics", listener.local_addr()?);
        let (bytes, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counted = (Arc::clone(&bytes), Arc::clone(&done));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A connection that breaks ends the count of it.
                let _ = swallow(stream, &counted.0, &counted.1);
            }
        });
        let otlp = exporter(host, &address, compression)?;
        otlp.send_metrics(told.groups.iter().skip(1).cloned().collect(), told.at);
        while done.load(Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let containers = told.containers();
        println!(
            "fleet: over OTLP, {compression}: {:.0} bytes for a container and hour, a point each minute",
            bytes.load(Relaxed) as f64 * 60.0 / containers as f64
        );
    }
    Ok(())
}

/// Counts the bytes of one request's body, and answers it.
fn swallow(mut stream: TcpStream, bytes: &AtomicUsize, done: &AtomicUsize) -> std::io::Result<()> {
    let (mut all, mut part) = (Vec::new(), [0; 8_192]);
    loop {
        let read = stream.read(&mut part)?;
        if read == 0 {
            return Ok(());
        }
        all.extend_from_slice(&part[..read]);
        let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&all[..end]).to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if length.is_some_and(|length| all.len() >= end + 4 + length) {
            bytes.fetch_add(all.len(), Relaxed);
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Type: application/x-protobuf\r\n\r\n")?;
            done.fetch_add(1, Relaxed);
            all.clear();
        }
    }
}

/// What a scrape of all nodes takes.
pub(crate) fn exposition(told: &[Told]) {
    let texts: Vec<String> = told.iter().map(Told::text).collect();
    let lines = texts
        .iter()
        .flat_map(|text| text.lines())
        .filter(|line| !line.starts_with('#'));
    let containers: usize = told.iter().map(Told::containers).sum();
    println!(
        "fleet: scraped: {} series and {} bytes of text for {containers} containers on {} nodes",
        lines.count(),
        texts.iter().map(String::len).sum::<usize>(),
        told.len()
    );
}
