//! Reads the heaps of a process until no collection came between, produces what each isolate holds, by name, and the marks
//! that tell it.

use crate::graph::disturbed::MISSED;
use crate::graph::held::walk_held;
use crate::graph::live::{self, Live};
use crate::layout::refusal::Refusal;
use crate::memory::pages::{Page, Space};
use crate::report::reading::Row;
use crate::report::rows;
use crate::walk::counts::{Count, Isolate};
use crate::walk::heap::{Heap, Order};

/// Times the heap is read before a reading that collections disturb is taken as it is.
const ATTEMPTS: u32 = 4;
/// One object in so many may have lost its name to a collection, before the reading counts as disturbed.
const NAMELESS: u64 = 100;

/// What a reading counted.
#[derive(Default)]
pub(crate) struct Counted {
    /// By bytes, the largest first.
    pub(crate) isolates: Vec<Isolate>,
    /// What they hold, by name.
    pub(crate) rows: Vec<Row>,
    /// The old objects that were found held; none of a heap beyond the budget.
    pub(crate) live: Option<Live>,
    /// A collection came between in every attempt.
    pub(crate) disturbed: bool,
}

/// Counts every isolate, spending at most `marking` bytes on marks. `progress` is told bytes read so far and in all.
pub(crate) fn count(
    heap: &mut Heap<'_>,
    marking: usize,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Counted, Refusal> {
    for attempt in 1.. {
        heap.maps.refresh()?;
        let old = heap.maps.pages.pages.iter().filter(|page| page.space == Space::Old);
        let all: u64 = old.map(Page::area).sum();
        let mut live = (live::cost(&heap.maps.pages) <= marking).then(|| Live::new(&heap.maps.pages));
        let mut done = 0;
        let mut isolates = isolates(heap, live.as_mut(), &mut |bytes| {
            done += bytes;
            progress(done.min(all), all);
        })?;
        // Until no collection moved what was about to be looked at.
        let disturbed = match &live {
            Some(live) => live.disturbed(&heap.maps, None)? || moved(&isolates),
            None => false,
        };
        // It would be cut short again.
        let last = attempt == ATTEMPTS || live.as_ref().is_some_and(|live| live.cut);
        if disturbed && !last {
            continue;
        }
        if let Some(live) = &live {
            heap.maps.pages.take_in(&live.appeared);
        }
        isolates.sort_by_key(|isolate| std::cmp::Reverse(isolate.bytes()));
        let (mut rows, mut nameless) = (Vec::new(), 0);
        for (index, isolate) in isolates.iter().enumerate() {
            nameless += rows::rows(heap, index, isolate, &mut rows)?;
        }
        let disturbed = disturbed || nameless * NAMELESS > isolates.iter().map(Isolate::objects).sum();
        if !disturbed || last {
            return Ok(Counted {
                isolates,
                rows,
                live,
                disturbed,
            });
        }
    }
    Ok(Counted::default())
}

/// Whether a minor collection moved so much that what was counted of the young generation may be wrong by one part in
/// [`MISSED`] of all: by the bytes of what may have been met twice, or by the number of what had gone before it was counted.
fn moved(isolates: &[Isolate]) -> bool {
    let all: u64 = isolates.iter().map(Isolate::bytes).sum();
    let young = isolates.iter().filter(|isolate| isolate.moved);
    let objects: u64 = isolates.iter().map(Isolate::objects).sum();
    let gone: u64 = isolates.iter().map(|isolate| isolate.young_torn).sum();
    young.map(|isolate| isolate.young_live).sum::<u64>() * MISSED > all || gone * MISSED > objects
}

fn isolates(heap: &Heap<'_>, mut live: Option<&mut Live>, step: &mut dyn FnMut(u64)) -> Result<Vec<Isolate>, Refusal> {
    let pages = &heap.maps.pages;
    let mut isolates = Vec::new();
    if let Some(live) = &mut live {
        live.roots(&heap.maps)?;
    }
    for isolate in pages.heaps() {
        let mut count = Count::new(&heap.maps, heap.tables);
        let walked = match &mut live {
            Some(live) => {
                // Old objects that only young ones hold are visited after those.
                let mut old = 0;
                let walked = walk_held(heap, isolate, live, &mut count, &mut |bytes| {
                    old += bytes;
                    step(bytes);
                })?;
                count.old_bytes = old.min(count.bytes);
                walked
            }
            None => heap.walk(isolate, Order::Ascending, &mut count, step)?,
        };
        let code = pages
            .pages
            .iter()
            .filter(|page| page.heap == isolate && page.space == Space::Code);
        count.isolate.heap = isolate;
        count.isolate.coverage = walked.coverage;
        count.isolate.young_pages = walked.young_pages;
        count.isolate.torn = walked.torn;
        count.isolate.young_torn = walked.young_torn;
        count.isolate.moved = walked.moved;
        count.isolate.young_live = count.bytes - count.old_bytes;
        if let Some(live) = &live {
            let old = live.pages().filter(|page| page.heap == isolate);
            let allocated = old.clone().map(|page| page.allocated).sum::<u64>();
            count.isolate.dead = Some(allocated.saturating_sub(count.old_bytes));
            count.isolate.free = old.map(|page| page.area() - page.allocated).sum();
        }
        count.isolate.code = code.map(Page::area).sum();
        isolates.push(count.finish());
    }
    Ok(isolates)
}
