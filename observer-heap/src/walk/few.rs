//! Visits a few objects of a page: reads the blocks of memory they lie in, and not the whole page.

use std::ops::Range;

use crate::layout::refusal::Refusal;
use crate::memory::pages::Page;
use crate::walk::walker::{Choose, Walker};

/// Objects up to which that copies less, and takes less time, than reading the page does.
pub(crate) const FEW: u32 = 24;
/// Bytes read at once at least: a page of the kernel's.
const BLOCK: usize = 4096;
/// Words of an object that tell its size.
const HEAD: usize = 16;

/// What was read of a page.
struct Part<'w> {
    page: &'w Page,
    window: &'w mut [u8],
    /// One bit for each block.
    blocks: u64,
}

impl Part<'_> {
    /// Reads these words where they were not.
    fn read(&mut self, walker: &Walker<'_, '_>, words: Range<usize>) -> Result<(), Refusal> {
        let end = (words.end * 8).min(self.window.len());
        for block in words.start * 8 / BLOCK..end.div_ceil(BLOCK) {
            if self.blocks >> block & 1 == 0 {
                self.blocks |= 1 << block;
                let bytes = block * BLOCK..((block + 1) * BLOCK).min(self.window.len());
                let address = self.page.start + bytes.start as u64;
                walker.maps.peek.memory.read(address, &mut self.window[bytes])?;
            }
        }
        Ok(())
    }
}

impl Walker<'_, '_> {
    /// Visits only the objects that `step` chooses, until it chooses none. The page is not a large one.
    pub(crate) fn few(&mut self, page: &Page, step: &mut impl Choose) -> Result<(), Refusal> {
        let mut window = std::mem::take(&mut self.window);
        let length = (page.area() as usize).min(window.len());
        let mut part = Part {
            page,
            window: &mut window[..length],
            blocks: 0,
        };
        let result = self.few_of(&mut part, step);
        self.window = window;
        result
    }

    fn few_of(&mut self, part: &mut Part<'_>, step: &mut impl Choose) -> Result<(), Refusal> {
        let all = part.window.len() / 8;
        while let Some(index) = step.next() {
            if index >= all {
                continue;
            }
            let head = index..(index + HEAD).min(all);
            part.read(self, head.clone())?;
            let words = part.window.as_chunks::<8>().0;
            let first = u64::from_le_bytes(words[index]);
            let Some((map, info)) = self.map(first)? else {
                step.torn(first);
                continue;
            };
            let room = part.page.area() - index as u64 * 8;
            // Without a rule an object ends where the next begins.
            let body = match self.told_size(info, &words[head], room) {
                Some(size) => index..index + (size / 8) as usize,
                None => 0..all,
            };
            part.read(self, body)?;
            let words = part.window.as_chunks::<8>().0;
            let object = self.at(part.page, words, index, map, info)?;
            step.object(&object)?;
        }
        Ok(())
    }
}
