//! Where findings go over OTLP: reads our settings and the `OTEL_EXPORTER_OTLP_*` variables (generic and per
//! signal), produces one target per signal.
//!
//! Variables and defaults: OpenTelemetry specification, "OpenTelemetry Protocol Exporter". A flag or `OBSERVER_*`
//! variable of ours wins over `OTEL_*`, and those win over the configuration file.

use std::{fmt, fs, ops::RangeInclusive, str::FromStr, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::{
    layer::Layers,
    problem::{Problem, Source},
    value::{self, ValueError},
};

/// How records travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with binary protobuf.
    HttpProtobuf,
}

/// What travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Events.
    Logs,
    /// Levels and counters.
    Metrics,
    /// Ended runs.
    Traces,
}

impl Signal {
    /// As it stands in variables.
    const fn variable(self) -> &'static str {
        match self {
            Self::Logs => "LOGS",
            Self::Metrics => "METRICS",
            Self::Traces => "TRACES",
        }
    }

    /// Path below an OTLP/HTTP endpoint, and the name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Metrics => "metrics",
            Self::Traces => "traces",
        }
    }
}

/// What a count's points say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temporality {
    /// What was counted since the start.
    #[default]
    Cumulative,
    /// What was counted since the points before.
    Delta,
    /// Delta where that needs no memory: not for what the agent counts, which is read and not added up.
    LowMemory,
}

/// How long to wait after failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// After the first; doubled with each further one.
    pub initial: Duration,
    /// At most, unless the receiver asks for more.
    pub longest: Duration,
}

/// One signal's way out.
#[derive(Clone)]
pub struct Target {
    /// Which signal.
    pub signal: Signal,
    /// The whole URL for HTTP; scheme and authority for gRPC.
    pub endpoint: Uri,
    /// How.
    pub protocol: Protocol,
    /// Sent with every request; every value is marked sensitive.
    pub headers: HeaderMap,
    /// Longest time for one request.
    pub timeout: Duration,
    /// Compress bodies.
    pub gzip: bool,
    /// PEM of the authorities to trust; the system's where `None`.
    pub authorities: Option<Vec<u8>>,
    /// PEM of the client's certificate and of its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// Of metrics: what counts say.
    pub temporality: Temporality,
    /// How long to wait after failures.
    pub retry: Retry,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            signal,
            endpoint,
            protocol,
            headers,
            timeout,
            gzip,
            authorities,
            identity,
            temporality,
            retry,
        } = self;
        f.debug_struct("Target")
            .field("signal", signal)
            .field("endpoint", &endpoint.authority().map(http::uri::Authority::host))
            .field("protocol", protocol)
            .field("headers", &headers.keys().collect::<Vec<_>>())
            .field("timeout", timeout)
            .field("gzip", gzip)
            .field("authorities", &authorities.is_some())
            .field("identity", &identity.is_some())
            .field("temporality", temporality)
            .field("retry", retry)
            .finish()
    }
}

const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(1);
/// Where nothing is said.
const RETRY: Retry = Retry {
    initial: Duration::from_secs(1),
    longest: Duration::from_secs(30),
};

/// The target of one signal; `None` where no endpoint is set or the signal is switched off.
pub fn target(layers: &Layers, signal: Signal, problems: &mut Vec<Problem>) -> Option<Target> {
    let switched_off = |name: String, off: &str| {
        layers
            .variable(&[name])
            .is_some_and(|(value, _)| value.trim().eq_ignore_ascii_case(off))
    };
    if switched_off("OTEL_SDK_DISABLED".to_owned(), "true")
        || switched_off(format!("OTEL_{}_EXPORTER", signal.variable()), "none")
    {
        return None;
    }
    let asked = Lookup { layers, signal };
    let (endpoint_text, endpoint_source) = asked.of("endpoint")?;
    let parsed = parse(asked.of("protocol"), problems, |text| {
        value::choice(
            text,
            &[("grpc", Protocol::Grpc), ("http/protobuf", Protocol::HttpProtobuf)],
        )
    });
    let insecure = parse(asked.of("insecure"), problems, value::boolean).unwrap_or(false);
    let exact = matches!(&endpoint_source, Source::Variable(name) if name.contains(signal.variable()));
    let (endpoint, protocol) = match endpoint(&endpoint_text, parsed, insecure, (!exact).then_some(signal)) {
        Ok(found) => found,
        Err(wrong) => {
            problems.push(problem(endpoint_source, wrong));
            return None;
        }
    };
    let headers = parse(asked.of("headers"), problems, headers).unwrap_or_default();
    let timeout = duration(asked.of("timeout"), TIMEOUTS, problems).unwrap_or(Duration::from_secs(10));
    let wait = |name: &str| layers.get(name).cloned();
    let retry = Retry {
        initial: duration(wait("otlp-retry-initial-interval"), TIMEOUTS, problems).unwrap_or(RETRY.initial),
        longest: duration(wait("otlp-retry-max-interval"), TIMEOUTS, problems).unwrap_or(RETRY.longest),
    };
    let preference = (signal == Signal::Metrics).then(|| asked.of("temporality-preference"));
    let temporality = parse(preference.flatten(), problems, |text| {
        use Temporality::{Cumulative, Delta, LowMemory};
        let known = [("cumulative", Cumulative), ("delta", Delta), ("lowmemory", LowMemory)];
        value::choice(text, &known)
    })
    .unwrap_or_default();
    let gzip = parse(asked.of("compression"), problems, |text| {
        value::choice(text, &[("gzip", true), ("none", false)])
    })
    .unwrap_or(false);
    let authorities = parse(asked.of("certificate"), problems, |path| pem(path, "CERTIFICATE"));
    let key = parse(asked.of("client-key"), problems, |path| pem(path, "PRIVATE KEY"));
    let certificate = parse(asked.of("client-certificate"), problems, |path| {
        pem(path, "CERTIFICATE")
    });
    if let (Some(_), None) | (None, Some(_)) = (asked.of("client-key"), asked.of("client-certificate")) {
        problems.push(problem(
            endpoint_source,
            ValueError::new(
                "only one of client key and client certificate is set",
                "set both, or none",
            ),
        ));
    }
    Some(Target {
        signal,
        endpoint,
        protocol,
        headers,
        timeout,
        gzip,
        authorities,
        identity: certificate.zip(key),
        temporality,
        retry,
    })
}

/// Time between two exports of metrics: ours, or `OTEL_METRIC_EXPORT_INTERVAL`.
pub fn metrics_interval(layers: &Layers, problems: &mut Vec<Problem>) -> Duration {
    let range = Duration::from_secs(1)..=Duration::from_hours(1);
    let ours = layers.get("metrics-interval");
    let given = ours
        .filter(|(_, source)| !matches!(source, Source::File { .. }))
        .cloned();
    let given = given
        .or_else(|| layers.variable(&["OTEL_METRIC_EXPORT_INTERVAL".to_owned()]))
        .or_else(|| ours.cloned());
    duration(given, range, problems).unwrap_or(Duration::from_mins(1))
}

/// A duration. `OTEL_*` variables are numbers of milliseconds; our own settings carry their unit.
fn duration(
    given: Option<(String, Source)>,
    range: RangeInclusive<Duration>,
    problems: &mut Vec<Problem>,
) -> Option<Duration> {
    let given = match given {
        Some((text, Source::Variable(name))) if name.starts_with("OTEL_") => {
            Some((format!("{text}ms"), Source::Variable(name)))
        }
        other => other,
    };
    parse(given, problems, |text| value::duration(text, range))
}

/// Looks one setting up where it may stand.
struct Lookup<'a> {
    layers: &'a Layers,
    signal: Signal,
}

impl Lookup<'_> {
    fn of(&self, setting: &str) -> Option<(String, Source)> {
        let ours = self.layers.get(&format!("otlp-{setting}"));
        if let Some((text, source)) = ours
            && !matches!(source, Source::File { .. })
        {
            return Some((text.clone(), source.clone()));
        }
        let name = setting.to_uppercase().replace('-', "_");
        self.layers
            .variable(&[
                format!("OTEL_EXPORTER_OTLP_{}_{name}", self.signal.variable()),
                format!("OTEL_EXPORTER_OTLP_{name}"),
            ])
            .or_else(|| ours.cloned())
    }
}

fn parse<T>(
    given: Option<(String, Source)>,
    problems: &mut Vec<Problem>,
    read: impl FnOnce(&str) -> Result<T, ValueError>,
) -> Option<T> {
    let (text, source) = given?;
    read(&text).map_err(|wrong| problems.push(problem(source, wrong))).ok()
}

fn problem(source_of: Source, wrong: ValueError) -> Problem {
    Problem::Value {
        source_of,
        wrong: wrong.wrong,
        remedy: wrong.remedy,
    }
}

/// Endpoint and protocol. `append` names the signal whose path is added to a generic OTLP/HTTP endpoint.
fn endpoint(
    text: &str,
    protocol: Option<Protocol>,
    insecure: bool,
    append: Option<Signal>,
) -> Result<(Uri, Protocol), ValueError> {
    let remedy = "write a URL such as http://localhost:4318 or https://collector.example:4317";
    let text = text.trim();
    let text = if text.contains("://") {
        text.to_owned()
    } else {
        format!("{}://{text}", if insecure { "http" } else { "https" })
    };
    let uri = Uri::from_str(&text).map_err(|error| ValueError::new(format!("it is not a URL ({error})"), remedy))?;
    let Some(authority) = uri.authority() else {
        return Err(ValueError::new("it names no host", remedy));
    };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(ValueError::new("its scheme is neither http nor https", remedy));
    }
    if authority.as_str().contains('@') {
        return Err(ValueError::new(
            "it carries a user name or password",
            "put credentials into otlp-headers",
        ));
    }
    let protocol = protocol.unwrap_or(match authority.port_u16() {
        Some(4317) => Protocol::Grpc,
        _ => Protocol::HttpProtobuf,
    });
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let path = match (protocol, append) {
        (Protocol::Grpc, _) => "/".to_owned(),
        (Protocol::HttpProtobuf, Some(signal)) => {
            format!("{}/v1/{}{query}", uri.path().trim_end_matches('/'), signal.name())
        }
        (Protocol::HttpProtobuf, None) => format!("{}{query}", uri.path()),
    };
    Uri::builder()
        .scheme(uri.scheme_str().unwrap_or("https"))
        .authority(authority.as_str())
        .path_and_query(path)
        .build()
        .map(|uri| (uri, protocol))
        .map_err(|error| ValueError::new(format!("it is not a URL ({error})"), remedy))
}

/// `name=value` pairs between commas, values percent-encoded. The error never shows a value.
fn headers(text: &str) -> Result<HeaderMap, ValueError> {
    let remedy = "write name=value pairs between commas, values percent-encoded";
    let mut map = HeaderMap::new();
    for (nth, pair) in text.split(',').enumerate().filter(|(_, pair)| !pair.trim().is_empty()) {
        let place = format!("pair {}", nth + 1);
        let Some((name, value)) = pair.split_once('=') else {
            return Err(ValueError::new(format!("{place} has no `=`"), remedy));
        };
        let name = HeaderName::from_str(name.trim())
            .map_err(|_| ValueError::new(format!("the name in {place} is not a header's"), remedy))?;
        let value = percent_encoding::percent_decode_str(value.trim())
            .decode_utf8()
            .ok()
            .and_then(|value| HeaderValue::from_str(&value).ok());
        let Some(mut value) = value else {
            return Err(ValueError::new(
                format!("the value of {name} is not a header's"),
                remedy,
            ));
        };
        value.set_sensitive(true);
        map.append(name, value);
    }
    Ok(map)
}

/// A PEM file that holds what its setting says.
fn pem(path: &str, holds: &str) -> Result<Vec<u8>, ValueError> {
    let bytes = fs::read(path)
        .map_err(|error| ValueError::new(format!("{path} cannot be read ({error})"), "name a readable PEM file"))?;
    let text = String::from_utf8_lossy(&bytes);
    if text
        .lines()
        .any(|line| line.starts_with("-----BEGIN ") && line.contains(holds))
    {
        Ok(bytes)
    } else {
        Err(ValueError::new(
            format!("{path} holds no {holds}"),
            "name a PEM file that does",
        ))
    }
}
