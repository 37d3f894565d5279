//! Where a traced process asks for memory: the address-space system calls, summed by place.
//!
//! One program on the exit of every system call reads number, arguments and result from the saved registers: no
//! stash between entry and exit, and nothing is counted for a call that failed. It is attached only while a process
//! is traced, since it makes every system call of the host take the kernel's slow path.

use core::arch::asm;

use aya_ebpf::{
    EbpfContext as _,
    macros::{btf_tracepoint, map},
    maps::HashMap,
    programs::BtfTracePointContext,
};
use aya_log_ebpf::debug;
use observer_common::{
    growth::{Growth, GrowthCount, Place, Syscall},
    layout::{Field, Setting},
};

use crate::{
    memory::{Direct, Probed, argument, field},
    settings::{number, setting},
    task::Task,
};

/// Default size; the loader may set another.
const TRACED_MAX: u32 = 1024;

#[map]
static GROWTH: HashMap<u32, Growth> = HashMap::with_max_entries(TRACED_MAX, 0);

/// V8's page of heap: 256 KiB, aligned to that (`kRegularPageSize`, src/common/globals.h: 1 << 18).
const V8_PAGE: u64 = 256 << 10;
/// V8 names addresses below 2^46 for its heap (`GetRandomMmapAddr`, src/base/platform/platform-posix.cc), on x86-64 and
/// aarch64 alike. The kernel chooses from the other end, the stack's, which lies above, and so does a
/// position-independent program's `brk`; below 4 GiB is a fixed program's.
const V8_REGION: core::ops::Range<u64> = 1 << 32..1 << 46;
/// glibc serves requests of this size and more by mappings of their own (`DEFAULT_MMAP_THRESHOLD_MIN`, malloc.c).
const LARGE: u64 = 128 << 10;
/// Where `brk` finds no room (V8 puts its code next to a fixed program, and its heap's end with it: one start in three of
/// Node.js 18), glibc grows the main arena by mappings of this size instead (`MMAP_AS_MORECORE_SIZE`, malloc.c).
const INSTEAD_OF_BRK: u64 = 1 << 20;
/// Thread stacks are made writable in one piece; an allocator's arena grows by less.
const STACK: u64 = 1 << 20;
/// Results from here up are error codes (`-MAX_ERRNO`).
const ERRORS: u64 = (-4095_i64) as u64;
/// mmap(2); the same on x86-64 and aarch64.
const MAP_ANONYMOUS: u64 = 0x20;

/// `sys_exit(struct pt_regs *regs, long ret)`, 5.10 to 7.2
#[btf_tracepoint(function = "sys_exit")]
fn growth_btf(ctx: BtfTracePointContext) -> i32 {
    let Some(regs) = argument(ctx.arg(0)) else {
        return 0;
    };
    let Some(called) = field::<Direct, u32>(regs, Field::RegsNumber) else {
        return 0;
    };
    let Some(call) = recognise(called) else {
        return 0;
    };
    let Some(growth) = GROWTH.get_ptr_mut(ctx.tgid()) else {
        return 0;
    };
    let result: u64 = ctx.arg(1);
    if result >= ERRORS {
        return 0;
    }
    let arg = |of| field::<Direct, u64>(regs, of).unwrap_or(0);
    let (first, second) = (arg(Field::RegsArg0), arg(Field::RegsArg1));
    let place = match call {
        Syscall::Brk => Place::Malloc,
        Syscall::Mmap if arg(Field::RegsArg3) & MAP_ANONYMOUS == 0 => Place::File,
        // V8 names the address it wants; the allocator leaves it to the kernel. Its code is wanted near the program.
        Syscall::Mmap => place(result, second, first != 0),
        Syscall::Mremap => place(result, arg(Field::RegsArg2), false),
        Syscall::Munmap => place(first, second, true),
        Syscall::Mprotect => match place(first, second, true) {
            Place::LargeBuffer if second >= STACK => Place::Other,
            Place::LargeBuffer => Place::Malloc,
            other => other,
        },
    };
    debug!(&ctx, "call {} of {} grows place {}", called, ctx.tgid(), place as u32);
    // SAFETY: the map's value stays valid for the run of this program, in memory only the kernel maps.
    unsafe { count(growth, place) };
    0
}

#[inline(always)]
fn recognise(called: u32) -> Option<Syscall> {
    [
        Syscall::Mmap,
        Syscall::Munmap,
        Syscall::Mprotect,
        Syscall::Brk,
        Syscall::Mremap,
    ]
    .into_iter()
    .find(|&syscall| called == number(syscall))
}

#[inline(always)]
fn place(start: u64, length: u64, may_be_v8: bool) -> Place {
    if V8_REGION.contains(&start) || (may_be_v8 && start.is_multiple_of(V8_PAGE) && length >= V8_PAGE) {
        Place::V8Heap
    } else if length >= LARGE && length != INSTEAD_OF_BRK {
        Place::LargeBuffer
    } else {
        Place::Malloc
    }
}

/// Books what the kernel's own account of private writable pages has changed by since the last call. A call made at
/// the same moment by another thread may have its part booked here: the sum stays right, the place may not.
///
/// # Safety
/// `growth` must point to a live value of the map.
#[inline(always)]
unsafe fn count(growth: *mut Growth, place: Place) {
    let Some(pages) = Task::current()
        .follow(Field::TaskMm)
        .and_then(|mm| field::<Probed, u64>(mm, Field::MmDataVm))
    else {
        return;
    };
    // SAFETY: by the caller; other CPUs may write these fields too, so the totals are added to atomically, and the
    // last account is one aligned word.
    unsafe {
        let last = (&raw const (*growth).data_vm).read_volatile();
        (&raw mut (*growth).data_vm).write_volatile(pages);
        if last == 0 || last == pages {
            return;
        }
        let total: *mut GrowthCount = (&raw mut (*growth).places).cast::<GrowthCount>().add(place as usize);
        let page = u64::from(setting(Setting::PageSize));
        if pages > last {
            add(&raw mut (*total).grown, (pages - last) * page);
            add(&raw mut (*total).calls, 1);
        } else {
            add(&raw mut (*total).shrunk, (last - pages) * page);
        }
    }
}

/// # Safety
/// `total` must be valid and aligned.
#[inline(always)]
unsafe fn add(total: *mut u64, amount: u64) {
    // `core` offers no read-modify-write atomics for this target; the instruction exists since the first eBPF.
    // SAFETY: by the caller; the instruction touches that word only.
    unsafe { asm!("lock *(u64 *)({total} + 0) += {amount}", total = in(reg) total, amount = in(reg) amount) };
}
