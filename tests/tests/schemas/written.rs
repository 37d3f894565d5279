//! Schemas of what has no type of its own: reads the tables of settings and of names, produces schemas.

use observer::config::key::{KEYS, Key};
use observer_core::telemetry;
use serde_json::{Map, Value, json};

use super::form::{DIALECT, closed, list, maybe, number, signed, text, whole, yes};

/// One finding, as `observer run` and `observer replay` print it.
pub(crate) fn event() -> Value {
    let (events, attributes) = telemetry::reference();
    let names: Vec<&str> = events.iter().map(|(name, _)| *name).collect();
    let attributes: Map<String, Value> = attributes
        .iter()
        .map(|(name, meaning)| {
            let value = json!({ "$ref": "#/$defs/value", "description": meaning.trim() });
            ((*name).to_owned(), value)
        })
        .collect();
    let mut schema = closed([
        ("time", json!({ "type": "string", "format": "date-time" })),
        ("event", json!({ "enum": names })),
        ("severity", json!({ "enum": ["INFO", "WARN", "ERROR"] })),
        (
            "body",
            json!({ "type": "string", "description": "A sentence for people." }),
        ),
        (
            "attributes",
            json!({ "type": "object", "properties": attributes, "additionalProperties": false }),
        ),
        (
            "resource",
            json!({
                "type": ["object", "null"],
                "additionalProperties": { "type": "string" },
                "description": "The observed workload's own attributes; null for what the agent says of itself.",
            }),
        ),
    ]);
    schema["$defs"] = json!({ "value": {
        "type": ["string", "number", "boolean", "array"],
        "items": { "type": ["string", "number", "boolean"] },
    } });
    head(
        &mut schema,
        "A finding",
        "One line of `observer run --output json` and of `observer replay --output json`.",
    );
    schema
}

/// The file that `--config` names.
pub(crate) fn settings() -> Value {
    let properties: Map<String, Value> = KEYS.iter().map(|key| (key.name.to_owned(), setting(key))).collect();
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    head(
        &mut schema,
        "observer.toml",
        "The configuration file of `observer run`: every setting of docs/configuration.md.",
    );
    schema
}

fn setting(key: &Key) -> Value {
    let words: Vec<&str> = key.value.split('|').collect();
    let mut form = match key.value {
        "DURATION" => json!({ "type": "string", "pattern": r"^\s*[0-9.]+\s*(ms|s|m|min|h)\s*$" }),
        "BYTES" => json!({ "type": "string", "pattern": r"^\s*[0-9]+\s*(KiB|MiB|GiB)\s*$" }),
        "COUNT" => json!({ "type": "integer", "minimum": 1 }),
        "RATIO" | "FACTOR" => json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1 }),
        "true|false" => json!({ "type": "boolean" }),
        _ if words.len() > 1 && words.iter().all(|word| word.chars().any(char::is_lowercase)) => {
            json!({ "enum": words })
        }
        _ => json!({ "type": "string" }),
    };
    form["description"] = json!(key.help);
    form
}

/// `observer doctor --json`.
pub(crate) fn doctor() -> Value {
    let rung = || json!({ "enum": ["tp_btf", "tracepoint", "files only"] });
    let hook = closed([
        ("hook", text()),
        ("rung", rung()),
        ("lost", text()),
        (
            "failed",
            json!({ "type": "array", "items": closed([("rung", rung()), ("reason", text())]) }),
        ),
    ]);
    let mut schema = closed([
        ("kernel", closed([("release", text()), ("machine", text())])),
        ("btf_types", maybe("integer")),
        ("btf_error", maybe("string")),
        ("lockdown", maybe("string")),
        ("lockdown_error", maybe("string")),
        ("tracefs", maybe("string")),
        ("cgroup_version", maybe("integer")),
        ("cgroup_mount", maybe("string")),
        ("cgroup_error", maybe("string")),
        ("cgroup_shortfall", maybe("string")),
        ("store", maybe("string")),
        ("store_error", maybe("string")),
        ("host_pid_namespace", json!({ "type": "boolean" })),
        ("uid", json!({ "type": "integer", "minimum": 0 })),
        (
            "capabilities",
            json!({ "type": "object", "additionalProperties": { "type": "boolean" } }),
        ),
        ("kubernetes_events", maybe("boolean")),
        ("kubernetes_events_error", maybe("string")),
        ("unavailable", maybe("string")),
        ("hooks", json!({ "type": "array", "items": hook })),
    ]);
    head(
        &mut schema,
        "What of a host can be observed",
        "The answer of `observer doctor --json`. What is not known is null beside an error that says why.",
    );
    schema
}

/// `observer heap PID --json`: a reading, what grew between two (`--diff`), or what holds something (`--retainers`).
pub(crate) fn heap() -> Value {
    let to = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
    let row = || {
        vec![
            ("isolate", whole()),
            (
                "kind",
                json!({ "enum": ["closure", "suspended", "object", "shape", "collection", "promise", "buffer", "string", "internal"] }),
            ),
            ("what", text()),
            (
                "origin",
                json!({ "enum": ["application", "dependency", "node", "engine"] }),
            ),
            ("file", maybe("string")),
            ("line", maybe("integer")),
            ("column", maybe("integer")),
            ("count", whole()),
            ("bytes", whole()),
        ]
    };
    let held = |mut fields: Vec<(&'static str, Value)>| {
        fields.push(("held_by", json!({ "anyOf": [to("holders"), { "type": "null" }] })));
        closed(fields)
    };
    let counts = [
        "heap_bytes",
        "array_buffer_bytes",
        "map_entries",
        "set_entries",
        "pending_promises",
        "free_bytes",
        "dead_bytes",
        "code_bytes",
        "young_page_bytes",
        "young_live_bytes",
        "unexplained_bytes",
        "moving_objects",
    ];
    let collection = vec![
        ("isolate", whole()),
        ("what", text()),
        ("elements", whole()),
        ("bytes", whole()),
    ];
    let reading = closed([
        ("pid", whole()),
        ("disturbed", yes()),
        ("isolates", list(closed(counts.map(|name| (name, whole()))))),
        ("rows", list(to("row"))),
        ("largest_collections", list(held(collection))),
    ]);
    let retainers = closed([("pid", whole()), ("rows", list(held(row())))]);
    let mut grown = row();
    grown.extend([
        ("count_before", whole()),
        ("bytes_before", whole()),
        ("count_grown", signed()),
        ("bytes_grown", signed()),
        ("steady", yes()),
        ("alive", maybe("boolean")),
        ("culprit", yes()),
    ]);
    let suspect = closed([
        ("path", list(text())),
        ("content", to("row")),
        ("new", whole()),
        ("bytes_retained", whole()),
        ("bytes_grown", signed()),
        ("alone", yes()),
        ("share", number()),
        ("steady", yes()),
        ("culprit", yes()),
    ]);
    let growth = closed([
        ("pid", whole()),
        ("apart_seconds", number()),
        ("leaking", yes()),
        ("bytes_anonymous_grown", signed()),
        ("bytes_unheld_grown", signed()),
        ("bytes_outside_unexplained", maybe("integer")),
        ("bytes_net", signed()),
        ("bytes_grown", signed()),
        ("bytes_grown_named_by_application", signed()),
        ("suspects", list(suspect)),
        ("grown", list(held(grown))),
    ]);
    let mut schema = json!({ "anyOf": [reading, growth, retainers] });
    head(
        &mut schema,
        "A heap read from outside",
        "The answer of `observer heap PID --json`: a reading; with --diff what grew; with --retainers what holds something.",
    );
    let holder = closed([("path", list(text())), ("share", number()), ("rooted", yes())]);
    schema["$defs"] = json!({ "row": closed(row()), "holders": list(holder) });
    schema
}

/// `observer watch --format json`.
pub(crate) fn watch() -> Value {
    let number = || json!({ "type": "number", "minimum": 0 });
    let verdict = || json!({ "enum": ["leaks", "clean", "not_judged"] });
    let culprit = closed([
        ("what", text()),
        ("file", maybe("string")),
        ("line", maybe("integer")),
        ("held_by", list(text())),
        ("new", whole()),
        ("per_round", maybe("number")),
        ("grown_bytes", whole()),
        ("share", maybe("number")),
    ]);
    let held = json!({ "type": ["array", "null"], "items": whole(), "minItems": 2, "maxItems": 2 });
    let or_none = |schema: Value| json!({ "anyOf": [schema, { "type": "null" }] });
    let blocks = closed([("up_to", whole()), ("new", whole()), ("grown_bytes", whole())]);
    let risen = closed([
        (
            "what",
            json!({ "enum": ["blocks_in_use", "free_in_allocator", "other"] }),
        ),
        ("first_bytes", whole()),
        ("last_bytes", whole()),
        ("per_round_bytes", maybe("number")),
        ("blocks", or_none(blocks)),
    ]);
    let process = closed([
        ("pid", whole()),
        ("name", text()),
        ("verdict", verdict()),
        ("lived_s", number()),
        ("readings", whole()),
        ("rounds", whole()),
        ("over_s", number()),
        ("held_bytes", held),
        ("culprits", list(culprit)),
        ("outside_heap", or_none(risen)),
        ("why", text()),
    ]);
    let itself = closed([("itself", json!({ "type": "integer", "description": "Its exit code." }))]);
    let memory = closed([("last_bytes", whole()), ("highest_bytes", whole())]);
    let mut schema = closed([
        ("command", text()),
        ("ended", json!({ "anyOf": [itself, { "const": "stopped" }] })),
        ("watched_s", number()),
        ("rounds", whole()),
        ("verdict", verdict()),
        ("processes", list(process)),
        ("memory", or_none(memory)),
    ]);
    head(
        &mut schema,
        "Whether a command leaks",
        "What `observer watch --format json` writes.",
    );
    schema
}

/// `observer audit URL --json`.
pub(crate) fn audit() -> Value {
    let state = || json!({ "enum": ["quiet", "suspected", "likely", "confirmed", "retracted", "resolved"] });
    let forecast = || {
        let quantiles = closed([("p10", number()), ("p50", number()), ("p90", number())]);
        json!({ "anyOf": [quantiles, { "type": "null" }] })
    };
    let ceiling = closed([("bytes", whole()), ("kind", text())]);
    let larger = closed([
        ("limit", whole()),
        ("reprieve", forecast()),
        ("heap_limit", maybe("integer")),
    ]);
    let page_cache = closed([("cache", whole()), ("level", whole()), ("limit", whole())]);
    let or_none = |schema: Value| json!({ "anyOf": [schema, { "type": "null" }] });
    let finding = closed([
        ("series", text()),
        ("t", number()),
        (
            "event",
            json!({ "type": "string", "description": "Without the leading `observer.`." }),
        ),
        ("state", state()),
        ("slope_bytes_per_hour", number()),
        ("time_to_ceiling_s", forecast()),
        ("ceiling", json!({ "anyOf": [ceiling, { "type": "null" }] })),
        (
            "evidence",
            json!({
                "type": "object",
                "properties": { "because": text() },
                "required": ["because"],
                "description": "The rest of it depends on the event.",
            }),
        ),
    ]);
    let container = closed([
        ("namespace", text()),
        ("pod", text()),
        ("container", text()),
        (
            "outcome",
            json!({ "enum": ["leaking", "undersized", "misfit", "growing", "healthy", "not_judged"] }),
        ),
        ("why", text()),
        ("gone", json!({ "type": "boolean" })),
        ("state", state()),
        ("version", maybe("string")),
        ("owner_kind", maybe("string")),
        ("first_s", maybe("number")),
        ("last_s", maybe("number")),
        ("samples", whole()),
        ("runs", whole()),
        ("oom_kills", whole()),
        ("level_bytes", maybe("integer")),
        ("limit_bytes", maybe("integer")),
        ("slope_bytes_per_hour", maybe("number")),
        ("time_to_ceiling_s", forecast()),
        ("larger_limit", or_none(larger)),
        ("page_cache", or_none(page_cache)),
        ("findings", json!({ "type": "array", "items": finding })),
    ]);
    let mut schema = closed([
        ("server", text()),
        ("start", json!({ "type": "integer" })),
        ("end", json!({ "type": "integer" })),
        ("step", json!({ "type": "integer", "minimum": 1 })),
        ("containers", json!({ "type": "array", "items": container })),
    ]);
    head(
        &mut schema,
        "What leaks, by a Prometheus",
        "The answer of `observer audit URL --json`. Times are seconds since 1970. tests/tests/audit validates real answers.",
    );
    schema
}

pub(crate) fn head(schema: &mut Value, title: &str, description: &str) {
    schema["$schema"] = json!(DIALECT);
    schema["title"] = json!(title);
    schema["description"] = json!(description);
}
