//! One page for each event: reads records that real agents sent, and the catalogue of names, produces docs/events.
//!
//! `cargo xtask events --from DIR` picks a record for each event; a test holds the pages against what was picked and the
//! catalogue.

mod page;
mod record;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use observer_core::telemetry;
use observer_tests::places;

use record::Records;

/// Where records come from.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Pick a record for each event from the files of this directory (`OBSERVER_KEEP_RECORDS=DIR cargo xtask test` writes
    /// them); without it the pages are written from the records that were picked before
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
}

/// `cargo xtask events`
pub(crate) fn command(options: &Options) -> Result<ExitCode> {
    let mut kept = read()?;
    if let Some(directory) = &options.from {
        kept.extend(record::pick(directory)?);
        let json = serde_json::to_string_pretty(&kept)? + "\n";
        fs::write(directory_of_pages().join("records.json"), json)?;
    }
    let missing: Vec<&str> = telemetry::reference()
        .0
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !kept.contains_key(*name))
        .collect();
    if !missing.is_empty() {
        bail!("no record was kept of {}", missing.join(", "));
    }
    for (file, text) in page::all(&kept) {
        let path = directory_of_pages().join(file);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("events: {} pages in {}", kept.len(), directory_of_pages().display());
    Ok(ExitCode::SUCCESS)
}

fn directory_of_pages() -> PathBuf {
    places::workspace().join("docs/events")
}

/// The records that were picked before.
fn read() -> Result<Records> {
    let path: &Path = &directory_of_pages().join("records.json");
    match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("cannot parse {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Records::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_is_one_page_for_each_event_and_each_is_what_the_catalogue_and_the_records_say() {
        let kept = read().unwrap();
        let events: BTreeSet<&str> = telemetry::reference().0.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            kept.keys().map(String::as_str).collect::<BTreeSet<_>>(),
            events,
            "records that were picked, and events: `cargo xtask events --from DIR`"
        );
        let mut pages = BTreeSet::from(["records.json".to_owned()]);
        for (file, text) in page::all(&kept) {
            let found = fs::read_to_string(directory_of_pages().join(&file)).unwrap_or_default();
            assert!(
                found == text,
                "docs/events/{file} is not up to date: `cargo xtask events`"
            );
            pages.insert(file);
        }
        let entries = fs::read_dir(directory_of_pages()).unwrap().flatten();
        let present: BTreeSet<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(present, pages, "files of docs/events");
    }

    /// A record with a name that is in no catalogue is of an older version of the agent.
    #[test]
    fn records_have_only_names_of_the_catalogue() {
        let names: BTreeSet<&str> = telemetry::reference().1.iter().map(|(name, _)| *name).collect();
        for (event, kept) in read().unwrap() {
            for name in kept.attributes() {
                assert!(names.contains(name), "{name} of {event}");
            }
        }
    }
}
