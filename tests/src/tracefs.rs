//! tracefs, which the second rung of hooks needs and many hosts do not mount: reads nothing, produces a mount that only
//! the calling thread and what it starts can see.

use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    thread::{UnshareFlags, unshare_unsafe},
};

/// Where it is mounted.
const PLACE: &str = "/sys/kernel/tracing";

/// Makes sure that this thread, and every program it starts from here on, finds tracefs. A host without it stays without:
/// the mount is in a namespace of this thread's own.
pub fn mounted_here() -> Result<()> {
    if Path::new(PLACE).join("events").is_dir() {
        return Ok(());
    }
    // SAFETY: only the mount namespace is left, and it shares no memory; this thread's file-system context is its own
    // from here on, which nothing in the tests relies on.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.context("cannot leave the mount namespace")?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("cannot keep mounts to this namespace")?;
    mount("tracefs", PLACE, "tracefs", MountFlags::empty(), None).with_context(|| format!("cannot mount {PLACE}"))
}
