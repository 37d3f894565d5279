//! The processes the agent watches: written by user space, looked up here.

use aya_ebpf::{macros::map, maps::HashMap};

/// Default size; the loader may set another.
const WATCHED_MAX: u32 = 8192;

#[map]
static WATCHED: HashMap<u32, u32> = HashMap::with_max_entries(WATCHED_MAX, 0);

/// Whether the process of this thread-group id is watched.
#[inline(always)]
pub(crate) fn is_watched(tgid: u32) -> bool {
    WATCHED.get_ptr(tgid).is_some()
}
