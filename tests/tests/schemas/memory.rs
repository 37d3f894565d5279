//! The schema of `observer memory PID --json`: one reading, or two and what grew.

use serde_json::{Value, json};

use super::form::{closed, list, maybe, number, signed, text, whole, yes};
use super::written::head;

/// Parts of a container, in the order of the table.
const PARTS: [&str; 26] = [
    "v8_live",
    "v8_dead",
    "v8_free",
    "v8_young",
    "v8_code",
    "buffers",
    "buffers_dead",
    "buffers_young",
    "native",
    "allocator_free_pages",
    "allocator_free_pieces",
    "other_allocator",
    "stacks",
    "changed_file_pages",
    "other_anonymous",
    "huge_page_rests",
    "other_processes",
    "observer",
    "page_cache_active",
    "page_cache_inactive",
    "shmem",
    "page_tables",
    "kernel_stacks",
    "slab",
    "sockets",
    "other_kernel",
];
const KINDS: [&str; 13] = [
    "heap",
    "garbage",
    "heap_free",
    "young",
    "buffers",
    "native",
    "fragmentation",
    "allocator",
    "program",
    "other_processes",
    "page_cache",
    "tmpfs",
    "kernel",
];

pub(crate) fn memory() -> Value {
    let to = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
    let parts: serde_json::Map<String, Value> = PARTS.iter().map(|name| ((*name).to_owned(), whole())).collect();
    let arena = closed([
        ("main", yes()),
        ("in_use", whole()),
        ("free_pages", whole()),
        ("free_pieces", whole()),
    ]);
    let heap = json!({ "anyOf": [
        { "type": "null" },
        closed([("refused", text())]),
        closed([("large_bytes", whole()), ("young_held_bytes", whole()), ("marked", yes())]),
    ]});
    let process = closed([
        ("pid", whole()),
        ("name", text()),
        ("bytes", whole()),
        ("parts", to("parts")),
        (
            "allocator",
            json!({ "enum": ["glibc", "musl", "jemalloc", "mimalloc", "tcmalloc", "unknown"] }),
        ),
        ("arenas", list(arena)),
        ("mapped_block_bytes", whole()),
        ("heap", heap),
        ("mapped_file_bytes", whole()),
        ("mapped_shared_bytes", whole()),
        ("page_table_bytes", whole()),
        ("threads", whole()),
        ("swapped_bytes", whole()),
    ]);
    let container = || {
        vec![
            ("cgroup", maybe("string")),
            ("bytes", whole()),
            ("limit_bytes", maybe("integer")),
            ("parts", to("parts")),
            ("unexplained_bytes", signed()),
            ("processes", list(to("process"))),
            ("other_processes", whole()),
            ("page_cache_mapped_bytes", whole()),
            ("tmpfs", list(closed([("mount", text()), ("used", whole())]))),
            ("kernel", json!({ "enum": ["counted", "derived"] })),
        ]
    };
    let meaning = closed([
        ("kind", json!({ "anyOf": [{ "enum": KINDS }, { "type": "null" }] })),
        ("bytes", signed()),
        ("share", number()),
        ("confidence", json!({ "enum": ["observed", "inferred"] })),
        ("sentence", text()),
    ]);
    let mut now = container();
    now.push(("meaning", to("meaning")));
    let growth = closed([
        ("apart_seconds", number()),
        ("before", to("container")),
        ("after", to("container")),
        ("meaning", to("meaning")),
    ]);
    let class = closed([
        ("name", text()),
        ("count", whole()),
        ("bytes", whole()),
        ("held_bytes", whole()),
        ("count_before", whole()),
        ("bytes_before", whole()),
        ("held_bytes_before", whole()),
        ("wrapped", whole()),
        (
            "wrapped_by",
            list(closed([
                ("class", maybe("string")),
                ("path", list(text())),
                ("share", number()),
            ])),
        ),
    ]);
    let size = closed([
        ("up_to", whole()),
        ("count", whole()),
        ("bytes", whole()),
        ("count_before", whole()),
        ("bytes_before", whole()),
    ]);
    let classes = closed([
        ("pid", whole()),
        ("apart_seconds", maybe("number")),
        ("classes", list(class)),
        ("sizes", list(size)),
        ("not_wrapped_because", maybe("string")),
    ]);
    let mut schema = json!({ "anyOf": [closed(now), growth, classes] });
    head(
        &mut schema,
        "Where the memory of a container is",
        "The answer of `observer memory PID --json`: one reading, or with --diff two; with --classes native memory by class. Parts that have nothing are absent.",
    );
    schema["$defs"] = json!({
        "parts": { "type": "object", "properties": parts, "additionalProperties": false },
        "process": process,
        "container": closed(container()),
        "meaning": meaning,
    });
    schema
}
