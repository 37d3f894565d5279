//! Reads what grew between two readings, produces suspects: where the growth accumulates, what accumulates there, and how
//! much of the growth that is.
//!
//! New objects of what grew are sampled, and what owns them is searched upwards; the points where the ways part are
//! candidates. One more mark of the heap with the candidates as barriers tells what each retains. The growth of each row is
//! shared out by where its new objects hang, so that the shares of all suspects and of the rest add up to the growth.

use std::collections::BTreeMap;

use crate::graph::ancestors::Ancestors;
use crate::graph::before::Held;
use crate::graph::dominators::{Kinds, Point, points};
use crate::graph::live::Live;
use crate::graph::owners::{Edge, Owners};
use crate::graph::retained::{Barrier, retained};
use crate::graph::sample::{Members, Sample};
use crate::graph::ways::{beside, nearest, route, route_by};
use crate::layout::refusal::Refusal;
use crate::report::content::{Part, content, item};
use crate::report::count::count;
use crate::report::growth::{Grown, Growth, key};
use crate::report::measured::{ADDS_UP, Behind, Measured, portion};
use crate::report::reading::{Reading, Row};
use crate::walk::heap::Heap;

/// Rows whose objects are sampled, and objects sampled in all and of each.
const ROWS: usize = 24;
const SAMPLED: u64 = 400;
const EACH: std::ops::RangeInclusive<u64> = 8..=128;
/// Samples with a way to a root, percent of their weight, from which on the search ends.
const ROOTED_PERCENT: u64 = 95;
/// Share of what grew, 0 to 1, that must hang at a variable for the search to end there.
const ENDS: f64 = 0.2;
/// Times what grew is looked for.
const ATTEMPTS: usize = 3;
/// Points measured.
const MOST: usize = 10;
/// Share of what was followed, 0 to 1, that is most of it.
const MOST_OF_IT: f64 = 0.5;
/// Least share of the growth that makes a suspect.
const LEAST: f64 = 0.02;
/// Of what was followed to a point, the share that must be its alone, 0 to 1.
const ALONE: f64 = 0.5;

/// From one object on that was held on pages that are gone, for so many that are new, what is new may be what was moved.
const MOVED: u64 = 10;

/// Where growth accumulates.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspect {
    /// From a variable or a global down to the content: `bus in /app/server.js`, `EventEmitter._events`, `Object.message`,
    /// `Array[]`.
    pub path: Vec<String>,
    /// What accumulates there, with the number and bytes of it that hang there now.
    pub content: Row,
    /// How many more of it hang there than at the first reading; where its number did not rise, how many took the place of others.
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
///
/// The program goes on meanwhile: where by far not as many new objects were found as grew, everything is looked for once more.
pub(crate) fn suspects(
    heap: &mut Heap<'_>,
    mut live: Option<Live>,
    marking: usize,
    growth: &Growth,
    readings: (&Reading, &Reading),
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Suspect>, Refusal> {
    let mut best = (0.0, Vec::new());
    for attempt in 1..=ATTEMPTS {
        if growth.bytes == 0 || live.is_none() {
            break;
        }
        let (found, suspects) = attempted(heap, live, marking, growth, readings, progress)?;
        if found >= best.0 {
            best = (found, suspects);
        }
        if found >= ADDS_UP || attempt == ATTEMPTS {
            break;
        }
        live = count(heap, marking, &mut |_, _| {})?.live;
    }
    Ok(best.1)
}

/// Suspects, and the share of the growth, 0 to 1, of which new objects were found at all.
fn attempted(
    heap: &mut Heap<'_>,
    live: Option<Live>,
    marking: usize,
    growth: &Growth,
    (first, last): (&Reading, &Reading),
    progress: &mut dyn FnMut(usize),
) -> Result<(f64, Vec<Suspect>), Refusal> {
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
    let mut ancestors = Ancestors::of(
        heap,
        live.as_ref(),
        samples.iter().map(|&(address, _)| address),
        enough,
        progress,
    )?;
    // Two sets of marks at once would cost twice the budget.
    drop(live);
    end_at_variables(heap, &mut ancestors, &samples);
    let map_of = |address: u64| heap.maps.of(address).ok().flatten().map_or(0, |map| map.address);
    let kinds = Kinds {
        map_of: &map_of,
        names: &|address| heap.maps.names_contents(address),
        keys: &|address| heap.maps.has_properties(address),
        part: &|address| heap.maps.is_property_array(address),
    };
    let points = points(&ancestors, &samples, &kinds);
    let (points, barriers): (Vec<Point>, Vec<Barrier>) = barred(heap, &ancestors, points)?.into_iter().unzip();
    let Some(retained) = retained(heap, &barriers, before, marking)? else {
        return Ok((1.0, Vec::new()));
    };
    let mut measured = Measured::of(heap, &retained, last)?;
    let suspected = |measured: &Measured| -> Result<Vec<Option<Suspect>>, Refusal> {
        let each = points.iter().zip(&measured.by).map(|(point, behind)| {
            let followed = point.weight as f64 / all.max(1) as f64;
            suspect(heap, (&ancestors, point, followed), behind, measured, growth)
        });
        each.collect()
    };
    let mut each = suspected(&measured)?;
    if before.gone(&heap.maps.pages) * MOVED > measured.objects() {
        let moved = |(suspect, behind): (&Option<Suspect>, &Behind)| {
            suspect.as_ref().is_some_and(|suspect| {
                let new = behind.new.get(&key(&suspect.content));
                new.map_or(0, |new| new.tally.count) <= measured.excess(&suspect.content, growth)
            })
        };
        let moved: Vec<bool> = each.iter().zip(&measured.by).map(moved).collect();
        measured.leave_out(&moved);
        each = suspected(&measured)?;
        each.iter_mut()
            .zip(&moved)
            .filter(|(_, moved)| **moved)
            .for_each(|(suspect, _)| *suspect = None);
    }
    let mut suspects: Vec<Suspect> = each.into_iter().flatten().collect();
    // What hangs together with others is counted once.
    let mut left = 1.0 - suspects.iter().filter(|s| s.alone).map(|s| s.share).sum::<f64>();
    for suspect in suspects.iter_mut().filter(|suspect| !suspect.alone) {
        suspect.share = suspect.share.min(left.max(0.0));
        suspect.grown = (growth.bytes as f64 * suspect.share) as u64;
        left -= suspect.share;
    }
    suspects.sort_by(|a, b| b.grown.cmp(&a.grown).then_with(|| a.path.cmp(&b.path)));
    Ok((measured.found(growth), suspects))
}

/// Where no root was reached (a getter that an object's shape holds is not followed), the search ends at the nearest variable with
/// a name, if a large part hangs there.
fn end_at_variables(heap: &Heap<'_>, ancestors: &mut Ancestors, samples: &[(u64, u64)]) {
    let all: u64 = samples.iter().map(|(_, weight)| weight).sum();
    let variable = |edge: &Edge| Owners(heap).is_telling(edge).unwrap_or(false);
    let mut weights = BTreeMap::<u64, u64>::new();
    let (rooted, lost): (Vec<_>, Vec<_>) = samples
        .iter()
        .partition(|(address, _)| route(*address, &ancestors.nodes).1);
    if rooted.iter().map(|(_, weight)| weight).sum::<u64>() as f64 >= all as f64 * ENDS {
        return;
    }
    for (address, weight) in lost {
        if let Some(edge) = nearest(address, &ancestors.nodes, |_| true, variable).and_then(|way| way.last().copied()) {
            *weights.entry(edge.owner).or_default() += weight;
        }
    }
    for (scope, _) in weights
        .into_iter()
        .filter(|(_, weight)| *weight as f64 >= all as f64 * ENDS)
    {
        ancestors.nodes.entry(scope).or_default().root = true;
    }
}

/// New objects of what grew, each weighing its part of the growth.
fn sample(heap: &Heap<'_>, live: Option<&Live>, before: &Held, growth: &Growth) -> Result<Vec<(u64, u64)>, Refusal> {
    let held = |grown: &&Grown| {
        let maps = &grown.row.members.maps;
        let infos = maps.iter().filter_map(|&map| heap.maps.info(map));
        maps.is_empty() || infos.into_iter().any(|info| heap.maps.holds(info.instance_type))
    };
    // One that would be given no sample by its share is no part of what accumulates.
    let enough = |grown: &&Grown| SAMPLED * grown.bytes >= growth.bytes;
    let mut grown: Vec<&Grown> = growth.grown.iter().filter(enough).filter(held).collect();
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

/// Points of accumulation, heaviest first, each with what to stop at to measure it. A collection that grows is given another
/// store, but keeps its own address: stores of one collection are one point.
fn barred(heap: &Heap<'_>, ancestors: &Ancestors, points: Vec<Point>) -> Result<Vec<(Point, Barrier)>, Refusal> {
    let mut barred: Vec<(Point, Barrier)> = Vec::new();
    let mut of = BTreeMap::<u64, usize>::new();
    for point in points {
        let first = point.objects.first().copied().unwrap_or(0);
        if point.objects.len() > 1
            && let Some(map) = heap.maps.lookup(heap.maps.peek.word(first)?)?
        {
            barred.push((point, Barrier::Map(map, first)));
            continue;
        }
        let edges = ancestors.nodes.get(&first).into_iter().flat_map(|node| &node.owners);
        let owner = edges.filter(|edge| Owners(heap).is_store(edge)).map(|edge| edge.owner);
        let collection = owner.min().unwrap_or(first);
        match of.get(&collection).and_then(|&at| barred.get_mut(at)) {
            Some((known, Barrier::Objects(objects))) => {
                objects.push(first);
                let weight = known.weight + point.weight;
                if known.objects.first() == Some(&collection) {
                    *known = point;
                }
                known.weight = weight;
            }
            _ => {
                of.insert(collection, barred.len());
                barred.push((point, Barrier::Objects(vec![collection, first])));
            }
        }
    }
    barred.truncate(MOST);
    Ok(barred)
}

fn suspect(
    heap: &Heap<'_>,
    (ancestors, point, followed): (&Ancestors, &Point, f64),
    behind: &Behind,
    measured: &Measured,
    growth: &Growth,
) -> Result<Option<Suspect>, Refusal> {
    // Each row's growth, by the part of its new objects that hangs here.
    let mut parts: Vec<Part<'_>> = Vec::new();
    for grown in &growth.grown {
        let key = key(&grown.row);
        let (Some(here), Some(all)) = (behind.new.get(&key), measured.new.get(&key)) else {
            continue;
        };
        parts.push(Part {
            grown,
            bytes: portion(grown.bytes, here.tally.bytes, all.tally.bytes),
            new: here.tally.count,
        });
    }
    let bytes: u64 = parts.iter().map(|part| part.bytes).sum();
    let part = bytes as f64 / growth.bytes as f64;
    let alone = part >= followed * ALONE;
    let share = if alone { part } else { followed };
    if share < LEAST {
        return Ok(None);
    }
    let chosen = if alone {
        content(heap, point, growth, &parts)?
    } else {
        // What it retains alone says too little: of all that grew, where most of it was followed to here.
        let all: Vec<Part<'_>> = growth.grown.iter().map(Part::whole).collect();
        let parts = if followed >= MOST_OF_IT { &all } else { &parts };
        match item(heap, point, growth)? {
            Some(item) if item.is_telling() => Some(item),
            _ => content(heap, point, growth, parts)?,
        }
    };
    let Some(Part { grown, new, .. }) = chosen else {
        return Ok(None);
    };
    let mut row = grown.row.clone();
    if alone {
        row.tally = behind
            .all
            .get(&key(&row))
            .map_or_else(Default::default, |row| row.tally);
    }
    Ok(Some(Suspect {
        path: path(heap, ancestors, point)?,
        content: row,
        new: if alone { measured.more(grown, new) } else { new },
        retained: behind.retained,
        alone,
        grown: bytes,
        share,
        steady: grown.steady,
    }))
}

/// The way from a root down to what accumulates, in words.
fn path(heap: &Heap<'_>, ancestors: &Ancestors, point: &Point) -> Result<Vec<String>, Refusal> {
    let Some(&object) = point.objects.first() else {
        return Ok(Vec::new());
    };
    let owners = Owners(heap);
    if let Some(timer) = owners.timers(&point.objects)? {
        return Ok(vec![timer]);
    }
    let variable = |edge: &Edge| owners.is_telling(edge).unwrap_or(false);
    let beside = beside(object, &ancestors.nodes);
    let above = nearest(object, &ancestors.nodes, &beside, variable)
        .unwrap_or_else(|| route_by(object, &ancestors.nodes, &beside).0);
    let below = ancestors.nodes.get(&point.content);
    let edge = below.and_then(|node| node.owners.iter().find(|edge| edge.owner == object && point.leads));
    let edges: Vec<Edge> = edge.into_iter().copied().chain(above).collect();
    if edges.is_empty()
        && let Some(map) = heap.maps.of(object)?
    {
        return Ok(vec![heap.maps.describe(heap.tables, map)?.1]);
    }
    owners.steps(&edges)
}
