//! Reads two readings of a heap, produces the diagnosis the engine states: what grew, by name, and what holds it.

use std::time::Instant;

use observer_core::{
    heap::{Compared, Diagnosis, Grower},
    identity::Version,
};
use observer_heap::{Grown, Growth, Holders, Reader, Reading, Refusal, Row};

/// Growers told of, and of these the ones whose holders are looked for: each level of a search reads the whole heap.
const TOLD: usize = 8;
const HELD: usize = 3;
/// Objects followed upwards for each.
const FOLLOWED: usize = 48;
/// Fewer objects that an earlier version did not hold are nothing to tell of.
const FEWEST: i64 = 20;

/// What one process holds more than at its first reading.
pub(super) fn in_time(
    reader: &mut Reader<'_>,
    since: Instant,
    before: &Reading,
    after: &Reading,
) -> Result<Diagnosis, Refusal> {
    let growth = Growth::over(&[before, after]);
    diagnosis(reader, growth, Compared::Times(since.elapsed().as_secs_f64()), after)
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
    let growth = Growth::over(&[&Reading::default(), &after]);
    let mut diagnosis = diagnosis(reader, growth, Compared::Versions(from, to), &after)?;
    // New is not yet guilty.
    diagnosis.growers.iter_mut().for_each(|grower| grower.culprit = false);
    Ok(Some(diagnosis))
}

fn diagnosis(
    reader: &mut Reader<'_>,
    mut growth: Growth,
    compared: Compared,
    after: &Reading,
) -> Result<Diagnosis, Refusal> {
    let grown = growth.bytes;
    let explained = if grown == 0 {
        0.0
    } else {
        growth.named_bytes as f64 / grown as f64
    };
    growth.grown.truncate(TOLD);
    reader.lines(growth.grown.iter_mut().map(|grown| &mut grown.row))?;
    let held = {
        let rows: Vec<&Row> = growth.grown.iter().take(HELD).map(|grown| &grown.row).collect();
        reader.holders(&rows, FOLLOWED, &mut |_| {})?
    };
    growth.confirm(&held);
    let culprits: Vec<&Grown> = growth.culprits(HELD).collect();
    let growers = growth.grown.iter().enumerate().map(|(index, grown)| Grower {
        what: grown.row.title(),
        place: grown.row.place(),
        count: (grown.before.count, grown.row.tally.count),
        bytes: grown.bytes,
        held_by: held.get(index).map(holder).unwrap_or_default(),
        culprit: culprits.contains(&grown),
    });
    Ok(Diagnosis {
        compared,
        growers: growers.collect(),
        grown,
        explained,
        exact: after.isolates.iter().all(|isolate| isolate.dead_bytes.is_some()) && !after.disturbed,
    })
}

/// The commonest way that begins somewhere with a name.
fn holder(held: &Holders) -> Vec<String> {
    let rooted = held.paths.iter().find(|path| path.rooted);
    rooted.map(|path| path.steps.clone()).unwrap_or_default()
}
