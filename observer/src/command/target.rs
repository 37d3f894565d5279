//! Resolves what the user named, a PID or the id of a container, to a process.

use std::fs;

use anyhow::{Context, bail};

use crate::source::memory;

/// Shorter beginnings of container ids are not accepted: they would match a PID, or many containers.
const SHORTEST_ID: usize = 8;

/// The one Node.js process that is meant.
pub(super) fn node(target: &str) -> anyhow::Result<u32> {
    if let Ok(pid) = target.parse::<u32>() {
        return Ok(pid);
    }
    let mut found = members(target)?;
    found.retain(|&pid| memory::metadata(pid).is_ok());
    match found[..] {
        [pid] => Ok(pid),
        [] => bail!("no Node.js process was found whose cgroup names a container `{target}`"),
        _ => bail!("container `{target}` runs several Node.js processes, {found:?}: name one of them"),
    }
}

/// A process of what is meant: the one with this PID, or any of the container, a Node.js process if it has one.
pub(super) fn any(target: &str) -> anyhow::Result<u32> {
    if let Ok(pid) = target.parse::<u32>() {
        return Ok(pid);
    }
    let found = members(target)?;
    let node = found.iter().find(|&&pid| memory::metadata(pid).is_ok());
    node.or_else(|| found.first())
        .copied()
        .with_context(|| format!("no process was found whose cgroup names a container `{target}`"))
}

/// The processes of a container.
fn members(target: &str) -> anyhow::Result<Vec<u32>> {
    if target.len() < SHORTEST_ID {
        bail!("`{target}` is neither a PID nor at least {SHORTEST_ID} characters of a container's id");
    }
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot list /proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // Processes may end while they are listed.
        let Ok(cgroups) = fs::read_to_string(format!("/proc/{pid}/cgroup")) else {
            continue;
        };
        if names(&cgroups, target) {
            found.push(pid);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Whether a component of a cgroup path is this container: `ID`, `docker-ID.scope`, `cri-containerd-ID.scope`.
fn names(cgroups: &str, id: &str) -> bool {
    cgroups
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .flat_map(|path| path.split('/'))
        .any(|component| {
            let component = component.strip_suffix(".scope").unwrap_or(component);
            component.starts_with(id)
                || component
                    .rsplit(['-', ':'])
                    .next()
                    .is_some_and(|last| last.starts_with(id))
        })
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn ids_are_found_in_the_paths_of_every_runtime() {
        let id = "4f2a9c01";
        assert!(names("11:memory:/docker/4f2a9c01e7\n", id));
        assert!(names("0::/system.slice/docker-4f2a9c01e7.scope\n", id));
        assert!(names(
            "0::/kubepods.slice/kubepods-podabc.slice/cri-containerd-4f2a9c01e7.scope\n",
            id
        ));
        assert!(names("4:memory:/kubepods/podabc/4f2a9c01e7/inner\n", id));
        assert!(!names("0::/system.slice/ssh.service\n", id));
    }
}
