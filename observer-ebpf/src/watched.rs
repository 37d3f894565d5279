//! The processes the agent watches: written by user space, looked up here; and those that came just now, which it has not looked
//! at yet.

use aya_ebpf::{
    macros::map,
    maps::{HashMap, LruHashMap},
};

/// Default size; the loader may set another.
const WATCHED_MAX: u32 = 8192;
/// Processes that came last, of which what ends them is reported before anybody has asked for it.
const NEW_MAX: u32 = 1024;

#[map]
static WATCHED: HashMap<u32, u32> = HashMap::with_max_entries(WATCHED_MAX, 0);

#[map]
static NEW: LruHashMap<u32, u32> = LruHashMap::with_max_entries(NEW_MAX, 0);

/// Whether the process of this thread-group id is watched.
#[inline(always)]
pub(crate) fn is_watched(tgid: u32) -> bool {
    WATCHED.get_ptr(tgid).is_some()
}

/// Whether it is, or came so lately that the agent may not have looked at it.
#[inline(always)]
pub(crate) fn may_be_watched(tgid: u32) -> bool {
    is_watched(tgid) || NEW.get_ptr(tgid).is_some()
}

/// It replaced its image.
#[inline(always)]
pub(crate) fn came(tgid: u32) {
    // A full map forgets the oldest; what fails otherwise leaves the process as it was, told from when it is watched.
    let _ = NEW.insert(tgid, 0, 0);
}
