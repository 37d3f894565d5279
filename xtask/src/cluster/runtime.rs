//! Containerd: reads where its programs are, produces a running one with the images that pods here use.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use observer_tests::places;

use super::{configuration, control, part, place::Place};
use crate::{counterpart, shell};

/// Filesystems that overlayfs does not stack on.
const NOT_BELOW_OVERLAY: [&str; 2] = ["overlay", "overlayfs"];

/// Programs that the runtime consists of.
pub(super) struct Programs {
    pub(super) containerd: PathBuf,
    pub(super) cni: PathBuf,
}

/// Finds them, or takes them out of the distribution's packages.
pub(super) fn programs() -> Result<Programs> {
    if places::program("runc").is_none() {
        bail!("no runc: `cargo xtask setup`");
    }
    Ok(Programs {
        containerd: counterpart::debian_program("containerd", "usr/bin/containerd")?,
        cni: cni_plugins()?,
    })
}

/// The directory of the CNI plugins; `bridge` in `PATH` would be another program.
fn cni_plugins() -> Result<PathBuf> {
    let found = || {
        let unpacked = counterpart::debian_directory("containernetworking-plugins").join("usr/lib/cni");
        ["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"]
            .map(PathBuf::from)
            .into_iter()
            .chain([unpacked])
            .find(|directory| directory.join("bridge").is_file() && directory.join("host-local").is_file())
    };
    if let Some(directory) = found() {
        return Ok(directory);
    }
    counterpart::debian_unpack("containernetworking-plugins")?;
    found().context("the package containernetworking-plugins holds no bridge plugin")
}

/// Starts containerd and waits for its answer.
pub(super) fn start(place: &Place, programs: &Programs) -> Result<()> {
    let kind = shell::quiet(shell::command("stat", ["-f", "-c", "%T", super::place::DIRECTORY]))?;
    let snapshotter = if NOT_BELOW_OVERLAY.contains(&kind.trim()) {
        "native"
    } else {
        "overlayfs"
    };
    let file = place.at("containerd.toml");
    fs::write(&file, configuration::containerd_file(place, &programs.cni, snapshotter))
        .with_context(|| format!("cannot write {}", file.display()))?;
    let arguments = ["--config".to_owned(), place.text("containerd.toml")];
    part::start(place, "containerd", &programs.containerd, &arguments)?;
    let answers = || ctr(place, &["version"]).is_ok_and(shell::succeeds);
    control::until(
        place,
        "containerd",
        "containerd answers",
        Duration::from_mins(1),
        answers,
    )
}

/// Imports an OCI archive under the name it carries; what containerd says.
pub(super) fn load(place: &Place, archive: &Path) -> Result<String> {
    let mut command = ctr(place, &["--namespace", "k8s.io", "images", "import"])?;
    command.arg(archive);
    shell::quiet(command)
}

fn ctr(place: &Place, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(counterpart::debian_program("containerd", "usr/bin/ctr")?);
    command.arg("--address").arg(place.socket()).args(arguments);
    Ok(command)
}
