//! The guest's disk: reads the cache and the sources of programs, produces an image with a file system.
//!
//! The guest's root lies in memory, where a file is no page cache. What tests find in the cache is on this disk, with what a
//! compiler made before, and there is room for what they write. Nothing that a guest writes is kept.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use observer_tests::{compiled, musl, places, stage::Scratch};

use crate::{
    guest::{Image, Tree},
    shell,
};

/// Bytes; the file takes what is written.
const SIZE: u64 = 3 << 30;
/// Node.js beside this host's: from 22 on V8 keeps pages whose objects it has moved.
const NODE: u32 = 24;
/// What the cache has that is preloaded: Debian's packages, and the library's name.
const LIBRARIES: [(&str, &str); 2] = [
    ("libjemalloc2", "libjemalloc.so.2"),
    ("libmimalloc2.0", "libmimalloc.so.2.0"),
];
/// Kernel modules that a disk needs, as far as they are not built in, in the order of their needs.
const MODULES: [&str; 5] = ["crc16", "mbcache", "jbd2", "ext4", "virtio_blk"];

/// Where the guest has it.
pub(super) const MOUNT: &str = "/disk";
/// Below it: what `~/.cache` is here, what was compiled, and what is Cargo's target directory here.
pub(super) const CACHE: &str = "cache";
pub(super) const COMPILED: &str = "compiled";
pub(super) const TARGET: &str = "target";

/// Makes the image; libraries that its programs name go into the guest's root.
pub(super) fn make(scratch: &Scratch, root: &mut Tree) -> Result<()> {
    let tree = Tree::new(scratch.file("volume"));
    for directory in [CACHE, COMPILED, TARGET] {
        tree.directory(directory)?;
    }
    let compiled = tree.at(Path::new(COMPILED));
    for source in compiled::ALL {
        // Where it cannot be had, its tests are skipped by name.
        if source.missing().is_none() {
            root.libraries_of(&source.compiled(&compiled)?)?;
        }
    }
    let node = places::cached_node(NODE).into_iter();
    let libraries = LIBRARIES
        .into_iter()
        .filter_map(|(package, library)| observer_tests::counterpart::debian_library(package, library));
    for file in node.chain(libraries) {
        root.libraries_of(&file)?;
        // Both are links into what a package holds beside.
        tree.file(&file.canonicalize()?, &in_cache(&file)?)?;
    }
    if musl::root().is_dir() {
        let to = tree.at(&in_cache(&musl::root())?);
        fs::create_dir_all(&to).with_context(|| format!("cannot make {}", to.display()))?;
        let mut copy = shell::command("cp", ["--archive", "--no-target-directory"]);
        copy.args([musl::root(), to]);
        shell::quiet(copy)?;
    }
    let image = file(scratch);
    File::create(&image)
        .and_then(|file| file.set_len(SIZE))
        .with_context(|| format!("cannot make {}", image.display()))?;
    let program = places::program("mkfs.ext4").context("no mkfs.ext4: `apt-get install e2fsprogs`")?;
    let mut make = std::process::Command::new(program);
    make.args(["-q", "-d"]).arg(tree.at(Path::new("/"))).arg(&image);
    shell::quiet(make)?;
    tree.remove()
}

/// The image.
pub(super) fn file(scratch: &Scratch) -> PathBuf {
    scratch.file("volume.ext4")
}

/// Where the disk has what the cache has here.
fn in_cache(path: &Path) -> Result<PathBuf> {
    let below = path.strip_prefix(places::cache())?;
    Ok(Path::new(CACHE).join("observer").join(below))
}

/// The root as it was packed, with the modules that this kernel needs for a disk: archives may follow one another.
pub(super) fn with_modules(root: &Path, kernel: &Image, scratch: &Scratch) -> Result<PathBuf> {
    let tree = Tree::new(scratch.file("modules"));
    let names = tree.modules(kernel, &MODULES)?;
    fs::write(tree.at(Path::new("modules/order")), names.join(" ") + "\n")?;
    let modules = scratch.file("modules.cpio");
    tree.pack(&modules)?;
    tree.remove()?;
    let both = scratch.file("initrd.cpio");
    let mut into = File::create(&both).with_context(|| format!("cannot make {}", both.display()))?;
    for archive in [root, &modules] {
        let mut from = File::open(archive).with_context(|| format!("cannot read {}", archive.display()))?;
        std::io::copy(&mut from, &mut into).with_context(|| format!("cannot write {}", both.display()))?;
    }
    Ok(both)
}
