//! What was tried: reads docs/compatibility.json, which the commands that try things write, produces COMPATIBILITY.md.
//!
//! `cargo xtask kernels --write` and `cargo xtask test --write` replace their own rows. A test holds the page against the
//! rows, so that neither changes alone.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use anyhow::{Context as _, Result};
use observer_tests::{
    counterpart::{COLLECTOR, JAEGER, KUBERNETES, PROMETHEUS},
    places,
};
use serde::{Deserialize, Serialize};

/// What stands before the tables.
const HEAD: &str = "\
# Compatibility

<!-- Written by `cargo xtask kernels --write` and `cargo xtask test --write` from docs/compatibility.json. -->

What was tried, when, how, and with what result. What is not listed was not tried. [LIMITATIONS.md](LIMITATIONS.md) says what
cannot work.

Every kernel needs BTF (`/sys/kernel/btf/vmlinux`) for the kernel hooks; without it, or with fewer rights, the agent falls to
the next rung and says what is lost ([docs/kernel.md](docs/kernel.md)).
";

/// Something that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// What it is a version of: the table it stands in.
    pub(crate) of: String,
    /// Name and version.
    pub(crate) what: String,
    /// The command that tried it.
    pub(crate) how: String,
    /// What came of it.
    pub(crate) result: String,
    /// Day, as `2026-01-31`.
    pub(crate) tried: String,
}

/// Today, as `2026-01-31` (UTC).
pub(crate) fn today() -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    now.split('T').next().unwrap_or_default().to_owned()
}

/// Puts rows in the place of those about the same things, and writes the page anew.
pub(crate) fn write(rows: Vec<Row>) -> Result<()> {
    let mut all = read()?;
    for row in rows {
        match all.iter_mut().find(|old| (&old.of, &old.what) == (&row.of, &row.what)) {
            Some(old) => *old = row,
            None => all.push(row),
        }
    }
    fs::write(data(), serde_json::to_string_pretty(&all)? + "\n")?;
    fs::write(page(), render(&all)).with_context(|| format!("cannot write {}", page().display()))
}

/// What the tests ran with on this machine, `result` being theirs.
pub(crate) fn of_this_machine(result: &str) -> Vec<Row> {
    let row = |of: &str, what: String| Row {
        of: of.to_owned(),
        what,
        how: "`cargo xtask test`".into(),
        result: result.to_owned(),
        tried: today(),
    };
    let system = rustix::system::uname();
    let cgroup = places::memory_controller().map_or_else(String::new, |(_, version)| format!(", cgroup v{version}"));
    let kernel = format!(
        "{} {}{cgroup} (the host of the tests)",
        system.release().to_string_lossy(),
        system.machine().to_string_lossy()
    );
    let nodes = (18..=40).filter_map(places::cached_node);
    let nodes = nodes.filter_map(|node| Some(format!("{}, official build", first_line(&node, "--version")?)));
    let runtimes = ["runc", "containerd"]
        .into_iter()
        .filter_map(|name| first_line(&places::program(name)?, "--version"));
    let counterparts = [&COLLECTOR, &JAEGER, &KUBERNETES, &PROMETHEUS]
        .into_iter()
        .filter(|counterpart| counterpart.missing().is_none())
        .filter_map(|counterpart| Some(format!("{} {}", counterpart.name, counterpart.version().ok()?)));
    [row("Kernels", kernel)]
        .into_iter()
        .chain(nodes.map(|what| row("Node.js", what)))
        .chain(runtimes.map(|what| row("Container runtimes", what)))
        .chain(counterparts.map(|what| row("What it talks to", what)))
        .collect()
}

fn first_line(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(str::to_owned)
}

fn data() -> PathBuf {
    places::workspace().join("docs/compatibility.json")
}

fn page() -> PathBuf {
    places::workspace().join("COMPATIBILITY.md")
}

fn read() -> Result<Vec<Row>> {
    let file = data();
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} has other fields than rows have", file.display()))
}

fn render(rows: &[Row]) -> String {
    let mut tables: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        tables.entry(&row.of).or_default().push(row);
    }
    let mut page = HEAD.to_owned();
    for (title, mut rows) in tables {
        rows.sort_by_cached_key(|row| natural(&row.what));
        let _ = write!(
            page,
            "\n## {title}\n\n| what | result | how | tried |\n|---|---|---|---|\n"
        );
        for Row {
            what,
            how,
            result,
            tried,
            ..
        } in rows
        {
            let _ = writeln!(page, "| {what} | {result} | {how} | {tried} |");
        }
    }
    page
}

/// A text with its numbers as numbers, so that 5.10 stands before 6.1 and Node.js 8 before 18.
fn natural(text: &str) -> Vec<(u64, String)> {
    let parts = text.split_inclusive(|c: char| !c.is_ascii_digit());
    parts
        .map(|part| {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            (digits.parse().unwrap_or(0), part[digits.len()..].to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_page_is_what_the_rows_say() {
        assert_eq!(
            fs::read_to_string(page()).unwrap_or_default(),
            render(&read().unwrap()),
            "write it with `cargo xtask test --write`, or undo what was changed by hand"
        );
    }

    #[test]
    fn versions_stand_in_their_order() {
        let mut versions = ["6.12.1", "5.10.2", "6.1.9", "6.1.10"];
        versions.sort_by_cached_key(|version| natural(version));
        assert_eq!(versions, ["5.10.2", "6.1.9", "6.1.10", "6.12.1"]);
    }
}
