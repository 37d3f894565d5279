//! The kubectl plugin: reads the agent's program and krew's template, produces the archive and the manifest of a release.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::Args;
use flate2::{Compression, GzBuilder};
use observer_tests::places;
use sha2::{Digest as _, Sha256};

use crate::{architecture::Architecture, image};

/// The plugin's file, which kubectl finds by its name. It is the agent's program.
const PROGRAM: &str = "kubectl-observer";

/// Where to, and from where people will fetch it.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Directory for the archive and the manifest; `target/plugin` by default
    #[arg(long, short)]
    output: Option<PathBuf>,
    /// Address of the directory that the archive will be fetched from
    #[arg(long)]
    url: String,
    /// Pack this program instead of building a static one: quick, for tests
    #[arg(long, value_name = "PROGRAM")]
    built: Option<PathBuf>,
}

/// `cargo xtask plugin`
pub(crate) fn command(options: &Options) -> Result<ExitCode> {
    let directory = options
        .output
        .clone()
        .unwrap_or_else(|| places::target().join("plugin"));
    let (program, compression) = match &options.built {
        Some(program) => (program.clone(), Compression::fast()),
        None => (image::build_agent(Architecture::host())?, Compression::best()),
    };
    let arch = Architecture::host().oci();
    let version = env!("CARGO_PKG_VERSION");
    let name = format!("{PROGRAM}-v{version}-linux-{arch}.tar.gz");
    let archive = archive(&program, compression)?;
    let digest = Sha256::digest(&archive);
    let sha256 = digest
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));

    let template = places::workspace().join("deploy/krew/observer.yaml");
    let template = fs::read_to_string(&template).with_context(|| format!("cannot read {}", template.display()))?;
    let mut manifest: String = template
        .lines()
        .filter(|line| !line.starts_with('#'))
        .fold(String::new(), |text, line| text + line + "\n");
    for (field, value) in [
        ("{version}", version),
        ("{url}", options.url.trim_end_matches('/')),
        ("{arch}", arch),
        ("{archive}", &name),
        ("{sha256}", &sha256),
    ] {
        manifest = manifest.replace(field, value);
    }
    let write = |name: &str, bytes: &[u8]| {
        let path = directory.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        println!("plugin: {}", path.display());
        anyhow::Ok(())
    };
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    write(&name, &archive)?;
    write("observer.yaml", manifest.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The program and the licence, with the same bytes each time: no times, no owners.
fn archive(program: &Path, compression: Compression) -> Result<Vec<u8>> {
    let licence = places::workspace().join("LICENSE");
    let packed = GzBuilder::new().mtime(0).write(Vec::new(), compression);
    let mut archive = tar::Builder::new(packed);
    for (name, source, mode) in [("LICENSE", licence.as_path(), 0o644), (PROGRAM, program, 0o755)] {
        let content = fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        header.set_mtime(0);
        archive
            .append_data(&mut header, name, content.as_slice())
            .context("cannot pack the plugin")?;
    }
    let packed = archive.into_inner().context("cannot pack the plugin")?;
    packed.finish().context("cannot compress the plugin")
}
