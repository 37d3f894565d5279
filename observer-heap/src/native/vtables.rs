//! Reads the symbols of executables and libraries, produces which words are the address of a C++ class's virtual table, and
//! the class's name.
//!
//! By the Itanium ABI (2.5.2) an object with virtual functions begins with an address inside its class's table, which the symbol
//! `_ZTV` and the class's name stands for: 16 bytes behind its beginning, or further where the class has several bases.

use std::fs::File;

use object::{
    Endianness, elf,
    read::{
        ReadCache, ReadRef,
        elf::{FileHeader, ProgramHeader, SectionHeader, Sym},
    },
};

/// Largest symbol or string table read, bytes.
const LARGEST_TABLE: u64 = 64 << 20;
/// Classes of all files together; Node.js has some 3,500.
const MOST_CLASSES: usize = 1 << 17;
const PREFIX: &[u8] = b"_ZTV";
/// Bytes of a table before what an object points at.
const HEAD: u64 = 16;

/// The tables of all classes, by address.
#[derive(Debug, Default)]
pub struct Vtables {
    /// First and one past the last address that an object may begin with, and the number of its name.
    tables: Vec<(u64, u64, u32)>,
    names: Vec<Vec<u8>>,
}

impl Vtables {
    /// Adds those of a file of which the byte `offset` is mapped at `address`. A file that is none, or has no symbols, adds nothing.
    pub fn add(&mut self, file: File, address: u64, offset: u64) {
        let cache = ReadCache::new(file);
        // What cannot be parsed has no classes to tell.
        let _ = self.parse(&cache, address, offset);
        self.tables.sort_unstable();
        self.tables.dedup_by_key(|table| table.0);
    }

    fn parse<'d, R: ReadRef<'d>>(&mut self, data: R, address: u64, offset: u64) -> object::Result<()> {
        let header = elf::FileHeader64::<Endianness>::parse(data)?;
        let endian = header.endian()?;
        let segments = header.program_headers(endian, data)?;
        let bias = segments.iter().find_map(|segment| {
            let (from, size) = segment.file_range(endian);
            // The kernel maps whole pages.
            let contains = segment.p_type(endian) == elf::PT_LOAD && (from & !0xfff..from + size).contains(&offset);
            let virtual_address = segment.p_vaddr(endian).wrapping_add(offset).wrapping_sub(from);
            contains.then(|| address.wrapping_sub(virtual_address))
        });
        let Some(bias) = bias else { return Ok(()) };
        let sections = header.sections(endian, data)?;
        for kind in [elf::SHT_SYMTAB, elf::SHT_DYNSYM] {
            let Some(symbols) = sections.iter().find(|section| section.sh_type(endian) == kind) else {
                continue;
            };
            let strings = sections.section(symbols.link(endian))?;
            let too_large = |section: &elf::SectionHeader64<Endianness>| {
                section.file_range(endian).is_none_or(|(_, size)| size > LARGEST_TABLE)
            };
            if too_large(symbols) || too_large(strings) {
                continue;
            }
            let strings = strings.data(endian, data)?;
            let symbols: &[elf::Sym64<Endianness>] = symbols.data_as_array(endian, data)?;
            for symbol in symbols {
                let name = strings.get(symbol.st_name(endian) as usize..).unwrap_or_default();
                if !name.starts_with(PREFIX) || symbol.st_shndx(endian) == elf::SHN_UNDEF {
                    continue;
                }
                let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
                let start = symbol.st_value(endian).wrapping_add(bias);
                self.insert(start, symbol.st_size(endian), &name[..end]);
            }
        }
        Ok(())
    }

    fn insert(&mut self, start: u64, size: u64, name: &[u8]) {
        if self.names.len() < MOST_CLASSES && size > HEAD {
            self.tables.push((
                start.saturating_add(HEAD),
                start.saturating_add(size),
                self.names.len() as u32,
            ));
            self.names.push(name.to_vec());
        }
    }

    /// Whether no class is known.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The class of an object that begins with this word.
    pub(super) fn class(&self, word: u64) -> Option<u32> {
        if !word.is_multiple_of(8) {
            return None;
        }
        let at = self.tables.partition_point(|table| table.0 <= word);
        let table = self.tables.get(at.checked_sub(1)?)?;
        (word < table.1).then_some(table.2)
    }

    /// A class's name as C++ spells it.
    pub(super) fn name(&self, class: u32) -> String {
        let mangled = self.names.get(class as usize).map_or(&[][..], Vec::as_slice);
        let spelt = cpp_demangle::Symbol::new(mangled)
            .ok()
            .and_then(|symbol| symbol.demangle().ok());
        let spelt = spelt.unwrap_or_else(|| String::from_utf8_lossy(mangled).into_owned());
        let name = spelt
            .strip_prefix("{vtable(")
            .and_then(|name| name.strip_suffix(")}"))
            .or_else(|| spelt.strip_prefix("vtable for "))
            .unwrap_or(&spelt);
        name.to_owned()
    }
}

#[cfg(test)]
impl Vtables {
    pub(super) fn of(tables: &[(u64, u64, &str)]) -> Self {
        let mut vtables = Self::default();
        for (start, size, name) in tables {
            vtables.insert(*start, *size, name.as_bytes());
        }
        vtables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_inside_a_table_is_its_class() {
        let vtables = Vtables::of(&[
            (0x1000, 64, "_ZTVN4node10ZlibStreamE"),
            (0x2000, 16, "_ZTV5Empty"),
            (0x3000, 40, "_ZTVN12_GLOBAL__N_13OneE"),
        ]);
        let name = |word| vtables.class(word).map(|class| vtables.name(class));
        assert_eq!(name(0x1010).as_deref(), Some("node::ZlibStream"));
        assert_eq!(name(0x1038).as_deref(), Some("node::ZlibStream"), "of a second base");
        assert_eq!(name(0x3010).as_deref(), Some("(anonymous namespace)::One"));
        for word in [0x1000, 0x1008, 0x1040, 0x1014, 0x2010, 0x500] {
            assert_eq!(name(word), None, "{word:x}");
        }
    }

    #[test]
    fn what_is_no_elf_file_adds_nothing() {
        let mut vtables = Vtables::default();
        vtables.add(File::open("/dev/null").unwrap(), 0, 0);
        assert!(vtables.is_empty());
    }
}
