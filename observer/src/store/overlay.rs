//! A database file on a disk that takes nothing more: reads the file, keeps in memory what would be written to it.
//!
//! redb writes when it opens a file, above all one whose last agent was killed. On a full disk it opens none; what an earlier
//! agent put away can be read all the same.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use redb::StorageBackend;

/// Bytes of one block.
const BLOCK: u64 = 4 << 10;
/// Blocks kept in memory at most, 16 MiB: opening and repairing rewrites few pages.
const MOST: usize = 4 << 10;

/// The file, and what differs from it.
#[derive(Debug)]
pub(super) struct Overlay {
    file: Option<File>,
    changed: Mutex<Changed>,
}

#[derive(Debug, Default)]
struct Changed {
    /// Bytes in all.
    len: u64,
    /// Of these, how many at the beginning are the file's where no block stands for them; zeros follow.
    of_file: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    /// Over the file at `path`; over none where there is none.
    pub(super) fn over(path: &Path) -> io::Result<Self> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::empty()),
            Err(error) => return Err(error),
        };
        let len = file.metadata()?.len();
        Ok(Self {
            file: Some(file),
            changed: Mutex::new(Changed {
                len,
                of_file: len,
                blocks: BTreeMap::new(),
            }),
        })
    }

    /// Over none.
    pub(super) fn empty() -> Self {
        Self {
            file: None,
            changed: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Changed> {
        // No code that holds the lock can panic half-way through a change.
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands at `offset`, a block or a part of one.
    fn part(&self, changed: &Changed, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if let Some(block) = changed.blocks.get(&(offset / BLOCK)) {
            let from = (offset % BLOCK) as usize;
            out.copy_from_slice(&block[from..from + out.len()]);
            return Ok(());
        }
        let of_file = changed.of_file.saturating_sub(offset).min(out.len() as u64) as usize;
        let (read, zeros) = out.split_at_mut(of_file);
        zeros.fill(0);
        match &self.file {
            Some(file) => file.read_exact_at(read, offset),
            None => Ok(()),
        }
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changed = self.lock();
        within(&changed, offset, out.len())?;
        for (at, range) in parts(offset, out.len()) {
            self.part(&changed, at, &mut out[range])?;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut changed = self.lock();
        let kept = len.div_ceil(BLOCK);
        changed.blocks.split_off(&kept);
        if let Some(block) = changed.blocks.get_mut(&(len / BLOCK)) {
            block[(len % BLOCK) as usize..].fill(0);
        }
        changed.of_file = changed.of_file.min(len);
        changed.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changed = self.lock();
        within(&changed, offset, data.len())?;
        for (at, range) in parts(offset, data.len()) {
            let nth = at / BLOCK;
            if !changed.blocks.contains_key(&nth) {
                if changed.blocks.len() == MOST {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                let mut block = vec![0; BLOCK as usize];
                self.part(&changed, nth * BLOCK, &mut block)?;
                changed.blocks.insert(nth, block);
            }
            if let Some(block) = changed.blocks.get_mut(&nth) {
                let from = (at % BLOCK) as usize;
                block[from..from + range.len()].copy_from_slice(&data[range]);
            }
        }
        Ok(())
    }
}

fn within(changed: &Changed, offset: u64, bytes: usize) -> io::Result<()> {
    let end = offset.checked_add(bytes as u64);
    if end.is_none_or(|end| end > changed.len) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// So many bytes from `offset` on, cut where blocks end: where each part stands in the file, and where among the bytes.
fn parts(offset: u64, bytes: usize) -> impl Iterator<Item = (u64, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let room = (BLOCK - at % BLOCK) as usize;
        let range = done..bytes.min(done + room);
        done = range.end;
        (!range.is_empty()).then_some((at, range))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Whatever is written, cut and read: what a file of its own would have, and the file beneath stays as it was.
    #[test]
    fn it_reads_as_a_file_would_that_takes_everything() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("some");
        let before: Vec<u8> = (0..3 * BLOCK + 100).map(|at| at as u8).collect();
        fs::write(&path, &before).unwrap();
        let (overlay, mut expected) = (Overlay::over(&path).unwrap(), before.clone());
        let mut chance = fastrand::Rng::with_seed(3);
        for _ in 0..2_000 {
            if chance.u8(..8) == 0 {
                let len = chance.usize(..5 * BLOCK as usize);
                expected.resize(len, 0);
                overlay.set_len(len as u64).unwrap();
            }
            let from = chance.usize(..=expected.len());
            let bytes = chance.usize(..=expected.len() - from);
            if chance.bool() {
                let data: Vec<u8> = std::iter::repeat_with(|| chance.u8(..)).take(bytes).collect();
                expected[from..from + bytes].copy_from_slice(&data);
                overlay.write(from as u64, &data).unwrap();
            }
            let mut read = vec![9; bytes];
            overlay.read(from as u64, &mut read).unwrap();
            assert_eq!(read, expected[from..from + bytes]);
            assert_eq!(overlay.len().unwrap(), expected.len() as u64);
        }
        assert!(overlay.read(expected.len() as u64, &mut [0]).is_err());
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn it_is_bounded() {
        let overlay = Overlay::over(Path::new("/nonexistent")).unwrap();
        overlay.set_len(1 << 30).unwrap();
        let all = 0..2 * MOST as u64;
        let written = all.filter(|nth| overlay.write(nth * BLOCK, &[1]).is_ok()).count();
        assert_eq!(written, MOST);
    }
}
