//! Reads the source of scripts, produces lines and columns. Of the source only its line ends are used.

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

/// A line of so many characters says too little: the column is told as well.
const LONG: u64 = 250;

/// Where a position stands in its source, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) line: u32,
    pub(crate) column: u32,
    /// The line is so long that it alone says little.
    pub(crate) long: bool,
}

/// Counts lines and columns as characters pass by.
struct Counter {
    spots: Vec<Spot>,
    line: u32,
    /// Where the line starts, and how many spots stand before it.
    start: u64,
    before: usize,
}

impl Counter {
    const fn new() -> Self {
        Self {
            spots: Vec::new(),
            line: 1,
            start: 0,
            before: 0,
        }
    }

    fn spot(&mut self, at: u64) {
        self.spots.push(Spot {
            line: self.line,
            column: u32::try_from(at - self.start + 1).unwrap_or(u32::MAX),
            long: false,
        });
    }

    /// A character other than the end of a line.
    fn character(&mut self, at: u64) {
        if at - self.start + 1 >= LONG {
            for spot in &mut self.spots[self.before..] {
                spot.long = true;
            }
        }
    }

    fn end_of_line(&mut self, at: u64) {
        self.line += 1;
        self.start = at + 1;
        self.before = self.spots.len();
    }

    /// Whether it is known of every spot how long its line is.
    fn is_settled(&self) -> bool {
        self.spots[self.before..].last().is_none_or(|spot| spot.long)
    }
}

impl Maps<'_> {
    /// Where these positions of a script stand, given in ascending order; none where the source is not in the heap.
    ///
    /// And how long the source is, characters.
    pub(crate) fn spots(&self, script: u64, positions: &[u32]) -> Result<(Vec<Spot>, u64), Refusal> {
        let source = self.peek.word(script + u64::from(self.layout.function.script_source))?;
        let Some(source) = self.source(source)? else {
            return Ok((Vec::new(), 0));
        };
        let mut counter = Counter::new();
        let mut positions = positions.iter().map(|&position| u64::from(position)).peekable();
        let mut buffer = vec![0; CHUNK];
        let mut at = 0;
        while at < source.length && (positions.peek().is_some() || !counter.is_settled()) {
            let characters = (source.length - at).min(CHUNK as u64 / source.width);
            let bytes = &mut buffer[..(characters * source.width) as usize];
            self.peek.memory.read(source.characters + at * source.width, bytes)?;
            for character in bytes.chunks_exact(source.width as usize) {
                while positions.next_if(|&position| position <= at).is_some() {
                    counter.spot(at);
                }
                if character[0] == b'\n' && character.get(1).is_none_or(|&high| high == 0) {
                    counter.end_of_line(at);
                } else {
                    counter.character(at);
                }
                at += 1;
            }
        }
        Ok((counter.spots, source.length))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn spots(text: &str, positions: &[u64]) -> Vec<(u32, u32, bool)> {
        let mut counter = Counter::new();
        for (at, character) in (0..).zip(text.chars()) {
            if positions.contains(&at) {
                counter.spot(at);
            }
            match character {
                '\n' => counter.end_of_line(at),
                _ => counter.character(at),
            }
        }
        let spots = counter.spots.iter();
        spots.map(|spot| (spot.line, spot.column, spot.long)).collect()
    }

    #[test]
    fn a_line_says_enough_unless_it_is_long() {
        let long = "x".repeat(300);
        let text = format!("ab\nabc\n{long}\nab");
        assert_eq!(
            spots(&text, &[1, 5, 9, 200, 309]),
            [
                (1, 2, false),
                (2, 3, false),
                (3, 3, true),
                (3, 194, true),
                (4, 2, false)
            ]
        );
    }
}
