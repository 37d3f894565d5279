//! Reads the words of objects, produces those that lead to memory outside V8's heaps: from objects that are held, and from those that
//! nothing was seen to hold, whose memory outside is given back when a collection finds them.
//!
//! An object keeps the address of a native one in an embedder slot, an external string that of its characters, as a word that looks
//! like a small integer.

use crate::graph::live::Live;
use crate::layout::refusal::Refusal;
use crate::memory::pages::{PAGE, Space};
use crate::walk::heap::{Heap, Order};
use crate::walk::walker::{Object, Visit};

/// Words of the largest object that is looked at: what keeps native addresses is small.
const WORDS: usize = 128;
/// Addresses kept of each kind, 8 bytes each.
const MOST: usize = 1 << 21;

/// Addresses outside V8's heaps that stand in its objects, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedOutside {
    /// In old objects that are held.
    pub held: Vec<u64>,
    /// In old objects that nothing holds, and anywhere in the young generation, where the two are not told apart.
    pub unheld: Vec<u64>,
    /// There were more than are kept.
    pub cut: bool,
}

/// Those within `ranges`, which are ascending.
pub(crate) fn led_outside(heap: &Heap<'_>, live: &Live, ranges: &[(u64, u64)]) -> Result<LedOutside, Refusal> {
    let mut found = Found {
        live,
        ranges,
        led: LedOutside::default(),
    };
    for isolate in heap.maps.pages.heaps() {
        heap.walk(isolate, Order::Ascending, &mut found, &mut |_| {})?;
    }
    let mut window = vec![0; PAGE as usize];
    let young = heap.maps.pages.pages.iter().filter(|page| page.space == Space::Young);
    for page in young {
        let length = page.area().min(PAGE) as usize;
        heap.maps.peek.memory.read(page.start, &mut window[..length])?;
        for word in window[..length].as_chunks::<8>().0 {
            found.note(u64::from_le_bytes(*word), true);
        }
    }
    let mut led = found.led;
    for addresses in [&mut led.held, &mut led.unheld] {
        addresses.sort_unstable();
        addresses.dedup();
    }
    Ok(led)
}

struct Found<'l> {
    live: &'l Live,
    ranges: &'l [(u64, u64)],
    led: LedOutside,
}

impl Found<'_> {
    fn note(&mut self, word: u64, unheld: bool) {
        let at = self.ranges.partition_point(|range| range.1 <= word);
        if word & 1 != 0 || self.ranges.get(at).is_none_or(|range| word < range.0) {
            return;
        }
        let addresses = if unheld {
            &mut self.led.unheld
        } else {
            &mut self.led.held
        };
        if addresses.len() < MOST {
            addresses.push(word);
        } else {
            self.led.cut = true;
        }
    }
}

impl Visit for Found<'_> {
    fn object(&mut self, object: &Object<'_>) -> Result<(), Refusal> {
        if object.size <= 8 * WORDS as u64 {
            let unheld = self.live.is_dead(object.address);
            for word in object.words.iter().skip(1) {
                self.note(u64::from_le_bytes(*word), unheld);
            }
        }
        Ok(())
    }
}
