//! Prints accounts of memory as JSON: the same numbers as the tables, in bytes.

use std::time::Duration;

use serde_json::{Value, json};

use super::meaning::Meaning;
use crate::source::usage::{Container, Heap, Process};

pub(super) fn now(read: &Container, meaning: &Meaning) -> Value {
    let mut value = container(read);
    value["meaning"] = json!(meaning);
    value
}

pub(super) fn growth(apart: Duration, (before, after): (&Container, &Container), meaning: &Meaning) -> Value {
    json!({
        "apart_seconds": apart.as_secs_f64(),
        "before": container(before),
        "after": container(after),
        "meaning": meaning,
    })
}

fn container(container: &Container) -> Value {
    let processes: Vec<Value> = container.processes.iter().map(process).collect();
    json!({
        "cgroup": container.cgroup,
        "bytes": container.usage,
        "limit_bytes": container.limit,
        "parts": container.parts(),
        "unexplained_bytes": container.unexplained(),
        "processes": processes,
        "other_processes": container.others,
        "page_cache_mapped_bytes": container.cache_mapped,
        "tmpfs": container.tmpfs,
        "kernel": container.kernel,
    })
}

fn process(process: &Process) -> Value {
    json!({
        "pid": process.pid,
        "name": process.name,
        "bytes": process.anonymous(),
        "parts": process.parts,
        "allocator": process.allocator,
        "arenas": process.arenas,
        "mapped_block_bytes": process.mapped_blocks,
        "heap": heap(&process.heap),
        "mapped_file_bytes": process.mapped_files,
        "mapped_shared_bytes": process.mapped_shared,
        "page_table_bytes": process.page_tables,
        "threads": process.threads,
        "swapped_bytes": process.swapped,
    })
}

fn heap(heap: &Heap) -> Value {
    match heap {
        Heap::None => Value::Null,
        Heap::Refused(reason) => json!({ "refused": reason }),
        Heap::Read {
            large,
            young_held,
            marked,
        } => json!({ "large_bytes": large, "young_held_bytes": young_held, "marked": marked }),
    }
}
