//! The emulator: reads a kernel and its root, produces the command line that boots them.

use std::{path::Path, process::Command};

use super::fetch::Image;

/// Arguments of a QEMU that boots this kernel with this root and two serial lines, which the caller adds; `append` goes
/// to the kernel. They follow whatever runs the emulator.
pub(crate) fn emulator(command: &mut Command, kernel: &Image, root: &Path, memory: &str, append: &str, kvm: bool) {
    command.args(if kvm {
        ["-accel", "kvm", "-cpu", "host"]
    } else {
        // QEMU 7.2 emulates cmpxchg16b wrongly on two processors: the guest's slab allocator panics.
        ["-accel", "tcg,thread=multi", "-cpu", "max,-cx16"]
    });
    // `no_timer_check`: on a busy host an emulated timer may be too late for the kernel's own test of it, which panics.
    let append = format!("console=ttyS0 loglevel=4 panic=-1 no_timer_check {append}");
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
