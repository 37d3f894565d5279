//! What the loader tells the programs before they are verified. All of it is read-only by then, so the verifier
//! sees constants and prunes what cannot be reached.

use observer_common::{
    ABI_VERSION,
    growth::{SYSCALLS, Syscall},
    layout::{ABSENT, FIELDS, FORMATS, Field, Format, SETTINGS, Setting},
};

/// Read by the loader from the object's file: it refuses an object built from another tree.
#[unsafe(no_mangle)]
#[used]
static OBSERVER_ABI: u32 = ABI_VERSION;

#[unsafe(no_mangle)]
static OBSERVER_OFFSETS: [u32; FIELDS] = [ABSENT; FIELDS];

#[unsafe(no_mangle)]
static OBSERVER_FORMATS: [u32; FORMATS] = [ABSENT; FORMATS];

#[unsafe(no_mangle)]
static OBSERVER_SYSCALLS: [u32; SYSCALLS] = [ABSENT; SYSCALLS];

#[unsafe(no_mangle)]
static OBSERVER_SETTINGS: [u32; SETTINGS] = [0; SETTINGS];

/// Offset of a kernel structure's field, or [`ABSENT`].
#[inline(always)]
pub(crate) fn offset(field: Field) -> u32 {
    patched(&OBSERVER_OFFSETS, field as usize)
}

/// Offset of a field in a tracepoint's record, or [`ABSENT`].
#[inline(always)]
pub(crate) fn format(field: Format) -> u32 {
    patched(&OBSERVER_FORMATS, field as usize)
}

/// Number of a system call on this architecture.
#[inline(always)]
pub(crate) fn number(syscall: Syscall) -> u32 {
    patched(&OBSERVER_SYSCALLS, syscall as usize)
}

#[inline(always)]
pub(crate) fn setting(setting: Setting) -> u32 {
    patched(&OBSERVER_SETTINGS, setting as usize)
}

/// Reads past the compiler, which would otherwise fold the initial value in.
#[inline(always)]
fn patched<const N: usize>(globals: &'static [u32; N], index: usize) -> u32 {
    // SAFETY: `index` is the discriminant of an enum with N variants, so it lies within the array.
    unsafe { globals.as_ptr().add(index).read_volatile() }
}
