//! Where things are: reads the environment, produces the paths that the tests, the demo and the set-up share.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The workspace's root.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// What is fetched or built once for all checkouts: `$XDG_CACHE_HOME/observer`, else `~/.cache/observer`.
pub fn cache() -> PathBuf {
    let base = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
        .unwrap_or_else(env::temp_dir);
    base.join("observer")
}

/// The programs that tests and demo run: `$OBSERVER_FIXTURES`, else those of this checkout, which a guest of the kernel
/// matrix cannot see.
pub fn fixtures() -> PathBuf {
    env::var_os("OBSERVER_FIXTURES").map_or_else(|| workspace().join("tests/fixtures"), PathBuf::from)
}

/// The agent: `$OBSERVER_BIN`, else the release build, else the debug build, whichever is newer.
pub fn agent() -> PathBuf {
    if let Some(path) = env::var_os("OBSERVER_BIN") {
        return PathBuf::from(path);
    }
    let built = |profile: &str| target().join(profile).join("observer");
    let modified = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    let (release, debug) = (built("release"), built("debug"));
    if modified(&release) >= modified(&debug) {
        release
    } else {
        debug
    }
}

/// The first executable of this name in `PATH` and the usual system directories (a user's `PATH` lacks sbin).
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// Node.js of this major version as the `node` package of npm unpacked it, where it is in the cache.
pub fn cached_node(major: u32) -> Option<PathBuf> {
    let path = cache().join(format!("node-{major}/node_modules/node/bin/node"));
    path.is_file().then_some(path)
}

/// Where Debian's build of Node.js, with its libraries, is unpacked.
pub fn debian_node() -> PathBuf {
    cache().join("counterparts/debian-nodejs")
}

/// Bun, which is no Node.js, where it is in the cache.
pub fn cached_bun() -> Option<PathBuf> {
    let path = cache().join("bun/node_modules/bun/bin/bun.exe");
    path.is_file().then_some(path)
}

/// Where this package of npm's is in the cache, below a directory of its own.
pub fn npm_package(directory: &str, package: &str) -> Option<PathBuf> {
    let path = cache().join(directory).join("node_modules").join(package);
    path.is_dir().then_some(path)
}

/// The Node.js that tests run by default: the distribution's, else the newest of the cache.
pub fn node() -> Option<PathBuf> {
    program("node").or_else(|| (18..=40).rev().find_map(cached_node))
}

/// The Python of the virtual environment with the official OpenTelemetry protobuf classes.
pub fn python() -> PathBuf {
    cache().join("python/bin/python3")
}

/// Mount point of the hierarchy that accounts for memory, and its cgroup version (1 or 2).
pub fn memory_controller() -> Option<(PathBuf, u8)> {
    let v1 = Path::new("/sys/fs/cgroup/memory");
    if v1.join("memory.limit_in_bytes").exists() || v1.join("memory.usage_in_bytes").exists() {
        return Some((v1.to_path_buf(), 1));
    }
    let v2 = Path::new("/sys/fs/cgroup");
    let controllers = std::fs::read_to_string(v2.join("cgroup.controllers")).unwrap_or_default();
    controllers
        .split_whitespace()
        .any(|controller| controller == "memory")
        .then(|| (v2.to_path_buf(), 2))
}
