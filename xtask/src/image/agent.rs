//! The agent's image: reads the workspace, produces one static program and nothing beside it.
//!
//! Static through musl: no dynamic loader, no libraries, no shell in the image. Paths of the building machine are
//! remapped, so that the same sources give the same bytes elsewhere.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use observer_tests::places;

use super::{
    archive::{Entry, Image},
    cross::cross,
};
use crate::{architecture::Architecture, shell};

/// Name of the image, as manifests use it.
pub(crate) const AGENT: &str = "docker.io/local/observer:dev";

/// Builds the agent statically, with its kernel programs.
pub(crate) fn build(architecture: Architecture) -> Result<PathBuf> {
    build_in(architecture, &places::workspace(), &places::target(), &[])
}

/// The same from the sources in `workspace`, into the target directory `built`, with these settings of Cargo's in place of the
/// manifest's.
pub(super) fn build_in(
    architecture: Architecture,
    workspace: &Path,
    built: &Path,
    settings: &[&str],
) -> Result<PathBuf> {
    let target = architecture.target();
    let home = env::var("HOME").unwrap_or_default();
    let cargo_home = env::var("CARGO_HOME").unwrap_or_else(|_| format!("{home}/.cargo"));
    let mut remap = format!(
        "--remap-path-prefix={}=/observer --remap-path-prefix={cargo_home}=/cargo",
        workspace.display()
    );
    if !built.starts_with(workspace) {
        write!(remap, " --remap-path-prefix={}=/observer/target", built.display())?;
    }
    println!("image: building the agent for {target}");
    let mut command = shell::cargo(["build", "--release", "--locked", "--package", "observer"]);
    cross(&mut command, architecture)?;
    for setting in settings {
        command.args(["--config", setting]);
    }
    command
        .current_dir(workspace)
        .env("CARGO_TARGET_DIR", built)
        .env("RUSTFLAGS", remap)
        .env("OBSERVER_REQUIRE_EBPF", "1");
    shell::run(command)?;
    let binary = built.join(target).join("release/observer");
    let mut readelf = shell::command("readelf", ["--program-headers", "--wide"]);
    readelf.arg(&binary);
    let headers = shell::quiet(readelf)?;
    if headers.contains("INTERP") {
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
pub(super) fn image(architecture: Architecture, binary: &Path) -> Image {
    let mut entries = vec![Entry::program(binary, "/observer")];
    match AUTHORITIES.map(Path::new).into_iter().find(|path| path.is_file()) {
        Some(bundle) => entries.push(Entry::file(bundle, AUTHORITIES[0])),
        None => println!("image: this host has no bundle of authorities: https endpoints need --otlp-certificate"),
    }
    Image {
        name: AGENT.into(),
        architecture,
        entries,
        entrypoint: vec!["/observer".into()],
        command: vec!["run".into()],
        labels: labels(),
        compressed: false,
    }
}

/// What the image is, as its specification names it. No time and no revision: the same sources give the same image.
pub(super) fn labels() -> BTreeMap<&'static str, String> {
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
