//! Reads the mounts that a process sees, produces those of a tmpfs with files in them.

use std::{collections::BTreeSet, fs, path::Path};

use crate::source::rooted::Rooted;

/// Mounts of one container that are looked at.
const MOST_MOUNTS: usize = 64;

/// A mounted tmpfs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Tmpfs {
    /// Where, in the container.
    pub mount: String,
    /// Bytes of files in it, whoever is charged for them.
    pub used: u64,
}

/// The tmpfs mounts that a process sees and that hold something.
pub(super) fn tmpfs(pid: u32) -> Vec<Tmpfs> {
    let Ok(root) = Rooted::of_pid(pid) else {
        return Vec::new();
    };
    let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    let mut devices = BTreeSet::new();
    let mut mounts = BTreeSet::new();
    // Of several at one place the last is seen, of several places of one tmpfs the last made is named.
    let mut found: Vec<Tmpfs> = text
        .lines()
        .rev()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(2);
            let (device, mount) = (fields.next()?, fields.nth(1)?);
            let new = mounts.insert(mount) && line.contains(" - tmpfs ") && devices.insert(device);
            new.then(|| mount.to_owned())
        })
        .take(MOST_MOUNTS)
        .filter_map(|mount| {
            // A mount point that its mount namespace has covered or moved is another file system, or none.
            let stat = root.file_system(Path::new(&mount)).ok()?;
            let used = (stat.f_blocks.saturating_sub(stat.f_bfree)) * stat.f_frsize;
            (used > 0).then_some(Tmpfs { mount, used })
        })
        .collect();
    found.sort_by_key(|tmpfs| std::cmp::Reverse(tmpfs.used));
    found
}
