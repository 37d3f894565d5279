//! Prints accounts of memory as tables for a terminal.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    time::Duration,
};

use super::{
    kind::line,
    meaning::{Meaning, size},
};
use crate::{
    source::usage::{Container, Heap, Part, Parts, Process},
    terminal::clean,
};

const MIB: f64 = 1_048_576.0;

pub(super) fn now(out: &mut impl Write, container: &Container, meaning: &Meaning) -> io::Result<()> {
    headline(out, container)?;
    for process in &container.processes {
        writeln!(out, "\n{}", title(process))?;
        rows(out, &process.parts, container)?;
        notes(out, process)?;
    }
    if container.cgroup.is_some() {
        writeln!(out, "\noutside the processes above")?;
        rows(out, &container.rest, container)?;
        row(out, container.unexplained(), container.usage, "unexplained")?;
        if container.cache_mapped > 0 {
            writeln!(
                out,
                "{:>26}{} of the page cache is mapped by processes",
                "",
                size(container.cache_mapped)
            )?;
        }
        for tmpfs in container.tmpfs.iter().take(4) {
            let mount = clean::name(&tmpfs.mount);
            writeln!(
                out,
                "{:>26}tmpfs {mount}: {} of files, whoever is charged",
                "",
                size(tmpfs.used)
            )?;
        }
    }
    conclusion(out, meaning)
}

pub(super) fn growth(
    out: &mut impl Write,
    apart: Duration,
    (before, after): (&Container, &Container),
    meaning: &Meaning,
) -> io::Result<()> {
    headline(out, after)?;
    writeln!(
        out,
        "\n{:>10} {:>18}  within {:.0} s",
        "MORE",
        "MiB",
        apart.as_secs_f64()
    )?;
    let (old, new) = (before.parts(), after.parts());
    let parts: BTreeSet<Part> = old.keys().chain(new.keys()).copied().collect();
    for part in parts {
        let of = |parts: &Parts| parts.get(&part).copied().unwrap_or(0) as f64 / MIB;
        changed(out, of(&old), of(&new), &line(part, after))?;
    }
    let unexplained = |container: &Container| container.unexplained() as f64 / MIB;
    changed(out, unexplained(before), unexplained(after), "unexplained")?;
    changed(out, before.usage as f64 / MIB, after.usage as f64 / MIB, "all")?;
    conclusion(out, meaning)
}

fn changed(out: &mut impl Write, before: f64, after: f64, what: &str) -> io::Result<()> {
    let levels = format!("{before:.1} -> {after:.1}");
    writeln!(out, "{:>+10.1} {levels:>18}  {what}", after - before)
}

fn conclusion(out: &mut impl Write, meaning: &Meaning) -> io::Result<()> {
    writeln!(out, "\n{}", clean::sentence(&meaning.sentence))
}

fn headline(out: &mut impl Write, container: &Container) -> io::Result<()> {
    let usage = size(container.usage);
    match (&container.cgroup, container.limit) {
        (None, _) => writeln!(
            out,
            "{usage} of anonymous memory; the process is in no container, so nothing else is told"
        ),
        (Some(path), None) => writeln!(
            out,
            "{usage} in cgroup {}, which has no limit of its own",
            clean::name(path)
        ),
        (Some(path), Some(limit)) => writeln!(out, "{usage} of {} in cgroup {}", size(limit), clean::name(path)),
    }
}

fn title(process: &Process) -> String {
    let mut title = format!(
        "process {} ({}): {} of anonymous memory, {} threads, {}",
        process.pid,
        clean::name(&process.name),
        size(process.anonymous()),
        process.threads,
        process.allocator.name()
    );
    if !process.arenas.is_empty() {
        title.push_str(&format!(" with {} arenas", process.arenas.len()));
    }
    title
}

fn rows(out: &mut impl Write, parts: &Parts, container: &Container) -> io::Result<()> {
    for (&part, &bytes) in parts {
        row(out, bytes.cast_signed(), container.usage, &line(part, container))?;
    }
    Ok(())
}

fn row(out: &mut impl Write, bytes: i64, all: u64, what: &str) -> io::Result<()> {
    let share = bytes as f64 * 100.0 / all.max(1) as f64;
    writeln!(out, "{:>10.1} MiB {share:>6.1} %   {what}", bytes as f64 / MIB)
}

fn notes(out: &mut impl Write, process: &Process) -> io::Result<()> {
    let mut notes = Vec::new();
    match &process.heap {
        Heap::Read {
            large,
            young_held,
            marked,
        } => {
            notes.push(format!(
                "V8: {} in pages of one large object each; {} of the young generation is held",
                size(*large),
                size(*young_held)
            ));
            if !marked {
                notes.push("V8: too large to tell dead objects from held ones".to_owned());
            }
        }
        Heap::Refused(reason) => notes.push(format!(
            "V8's heap was not read, it is told as other memory: {}",
            clean::sentence(reason)
        )),
        Heap::None => {}
    }
    for (index, arena) in process.arenas.iter().enumerate().take(8) {
        let name = if arena.main { "main arena" } else { "arena" };
        let number = if arena.main { String::new() } else { format!(" {index}") };
        let bytes = [arena.in_use, arena.free_pages, arena.free_pieces].map(size);
        notes.push(format!(
            "{name}{number}: {} in use, {} free in whole pages, {} in pieces",
            bytes[0], bytes[1], bytes[2]
        ));
    }
    if process.mapped_blocks > 0 {
        notes.push(format!(
            "blocks with a mapping of their own: {}",
            size(process.mapped_blocks)
        ));
    }
    notes.push(format!(
        "beside it, mapped files {} and shared memory {} (its share), page tables {}, swapped out {}",
        size(process.mapped_files),
        size(process.mapped_shared),
        size(process.page_tables),
        size(process.swapped)
    ));
    for note in notes {
        writeln!(out, "{:>26}{note}", "")?;
    }
    Ok(())
}
