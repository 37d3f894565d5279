//! Prints readings and differences as tables for a terminal.

use std::io::{self, Write};

use observer_heap::{Holders, Kind, Origin, Reading, Row, Summary, Suspect};

use super::difference::Difference;

use crate::terminal::{clean, text};

/// Sorts the rows for the table: the application's names first, V8's own last.
pub(super) fn order(rows: &mut [Row]) {
    rows.sort_by(|a, b| {
        let rank = |row: &Row| (group(row), std::cmp::Reverse(row.tally.bytes));
        (rank(a), &a.what, a.position).cmp(&(rank(b), &b.what, b.position))
    });
}

/// Names that a reader can act on stand before names they cannot.
fn group(row: &Row) -> u8 {
    match (row.origin, row.kind) {
        (Origin::Application, _) => 0,
        (Origin::Dependency, _) => 1,
        (_, Kind::Internal) => 3,
        _ => 2,
    }
}

pub(super) fn reading(out: &mut impl Write, reading: &Reading, held: &[Holders], shown: usize) -> io::Result<()> {
    for (index, summary) in reading.isolates.iter().enumerate() {
        writeln!(out, "{}", headline(index, reading.isolates.len(), summary))?;
    }
    if reading.disturbed {
        writeln!(
            out,
            "  collections moved objects in every attempt to read: some are missing, or counted twice"
        )?;
    }
    writeln!(out, "\n{:>10} {:>12}  {:<38} WHERE", "COUNT", "BYTES", "WHAT")?;
    for row in &reading.rows[..shown] {
        writeln!(
            out,
            "{:>10} {:>12}  {} {}",
            row.tally.count,
            row.tally.bytes,
            named(&row.title()),
            clean::name(&row.place().unwrap_or_default())
        )?;
    }
    if shown < reading.rows.len() {
        writeln!(
            out,
            "{:>10} further rows; --top {} shows all",
            reading.rows.len() - shown,
            reading.rows.len()
        )?;
    }
    if !reading.collections.is_empty() {
        writeln!(out, "\nlargest collections")?;
    }
    for (collection, held) in reading.collections.iter().zip(held) {
        writeln!(
            out,
            "{:>10} {:>12}  {}",
            collection.elements,
            collection.bytes,
            clean::name(&collection.what)
        )?;
        paths(out, held, 1)?;
    }
    Ok(())
}

pub(super) fn retainers(out: &mut impl Write, rows: &[Row], held: &[Holders]) -> io::Result<()> {
    for (row, held) in rows.iter().zip(held) {
        writeln!(
            out,
            "{:>10} {:>12}  {} {}",
            row.tally.count,
            row.tally.bytes,
            named(&row.title()),
            clean::name(&row.place().unwrap_or_default())
        )?;
        paths(out, held, 10)?;
    }
    Ok(())
}

/// What became more is said beside what is more in all where they differ by more than this part.
const ALIKE: u64 = 50;

/// Where growth accumulates, and what.
fn suspected(out: &mut impl Write, suspect: &Suspect) -> io::Result<()> {
    let steady = if suspect.steady { "" } else { " (not steadily)" };
    let retained = if suspect.alone {
        format!(" of {} retained", size(suspect.retained))
    } else {
        " (held by something else as well)".to_owned()
    };
    let place = suspect
        .content
        .place()
        .map_or_else(String::new, |place| format!(" ({})", clean::name(&place)));
    writeln!(
        out,
        "{:>4.0} %  +{}{retained}{steady}: {} x {}{place}, {} more than before",
        suspect.share * 100.0,
        size(suspect.grown),
        suspect.content.tally.count,
        clean::name(&suspect.content.title()),
        suspect.new
    )?;
    writeln!(out, "        in {}", clean::sentence(&suspect.path.join(" -> ")))
}

/// The ways something is held, with their share of what was followed.
fn paths(out: &mut impl Write, held: &Holders, most: usize) -> io::Result<()> {
    for path in held.paths.iter().take(most) {
        let steps = if path.steps.is_empty() {
            "nothing in the heap: a handle, the stack, or garbage".to_owned()
        } else {
            clean::sentence(&path.steps.join(" -> ")).into_owned()
        };
        let from = if path.rooted || path.steps.is_empty() {
            ""
        } else {
            "... -> "
        };
        writeln!(out, "{:>23}  held by ({:.0} %): {from}{steps}", "", path.share * 100.0)?;
    }
    Ok(())
}

pub(super) fn growth(out: &mut impl Write, difference: &Difference<'_>) -> io::Result<()> {
    let &Difference {
        apart,
        growth,
        suspects,
        marked,
        ..
    } = difference;
    let sign = if growth.net < 0 { "-" } else { "+" };
    writeln!(
        out,
        "{sign}{} in {} s",
        size(growth.net.unsigned_abs()),
        apart.as_secs_f32()
    )?;
    let blamed = suspects
        .iter()
        .find(|suspect| growth.blames(suspect.share, suspect.steady));
    let unplaced = growth.culprits(1).next().filter(|_| !marked);
    if let Some(outside) = difference.outside() {
        return unexplained(out, difference, outside);
    }
    match (blamed.map(|suspect| &suspect.content), unplaced.map(|grown| &grown.row)) {
        (Some(row), _) | (None, Some(row)) => writeln!(out, "likely culprit: {}", clean::name(&row.title()))?,
        _ if !growth.leaking => writeln!(
            out,
            "no culprit: what is held did not rise steadily over the readings, or by next to nothing"
        )?,
        _ => writeln!(
            out,
            "no culprit: no place was found where a large part of the growth accumulates"
        )?,
    }
    places(out, difference)?;
    table_of_growth(out, difference)
}

/// What the heap does not explain, and what little of it grew.
fn unexplained(out: &mut impl Write, difference: &Difference<'_>, outside: i64) -> io::Result<()> {
    let process = difference.process;
    let bytes = |bytes: i64| size(bytes.max(0).cast_unsigned());
    writeln!(
        out,
        "the heap does not explain the growth: the process's anonymous memory grew by {}, garbage and free memory in V8's pages by {}; \
         the other {} is outside V8's heap (native memory: queued messages, compression, TLS, addons)",
        bytes(process.anonymous),
        bytes(process.unheld),
        bytes(outside)
    )?;
    places(out, difference)?;
    table_of_growth(out, difference)
}

fn places(out: &mut impl Write, difference: &Difference<'_>) -> io::Result<()> {
    let &Difference { growth, suspects, .. } = difference;
    if !suspects.is_empty() {
        // Shares are of what became more; in all, what became less counts against it.
        let net = growth.net.max(0).cast_unsigned();
        let all = if growth.bytes - growth.bytes / ALIKE > net {
            format!(
                " (of {} that became more, while other things became less)",
                size(growth.bytes)
            )
        } else {
            String::new()
        };
        writeln!(out, "\nwhere the growth accumulates{all}")?;
    }
    for suspect in suspects {
        suspected(out, suspect)?;
    }
    let explained: f64 = suspects.iter().map(|suspect| suspect.share).sum();
    if !suspects.is_empty() && growth.net > 0 {
        writeln!(out, "{:>4.0} %  elsewhere", (1.0 - explained).max(0.0) * 100.0)?;
    }
    Ok(())
}

fn table_of_growth(out: &mut impl Write, difference: &Difference<'_>) -> io::Result<()> {
    let &Difference { growth, held, .. } = difference;
    writeln!(
        out,
        "\n{:>10} {:>12} {:>21}  {:<38} WHERE",
        "MORE", "BYTES", "COUNT", "WHAT"
    )?;
    for (index, grown) in growth.grown.iter().enumerate() {
        let counts = format!("{} -> {}", grown.before.count, grown.row.tally.count);
        let row = &grown.row;
        writeln!(
            out,
            "{:>+10} {:>+12} {counts:>21}  {} {}",
            grown.count,
            grown.bytes.cast_signed(),
            named(&row.title()),
            clean::name(&row.place().unwrap_or_default())
        )?;
        if let Some(held) = held.get(index).filter(|_| growth.net > 0) {
            paths(out, held, 1)?;
        }
    }
    Ok(())
}

/// A name in its column, or beyond it where it is longer.
fn named(title: &str) -> String {
    let title = clean::name(title);
    let width = text::width(&title).max(38);
    text::cell(&title, width, false)
}

fn headline(index: usize, isolates: usize, s: &Summary) -> String {
    let name = if isolates > 1 {
        format!("isolate {index}: ")
    } else {
        String::new()
    };
    let mut line = format!(
        "{name}{} in objects, {} in ArrayBuffers outside the heap; {} entries in Maps, {} in Sets, {} promises pending",
        size(s.heap_bytes),
        size(s.array_buffer_bytes),
        s.map_entries,
        s.set_entries,
        s.pending_promises
    );
    let dead = match s.dead_bytes {
        Some(dead) => format!("{} dead in old pages", size(dead)),
        None => "nothing that is dead (too large to mark): all numbers are upper bounds".to_owned(),
    };
    line.push_str(&format!(
        "\n  left out: {dead}, {} free there, {} of {} young (garbage or unused); {} not understood; code pages {}",
        size(s.free_bytes),
        size(s.young_page_bytes.saturating_sub(s.young_live_bytes)),
        size(s.young_page_bytes),
        size(s.unexplained_bytes),
        size(s.code_bytes)
    ));
    line
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}
