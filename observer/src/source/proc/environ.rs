//! Reads `/proc/PID/environ`, produces the few variables that say who a service is; keeps nothing else of it.

use std::collections::BTreeMap;

use observer_core::process::HeapFlags;

use super::args;

/// Most variables kept of one process.
const MOST_VARIABLES: usize = 64;
/// Longest value kept, bytes: a longer one is cut at a character.
const LONGEST_VALUE: usize = 4096;

/// Parts of a variable's name behind which a secret may stand.
const SECRET: [&str; 7] = [
    "HEADER",
    "CERTIFICATE",
    "KEY",
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "CREDENTIAL",
];

/// What the environment says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Environment {
    /// `OTEL_*`, less everything about exporters (their endpoints, headers and certificates carry credentials).
    pub(crate) otel: BTreeMap<String, String>,
    /// Heap flags of `NODE_OPTIONS`; the rest of that variable is dropped here.
    pub(crate) flags: HeapFlags,
}

/// Parses the initial environment: `NAME=value` ended by NUL. The area may have been overwritten by its process; then
/// it holds no such names, and nothing is found.
pub(crate) fn parse(text: &[u8]) -> Environment {
    let mut found = Environment::default();
    for entry in text.split(|&b| b == 0) {
        if let Some(options) = entry.strip_prefix(b"NODE_OPTIONS=") {
            found.flags = args::node_options(&String::from_utf8_lossy(options));
        } else if entry.starts_with(b"OTEL_") {
            let Some(at) = entry.iter().position(|&b| b == b'=') else {
                continue;
            };
            let Ok(name) = std::str::from_utf8(&entry[..at]) else {
                continue;
            };
            if is_kept(name) && found.otel.len() < MOST_VARIABLES {
                let value = &entry[at + 1..];
                let value = String::from_utf8_lossy(&value[..value.len().min(LONGEST_VALUE)]).into_owned();
                found.otel.entry(name.to_owned()).or_insert(value);
            }
        }
    }
    found
}

fn is_kept(name: &str) -> bool {
    name.bytes()
        .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        && !name.starts_with("OTEL_EXPORTER_")
        && !SECRET.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_variables_are_kept_and_no_secret_among_them() {
        let found = parse(
            b"PATH=/bin\0OTEL_SERVICE_NAME=checkout\0AWS_SECRET_ACCESS_KEY=x\0\
              OTEL_RESOURCE_ATTRIBUTES=service.version=1.2.3,deployment.environment.name=prod\0\
              OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20abc\0OTEL_EXPORTER_OTLP_TRACES_HEADERS=x=y\0\
              OTEL_EXPORTER_OTLP_ENDPOINT=https://user:pass@host\0OTEL_EXPORTER_OTLP_CLIENT_KEY=/k\0\
              OTEL_MY_TOKEN=t\0OTEL_NO_VALUE\0NODE_OPTIONS=--max-old-space-size=300 --require=/secret.js\0",
        );
        let names: Vec<_> = found.otel.keys().map(String::as_str).collect();
        assert_eq!(names, ["OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME"]);
        assert_eq!(found.otel["OTEL_SERVICE_NAME"], "checkout");
        assert_eq!(found.flags.max_old_space_mib, Some(300));
        assert!(!format!("{found:?}").contains("secret"));
    }

    #[test]
    fn an_overwritten_environment_gives_nothing() {
        assert_eq!(parse(b"my title\0\0\0ATH=/bin\0\xff\xfe=\0"), Environment::default());
    }

    #[test]
    fn it_is_bounded() {
        let mut text = Vec::new();
        for n in 0..10_000 {
            text.extend_from_slice(format!("OTEL_X{n}={}\0", "v".repeat(6000)).as_bytes());
        }
        let found = parse(&text);
        assert_eq!(found.otel.len(), MOST_VARIABLES);
        assert!(found.otel.values().all(|value| value.len() == LONGEST_VALUE));
    }
}
