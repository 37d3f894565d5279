//! Gives the counts of a walk their names.

use std::collections::BTreeMap;

use crate::graph::sample::Members;
use crate::layout::maps::MapId;
use crate::layout::refusal::Refusal;
use crate::names::functions::Function;
use crate::names::kind::{ANONYMOUS, Kind, Origin};
use crate::report::reading::{Row, Summary};
use crate::walk::counts::{Isolate, Tally};
use crate::walk::heap::Heap;

/// What is known of a row while it is put together.
#[derive(Default)]
struct Draft {
    tally: Tally,
    script: Option<u64>,
    members: Members,
}

type Key = (Kind, String, Option<String>, Option<u32>);

/// In place of names, of functions beyond those that are told apart and of those that a collection moved before they were named.
const FURTHER: &str = "(further functions)";

/// Adds the rows of one isolate. Returns how many objects have lost their names: a collection has moved what tells them.
pub(crate) fn rows(heap: &Heap<'_>, index: usize, isolate: &Isolate, rows: &mut Vec<Row>) -> Result<u64, Refusal> {
    let mut named = BTreeMap::<Key, Draft>::new();
    let (mut closures, mut suspended) = (isolate.other_closures, Tally::default());
    let mut orphans = 0;
    for (&shared, &tally) in &isolate.closures {
        if let Some(function) = heap.maps.function(shared)? {
            let name = if function.name.is_empty() {
                ANONYMOUS
            } else {
                &function.name
            };
            add(&mut named, Kind::Closure, name.to_owned(), &function, tally)
                .members
                .functions
                .push(shared);
        } else {
            closures.merge(tally);
        }
    }
    for (&shared, &tally) in &isolate.suspended {
        if let Some(function) = heap.maps.function(shared)? {
            add(&mut named, Kind::Suspended, function.name.clone(), &function, tally)
                .members
                .suspended
                .push(shared);
        } else {
            suspended.merge(tally);
        }
    }
    for (kind, tally) in [(Kind::Closure, closures), (Kind::Suspended, suspended)] {
        if tally.count > 0 {
            add(&mut named, kind, FURTHER.to_owned(), &Function::default(), tally);
        }
    }
    for (id, &tally) in isolate.by_map.iter().enumerate().filter(|(_, tally)| tally.count > 0) {
        let id = MapId(id as u32);
        let Some(info) = heap.maps.info(id) else { continue };
        let types = &heap.maps.layout.types;
        if !types.is_function(info.instance_type) && !types.generators.contains(&info.instance_type) {
            let (kind, what, function) = heap.maps.describe(heap.tables, info)?;
            let nameless = function == Function::default() && types.is_js_receiver(info.instance_type);
            if nameless && heap.maps.is_orphaned(info.address)? {
                orphans += tally.count;
            }
            add(&mut named, kind, what, &function, tally).members.maps.push(id);
        }
    }
    rows.extend(named.into_iter().map(|((kind, what, file, position), draft)| Row {
        isolate: index,
        what,
        origin: Origin::of(file.as_deref()),
        file,
        position,
        tally: draft.tally,
        script: draft.script,
        members: draft.members,
        ..Row::named(kind)
    }));
    let moved = closures.count - isolate.other_closures.count + suspended.count;
    Ok(moved + orphans)
}

fn add<'n>(
    named: &'n mut BTreeMap<Key, Draft>,
    kind: Kind,
    what: String,
    function: &Function,
    tally: Tally,
) -> &'n mut Draft {
    let draft = named
        .entry((kind, what, function.file.clone(), function.position))
        .or_default();
    draft.tally.merge(tally);
    draft.script = draft.script.or(function.script);
    draft
}

pub(crate) fn summary(isolate: &Isolate) -> Summary {
    let all = isolate.bytes();
    Summary {
        heap_bytes: all - isolate.array_buffer_bytes,
        array_buffer_bytes: isolate.array_buffer_bytes,
        map_entries: isolate.map_entries,
        set_entries: isolate.set_entries,
        pending_promises: isolate.pending_promises,
        free_bytes: isolate.free,
        dead_bytes: isolate.dead,
        code_bytes: isolate.code,
        young_page_bytes: isolate.young_pages,
        young_live_bytes: isolate.young_live,
        unexplained_bytes: isolate.coverage.unexplained,
        torn: isolate.torn,
    }
}
