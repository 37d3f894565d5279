//! The one place that reads kernel memory: at offsets the loader took from the kernel's BTF.
//!
//! A BTF tracepoint's pointers are loaded from directly: the verifier knows their types, checks the (by then
//! constant) offset against the kernel's own BTF, and the load works under lockdown=confidentiality, where
//! `bpf_probe_read_kernel` is refused. Loading through a stale or null pointer gives 0, never a fault. Programs of
//! plain tracepoints get untyped pointers and go through the helper.

use aya_ebpf::helpers::bpf_probe_read_kernel;
use observer_common::layout::{ABSENT, Field};

use crate::settings;

/// How a program may read kernel memory.
pub(crate) trait Memory {
    /// Reads a `T` at `offset` bytes behind `base`; `None` where that failed.
    fn load<T: Copy>(base: *const u8, offset: u32) -> Option<T>;
}

/// Direct loads, for BTF tracepoints.
pub(crate) struct Direct;

impl Memory for Direct {
    #[inline(always)]
    fn load<T: Copy>(base: *const u8, offset: u32) -> Option<T> {
        // SAFETY: the verifier admits the load only where the kernel's BTF has a member of this size at this offset
        // of the pointer's type; a pointer that went stale is handled by the kernel's exception table.
        Some(unsafe { base.wrapping_add(offset as usize).cast::<T>().read_volatile() })
    }
}

/// Loads through `bpf_probe_read_kernel`, for plain tracepoints.
pub(crate) struct Probed;

impl Memory for Probed {
    #[inline(always)]
    fn load<T: Copy>(base: *const u8, offset: u32) -> Option<T> {
        // SAFETY: the helper checks the address and fails on one that cannot be read.
        unsafe { bpf_probe_read_kernel(base.wrapping_add(offset as usize).cast::<T>()) }.ok()
    }
}

/// Reads a field, unless this kernel lacks it.
#[inline(always)]
pub(crate) fn field<M: Memory, T: Copy>(base: *const u8, field: Field) -> Option<T> {
    let offset = settings::offset(field);
    if offset == ABSENT {
        return None;
    }
    M::load(base, offset)
}

/// Follows a pointer field; `None` where it is null.
#[inline(always)]
pub(crate) fn pointer<M: Memory>(base: *const u8, pointer: Field) -> Option<*const u8> {
    let target: *const u8 = field::<M, _>(base, pointer)?;
    if target.is_null() { None } else { Some(target) }
}
