//! Programs from published Go modules: reads a `go.mod` of ours, produces programs in the cache, or the reason why not.
//!
//! Built into a directory of its own that is renamed when complete: a build that was killed leaves nothing that looks
//! finished. Go's own checksum verification stays on, on top of the committed `go.sum`.

use std::{
    fs::{self, File},
    path::Path,
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use observer_tests::{counterpart::Counterpart, places};
use rustix::fs::{FlockOperation, flock};

use crate::shell;

/// Packages compiled at once: a linker of these programs alone takes 2 GB.
const PARALLEL: &str = "2";

/// Has the counterpart's programs, built if need be.
pub(crate) fn provide(counterpart: &Counterpart) -> Result<()> {
    if counterpart.missing().is_none() {
        return Ok(());
    }
    let directory = counterpart.directory().with_context(|| {
        format!(
            "cannot read the sources of {} in {}",
            counterpart.name,
            counterpart.source().display()
        )
    })?;
    let Counterpart { name, why, minutes, .. } = counterpart;
    let version = counterpart.version()?;
    if places::program("go").is_none() {
        bail!("{name} {version} cannot be built: there is no `go` in PATH (1.26 or newer is needed)");
    }
    let above = directory.parent().context("the cache directory has no parent")?;
    fs::create_dir_all(above).with_context(|| format!("cannot make {}", above.display()))?;
    // Two at once would build the same twice; the second one finds it done.
    let lock_path = above.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).with_context(|| format!("cannot create {}", lock_path.display()))?;
    flock(&lock, FlockOperation::LockExclusive).with_context(|| format!("cannot lock {}", lock_path.display()))?;
    if counterpart.missing().is_none() {
        return Ok(());
    }
    println!("counterpart: building {name} {version}: {why} (about {minutes} min on two cores, once)");
    let started = Instant::now();
    let building = above.join(format!("{name}.building"));
    discard(&building)?;
    fs::create_dir_all(&building).with_context(|| format!("cannot make {}", building.display()))?;
    for (index, (program, package)) in counterpart.programs.iter().enumerate() {
        let count = counterpart.programs.len();
        println!("counterpart:   {program} from {package} ({}/{count})", index + 1);
        build(counterpart, &version, &building.join(program), package)?;
    }
    discard(&directory)?;
    fs::rename(&building, &directory)
        .with_context(|| format!("cannot rename {} to {}", building.display(), directory.display()))?;
    println!(
        "counterpart: built {name} {version} in {} s",
        started.elapsed().as_secs()
    );
    Ok(())
}

fn build(counterpart: &Counterpart, version: &str, output: &Path, package: &str) -> Result<()> {
    // `v1.36.3`: major, minor, patch.
    let minor = version.split('.').nth(1).unwrap_or_default();
    let variables = counterpart.variables.iter().map(|(variable, value)| {
        let value = value.replace("{version}", version).replace("{minor}", minor);
        format!(" -X {variable}={value}")
    });
    let linker = format!("-s -w{}", variables.collect::<String>());
    let mut command = shell::command("nice", ["-n", "10", "go", "build", "-p", PARALLEL, "-trimpath"]);
    command
        // A changed `go.sum` would change what is verified: an error, not an edit.
        .arg("-mod=readonly")
        .args(["-tags", counterpart.tags, "-ldflags", &linker, "-o"])
        .arg(output)
        .arg(package)
        .current_dir(counterpart.source())
        // A workspace file further up has no say in it, and the programs run in any image.
        .env("GOWORK", "off")
        .env("CGO_ENABLED", "0");
    shell::quiet(command).map(drop)
}

fn discard(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}
