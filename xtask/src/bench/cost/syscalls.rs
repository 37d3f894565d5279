//! The tax on system calls: measures CPU time of cheap calls of this thread beside the agent, produces ratios.

use std::{path::Path, ptr};

use anyhow::Result;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use super::{
    containers::Containers,
    footprint::cpu_time,
    pairs::{self, quartiles},
};

/// Calls of each kind in one measurement: a tenth of a second.
const CALLS: u32 = 1_000_000;
const MAPPINGS: u32 = 50_000;
const MAPPED: usize = 64 << 10;

pub(super) fn measure(program: &Path, rounds: usize) -> Result<String> {
    // Something to watch and to trace, which is not this thread.
    let _container = Containers::start(1)?;
    let ratios = pairs::run(program, rounds, || Ok([getppid(), mappings()?]))?;
    let mut table = String::from("| beside | getppid | mmap and munmap |\n|---|---|---|\n");
    for (beside, [calls, mappings]) in &ratios {
        table.push_str(&format!(
            "| {} | {} | {} |\n",
            beside.name(),
            quartiles(calls),
            quartiles(mappings)
        ));
    }
    Ok(table)
}

/// The cheapest call there is; nanoseconds.
fn getppid() -> f64 {
    let began = cpu_time();
    for _ in 0..CALLS {
        std::hint::black_box(rustix::process::getppid());
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
