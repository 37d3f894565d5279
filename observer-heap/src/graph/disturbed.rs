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
    /// be again.
    pub(crate) fn disturbed(&self, maps: &Maps<'_>) -> Result<bool, Refusal> {
        let appeared = maps.appeared(self.unknown.keys().map(|address| address / PAGE))?;
        let moved = appeared
            .iter()
            .filter(|page| matches!(page.space, Space::Old | Space::Young));
        let new: u64 = moved.map(Page::area).sum();
        let all: u64 = self.pages().map(Page::area).sum();
        Ok(self.cut || self.lost > 0 || new * MISSED > all || self.many(self.forwarded) || self.compacted(maps)?)
    }

    /// Whether so many objects, which had moved, make the marks wrong.
    fn many(&self, moved: u64) -> bool {
        moved > STRAY && moved * MOVED > self.visited
    }

    /// Whether a major collection has freed pages, and may have moved what lived in them: so many objects were visited where they had stood
    /// that they may have been met twice; or so many were looked for there in vain, or so much is missing of what it left alive, which is what
    /// V8 counts as allocated then, that what these hold was missed.
    fn compacted(&self, maps: &Maps<'_>) -> Result<bool, Refusal> {
        let Some(behind) = self.left_behind(maps)? else {
            return Ok(false);
        };
        if behind * MOVED > self.visited || self.many(self.torn) {
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

    /// Pointers at what may have moved. Where no page was freed, those at nothing are of words that only look like pointers.
    pub(crate) fn moved(&self, maps: &Maps<'_>) -> Result<u64, Refusal> {
        Ok(match self.left_behind(maps)? {
            Some(_) => self.torn,
            None => self.forwarded,
        })
    }
}
