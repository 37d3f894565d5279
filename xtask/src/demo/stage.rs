//! What the demo observes: three real servers in memory-limited containers with restarting supervisors, the users of
//! two of them, an OTLP receiver and the agent. Everything ends when the value is dropped.

use std::{net::TcpListener, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use observer_tests::{
    agent::{self, Agent},
    app::App,
    bundle::Spec,
    container::{Container, Restart},
    places,
    receiver::Receiver,
};

/// Limit of each container, bytes.
const LIMIT: u64 = 160 << 20;
/// A heap limit that fits below it. The leaking server goes without, as the incident's did, and dies of the kernel.
const FITTING: &str = "--max-old-space-size=96";
/// Pause of the supervisors between two lives.
const PAUSE: Duration = Duration::from_millis(500);

/// One observed service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service {
    /// `service.name`, and the container's.
    pub(super) name: &'static str,
    /// What it is, for the viewer.
    pub(super) what: &'static str,
    /// Whether a report of a leak would be right.
    pub(super) leaks: bool,
}

/// The services, the leaking one first.
pub(super) const SERVICES: [Service; 3] = [
    Service {
        name: "chat",
        what: "adds a listener per connection, never removes it",
        leaks: true,
    },
    Service {
        name: "chat-fixed",
        what: "the same server with the listener removed",
        leaks: false,
    },
    Service {
        name: "catalogue",
        what: "fills a cache up to its bound",
        leaks: false,
    },
];

/// The running play.
pub(super) struct Stage {
    pub(super) agent: Agent,
    pub(super) receiver: Receiver,
    pub(super) containers: Vec<Container>,
    _users: Vec<App>,
}

impl Stage {
    /// Starts everything; the agent last, so that it finds servers that were there before it.
    pub(super) fn start() -> Result<Self> {
        let receiver = Receiver::start(&[]).context("the OTLP receiver")?;
        let (leaking, fixed) = (free_port()?, free_port()?);
        let (leaking_port, fixed_port) = (leaking.to_string(), fixed.to_string());
        let leaking_arguments = ["--port", &leaking_port, "--bug", "on", "--history", "1000"];
        let containers = vec![
            server("chat", "", "sessions.js", &leaking_arguments)?,
            server(
                "chat-fixed",
                FITTING,
                "sessions.js",
                &["--port", &fixed_port, "--bug", "off"],
            )?,
            server("catalogue", FITTING, "cache.js", &["--entries", "1000", "--rate", "30"])?,
        ];
        let users = vec![users(leaking, 40)?, users(fixed, 20)?];
        let mut command = agent::command(&["run", "--output", "json", "--sample-interval", "1s"]);
        command
            .args(["--time-scale", TIME_SCALE])
            // Consent to have the heaps read from outside, and an hour's budget in this time scale.
            .args(["--heap-workloads", "chat,chat-fixed,catalogue"])
            .args(["--heap-interval", "3s", "--heap-bandwidth", "8GiB"])
            .args(["--otlp-endpoint", &receiver.endpoint()]);
        let agent = Agent::spawn(&mut command).context("the agent")?;
        Ok(Self {
            agent,
            receiver,
            containers,
            _users: users,
        })
    }
}

/// The incident took six hours from restart to restart; here it takes some twenty seconds.
pub(super) const TIME_SCALE: &str = "0.001";

fn server(name: &str, node_options: &str, script: &str, arguments: &[&str]) -> Result<Container> {
    let spec = Spec::fixture(name, Some(LIMIT), script, arguments)
        .with("OTEL_SERVICE_NAME", name)
        .with("NODE_OPTIONS", node_options)
        .with(
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.version=1.42.0,service.namespace=demo",
        );
    Container::ready(spec, Restart::After(PAUSE)).with_context(|| format!("the container {name}"))
}

fn users(port: u16, rate: u32) -> Result<App> {
    let node = places::node().context("no Node.js")?;
    let driver = places::fixtures().join("driver.js");
    let arguments = ["--port", &port.to_string(), "--rate", &rate.to_string()].map(str::to_owned);
    App::start(
        Command::new(node)
            .arg(driver)
            .args(arguments)
            .env("OTEL_SERVICE_NAME", "users"),
    )
}

/// A loopback port that was free a moment ago: a server that is restarted needs the same one each time.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free loopback port")?;
    Ok(listener.local_addr()?.port())
}
