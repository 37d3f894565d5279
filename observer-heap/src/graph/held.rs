//! Visits what is held of an isolate: old objects that marks reach, and the young ones they reach in turn.

use crate::graph::live::Live;
use crate::layout::refusal::Refusal;
use crate::walk::heap::{Heap, Walked};
use crate::walk::walker::{Coverage, Object, Visit, Walker};
use crate::walk::young::Young;

/// Times pages are looked for that came into being meanwhile.
const MOST_LOOKS: usize = 8;
/// Turns between old and young objects: a chain whose links are old and young by turns takes one for each link.
const MOST_TURNS: usize = 4096;

/// Visits every object of an isolate that is held: old ones first, then the young ones they reach. `step` is told
/// the bytes of old objects visited.
pub(crate) fn walk_held(
    heap: &Heap<'_>,
    isolate: u64,
    live: &mut Live,
    visit: &mut impl Visit,
    step: &mut dyn FnMut(u64),
) -> Result<Walked, Refusal> {
    let mut young = Young::new(heap.maps.pages.pages.iter().filter(|page| page.heap == isolate));
    let mut walker = Walker::new(&heap.maps, &heap.sizes);
    follow(heap, isolate, &mut walker, (live, &mut young), visit, step)?;
    young.visit(&heap.maps, &heap.sizes, &mut Back { live, visit })?;
    take_turns((heap, isolate), &[0], &mut walker, (live, &mut young), visit, step)?;
    Ok(Walked {
        coverage: Coverage::default(),
        young_pages: young.bytes(),
        torn: young.torn + live.torn(),
        young_torn: young.torn,
        moved: young.moved(&heap.maps)?,
    })
}

/// Visits what is reached and was not visited yet: old objects, the young ones they reach, the old ones these reach, and so on;
/// young ones in the order of these labels.
pub(crate) fn take_turns(
    (heap, isolate): (&Heap<'_>, u64),
    labels: &[u8],
    walker: &mut Walker<'_, '_>,
    (live, young): (&mut Live, &mut Young),
    visit: &mut impl Visit,
    step: &mut dyn FnMut(u64),
) -> Result<(), Refusal> {
    for _ in 0..MOST_TURNS {
        follow(heap, isolate, walker, (live, young), visit, step)?;
        for &label in labels {
            live.label = label;
            visit.labelled(label, None);
            live.cut |= young.spread(label, walker, &mut Back { live, visit })?;
        }
        if !live.is_pending(isolate) {
            return Ok(());
        }
    }
    live.cut = true;
    Ok(())
}

/// Visits the old objects that are reached and were not visited yet, those on pages that came into being meanwhile among them.
fn follow(
    heap: &Heap<'_>,
    isolate: u64,
    walker: &mut Walker<'_, '_>,
    (live, young): (&mut Live, &mut Young),
    visit: &mut impl Visit,
    step: &mut dyn FnMut(u64),
) -> Result<(), Refusal> {
    for _ in 0..MOST_LOOKS {
        live.follow(isolate, walker, (heap.tables, young), visit, step)?;
        let appeared = live.take_in(&heap.maps)?;
        for (page, reached) in appeared.young {
            if page.heap == isolate {
                young.take_in(page, reached);
            }
        }
        if !appeared.old {
            break;
        }
    }
    Ok(())
}

/// Visits young objects and notes what they reach among the old.
pub(crate) struct Back<'b, V: Visit> {
    pub(crate) live: &'b mut Live,
    pub(crate) visit: &'b mut V,
}

impl<V: Visit> Visit for Back<'_, V> {
    fn object(&mut self, object: &Object<'_>) -> Result<(), Refusal> {
        if object.slots {
            self.live.reach(object.words);
        }
        self.visit.object(object)
    }

    fn old_slots(&mut self, slots: &[(u64, u64)]) {
        for (_, word) in slots {
            self.live.reach(&[word.to_le_bytes()]);
        }
        self.visit.old_slots(slots);
    }

    fn more(&mut self, object: &Object<'_>, first: usize, words: &[[u8; 8]]) -> Result<(), Refusal> {
        self.live.reach(words);
        self.visit.more(object, first, words)
    }
}
