//! What `cargo xtask bench export` runs: reads nothing, produces what delivery costs: bytes on the wire per container and hour,
//! events a second and core, spool throughput, the engine's state, each measured on the exporter's own code.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use observer::{
    config,
    export::{
        metrics::{Group, Kind, Metric, Point},
        otlp::{Entry, Otlp, Queue, Spool},
    },
};
use observer_tests::{
    findings::{EPOCH, finding, killed, subject},
    stage::Scratch,
};
use rustix::time::{ClockId, clock_gettime};

/// Findings to deliver.
const EVENTS: u64 = 50_000;
/// Containers whose metrics are exported.
const CONTAINERS: u64 = 200;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    runtime.block_on(wire())?;
    runtime.block_on(events())?;
    spool()
}

/// CPU seconds of this process, all threads.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// A receiver that takes everything and counts the bytes.
struct Sink {
    port: u16,
    bytes: Arc<AtomicU64>,
    requests: Arc<AtomicU64>,
}

impl Sink {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let sink = Self {
            port: listener.local_addr()?.port(),
            bytes: Arc::default(),
            requests: Arc::default(),
        };
        let (bytes, requests) = (Arc::clone(&sink.bytes), Arc::clone(&sink.requests));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (bytes, requests) = (Arc::clone(&bytes), Arc::clone(&requests));
                thread::spawn(move || serve(stream, &bytes, &requests));
            }
        });
        Ok(sink)
    }
}

/// HTTP/1.1 as far as our exporter speaks it: a header with a length, a body, an empty answer.
fn serve(mut stream: TcpStream, bytes: &AtomicU64, requests: &AtomicU64) {
    let (mut held, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        bytes.fetch_add(read as u64, Relaxed);
        held.extend_from_slice(&buffer[..read]);
        while let Some(head) = held.windows(4).position(|four| four == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&held[..head]).to_ascii_lowercase();
            let length = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok())
                .unwrap_or(0);
            let end = head + 4 + length;
            if held.len() < end {
                break;
            }
            held.drain(..end);
            requests.fetch_add(1, Relaxed);
            if stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .is_err()
            {
                return;
            }
        }
    }
}

fn exporter(port: u16, compression: &str) -> Result<Otlp> {
    let flags = BTreeMap::from([
        ("otlp-endpoint", format!("http://127.0.0.1:{port}")),
        ("otlp-compression", compression.to_owned()),
        ("metrics-interval", "1h".to_owned()),
        ("spool-max", "256MiB".to_owned()),
    ]);
    let config = config::load(&flags, None)
        .context("the bench's own configuration")?
        .config;
    Ok(Otlp::start(&config)?)
}

/// One container's points, as a run under growth has them, and its service's counts.
fn groups(nth: u64, minute: u64) -> [Group; 2] {
    let point = |name, unit, kind, attributes: &[(&'static str, &str)]| Point {
        metric: Metric { name, unit, kind },
        attributes: attributes
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        value: (100_000_000 + nth * 4_096 + minute * 65_536) as f64,
    };
    let levels = [
        ("container.memory.usage", "By", Kind::UpDown),
        ("container.memory.working_set", "By", Kind::UpDown),
        ("container.memory.rss", "By", Kind::UpDown),
        ("container.memory.available", "By", Kind::UpDown),
        ("process.memory.usage", "By", Kind::UpDown),
        ("observer.memory.level", "By", Kind::Gauge),
        ("observer.memory.slope", "By/h", Kind::Gauge),
        ("observer.memory.slope.standard_error", "By/h", Kind::Gauge),
        ("observer.memory.time_to_ceiling", "s", Kind::Gauge),
        ("observer.leak.state", "", Kind::Gauge),
        ("k8s.container.memory.limit.current", "By", Kind::UpDown),
        ("k8s.container.memory.limit.desired", "By", Kind::UpDown),
        ("k8s.container.restart.count", "{restart}", Kind::UpDown),
    ];
    let mut of_run: Vec<Point> = levels
        .into_iter()
        .map(|(name, unit, kind)| point(name, unit, kind, &[]))
        .collect();
    let kind = [("observer.memory.ceiling.kind", "cgroup")];
    of_run.push(point("observer.memory.ceiling", "By", Kind::Gauge, &kind));
    for place in ["v8_heap", "malloc", "large_buffer", "file", "other"] {
        let place = [("observer.memory.growth.where", place)];
        of_run.push(point("observer.memory.growth", "By", Kind::Gauge, &place));
    }
    let mut of_service: Vec<Point> = ["observer.runs", "observer.restarts", "observer.oom_kills"]
        .map(|name| point(name, "{run}", Kind::Counter, &[]))
        .into();
    for cause in ["kernel_oom", "rollout"] {
        let cause = [("observer.exit.cause", cause)];
        of_service.push(point("observer.container.exits", "{run}", Kind::Counter, &cause));
    }
    let service = format!("service-{nth}");
    let mut resource = subject(&service).resource;
    let counting = resource.clone();
    for (name, value) in [
        ("k8s.pod.name", format!("{service}-6f7d8c9b5-x{nth:04}")),
        ("k8s.deployment.name", service.clone()),
        ("k8s.replicaset.name", format!("{service}-6f7d8c9b5")),
        ("k8s.container.name", "api".to_owned()),
        ("k8s.node.name", "node-17".to_owned()),
        ("container.id", format!("{nth:064x}")),
        ("service.version", "1.42.0".to_owned()),
        (
            "service.instance.id",
            format!("default.{service}-6f7d8c9b5-x{nth:04}.api"),
        ),
    ] {
        resource.insert(name.to_owned(), value);
    }
    [(resource, of_run), (counting, of_service)].map(|(resource, points)| Group {
        resource,
        since: EPOCH,
        points,
    })
}

/// Bytes on the wire per container and hour, at the default interval of a minute.
async fn wire() -> Result<()> {
    for compression in ["none", "gzip"] {
        let sink = Sink::start()?;
        let otlp = exporter(sink.port, compression)?;
        let minutes = 10;
        for minute in 0..minutes {
            let groups: Vec<Group> = (0..CONTAINERS).flat_map(|nth| groups(nth, minute)).collect();
            otlp.send_metrics(groups, EPOCH + minute * 60_000_000_000);
            until(&sink.requests, minute + 1).await?;
        }
        let metrics = sink.bytes.load(Relaxed) as f64 / minutes as f64 * 60.0 / CONTAINERS as f64;
        println!("metrics, {compression}: {metrics:.0} bytes per container and hour on the wire");
        // A leaking service of the incident's kind: a restart, a kill and some states in an hour at most.
        let (before, requests) = (sink.bytes.load(Relaxed), sink.requests.load(Relaxed));
        (0..4).for_each(|nth| otlp.publish(&finding("cart", nth)));
        until(&sink.requests, requests + 1).await?;
        let events = sink.bytes.load(Relaxed) - before;
        println!("events, {compression}: {} bytes each in a request of four", events / 4);
        otlp.finish(tokio::time::Instant::now()).await;
    }
    Ok(())
}

async fn until(count: &AtomicU64, wanted: u64) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while count.load(Relaxed) < wanted {
        anyhow::ensure!(Instant::now() < deadline, "the exporter sent nothing within 30 s");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Events a second and core: encoded, queued, put into requests, sent, answered.
async fn events() -> Result<()> {
    for compression in ["none", "gzip"] {
        let sink = Sink::start()?;
        let otlp = exporter(sink.port, compression)?;
        let findings: Vec<_> = (0..64).map(|nth| finding(&format!("service-{nth}"), nth)).collect();
        let run = killed("cart", 1, "1.0");
        let (started, used) = (Instant::now(), cpu());
        for nth in 0..EVENTS as usize {
            otlp.publish(&findings[nth % findings.len()]);
            if nth % 100 == 0 {
                otlp.publish_run(&run);
            }
        }
        otlp.finish(tokio::time::Instant::now() + Duration::from_secs(120))
            .await;
        let (seconds, core) = (started.elapsed().as_secs_f64(), cpu() - used);
        println!(
            "events, {compression}: {:.0} a second of one core's time, the counting receiver's included ({:.0} a second)",
            EVENTS as f64 / core,
            EVENTS as f64 / seconds
        );
    }
    Ok(())
}

/// What the spool writes and reads back.
fn spool() -> Result<()> {
    let directory = Scratch::new("spool")?;
    let path = directory.file("store");
    let queue = Arc::new(Queue::with_capacity(256 << 20));
    let spool = Spool::start(&path, &[("logs", Arc::clone(&queue))])?;
    let record = vec![7_u8; 1_000];
    let started = Instant::now();
    for nth in 0..EVENTS {
        queue.push(Entry {
            id: format!("{nth:032x}"),
            resource: vec![1_u8; 200].into(),
            record: record.clone().into(),
            made: EPOCH,
        });
    }
    let pushed = started.elapsed();
    spool.finish();
    let written = started.elapsed().as_secs_f64();
    let megabytes = queue.depth().bytes as f64 / 1e6;
    println!(
        "spool: {:.0} records a second written and synced ({:.0} MB/s), {:.1} us each to queue",
        EVENTS as f64 / written,
        megabytes / written,
        pushed.as_secs_f64() * 1e6 / EVENTS as f64
    );
    let again = Arc::new(Queue::with_capacity(256 << 20));
    let started = Instant::now();
    let spool = Spool::start(&path, &[("logs", Arc::clone(&again))])?;
    let read = started.elapsed().as_secs_f64();
    println!(
        "spool: {:.0} records a second read back ({:.0} MB/s)",
        again.depth().entries as f64 / read,
        again.depth().bytes as f64 / 1e6 / read
    );
    spool.finish();
    Ok(())
}
