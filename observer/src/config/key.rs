//! Every setting, once: reads nothing, produces the table that flags, environment, file and documentation share.

/// One setting. `name` is its key in the file and its flag; in the environment it is `OBSERVER_` and the name in
/// capitals with `_` for `-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Name in the file, and the flag without its dashes.
    pub name: &'static str,
    /// What its value looks like, for the help text.
    pub value: &'static str,
    /// One sentence, with the default.
    pub help: &'static str,
}

impl Key {
    /// The environment variable.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.to_uppercase().replace('-', "_"))
    }
}

/// Start of every environment variable of ours.
pub const PREFIX: &str = "OBSERVER_";

/// The file read where `--config` and `OBSERVER_CONFIG` name none; its absence is no error.
pub const DEFAULT_FILE: &str = "/etc/observer/observer.toml";

/// The socket of `observer status` where no other is named.
pub const STATUS_SOCKET: &str = "/run/observer.sock";

const fn key(name: &'static str, value: &'static str, help: &'static str) -> Key {
    Key { name, value, help }
}

/// All settings, in the order of the help text.
pub const KEYS: &[Key] = &[
    key(
        "sample-interval",
        "DURATION",
        "Time between two samples of a watched process: 100ms to 60s [default: 10s]",
    ),
    key(
        "growth-tracing",
        "auto|always|off",
        "Attribute growth to V8's heap, malloc, large buffers and files by syscall tracepoints: while a process grows, always, or never [default: auto]",
    ),
    key(
        "hooks",
        "auto|tracepoint|off",
        "Highest rung of kernel hooks to use; off observes through files only [default: auto]",
    ),
    key(
        "kernel-log",
        "off|info|debug",
        "Log of the kernel programs on standard error: nothing, each event, or also each event they skip [default: off]",
    ),
    key(
        "max-processes",
        "COUNT",
        "Processes watched at most; further ones are counted, not watched [default: 4096]",
    ),
    key(
        "near-ceiling",
        "RATIO",
        "Share of a ceiling at which observer.memory.near_ceiling is reported: 0.1 to 0.99 [default: 0.8]",
    ),
    key(
        "time-scale",
        "FACTOR",
        "Shrinks detection's time spans, for a leak compressed in time such as the demo's: 0.0001 to 1 [default: 1]",
    ),
    key(
        "heap-workloads",
        "NAME,...",
        "Services whose heap may be read from outside when they grow (names and counts only): shop, namespace/shop, namespace/* or *, which is all [default: none]",
    ),
    key(
        "heap-interval",
        "DURATION",
        "The least time between readings of one container's heap while no end is forecast: 1s to 168h [default: 1h]",
    ),
    key(
        "heap-bandwidth",
        "BYTES",
        "Bytes of a heap read in a second at most, such as 256MiB [default: 256MiB]",
    ),
    key(
        "record",
        "FILE",
        "Write every input of the engine to FILE, gzipped where it ends in .gz, for `observer replay`",
    ),
    key(
        "output",
        "auto|human|json",
        "Findings on standard output: lines for people, or JSON; auto asks whether it is a terminal [default: auto]",
    ),
    key(
        "stop-timeout",
        "DURATION",
        "Longest time to deliver what is queued when asked to stop [default: 5s]",
    ),
    key(
        "status-socket",
        "FILE|off",
        "Unix socket that `observer status` asks [default: /run/observer.sock]",
    ),
    key(
        "listen",
        "ADDRESS:PORT",
        "Serve /metrics (Prometheus), /healthz and /readyz there, such as 127.0.0.1:9464 [default: nowhere]",
    ),
    key(
        "metrics-interval",
        "DURATION",
        "Time between two exports of metrics over OTLP: 1s to 1h; also OTEL_METRIC_EXPORT_INTERVAL (milliseconds) [default: 60s]",
    ),
    key(
        "store",
        "DIR",
        "Directory of the store: what waits for delivery, findings, and the state of every run, so that a restarted agent \
         goes on where it was [default: in memory only]",
    ),
    key(
        "state-interval",
        "DURATION",
        "Time between two saves of the state of every run: what an agent that is killed may lose [default: 30s]",
    ),
    key(
        "history-max",
        "BYTES",
        "Bytes of findings and ended runs kept in the store; beyond it the oldest are dropped and counted [default: 16MiB]",
    ),
    key(
        "spool-max",
        "BYTES",
        "Bytes that may wait for delivery, per signal, such as 16MiB; beyond it the oldest are dropped and counted [default: 16MiB]",
    ),
    key("procfs", "DIR", "Where the host's /proc is mounted [default: /proc]"),
    key(
        "cgroupfs",
        "DIR",
        "Where the host's cgroup file system is mounted [default: /sys/fs/cgroup]",
    ),
    key(
        "kubernetes",
        "auto|on|off",
        "Watch this node's pods for names, owners and versions; auto: in a cluster's own pods [default: auto]",
    ),
    key(
        "kubernetes-events",
        "true|false",
        "Write Events on pods for OOM kills, deaths at V8's heap limit, and leaks that are likely, confirmed, resolved: `kubectl describe pod` shows them; needs the right to create and patch events [default: false]",
    ),
    key(
        "node-name",
        "NAME",
        "This node's name in Kubernetes, as pods have it in spec.nodeName; also NODE_NAME [default: the host's name]",
    ),
    key(
        "service-labels",
        "true|false",
        "Let a pod's labels app.kubernetes.io/instance and /name name its service, before its owner does [default: false]",
    ),
    key(
        "watch-itself",
        "true|false",
        "Watch the agent as services are watched: its ends, restarts and growth are told like theirs [default: false]",
    ),
    key(
        "include-namespaces",
        "NAME,...",
        "Observe pods of these namespaces only; a * at the end stands for any ending [default: of all]",
    ),
    key(
        "exclude-namespaces",
        "NAME,...",
        "Observe no pod of these namespaces, whatever else says so; a * at the end stands for any ending [default: none]",
    ),
    key(
        "pods",
        "all|annotated",
        "Observe every pod but those annotated observer.dev/observe: \"false\", or only those annotated \"true\" [default: all]",
    ),
    key(
        "engine-socket",
        "FILE",
        "Docker's or podman's socket, asked (GET only) for containers that no file on disk names [default: none is asked]",
    ),
    key(
        "otlp-endpoint",
        "URL",
        "Send findings there over OTLP; also OTEL_EXPORTER_OTLP_ENDPOINT [default: nowhere]",
    ),
    key(
        "otlp-protocol",
        "grpc|http/protobuf",
        "also OTEL_EXPORTER_OTLP_PROTOCOL [default: http/protobuf, and grpc for an endpoint on port 4317]",
    ),
    key(
        "otlp-headers",
        "K=V,...",
        "Headers of every request, percent-encoded; never logged; also OTEL_EXPORTER_OTLP_HEADERS",
    ),
    key(
        "otlp-timeout",
        "DURATION",
        "Longest time for one request; also OTEL_EXPORTER_OTLP_TIMEOUT (milliseconds) [default: 10s]",
    ),
    key(
        "otlp-compression",
        "gzip|none",
        "also OTEL_EXPORTER_OTLP_COMPRESSION [default: none]",
    ),
    key(
        "otlp-certificate",
        "FILE",
        "PEM file of the authorities to trust; also OTEL_EXPORTER_OTLP_CERTIFICATE [default: the system's]",
    ),
    key(
        "otlp-client-key",
        "FILE",
        "PEM file of the client's private key; also OTEL_EXPORTER_OTLP_CLIENT_KEY",
    ),
    key(
        "otlp-client-certificate",
        "FILE",
        "PEM file of the client's certificate; also OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    ),
    key(
        "otlp-temporality-preference",
        "cumulative|delta|lowmemory",
        "Temporality of counters: since the start, or since the previous export; also OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE [default: cumulative]",
    ),
    key(
        "otlp-retry-initial-interval",
        "DURATION",
        "Wait after a request that failed and may be sent again, doubled with each further failure [default: 1s]",
    ),
    key(
        "otlp-retry-max-interval",
        "DURATION",
        "Longest such wait, unless the receiver asks for more [default: 30s]",
    ),
    key(
        "otlp-insecure",
        "true|false",
        "gRPC without TLS where the endpoint has no scheme; also OTEL_EXPORTER_OTLP_INSECURE [default: false]",
    ),
];

/// The setting with this name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The name nearest to a misspelt one, if any is near enough to be meant.
pub fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase().replace('_', "-");
    KEYS.iter()
        .map(|key| (strsim::damerau_levenshtein(&name, key.name), key.name))
        .min()
        .filter(|(distance, key)| *distance <= key.len().div_ceil(3))
        .map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_well_formed() {
        for (i, key) in KEYS.iter().enumerate() {
            assert!(
                key.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'),
                "{}",
                key.name
            );
            assert!(KEYS[..i].iter().all(|other| other.name != key.name), "{}", key.name);
        }
    }

    #[test]
    fn the_reference_page_is_up_to_date() {
        use std::fmt::Write as _;
        let mut page = String::from(
            "# Configuration\n\n<!-- Written by a test from observer/src/config/key.rs: \
             UPDATE_EXPECT=1 cargo test -p observer reference_page -->\n\n\
             Every setting may stand in three places. Flags win over the environment, the environment over the file.\n\n\
             - a flag of `observer run`: `--sample-interval 1s`\n\
             - an environment variable: `OBSERVER_SAMPLE_INTERVAL=1s`\n\
             - a line of the TOML file that `--config` or `OBSERVER_CONFIG` names \
             (else `/etc/observer/observer.toml`, if present): `sample-interval = \"1s\"`\n\n\
             An unknown key in the file is an error; an unknown `OBSERVER_*` variable is not, because Kubernetes puts \
             such variables into pods beside a service of that name. All problems are told at once, one line each, and \
             end the command with exit code 2.\n\n\
             `OTEL_EXPORTER_OTLP_*` variables are read as OpenTelemetry specifies, generic and per signal, with \
             `OTEL_SDK_DISABLED`, `OTEL_{LOGS,METRICS,TRACES}_EXPORTER=none`, `OTEL_METRIC_EXPORT_INTERVAL` (milliseconds), \
             and for the agent's own Resource `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`. There are no \
             histograms, so `OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION` says nothing. Flags and \
             `OBSERVER_*` variables win over them, and they win over the file.\n\n| setting | value | meaning |\n|---|---|---|\n",
        );
        for key in KEYS {
            let value = key.value.replace('|', "\\|");
            let help = key.help.replace('|', "\\|");
            writeln!(page, "| `{}` | `{value}` | {help} |", key.name).unwrap();
        }
        expect_test::expect_file!["../../../docs/configuration.md"].assert_eq(&page);
    }

    #[test]
    fn a_misspelling_finds_its_key() {
        assert_eq!(nearest("sample_interval"), Some("sample-interval"));
        assert_eq!(nearest("otlp-endpiont"), Some("otlp-endpoint"));
        assert_eq!(nearest("colour"), None);
    }
}
