//! Reads two readings of a heap, produces the diagnosis the engine states: what grew, by name, and where it accumulates.

use std::time::Duration;

use observer_core::{
    heap::{Compared, ContainerGrowth, Diagnosis, Grower},
    identity::Version,
    memory_use::MemoryUse,
};
use observer_heap::{Growth, Holders, Reader, Reading, Refusal, Row, Suspect};

/// Growers named, and of these the ones whose holders are looked for where the heap is too large to mark.
const NAMED: usize = 8;
const HELD: usize = 3;
/// Objects followed upwards for each.
const FOLLOWED: usize = 48;
/// Fewer objects that an earlier version did not hold are nothing to name.
const FEWEST: i64 = 20;

/// What one process holds more than at the first of these readings, `apart` before the last, while its container grew by `level`
/// bytes, and of these V8's garbage by so many, where that can be compared.
pub(super) fn in_time(
    reader: &mut Reader<'_>,
    apart: Duration,
    level: Option<(u64, i64)>,
    (before, between, after): (&Reading, &[Reading], &Reading),
) -> Result<Diagnosis, Refusal> {
    let readings: Vec<&Reading> = [before].into_iter().chain(between).chain([after]).collect();
    let growth = Growth::over(&readings);
    let container = level.map(|(level, garbage)| ContainerGrowth {
        level,
        held: growth.net,
        garbage,
    });
    let compared = Compared::Times(apart.as_secs_f64());
    let mut diagnosis = diagnosis(reader, growth, compared, (before, after))?;
    diagnosis.container = container;
    diagnosis.readings = readings.len() as u32;
    if container.is_some_and(|container| !container.explains()) {
        diagnosis.growers.iter_mut().for_each(|grower| grower.culprit = false);
    }
    Ok(diagnosis)
}

/// By how many bytes garbage and free memory in V8's pages grew from one reading to another, with what was read of the container's memory
/// then: a page of the young generation is V8's long before it is used, and only the kernel tells which are in memory.
pub(super) fn garbage(before: (&Reading, Option<&MemoryUse>), after: (&Reading, Option<&MemoryUse>)) -> i64 {
    let of = |reading: &Reading, memory: Option<&MemoryUse>| match memory {
        Some(memory) => {
            let kinds = memory.kinds.iter().filter(|kind| kind.kind.is_unheld());
            let bytes: u64 = kinds.map(|kind| kind.bytes).sum();
            bytes.saturating_sub(reading.isolates.iter().map(|isolate| isolate.young_live_bytes).sum())
        }
        None => reading.unheld_bytes(),
    };
    let told = before.1.is_some() && after.1.is_some();
    let of = |(reading, memory): (&Reading, Option<&MemoryUse>)| of(reading, memory.filter(|_| told)).cast_signed();
    of(after) - of(before)
}

/// What a version holds that an earlier one did not; `None` where there is nothing of that kind.
pub(super) fn in_version(
    reader: &mut Reader<'_>,
    (from, to): (Option<Version>, Option<Version>),
    before: &Reading,
    after: &Reading,
) -> Result<Option<Diagnosis>, Refusal> {
    // Lines move from version to version: names are compared by what they are and where they stand, not in which line.
    let mut after = after.named();
    let known = |row: &Row| before.rows.iter().any(|b| b.what == row.what && b.kind == row.kind);
    after.rows.retain(|row| !known(row) && row.tally.count as i64 >= FEWEST);
    if after.rows.is_empty() {
        return Ok(None);
    }
    let nothing = Reading::default();
    let growth = Growth::over(&[&nothing, &after]);
    let mut diagnosis = diagnosis(reader, growth, Compared::Versions(from, to), (&nothing, &after))?;
    // New is not yet guilty.
    diagnosis.growers.iter_mut().for_each(|grower| grower.culprit = false);
    Ok(Some(diagnosis))
}

fn diagnosis(
    reader: &mut Reader<'_>,
    mut growth: Growth,
    compared: Compared,
    (before, after): (&Reading, &Reading),
) -> Result<Diagnosis, Refusal> {
    let marked = reader.is_marked();
    let mut suspects = reader.suspects(&growth, (before, after), &mut |_| {})?;
    suspects.truncate(NAMED);
    growth.grown.truncate(NAMED);
    let rows = growth.grown.iter_mut().map(|grown| &mut grown.row);
    reader.lines(rows.chain(suspects.iter_mut().map(|suspect| &mut suspect.content)))?;
    let held = if marked {
        Vec::new()
    } else {
        let rows: Vec<&Row> = growth.grown.iter().take(HELD).map(|grown| &grown.row).collect();
        reader.holders(&rows, FOLLOWED, &mut |_| {})?
    };
    growth.confirm(&held);
    let blamed: Vec<&Suspect> = suspects.iter().filter(|s| growth.blames(s.share, s.steady)).collect();
    let mut growers: Vec<Grower> = blamed.iter().map(|suspect| suspected(suspect)).collect();
    growers.extend(others(&growth, &suspects, &held, marked));
    growers.truncate(NAMED);
    Ok(Diagnosis {
        compared,
        explained: blamed.iter().map(|suspect| suspect.share).sum::<f64>().min(1.0),
        growers,
        grown: growth.bytes,
        readings: 2,
        exact: after.isolates.iter().all(|isolate| isolate.dead_bytes.is_some()) && !after.disturbed,
        container: None,
        memory: None,
    })
}

/// What accumulates in one place.
fn suspected(suspect: &Suspect) -> Grower {
    let now = suspect.content.tally.count;
    Grower {
        what: suspect.content.title(),
        place: suspect.content.place(),
        count: (now.saturating_sub(suspect.new), now),
        bytes: suspect.grown,
        held_by: suspect.path.clone(),
        culprit: true,
        retained: suspect.alone.then_some(suspect.retained),
        share: Some(suspect.share),
    }
}

/// What else grew. It is blamed only where the heap is too large to look for places.
fn others(growth: &Growth, suspects: &[Suspect], held: &[Holders], marked: bool) -> Vec<Grower> {
    let culprits: Vec<&str> = growth
        .culprits(HELD)
        .filter(|_| !marked)
        .map(|grown| grown.row.what.as_str())
        .collect();
    let known = |row: &Row| {
        suspects
            .iter()
            .any(|suspect| (&suspect.content.what, suspect.content.line) == (&row.what, row.line))
    };
    growth
        .grown
        .iter()
        .enumerate()
        .filter(|(_, grown)| !known(&grown.row))
        .map(|(index, grown)| Grower {
            what: grown.row.title(),
            place: grown.row.place(),
            count: (grown.before.count, grown.row.tally.count),
            bytes: grown.bytes,
            held_by: held.get(index).map(holder).unwrap_or_default(),
            culprit: culprits.contains(&grown.row.what.as_str()),
            retained: None,
            share: None,
        })
        .collect()
}

/// The way most of them are held, where it begins somewhere with a name: of ways that hold fewer none is told.
fn holder(held: &Holders) -> Vec<String> {
    let most = held.paths.first().filter(|path| path.rooted && path.share > 0.5);
    most.map(|path| path.steps.clone()).unwrap_or_default()
}
