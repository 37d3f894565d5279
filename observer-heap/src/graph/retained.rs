//! Marks a heap with some objects as a barrier, produces what each of them retains: what is held now, and would not be
//! without it.

use crate::graph::before::{Granules, Held};
use crate::graph::held::take_turns;
use crate::graph::labels;
use crate::graph::live::{self, Live};
use crate::layout::maps::MapId;
use crate::layout::refusal::Refusal;
use crate::memory::by_address::ByAddress;
use crate::memory::pages::PAGE;
use crate::walk::counts::{Count, Isolate};
use crate::walk::heap::Heap;
use crate::walk::noted::MOST_LABELS;
use crate::walk::walker::{Object, Visit, Walker};
use crate::walk::young::Young;

/// What stands in the way of the marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Barrier {
    /// One object, or a collection with its store.
    Objects(Vec<u64>),
    /// All objects of a map, in the isolate of this one.
    Map(MapId, u64),
}

impl Barrier {
    fn object(&self) -> u64 {
        match self {
            Self::Objects(addresses) => addresses.first().copied().unwrap_or(0),
            Self::Map(_, address) => *address,
        }
    }
}

/// What objects hold: all of it (of barriers only), and what of that was not held before.
#[derive(Default)]
pub(crate) struct Split {
    /// Which isolate.
    pub(crate) heap: u64,
    pub(crate) all: Isolate,
    pub(crate) new: Isolate,
}

/// What each barrier retains, and what is held by none of them (one for each isolate).
pub(crate) struct Retained {
    pub(crate) by: Vec<Split>,
    pub(crate) rest: Vec<Split>,
}

/// Counts behind each barrier; what several hold together counts to the first. `None` where marks would cost more than
/// `marking` bytes.
pub(crate) fn retained(
    heap: &mut Heap<'_>,
    barriers: &[Barrier],
    before: &Held,
    marking: usize,
) -> Result<Option<Retained>, Refusal> {
    heap.maps.refresh()?;
    if live::cost(&heap.maps.pages) > marking {
        return Ok(None);
    }
    let heap = &*heap;
    let mut live = Live::new(&heap.maps.pages);
    live.remembers = false;
    for barrier in barriers {
        match barrier {
            Barrier::Objects(addresses) => addresses.iter().for_each(|&address| live.bar(address)),
            Barrier::Map(map, _) => live.bar_map(*map),
        }
    }
    live.roots(&heap.maps)?;
    let mut young = ByAddress::<Young>::default();
    let mut rest = Vec::new();
    for isolate in heap.maps.pages.heaps() {
        let pages = heap.maps.pages.pages.iter().filter(|page| page.heap == isolate);
        let young = young.entry(isolate).or_insert_with(|| Young::new(pages));
        for barrier in barriers {
            match barrier {
                Barrier::Objects(addresses) => addresses.iter().for_each(|&address| young.bar(address)),
                Barrier::Map(map, _) => young.bar_map(*map),
            }
        }
        rest.push(count_new(heap, isolate, (&mut live, young), before)?);
    }
    // Labels take as much as marks do; where that is too much, one barrier is followed after the other.
    let together = if live::cost(&heap.maps.pages) + labels::cost(&heap.maps.pages) <= marking {
        MOST_LABELS
    } else {
        1
    };
    let mut by: Vec<Split> = barriers.iter().map(|_| Split::default()).collect();
    for isolate in heap.maps.pages.heaps() {
        let Some(young) = young.get_mut(&isolate) else { continue };
        let lies_there = |barrier: &Barrier| {
            let page = heap.maps.pages.containing(barrier.object());
            page.is_some_and(|page| page.heap == isolate)
        };
        let own: Vec<usize> = (0..barriers.len()).filter(|&at| lies_there(&barriers[at])).collect();
        for some in own.chunks(together) {
            let behind: Vec<&Barrier> = some.iter().map(|&at| &barriers[at]).collect();
            let splits = count_behind(heap, isolate, (&mut live, young), &behind, before)?;
            for (&at, split) in some.iter().zip(splits) {
                by[at] = split;
            }
        }
    }
    Ok(Some(Retained { by, rest }))
}

/// Counts what is reached and was not visited yet: what is new.
fn count_new(
    heap: &Heap<'_>,
    isolate: u64,
    (live, young): (&mut Live, &mut Young),
    before: &Held,
) -> Result<Split, Refusal> {
    let mut walker = Walker::new(&heap.maps, &heap.sizes);
    let mut visit = Behind::new(heap, before, 0);
    visit.only_new = true;
    take_turns(
        (heap, isolate),
        &[0],
        &mut walker,
        (live, young),
        &mut visit,
        &mut |_| {},
    )?;
    Ok(visit.splits(isolate).swap_remove(0))
}

/// Goes on from barriers of one isolate, and counts what is behind each of them.
fn count_behind(
    heap: &Heap<'_>,
    isolate: u64,
    (live, young): (&mut Live, &mut Young),
    barriers: &[&Barrier],
    before: &Held,
) -> Result<Vec<Split>, Refusal> {
    live.telling.barriers = barriers.len() > 1;
    // One alone needs no label.
    let labels: Vec<u8> = if live.telling.barriers {
        (1..=barriers.len() as u8).collect()
    } else {
        vec![0]
    };
    for (&label, barrier) in labels.iter().zip(barriers) {
        live.label = label;
        match barrier {
            Barrier::Objects(addresses) => addresses.iter().for_each(|&address| {
                live.unbar_labelled(address);
                young.unbar(address, label);
            }),
            Barrier::Map(map, _) => {
                live.unbar_map_labelled(*map);
                young.unbar_map(*map, label);
            }
        }
    }
    let mut walker = Walker::new(&heap.maps, &heap.sizes);
    let mut visit = Behind::new(heap, before, labels.last().copied().unwrap_or(0));
    take_turns(
        (heap, isolate),
        &labels,
        &mut walker,
        (live, young),
        &mut visit,
        &mut |_| {},
    )?;
    live.unlabel();
    let mut splits = visit.splits(isolate);
    Ok(splits.split_off(usize::from(labels[0])))
}

/// Counts what has each label: what is new, and what is not.
struct Behind<'b, 'm> {
    counts: Vec<Counts<'b, 'm>>,
    before: &'b Held,
    /// The page visited last, by its number, and what was held of it.
    page: (u64, Option<&'b Granules>),
    only_new: bool,
    /// The label of what is visited, and the one it was counted with before.
    label: usize,
    was: Option<usize>,
}

struct Counts<'b, 'm> {
    new: Count<'b, 'm>,
    old: Count<'b, 'm>,
    /// Of these, what counts to another label now.
    new_gone: Count<'b, 'm>,
    old_gone: Count<'b, 'm>,
}

impl<'b, 'm> Behind<'b, 'm> {
    fn new(heap: &'b Heap<'m>, before: &'b Held, most: u8) -> Self {
        let count = || Count::new(&heap.maps, heap.tables);
        let counts = || Counts {
            new: count(),
            old: count(),
            new_gone: count(),
            old_gone: count(),
        };
        Self {
            counts: (0..=most).map(|_| counts()).collect(),
            before,
            page: (u64::MAX, None),
            only_new: false,
            label: 0,
            was: None,
        }
    }

    fn splits(self, heap: u64) -> Vec<Split> {
        let split = |counts: Counts<'_, '_>| {
            let (mut new, mut all) = (counts.new.finish(), counts.old.finish());
            new.take_away(&counts.new_gone.finish());
            all.take_away(&counts.old_gone.finish());
            all.merge(&new);
            Split { heap, all, new }
        };
        self.counts.into_iter().map(split).collect()
    }
}

impl Visit for Behind<'_, '_> {
    fn labelled(&mut self, label: u8, before: Option<u8>) {
        self.label = usize::from(label);
        self.was = before.map(usize::from);
    }

    fn object(&mut self, object: &Object<'_>) -> Result<(), Refusal> {
        let page = object.address / PAGE;
        if self.page.0 != page {
            self.page = (page, self.before.page(page));
        }
        let new = !self.page.1.is_some_and(|held| held.contains(object.address % PAGE));
        if !new && self.only_new {
            return Ok(());
        }
        if let Some(counts) = self.counts.get_mut(self.label) {
            let count = if new { &mut counts.new } else { &mut counts.old };
            count.object(object)?;
        }
        if let Some(counts) = self.was.take().and_then(|was| self.counts.get_mut(was)) {
            let gone = if new {
                &mut counts.new_gone
            } else {
                &mut counts.old_gone
            };
            gone.object(object)?;
        }
        Ok(())
    }
}
