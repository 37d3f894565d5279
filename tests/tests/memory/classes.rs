//! `observer memory --classes`: native objects are counted by class, with what they hold and who holds them.

use std::process::Command;

use observer_tests::{
    app::App,
    compiled::{ADDON, OBJECTS},
    need,
    stage::Scratch,
};
use serde_json::Value;

use super::{InCgroup, apart, grown, is_about, memory};

#[track_caller]
fn class<'t>(told: &'t Value, name: &str) -> &'t Value {
    let classes = told["classes"].as_array().unwrap();
    let found = classes
        .iter()
        .find(|class| class["name"].as_str().unwrap().ends_with(name));
    found.unwrap_or_else(|| panic!("no {name}: {told:#}"))
}

/// What was given back is free, whichever list it went to: none of it counts.
#[test]
fn objects_are_counted_exactly_with_what_they_alone_hold() {
    need!(Root, Compiled(&OBJECTS));
    let scratch = Scratch::new("memory-objects").unwrap();
    let program = OBJECTS.compiled(scratch.path()).unwrap();
    let mut app = App::start(&mut Command::new(&program)).unwrap();
    app.ready().unwrap();
    let told = memory(&[&app.pid().to_string(), "--classes"]);
    let sessions = class(&told, "shop::Session");
    assert_eq!(sessions["count"], 4_000, "{told:#}");
    assert_eq!(sessions["bytes"], 4_000 * 32);
    assert_eq!(sessions["held_bytes"], 4_000 * 1_008);
    let caches = class(&told, "shop::Cache");
    assert_eq!(caches["count"], 2);
    assert_eq!(caches["held_bytes"], 0, "what both lead to is neither's alone");
}

/// Nothing in the heap knows of these blocks, and nothing of theirs tells a class: they are told by their size.
#[test]
fn blocks_that_an_addon_forgets_are_told_by_their_size() {
    need!(Root, Memory, Node, Compiled(&ADDON));
    let scratch = Scratch::new("memory-addon").unwrap();
    let addon = ADDON.compiled(scratch.path()).unwrap().display().to_string();
    let leak = InCgroup::node("memory-addon", "memory/addon.js", &[&addon]);
    is_about(&grown(&leak.pid()), "native", &["a leak in native memory", "inferred"]);
    let told = memory(&[&leak.pid(), "--classes", "--diff", &apart()]);
    let sizes = told["sizes"].as_array().unwrap();
    let more = |size: &&Value| size["bytes"].as_i64().unwrap() - size["bytes_before"].as_i64().unwrap();
    let most = sizes.iter().max_by_key(more).unwrap();
    assert_eq!(most["up_to"], 2_048, "{told:#}");
    let all: i64 = sizes.iter().map(|size| more(&size).max(0)).sum();
    assert!(more(&most) * 10 > all * 9, "{told:#}");
    let more = most["count"].as_u64().unwrap() - most["count_before"].as_u64().unwrap();
    // Blocks are 2,016 bytes with their header.
    assert!(
        more >= 100 && most["bytes"].as_u64() >= Some(2_000 * most["count"].as_u64().unwrap()),
        "{most:#}"
    );
}

/// Compressors below JavaScript streams that are kept.
#[track_caller]
fn streams_are_named(name: &str, script: &str, variable: &str) -> Value {
    let leak = InCgroup::node(name, script, &[]);
    let told = memory(&[&leak.pid(), "--classes", "--diff", &apart()]);
    let streams = class(&told, "::ZlibStream").clone();
    let of = |name: &str| streams[name].as_u64().unwrap();
    assert!(
        of("count") > of("count_before") && of("count_before") > 0,
        "{streams:#}"
    );
    let by = &streams["wrapped_by"][0];
    assert_eq!(by["class"], "Gzip", "{streams:#}");
    assert!(by["path"][0].as_str().unwrap().starts_with(variable), "{streams:#}");
    told
}

#[test]
fn compressors_that_are_never_closed_are_named_with_their_memory_and_their_holder() {
    need!(Root, Memory, Node);
    let told = streams_are_named("memory-class-gzip", "heap/gzip-never-closed.js", "open in ");
    let first = &told["classes"][0];
    assert!(first["name"].as_str().unwrap().ends_with("::ZlibStream"), "{first:#}");
    // zlib's state, window and tables (deflate_state): 268 kB each.
    let each = first["held_bytes"].as_u64().unwrap() / first["count"].as_u64().unwrap();
    assert!((200_000..300_000).contains(&each), "{each}: {first:#}");
}

#[test]
fn compressors_beside_workers_are_named() {
    need!(Root, Memory, Node);
    streams_are_named("memory-class-workers", "heap/workers-and-compressors.js", "streams in ");
}
