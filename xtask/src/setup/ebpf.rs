//! What building the kernel programs needs: a compiler with the source of its standard library (`core` is built for
//! `bpfel-unknown-none`) and `bpf-linker` made for that compiler's LLVM.
//!
//! Reads rustup's toolchains, produces the first usable one: rustup's nightly with `rust-src`; where rustup cannot
//! download, Debian's `rustc-web` linked as `observer-bpf`.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};
use observer_tests::places;

use super::{
    need::{Need, install},
    packages,
};
use crate::shell;

/// Version of bpf-linker.
const LINKER: &str = "0.13.0";
/// How it is compiled: what takes time in it is LLVM's library, which is compiled already. Its own profile takes three times as
/// long (66 s of processor time instead of 25 s) and saves 0.2 s at each link.
const LINKER_PROFILE: [(&str, &str); 4] = [
    ("OPT_LEVEL", "0"),
    ("LTO", "off"),
    ("CODEGEN_UNITS", "16"),
    ("DEBUG", "0"),
];
/// Name under which Debian's compiler is linked.
const LINKED: &str = "observer-bpf";

pub(super) fn needs() -> Vec<Need> {
    vec![
        Need::new(
            "a Rust toolchain with rust-src",
            "the kernel programs need `core` built for bpfel-unknown-none",
            || toolchain().is_some(),
            install_toolchain,
        ),
        Need::new(
            "a C compiler",
            "crates with C sources, and linking",
            || places::program("cc").is_some(),
            || packages::apt(&["gcc", "libc6-dev"]),
        ),
        Need::new(
            format!("bpf-linker {LINKER}"),
            "links the kernel programs",
            linker_fits,
            install_linker,
        ),
    ]
}

/// The first toolchain able to build the kernel programs.
pub(super) fn toolchain() -> Option<&'static str> {
    ["nightly", LINKED].into_iter().find(|name| {
        rustc(name, &["--print", "sysroot"]).is_ok_and(|sysroot| {
            let library = PathBuf::from(sysroot.trim()).join("lib/rustlib/src/rust/library");
            library.join("core/Cargo.toml").is_file()
        })
    })
}

fn rustup<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = shell::command("rustup", arguments);
    // Asking whether a toolchain is there must not install it.
    command.env("RUSTUP_AUTO_INSTALL", "0");
    command
}

fn rustc(toolchain: &str, arguments: &[&str]) -> Result<String> {
    shell::quiet(rustup(
        ["run", toolchain, "rustc"].into_iter().chain(arguments.iter().copied()),
    ))
}

fn install_toolchain() -> Result<()> {
    if places::program("rustup").is_none() {
        bail!("no rustup; install it as https://rustup.rs tells");
    }
    // A nightly may be there without rust-src: then the component is asked for, not another toolchain.
    let from_rustup = if rustc("nightly", &["--version"]).is_ok() {
        install(rustup(["component", "add", "rust-src", "--toolchain", "nightly"]))
    } else {
        let arguments = [
            "toolchain",
            "install",
            "nightly",
            "--profile",
            "minimal",
            "--component",
            "rust-src",
        ];
        install(rustup(arguments))
    };
    from_rustup.or_else(|error| {
        println!(
            "setup:   rustup could not ({}); Debian's compiler instead",
            first_line(&error)
        );
        packages::apt(&["rustc-web", "cargo-web", "rust-web-src"])?;
        install(rustup(["toolchain", "link", LINKED, "/usr"]))
    })
}

fn first_line(error: &anyhow::Error) -> String {
    format!("{error:#}").lines().next().unwrap_or_default().to_owned()
}

/// Major version of the LLVM that the toolchain emits bitcode with: an older linker cannot read it.
fn llvm_major() -> Result<u32> {
    let toolchain = toolchain().context("no toolchain")?;
    let version = rustc(toolchain, &["-vV"])?;
    version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))
        .and_then(|version| version.split('.').next()?.parse().ok())
        .with_context(|| format!("`rustc -vV` of {toolchain} names no LLVM version"))
}

fn linker_fits() -> bool {
    let Some(linker) = places::program("bpf-linker") else {
        return false;
    };
    let path = linker.to_string_lossy().into_owned();
    let right_version =
        shell::quiet(shell::command(&path, ["--version"])).is_ok_and(|version| version.trim().ends_with(LINKER));
    // A statically linked one does not name its LLVM; it is believed.
    let libraries = shell::quiet(shell::command("ldd", [&path])).unwrap_or_default();
    let llvm = libraries.lines().find_map(|line| line.trim().strip_prefix("libLLVM"));
    let right_llvm = match (llvm, llvm_major()) {
        (Some(library), Ok(major)) => library.contains(&major.to_string()),
        _ => true,
    };
    right_version && right_llvm
}

fn install_linker() -> Result<()> {
    let major = llvm_major()?;
    let llvm = format!("llvm-{major}-dev");
    let polly = format!("libpolly-{major}-dev");
    if !packages::known(&llvm) {
        bail!("the compiler emits LLVM {major} bitcode and this distribution has no {llvm}");
    }
    let wanted = [llvm.as_str(), &polly, "zlib1g-dev", "libzstd-dev", "g++"];
    let absent: Vec<&str> = wanted
        .into_iter()
        .filter(|package| !packages::installed(package))
        .collect();
    if !absent.is_empty() {
        packages::apt(&absent)?;
    }
    let feature = format!("llvm-{major}");
    let mut command = shell::cargo(["install", "bpf-linker", "--version", LINKER, "--locked", "--force"]);
    command
        .args(["--no-default-features", "--features", &feature])
        .env("LLVM_PREFIX", format!("/usr/lib/llvm-{major}"));
    for (name, value) in LINKER_PROFILE {
        command.env(format!("CARGO_PROFILE_RELEASE_{name}"), value);
    }
    install(command)
}
