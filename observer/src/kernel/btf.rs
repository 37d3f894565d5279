//! Reads the kernel's own type information (BTF), produces offsets of structure members and shapes of prototypes.
//!
//! Only what the loader asks for: structures, unions, arrays, enumerators, typedefs of function prototypes. Layout
//! of the format: Documentation/bpf/btf.rst and include/uapi/linux/btf.h of the kernel. Input is not trusted: every
//! read is bounded, every walk over types is limited in depth, and nothing panics.

use std::collections::HashMap;

/// Why a blob of BTF could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// Not BTF of this machine's byte order.
    #[error("the magic number is {0:#06x}, expected 0xeb9f")]
    Magic(u16),
    /// A version other than 1.
    #[error("version {0} is unknown")]
    Version(u8),
    /// A section or a type reaches past the end.
    #[error("cut short at byte {0}")]
    Truncated(usize),
    /// Types of an unknown kind cannot be skipped: their length is unknown.
    #[error("type {id} is of unknown kind {kind}")]
    Kind {
        /// Number of the type.
        id: u32,
        /// Its kind.
        kind: u32,
    },
}

/// `BTF_MAGIC`
const MAGIC: u16 = 0xeb9f;
/// Bytes of `struct btf_type`.
const TYPE_BYTES: usize = 12;
/// Typedefs, qualifiers and anonymous members nest; a hostile blob could nest them for ever.
const DEPTH: u32 = 24;

const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const FWD: u32 = 7;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const VAR: u32 = 14;
const DATASEC: u32 = 15;
const FLOAT: u32 = 16;
const DECL_TAG: u32 = 17;
const TYPE_TAG: u32 = 18;
const ENUM64: u32 = 19;

/// A parsed blob. Type 0 is `void`; real types count from 1.
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type starts in `types`; index 0 is type 1.
    starts: Vec<u32>,
    structs: HashMap<&'a [u8], u32>,
    typedefs: HashMap<&'a [u8], u32>,
}

/// The head of one type.
#[derive(Clone, Copy)]
struct Head {
    name: u32,
    kind: u32,
    /// Number of members, enumerators or parameters.
    count: usize,
    /// Members carry a bitfield's size in the top byte of their offset.
    bitfields: bool,
    /// Referenced type, or size.
    target: u32,
    /// Where what follows the head starts in `types`.
    tail: usize,
}

/// A member found by name: its offset in bytes from the outer structure's start, and its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Bytes from the start of the structure that was asked.
    pub offset: u32,
    /// Its type.
    pub of: u32,
}

/// What a parameter of a function prototype is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// A pointer.
    Pointer,
    /// Anything passed by value.
    Value,
}

impl<'a> Btf<'a> {
    /// Parses a blob, as in `/sys/kernel/btf/vmlinux`.
    pub fn parse(blob: &'a [u8]) -> Result<Self, BtfError> {
        let magic = u16::from_ne_bytes(bytes(blob, 0)?);
        if magic != MAGIC {
            return Err(BtfError::Magic(magic));
        }
        let [version] = bytes(blob, 2)?;
        if version != 1 {
            return Err(BtfError::Version(version));
        }
        let header = word(blob, 4)? as usize;
        let types = section(blob, header, word(blob, 8)?, word(blob, 12)?)?;
        let strings = section(blob, header, word(blob, 16)?, word(blob, 20)?)?;
        let mut btf = Self {
            types,
            strings,
            starts: Vec::new(),
            structs: HashMap::new(),
            typedefs: HashMap::new(),
        };
        btf.index()?;
        Ok(btf)
    }

    fn index(&mut self) -> Result<(), BtfError> {
        let mut at = 0;
        while at < self.types.len() {
            let id = self.starts.len() as u32 + 1;
            let head = head_at(self.types, at)?;
            let tail = tail_bytes(head.kind, head.count).ok_or(BtfError::Kind { id, kind: head.kind })?;
            let end = head.tail + tail;
            if end > self.types.len() {
                return Err(BtfError::Truncated(at));
            }
            self.starts.push(at as u32);
            let index = match head.kind {
                STRUCT => &mut self.structs,
                TYPEDEF => &mut self.typedefs,
                _ => {
                    at = end;
                    continue;
                }
            };
            let name = text(self.strings, head.name);
            if !name.is_empty() {
                index.entry(name).or_insert(id);
            }
            at = end;
        }
        Ok(())
    }

    /// The number of types.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there is no type at all.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The structure of this name.
    pub fn structure(&self, name: &str) -> Option<u32> {
        self.structs.get(name.as_bytes()).copied()
    }

    /// A member of a structure or union, looked for in anonymous members too. `None` for bitfields.
    pub fn member(&self, of: u32, name: &str) -> Option<Member> {
        self.member_within(of, name.as_bytes(), DEPTH)
    }

    fn member_within(&self, of: u32, name: &[u8], depth: u32) -> Option<Member> {
        let head = self.head(self.strip(of)?)?;
        if !matches!(head.kind, STRUCT | UNION) || depth == 0 {
            return None;
        }
        for i in 0..head.count {
            let at = head.tail + i * 12;
            let (member, of, packed) = (
                word(self.types, at).ok()?,
                word(self.types, at + 4).ok()?,
                word(self.types, at + 8).ok()?,
            );
            let (bits, width) = if head.bitfields {
                (packed & 0x00ff_ffff, packed >> 24)
            } else {
                (packed, 0)
            };
            let member = text(self.strings, member);
            if member == name {
                return (bits % 8 == 0 && width == 0).then_some(Member { offset: bits / 8, of });
            }
            if member.is_empty()
                && let Some(inner) = self.member_within(of, name, depth - 1)
            {
                return Some(Member {
                    offset: (bits / 8).checked_add(inner.offset)?,
                    of: inner.of,
                });
            }
        }
        None
    }

    /// The n-th element of an array member.
    pub fn element(&self, array: Member, n: u32) -> Option<Member> {
        let head = self.head(self.strip(array.of)?)?;
        if head.kind != ARRAY {
            return None;
        }
        let of = word(self.types, head.tail).ok()?;
        let length = word(self.types, head.tail + 8).ok()?;
        if n >= length {
            return None;
        }
        let offset = array.offset.checked_add(n.checked_mul(self.size(of, DEPTH)?)?)?;
        Some(Member { offset, of })
    }

    /// Bytes of a type.
    fn size(&self, of: u32, depth: u32) -> Option<u32> {
        let head = self.head(self.strip(of)?)?;
        match head.kind {
            INT | STRUCT | UNION | ENUM | ENUM64 | FLOAT => Some(head.target),
            PTR => Some(size_of::<usize>() as u32),
            ARRAY if depth > 0 => {
                let element = self.size(word(self.types, head.tail).ok()?, depth - 1)?;
                element.checked_mul(word(self.types, head.tail + 8).ok()?)
            }
            _ => None,
        }
    }

    /// The value of an enumerator, wherever it stands.
    pub fn enumerator(&self, name: &str) -> Option<u32> {
        (1..=self.starts.len() as u32).find_map(|id| {
            let head = self.head(id).filter(|head| head.kind == ENUM)?;
            (0..head.count).find_map(|i| {
                let at = head.tail + i * 8;
                (text(self.strings, word(self.types, at).ok()?) == name.as_bytes())
                    .then(|| word(self.types, at + 4).ok())
                    .flatten()
            })
        })
    }

    /// Parameters of the prototype behind a typedef of a function pointer (`btf_trace_*`), in order.
    pub fn prototype(&self, typedef: &str) -> Option<Vec<Parameter>> {
        let pointer = self.head(self.strip(*self.typedefs.get(typedef.as_bytes())?)?)?;
        if pointer.kind != PTR {
            return None;
        }
        let proto = self.head(self.strip(pointer.target)?)?;
        if proto.kind != FUNC_PROTO {
            return None;
        }
        (0..proto.count)
            .map(|i| {
                let of = word(self.types, proto.tail + i * 8 + 4).ok()?;
                let is_pointer = self.head(self.strip(of)?).is_some_and(|head| head.kind == PTR);
                Some(if is_pointer {
                    Parameter::Pointer
                } else {
                    Parameter::Value
                })
            })
            .collect()
    }

    /// Follows typedefs and qualifiers.
    fn strip(&self, mut of: u32) -> Option<u32> {
        for _ in 0..DEPTH {
            let head = self.head(of)?;
            if !matches!(head.kind, TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG) {
                return Some(of);
            }
            of = head.target;
        }
        None
    }

    fn head(&self, id: u32) -> Option<Head> {
        let start = *self.starts.get((id as usize).checked_sub(1)?)?;
        head_at(self.types, start as usize).ok()
    }
}

/// Bytes behind the head of a type of this kind; `None` for unknown kinds.
fn tail_bytes(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        PTR | FWD | TYPEDEF | VOLATILE | CONST | RESTRICT | FUNC | FLOAT | TYPE_TAG => 0,
        INT | VAR | DECL_TAG => 4,
        ARRAY => 12,
        STRUCT | UNION | DATASEC | ENUM64 => count * 12,
        ENUM | FUNC_PROTO => count * 8,
        _ => return None,
    })
}

fn head_at(types: &[u8], at: usize) -> Result<Head, BtfError> {
    let info = word(types, at + 4)?;
    Ok(Head {
        name: word(types, at)?,
        kind: (info >> 24) & 0x1f,
        count: (info & 0xffff) as usize,
        bitfields: info >> 31 == 1,
        target: word(types, at + 8)?,
        tail: at + TYPE_BYTES,
    })
}

fn section(blob: &[u8], header: usize, offset: u32, length: u32) -> Result<&[u8], BtfError> {
    let start = header.saturating_add(offset as usize);
    blob.get(start..start.saturating_add(length as usize))
        .ok_or(BtfError::Truncated(start))
}

/// The string at an offset; empty where there is none.
fn text(strings: &[u8], at: u32) -> &[u8] {
    let rest = strings.get(at as usize..).unwrap_or_default();
    rest.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn bytes<const N: usize>(blob: &[u8], at: usize) -> Result<[u8; N], BtfError> {
    at.checked_add(N)
        .and_then(|end| blob.get(at..end))
        .and_then(|slice| slice.try_into().ok())
        .ok_or(BtfError::Truncated(at))
}

fn word(blob: &[u8], at: usize) -> Result<u32, BtfError> {
    bytes(blob, at).map(u32::from_ne_bytes)
}

#[cfg(test)]
#[path = "btf_tests.rs"]
mod tests;
