//! Reads an executable, produces whether it is Node.js and which version. Bounded: a malformed or hostile file costs
//! at most `LARGEST_TABLE` bytes of memory and one pass over `LARGEST_SCAN` bytes.
//!
//! What identifies Node.js: the dynamic symbol of `node::Start(int, char**)`, which official builds of 18 to 26 define,
//! also as single-executable applications and after `strip`; a distribution's `node` imports it from libnode.so.N.
//! Bun and Deno define some `v8::` and napi symbols, never this one.

use std::{fs::File, os::unix::fs::FileExt};

use memchr::memmem;
use object::{
    Endianness, elf,
    read::{
        ReadCache, ReadRef,
        elf::{Dyn, FileHeader, ProgramHeader, SectionHeader, Sym},
    },
};

/// Symbol of `node::Start(int, char**)` in the Itanium ABI.
const NODE_START: &[u8] = b"_ZN4node5StartEiPPc";
/// Owner of the note that holds a single-executable application's blob. The section's name, `.note.node.sea` where
/// Node builds it itself, is lost where `postject` injects it.
const SEA_OWNER: &[u8] = b"NODE_SEA_BLOB";
/// What the inspector answers to `/json/version`: the one place where every build spells its version out.
const VERSION_PREFIX: &[u8] = b"node.js/v";
/// Largest symbol or string table read, bytes (Node 26's are 1.1 and 2.7 MB; Bun's 25 MB).
const LARGEST_TABLE: u64 = 64 << 20;
/// Most bytes of `.rodata` searched for the version (Node 26's has 57 MB).
const LARGEST_SCAN: u64 = 256 << 20;

/// What an executable or a library is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// It defines `node::Start`.
    Node {
        /// `major.minor.patch`
        version: Option<String>,
        /// It carries an application.
        single_executable: bool,
    },
    /// It needs `libnode.so.N`, under this name.
    NeedsLibnode(String),
    /// Anything else, a script among it.
    Other,
}

/// Where in an executable it stands that it is Node.js, and which version. A copy of the file on another file system, as each
/// container's is, is known by three short reads; without, its symbols and constants are read, 4 MB of Node.js 24.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Landmarks {
    /// Bytes of the file.
    size: u64,
    /// Offset of the entry of `node::Start` in the table of symbols, and the entry.
    symbol: (u64, Vec<u8>),
    /// Offset of the symbol's name.
    name: u64,
    /// Offset of the version, behind what precedes it, and the version.
    version: (u64, String),
}

impl Landmarks {
    /// Whether they stand in this file of so many bytes, too.
    fn stand_in(&self, file: &File, size: u64) -> bool {
        if size != self.size {
            return false;
        }
        let has = |at: u64, expected: &[u8]| {
            let mut bytes = vec![0; expected.len()];
            file.read_exact_at(&mut bytes, at).is_ok() && bytes == expected
        };
        let (symbol, version) = (&self.symbol, &self.version);
        let named = [NODE_START, b"\0"].concat();
        let versioned = [VERSION_PREFIX, version.1.as_bytes()].concat();
        has(symbol.0, &symbol.1) && has(self.name, &named) && has(version.0 - VERSION_PREFIX.len() as u64, &versioned)
    }
}

/// Why an executable could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// Its tables lead outside the file or are larger than any real one's.
    #[error("the ELF tables are damaged or oversized: {0}")]
    Malformed(#[from] object::read::Error),
    /// It could not be read.
    #[error("cannot read the executable: {0}")]
    Read(#[from] std::io::Error),
}

/// Judges a file.
///
/// # Errors
///
/// Where it cannot be read, or its tables lead outside of it.
pub fn inspect(file: &File) -> Result<Image, ElfError> {
    Ok(inspect_like(file, &[])?.0)
}

/// Judges a file that may be a copy of one that was judged before; tells what other copies are known by, where that is new.
pub(crate) fn inspect_like(file: &File, known: &[Landmarks]) -> Result<(Image, Option<Landmarks>), ElfError> {
    let mut ident = [0; 5];
    match file.read_exact_at(&mut ident, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok((Image::Other, None)),
        Err(error) => return Err(error.into()),
    }
    match ident {
        [0x7f, b'E', b'L', b'F', elf::ELFCLASS64] => judge::<elf::FileHeader64<Endianness>>(file, known),
        [0x7f, b'E', b'L', b'F', elf::ELFCLASS32] => judge::<elf::FileHeader32<Endianness>>(file, known),
        _ => Ok((Image::Other, None)),
    }
}

fn judge<Elf: FileHeader<Endian = Endianness>>(
    file: &File,
    known: &[Landmarks],
) -> Result<(Image, Option<Landmarks>), ElfError> {
    let cache = ReadCache::new(file.try_clone()?);
    let data = &cache;
    let header = Elf::parse(data)?;
    let endian = header.endian()?;
    let size = file.metadata()?.len();
    let node = |version: Option<String>| Image::Node {
        version,
        single_executable: has_application::<Elf>(header, endian, data),
    };
    if let Some(known) = known.iter().find(|known| known.stand_in(file, size)) {
        return Ok((node(Some(known.version.1.clone())), None));
    }
    let sections = header.sections(endian, data)?;
    let Some(table) = sections
        .iter()
        .find(|section| section.sh_type(endian) == elf::SHT_DYNSYM)
    else {
        return Ok((Image::Other, None)); // linked statically, or stripped of its section table
    };
    let names = sections.section(table.link(endian))?;
    for table in [table, names] {
        if table.file_range(endian).is_some_and(|(_, size)| size > LARGEST_TABLE) {
            return Err(too_large());
        }
    }
    let strings = names.data(endian, data)?;
    let symbols: &[Elf::Sym] = table.data_as_array(endian, data)?;
    let definition = |offset: usize| {
        let index = symbols.iter().position(|symbol| {
            symbol.st_name(endian) as usize == offset
                && symbol.st_shndx(endian) != elf::SHN_UNDEF
                && symbol.st_type() == elf::STT_FUNC
        });
        index.map(|index| (index, offset))
    };
    let ends = |offset: &usize| strings.get(offset + NODE_START.len()) == Some(&0);
    let start = memmem::find_iter(strings, NODE_START).filter(ends).find_map(definition);
    if let Some((index, offset)) = start {
        let rodata = sections
            .section_by_name(endian, b".rodata")
            .and_then(|(_, section)| section.file_range(endian));
        let version = rodata.and_then(|(offset, size)| version(file, offset, size.min(LARGEST_SCAN)));
        let image = node(version.as_ref().map(|(_, version)| version.clone()));
        let landmarks = || {
            let length = size_of::<Elf::Sym>();
            let at = table.file_range(endian)?.0 + (index * length) as u64;
            Some(Landmarks {
                size,
                symbol: (at, data.read_bytes_at(at, length as u64).ok()?.to_vec()),
                name: names.file_range(endian)?.0 + offset as u64,
                version: version?,
            })
        };
        return Ok((image, landmarks()));
    }
    let Some((entries, _)) = sections.dynamic(endian, data)? else {
        return Ok((Image::Other, None));
    };
    let needed = entries
        .iter()
        .filter(|entry| entry.tag32(endian).map(i64::from) == Some(elf::DT_NEEDED))
        .find_map(|entry| {
            let name = strings.get(entry.val32(endian)? as usize..)?;
            let name = name.get(..memchr::memchr(0, name)?)?;
            name.starts_with(b"libnode.so")
                .then(|| String::from_utf8_lossy(name).into_owned())
        });
    Ok((needed.map_or(Image::Other, Image::NeedsLibnode), None))
}

fn too_large() -> ElfError {
    std::io::Error::new(
        std::io::ErrorKind::FileTooLarge,
        "its symbol tables are larger than any real one's",
    )
    .into()
}

/// Whether a note of [`SEA_OWNER`] is loaded: that is how Node itself finds its application. Only the notes' headers
/// are read, since an application can be hundreds of megabytes.
fn has_application<Elf: FileHeader<Endian = Endianness>>(
    header: &Elf,
    endian: Endianness,
    data: &ReadCache<File>,
) -> bool {
    let Ok(segments) = header.program_headers(endian, data) else {
        return false;
    };
    segments
        .iter()
        .filter(|segment| segment.p_type(endian) == elf::PT_NOTE)
        .any(|segment| {
            let (mut at, size) = segment.file_range(endian);
            let end = at.saturating_add(size);
            // elf(5): name size, descriptor size, type; then both, each padded to 4 bytes.
            for _ in 0..64 {
                if at.saturating_add(12) > end {
                    return false;
                }
                let Ok(head) = data.read_bytes_at(at, 12) else {
                    return false;
                };
                let word = |at: usize| endian.u32(head, at);
                let (Some(name), Some(descriptor)) = (word(0), word(4)) else {
                    return false;
                };
                if name as usize == SEA_OWNER.len() + 1
                    && data
                        .read_bytes_at(at + 12, u64::from(name))
                        .is_ok_and(|owner| owner.starts_with(SEA_OWNER))
                {
                    return true;
                }
                at = at.saturating_add(12 + padded(name) + padded(descriptor));
            }
            false
        })
}

const fn padded(size: u32) -> u64 {
    (size as u64).next_multiple_of(4)
}

/// Reads one 32-bit word.
trait Words {
    fn u32(self, bytes: &[u8], at: usize) -> Option<u32>;
}

impl Words for Endianness {
    fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let word = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(word),
            Self::Big => u32::from_be_bytes(word),
        })
    }
}

/// Searches `.rodata` for the version, window by window; tells where it stands in the file.
fn version(file: &File, start: u64, size: u64) -> Option<(u64, String)> {
    const WINDOW: usize = 1 << 20;
    const LONGEST: usize = 64;
    let finder = memmem::Finder::new(VERSION_PREFIX);
    let mut window = vec![0; WINDOW + LONGEST];
    let mut at = 0;
    while at < size {
        // Windows overlap by the longest match.
        let want = usize::try_from(size - at).unwrap_or(usize::MAX).min(window.len());
        let read = read_up_to(file, &mut window[..want], start + at)?;
        let bytes = &window[..read];
        for found in finder.find_iter(bytes) {
            let behind = found + VERSION_PREFIX.len();
            if let Some(version) = leading_version(&bytes[behind..]) {
                return Some((start + at + behind as u64, version));
            }
        }
        at += WINDOW as u64;
    }
    None
}

fn read_up_to(file: &File, buffer: &mut [u8], at: u64) -> Option<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64).ok()? {
            0 => break,
            read => filled += read,
        }
    }
    Some(filled)
}

/// `major.minor.patch` at the start of `bytes`; what follows (a pre-release, the next string) is not part of it.
fn leading_version(bytes: &[u8]) -> Option<String> {
    let end = bytes
        .iter()
        .position(|b| !b.is_ascii_digit() && *b != b'.')
        .unwrap_or(bytes.len())
        .min(32);
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
    let (major, minor, patch) = (parts.next()??, parts.next()??, parts.next()??);
    Some(format!("{major}.{minor}.{patch}"))
}
