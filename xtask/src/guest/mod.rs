//! Guests under emulation: reads Debian's kernels and this host's programs, produces a kernel image, a root to boot it
//! with, and the emulator's command line.

mod archive;
mod emulator;
mod fetch;
mod release;
mod tree;

pub(crate) use emulator::emulator;
pub(crate) use fetch::{Image, impossible, kernel, root_of, unpack_of};
pub(crate) use release::{RELEASES, Release};
pub(crate) use tree::{Tree, executable, installed};
