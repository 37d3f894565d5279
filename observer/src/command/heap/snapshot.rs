//! `observer heap --snapshot`: writes the heap of a live process as V8 would, without its help. A file is complete or not there.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use observer_heap::{Sitting, Spools, Written};
use tempfile::NamedTempFile;

use super::duration::duration;
use super::process::Process;
use crate::terminal::say;

/// One object in so many may have moved before it is worth saying.
const WORTH_SAYING: u64 = 1000;

/// Arguments of `--snapshot`.
#[derive(Debug, clap::Args)]
pub(super) struct SnapshotArgs {
    /// Write the heap as Chrome DevTools, memlab and VS Code read it; strings by their length and a salted hash only
    #[arg(long, value_name = "FILE", conflicts_with_all = ["diff", "retainers", "json"])]
    pub(super) snapshot: Option<PathBuf>,
    /// Write N snapshots, FILE-1 to FILE-N, with the same ids for the same objects
    #[arg(long, value_name = "N", requires = "snapshot", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    count: u32,
    /// Time between two of them
    #[arg(long, value_name = "TIME", requires = "snapshot", default_value = "30s", value_parser = duration)]
    every: Duration,
    /// Write what strings contain, too: passwords, tokens and people's data among it
    #[arg(long, requires = "snapshot")]
    with_strings: bool,
}

pub(super) fn snapshots(args: &SnapshotArgs, process: &Process, file: &Path) -> anyhow::Result<()> {
    if args.with_strings {
        say(format_args!(
            "warning: the snapshot will hold everything that strings of process {} contain: whoever reads the file reads its passwords, \
             tokens and people's data",
            process.pid
        ));
    }
    let mut sitting = Sitting::new(args.with_strings, args.count > 1);
    let began = Instant::now();
    for index in 0..args.count {
        process.wait(began + args.every * index)?;
        let path = if args.count > 1 {
            numbered(file, index + 1)
        } else {
            file.to_owned()
        };
        let written = write(&mut sitting, process, &path)?;
        tell(&path, &written, index > 0);
    }
    Ok(())
}

/// Writes one snapshot beside its place, with mode 0600, and moves it there when it is complete.
fn write(sitting: &mut Sitting, process: &Process, path: &Path) -> anyhow::Result<Written> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let cannot = || format!("cannot write to {}", directory.display());
    let spool = || tempfile::tempfile_in(directory);
    let spools = || -> io::Result<Spools> {
        Ok(Spools {
            edges: spool()?,
            strings: spool()?,
            locations: spool()?,
        })
    };
    let spools = spools().with_context(cannot)?;
    let mut temporary = NamedTempFile::with_prefix_in(".observer-", directory).with_context(cannot)?;
    let mut reader = process.open(None)?;
    let written = sitting
        .write(&mut reader, temporary.as_file_mut(), spools)
        .with_context(|| format!("there is no snapshot of process {}", process.pid))?;
    // What dies is emptied piece by piece: what was read of it last may be missing.
    if process.live.is_gone() {
        bail!(
            "process {} ended while its heap was read: there is no snapshot",
            process.pid
        );
    }
    temporary
        .persist(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(written)
}

/// `heap.heapsnapshot` with a number: `heap-1.heapsnapshot`.
fn numbered(file: &Path, number: u32) -> PathBuf {
    let mut name = file.file_stem().map_or_else(OsString::new, ToOwned::to_owned);
    name.push(format!("-{number}"));
    if let Some(extension) = file.extension() {
        name.push(".");
        name.push(extension);
    }
    file.with_file_name(name)
}

fn tell(path: &Path, written: &Written, compared: bool) {
    say(format_args!(
        "{}: {} nodes, {} edges",
        path.display(),
        written.nodes,
        written.edges
    ));
    if compared {
        say(format_args!(
            "{} objects have the ids they have in the snapshot before; what was young then, or was moved by a collection, has a new one",
            written.recognised
        ));
    }
    let lost = written.moved + written.left_out;
    if lost * WORTH_SAYING > written.nodes {
        say(format_args!(
            "{lost} objects moved or died while they were read: they are in the snapshot without what they hold, or missing"
        ));
    }
    if written.lost * WORTH_SAYING > written.nodes {
        say(format_args!(
            "{} references lead to objects that moved or came to be meanwhile: these are missing, with all that only they hold",
            written.lost
        ));
    }
    if written.disturbed {
        say(format_args!(
            "collections came between in every attempt to tell what is held: some objects may be missing"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_before_the_extension() {
        let numbered = |file: &str| numbered(Path::new(file), 2).display().to_string();
        assert_eq!(numbered("/tmp/heap.heapsnapshot"), "/tmp/heap-2.heapsnapshot");
        assert_eq!(numbered("heap"), "heap-2");
    }
}
