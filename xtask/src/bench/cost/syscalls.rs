//! The tax on system calls and on allocations: measures CPU time of cheap calls of this thread beside the agent and beside
//! what people trace memory with otherwise, produces ratios.

use std::{hint::black_box, path::Path, ptr};

use anyhow::Result;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use super::{containers::Containers, footprint::cpu_time, pairs, peers};

/// Calls of each kind in one measurement: a tenth of a second.
const CALLS: u32 = 1_000_000;
const MAPPINGS: u32 = 50_000;
/// A second and more under a probe on each allocation, a hundredth without.
const ALLOCATIONS: u32 = 200_000;
const MAPPED: usize = 64 << 10;
const ALLOCATED: usize = 64;

pub(super) fn measure(program: &Path, rounds: usize) -> Result<String> {
    // Something to watch and to trace, which is not this thread.
    let _container = Containers::start(1)?;
    let mut loads = vec![pairs::Load::agent(program), pairs::Load::tracing(program)];
    let (peers, missing) = peers::loads();
    loads.extend(peers);
    let ratios = pairs::run(&loads, rounds, || Ok([getppid(), mappings()?, allocations()]))?;
    let mut table = String::from("| beside | getppid | mmap and munmap | malloc and free |\n|---|---|---|---|\n");
    for ratios in &ratios {
        table.push_str(&ratios.row());
    }
    for reason in missing {
        table.push_str(&format!("\nNot measured: {reason}.\n"));
    }
    Ok(table)
}

/// The cheapest call there is; nanoseconds.
fn getppid() -> f64 {
    let began = cpu_time();
    for _ in 0..CALLS {
        black_box(rustix::process::getppid());
    }
    (cpu_time() - began) / f64::from(CALLS)
}

fn mappings() -> Result<f64> {
    let began = cpu_time();
    for _ in 0..MAPPINGS {
        // SAFETY: the kernel chooses the address, and the mapping is never touched.
        unsafe {
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            let at = mmap_anonymous(ptr::null_mut(), MAPPED, protection, MapFlags::PRIVATE)?;
            munmap(at, MAPPED)?;
        }
    }
    Ok((cpu_time() - began) / f64::from(MAPPINGS))
}

/// What an application does most: a small block taken and given back. This program's allocator is the C library's.
fn allocations() -> f64 {
    let began = cpu_time();
    for _ in 0..ALLOCATIONS {
        black_box(Vec::<u8>::with_capacity(black_box(ALLOCATED)));
    }
    (cpu_time() - began) / f64::from(ALLOCATIONS)
}
