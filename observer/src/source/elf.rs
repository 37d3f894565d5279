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
pub fn inspect(file: &File) -> Result<Image, ElfError> {
    let mut ident = [0; 5];
    match file.read_exact_at(&mut ident, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(Image::Other),
        Err(error) => return Err(error.into()),
    }
    match ident {
        [0x7f, b'E', b'L', b'F', elf::ELFCLASS64] => judge::<elf::FileHeader64<Endianness>>(file),
        [0x7f, b'E', b'L', b'F', elf::ELFCLASS32] => judge::<elf::FileHeader32<Endianness>>(file),
        _ => Ok(Image::Other),
    }
}

fn judge<Elf: FileHeader<Endian = Endianness>>(file: &File) -> Result<Image, ElfError> {
    let cache = ReadCache::new(file.try_clone()?);
    let data = &cache;
    let header = Elf::parse(data)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, data)?;

    let Some(symbols) = sections
        .iter()
        .find(|section| section.sh_type(endian) == elf::SHT_DYNSYM)
    else {
        return Ok(Image::Other); // linked statically, or stripped of its section table
    };
    let strings = sections.section(symbols.link(endian))?;
    for table in [symbols, strings] {
        if table.file_range(endian).is_some_and(|(_, size)| size > LARGEST_TABLE) {
            return Err(too_large());
        }
    }
    let strings = strings.data(endian, data)?;
    let symbols: &[Elf::Sym] = symbols.data_as_array(endian, data)?;
    let defines = |offset: usize| {
        symbols.iter().any(|symbol| {
            symbol.st_name(endian) as usize == offset
                && symbol.st_shndx(endian) != elf::SHN_UNDEF
                && symbol.st_type() == elf::STT_FUNC
        })
    };
    let ends = |offset: &usize| strings.get(offset + NODE_START.len()) == Some(&0);
    if memmem::find_iter(strings, NODE_START).filter(ends).any(defines) {
        let rodata = sections
            .section_by_name(endian, b".rodata")
            .and_then(|(_, section)| section.file_range(endian));
        return Ok(Image::Node {
            version: rodata.and_then(|(offset, size)| version(file, offset, size.min(LARGEST_SCAN))),
            single_executable: has_application::<Elf>(header, endian, data),
        });
    }
    let Some((entries, _)) = sections.dynamic(endian, data)? else {
        return Ok(Image::Other);
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
    Ok(needed.map_or(Image::Other, Image::NeedsLibnode))
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

/// Searches `.rodata` for the version, window by window.
fn version(file: &File, start: u64, size: u64) -> Option<String> {
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
            if let Some(version) = leading_version(&bytes[found + VERSION_PREFIX.len()..]) {
                return Some(version);
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
