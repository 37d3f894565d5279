//! How files are cut: reads Rust sources, produces a breach for each that is too long, does not say what it does, or
//! is named after nothing.

use super::source::{Breach, Source};

/// Longest a file may be. What does not fit in the head in one piece is two things.
const LONGEST: usize = 400;
/// Names that say "whatever did not fit elsewhere".
const EMPTY_NAMES: [&str; 8] = [
    "util", "utils", "helper", "helpers", "manager", "misc", "shared", "stuff",
];

pub(super) fn check(sources: &[Source]) -> Vec<Breach> {
    sources
        .iter()
        .filter(|source| source.is_rust())
        .flat_map(file)
        .collect()
}

fn file(source: &Source) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let lines = source.text.lines().count();
    if lines > LONGEST {
        breaches.push(source.breach(0, format!("{lines} lines, more than {LONGEST}: split it by concern")));
    }
    let opening = source
        .text
        .lines()
        .find(|line| !line.is_empty() && !line.starts_with("#!["));
    if !opening.is_some_and(|line| line.starts_with("//! ")) {
        breaches.push(source.breach(1, "a module opens with `//!`: what it reads, what it produces"));
    }
    for part in source.path.split('/') {
        let stem = part.strip_suffix(".rs").unwrap_or(part);
        if EMPTY_NAMES.contains(&stem) {
            breaches.push(source.breach(0, format!("`{stem}` names nothing: name it after what it does")));
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::{super::source::Source, LONGEST, check};

    fn breaches(path: &str, text: &str) -> Vec<String> {
        let source = Source {
            path: path.into(),
            text: text.into(),
        };
        check(&[source]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_good_file_passes() {
        assert!(breaches("a/src/b.rs", "//! Reads x, produces y.\nfn f() {}\n").is_empty());
        assert!(breaches("a/src/b.js", "// not Rust").is_empty());
    }

    #[test]
    fn each_rule_can_be_broken() {
        assert_eq!(breaches("a/src/b.rs", "fn f() {}\n").len(), 1);
        assert_eq!(breaches("a/src/helpers/b.rs", "//! Reads.\n").len(), 1);
        let long = "//! Reads.\n".repeat(LONGEST + 1);
        assert_eq!(breaches("a/src/b.rs", &long).len(), 1);
    }
}
