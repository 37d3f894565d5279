//! The one place that reserves and submits records, and counts those for which there was no room.

use aya_ebpf::{
    helpers::generated::bpf_ktime_get_boot_ns,
    macros::map,
    maps::{PerCpuArray, RingBuf},
};
use aya_log_ebpf::warn;
use observer_common::record::{DROP_SLOTS, Header, Kind};

/// Default sizes; the loader may set others.
const EVENTS_BYTES: u32 = 1 << 20;
const DEATHS_BYTES: u32 = 1 << 18;

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(EVENTS_BYTES, 0);

#[map]
static DEATHS: RingBuf = RingBuf::with_byte_size(DEATHS_BYTES, 0);

#[map]
static DROPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(DROP_SLOTS, 0);

/// Sends one record: to `DEATHS` if it tells of a death, where nothing else can crowd it out.
#[inline(always)]
pub(crate) fn emit<T: 'static>(kind: Kind, fill: impl FnOnce(Header) -> T) {
    emit_in_place::<T>(kind, |slot, header| {
        // SAFETY: `slot` points to reserved memory of this size, aligned to 8 bytes, which nobody else writes.
        unsafe { slot.write(fill(header)) };
        true
    });
}

/// The same for records larger than the stack: `fill` writes every byte, or returns false to take the record back.
#[inline(always)]
pub(crate) fn emit_in_place<T: 'static>(kind: Kind, fill: impl FnOnce(*mut T, Header) -> bool) {
    let ring = match kind {
        Kind::Exit | Kind::OomVictim => &DEATHS,
        _ => &EVENTS,
    };
    let Some(mut entry) = ring.reserve::<T>(0) else {
        count_drop(kind);
        return;
    };
    let header = Header {
        kind: kind as u32,
        len: size_of::<T>() as u32,
        // SAFETY: the helper has no preconditions.
        at_ns: unsafe { bpf_ktime_get_boot_ns() },
    };
    if fill(entry.as_mut_ptr(), header) {
        entry.submit(0);
    } else {
        entry.discard(0);
        count_drop(kind);
    }
}

#[inline(always)]
fn count_drop(kind: Kind) {
    warn!((), "no room for a record of kind {}", kind as u32);
    if let Some(count) = DROPS.get_ptr_mut(kind as u32) {
        // SAFETY: this CPU's slot of a per-CPU map. A program that interrupts this one may make it lose a count.
        unsafe { *count += 1 };
    }
}
