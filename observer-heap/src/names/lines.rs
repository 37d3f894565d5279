//! Reads the source of scripts, produces the line numbers of functions. Of the source only its line ends are used.

use std::collections::BTreeMap;

use crate::layout::maps::Maps;
use crate::layout::refusal::Refusal;
use crate::memory::peek::strong;
use crate::report::reader::Reader;
use crate::report::reading::Row;

/// Bytes read at once.
const CHUNK: usize = 1 << 16;
/// Strings between a script's source and its characters: a flattened concatenation, a deduplicated copy.
const MOST_HOPS: u32 = 4;

/// Where a source's characters stand.
struct Source {
    characters: u64,
    /// Bytes of one.
    width: u64,
    length: u64,
}

impl Reader<'_> {
    /// Looks up in which line each row's function or class starts. Rows whose source is not in the heap keep none.
    pub fn lines<'r>(&self, rows: impl IntoIterator<Item = &'r mut Row>) -> Result<(), Refusal> {
        let mut by_script = BTreeMap::<u64, Vec<&mut Row>>::new();
        for row in rows {
            if let (Some(script), Some(_)) = (row.script, row.position) {
                by_script.entry(script).or_default().push(row);
            }
        }
        for (script, mut rows) in by_script {
            let source = self
                .maps
                .peek
                .word(script + u64::from(self.maps.layout.function.script_source))?;
            if let Some(source) = self.maps.source(source)? {
                rows.sort_by_key(|row| row.position);
                self.number(&source, rows)?;
            }
        }
        Ok(())
    }

    /// Counts line ends once, up to the last position asked for.
    fn number(&self, source: &Source, rows: Vec<&mut Row>) -> Result<(), Refusal> {
        let mut rows = rows.into_iter().peekable();
        let mut buffer = vec![0; CHUNK];
        let (mut at, mut line) = (0, 1);
        while at < source.length && rows.peek().is_some() {
            let characters = (source.length - at).min(CHUNK as u64 / source.width);
            let bytes = &mut buffer[..(characters * source.width) as usize];
            self.maps
                .peek
                .memory
                .read(source.characters + at * source.width, bytes)?;
            for character in bytes.chunks_exact(source.width as usize) {
                while let Some(row) = rows.next_if(|row| row.position.is_some_and(|position| u64::from(position) <= at))
                {
                    row.line = Some(line);
                }
                line += u32::from(character[0] == b'\n' && character.get(1).is_none_or(|&high| high == 0));
                at += 1;
            }
        }
        Ok(())
    }
}

impl Maps<'_> {
    /// The characters of a script's source, if they stand in the heap.
    fn source(&self, word: u64) -> Result<Option<Source>, Refusal> {
        let s = &self.layout.string;
        let mut word = word;
        for _ in 0..MOST_HOPS {
            let Some(address) = strong(word) else { return Ok(None) };
            let Some(map) = self.of(address)?.filter(|map| map.instance_type < s.first_nonstring) else {
                return Ok(None);
            };
            match map.instance_type & s.representation_mask {
                0 => {
                    let width = if map.instance_type & s.one_byte == 0 { 2 } else { 1 };
                    let length = u64::from(self.peek.u32(address + u64::from(s.length))?).min(1 << 30);
                    return Ok(Some(Source {
                        characters: address + u64::from(s.chars),
                        width,
                        length,
                    }));
                }
                r if r == s.thin => word = self.peek.word(address + u64::from(s.thin_actual))?,
                // Flattened: the second part is empty.
                r if r == s.cons => word = self.peek.word(address + u64::from(s.cons_first))?,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }
}
