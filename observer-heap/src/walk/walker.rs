//! Reads pages object by object, tells a visitor about each, and accounts for every byte: explained as an object, blank,
//! or not understood. Steps over an object's body, so that a map pointer inside of it is not taken for an object.

use crate::layout::maps::{MapId, MapInfo, Maps};
use crate::layout::refusal::Refusal;
use crate::layout::sizes::{Rule, Sizes};
use crate::memory::pages::{PAGE, Page};
use crate::memory::peek::STRONG;

/// One object, as far as it was read.
pub(crate) struct Object<'b> {
    pub(crate) address: u64,
    pub(crate) map: MapId,
    pub(crate) info: MapInfo,
    /// Bytes, map word included.
    pub(crate) size: u64,
    /// Its words; of an object larger than the window only the first.
    pub(crate) words: &'b [[u8; 8]],
    /// The same and everything behind it in the window.
    pub(crate) window: &'b [[u8; 8]],
    /// Bytes from its start to the end of its page's area.
    pub(crate) room: u64,
    /// Whether the body may hold pointers.
    pub(crate) slots: bool,
}

impl Object<'_> {
    /// The word at a byte offset; 0 when it lies outside.
    pub(crate) fn word(&self, offset: u32) -> u64 {
        self.words
            .get(offset as usize / 8)
            .map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

/// Is told about every object of a page.
pub(crate) trait Visit {
    /// An object begins.
    fn object(&mut self, object: &Object<'_>) -> Result<(), Refusal>;
    /// What is visited next has this label (`graph/labels.rs`), and was counted with another one before.
    fn labelled(&mut self, label: u8, before: Option<u8>) {
        let _ = (label, before);
    }
    /// More words of the object visited last, from the word with this index on. Only for bodies that may hold pointers.
    fn more(&mut self, object: &Object<'_>, first: usize, words: &[[u8; 8]]) -> Result<(), Refusal> {
        let _ = (object, first, words);
        Ok(())
    }
    /// Whether anything in a page may be worth telling; it is asked before the page is read. What young objects its objects hold is not told
    /// either then, unless others hold them too.
    fn reads(&mut self, page: &Page) -> bool {
        let _ = page;
        true
    }
    /// Whether old objects of a page that is read may point at young ones.
    fn points_at_young(&mut self, page: &Page) -> bool {
        let _ = page;
        true
    }
    /// Whether anything in these words of a page is worth telling; it is asked before the page's objects are. Large pages are not asked
    /// about: theirs is one object.
    fn wants(&mut self, page: &Page, words: &[[u8; 8]]) -> bool {
        let _ = (page, words);
        true
    }
    /// A page has been visited; whether to visit it once more, as it was read.
    fn again(&mut self) -> bool {
        false
    }
    /// All old objects have been visited; what follows is young.
    fn young_begins(&mut self) {}
    /// Old slots that pointed at young objects, with what stood in them when these were visited: a minor collection may have
    /// promoted what they point at.
    fn old_slots(&mut self, slots: &[(u64, u64)]) {
        let _ = slots;
    }
}

/// Chooses objects of one page, and is told about them.
pub(crate) trait Choose: Visit {
    /// The next object's word index from the area's start.
    fn next(&mut self) -> Option<usize>;
    /// Where the last one should begin, no object does but this word: it moved, or never was one.
    fn torn(&mut self, first: u64);
}

/// Bytes of the pages walked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Coverage {
    /// In objects and in free blocks V8 formats as objects.
    pub(crate) explained: u64,
    /// Zero words between objects: never used.
    pub(crate) blank: u64,
    /// Neither.
    pub(crate) unexplained: u64,
}

impl Coverage {
    /// Explained bytes per hundred that are not blank.
    pub(crate) fn percent(self) -> u32 {
        let all = self.explained + self.unexplained;
        if all == 0 {
            100
        } else {
            (u128::from(self.explained) * 100 / u128::from(all)) as u32
        }
    }
}

/// Maps looked up last, by the words that point at them.
const RECENT: usize = 1 << 10;

/// A map looked up before, in 16 bytes: the cache is to stay in the processor's own.
#[derive(Clone, Copy)]
struct Recent {
    word: u64,
    id: MapId,
    instance_type: u16,
    words: u8,
}

/// Walks pages through one window, reused.
pub(crate) struct Walker<'w, 'm> {
    pub(crate) maps: &'w Maps<'m>,
    pub(crate) sizes: &'w Sizes,
    pub(super) window: Vec<u8>,
    recent: Vec<Recent>,
    pub(crate) coverage: Coverage,
}

impl<'w, 'm> Walker<'w, 'm> {
    pub(crate) fn new(maps: &'w Maps<'m>, sizes: &'w Sizes) -> Self {
        Self {
            maps,
            sizes,
            window: vec![0; PAGE as usize],
            recent: vec![
                Recent {
                    word: 0,
                    id: MapId(0),
                    instance_type: 0,
                    words: 0,
                };
                RECENT
            ],
            coverage: Coverage::default(),
        }
    }

    pub(crate) fn page(&mut self, page: &Page, visit: &mut impl Visit) -> Result<(), Refusal> {
        let length = page.area().min(PAGE) as usize;
        let mut window = std::mem::take(&mut self.window);
        let result = self
            .maps
            .peek
            .memory
            .read(page.start, &mut window[..length])
            .map_err(Refusal::from)
            .and_then(|_| {
                let words = window[..length].as_chunks::<8>().0;
                if page.area() <= PAGE && !visit.wants(page, words) {
                    return Ok(());
                }
                loop {
                    self.window(page, words, visit)?;
                    if !visit.again() {
                        return Ok(());
                    }
                }
            });
        self.window = window;
        result
    }

    /// Visits only the objects that `step` chooses, until it chooses none.
    pub(crate) fn chosen(&mut self, page: &Page, step: &mut impl Choose) -> Result<(), Refusal> {
        let length = page.area().min(PAGE) as usize;
        let mut window = std::mem::take(&mut self.window);
        self.maps.peek.memory.read(page.start, &mut window[..length])?;
        let words = window[..length].as_chunks::<8>().0;
        while let Some(index) = step.next() {
            let Some(&first) = words.get(index) else { continue };
            let first = u64::from_le_bytes(first);
            match self.map(first)? {
                Some((map, info)) => {
                    let object = self.at(page, words, index, map, info)?;
                    step.object(&object)?;
                    if object.size > (words.len() - index) as u64 * 8 {
                        self.rest(page, &object, step)?;
                    }
                }
                None => step.torn(first),
            }
        }
        self.window = window;
        Ok(())
    }

    #[inline]
    pub(super) fn at<'b>(
        &self,
        page: &Page,
        words: &'b [[u8; 8]],
        index: usize,
        map: MapId,
        info: MapInfo,
    ) -> Result<Object<'b>, Refusal> {
        let room = page.area() - index as u64 * 8;
        let (size, slots) = self.measure(info, &words[index..], room)?;
        let end = (index + (size / 8) as usize).min(words.len());
        let address = page.start + index as u64 * 8;
        Ok(Object {
            address,
            map,
            info,
            size,
            words: &words[index..end],
            window: &words[index..],
            room,
            slots,
        })
    }

    fn window(&mut self, page: &Page, words: &[[u8; 8]], visit: &mut impl Visit) -> Result<(), Refusal> {
        let mut index = 0;
        while index < words.len() {
            let first = u64::from_le_bytes(words[index]);
            if first == 0 {
                self.coverage.blank += 8;
                index += 1;
                continue;
            }
            let Some((map, info)) = self.map(first)? else {
                self.coverage.unexplained += 8;
                index += 1;
                continue;
            };
            let object = self.at(page, words, index, map, info)?;
            visit.object(&object)?;
            self.coverage.explained += object.size;
            if object.size > (words.len() - index) as u64 * 8 {
                return self.rest(page, &object, visit);
            }
            index += object.words.len();
        }
        // A large page whose first object did not fill it.
        self.coverage.unexplained += page.area() - words.len() as u64 * 8;
        Ok(())
    }

    #[inline]
    pub(super) fn map(&mut self, word: u64) -> Result<Option<(MapId, MapInfo)>, Refusal> {
        match self.recent(word) {
            Some(found) => Ok(Some(found)),
            None => self.look_up(word),
        }
    }

    #[inline]
    fn recent(&self, word: u64) -> Option<(MapId, MapInfo)> {
        let recent = &self.recent[(word >> 3) as usize % RECENT];
        let info = MapInfo {
            address: word.wrapping_sub(STRONG),
            instance_type: recent.instance_type,
            words: recent.words,
        };
        (recent.word == word && word != 0).then_some((recent.id, info))
    }

    #[inline(never)]
    fn look_up(&mut self, word: u64) -> Result<Option<(MapId, MapInfo)>, Refusal> {
        let found = self.maps.lookup(word)?.and_then(|id| Some((id, self.maps.info(id)?)));
        if let Some((id, info)) = found {
            self.recent[(word >> 3) as usize % RECENT] = Recent {
                word,
                id,
                instance_type: info.instance_type,
                words: info.words,
            };
        }
        Ok(found)
    }

    /// Size and whether the body holds pointers. Without a rule, the object ends where the next one begins; the only one of
    /// a large page, where its page does.
    #[inline]
    fn measure(&self, info: MapInfo, words: &[[u8; 8]], room: u64) -> Result<(u64, bool), Refusal> {
        if info.words > 0 {
            let size = u64::from(info.words) * 8;
            return Ok((size.min(room), info.words > 1));
        }
        self.measure_each(info, words, room)
    }

    /// The size of an object of which it follows from its map, or by a rule from its first words.
    pub(super) fn told_size(&self, info: MapInfo, words: &[[u8; 8]], room: u64) -> Option<u64> {
        if info.words > 0 {
            return Some((u64::from(info.words) * 8).min(room));
        }
        self.ruled(info, words, room).map(|ruled| ruled.1)
    }

    /// The rule for the size of an object, and what it says.
    fn ruled(&self, info: MapInfo, words: &[[u8; 8]], room: u64) -> Option<(Rule, u64)> {
        let rule = self.sizes.rule(info.instance_type)?;
        Some((rule, rule.size(words).filter(|&size| size <= room)?))
    }

    #[inline(never)]
    fn measure_each(&self, info: MapInfo, words: &[[u8; 8]], room: u64) -> Result<(u64, bool), Refusal> {
        if let Some((rule, size)) = self.ruled(info, words, room) {
            return Ok((
                size,
                rule.has_slots() && !self.sizes.is_obsolete(info.instance_type, words),
            ));
        }
        let mut length = 1;
        while length < words.len() && self.maps.lookup(u64::from_le_bytes(words[length]))?.is_none() {
            length += 1;
        }
        if length == words.len() && room > PAGE {
            return Ok((room, true));
        }
        Ok((length as u64 * 8, true))
    }

    /// The rest of an object that is larger than the window.
    fn rest(&mut self, page: &Page, object: &Object<'_>, visit: &mut impl Visit) -> Result<(), Refusal> {
        if !object.slots {
            return Ok(());
        }
        let mut window = vec![0; PAGE as usize];
        let mut done = object.words.len() as u64 * 8;
        while done < object.size {
            let at = object.address + done;
            let length = (object.size - done).min(PAGE).min(page.end - at) as usize;
            if length == 0 {
                break;
            }
            self.maps.peek.memory.read(at, &mut window[..length])?;
            visit.more(object, (done / 8) as usize, window[..length].as_chunks::<8>().0)?;
            done += length as u64;
        }
        Ok(())
    }
}
