//! Reads what grew between two readings, produces suspects: where the growth accumulates, what accumulates there, and how
//! much of the growth that is.
//!
//! New objects of what grew are sampled, and what owns them is searched upwards; the points where the ways part are
//! candidates. One more mark of the heap with the candidates as barriers tells what each retains. The growth of each row is
//! shared out by where its new objects hang, so that the shares of all suspects and of the rest add up to the growth.

use std::collections::BTreeMap;

use crate::graph::ancestors::Ancestors;
use crate::graph::before::Held;
use crate::graph::dominators::{Point, points};
use crate::graph::live::Live;
use crate::graph::owners::{Edge, Owners};
use crate::graph::retained::{Barrier, Retained, Split, retained};
use crate::graph::retainers::route;
use crate::graph::sample::{Members, Sample};
use crate::layout::maps::MapInfo;
use crate::layout::refusal::Refusal;
use crate::memory::peek::strong;
use crate::names::kind::{ANONYMOUS, Kind, Origin};
use crate::report::growth::{Grown, Growth, Key, key};
use crate::report::reading::{Reading, Row};
use crate::report::rows::rows;
use crate::walk::heap::Heap;

/// Rows whose objects are sampled, and objects sampled in all and of each.
const ROWS: usize = 24;
const SAMPLED: u64 = 400;
const EACH: std::ops::RangeInclusive<u64> = 8..=128;
/// Samples with a way to a root, percent of their weight, from which on the search ends.
const ROOTED_PERCENT: u64 = 95;
/// Points measured.
const MOST: usize = 10;
/// Least share of the growth that makes a suspect.
const LEAST: f64 = 0.02;
/// Of what was followed to a point, the share that must be its alone, 0 to 1.
const ALONE: f64 = 0.5;
/// A row makes up what accumulates from this share on of the objects, or of the bytes.
const CONTENT: f64 = 0.3;
/// From this share of the bytes on an object stands for the strings beside it.
const SAYS_MORE: f64 = 0.05;

/// Where growth accumulates.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspect {
    /// From a variable or a global down to the content: `bus in /app/server.js`, `EventEmitter._events`, `Object.message`,
    /// `Array[]`.
    pub path: Vec<String>,
    /// What accumulates there, with the number and bytes of it that hang there now.
    pub content: Row,
    /// Of these, objects that were not held at the first reading.
    pub new: u64,
    /// Bytes that would be free without the point.
    pub retained: u64,
    /// Nothing else holds most of what accumulates. Otherwise handles outside the heap do, as those of open sockets, or another
    /// place; then share and bytes are those of the objects that were followed.
    pub alone: bool,
    /// Bytes of the growth that hang there, and their share of it.
    pub grown: u64,
    /// Share of all growth, 0 to 1.
    pub share: f64,
    /// What accumulates rose at every reading, without falling back.
    pub steady: bool,
}

/// Suspects of a heap, largest first. `live` are the marks of the last reading. Empty where the heap is too large to mark.
pub(crate) fn suspects(
    heap: &mut Heap<'_>,
    live: Option<Live>,
    marking: usize,
    growth: &Growth,
    (first, last): (&Reading, &Reading),
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Suspect>, Refusal> {
    if growth.bytes == 0 || live.is_none() {
        return Ok(Vec::new());
    }
    let nothing = Held::default();
    let before = first.held.as_ref().unwrap_or(&nothing);
    let samples = sample(heap, live.as_ref(), before, growth)?;
    let all: u64 = samples.iter().map(|(_, weight)| weight).sum();
    let enough = |ancestors: &Ancestors| {
        let rooted = samples
            .iter()
            .filter(|(address, _)| route(*address, &ancestors.nodes).1);
        rooted.map(|(_, weight)| weight).sum::<u64>() * 100 >= all * ROOTED_PERCENT
    };
    let ancestors = Ancestors::of(
        heap,
        live.as_ref(),
        samples.iter().map(|&(address, _)| address),
        enough,
        progress,
    )?;
    // Two sets of marks at once would cost twice the budget.
    drop(live);
    let map_of = |address: u64| heap.maps.of(address).ok().flatten().map_or(0, |map| map.address);
    let mut points = points(&ancestors, &samples, &map_of);
    points.truncate(MOST);
    let mut barriers = Vec::new();
    for point in &points {
        barriers.push(barrier(heap, point)?);
    }
    let Some(retained) = retained(heap, &barriers, before, marking)? else {
        return Ok(Vec::new());
    };
    let measured = Measured::of(heap, &retained, last)?;
    let mut suspects = Vec::new();
    for (point, contents) in points.iter().zip(&measured.by) {
        let followed = point.weight as f64 / all.max(1) as f64;
        suspects.extend(suspect(
            heap,
            (&ancestors, point, followed),
            contents,
            &measured,
            growth,
        )?);
    }
    // What hangs together with others is counted once.
    let mut left = 1.0 - suspects.iter().filter(|s| s.alone).map(|s| s.share).sum::<f64>();
    for suspect in suspects.iter_mut().filter(|suspect| !suspect.alone) {
        suspect.share = suspect.share.min(left.max(0.0));
        suspect.grown = (growth.bytes as f64 * suspect.share) as u64;
        left -= suspect.share;
    }
    suspects.sort_by(|a, b| b.grown.cmp(&a.grown).then_with(|| a.path.cmp(&b.path)));
    Ok(suspects)
}

/// New objects of what grew, each weighing its part of the growth.
fn sample(heap: &Heap<'_>, live: Option<&Live>, before: &Held, growth: &Growth) -> Result<Vec<(u64, u64)>, Refusal> {
    let held = |grown: &&Grown| {
        let maps = &grown.row.members.maps;
        let infos = maps.iter().filter_map(|&map| heap.maps.info(map));
        maps.is_empty() || infos.into_iter().any(|info| heap.maps.holds(info.instance_type))
    };
    let mut grown: Vec<&Grown> = growth.grown.iter().filter(held).collect();
    grown.sort_by_key(|grown| std::cmp::Reverse(grown.bytes));
    grown.truncate(ROWS);
    let rows: Vec<(&Members, usize)> = grown
        .iter()
        .map(|grown| {
            let each = (SAMPLED * grown.bytes / growth.bytes).clamp(*EACH.start(), *EACH.end());
            (&grown.row.members, each as usize)
        })
        .collect();
    let before = (!before.is_empty()).then_some(before);
    let sample = Sample::of(heap, live, before, &rows)?;
    let mut weighed = Vec::new();
    for (group, grown) in sample.groups.iter().zip(&grown) {
        let all: u64 = group.iter().map(|(_, weight)| weight).sum();
        weighed.extend(
            group
                .iter()
                .map(|&(address, weight)| (address, (grown.bytes * weight / all.max(1)).max(1))),
        );
    }
    Ok(weighed)
}

fn barrier(heap: &Heap<'_>, point: &Point) -> Result<Barrier, Refusal> {
    let first = point.objects.first().copied().unwrap_or(0);
    if point.objects.len() > 1
        && let Some(map) = heap.maps.lookup(heap.maps.peek.word(first)?)?
    {
        return Ok(Barrier::Map(map, first));
    }
    Ok(Barrier::Object(first))
}

/// Bytes and numbers by row.
type Contents = BTreeMap<Key, Row>;

struct Behind {
    all: Contents,
    new: Contents,
    retained: u64,
}

/// What hangs where, under the names of rows.
struct Measured {
    by: Vec<Behind>,
    /// New objects in all.
    new: Contents,
}

impl Measured {
    fn of(heap: &Heap<'_>, retained: &Retained, last: &Reading) -> Result<Self, Refusal> {
        let contents = |split: &Split, new: bool| -> Result<Contents, Refusal> {
            let index = last.order.iter().position(|&heap| heap == split.heap).unwrap_or(0);
            let mut named = Vec::new();
            rows(heap, index, if new { &split.new } else { &split.all }, &mut named)?;
            Ok(named.into_iter().map(|row| (key(&row), row)).collect())
        };
        let mut all = Contents::new();
        let mut add = |contents: &Contents| {
            for (key, row) in contents {
                match all.get_mut(key) {
                    Some(sum) => sum.tally.merge(row.tally),
                    None => {
                        all.insert(key.clone(), row.clone());
                    }
                }
            }
        };
        for split in &retained.rest {
            add(&contents(split, true)?);
        }
        let mut by = Vec::new();
        for split in &retained.by {
            let new = contents(split, true)?;
            add(&new);
            by.push(Behind {
                all: contents(split, false)?,
                new,
                retained: split.all.by_map.iter().map(|tally| tally.bytes).sum(),
            });
        }
        Ok(Self { by, new: all })
    }
}

fn suspect(
    heap: &Heap<'_>,
    (ancestors, point, followed): (&Ancestors, &Point, f64),
    behind: &Behind,
    measured: &Measured,
    growth: &Growth,
) -> Result<Option<Suspect>, Refusal> {
    // Each row's growth, by the part of its new objects that hangs here.
    let mut parts: Vec<(&Grown, u64, u64)> = Vec::new();
    for grown in &growth.grown {
        let key = key(&grown.row);
        let (Some(here), Some(all)) = (behind.new.get(&key), measured.new.get(&key)) else {
            continue;
        };
        let part = u128::from(grown.bytes) * u128::from(here.tally.bytes) / u128::from(all.tally.bytes.max(1));
        parts.push((grown, part as u64, here.tally.count));
    }
    let bytes: u64 = parts.iter().map(|(_, part, _)| part).sum();
    let measured = bytes as f64 / growth.bytes as f64;
    let alone = measured >= followed * ALONE;
    let share = if alone { measured } else { followed };
    if share < LEAST {
        return Ok(None);
    }
    let chosen = if alone {
        content(heap, point, growth, &parts)?
    } else {
        item(heap, point, growth)?
    };
    let Some((grown, _, new)) = chosen else {
        return Ok(None);
    };
    let mut row = grown.row.clone();
    row.tally = behind
        .all
        .get(&key(&row))
        .map_or_else(Default::default, |row| row.tally);
    Ok(Some(Suspect {
        path: path(heap, ancestors, point)?,
        content: row,
        new,
        retained: behind.retained,
        alone,
        grown: bytes,
        share,
        steady: grown.steady,
    }))
}

/// What grew that the objects right below a point are of, with its growth in bytes and objects.
fn item<'g>(heap: &Heap<'_>, point: &Point, growth: &'g Growth) -> Result<Option<(&'g Grown, u64, u64)>, Refusal> {
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
    Ok(found.map(|grown| (grown, grown.bytes, grown.count.max(0).cast_unsigned())))
}

/// What to call what accumulates: the items of the collection where these have a name a reader can act on, else the
/// application's own that there is enough of, else what there is most of.
fn content<'g>(
    heap: &Heap<'_>,
    point: &Point,
    growth: &Growth,
    parts: &[(&'g Grown, u64, u64)],
) -> Result<Option<(&'g Grown, u64, u64)>, Refusal> {
    let item = match item(heap, point, growth)? {
        Some((item, _, _)) => parts.iter().find(|(grown, _, _)| key(&grown.row) == key(&item.row)),
        None => None,
    };
    let named = |row: &Row| row.origin <= Origin::Dependency && row.what != ANONYMOUS;
    let telling = |row: &Row| named(row) || matches!(row.kind, Kind::Shape | Kind::Buffer | Kind::String);
    if let Some(&item) = item.filter(|(grown, _, _)| named(&grown.row)) {
        return Ok(Some(item));
    }
    let bytes: u64 = parts.iter().map(|(_, part, _)| part).sum();
    let enough = |&&(grown, part, count): &&(&Grown, u64, u64)| match item {
        Some((_, _, items)) if *items > 0 => count as f64 >= *items as f64 * CONTENT,
        _ => part as f64 >= bytes as f64 * CONTENT || grown.row.kind != Kind::Internal && count > 0,
    };
    let own = parts
        .iter()
        .filter(|(grown, _, _)| named(&grown.row))
        .filter(enough)
        .max_by_key(|(_, part, _)| *part);
    // Keys and values stand side by side in a Map's table: an object says more than a string.
    let shape = parts
        .iter()
        .filter(|(grown, _, _)| matches!(grown.row.kind, Kind::Shape | Kind::Object))
        .filter(|_| item.is_some_and(|(grown, _, _)| grown.row.kind == Kind::String))
        .filter(|(_, part, _)| *part as f64 >= bytes as f64 * SAYS_MORE)
        .max_by_key(|(_, part, _)| *part);
    // The memory is the buffer's, not its view's.
    let item = match item {
        Some((grown, _, _)) if grown.row.kind == Kind::Buffer => parts
            .iter()
            .filter(|(grown, _, _)| grown.row.kind == Kind::Buffer)
            .max_by_key(|(_, part, _)| *part),
        other => other,
    };
    let item = item.filter(|(grown, _, _)| telling(&grown.row) || grown.row.origin <= Origin::Dependency);
    let most = parts
        .iter()
        .filter(|(grown, _, _)| grown.row.kind != Kind::Internal)
        .max_by_key(|(_, part, _)| *part);
    let own = own.or(shape);
    Ok(own.or(item).or(most).copied())
}

/// The way from a root down to what accumulates, in words.
fn path(heap: &Heap<'_>, ancestors: &Ancestors, point: &Point) -> Result<Vec<String>, Refusal> {
    let Some(&object) = point.objects.first() else {
        return Ok(Vec::new());
    };
    let above = route(object, &ancestors.nodes).0;
    let below = ancestors.nodes.get(&point.content);
    let edge = below.and_then(|node| node.owners.iter().find(|edge| edge.owner == object));
    let edges: Vec<Edge> = edge.into_iter().copied().chain(above).collect();
    if edges.is_empty()
        && let Some(map) = heap.maps.of(object)?
    {
        return Ok(vec![heap.maps.describe(heap.tables, map)?.1]);
    }
    Owners(heap).steps(&edges)
}
