//! The one place that reads kernel memory: at offsets the loader took from the kernel's BTF.
//!
//! A BTF tracepoint's pointers are loaded from directly: the verifier knows their types, checks the (by then
//! constant) offset against the kernel's own BTF, and the load works under lockdown=confidentiality, where
//! `bpf_probe_read_kernel` is refused. Loading through a stale or null pointer gives 0, never a fault. Programs of
//! plain tracepoints get untyped pointers and go through the helper.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use observer_common::layout::{ABSENT, Field};

use crate::settings;

/// How a program may read kernel memory.
pub(crate) trait Memory {
    /// Reads a `T`, for which all bits may be zero, at `offset` bytes behind `base`; `None` where `offset` is
    /// [`ABSENT`] or the reading failed.
    fn load<T: Copy>(base: *const u8, offset: u32) -> Option<T>;
}

/// Direct loads, for BTF tracepoints.
pub(crate) struct Direct;

impl Memory for Direct {
    #[inline(always)]
    fn load<T: Copy>(base: *const u8, offset: u32) -> Option<T> {
        if offset == ABSENT {
            return None;
        }
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
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the pointer is to this function's own variable, which `T: Copy` lets hold anything.
        // Volatile, so that it is written before anything is decided: the compiler may read the variable on a path
        // that discards what it read, and verifiers before 6.3 refuse to see unwritten stack read at all.
        unsafe { value.as_mut_ptr().write_volatile(MaybeUninit::zeroed().assume_init()) };
        if offset == ABSENT {
            return None;
        }
        let from = base.wrapping_add(offset as usize);
        // SAFETY: the helper checks the address and fails on one that cannot be read; it writes the size of `T`.
        unsafe {
            let failed = bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, from.cast()) != 0;
            if failed { None } else { Some(value.assume_init()) }
        }
    }
}

/// A pointer that a BTF tracepoint passes to its program; `None` where it is null. Verifiers from 6.12 on count some of
/// these arguments as possibly null, and which ones changes between releases: a load needs this check first.
#[inline(always)]
pub(crate) fn argument(pointer: *const u8) -> Option<*const u8> {
    if pointer.is_null() { None } else { Some(pointer) }
}

/// Reads a field, unless this kernel lacks it.
#[inline(always)]
pub(crate) fn field<M: Memory, T: Copy>(base: *const u8, field: Field) -> Option<T> {
    M::load(base, settings::offset(field))
}

/// Follows a pointer field; `None` where it is null.
#[inline(always)]
pub(crate) fn pointer<M: Memory>(base: *const u8, pointer: Field) -> Option<*const u8> {
    argument(field::<M, _>(base, pointer)?)
}
