//! Lines: read a finding, produce one line for people or one JSON object. `run` and `replay` print the same.

use std::{
    io::IsTerminal,
    time::{Duration, UNIX_EPOCH},
};

use anstyle::{AnsiColor, Style};
use observer_core::{
    Finding,
    telemetry::{self, Severity, Value},
    time::WallTime,
};
use serde_json::{Map, json};

use crate::config::OutputFormat;

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// For people, with colours or without.
    Human {
        /// Colours.
        colour: bool,
    },
    /// One JSON object per line: docs/telemetry.md's names.
    Json,
}

impl Lines {
    /// What was asked for; `auto` asks whether standard output is a terminal.
    pub fn new(format: OutputFormat) -> Self {
        let terminal = std::io::stdout().is_terminal();
        match format {
            OutputFormat::Json => Self::Json,
            OutputFormat::Auto if !terminal => Self::Json,
            OutputFormat::Auto | OutputFormat::Human => Self::Human {
                colour: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            },
        }
    }

    /// The line, with its line end.
    pub fn of(self, finding: &Finding) -> String {
        match self {
            Self::Human { colour } => human(finding, colour),
            Self::Json => json_line(finding),
        }
    }
}

/// `2026-11-22T16:01:42Z  WARN   sentence`; the sentence begins with the service's name.
fn human(finding: &Finding, colour: bool) -> String {
    let event = telemetry::event(finding);
    let (word, style) = match event.severity {
        Severity::Info => ("INFO ", AnsiColor::Cyan.on_default()),
        Severity::Warn => ("WARN ", AnsiColor::Yellow.on_default()),
        Severity::Error => ("ERROR", AnsiColor::Red.on_default().bold()),
    };
    let time = time(finding.wall, false);
    if colour {
        let dim = Style::new().dimmed();
        format!("{dim}{time}{dim:#}  {style}{word}{style:#}  {}\n", event.body)
    } else {
        format!("{time}  {word}  {}\n", event.body)
    }
}

fn json_line(finding: &Finding) -> String {
    let event = telemetry::event(finding);
    let attributes: Map<String, serde_json::Value> = event
        .attributes
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json_value(value)))
        .collect();
    let line = json!({
        "time": time(finding.wall, true),
        "event": event.name,
        "severity": event.severity.name(),
        "body": event.body,
        "attributes": attributes,
        "resource": finding.subject.as_ref().map(|subject| &subject.resource),
    });
    format!("{line}\n")
}

fn json_value(value: &Value) -> serde_json::Value {
    match value {
        Value::Text(text) => json!(text),
        Value::Int(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Bool(yes) => json!(yes),
        Value::List(list) => list.iter().map(json_value).collect(),
    }
}

/// RFC 3339 in UTC, whole nanoseconds or seconds.
fn time(wall: WallTime, nanoseconds: bool) -> String {
    let time = UNIX_EPOCH + Duration::from_nanos(wall.0);
    if nanoseconds {
        humantime::format_rfc3339_nanos(time).to_string()
    } else {
        humantime::format_rfc3339_seconds(time).to_string()
    }
}
