//! Reads single words of the observed process through a small cache of 4 KiB blocks, so that following a pointer does
//! not cost a system call each time. Bounded: 64 blocks, whatever the heap looks like.

use std::cell::RefCell;

use crate::memory::source::{Memory, MemoryError};

const BLOCK: u64 = 4096;
const BLOCKS: usize = 64;
/// No process has memory from here on (57-bit addresses, the upper half is the kernel's).
const HIGHEST: u64 = 1 << 56;

/// Tag bits of a pointer into the heap; Smis (small integers) have the lowest bit clear.
pub(crate) const TAG_MASK: u64 = 3;
/// A strong pointer; 3 would be a weak one.
pub(crate) const STRONG: u64 = 1;

/// The address behind a strong tagged pointer.
pub(crate) fn strong(word: u64) -> Option<u64> {
    (word & TAG_MASK == STRONG && word > BLOCK && word < HIGHEST).then(|| word - STRONG)
}

/// The value of a Smi: official builds keep it in the upper 32 bits.
pub(crate) fn smi(word: u64) -> Option<i32> {
    (word & 0xffff_ffff == 0).then_some((word >> 32) as i32)
}

struct Cache {
    keys: [u64; BLOCKS],
    bytes: Vec<u8>,
}

/// Cached reads of a [`Memory`].
pub(crate) struct Peek<'m> {
    pub(crate) memory: &'m dyn Memory,
    cache: RefCell<Cache>,
}

impl<'m> Peek<'m> {
    pub(crate) fn new(memory: &'m dyn Memory) -> Self {
        let cache = Cache {
            keys: [u64::MAX; BLOCKS],
            bytes: vec![0; BLOCKS * BLOCK as usize],
        };
        Self {
            memory,
            cache: RefCell::new(cache),
        }
    }

    /// Forgets what was read: the process goes on meanwhile.
    pub(crate) fn forget(&self) {
        self.cache.borrow_mut().keys.fill(u64::MAX);
    }

    /// Copies what is at `address`; absent bytes are zero.
    pub(crate) fn bytes(&self, address: u64, out: &mut [u8]) -> Result<(), MemoryError> {
        let mut done = 0;
        while done < out.len() {
            let Some(at) = address.checked_add(done as u64) else {
                out[done..].fill(0);
                return Ok(());
            };
            let offset = (at % BLOCK) as usize;
            let length = (out.len() - done).min(BLOCK as usize - offset);
            self.block(at - offset as u64, |block| {
                out[done..done + length].copy_from_slice(&block[offset..][..length]);
            })?;
            done += length;
        }
        Ok(())
    }

    fn block<T>(&self, start: u64, then: impl FnOnce(&[u8]) -> T) -> Result<T, MemoryError> {
        let mut cache = self.cache.borrow_mut();
        let slot = ((start / BLOCK) as usize ^ (start >> 21) as usize) % BLOCKS;
        let range = slot * BLOCK as usize..(slot + 1) * BLOCK as usize;
        if cache.keys[slot] != start {
            cache.keys[slot] = u64::MAX;
            self.memory.read(start, &mut cache.bytes[range.clone()])?;
            cache.keys[slot] = start;
        }
        Ok(then(&cache.bytes[range]))
    }

    pub(crate) fn word(&self, address: u64) -> Result<u64, MemoryError> {
        let mut bytes = [0; 8];
        self.bytes(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    pub(crate) fn u32(&self, address: u64) -> Result<u32, MemoryError> {
        let mut bytes = [0; 4];
        self.bytes(address, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    pub(crate) fn u16(&self, address: u64) -> Result<u16, MemoryError> {
        let mut bytes = [0; 2];
        self.bytes(address, &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }

    pub(crate) fn u8(&self, address: u64) -> Result<u8, MemoryError> {
        let mut bytes = [0; 1];
        self.bytes(address, &mut bytes)?;
        Ok(bytes[0])
    }
}
