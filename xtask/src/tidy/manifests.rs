//! What crates depend on and declare: reads Cargo manifests, produces a breach for each that widens what the
//! architecture allows.

use super::source::{Breach, Source};

/// Crates whose dependency list is part of the architecture (ARCHITECTURE.md, code map), and that list.
const BOUND: [(&str, &[&str]); 3] = [
    ("observer-common", &[]),
    ("observer-core", &["fnv", "libm", "observer-common", "serde"]),
    (
        "observer-heap",
        &["cpp_demangle", "itoa", "object", "serde_json", "thiserror"],
    ),
];

pub(super) fn check(sources: &[Source]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for source in sources.iter().filter(|source| source.name() == "Cargo.toml") {
        if source.path == "Cargo.toml" {
            continue;
        }
        let package = source.path.trim_end_matches("/Cargo.toml");
        if !source.text.contains("[lints]\nworkspace = true") {
            breaches.push(source.breach(
                0,
                "takes no part in the workspace's lints: add `[lints] workspace = true`",
            ));
        }
        if !source.text.contains("license.workspace = true") {
            breaches.push(source.breach(0, "names no licence: add `license.workspace = true`"));
        }
        let Some((_, allowed)) = BOUND.iter().find(|(name, _)| *name == package) else {
            continue;
        };
        for (line, name) in dependencies(&source.text) {
            if !allowed.contains(&name) {
                let rule = format!("{package} may not depend on {name} (ARCHITECTURE.md, code map)");
                breaches.push(source.breach(line, rule));
            }
        }
    }
    if !sources.iter().any(|source| source.path == "LICENSE") {
        breaches.push(Breach {
            path: "LICENSE".into(),
            line: 0,
            rule: "the licence's text is missing".into(),
        });
    }
    breaches
}

/// Names under `[dependencies]` and `[target.….dependencies]`, with their lines; development ones are free.
fn dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let mut inside = false;
    let mut names = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            inside = section == "dependencies" || section.ends_with(".dependencies");
            if let Some(name) = section.strip_prefix("dependencies.") {
                names.push((index + 1, name));
            }
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
            names.push((index + 1, name));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::{super::source::Source, check, dependencies};

    #[test]
    fn a_dependency_of_the_core_is_seen_however_it_is_written() {
        let manifest = "[dependencies]\nserde.workspace = true\ntokio = \"1\"\n[dependencies.rand]\n[dev-dependencies]\nx = \"1\"\n[target.'cfg(unix)'.dependencies]\nlibc = \"0\"\n";
        let names: Vec<&str> = dependencies(manifest).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["serde", "tokio", "rand", "libc"]);
    }

    #[test]
    fn the_core_may_not_gain_a_dependency() {
        let manifest = |text: &str| Source {
            path: "observer-core/Cargo.toml".into(),
            text: format!("license.workspace = true\n[dependencies]\n{text}\n[lints]\nworkspace = true\n"),
        };
        let licence = || Source {
            path: "LICENSE".into(),
            text: String::new(),
        };
        assert!(check(&[manifest("serde.workspace = true"), licence()]).is_empty());
        assert_eq!(check(&[manifest("tokio.workspace = true"), licence()]).len(), 1);
    }
}
