//! Images that tests run: reads this host's Node.js with its libraries, and a C source of ours; produces images.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use observer_tests::places;

use super::{Image, archive::Entry};
use crate::{architecture::Architecture, shell};

/// This host's Node.js; the script comes with the pod.
pub(crate) fn node(name: &str) -> Result<Image> {
    let node = places::node().context("no Node.js to make an image of: `cargo xtask setup`")?;
    with_libraries(name, &node, "/usr/bin/node", &[])
}

/// A program under `path`, and the libraries it loads, at the paths they have here.
pub(super) fn with_libraries(name: &str, program: &Path, path: &str, command: &[&str]) -> Result<Image> {
    let mut entries = vec![Entry::program(program, path)];
    let listed = shell::quiet(shell::command("ldd", [program]))
        .with_context(|| format!("cannot find which libraries {} loads", program.display()))?;
    entries.extend(libraries(&listed).map(|library| Entry::program(Path::new(library), library)));
    Ok(Image {
        name: name.into(),
        architecture: Architecture::host(),
        entries,
        entrypoint: vec![path.into()],
        command: command.iter().map(ToString::to_string).collect(),
        labels: BTreeMap::new(),
        compressed: false,
    })
}

/// Paths in `ldd`'s output: `libm.so.6 => /lib/libm.so.6 (0x..)`, and the loader alone on its line.
fn libraries(listed: &str) -> impl Iterator<Item = &str> {
    listed
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
}

/// What holds a pod's namespaces; compiled into `scratch`.
pub(crate) fn pause(name: &str, scratch: &Path) -> Result<Image> {
    let source = places::workspace().join("xtask/counterpart/pause/pause.c");
    let program: PathBuf = scratch.join("pause");
    let mut compile = shell::command("cc", ["-static", "-Os", "-Wall", "-o"]);
    compile.arg(&program).arg(&source);
    shell::quiet(compile).context("the pause program needs a C compiler and the static C library")?;
    Ok(Image {
        name: name.into(),
        architecture: Architecture::host(),
        entries: vec![Entry::program(&program, "/pause")],
        entrypoint: vec!["/pause".into()],
        command: Vec::new(),
        labels: BTreeMap::new(),
        compressed: false,
    })
}

#[cfg(test)]
mod tests {
    use super::libraries;

    #[test]
    fn libraries_of_an_ldd_listing() {
        let listed = "\tlinux-vdso.so.1 (0x00007ff)\n\tlibm.so.6 => /lib/x/libm.so.6 (0x00007f)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let expected = ["/lib/x/libm.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(libraries(listed).collect::<Vec<_>>(), expected);
    }
}
