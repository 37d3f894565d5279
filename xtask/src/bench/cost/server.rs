//! A server driven to its limit: a Node.js HTTP server in a container, and clients that ask it without a pause, beside the
//! agent; produces ratios of its throughput and of its response times.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use observer_tests::{app::App, cgroup::Memcg, places, ports::free_ports};

use super::pairs::{self, quartiles};

/// Clients side by side: enough to keep the server busy all the time.
const CLIENTS: usize = 16;
/// How long they ask in one measurement.
const DURING: Duration = Duration::from_secs(4);
/// Parses a request's JSON, keeps something for a while, answers JSON.
const SERVER: &str = "
const recent = new Map();
require('http').createServer((request, response) => {
    const id = Number(new URL(request.url, 'http://h').searchParams.get('id'));
    recent.set(id % 5000, { id, at: Date.now(), items: Array.from({ length: 20 }, (_, n) => ({ n, name: `item ${n} of ${id}` })) });
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(recent.get(id % 5000)));
}).listen(Number(process.argv[1]), '127.0.0.1', () => console.log('{\"listening\":true}'));
";

pub(super) fn measure(program: &Path, rounds: usize) -> Result<String> {
    let node = places::node().context("no Node.js: `cargo xtask setup`")?;
    let [port] = free_ports()?;
    let cgroup = Memcg::exactly(&format!("docker/{:064x}", 0x5e7_u64), Some(512 << 20))?;
    let mut command: Command = cgroup.command(&node);
    command
        .args(["-e", SERVER, &port.to_string()])
        .env("OTEL_SERVICE_NAME", "busy");
    let mut server = App::start(&mut command)?;
    server.ready()?;
    // Its code is compiled and its heap grown before anything is compared.
    load(port)?;
    let mut without = Vec::new();
    let ratios = pairs::run(program, rounds, || {
        let figures = load(port)?;
        without.push(figures[0]);
        Ok(figures)
    })?;
    without.sort_by(f64::total_cmp);
    let requests = without.get(without.len() / 2).copied().unwrap_or(f64::NAN);
    let mut table = format!(
        "{requests:.0} requests a second (median).\n\n| beside | throughput | p50 | p99 |\n|---|---|---|---|\n"
    );
    for (beside, [throughput, p50, p99]) in &ratios {
        table.push_str(&format!(
            "| {} | {} | {} | {} |\n",
            beside.name(),
            quartiles(throughput),
            quartiles(p50),
            quartiles(p99)
        ));
    }
    Ok(table)
}

/// Requests a second, and the median and the 99th percentile of response times, seconds.
fn load(port: u16) -> Result<[f64; 3]> {
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    let mut times = thread::scope(|scope| -> Result<Vec<f64>> {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn({
                    let stop = &stop;
                    move || ask(port, client, stop)
                })
            })
            .collect();
        thread::sleep(DURING);
        stop.store(true, Ordering::Relaxed);
        let mut times = Vec::new();
        for client in clients {
            let Ok(asked) = client.join() else {
                bail!("a client gave up");
            };
            times.extend(asked?);
        }
        Ok(times)
    })?;
    let seconds = began.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (share * (times.len().max(1) - 1) as f64) as usize;
        times.get(index).copied().unwrap_or(f64::NAN)
    };
    Ok([times.len() as f64 / seconds, at(0.5), at(0.99)])
}

/// Asks over one connection until asked to stop; response times, seconds.
fn ask(port: u16, client: usize, stop: &AtomicBool) -> Result<Vec<f64>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("the server does not listen")?;
    stream.set_nodelay(true)?;
    let mut times = Vec::new();
    let mut answer = Vec::new();
    let mut part = [0; 16 << 10];
    while !stop.load(Ordering::Relaxed) {
        let id = times.len() * CLIENTS + client;
        let began = Instant::now();
        write!(stream, "GET /?id={id} HTTP/1.1\r\nHost: h\r\n\r\n")?;
        answer.clear();
        while !complete(&answer) {
            let length = stream.read(&mut part)?;
            if length == 0 {
                bail!("the server has closed the connection");
            }
            answer.extend_from_slice(&part[..length]);
        }
        times.push(began.elapsed().as_secs_f64());
    }
    Ok(times)
}

/// Whether an answer is whole: its head tells its length.
fn complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    match head.split_once("content-length: ") {
        Some((_, rest)) => rest
            .split("\r\n")
            .next()
            .and_then(|length| length.parse().ok())
            .is_some_and(|length: usize| body.len() >= length),
        // Without a length it comes in pieces, an empty one last.
        None => body.ends_with("0\r\n\r\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::complete;

    #[test]
    fn an_answer_is_whole_when_its_head_says_so() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        assert!(!complete(b"HTTP/1.1 200 OK\r\nContent-Le"));
        assert!(!complete(format!("{head}ab").as_bytes()));
        assert!(complete(format!("{head}abc").as_bytes()));
        let pieces = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
        assert!(!complete(pieces.as_bytes()));
        assert!(complete(format!("{pieces}0\r\n\r\n").as_bytes()));
    }
}
