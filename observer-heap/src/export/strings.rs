//! Reads names and strings, produces the `strings` of a snapshot: names from code as they are; contents by length and salted hash
//! unless they are asked for.
//!
//! Strings are written to a file as they come: of them only names from code are kept in memory, so that each stands there once.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};

use crate::layout::maps::Maps;
use crate::layout::refusal::Refusal;

/// Characters of a string that are hashed, or written where contents are asked for: as many as V8 writes
/// (`--heap-snapshot-string-limit`).
const MOST_CHARACTERS: usize = 1024;
/// Names kept; further ones are written as often as they come.
const MOST_NAMES: usize = 1 << 18;

/// What tells contents apart without showing them, for one sitting.
pub(crate) struct Privacy {
    /// Contents are written.
    with_strings: bool,
    /// Hashes with a random key, which is kept nowhere.
    salt: RandomState,
}

impl Privacy {
    pub(crate) fn new(with_strings: bool) -> Self {
        Self {
            with_strings,
            salt: RandomState::new(),
        }
    }

    fn told(&self, what: &str, length: u32, characters: &[u16]) -> String {
        if self.with_strings {
            return String::from_utf16_lossy(characters);
        }
        let hash = self.salt.hash_one((length, characters)) as u32;
        format!("({what}, {length} characters, #{hash:08x})")
    }
}

/// The table of strings.
pub(crate) struct Strings<'s, W: Write> {
    out: W,
    privacy: &'s Privacy,
    names: HashMap<String, u32>,
    count: u32,
    failed: Option<io::Error>,
}

impl<'s, W: Write> Strings<'s, W> {
    pub(crate) fn new(out: W, privacy: &'s Privacy) -> Self {
        Self {
            out,
            privacy,
            names: HashMap::new(),
            count: 0,
            failed: None,
        }
    }

    /// Adds a string, whether or not it is there.
    fn push(&mut self, text: &str) -> u32 {
        if self.failed.is_none()
            && let Err(error) = self.write(text)
        {
            self.failed = Some(error);
        }
        let index = self.count;
        self.count = self.count.saturating_add(1);
        index
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        if self.count > 0 {
            self.out.write_all(b",\n")?;
        }
        serde_json::to_writer(&mut self.out, text)?;
        Ok(())
    }

    /// The index of a name from code.
    pub(crate) fn name(&mut self, text: &str) -> u32 {
        if let Some(&index) = self.names.get(text) {
            return index;
        }
        let index = self.push(text);
        if self.names.len() < MOST_NAMES {
            self.names.insert(text.to_owned(), index);
        }
        index
    }

    /// The index of a string's contents.
    pub(crate) fn contents(&mut self, maps: &Maps<'_>, what: &str, address: u64) -> Result<u32, Refusal> {
        let length = maps.string_length(address)?;
        let told = match maps.characters(address + 1, MOST_CHARACTERS)? {
            Some(characters) => self.privacy.told(what, length, &characters),
            None => format!("({what} outside the heap, {length} characters)"),
        };
        Ok(self.push(&told))
    }

    /// The index of a property's name: as it is when it comes from code, else like contents.
    pub(crate) fn key(&mut self, maps: &Maps<'_>, key: u64, is_data: bool) -> Result<u32, Refusal> {
        if (!is_data || self.privacy.with_strings)
            && let Some(name) = maps.property(key)?
        {
            return Ok(match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
                Some(symbol) => self.name(&format!("<symbol {symbol}>")),
                None => self.name(&name),
            });
        }
        let Some(map) = maps.of(key.wrapping_sub(1))? else {
            return Ok(self.name("(key)"));
        };
        if map.instance_type >= maps.layout.string.first_nonstring {
            return Ok(self.name("<symbol>"));
        }
        self.contents(maps, "key", key - 1)
    }

    /// How many there are, when all could be written.
    pub(crate) fn finish(mut self) -> io::Result<u32> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.out.flush()?;
        Ok(self.count)
    }
}
