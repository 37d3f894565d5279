//! The agent's image: reads the workspace, produces one static program and nothing beside it.
//!
//! Static through musl: no dynamic loader, no libraries, no shell in the image. Paths of the building machine are
//! remapped, so that the same sources give the same bytes elsewhere.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use observer_tests::places;

use super::archive::{Entry, Image};
use crate::{setup, shell};

/// Name of the image, as manifests use it.
pub(crate) const AGENT: &str = "docker.io/local/observer:dev";

/// The Rust target of a static program for this machine's architecture.
fn target() -> String {
    format!("{}-unknown-linux-musl", env::consts::ARCH)
}

/// Builds the agent statically, with its kernel programs.
pub(crate) fn build() -> Result<PathBuf> {
    let target = target();
    let installed = shell::quiet(shell::command("rustup", ["target", "list", "--installed"])).unwrap_or_default();
    if !installed.lines().any(|line| line == target) {
        println!("image: adding the Rust target {target}");
        shell::quiet(shell::command("rustup", ["target", "add", &target]))
            .with_context(|| format!("a static agent needs the Rust target {target}"))?;
    }
    if places::program("musl-gcc").is_none() {
        println!("image: musl-gcc is missing (a static agent has a few C sources): installing musl-tools");
        setup::packages(&["musl-tools"])?;
    }
    let home = env::var("HOME").unwrap_or_default();
    let cargo_home = env::var("CARGO_HOME").unwrap_or_else(|_| format!("{home}/.cargo"));
    let workspace = places::workspace();
    let remap = format!(
        "--remap-path-prefix={}=/observer --remap-path-prefix={cargo_home}=/cargo",
        workspace.display()
    );
    println!("image: building the agent for {target}");
    let mut command = shell::cargo(["build", "--release", "--package", "observer", "--target", &target]);
    command.env("RUSTFLAGS", remap).env("OBSERVER_REQUIRE_EBPF", "1");
    shell::run(command)?;
    let binary = places::target().join(target).join("release/observer");
    let kind = shell::quiet(shell::command("ldd", [&binary])).unwrap_or_default();
    if kind.contains("=>") {
        bail!(
            "{} is not static: it would not start in an image without libraries",
            binary.display()
        );
    }
    Ok(binary)
}

/// Where distributions keep the authorities that TLS trusts.
const AUTHORITIES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

/// The image: `/observer`, run as root, with the capabilities that the manifest gives, and the authorities that this host
/// trusts, for an OTLP endpoint with a public certificate.
pub(super) fn image(binary: &Path) -> Image {
    let mut entries = vec![Entry::program(binary, "/observer")];
    match AUTHORITIES.map(Path::new).into_iter().find(|path| path.is_file()) {
        Some(bundle) => entries.push(Entry::file(bundle, AUTHORITIES[0])),
        None => println!("image: this host has no bundle of authorities: https endpoints need --otlp-certificate"),
    }
    Image {
        name: AGENT.into(),
        entries,
        entrypoint: vec!["/observer".into()],
        command: vec!["run".into()],
        labels: labels(),
    }
}

/// What the image is, as its specification names it. No time and no revision: the same sources give the same image.
fn labels() -> BTreeMap<&'static str, String> {
    [
        ("org.opencontainers.image.title", "observer"),
        (
            "org.opencontainers.image.description",
            "Finds memory leaks of Node.js services from outside",
        ),
        ("org.opencontainers.image.version", env!("CARGO_PKG_VERSION")),
        ("org.opencontainers.image.licenses", env!("CARGO_PKG_LICENSE")),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}
