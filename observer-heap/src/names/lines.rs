//! Reads the source of scripts, produces line numbers. Of the source only its line ends are used.

use crate::layout::maps::Maps;
use crate::layout::refusal::Refusal;
use crate::memory::peek::strong;

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

impl Maps<'_> {
    /// In which line each of these positions of a script stands, given in ascending order; none where the source is not in
    /// the heap.
    pub(crate) fn line_numbers(&self, script: u64, positions: &[u32]) -> Result<Vec<u32>, Refusal> {
        let source = self.peek.word(script + u64::from(self.layout.function.script_source))?;
        let Some(source) = self.source(source)? else {
            return Ok(Vec::new());
        };
        let mut lines = Vec::with_capacity(positions.len());
        let mut positions = positions.iter().map(|&position| u64::from(position)).peekable();
        let mut buffer = vec![0; CHUNK];
        let (mut at, mut line) = (0, 1);
        while at < source.length && positions.peek().is_some() {
            let characters = (source.length - at).min(CHUNK as u64 / source.width);
            let bytes = &mut buffer[..(characters * source.width) as usize];
            self.peek.memory.read(source.characters + at * source.width, bytes)?;
            for character in bytes.chunks_exact(source.width as usize) {
                while positions.next_if(|&position| position <= at).is_some() {
                    lines.push(line);
                }
                line += u32::from(character[0] == b'\n' && character.get(1).is_none_or(|&high| high == 0));
                at += 1;
            }
        }
        Ok(lines)
    }

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
