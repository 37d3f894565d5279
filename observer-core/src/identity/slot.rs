//! Home and slot: reads the facts of a watched process and what is known of its container, produces what holds its
//! container together and what is restarted in place.

use serde::{Deserialize, Serialize};

use super::subject::Slot;
use crate::{
    container::{ContainerRuntime, Owner, owner},
    container_facts::ContainerFacts,
    process::{ProcessFacts, ProcessKey},
};

/// What holds a container's processes together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Home {
    /// A container, by its id: it may have cgroups below its own.
    Container(String),
    /// A cgroup of its own.
    Cgroup(String),
    /// Nothing but descent: a bare process and its workers.
    Tree(ProcessKey),
}

/// What holds the processes of a cgroup together: a container, a unit, a cgroup of its own; `None` where nothing does.
pub(crate) fn home_of_cgroup(cgroup: &str) -> Option<Home> {
    match owner(cgroup)? {
        Owner::Pod {
            container: Some(container),
            ..
        }
        | Owner::Container(container) => Some(Home::Container(container.id)),
        Owner::Pod { container: None, .. } => None,
        Owner::Unit { name, .. } => {
            // A service may make cgroups of its own below. systemd puts `_` before a name that a kernel's file could have.
            let below = cgroup.rmatch_indices('/').map(|(slash, _)| slash);
            let ends = below.map(|slash| cgroup.get(..slash).unwrap_or(cgroup));
            let is_its = |path: &&str| {
                let last = path.rsplit('/').next().unwrap_or(path);
                last == name || last.strip_prefix('_') == Some(&name)
            };
            let own = std::iter::once(cgroup).chain(ends).find(is_its);
            Some(Home::Cgroup(own.unwrap_or(cgroup).to_owned()))
        }
    }
}

/// The home of any process: where `home_of_cgroup` knows none, the cgroup that has a limit of its own.
pub(crate) fn home_of(cgroup: &str, limit_cgroup: Option<&str>) -> Option<Home> {
    home_of_cgroup(cgroup).or_else(|| limit_cgroup.map(|path| Home::Cgroup(path.to_owned())))
}

/// The home of a watched process.
pub(crate) fn home(facts: &ProcessFacts) -> Home {
    let in_namespace = facts.containerised && !facts.cgroup.is_empty() && facts.cgroup != "/";
    if in_namespace && home_of_cgroup(&facts.cgroup).is_none() {
        return Home::Cgroup(facts.cgroup.clone());
    }
    home_of(&facts.cgroup, facts.limit_cgroup.as_deref()).unwrap_or(Home::Tree(facts.key))
}

/// The cgroup whose level, limit and kills are those of the container: a bare process has none of its own, and `cgroup` is
/// shared with others.
pub(crate) fn own_cgroup(home: &Home, cgroup: &str) -> String {
    match home {
        Home::Container(_) => crate::container::own_cgroup(cgroup).to_owned(),
        Home::Cgroup(path) => path.clone(),
        Home::Tree(_) => cgroup.to_owned(),
    }
}

/// The slot of a watched process. In a pod whose names are not known yet the program's name stands for the container's.
pub(crate) fn slot(facts: &ProcessFacts, named: Option<&ContainerFacts>) -> Slot {
    let name = named.map(|n| n.name.clone()).filter(|name| !name.is_empty());
    match owner(&facts.cgroup) {
        Some(Owner::Pod {
            uid,
            container: Some(_),
        }) => Slot::Pod {
            uid,
            container: name.unwrap_or_else(|| program(facts)),
        },
        Some(Owner::Container(container)) => Slot::Container {
            runtime: container
                .runtime
                .or(named.and_then(|n| n.runtime))
                .map_or("container", ContainerRuntime::name)
                .to_owned(),
            name: name.unwrap_or(container.id),
        },
        Some(Owner::Unit { name, user: None }) => Slot::Unit(name),
        Some(Owner::Unit { name, user: Some(user) }) => Slot::Unit(format!("{name} of user {user}")),
        _ => match home(facts) {
            Home::Cgroup(path) => Slot::Cgroup(path),
            _ => bare(facts, facts.parent),
        },
    }
}

/// The slot of a bare process under this parent.
pub(crate) fn bare(facts: &ProcessFacts, parent: ProcessKey) -> Slot {
    Slot::Bare {
        exe: facts.exe.clone(),
        script: facts.script.clone(),
        cwd: facts.cwd.clone(),
        parent,
    }
}

/// What a process is called when nobody else names it: its package, its script, its executable.
pub(crate) fn program(facts: &ProcessFacts) -> String {
    let base = |path: &String| path.rsplit('/').next().unwrap_or(path).to_owned();
    if let Some(package) = &facts.package {
        return package.name.clone();
    }
    facts
        .script
        .as_ref()
        .map(base)
        .or_else(|| (!facts.exe.is_empty()).then(|| base(&facts.exe)))
        .unwrap_or_else(|| facts.comm.clone())
}

/// A package manager that only starts the program proper: Node.js itself, and never what is meant.
pub(crate) fn is_launcher(facts: &ProcessFacts) -> bool {
    let Some(script) = &facts.script else { return false };
    let base = script.rsplit('/').next().unwrap_or(script);
    let stem = base
        .strip_suffix(".js")
        .or_else(|| base.strip_suffix(".cjs"))
        .unwrap_or(base);
    matches!(
        stem,
        "npm" | "npm-cli" | "npx" | "npx-cli" | "yarn" | "yarnpkg" | "pnpm" | "pnpx" | "corepack"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_units_home_is_its_own_cgroup_and_nobody_elses() {
        for (cgroup, own) in [
            ("/system.slice/api.service", "/system.slice/api.service"),
            ("/system.slice/api.service/a/b", "/system.slice/api.service"),
            ("/system.slice/_cpu.service/a", "/system.slice/_cpu.service"),
            // A name that ends another's above it.
            (
                "/user.slice/user-7.slice/user@7.service/app.slice/7.service/a",
                "/user.slice/user-7.slice/user@7.service/app.slice/7.service",
            ),
            ("/a.service/b/a.service", "/a.service/b/a.service"),
        ] {
            assert_eq!(home_of_cgroup(cgroup), Some(Home::Cgroup(own.to_owned())), "{cgroup}");
        }
    }
}
