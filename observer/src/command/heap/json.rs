//! Prints readings and differences as JSON: one document, names as in the table, numbers as numbers.

use std::io::{self, Write};
use std::time::Duration;

use observer_heap::{Growth, Kind, Origin, Reading, Row, Summary};
use serde_json::{Value, json};

pub(super) fn reading(out: &mut impl Write, pid: u32, reading: &Reading) -> io::Result<()> {
    let rows: Vec<Value> = reading.rows.iter().map(row).collect();
    let isolates: Vec<Value> = reading.isolates.iter().map(summary).collect();
    write(out, &json!({ "pid": pid, "isolates": isolates, "rows": rows }))
}

pub(super) fn growth(out: &mut impl Write, pid: u32, apart: Duration, growth: &Growth) -> io::Result<()> {
    let grown: Vec<Value> = growth
        .grown
        .iter()
        .map(|grown| {
            let mut value = row(&grown.row);
            value["count_before"] = grown.before.count.into();
            value["bytes_before"] = grown.before.bytes.into();
            value["count_grown"] = grown.count.into();
            value["bytes_grown"] = grown.bytes.into();
            value
        })
        .collect();
    write(
        out,
        &json!({
            "pid": pid,
            "apart_seconds": apart.as_secs_f64(),
            "bytes_grown": growth.bytes,
            "bytes_grown_named_by_application": growth.named_bytes,
            "grown": grown,
        }),
    )
}

fn write(out: &mut impl Write, value: &Value) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

fn row(row: &Row) -> Value {
    json!({
        "isolate": row.isolate,
        "kind": kind(row.kind),
        "what": row.what,
        "origin": origin(row.origin),
        "file": row.file,
        "line": row.line,
        "count": row.tally.count,
        "bytes": row.tally.bytes,
    })
}

fn summary(s: &Summary) -> Value {
    json!({
        "heap_bytes": s.heap_bytes,
        "array_buffer_bytes": s.array_buffer_bytes,
        "map_entries": s.map_entries,
        "set_entries": s.set_entries,
        "pending_promises": s.pending_promises,
        "free_bytes": s.free_bytes,
        "code_bytes": s.code_bytes,
        "young_page_bytes": s.young_page_bytes,
        "young_live_bytes": s.young_live_bytes,
        "unexplained_bytes": s.unexplained_bytes,
        "moving_objects": s.torn,
    })
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Closure => "closure",
        Kind::Object => "object",
        Kind::Shape => "shape",
        Kind::Collection => "collection",
        Kind::Promise => "promise",
        Kind::Buffer => "buffer",
        Kind::String => "string",
        Kind::Internal => "internal",
    }
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Application => "application",
        Origin::Dependency => "dependency",
        Origin::Node => "node",
        Origin::Engine => "engine",
    }
}
