//! Reads the dynamic symbols of a Node.js executable (or libnode), produces what V8 publishes about its own layout.
//!
//! V8 exports integers named `v8dbg_*` for postmortem debuggers (tools/gen-postmortem-metadata.py in its tree): instance
//! types, field offsets, bit masks. `strip` does not remove them. Names carry the field's C++ type, which changes between
//! versions (`script_or_debug_info__HeapObject`, `raw_script__Tagged_Object_`); a field is therefore looked up by its
//! class and name alone.

use std::collections::BTreeMap;

use object::read::elf::{ElfFile64, FileHeader};
use object::{Object, ObjectSection, ObjectSymbol, ReadCache, ReadRef, elf};
use thiserror::Error;

/// No field of V8's own objects stands further behind.
const LARGEST_OFFSET: u32 = 1 << 11;

/// Why a file offers no metadata.
#[derive(Debug, Error)]
pub enum MetadataError {
    /// Not a 64-bit little-endian ELF file.
    #[error("not a 64-bit ELF file: {0}")]
    Elf(#[from] object::Error),
    /// An ELF file without V8's symbols: not Node.js, or a build without postmortem metadata.
    #[error("no v8dbg_ symbols: this is not Node.js, or a build without V8's postmortem metadata")]
    NotPublished,
}

/// The integers V8 publishes about itself, by name without the `v8dbg_` prefix.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    values: BTreeMap<String, i32>,
}

impl Metadata {
    /// Parses an ELF file.
    pub fn parse<'d, R: ReadRef<'d>>(data: R) -> Result<Self, MetadataError> {
        let file = ElfFile64::<object::Endianness, R>::parse(data)?;
        if file.elf_header().e_machine(file.endian()) != elf::EM_X86_64
            && file.elf_header().e_machine(file.endian()) != elf::EM_AARCH64
        {
            return Err(MetadataError::NotPublished);
        }
        let mut values = BTreeMap::new();
        for symbol in file.dynamic_symbols() {
            let Some(name) = symbol.name().ok().and_then(|name| name.strip_prefix("v8dbg_")) else {
                continue;
            };
            let Some(section) = symbol
                .section_index()
                .and_then(|index| file.section_by_index(index).ok())
            else {
                continue;
            };
            // A value of zero is placed in .bss, which has no bytes in the file.
            let value = match section.data_range(symbol.address(), 4) {
                Ok(Some(bytes)) => <[u8; 4]>::try_from(bytes).map_or(0, i32::from_le_bytes),
                _ => 0,
            };
            values.insert(name.to_owned(), value);
        }
        if values.is_empty() {
            Err(MetadataError::NotPublished)
        } else {
            Ok(Self { values })
        }
    }

    /// Parses an ELF file without reading more of it than its symbols.
    pub fn of_file(file: std::fs::File) -> Result<Self, MetadataError> {
        Self::parse(&ReadCache::new(file))
    }

    /// Builds metadata from `(name, value)` pairs, names without the `v8dbg_` prefix.
    pub fn from_values(values: impl IntoIterator<Item = (String, i32)>) -> Self {
        Self {
            values: values.into_iter().collect(),
        }
    }

    /// All `(name, value)` pairs, sorted by name.
    pub fn values(&self) -> impl Iterator<Item = (&str, i32)> {
        self.values.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// How many integers were published.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether nothing was published.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The same metadata as a version would publish it that had lost every name for which `lost` says so.
    #[must_use]
    pub fn without(mut self, lost: impl Fn(&str) -> bool) -> Self {
        self.values.retain(|name, _| !lost(name));
        self
    }

    /// One value by its full name.
    pub fn get(&self, name: &str) -> Option<i32> {
        self.values.get(name).copied()
    }

    /// The byte offset of a field, whatever C++ type its symbol carries; nothing when two symbols disagree.
    pub fn field(&self, class: &str, field: &str) -> Option<u32> {
        self.unanimous(&format!("class_{class}__{field}__"))
            .and_then(|offset| u32::try_from(offset).ok())
    }

    /// The instance type of a class that has exactly one.
    pub fn instance_type(&self, class: &str) -> Option<u16> {
        self.unanimous(&format!("type_{class}__"))
            .and_then(|value| u16::try_from(value).ok())
    }

    /// Every `(instance type, class)`.
    pub fn instance_types(&self) -> impl Iterator<Item = (u16, &str)> {
        self.values().filter_map(|(name, value)| {
            let (class, _) = name.strip_prefix("type_")?.split_once("__")?;
            Some((u16::try_from(value).ok()?, class))
        })
    }

    /// Offset and name of every field that may hold a pointer, by class.
    pub fn fields(&self) -> BTreeMap<String, Vec<(u32, String)>> {
        let mut fields = BTreeMap::<String, Vec<(u32, String)>>::new();
        for (name, value) in self.values() {
            let mut parts = name.strip_prefix("class_").unwrap_or_default().splitn(3, "__");
            if let (Some(class), Some(field), Some(_), Ok(offset)) =
                (parts.next(), parts.next(), parts.next(), u32::try_from(value))
                && offset.is_multiple_of(8)
                && (8..LARGEST_OFFSET).contains(&offset)
            {
                fields
                    .entry(class.to_owned())
                    .or_default()
                    .push((offset, field.to_owned()));
            }
        }
        fields
    }

    fn unanimous(&self, prefix: &str) -> Option<i32> {
        let mut found = self
            .values
            .range(prefix.to_owned()..)
            .take_while(|(name, _)| name.starts_with(prefix));
        let (_, &first) = found.next()?;
        found.all(|(_, &other)| other == first).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_under_any_type_but_not_when_symbols_disagree() {
        let metadata = Metadata::from_values([
            ("class_Map__native_context__Object".to_owned(), 32),
            ("class_Map__native_context_or_null__Object".to_owned(), 40),
            ("class_A__b__X".to_owned(), 8),
            ("class_A__b__Y".to_owned(), 16),
        ]);
        assert_eq!(metadata.field("Map", "native_context"), Some(32));
        assert_eq!(metadata.field("A", "b"), None);
        assert_eq!(metadata.field("A", "c"), None);
    }

    #[test]
    fn other_files_are_refused() {
        assert!(matches!(
            Metadata::parse(&b"#!/bin/sh\n"[..]),
            Err(MetadataError::Elf(_))
        ));
    }
}
