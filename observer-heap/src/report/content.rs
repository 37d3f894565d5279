//! Reads what of the growth hangs at a point of accumulation, produces the row by which to name it.

use crate::graph::dominators::Point;
use crate::layout::maps::MapInfo;
use crate::layout::refusal::Refusal;
use crate::memory::peek::strong;
use crate::names::kind::{ANONYMOUS, Kind};
use crate::report::growth::{Grown, Growth, key};
use crate::report::reading::Row;
use crate::walk::heap::Heap;

/// A row makes up what accumulates from this share on of the objects, or of the bytes.
const CONTENT: f64 = 0.3;
/// What has this share of the bytes of what has most, 0 to 1, has as much: moments lie between looking at the one and at the other.
const ALIKE: f64 = 0.95;
/// From this share of the bytes on an object stands for the strings beside it.
const SAYS_MORE: f64 = 0.05;
/// A function without a name, as `resolve` of a promise is, stands for the application's call that waits for it where there is
/// one call for so many of them: a call makes some of its own.
const WAITING: u64 = 10;

/// What of a row's growth hangs at a point.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'g> {
    pub(crate) grown: &'g Grown,
    pub(crate) bytes: u64,
    /// Objects of it that are new.
    pub(crate) new: u64,
}

impl<'g> Part<'g> {
    /// All of a row's growth.
    pub(crate) fn whole(grown: &'g Grown) -> Self {
        Self {
            grown,
            bytes: grown.bytes,
            new: grown.count.max(0).cast_unsigned(),
        }
    }

    /// A reader can act on what it is called.
    pub(crate) fn is_telling(&self) -> bool {
        let row = self.row();
        // Classes of Node's own, and of addons, say what is to be closed or removed.
        row.kind == Kind::Object && !is_link(row)
            || row.is_named()
            || matches!(row.kind, Kind::Shape | Kind::Buffer | Kind::String)
    }

    const fn row(&self) -> &'g Row {
        &self.grown.row
    }
}

/// What grew that the objects right below a point are of, with all of its growth.
pub(crate) fn item<'g>(heap: &Heap<'_>, point: &Point, growth: &'g Growth) -> Result<Option<Part<'g>>, Refusal> {
    let layout = &heap.maps.layout;
    let Some(map) = heap.maps.lookup(heap.maps.peek.word(point.content)?)? else {
        return Ok(None);
    };
    let is_function = |info: MapInfo| layout.types.is_function(info.instance_type);
    let shared = if heap.maps.info(map).is_some_and(is_function) {
        strong(heap.maps.peek.word(point.content + u64::from(layout.function.shared))?)
    } else {
        None
    };
    let is_of = |grown: &&Grown| {
        let members = &grown.row.members;
        shared.map_or_else(
            || members.maps.contains(&map),
            |shared| members.functions.contains(&shared),
        )
    };
    let found = growth.grown.iter().find(is_of);
    // The memory is the buffer's, not its view's.
    let buffers = growth.grown.iter().filter(|grown| grown.row.kind == Kind::Buffer);
    let found = match found {
        Some(grown) if grown.row.kind == Kind::Buffer => buffers.max_by_key(|grown| grown.bytes),
        other => other,
    };
    Ok(found.map(Part::whole))
}

/// What to call what accumulates: the items of the collection where these have a name a reader can act on, else the
/// application's own that there is enough of, else what there is most of.
pub(crate) fn content<'g>(
    heap: &Heap<'_>,
    point: &Point,
    growth: &Growth,
    parts: &[Part<'g>],
) -> Result<Option<Part<'g>>, Refusal> {
    let item = match item(heap, point, growth)? {
        Some(item) => parts.iter().find(|part| key(part.row()) == key(item.row())),
        None => None,
    };
    Ok(chosen(item.copied(), parts))
}

/// An EventTarget keeps what listens to it in a list of these (lib/internal/event_target.js): they are part of the collection, as a
/// Map's table is, and what they call is what accumulates.
fn is_link(row: &Row) -> bool {
    row.what == "Listener" && row.file.as_deref() == Some("node:internal/event_target")
}

/// A reader can act on its name.
fn named(row: &Row) -> bool {
    row.is_named() && row.what != ANONYMOUS
}

fn chosen<'g>(item: Option<Part<'g>>, parts: &[Part<'g>]) -> Option<Part<'g>> {
    if item.is_some_and(|item| named(item.row())) {
        return item;
    }
    let is = |kind: Kind| item.is_some_and(|item| item.row().kind == kind);
    let most = |wanted: &dyn Fn(&Part<'_>) -> bool| {
        let wanted = || parts.iter().filter(|part| wanted(part));
        let bytes = wanted().map(|part| part.bytes).max()?;
        // What grows together, as the functions that each call makes, is told by the same name at each reading.
        let alike = wanted().filter(|part| part.bytes as f64 >= bytes as f64 * ALIKE);
        alike.min_by_key(|part| key(part.row())).copied()
    };
    let bytes: u64 = parts.iter().map(|part| part.bytes).sum();
    let waits = |part: &Part<'_>| {
        let of = item.map_or(0, |item| item.new);
        part.row().kind == Kind::Suspended && named(part.row()) && part.new > 0 && part.new * WAITING >= of
    };
    let suspended = most(&waits).filter(|_| is(Kind::Closure) || is(Kind::Promise) || is(Kind::Internal));
    let enough = |part: &Part<'_>| match item {
        Some(item) if item.new > 0 => part.new as f64 >= item.new as f64 * CONTENT,
        _ => part.bytes as f64 >= bytes as f64 * CONTENT || part.row().kind != Kind::Internal && part.new > 0,
    };
    let own = most(&|part| named(part.row()) && enough(part));
    // Keys and values stand side by side in a Map's table: an object says more than a string.
    let shape = most(&|part| {
        matches!(part.row().kind, Kind::Shape | Kind::Object) && part.bytes as f64 >= bytes as f64 * SAYS_MORE
    })
    .filter(|_| is(Kind::String));
    // What a link calls says more than the link, also where it has no name but its place.
    let link = item.is_some_and(|item| is_link(item.row()));
    let called = most(&|part| part.row().kind == Kind::Closure && part.row().is_named() && enough(part));
    suspended
        .or(own)
        .or(shape)
        .or(called.filter(|_| link))
        .or(item.filter(Part::is_telling))
        .or_else(|| most(&|part| part.row().kind != Kind::Internal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::kind::Origin;
    use crate::walk::counts::Tally;

    fn grown(kind: Kind, what: &str, origin: Origin, count: i64, bytes: u64) -> Grown {
        Grown {
            row: Row {
                what: what.to_owned(),
                origin,
                ..Row::named(kind)
            },
            before: Tally::default(),
            bytes,
            count,
            steady: true,
            significant: true,
            alive: None,
        }
    }

    /// The first of them is what stands right below the point.
    #[track_caller]
    fn check(expected: &str, grown: &[Grown]) {
        let parts: Vec<Part<'_>> = grown
            .iter()
            .map(|grown| Part {
                grown,
                bytes: grown.bytes,
                new: grown.count.cast_unsigned(),
            })
            .collect();
        let chosen = chosen(parts.first().copied(), &parts);
        assert_eq!(chosen.unwrap().row().what, expected);
    }

    #[test]
    fn functions_without_a_name_stand_for_the_call_that_waits_for_them() {
        // Each call makes three: `resolve`, and two to go on with.
        let resolve = grown(Kind::Closure, ANONYMOUS, Origin::Engine, 7650, 489_600);
        let call = grown(Kind::Suspended, "handleUpload", Origin::Application, 2290, 238_000);
        let upload = grown(Kind::Shape, "{id, parts}", Origin::Application, 2550, 102_000);
        let promise = grown(Kind::Promise, "Promise", Origin::Engine, 5100, 204_000);
        check("handleUpload", &[resolve.clone(), call, upload, promise.clone()]);
        check(ANONYMOUS, &[resolve, promise]);
    }

    #[test]
    fn what_listens_is_told_by_what_is_called_also_without_a_name() {
        let listener = Grown {
            row: Row {
                file: Some("node:internal/event_target".to_owned()),
                ..grown(Kind::Object, "Listener", Origin::Node, 500, 60_000).row
            },
            ..grown(Kind::Object, "Listener", Origin::Node, 500, 60_000)
        };
        let called = grown(Kind::Closure, ANONYMOUS, Origin::Application, 500, 30_000);
        let shape = grown(Kind::Shape, "{id}", Origin::Engine, 500, 40_000);
        check(ANONYMOUS, &[listener.clone(), shape.clone(), called]);
        check(
            "Listener",
            &[listener, grown(Kind::Closure, ANONYMOUS, Origin::Engine, 500, 30_000)],
        );
    }

    #[test]
    fn of_functions_that_grow_together_the_same_is_told_at_each_reading() {
        let array = grown(Kind::Shape, "{run, stop}", Origin::Engine, 500, 10_000);
        let run = |count: i64| {
            grown(
                Kind::Closure,
                "run",
                Origin::Application,
                count,
                count.cast_unsigned() * 64,
            )
        };
        let stop = |count: i64| {
            grown(
                Kind::Closure,
                "stop",
                Origin::Application,
                count,
                count.cast_unsigned() * 64,
            )
        };
        check("run", &[array.clone(), run(500), stop(501)]);
        check("run", &[array.clone(), stop(499), run(500)]);
        check("stop", &[array, run(400), stop(500)]);
    }

    #[test]
    fn what_is_named_itself_is_told() {
        let order = grown(Kind::Object, "Order", Origin::Application, 500, 20_000);
        let call = grown(Kind::Suspended, "handle", Origin::Application, 500, 90_000);
        check("Order", &[order.clone(), call]);
        check(
            "Order",
            &[grown(Kind::String, "string", Origin::Engine, 500, 30_000), order],
        );
    }
}
