//! The emulator: reads a kernel and its root, produces the command line that boots them.

use std::{path::Path, process::Command};

use super::fetch::Image;
use crate::architecture::Architecture;

/// The machine, the processor where it is emulated, and what its kernel is told of its console.
const fn machine(architecture: Architecture) -> (&'static str, &'static str, &'static str) {
    match architecture {
        // QEMU 7.2 emulates cmpxchg16b wrongly on two processors: the guest's slab allocator panics.
        // `no_timer_check`: on a busy host an emulated timer may be too late for the kernel's own test of it, which panics.
        Architecture::X86_64 => ("pc", "max,-cx16", "console=ttyS0 no_timer_check"),
        // The processor of Graviton 2 and Ampere Altra.
        Architecture::Aarch64 => ("virt,gic-version=max", "neoverse-n1", "console=ttyAMA0"),
    }
}

/// Arguments of a QEMU that boots this kernel with this root and serial lines, which the caller adds; `append` goes to the
/// kernel. They follow whatever runs the emulator.
pub(crate) fn emulator(command: &mut Command, kernel: &Image, root: &Path, memory: &str, append: &str, kvm: bool) {
    let (machine, processor, console) = machine(kernel.architecture);
    command.args(["-machine", machine]);
    command.args(if kvm {
        ["-accel", "kvm", "-cpu", "host"]
    } else {
        ["-accel", "tcg,thread=multi", "-cpu", processor]
    });
    let append = format!("{console} loglevel=4 panic=-1 {append}");
    command
        .args([
            "-smp",
            "2",
            "-m",
            memory,
            "-display",
            "none",
            "-no-reboot",
            "-nodefaults",
        ])
        .arg("-kernel")
        .arg(&kernel.file)
        .arg("-initrd")
        .arg(root)
        .args(["-append", &append]);
}
