//! Programs for a guest of another machine than this: reads names of Debian's and npm's packages, produces what the tests run
//! there.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{
    architecture::Architecture,
    guest::{self, Tree},
    setup,
};

/// Debian's release they are taken of, whichever kernel is booted.
const SUITE: &str = "trixie";
/// Packages with what the tests run, and with the libraries that Node.js names.
const PACKAGES: [&str; 5] = ["busybox-static", "libatomic1", "libstdc++6", "python3", "util-linux"];
/// What is taken of them: where it is there, and in the guest.
const PROGRAMS: [(&str, &str); 3] = [
    ("usr/bin/busybox", "/bin/busybox"),
    ("usr/bin/python3", "/usr/bin/python3"),
    ("usr/bin/setpriv", "/usr/bin/setpriv"),
];
/// Node.js: the newest with long-term support.
const NODE: u32 = 24;

/// Puts them into a guest's root, with their libraries.
pub(super) fn programs(tree: &Tree, architecture: Architecture) -> Result<()> {
    let root = guest::root_of(SUITE, architecture, &PACKAGES)?;
    for (from, to) in PROGRAMS {
        tree.file(&root.join(from), Path::new(to))?;
    }
    // Debian has merged the two; programs name their loader by the shorter path.
    tree.copy(&root.join("usr/lib"), Path::new("/usr/lib"))?;
    tree.link("usr/lib", Path::new("/lib"))?;
    let node: PathBuf = setup::node_for(architecture, NODE)?;
    tree.file(&node, Path::new("/usr/bin/node"))
}
