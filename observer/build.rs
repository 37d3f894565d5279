//! Builds the kernel programs (`observer-ebpf`) into `$OUT_DIR/observer-ebpf`, or says why it cannot.
//!
//! Reads the installed toolchains, produces the object and the cfg `kernel_programs`. Without a toolchain able to
//! build for `bpfel-unknown-none` the agent still builds, on stable, and observes by files only: it says so at start
//! and in `observer doctor`. `OBSERVER_REQUIRE_EBPF=1` turns that into a build failure. See docs/adr/0001.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use aya_build::{Package, Toolchain};

/// Set to 1 to fail the build where the kernel programs cannot be built.
const REQUIRE: &str = "OBSERVER_REQUIRE_EBPF";
/// Name of the object's crate, of its binary, and of the file in `$OUT_DIR`.
const OBJECT: &str = "observer-ebpf";
/// A toolchain linked under this name is used where there is no nightly with `rust-src`.
const LINKED: &str = "observer-bpf";

fn main() -> Result<()> {
    println!("cargo::rustc-check-cfg=cfg(kernel_programs)");
    println!("cargo::rerun-if-changed=build.rs");
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").context("CARGO_MANIFEST_DIR is not set")?).join("..");
    for source in ["observer-common/src", "observer-ebpf"] {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    let object = PathBuf::from(env::var("OUT_DIR").context("OUT_DIR is not set")?).join(OBJECT);
    match choose() {
        Ok(toolchain) => {
            build(&root, toolchain)?;
            println!("cargo::rustc-cfg=kernel_programs");
        }
        Err(missing) => {
            println!("cargo::rerun-if-env-changed={REQUIRE}");
            // Looked for again at every build, until it is there: a path that does not exist always counts as changed.
            println!("cargo::rerun-if-changed={}", object.with_extension("missing").display());
            if env::var_os(REQUIRE).is_some_and(|value| value == "1") {
                bail!("the kernel programs cannot be built: {missing}; `cargo xtask setup` installs what is missing");
            }
            println!("cargo::warning=built without kernel programs: {missing}; `cargo xtask setup` installs it");
            fs::write(&object, []).with_context(|| format!("cannot write {}", object.display()))?;
        }
    }
    Ok(())
}

/// A toolchain whose standard library's source is present, and what is missing where there is none.
fn choose() -> Result<Toolchain<'static>, String> {
    if !runs("bpf-linker", &["--version"]) {
        return Err("bpf-linker is not on the PATH".into());
    }
    if has_core_source("nightly") {
        return Ok(Toolchain::Nightly);
    }
    if has_core_source(LINKED) {
        return Ok(Toolchain::Custom(LINKED));
    }
    Err(format!(
        "neither a rustup nightly with rust-src nor a toolchain linked as `{LINKED}` was found"
    ))
}

/// Whether `core` can be built by this toolchain: a rustup nightly may well be installed without `rust-src`.
fn has_core_source(toolchain: &str) -> bool {
    Command::new("rustup")
        .args(["run", toolchain, "rustc", "--print", "sysroot"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .is_some_and(|sysroot| {
            Path::new(sysroot.trim())
                .join("lib/rustlib/src/rust/library/core/src/lib.rs")
                .is_file()
        })
}

fn runs(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .output()
        .is_ok_and(|output| output.status.success())
}

fn build(root: &Path, toolchain: Toolchain<'static>) -> Result<()> {
    // SAFETY: a build script's main thread is its only thread here: nothing reads the environment meanwhile.
    unsafe {
        // aya-build forwards each line of the inner cargo as a warning: leave only real ones.
        env::set_var("CARGO_TERM_QUIET", "true");
        // Paths of this machine out of the object: its BTF names sources, and the same sources give the same bytes anywhere.
        env::set_var("CARGO_UNSTABLE_TRIM_PATHS", "true");
        env::set_var("CARGO_PROFILE_RELEASE_TRIM_PATHS", "all");
        if matches!(toolchain, Toolchain::Custom(_)) {
            // A distribution's stable compiler builds `core` only with unstable flags allowed.
            env::set_var("RUSTC_BOOTSTRAP", "1");
        }
    }
    let directory = root.join(OBJECT);
    let root_dir = directory
        .to_str()
        .with_context(|| format!("{} is not UTF-8", directory.display()))?;
    aya_build::build_ebpf(
        [Package {
            name: OBJECT,
            root_dir,
            ..Package::default()
        }],
        toolchain,
    )
    .context("building the kernel programs failed (the compiler's own messages are above)")
}
