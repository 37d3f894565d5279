//! Why a heap is not read: every reason has its own variant, because "cannot prove it" is an answer too.

use thiserror::Error;

use crate::layout::metadata::MetadataError;
use crate::memory::source::MemoryError;

/// A heap was not read, or not to the end.
#[derive(Debug, Error)]
pub enum Refusal {
    /// The memory could not be read.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The executable publishes nothing.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// Tagged words are not 64 bits wide.
    #[error(
        "this build compresses pointers (tagged words of {0} bytes); only builds without pointer compression are read"
    )]
    PointerCompression(i32),
    /// A value the reader needs is neither published nor discoverable.
    #[error("the executable does not publish {0}, and it could not be discovered; this version of V8 is not supported")]
    Unpublished(&'static str),
    /// A published value is one the reader cannot use.
    #[error("the executable publishes {name} = {value}, which cannot be right; this version of V8 is not supported")]
    Implausible {
        /// The value's name.
        name: &'static str,
        /// What was published.
        value: i64,
    },
    /// No page of a V8 heap was recognised.
    #[error(
        "no V8 heap was found among {0} regions: the page header of this version is unknown, or no heap exists yet"
    )]
    NoPages(usize),
    /// No map of maps was found, so no object can be told from other words.
    #[error("{0} V8 pages were found, but no map of maps among them; the layout of this version is unknown")]
    NoMetaMap(usize),
    /// Objects did not follow one another as the layout says.
    #[error(
        "only {percent} % of the heap's bytes could be explained as objects (95 % are required); the layout of this version is unknown, or the heap changed while it was read: try again"
    )]
    Unexplained {
        /// Explained bytes per hundred.
        percent: u32,
    },
    /// Pages that had to be read are swapped out, and to read them would bring them in.
    #[error(
        "a part of its memory is swapped out and is not brought in to be read: what stands there, and all that only that holds, would be missing"
    )]
    SwappedOut,
}

/// The share of bytes explained, percent, from which on a collection may be what left the others unexplained.
const MOVING_PERCENT: u32 = 80;

impl Refusal {
    /// Whether a collection in progress may be the reason, so that looking again after a moment may help.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Unexplained { percent } if *percent >= MOVING_PERCENT)
    }
}
