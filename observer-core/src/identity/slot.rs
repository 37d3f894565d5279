//! Slot, workload and version: reads the facts of a watched process, produces what it is an instance of.

use super::{Slot, Version, Workload};
use crate::{
    process::{ProcessFacts, ProcessKey},
    registry::Home,
    semconv,
};

/// What holds the process's container together, and the slot it belongs to.
pub(crate) fn home_and_slot(facts: &ProcessFacts) -> (Home, Slot) {
    if let Some(unit) = systemd_unit(&facts.cgroup) {
        return (Home::Cgroup(facts.cgroup.clone()), Slot::Unit(unit.to_owned()));
    }
    if facts.containerised && !facts.cgroup.is_empty() && facts.cgroup != "/" {
        return (Home::Cgroup(facts.cgroup.clone()), Slot::Cgroup(facts.cgroup.clone()));
    }
    (Home::Tree(facts.key), bare(facts, facts.parent))
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

/// The systemd service a cgroup path belongs to: its deepest `.service`, not that of a user's session manager.
fn systemd_unit(cgroup: &str) -> Option<&str> {
    cgroup
        .rsplit('/')
        .find(|part| part.ends_with(".service"))
        .filter(|unit| !unit.starts_with("user@"))
}

/// What is deployed, as far as the process itself and its cgroup tell.
pub(crate) fn workload(slot: &Slot, facts: &ProcessFacts) -> Workload {
    let (kind, name) = match slot {
        Slot::Unit(unit) => ("unit", unit.trim_end_matches(".service").to_owned()),
        Slot::Pod { container, .. } => ("pod", container.clone()),
        Slot::Container { name, .. } => ("container", name.clone()),
        Slot::Cgroup(path) => (
            "cgroup",
            path.rsplit('/').find(|p| !p.is_empty()).unwrap_or("/").to_owned(),
        ),
        Slot::Bare { .. } => ("process", program(facts)),
    };
    Workload {
        namespace: None,
        kind: kind.to_owned(),
        name,
        container: None,
    }
}

/// What a bare process is called: its package, its script, its executable.
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

/// The version a process says it is: `service.version` of its `OTEL_RESOURCE_ATTRIBUTES`, then its package's.
pub(crate) fn version(facts: &ProcessFacts) -> Option<Version> {
    super::resource::otel_attributes(facts)
        .remove(semconv::SERVICE_VERSION)
        .or_else(|| facts.package.as_ref().and_then(|p| p.version.clone()))
        .filter(|v| !v.is_empty())
        .map(Version)
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
