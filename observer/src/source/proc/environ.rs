//! Reads `/proc/PID/environ`, produces the few variables that say who a service is; keeps nothing else of it.

use std::collections::BTreeMap;

use observer_core::process::HeapFlags;

use super::args;

/// The variables kept: what OpenTelemetry's SDK would name the service by. Everything else stays where it is, other
/// `OTEL_*` among it, which may carry endpoints, headers and keys.
const KEPT: [&str; 2] = ["OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"];
/// Longest value kept, bytes: of a longer one the attributes that are whole.
const LONGEST_VALUE: usize = 4096;

/// What the environment says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Environment {
    /// Those of [`KEPT`] that are there.
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
        } else if let Some((name, value)) = KEPT.iter().find_map(|name| Some((*name, value_of(entry, name)?))) {
            found.otel.entry(name.to_owned()).or_insert(value);
        }
    }
    found
}

fn value_of(entry: &[u8], name: &str) -> Option<String> {
    let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
    let Some(cut) = value.get(..LONGEST_VALUE).filter(|_| value.len() > LONGEST_VALUE) else {
        return Some(String::from_utf8_lossy(value).into_owned());
    };
    // What is cut in its midst would be wrong: a name that long is none, and of attributes the whole pairs are kept.
    let whole = cut.iter().rposition(|&b| b == b',' && name != KEPT[0])?;
    Some(String::from_utf8_lossy(&cut[..whole]).into_owned())
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
    fn it_is_bounded_and_no_attribute_is_cut() {
        let pair = |n: usize| format!("key{n}={}", "v".repeat(100));
        let long = (0..1000).map(pair).collect::<Vec<_>>().join(",");
        let text = format!(
            "OTEL_SERVICE_NAME={}\0OTEL_RESOURCE_ATTRIBUTES={long}\0",
            "n".repeat(5000)
        );
        let found = parse(text.as_bytes());
        assert!(!found.otel.contains_key("OTEL_SERVICE_NAME"), "no name is that long");
        let kept = &found.otel["OTEL_RESOURCE_ATTRIBUTES"];
        assert!(
            kept.len() <= LONGEST_VALUE && kept.len() > LONGEST_VALUE - 120,
            "{}",
            kept.len()
        );
        assert!(long.starts_with(&format!("{kept},")), "whole pairs: {kept}");
    }
}
