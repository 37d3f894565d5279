//! Reads what was found to hang behind each point of accumulation, produces it by the names of rows, and what of a row's growth is there.

use std::collections::BTreeMap;

use crate::graph::retained::{Retained, Split};
use crate::layout::refusal::Refusal;
use crate::report::growth::{Grown, Growth, Key, key};
use crate::report::reading::{Reading, Row};
use crate::report::rows::rows;
use crate::walk::heap::Heap;

/// The share of what grew, 0 to 1, that is enough to have been found.
pub(super) const ADDS_UP: f64 = 0.8;

/// Bytes and numbers by row.
pub(super) type Contents = BTreeMap<Key, Row>;

/// What hangs behind one point.
pub(super) struct Behind {
    pub(super) all: Contents,
    pub(super) new: Contents,
    pub(super) retained: u64,
}

/// What hangs where, under the names of rows.
pub(super) struct Measured {
    pub(super) by: Vec<Behind>,
    /// New objects in all.
    pub(super) new: Contents,
}

impl Measured {
    pub(super) fn of(heap: &Heap<'_>, retained: &Retained, last: &Reading) -> Result<Self, Refusal> {
        let contents = |split: &Split, new: bool| -> Result<Contents, Refusal> {
            let index = last.order.iter().position(|&heap| heap == split.heap).unwrap_or(0);
            let mut named = Vec::new();
            rows(heap, index, if new { &split.new } else { &split.all }, &mut named)?;
            Ok(named.into_iter().map(|row| (key(&row), row)).collect())
        };
        let mut all = Contents::new();
        let mut add = |contents: &Contents| {
            for (key, row) in contents {
                match all.get_mut(key) {
                    Some(sum) => sum.tally.merge(row.tally),
                    None => {
                        all.insert(key.clone(), row.clone());
                    }
                }
            }
        };
        for split in &retained.rest {
            add(&contents(split, true)?);
        }
        let mut by = Vec::new();
        for split in &retained.by {
            let new = contents(split, true)?;
            add(&new);
            by.push(Behind {
                all: contents(split, false)?,
                new,
                retained: split.all.bytes(),
            });
        }
        Ok(Self { by, new: all })
    }

    /// New objects in all, by number.
    pub(super) fn objects(&self) -> u64 {
        self.new.values().map(|row| row.tally.count).sum()
    }

    /// How many objects of a row are new beyond those that it grew by: they took the place of others, or were moved.
    pub(super) fn excess(&self, row: &Row, growth: &Growth) -> u64 {
        let key = key(row);
        let grown = growth.grown.iter().find(|grown| self::key(&grown.row) == key);
        let grown = grown.map_or(0, |grown| grown.count.max(0).cast_unsigned());
        let new = self.new.get(&key).map_or(0, |row| row.tally.count);
        new.saturating_sub(grown)
    }

    /// By how many a row grew at a place where so many of its objects stand that were not held there before: young ones have been
    /// promoted meanwhile, which is not to become more.
    pub(super) fn more(&self, grown: &Grown, new: u64) -> u64 {
        let all = self.new.get(&key(&grown.row)).map_or(0, |row| row.tally.count);
        match u64::try_from(grown.count) {
            Ok(more) if more > 0 => new.min(portion(more, new, all)),
            _ => new,
        }
    }

    /// Takes for not new what hangs behind these points.
    pub(super) fn leave_out(&mut self, points: &[bool]) {
        for (behind, _) in self.by.iter().zip(points).filter(|(_, out)| **out) {
            for (key, row) in &behind.new {
                if let Some(all) = self.new.get_mut(key) {
                    all.tally.count = all.tally.count.saturating_sub(row.tally.count);
                    all.tally.bytes = all.tally.bytes.saturating_sub(row.tally.bytes);
                }
            }
        }
    }

    /// The share of the growth, 0 to 1, of which new objects were found.
    pub(super) fn found(&self, growth: &Growth) -> f64 {
        let found = growth.grown.iter().map(|grown| {
            let new = self.new.get(&key(&grown.row)).map_or(0, |row| row.tally.bytes);
            grown.bytes.min(new)
        });
        found.sum::<u64>() as f64 / growth.bytes.max(1) as f64
    }
}

/// What of a row's growth hangs where so many of its new bytes are: in proportion, unless far fewer were found in all than it
/// grew by. What was not found may hang anywhere.
pub(super) fn portion(grown: u64, here: u64, all: u64) -> u64 {
    let least = (grown as f64 * ADDS_UP) as u64;
    let part = u128::from(grown) * u128::from(here) / u128::from(all.max(least).max(1));
    part as u64
}
