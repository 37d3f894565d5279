//! Follows pointers to names: of strings, functions, scripts, constructors, properties. Only names from code come out of
//! here; a name is cut at 80 characters, and one that is no identifier is not shown as a property's.

use crate::layout::maps::{MapInfo, Maps};
use crate::layout::refusal::Refusal;
use crate::memory::peek::{TAG_MASK, smi, strong};

/// Where a symbol has its flags, and its description behind them (src/objects/symbols.tq, V8 10 to 14).
const SYMBOL_FLAGS: u64 = 12;
const SYMBOL_DESCRIPTION: u64 = 16;

/// The longest name shown, characters.
const LONGEST: usize = 160;
/// Indirections followed from one string to the characters.
const MOST_HOPS: u32 = 16;

/// A function, by where it stands in the source.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Function {
    /// Empty for an anonymous one.
    pub(crate) name: String,
    /// The script's name as Node gives it: a path, a file URL, `node:net`.
    pub(crate) file: Option<String>,
    /// Address of the Script, to count lines.
    pub(crate) script: Option<u64>,
    /// Where it starts, in characters of the source.
    pub(crate) position: Option<u32>,
}

impl Maps<'_> {
    /// The characters of a string, as far as they stand in the heap.
    pub(crate) fn text(&self, word: u64) -> Result<Option<String>, Refusal> {
        let mut out = Vec::new();
        Ok(self
            .append(word, 0, LONGEST, &mut out, MOST_HOPS)?
            .then(|| String::from_utf16_lossy(&out)))
    }

    /// Characters of a string in the heap.
    pub(crate) fn string_length(&self, address: u64) -> Result<u32, Refusal> {
        Ok(self.peek.u32(address + u64::from(self.layout.string.length))?)
    }

    /// The first characters of a string, at most `most`, when they stand in the heap.
    pub(crate) fn characters(&self, word: u64, most: usize) -> Result<Option<Vec<u16>>, Refusal> {
        let mut out = Vec::new();
        Ok(self.append(word, 0, most, &mut out, MOST_HOPS)?.then_some(out))
    }

    fn append(&self, word: u64, skip: usize, limit: usize, out: &mut Vec<u16>, hops: u32) -> Result<bool, Refusal> {
        let s = &self.layout.string;
        let Some(address) = strong(word).filter(|_| hops > 0) else {
            return Ok(false);
        };
        let Some(map) = self.of(address)?.filter(|map| map.instance_type < s.first_nonstring) else {
            return Ok(false);
        };
        let length = self.peek.u32(address + u64::from(s.length))? as usize;
        let wanted = length.saturating_sub(skip).min(limit.saturating_sub(out.len()));
        let next = |offset: u32| self.peek.word(address + u64::from(offset));
        match map.instance_type & s.representation_mask {
            0 => self.sequential(map, address, skip, wanted, out).map(|()| true),
            r if r == s.thin => self.append(next(s.thin_actual)?, skip, limit, out, hops - 1),
            r if r == s.sliced => {
                let offset = smi(next(s.sliced_offset)?)
                    .and_then(|n| usize::try_from(n).ok())
                    .unwrap_or(0);
                let limit = out.len() + wanted;
                self.append(next(s.sliced_parent)?, skip + offset, limit, out, hops - 1)
            }
            r if r == s.cons && skip == 0 => Ok(self.append(next(s.cons_first)?, 0, limit, out, hops - 1)?
                && (out.len() >= limit || self.append(next(s.cons_second)?, 0, limit, out, hops - 1)?)),
            _ => Ok(false),
        }
    }

    fn sequential(
        &self,
        map: MapInfo,
        address: u64,
        skip: usize,
        wanted: usize,
        out: &mut Vec<u16>,
    ) -> Result<(), Refusal> {
        let s = &self.layout.string;
        let chars = address + u64::from(s.chars);
        if map.instance_type & s.one_byte != 0 {
            let mut bytes = vec![0; wanted];
            self.peek.bytes(chars + skip as u64, &mut bytes)?;
            out.extend(bytes.into_iter().map(u16::from));
        } else {
            let mut bytes = vec![0; wanted * 2];
            self.peek.bytes(chars + 2 * skip as u64, &mut bytes)?;
            out.extend(bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)));
        }
        Ok(())
    }

    /// The function a SharedFunctionInfo describes; nothing when there is none at the address.
    pub(crate) fn function(&self, shared: u64) -> Result<Option<Function>, Refusal> {
        let layout = &self.layout.function;
        let types = &self.layout.types;
        if self
            .of(shared)?
            .is_none_or(|map| map.instance_type != types.shared_function_info)
        {
            return Ok(None);
        }
        let mut function = Function::default();
        let mut inferred = None;
        if let Some(at) = layout.name_or_scope_info {
            let word = self.peek.word(shared + u64::from(at))?;
            let target = strong(word)
                .map(|address| self.of(address).map(|map| (address, map)))
                .transpose()?;
            match target {
                Some((_, Some(map))) if map.instance_type < self.layout.string.first_nonstring => {
                    function.name = self.text(word)?.unwrap_or_default();
                }
                Some((address, Some(map))) if map.instance_type == types.scope_info => {
                    let info = self.scope_info(address)?;
                    function.name = info
                        .name
                        .map(|name| self.text(name))
                        .transpose()?
                        .flatten()
                        .unwrap_or_default();
                    function.position = info.start;
                    inferred = info.inferred;
                }
                _ => {}
            }
        }
        if let (None, Some(data)) = (function.position, self.uncompiled(shared)?) {
            let at = |offset: Option<u32>| offset.map(|offset| data + u64::from(offset));
            function.position = at(layout.uncompiled_start).map(|at| self.peek.u32(at)).transpose()?;
            inferred = at(layout.uncompiled_inferred_name)
                .map(|at| self.peek.word(at))
                .transpose()?;
        }
        if function.name.is_empty() {
            function.name = inferred
                .map(|name| self.text(name))
                .transpose()?
                .flatten()
                .unwrap_or_default();
        }
        if let Some(at) = layout.token_offset
            && let Some(position) = &mut function.position
        {
            // The position is that of the parameters; the token `function` or the name stands so much before it.
            *position = position.saturating_sub(u32::from(self.peek.u16(shared + u64::from(at))?));
        }
        function.script = self.script(shared)?;
        if let Some(script) = function.script {
            function.file = self
                .text(self.peek.word(script + u64::from(layout.script_name))?)?
                .filter(|name| !name.is_empty());
        }
        Ok(Some(function))
    }

    fn script(&self, shared: u64) -> Result<Option<u64>, Refusal> {
        let Some(at) = self.layout.function.script else {
            return Ok(None);
        };
        let Some(script) = strong(self.peek.word(shared + u64::from(at))?) else {
            return Ok(None);
        };
        Ok(self
            .of(script)?
            .filter(|map| map.instance_type == self.layout.types.script)
            .map(|_| script))
    }

    /// The UncompiledData of a function that never ran: its `function_data` (until V8 11), or another of its first words.
    fn uncompiled(&self, shared: u64) -> Result<Option<u64>, Refusal> {
        for offset in [8, 16] {
            if let Some(address) = strong(self.peek.word(shared + offset)?)
                && let Some(map) = self.of(address)?
                && self
                    .layout
                    .type_names
                    .get(&map.instance_type)
                    .is_some_and(|name| name.starts_with("UncompiledData"))
            {
                return Ok(Some(address));
            }
        }
        Ok(None)
    }

    /// The names of the first properties of a map's objects, in order, at most `most`.
    pub(crate) fn shape(&self, map: u64, most: u32) -> Result<Vec<String>, Refusal> {
        let mut names = Vec::new();
        for index in 0..self.own_descriptors(map)?.min(most) {
            names.push(self.descriptor_name(map, index)?.unwrap_or_else(|| "…".to_owned()));
        }
        Ok(names)
    }

    pub(crate) fn own_descriptors(&self, map: u64) -> Result<u32, Refusal> {
        let layout = &self.layout.map;
        let bits = self.peek.u32(map + u64::from(layout.bit_field3))?;
        Ok((bits & layout.own_descriptors_mask) >> layout.own_descriptors_shift)
    }

    pub(crate) fn is_dictionary(&self, map: u64) -> Result<bool, Refusal> {
        let bits = self.peek.u32(map + u64::from(self.layout.map.bit_field3))?;
        Ok(bits >> self.layout.map.dictionary_shift & 1 == 1)
    }

    /// Where in-object properties begin, and how many there are, in words.
    pub(crate) fn inobject(&self, map: u64) -> Result<(u64, u64), Refusal> {
        let size = u64::from(self.peek.u8(map + u64::from(self.layout.map.size_in_words))?);
        let start = u64::from(self.peek.u8(map + u64::from(self.layout.map.inobject_start))?);
        Ok((start, size.saturating_sub(start)))
    }

    /// The name of the property stored as a map's field with this index (in-object ones first).
    pub(crate) fn field_name(&self, map: u64, field: u64) -> Result<Option<String>, Refusal> {
        let layout = &self.layout;
        let Some(array) = strong(self.peek.word(map + u64::from(layout.map.descriptors))?) else {
            return Ok(None);
        };
        for index in 0..self.own_descriptors(map)? {
            if self.field_index(map, index)? == Some(field) {
                return self.property(
                    self.peek
                        .word(array + u64::from(layout.descriptors_header) + 24 * u64::from(index))?,
                );
            }
        }
        Ok(None)
    }

    /// The field in which one own property of a map's objects is stored (in-object ones first), if it is in one.
    pub(crate) fn field_index(&self, map: u64, index: u32) -> Result<Option<u64>, Refusal> {
        let layout = &self.layout;
        let Some(array) = strong(self.peek.word(map + u64::from(layout.map.descriptors))?) else {
            return Ok(None);
        };
        let entry = array + u64::from(layout.descriptors_header) + 24 * u64::from(index);
        let details = smi(self.peek.word(entry + 8)?).map(i32::cast_unsigned);
        let stored = details.filter(|details| details & layout.details.location_mask == layout.details.location_field);
        Ok(stored.map(|details| u64::from((details & layout.details.index_mask) >> layout.details.index_shift)))
    }

    /// The name of one own property of a map's objects, if it is an identifier.
    pub(crate) fn descriptor_name(&self, map: u64, index: u32) -> Result<Option<String>, Refusal> {
        match self.descriptor_key(map, index)? {
            Some(key) => self.property(key),
            None => Ok(None),
        }
    }

    /// The name of one own property of a map's objects, as a tagged pointer.
    pub(crate) fn descriptor_key(&self, map: u64, index: u32) -> Result<Option<u64>, Refusal> {
        let layout = &self.layout;
        let Some(array) = strong(self.peek.word(map + u64::from(layout.map.descriptors))?) else {
            return Ok(None);
        };
        let at = array + u64::from(layout.descriptors_header) + 24 * u64::from(index);
        Ok(Some(self.peek.word(at)?))
    }

    /// A property's name, if it is an identifier: other keys may be data.
    pub(crate) fn property(&self, key: u64) -> Result<Option<String>, Refusal> {
        let Some(address) = strong(key).filter(|_| key & TAG_MASK == 1) else {
            return Ok(None);
        };
        let map = self.of(address)?;
        let is_symbol = map.is_some_and(|map| map.instance_type == self.layout.string.first_nonstring);
        let text = if is_symbol {
            self.text(self.peek.word(address + SYMBOL_DESCRIPTION)?)?
        } else {
            self.text(key)?
        };
        let text = text.filter(|text| is_identifier(text));
        // The lowest of a symbol's flags (src/objects/symbols.tq, `is_private`): the name of a private field is one of those.
        let is_private = is_symbol && self.peek.u32(address + SYMBOL_FLAGS)? & 1 != 0;
        Ok(text.map(|text| match is_symbol {
            true if is_private && text.starts_with('#') => text,
            true => format!("[{text}]"),
            false => text,
        }))
    }
}

fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    text.len() <= 48
        && chars
            .next()
            .is_some_and(|c| c.is_alphabetic() || matches!(c, '_' | '$' | '#'))
        && chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '.' | ':'))
}

#[cfg(test)]
mod tests {
    use super::is_identifier;

    #[test]
    fn only_identifiers_are_names() {
        assert!(
            ["_events", "$a", "#private", "kHandle", "naïve"]
                .iter()
                .all(|name| is_identifier(name))
        );
        assert!(
            ["", "1a", "a b", "user@example.com", "a-b"]
                .iter()
                .all(|name| !is_identifier(name))
        );
    }
}
