//! Marks a heap with some objects as a barrier, produces what each of them retains: what is held now, and would not be
//! without it.

use crate::graph::before::Held;
use crate::graph::held::take_turns;
use crate::graph::live::{self, Live};
use crate::layout::maps::MapId;
use crate::layout::refusal::Refusal;
use crate::memory::by_address::ByAddress;
use crate::memory::pages::PAGE;
use crate::walk::counts::{Count, Isolate};
use crate::walk::heap::Heap;
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
            if let Barrier::Objects(addresses) = barrier {
                addresses.iter().for_each(|&address| young.bar(address));
            }
        }
        rest.push(count(heap, isolate, (&mut live, young), before, false)?);
    }
    let mut by = Vec::new();
    for barrier in barriers {
        let isolate = heap.maps.pages.containing(barrier.object()).map(|page| page.heap);
        let Some((isolate, young)) = isolate.and_then(|isolate| Some((isolate, young.get_mut(&isolate)?))) else {
            by.push(Split::default());
            continue;
        };
        match barrier {
            Barrier::Objects(addresses) => addresses.iter().for_each(|&address| {
                live.unbar(address);
                young.unbar(address);
            }),
            Barrier::Map(map, _) => live.unbar_map(*map),
        }
        by.push(count(heap, isolate, (&mut live, young), before, true)?);
    }
    Ok(Some(Retained { by, rest }))
}

/// Counts what is reached and was not visited yet: `all` of it, or only what is new.
fn count(
    heap: &Heap<'_>,
    isolate: u64,
    (live, young): (&mut Live, &mut Young),
    before: &Held,
    all: bool,
) -> Result<Split, Refusal> {
    let mut walker = Walker::new(&heap.maps, &heap.sizes);
    let mut visit = Both {
        all: all.then(|| Count::new(&heap.maps, heap.tables)),
        new: Count::new(&heap.maps, heap.tables),
        before,
    };
    take_turns(heap, isolate, &mut walker, (live, young), &mut visit, &mut |_| {})?;
    Ok(Split {
        heap: isolate,
        all: visit.all.map(Count::finish).unwrap_or_default(),
        new: visit.new.finish(),
    })
}

/// Counts everything, and what is new for itself.
struct Both<'b, 'm> {
    all: Option<Count<'b, 'm>>,
    new: Count<'b, 'm>,
    before: &'b Held,
}

impl Visit for Both<'_, '_> {
    fn object(&mut self, object: &Object<'_>) -> Result<(), Refusal> {
        if let Some(all) = &mut self.all {
            all.object(object)?;
        }
        if !self.before.contains(object.address / PAGE, object.address % PAGE) {
            self.new.object(object)?;
        }
        Ok(())
    }
}
