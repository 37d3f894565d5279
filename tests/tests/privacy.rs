//! What the agent must not keep: secrets in the environment and the arguments of what it observes, looked for in
//! everything it writes, sends and answers.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail as the test does"
)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

use observer_tests::{
    agent::{self, Agent, DEADLINE},
    app::App,
    bundle::Spec,
    container::{Container, Restart},
    need, places,
    ports::free_ports,
    stage::Scratch,
};
use serde_json::Value;

/// What is looked for.
const SECRET: &str = "canary-7f3a9c1e";
/// What must be there, so that the search is known to find.
const NAME: &str = "billing-of-the-privacy-test";

/// An OTLP endpoint that takes everything and keeps the bytes as they came, headers included.
struct Sink {
    endpoint: String,
    taken: Arc<Mutex<Vec<u8>>>,
}

impl Sink {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let taken = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&taken);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sink = Arc::clone(&sink);
                // Who hangs up has sent what it had to send.
                thread::spawn(move || serve(&stream, &sink));
            }
        });
        Self { endpoint, taken }
    }

    fn taken(&self) -> Vec<u8> {
        self.taken.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, sink: &Mutex<Vec<u8>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream.try_clone()?;
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            head += &line;
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let mut sink = sink.lock().unwrap();
        sink.extend(head.bytes().chain(body));
        drop(sink);
        writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")?;
    }
}

/// Everything in which secrets are looked for, by name.
fn everything(agent: Agent, sink: &Sink, socket: &Path, metrics: &str, store: &Path) -> Vec<(String, Vec<u8>)> {
    let asked = |arguments: &[&str]| {
        let output = Command::new(places::agent())
            .args(arguments)
            .args(["--status-socket", socket.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    };
    let mut all = vec![
        ("status".to_owned(), asked(&["status", "--json"])),
        ("ps".to_owned(), asked(&["ps", "--json"])),
        ("history".to_owned(), asked(&["history", NAME, "--json"])),
    ];
    let mut stream = TcpStream::connect(metrics).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: observer\r\n\r\n").unwrap();
    let mut page = Vec::new();
    stream.read_to_end(&mut page).unwrap();
    all.push(("metrics".into(), page));
    let stopped = agent.stop().unwrap();
    all.push(("standard output".into(), stopped.findings.join("\n").into_bytes()));
    all.push(("standard error".into(), stopped.messages.join("\n").into_bytes()));
    all.push(("recording".into(), fs::read(&stopped.recording).unwrap()));
    all.push(("what was sent".into(), sink.taken()));
    for entry in fs::read_dir(store).unwrap().map(Result::unwrap) {
        all.push((
            format!("store: {}", entry.file_name().display()),
            fs::read(entry.path()).unwrap(),
        ));
    }
    all
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn no_secret_of_an_observed_process_is_kept_shown_or_sent() {
    need!(Root, Bpf, Runc, Node);
    let scratch = Scratch::new("privacy").unwrap();
    let store = scratch.file("store");
    let socket = scratch.file("status.sock");
    let [port] = free_ports().unwrap();
    let metrics = format!("127.0.0.1:{port}");
    let sink = Sink::start();
    let mut command = agent::command(&["run", "--output", "json", "--sample-interval", "500ms"]);
    command
        .args(["--otlp-endpoint", &sink.endpoint, "--otlp-protocol", "http/protobuf"])
        .args(["--metrics-interval", "1s", "--listen", &metrics])
        .arg("--store")
        .arg(&store)
        .arg("--status-socket")
        .arg(&socket);
    let mut agent = Agent::spawn(&mut command).unwrap();

    let mut spec = Spec::fixture(
        "private",
        Some(96 << 20),
        "checkout.js",
        &["leaks", "--password", SECRET],
    )
    .with("OTEL_SERVICE_NAME", NAME)
    .with(
        "NODE_OPTIONS",
        &format!("--max-old-space-size=64 --conditions={SECRET}"),
    );
    for name in [
        "PASSWORD",
        "DATABASE_URL",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "OTEL_VENDOR_API_KEY",
        "OTEL_VENDOR_TOKEN",
        "OTEL_COLLECTOR_URL",
    ] {
        spec = spec.with(name, &format!("http://user:{SECRET}@host"));
    }
    let _container = Container::ready(spec, Restart::After(std::time::Duration::from_millis(300))).unwrap();
    let mut bare = App::start(
        Command::new(places::node().unwrap())
            .arg(places::fixtures().join("checkout.js"))
            .args(["holds", &format!("--token={SECRET}")])
            .env("SESSION_SECRET", SECRET)
            .env("OTEL_SERVICE_NAME", format!("{NAME}-bare")),
    )
    .unwrap();
    bare.ready().unwrap();

    // Killed, restarted, told, sent: all that an agent says of a process.
    agent
        .wait_finding("the restart", |finding| {
            let ours = finding["resource"]["service.name"] == NAME;
            (ours && finding["event"] == "observer.container.restart").then_some(())
        })
        .unwrap();
    let bare_pid = bare.pid();
    agent
        .wait_input("the bare process", |input| match &input.what {
            observer_core::What::Process(facts) => (facts.key.pid == bare_pid).then_some(()),
            _ => None,
        })
        .unwrap();
    let deadline = std::time::Instant::now() + DEADLINE;
    while !contains(&sink.taken(), "observer.container.restart") {
        assert!(std::time::Instant::now() < deadline, "the restart was not sent");
        thread::sleep(std::time::Duration::from_millis(100));
    }

    let all = everything(agent, &sink, &socket, &metrics, &store);
    for (what, bytes) in &all {
        assert!(
            !contains(bytes, SECRET),
            "{what} holds a secret of the observed process"
        );
        // Its arguments are not kept either, secret or not.
        assert!(
            !contains(bytes, "--password"),
            "{what} holds arguments of the observed process"
        );
    }
    for found in [
        "status",
        "ps",
        "history",
        "metrics",
        "standard output",
        "recording",
        "what was sent",
    ] {
        let (_, bytes) = all.iter().find(|(what, _)| what == found).unwrap();
        assert!(
            contains(bytes, NAME),
            "{found} does not hold the service's name: the search finds nothing there"
        );
    }
    let history: Value = serde_json::from_slice(&all.iter().find(|(what, _)| what == "history").unwrap().1).unwrap();
    assert!(
        history["records"].as_array().is_some_and(|records| !records.is_empty()),
        "{history}"
    );
}
