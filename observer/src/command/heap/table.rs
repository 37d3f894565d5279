//! Prints readings and differences as tables for a terminal.

use std::io::{self, Write};
use std::time::Duration;

use observer_heap::{Growth, Holders, Kind, Origin, Reading, Row, Summary};

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

pub(super) fn growth(out: &mut impl Write, apart: Duration, growth: &Growth, held: &[Holders]) -> io::Result<()> {
    let share = (u128::from(growth.named_bytes) * 100)
        .checked_div(u128::from(growth.bytes))
        .unwrap_or(0);
    let sign = if growth.net < 0 { "-" } else { "+" };
    writeln!(
        out,
        "{sign}{} in {} s",
        size(growth.net.unsigned_abs()),
        apart.as_secs_f32()
    )?;
    match growth.culprits(1).next() {
        Some(grown) => writeln!(
            out,
            "likely culprit: {}; {share} % of the growth is under names of the application's own",
            clean::name(&grown.row.title())
        )?,
        None if !growth.leaking => writeln!(
            out,
            "no culprit: growth was not alike in both halves of that time, or noise"
        )?,
        None => writeln!(
            out,
            "no culprit: what grew is not held, or not alike in both halves of that time"
        )?,
    }
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
