//! Reads one record as it came out of a ring buffer, produces a [`KernelEvent`] and its time.
//!
//! Bytes are never transmuted: a record of an unknown kind, of another length than its kind has, or with a value
//! that cannot be, is an error that the caller counts. Times are the kernel's own: the order of [`BootTime`]s is the
//! order of events, whatever order two rings are read in.

use core::mem::offset_of;

use observer_common::{
    COMM_LEN,
    record::{CGROUP_PATH_LEN, Cgroup, Exec, Exit, Fork, Header, Kind, OomVictim, Signal},
};

use crate::{
    kernel::{self, ExitStatus, KernelEvent},
    process::ProcessKey,
    time::BootTime,
};

/// Why a record could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Shorter than a header.
    NoHeader {
        /// Its length.
        len: usize,
    },
    /// A kind this agent does not know.
    UnknownKind(u32),
    /// Not as long as records of its kind, by its header or in fact.
    Length {
        /// Its kind.
        kind: Kind,
        /// Bytes of records of this kind.
        expected: usize,
        /// Bytes it has.
        found: usize,
    },
    /// A cgroup path that filled its field: what is missing is unknown, and half a path names another cgroup.
    PathCut,
    /// A signal number above 255.
    Signal(u32),
}

impl DecodeError {
    /// The kind of record that was lost, as it is counted.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::NoHeader { .. } | Self::UnknownKind(_) => "unknown",
            Self::Length { kind, .. } => kind.name(),
            Self::PathCut => "cgroup",
            Self::Signal(_) => Kind::Signal.name(),
        }
    }
}

impl core::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoHeader { len } => write!(f, "a record of {len} bytes has no header"),
            Self::UnknownKind(kind) => write!(f, "unknown record kind {kind}"),
            Self::Length { kind, expected, found } => {
                write!(
                    f,
                    "a record of kind {} has {found} bytes, expected {expected}",
                    kind.name()
                )
            }
            Self::PathCut => write!(f, "a cgroup path of {CGROUP_PATH_LEN} bytes or more was cut"),
            Self::Signal(signal) => write!(f, "signal number {signal} cannot be"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Decodes one record.
pub fn decode(bytes: &[u8]) -> Result<(BootTime, KernelEvent), DecodeError> {
    if bytes.len() < size_of::<Header>() {
        return Err(DecodeError::NoHeader { len: bytes.len() });
    }
    let record = Record(bytes);
    let number = record.u32(offset_of!(Header, kind));
    let kind = Kind::from_u32(number).ok_or(DecodeError::UnknownKind(number))?;
    let expected = length(kind);
    for found in [bytes.len(), record.u32(offset_of!(Header, len)) as usize] {
        if found != expected {
            return Err(DecodeError::Length { kind, expected, found });
        }
    }
    let event = match kind {
        Kind::Exec => exec(record),
        Kind::Fork => fork(record),
        Kind::Exit => exit(record),
        Kind::OomVictim => oom_victim(record),
        Kind::Signal => signal(record)?,
        Kind::CgroupMkdir => {
            let (root, id, path) = cgroup(record)?;
            KernelEvent::CgroupMkdir { root, id, path }
        }
        Kind::CgroupRelease => {
            let (root, id, path) = cgroup(record)?;
            KernelEvent::CgroupRelease { root, id, path }
        }
    };
    Ok((BootTime(record.u64(offset_of!(Header, at_ns))), event))
}

const fn length(kind: Kind) -> usize {
    match kind {
        Kind::Exec => size_of::<Exec>(),
        Kind::Fork => size_of::<Fork>(),
        Kind::Exit => size_of::<Exit>(),
        Kind::OomVictim => size_of::<OomVictim>(),
        Kind::Signal => size_of::<Signal>(),
        Kind::CgroupMkdir | Kind::CgroupRelease => size_of::<Cgroup>(),
    }
}

fn exec(record: Record<'_>) -> KernelEvent {
    KernelEvent::Exec {
        process: record.process(offset_of!(Exec, pid), offset_of!(Exec, start_ns)),
        ppid: record.u32(offset_of!(Exec, ppid)),
        comm: record.comm(offset_of!(Exec, comm)),
    }
}

fn fork(record: Record<'_>) -> KernelEvent {
    KernelEvent::Fork {
        process: record.process(offset_of!(Fork, pid), offset_of!(Fork, start_ns)),
        ppid: record.u32(offset_of!(Fork, ppid)),
    }
}

fn exit(record: Record<'_>) -> KernelEvent {
    let known = record.u32(offset_of!(Exit, status_known)) == 1;
    let bytes = |at| Some(record.u64(at)).filter(|&bytes| bytes != 0);
    KernelEvent::Exit {
        process: record.process(offset_of!(Exit, pid), offset_of!(Exit, start_ns)),
        status: known.then(|| ExitStatus::from_wait(record.u32(offset_of!(Exit, status)))),
        comm: record.comm(offset_of!(Exit, comm)),
        peak_rss: bytes(offset_of!(Exit, peak_rss)),
        max_rss: bytes(offset_of!(Exit, max_rss)),
    }
}

fn oom_victim(record: Record<'_>) -> KernelEvent {
    let bytes = |at| Some(record.u64(at)).filter(|&bytes| bytes != u64::MAX);
    KernelEvent::OomVictim(kernel::OomVictim {
        process: record.process(offset_of!(OomVictim, pid), offset_of!(OomVictim, start_ns)),
        tid: record.u32(offset_of!(OomVictim, tid)),
        comm: record.comm(offset_of!(OomVictim, comm)),
        anon: bytes(offset_of!(OomVictim, anon_rss)),
        file: bytes(offset_of!(OomVictim, file_rss)),
        shmem: bytes(offset_of!(OomVictim, shmem_rss)),
        pgtables: bytes(offset_of!(OomVictim, pgtables)),
        oom_score_adj: Some(record.i32(offset_of!(OomVictim, oom_score_adj))).filter(|&adj| adj != i32::MIN),
    })
}

fn signal(record: Record<'_>) -> Result<KernelEvent, DecodeError> {
    let number = record.u32(offset_of!(Signal, signal));
    Ok(KernelEvent::Signal(kernel::Signal {
        target: record.process(offset_of!(Signal, pid), offset_of!(Signal, start_ns)),
        signal: u8::try_from(number).map_err(|_| DecodeError::Signal(number))?,
        code: record.i32(offset_of!(Signal, code)),
        delivered: record.i32(offset_of!(Signal, result)) == 0,
        sender_pid: record.u32(offset_of!(Signal, sender_pid)),
        sender_comm: record.comm(offset_of!(Signal, sender_comm)),
    }))
}

fn cgroup(record: Record<'_>) -> Result<(u32, u64, String), DecodeError> {
    let length = record.u32(offset_of!(Cgroup, path_len)) as usize;
    if length >= CGROUP_PATH_LEN - 1 {
        return Err(DecodeError::PathCut);
    }
    let path = record.text(offset_of!(Cgroup, path), length);
    let (root, id) = (record.u32(offset_of!(Cgroup, root)), record.u64(offset_of!(Cgroup, id)));
    Ok((root, id, path))
}

/// Fields of a record whose length has been checked. Out of bounds reads as zero; the layout's own offsets never are.
#[derive(Clone, Copy)]
struct Record<'a>(&'a [u8]);

impl Record<'_> {
    fn array<const N: usize>(self, at: usize) -> [u8; N] {
        self.0
            .get(at..at + N)
            .and_then(|slice| slice.try_into().ok())
            .unwrap_or([0; N])
    }

    fn u32(self, at: usize) -> u32 {
        u32::from_ne_bytes(self.array(at))
    }

    fn i32(self, at: usize) -> i32 {
        i32::from_ne_bytes(self.array(at))
    }

    fn u64(self, at: usize) -> u64 {
        u64::from_ne_bytes(self.array(at))
    }

    fn process(self, pid: usize, start_ns: usize) -> ProcessKey {
        ProcessKey::from_kernel(self.u32(pid), self.u64(start_ns))
    }

    fn comm(self, at: usize) -> String {
        self.text(at, COMM_LEN)
    }

    /// Text up to its NUL, `length` bytes at most. A process may call itself anything: invalid UTF-8 is replaced.
    fn text(self, at: usize, length: usize) -> String {
        let bytes = self.0.get(at..at + length).unwrap_or_default();
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
