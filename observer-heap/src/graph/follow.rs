//! Follows pointers from object to object: visits what marks have reached, and marks what that points at.

use crate::graph::live::{BITS, Live, Mark};
use crate::layout::maps::Maps;
use crate::layout::refusal::Refusal;
use crate::layout::tables::Tables;
use crate::memory::pages::PAGE;
use crate::memory::peek::STRONG;
use crate::walk::few::FEW;
use crate::walk::walker::{Choose, Object, Visit, Walker};
use crate::walk::young::{MOST_STOPPED, Young};

/// Visits of pages, for each page there is; a list that zigzags through all pages could ask for many.
const MOST_VISITS: usize = 64;
/// A page waits while another has more than so many times as many open objects.
const WAITS: u32 = 2;

impl Live {
    /// Visits every object of one isolate that is held and was not visited yet.
    pub(crate) fn follow(
        &mut self,
        heap: u64,
        walker: &mut Walker<'_, '_>,
        (tables, young): (Tables, &mut Young),
        visit: &mut impl Visit,
        step: &mut dyn FnMut(u64),
    ) -> Result<(), Refusal> {
        let mut visits = self.marks.len().saturating_mul(MOST_VISITS);
        loop {
            let chosen = self.worth_visiting(heap);
            if chosen.is_empty() {
                break;
            }
            for index in chosen {
                let mark = &mut self.marks[index];
                mark.pending = false;
                let (page, open) = (mark.page, mark.open);
                visits = visits.saturating_sub(1);
                let maps = walker.maps;
                let mut follow = Follow {
                    live: self,
                    maps,
                    tables,
                    young,
                    index,
                    word: 0,
                    chosen: 0,
                    bytes: 0,
                    visit,
                };
                follow.live.begin(index);
                if open <= FEW && page.area() <= PAGE {
                    walker.few(&page, &mut follow)?;
                } else {
                    walker.chosen(&page, &mut follow)?;
                }
                follow.live.end(index);
                step(follow.bytes);
                self.marks[index].open = 0;
            }
            if visits == 0 {
                self.cut = true;
                break;
            }
        }
        Ok(())
    }

    /// Pending pages of an isolate to be visited next: each visit reads the page, so one that has few open objects waits until more of
    /// its objects are reached. Large pages go first: their only object is open, and often a collection that reaches much at once.
    fn worth_visiting(&mut self, heap: u64) -> Vec<usize> {
        self.pending.sort_unstable();
        self.pending.dedup();
        let marks = &self.marks;
        let is_of = |index: &u32| marks.get(*index as usize).filter(|mark| mark.page.heap == heap);
        self.pending
            .retain(|index| marks.get(*index as usize).is_some_and(|mark| mark.pending));
        let large = |mark: &Mark| mark.page.area() > PAGE;
        let any_large = self.pending.iter().filter_map(is_of).any(large);
        let most = self.pending.iter().filter_map(is_of).map(|mark| mark.open).max();
        let most = most.unwrap_or(0);
        let worth = |mark: &Mark| {
            if any_large {
                large(mark)
            } else {
                mark.open * WAITS >= most
            }
        };
        let chosen = self.pending.iter().filter(|index| is_of(index).is_some_and(worth));
        chosen.map(|&index| index as usize).collect()
    }
}

/// Visits the objects of one page that were reached.
struct Follow<'f, 'm, V: Visit> {
    live: &'f mut Live,
    maps: &'f Maps<'m>,
    tables: Tables,
    /// Is told what old objects point at among the young.
    young: &'f mut Young,
    index: usize,
    /// Word of the bit map from which on the next is looked for.
    word: usize,
    /// Index of the word chosen last, from the area's start.
    chosen: usize,
    /// Bytes of the objects visited.
    bytes: u64,
    visit: &'f mut V,
}

impl<V: Visit> Follow<'_, '_, V> {
    fn pointers(&mut self, object: &Object<'_>, first: usize, words: &[[u8; 8]]) {
        let address = object.address + first as u64 * 8;
        if Some(object.info.instance_type) == self.tables.weak {
            self.live.targets.young |= self.young.note(self.live.label, address, words);
            // Entries are pairs behind five words; the first of a pair is the weak key.
            for (index, word) in words.iter().enumerate() {
                if (first + index).is_multiple_of(2) {
                    self.live.reach(&[*word]);
                }
            }
        } else if self.maps.is_weak(object.info.instance_type) {
            self.live.targets.young |= self.young.note(self.live.label, address, words);
        } else {
            let young = &mut *self.young;
            let (mut noted, label) = (false, self.live.label);
            self.live.reach_with(words, |index, word| {
                noted |= young.note_slot(label, address + index as u64 * 8, word);
            });
            self.live.targets.young |= noted;
        }
    }
}

impl<V: Visit> Choose for Follow<'_, '_, V> {
    fn next(&mut self) -> Option<usize> {
        let mark = &mut self.live.marks[self.index];
        loop {
            while self.word < BITS {
                let open = mark.reached[self.word] & !mark.visited[self.word];
                if open != 0 {
                    let bit = open.trailing_zeros();
                    mark.visited[self.word] |= 1 << bit;
                    let start = ((mark.page.start - mark.page.base) / 8) as usize;
                    let word = self.word * 64 + bit as usize;
                    self.chosen = word.checked_sub(start)?;
                    if self.live.telling.barriers {
                        self.live.label = mark.labels.as_ref().map_or(0, |labels| labels.of(word));
                    }
                    return Some(self.chosen);
                }
                self.word += 1;
            }
            if !mark.pending {
                return None;
            }
            // Objects before this one were reached meanwhile.
            mark.pending = false;
            self.word = 0;
        }
    }

    fn torn(&mut self, first: u64) {
        // A collection that moves an object leaves where it stands now in place of its map, as an address without a tag (MapWord, V8's
        // src/objects/objects.h).
        if first.is_multiple_of(8) {
            self.live.forwarded += u64::from(self.live.knows(first));
            self.live.reach(&[(first + STRONG).to_le_bytes()]);
        }
        self.live.torn += 1;
        let large = self.live.marks.get(self.index).filter(|mark| mark.page.area() > PAGE);
        self.live.lost += u64::from(large.is_some() && self.chosen == 0);
    }
}

impl<V: Visit> Visit for Follow<'_, '_, V> {
    fn object(&mut self, object: &Object<'_>) -> Result<(), Refusal> {
        if !self.live.barred.is_empty() && self.live.barred.contains(&object.map) {
            if self.live.stopped.len() < MOST_STOPPED {
                self.live.stopped.push(object.address);
            }
            return Ok(());
        }
        if self.live.telling.barriers {
            let before = self.live.told(object.address, object.map);
            self.visit.labelled(self.live.label, before);
        }
        self.live.visited += 1;
        self.live.bytes += object.size;
        self.bytes += object.size;
        if object.slots {
            self.pointers(object, 0, object.words);
        } else {
            self.live.reach(&object.words[..1]);
            // The Map or Set was given another table while this one was looked for.
            if self.tables.is_collection(object.info.instance_type)
                && let Some(next) = object.words.get(2..3)
            {
                self.live.reach(next);
            }
        }
        self.visit.object(object)
    }

    fn more(&mut self, object: &Object<'_>, first: usize, words: &[[u8; 8]]) -> Result<(), Refusal> {
        if self.live.barred.contains(&object.map) {
            return Ok(());
        }
        self.pointers(object, first, words);
        self.visit.more(object, first, words)
    }
}
