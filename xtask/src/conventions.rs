//! The published semantic conventions: reads the model of a release (its YAML), produces the table that our names are held against.
//!
//! The model is that of `open-telemetry/semantic-conventions` at the tag of [`VERSION`]. OpenTelemetry's own checker, weaver, is
//! no package of any registry; the table holds what a check of names needs: what exists, of which type, how stable, what
//! has taken its place.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use observer_core::semconv::published::VERSION;
use observer_tests::places;
use serde::Deserialize;

use crate::shell;

/// Folders of the model with names that the agent sends, or might.
const FOLDERS: [&str; 7] = ["container", "error", "host", "k8s", "os", "process", "service"];
/// Where the table lies in the workspace.
const TABLE: &str = "observer-core/src/semconv/published.tsv";

#[derive(Args)]
pub(crate) struct Options {
    /// A git repository of open-telemetry/semantic-conventions that has the tag of the release
    repository: PathBuf,
}

#[derive(Deserialize)]
struct File {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(rename = "type")]
    kind: String,
    metric_name: Option<String>,
    instrument: Option<String>,
    unit: Option<String>,
    stability: Option<String>,
    deprecated: Option<Deprecated>,
    #[serde(default)]
    attributes: Vec<Attribute>,
}

/// An attribute of a registry; elsewhere it refers to one and has no id.
#[derive(Deserialize)]
struct Attribute {
    id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<serde_norway::Value>,
    stability: Option<String>,
    deprecated: Option<Deprecated>,
}

#[derive(Deserialize)]
struct Deprecated {
    reason: String,
    renamed_to: Option<String>,
}

pub(crate) fn command(options: &Options) -> Result<ExitCode> {
    let mut rows = BTreeMap::new();
    for folder in FOLDERS {
        for (path, text) in files(&options.repository, folder)? {
            let file: File = serde_norway::from_str(&text).with_context(|| format!("{path} is not as known"))?;
            file.groups.iter().for_each(|group| add(group, &mut rows));
        }
    }
    ensure!(rows.len() > 100, "the model has {} names only: is this it?", rows.len());
    let mut table = format!(
        "# Semantic conventions {VERSION}: kind, name, type (of a metric: instrument and unit), stability, and of what is deprecated why.\n\
         # Written by `cargo xtask conventions REPOSITORY` from model/{{{}}} of that release (Apache-2.0).\n",
        FOLDERS.join(",")
    );
    for ((kind, name), rest) in rows {
        writeln!(table, "{kind}\t{name}\t{rest}")?;
    }
    let path = places::workspace().join(TABLE);
    fs::write(&path, table).with_context(|| format!("cannot write {}", path.display()))?;
    println!("conventions: {VERSION} written to {TABLE}");
    Ok(ExitCode::SUCCESS)
}

/// The YAML of a folder at the release's tag, by path.
fn files(repository: &Path, folder: &str) -> Result<Vec<(String, String)>> {
    let tag = format!("v{VERSION}");
    let git = |arguments: &[&str]| {
        let mut command = shell::command("git", ["-C"]);
        command.arg(repository).args(arguments);
        shell::quiet(command)
    };
    let listed = git(&["ls-tree", "-r", "--name-only", &tag, &format!("model/{folder}/")])?;
    let yaml = listed
        .lines()
        .filter(|path| Path::new(path).extension().is_some_and(|it| it == "yaml"));
    yaml.map(|path| Ok((path.to_owned(), git(&["show", &format!("{tag}:{path}")])?)))
        .collect()
}

fn add(group: &Group, rows: &mut BTreeMap<(&'static str, String), String>) {
    let deprecated = |deprecated: &Option<Deprecated>| match deprecated {
        Some(Deprecated {
            renamed_to: Some(name), ..
        }) => format!("\trenamed to {name}"),
        Some(Deprecated { reason, .. }) => format!("\t{reason}"),
        None => String::new(),
    };
    let stability = |stability: &Option<String>| stability.clone().unwrap_or_default();
    if let ("metric", Some(name)) = (group.kind.as_str(), &group.metric_name) {
        let (instrument, unit) = (group.instrument.as_deref(), group.unit.as_deref());
        rows.insert(
            ("metric", name.clone()),
            format!(
                "{} {}\t{}{}",
                instrument.unwrap_or_default(),
                unit.unwrap_or_default(),
                stability(&group.stability),
                deprecated(&group.deprecated)
            ),
        );
    }
    for attribute in &group.attributes {
        let Some(id) = &attribute.id else { continue };
        let kind = match &attribute.kind {
            Some(serde_norway::Value::String(kind)) => kind.as_str(),
            // Its members are listed.
            _ => "enum",
        };
        let stability = stability(&attribute.stability);
        rows.insert(
            ("attribute", id.clone()),
            format!("{kind}\t{stability}{}", deprecated(&attribute.deprecated)),
        );
    }
}
