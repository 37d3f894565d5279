//! What may not stand in the tree: reads every text file, produces a breach for names of one machine, for package
//! sources other than the public ones, and for telemetry names spelled outside the one file that owns them.

use std::env;

use observer_tests::places;

use super::source::{Breach, Source};

/// The only registry that Cargo.lock may name; package-lock.json names none (`omit-lockfile-registry-resolved`).
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// Directories that every machine has: a checkout right below one gives nothing away.
const COMMON: [&str; 8] = ["/home/", "/mnt/", "/opt/", "/run/", "/srv/", "/tmp/", "/usr/", "/var/"];
/// First parts of the names that leave the agent.
const NAMESPACES: [&str; 6] = ["container.", "k8s.", "observer.", "process.", "service.", "v8js."];
/// Where those names are spelled.
const OWNER: &str = "semconv";

pub(super) fn check(sources: &[Source]) -> Vec<Breach> {
    let machine = machine_paths();
    sources
        .iter()
        .flat_map(|source| {
            let mut breaches = machine_words(source, &machine);
            breaches.extend(foreign_registries(source));
            breaches.extend(scattered_names(source));
            breaches
        })
        .collect()
}

/// This checkout's directory and the user's: both differ on the next machine.
fn machine_paths() -> Vec<String> {
    let home = env::var("HOME").ok();
    let workspace = places::workspace();
    let above = workspace.parent().map(|parent| parent.display().to_string());
    [home, above]
        .into_iter()
        .flatten()
        .filter(|path| path.len() > 3)
        .map(|path| path.trim_end_matches('/').to_owned() + "/")
        .filter(|path| !COMMON.contains(&path.as_str()))
        .collect()
}

fn machine_words(source: &Source, paths: &[String]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        if paths.iter().any(|path| line.contains(path.as_str())) {
            breaches.push(source.breach(index + 1, "names a directory of one machine"));
        }
    }
    breaches
}

fn foreign_registries(source: &Source) -> Vec<Breach> {
    let prefixes: &[&str] = match source.name() {
        "Cargo.lock" => &["source = \""],
        "package-lock.json" => &["\"resolved\": \""],
        _ => return Vec::new(),
    };
    let lines = source.text.lines().enumerate();
    lines
        .filter_map(|(index, line)| {
            let url = prefixes.iter().find_map(|prefix| line.trim().strip_prefix(prefix))?;
            let public = source.name() == "Cargo.lock" && url.starts_with(REGISTRY);
            (!public).then(|| source.breach(index + 1, "names a registry other than the public one"))
        })
        .collect()
}

fn scattered_names(source: &Source) -> Vec<Breach> {
    let agent = ["observer/src/", "observer-core/src/"]
        .iter()
        .any(|root| source.path.starts_with(root));
    if !agent || !source.is_rust() || source.path.contains(OWNER) || is_test(source) {
        return Vec::new();
    }
    let mut breaches = Vec::new();
    for (number, line) in source
        .code_lines()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
    {
        for literal in line.split('"').skip(1).step_by(2) {
            let namespaced = NAMESPACES.iter().any(|namespace| {
                literal
                    .strip_prefix(namespace)
                    .is_some_and(|rest| rest.contains(|c: char| c.is_ascii_lowercase()))
            });
            let is_name = literal
                .chars()
                .all(|c| c.is_ascii_lowercase() || matches!(c, '.' | '_' | '0'..='9'));
            if namespaced && is_name && !is_file_name(literal) {
                breaches.push(source.breach(number, format!("`{literal}` belongs in {OWNER}.rs")));
            }
        }
    }
    breaches
}

/// Unit tests spell names out on purpose: a wrong constant would otherwise agree with itself.
fn is_test(source: &Source) -> bool {
    source.path.ends_with("/tests.rs") || source.path.contains("/tests/")
}

/// `observer.toml`, `observer.db`: one dot and a known ending.
fn is_file_name(literal: &str) -> bool {
    [".toml", ".db", ".sock", ".json", ".service", ".slice", ".scope"]
        .iter()
        .any(|ending| literal.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::{super::source::Source, foreign_registries, machine_words, scattered_names};

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.into(),
            text: text.into(),
        }
    }

    #[test]
    fn a_machine_path_is_found_anywhere() {
        let paths = ["/home/somebody/".to_owned()];
        assert_eq!(
            machine_words(&source("README.md", "see\n/home/somebody/x"), &paths).len(),
            1
        );
        assert!(machine_words(&source("README.md", "see /home/other"), &paths).is_empty());
    }

    #[test]
    fn a_lock_file_names_public_registries_only() {
        let text = "source = \"registry+https://mirror.example/index\"\n";
        assert_eq!(foreign_registries(&source("Cargo.lock", text)).len(), 1);
    }

    #[test]
    fn telemetry_names_live_in_one_file() {
        let text =
            "let a = \"service.name\";\nlet b = \"observer.toml\";\n// \"k8s.pod.name\"\n#[cfg(test)]\n\"k8s.x\"\n";
        assert_eq!(scattered_names(&source("observer/src/a.rs", text)).len(), 1);
        assert!(scattered_names(&source("observer-core/src/semconv.rs", text)).is_empty());
    }
}
