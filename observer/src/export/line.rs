//! Lines: read a finding, produce one line for people or one JSON object. `run` and `replay` print the same.

use std::time::{Duration, UNIX_EPOCH};

use observer_core::{
    Finding,
    telemetry::{self, Severity, Value},
    time::WallTime,
};
use ratatui::{
    style::{Style, Stylize as _},
    text::{Line, Span},
};
use serde_json::{Map, json};

use crate::{
    config::OutputFormat,
    terminal::{self, Look, Printed, clean, text},
};

/// Bytes of a sentence whose names need not be looked at one by one.
const LONGEST: usize = 512;

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
        let terminal = terminal::is_terminal();
        match format {
            OutputFormat::Json => Self::Json,
            OutputFormat::Auto if !terminal => Self::Json,
            OutputFormat::Auto | OutputFormat::Human => Self::Human {
                colour: Look::of_stdout().colour,
            },
        }
    }

    /// The line, with its line end.
    pub fn of(self, finding: &Finding) -> Printed {
        match self {
            Self::Human { colour } => human(finding, colour),
            Self::Json => json_line(finding),
        }
    }
}

/// `2026-11-22T16:01:42Z  WARN   sentence`; the sentence begins with the service's name.
fn human(finding: &Finding, colour: bool) -> Printed {
    let event = telemetry::event(finding);
    let (word, style) = match event.severity {
        Severity::Info => ("INFO ", Style::new().cyan()),
        Severity::Warn => ("WARN ", Style::new().yellow()),
        Severity::Error => ("ERROR", Style::new().red().bold()),
    };
    let line = Line::from(vec![
        Span::from(time(finding.wall, false)).dim(),
        "  ".into(),
        Span::styled(word, style),
        "  ".into(),
        sentence(finding).into(),
    ]);
    terminal::rendered(line, colour)
}

/// What is said, with its names fit to be shown.
pub fn sentence(finding: &Finding) -> String {
    let body = telemetry::event(finding).body;
    if body.len() <= LONGEST && text::visible(&body) == body {
        return body;
    }
    let cleaned = clean::of(finding).map_or(body, |finding| telemetry::event(&finding).body);
    text::visible(&cleaned).into_owned()
}

fn json_line(finding: &Finding) -> Printed {
    let event = telemetry::event(finding);
    let attributes: Map<String, serde_json::Value> = event
        .attributes
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json_value(value)))
        .collect();
    terminal::json_value(&json!({
        "time": time(finding.wall, true),
        "event": event.name,
        "severity": event.severity.name(),
        "body": event.body,
        "attributes": attributes,
        "resource": finding.subject.as_ref().map(|subject| &subject.resource),
    }))
}

fn json_value(value: &Value) -> serde_json::Value {
    match value {
        Value::Text(text) => json!(text),
        Value::Int(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Bool(yes) => json!(yes),
        Value::Time(at) => json!(iso_8601(*at)),
        Value::List(list) => list.iter().map(json_value).collect(),
    }
}

/// An instant that is an attribute, in milliseconds: starts of processes are known to a hundredth of a second.
pub fn iso_8601(at: WallTime) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_nanos(at.0)).to_string()
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

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
