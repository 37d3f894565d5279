//! Who uses the memory of a container: reads cgroup files, /proc and the processes' memory, produces parts that add up and
//! of which none is counted twice.

mod blocks;
mod container;
pub(crate) mod mappings;
mod native;
mod outside;
mod part;
mod process;
mod regions;
mod residency;
mod thread_stacks;
mod tmpfs;
mod v8;

pub use blocks::ArenaUsage;
pub use container::{Container, ContainerError, Kernel, Moment};
pub use native::{Native, NativeClass};
pub use outside::{ByObjects, Outside};
pub use part::{Part, Parts};
pub use process::{Allocator, Process, WholeProcess};
pub use tmpfs::Tmpfs;
pub use v8::{Heap, V8};
