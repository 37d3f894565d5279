//! Tells whether collections moved so much while the old generation was marked that the marks are wrong.

use crate::graph::live::Live;
use crate::layout::maps::Maps;
use crate::layout::refusal::Refusal;
use crate::memory::pages::{PAGE, Page, Space};

/// One byte in so many may lie in pages that came into being meanwhile: a heap that grows has some at any time.
pub(crate) const MISSED: u64 = 33;
/// One object in so many may have moved while it was looked for, or been met twice.
const MOVED: u64 = 50;
/// Fewer are what words that only look like pointers make of any heap.
const STRAY: u64 = 1000;
/// One byte in so many may be missing of those that a collection has just left alive.
const UNSEEN: u64 = 10;

impl Live {
    /// Whether so much moved, or moved to a page that came into being, that the heap has to be marked again; or it was cut short, and would
    /// be again. A caller may allow no more than `one_in` so many objects to have moved, few as these are.
    pub(crate) fn disturbed(&self, maps: &Maps<'_>, one_in: Option<u64>) -> Result<bool, Refusal> {
        let appeared = maps.appeared(self.unknown.keys().map(|address| address / PAGE))?;
        let old_or_young = appeared
            .iter()
            .filter(|page| matches!(page.space, Space::Old | Space::Young));
        let new: u64 = old_or_young.map(Page::area).sum();
        let all: u64 = self.pages().map(Page::area).sum();
        let behind = self.left_behind(maps)?;
        // Where no page was freed, pointers at nothing are of words that only look like pointers.
        let moved = if behind.is_some() { self.torn } else { self.forwarded };
        let many = moved > STRAY && moved * MOVED > self.visited;
        let too_many = one_in.is_some_and(|one_in| moved * one_in > self.visited);
        if self.cut || self.lost > 0 || new * MISSED > all || many || too_many {
            return Ok(true);
        }
        behind.map_or(Ok(false), |behind| self.compacted(maps, behind))
    }

    /// Whether a major collection, which has freed pages, moved what lived in them: so many objects were visited where they had stood that
    /// they may have been met twice; or so much is missing of what it left alive, which is what V8 counts as allocated then.
    fn compacted(&self, maps: &Maps<'_>, behind: u64) -> Result<bool, Refusal> {
        if behind * MOVED > self.visited {
            return Ok(true);
        }
        let now = maps.pages_now()?;
        let old = now.pages.iter().filter(|page| page.space == Space::Old);
        let allocated: u64 = old.map(|page| page.allocated).sum();
        Ok(allocated.saturating_sub(self.bytes) * UNSEEN > allocated)
    }

    /// Objects visited on pages that were freed since; none where no page was.
    fn left_behind(&self, maps: &Maps<'_>) -> Result<Option<u64>, Refusal> {
        let mut objects = None;
        for mark in &self.marks {
            if !maps.pages.stands(&maps.peek, &mark.page)? {
                let visited: u32 = mark.visited.iter().map(|word| word.count_ones()).sum();
                *objects.get_or_insert(0) += u64::from(visited);
            }
        }
        Ok(objects)
    }
}
