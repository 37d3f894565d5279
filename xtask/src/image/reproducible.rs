//! The image from two copies of the sources in two directories: reads the workspace, produces both images, which must be the same
//! bytes.

use std::{fs, path::Path};

use observer_tests::{need, stage::Scratch};
use sha2::{Digest as _, Sha256};

use super::agent;
use crate::{architecture::Architecture, shell};

/// A release's settings but for the optimiser, which takes most of its time: paths, order, stripping and what is embedded are the same.
const QUICK: [&str; 3] = [
    "profile.release.lto=false",
    "profile.release.opt-level=0",
    "profile.release.codegen-units=16",
];

#[test]
fn the_image_does_not_depend_on_the_directory_it_is_built_in() {
    need!(Full);
    let scratch = Scratch::new("reproducible").unwrap();
    let copies = ["one", "another/of/a/longer/name"].map(|name| scratch.file(name));
    // Both before the first is built: somebody may be editing.
    for copy in &copies {
        copy_sources(copy);
    }
    let digests = copies.map(|workspace| {
        let program = agent::build_in(Architecture::host(), &workspace, &workspace.join("target"), &QUICK).unwrap();
        let bytes = fs::read(&program).unwrap();
        let path = workspace.display().to_string();
        let named = bytes.windows(path.len()).position(|part| part == path.as_bytes());
        assert_eq!(named, None, "the program names {path}");
        let archive = scratch.file("image.tar");
        agent::image(Architecture::host(), &program).write(&archive).unwrap();
        // A gigabyte.
        fs::remove_dir_all(&workspace).unwrap();
        Sha256::digest(fs::read(&archive).unwrap())
    });
    assert_eq!(digests[0], digests[1]);
}

/// All that is or would be committed.
fn copy_sources(to: &Path) {
    let listed = shell::command("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let root = observer_tests::places::workspace();
    for file in shell::quiet(listed)
        .unwrap()
        .split('\0')
        .filter(|file| !file.is_empty())
    {
        let copy = to.join(file);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(root.join(file), copy).unwrap();
    }
}
