//! Reads the files of one process below a descriptor of its `/proc/PID`, which no later process of that pid can take
//! over: once the process is reaped, reads through it fail with ESRCH.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::OwnedFd,
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags, openat, readlinkat},
    io::Errno,
};

use super::{
    error::ProcError,
    stat::{self, Stat},
};

/// Most bytes read of any file of a process. An environment can be larger; what lies beyond is not looked at.
const MOST_BYTES: u64 = 1 << 20;

/// An open `/proc/PID`.
#[derive(Debug)]
pub(crate) struct ProcessDir {
    dir: OwnedFd,
    pid: u32,
}

impl ProcessDir {
    /// Opens it below `root`.
    pub(crate) fn open(root: &Path, pid: u32) -> Result<Self, ProcError> {
        let path = root.join(pid.to_string());
        match rustix::fs::open(&path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(dir) => Ok(Self { dir, pid }),
            Err(errno) => Err(self::error(pid, ".", errno.into())),
        }
    }

    /// The directory's descriptor.
    pub(crate) const fn fd(&self) -> &OwnedFd {
        &self.dir
    }

    /// Opens a file of it. Magic links (`exe`) lead to the file itself, whatever mount namespace it is in.
    pub(crate) fn file(&self, name: &'static str) -> io::Result<File> {
        Ok(openat(
            &self.dir,
            name,
            OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK,
            Mode::empty(),
        )?
        .into())
    }

    /// Reads a file of it, at most a megabyte.
    pub(crate) fn read(&self, name: &'static str) -> Result<Vec<u8>, ProcError> {
        let mut text = Vec::new();
        self.file(name)
            .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut text))
            .map_err(|source| error(self.pid, name, source))?;
        Ok(text)
    }

    /// Target of one of its links, as the process sees it.
    pub(crate) fn link(&self, name: &'static str) -> Option<String> {
        let target = readlinkat(&self.dir, name, Vec::new()).ok()?;
        Some(target.to_string_lossy().into_owned())
    }

    /// Its `stat`; a dead process is gone.
    pub(crate) fn stat(&self) -> Result<Stat, ProcError> {
        let text = self.read("stat")?;
        let stat = stat::stat(&text).ok_or(ProcError::Malformed {
            pid: self.pid,
            file: "stat",
        })?;
        if stat.is_dead() {
            Err(ProcError::Gone { pid: self.pid })
        } else {
            Ok(stat)
        }
    }
}

/// Tells a process that went from one that cannot be read.
fn error(pid: u32, file: &'static str, source: io::Error) -> ProcError {
    match Errno::from_io_error(&source) {
        Some(Errno::NOENT | Errno::SRCH) => ProcError::Gone { pid },
        _ => ProcError::Read { pid, file, source },
    }
}
