//! Prints readings and differences as JSON: one document, names as in the table, numbers as numbers.

use std::io::{self, Write};

use observer_heap::{Grown, Holders, Kind, Origin, Reading, Row, Summary};
use serde_json::{Value, json};

use super::difference::Difference;
use crate::terminal::text;

pub(super) fn reading(out: &mut impl Write, pid: u32, reading: &Reading, held: &[Holders]) -> io::Result<()> {
    let rows: Vec<Value> = reading.rows.iter().map(row).collect();
    let isolates: Vec<Value> = reading.isolates.iter().map(summary).collect();
    let collections: Vec<Value> = reading
        .collections
        .iter()
        .zip(held)
        .map(|(collection, held)| {
            json!({
                "isolate": collection.isolate,
                "what": collection.what,
                "elements": collection.elements,
                "bytes": collection.bytes,
                "held_by": holders(held),
            })
        })
        .collect();
    write(
        out,
        &json!({ "pid": pid, "disturbed": reading.disturbed, "isolates": isolates, "rows": rows, "largest_collections": collections }),
    )
}

pub(super) fn retainers(out: &mut impl Write, pid: u32, rows: &[Row], held: &[Holders]) -> io::Result<()> {
    let rows: Vec<Value> = rows
        .iter()
        .zip(held)
        .map(|(held_row, held)| {
            let mut value = row(held_row);
            value["held_by"] = holders(held);
            value
        })
        .collect();
    write(out, &json!({ "pid": pid, "rows": rows }))
}

pub(super) fn growth(out: &mut impl Write, pid: u32, difference: &Difference<'_>) -> io::Result<()> {
    let &Difference {
        apart,
        growth,
        suspects,
        held,
        marked,
        process,
    } = difference;
    let outside = difference.outside();
    let suspects: Vec<Value> = suspects
        .iter()
        .map(|suspect| {
            json!({
                "path": suspect.path,
                "content": row(&suspect.content),
                "new": suspect.new,
                "bytes_retained": suspect.retained,
                "bytes_grown": suspect.grown,
                "alone": suspect.alone,
                "share": suspect.share,
                "steady": suspect.steady,
                "culprit": outside.is_none() && growth.blames(suspect.share, suspect.steady),
            })
        })
        .collect();
    let culprits: Vec<&Grown> = growth
        .culprits(if marked || outside.is_some() { 0 } else { usize::MAX })
        .collect();
    let grown: Vec<Value> = growth
        .grown
        .iter()
        .enumerate()
        .map(|(index, grown)| {
            let mut value = row(&grown.row);
            value["count_before"] = grown.before.count.into();
            value["bytes_before"] = grown.before.bytes.into();
            value["count_grown"] = grown.count.into();
            value["bytes_grown"] = grown.bytes.into();
            value["steady"] = grown.steady.into();
            value["alive"] = grown.alive.into();
            value["culprit"] = culprits.contains(&grown).into();
            value["held_by"] = held.get(index).map_or(Value::Null, holders);
            value
        })
        .collect();
    write(
        out,
        &json!({
            "pid": pid,
            "apart_seconds": apart.as_secs_f64(),
            "leaking": growth.leaking,
            "bytes_anonymous_grown": process.anonymous,
            "bytes_unheld_grown": process.unheld,
            "bytes_outside_unexplained": outside,
            "bytes_net": growth.net,
            "bytes_grown": growth.bytes,
            "bytes_grown_named_by_application": growth.named_bytes,
            "suspects": suspects,
            "grown": grown,
        }),
    )
}

/// The ways something is held, from the root down.
fn holders(held: &Holders) -> Value {
    let paths = held.paths.iter().take(10);
    paths
        .map(|path| json!({ "path": path.steps, "share": path.share, "rooted": path.rooted }))
        .collect()
}

fn write(out: &mut impl Write, value: &Value) -> io::Result<()> {
    let json = serde_json::to_string_pretty(value)?;
    writeln!(out, "{}", text::visible_json(&json))
}

fn row(row: &Row) -> Value {
    json!({
        "isolate": row.isolate,
        "kind": kind(row.kind),
        "what": row.what,
        "origin": origin(row.origin),
        "file": row.file,
        "line": row.line,
        "column": row.column,
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
        "dead_bytes": s.dead_bytes,
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
        Kind::Suspended => "suspended",
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
