//! Compares readings of one process, produces what grew: what a reader can act on first.

use std::collections::BTreeMap;

use crate::histogram::Tally;
use crate::reading::{Kind, Origin, Reading, Row};
use crate::retainers::Holders;

/// A row is worth naming from this share of all growth on, in bytes, percent.
const SIGNIFICANT_BYTES: u64 = 2;
/// Or from this share of the largest growth in objects on, percent; small objects may hold large ones.
const SIGNIFICANT_COUNT: u64 = 10;
/// Fewer objects more are nothing to name.
const FEWEST: i64 = 20;
/// Of two halves of a leak's growth none is smaller than this part of the other.
const STEADY: u64 = 3;
/// Below this share of the heap, in thousandths, net growth is noise.
const NOISE: u64 = 5;

/// A row that grew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grown {
    /// As in the last reading.
    pub row: Row,
    /// What the first reading counted.
    pub before: Tally,
    /// Bytes more than before, net.
    pub bytes: u64,
    /// Objects more than before; negative when fewer hold more.
    pub count: i64,
    /// It grew alike between all readings: warm-up and waves do not. True when there were only two.
    pub steady: bool,
    /// Enough of the growth to be worth naming.
    pub significant: bool,
    /// Whether more of them are alive than there were before; unknown until [`Growth::confirm`].
    pub alive: Option<bool>,
}

impl Grown {
    /// Steps of what a reader can act on, lowest first.
    fn tier(&self) -> u8 {
        match (self.significant && self.steady, self.row.kind, self.row.origin) {
            (true, _, Origin::Application | Origin::Dependency) => 0,
            (true, kind, _) if kind != Kind::Internal => 1,
            _ if self.significant => 2,
            _ => 3,
        }
    }
}

/// The difference of readings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Growth {
    /// What grew, the likeliest culprits first.
    pub grown: Vec<Grown>,
    /// Bytes of all rows that grew.
    pub bytes: u64,
    /// Of these, bytes of rows named by the application or its dependencies.
    pub named_bytes: u64,
    /// Bytes held more than before, shrinking rows counted against growing ones.
    pub net: i64,
    /// Whether the net growth is more than noise and was alike between all readings.
    pub leaking: bool,
}

type Key = (usize, Kind, String, Option<String>, Option<u32>);

fn key(row: &Row) -> Key {
    (row.isolate, row.kind, row.what.clone(), row.file.clone(), row.position)
}

fn tallies(reading: &Reading) -> BTreeMap<Key, Tally> {
    let mut tallies = BTreeMap::<_, Tally>::new();
    for row in &reading.rows {
        tallies.entry(key(row)).or_default().merge(row.tally);
    }
    tallies
}

/// Whether two halves of a growth are alike: both positive, none much smaller than the other.
fn alike(first: i64, second: i64) -> bool {
    let (Ok(first), Ok(second)) = (u64::try_from(first), u64::try_from(second)) else {
        return false;
    };
    first > 0 && second > 0 && first <= second.saturating_mul(STEADY) && second <= first.saturating_mul(STEADY)
}

impl Growth {
    /// What is more in `after` than in `before`; `middle` was read half-way, and tells a leak from a warm-up. All must be
    /// readings of the same process.
    pub fn between(before: &Reading, middle: Option<&Reading>, after: &Reading) -> Self {
        let earlier = tallies(before);
        let halfway = middle.map(tallies);
        let mut growth = Self::default();
        for row in &after.rows {
            let key = key(row);
            let before = earlier.get(&key).copied().unwrap_or_default();
            let bytes = row.tally.bytes.saturating_sub(before.bytes);
            let count = row.tally.count as i64 - before.count as i64;
            if bytes > 0 {
                let steady = halfway.as_ref().is_none_or(|halfway| {
                    let middle = halfway.get(&key).copied().unwrap_or_default().count as i64;
                    alike(middle - before.count as i64, row.tally.count as i64 - middle)
                });
                growth.bytes += bytes;
                growth.named_bytes += if row.origin <= Origin::Dependency { bytes } else { 0 };
                growth.grown.push(Grown {
                    row: row.clone(),
                    before,
                    bytes,
                    count,
                    steady,
                    significant: false,
                    alive: None,
                });
            }
        }
        let most = growth
            .grown
            .iter()
            .map(|grown| grown.count)
            .max()
            .unwrap_or(0)
            .max(0)
            .cast_unsigned();
        for grown in &mut growth.grown {
            let many = grown.count >= FEWEST && grown.count.cast_unsigned() * 100 >= most * SIGNIFICANT_COUNT;
            grown.significant = grown.bytes * 100 >= growth.bytes * SIGNIFICANT_BYTES || many;
        }
        growth.grown.sort_by(|a, b| {
            let rank = |g: &Grown| (g.tier(), std::cmp::Reverse(g.bytes));
            (rank(a), key(&a.row)).cmp(&(rank(b), key(&b.row)))
        });
        let total = |reading: &Reading| reading.rows.iter().map(|row| row.tally.bytes).sum::<u64>() as i64;
        growth.net = total(after) - total(before);
        let half = middle.map(|middle| alike(total(middle) - total(before), total(after) - total(middle)));
        let noise = total(before) / 1000 * NOISE as i64;
        growth.leaking = growth.net > noise && half != Some(false);
        growth
    }

    /// Takes into account how the objects of the first rows are held, in their order. What grew may be garbage that was
    /// promoted before it died and waits for a major collection; nothing holds it.
    pub fn confirm(&mut self, held: &[Holders]) {
        for (grown, held) in self.grown.iter_mut().zip(held) {
            let rooted: f64 = held
                .paths
                .iter()
                .filter(|path| path.rooted)
                .map(|path| path.share)
                .sum();
            let (before, now) = (grown.before.bytes as f64, grown.row.tally.bytes as f64);
            grown.alive = Some(rooted * now > before + grown.bytes as f64 / 2.0);
        }
    }

    /// The rows that most likely name what leaks, at most `most`: none when nothing grows steadily.
    pub fn culprits(&self, most: usize) -> impl Iterator<Item = &Grown> {
        let most = if self.leaking { most } else { 0 };
        self.grown
            .iter()
            .filter(|grown| grown.tier() <= 2 && grown.alive != Some(false))
            // One backing store more, or a larger one: a collection that breathes.
            .filter(|grown| grown.row.kind != Kind::Internal || grown.count >= FEWEST)
            .take(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retainers::Path;

    fn reading(rows: &[(&str, Origin, u64, u64)]) -> Reading {
        let rows = rows
            .iter()
            .map(|&(what, origin, count, bytes)| Row {
                what: what.to_owned(),
                origin,
                tally: Tally { count, bytes },
                ..Row::named(Kind::Object)
            })
            .collect();
        Reading {
            rows,
            ..Reading::default()
        }
    }

    #[test]
    fn what_grows_alike_in_both_halves_is_named() {
        let at = |n: u64| {
            reading(&[
                ("Session", Origin::Application, n, n * 40),
                ("string", Origin::Engine, n, n * 900),
            ])
        };
        let growth = Growth::between(&at(1000), Some(&at(2000)), &at(3000));
        assert!(growth.leaking);
        let names: Vec<&str> = growth.culprits(3).map(|grown| grown.row.what.as_str()).collect();
        assert_eq!(
            names,
            ["Session", "string"],
            "the application's own name first, though it has fewer bytes"
        );
    }

    #[test]
    fn garbage_that_waits_for_a_collection_is_not_a_culprit() {
        let at = |n: u64| reading(&[("Entry", Origin::Application, n, n * 40)]);
        let held = |share| Holders {
            sampled: 10,
            paths: vec![
                Path {
                    steps: vec!["cache in a.js".to_owned()],
                    share,
                    rooted: true,
                },
                Path {
                    steps: Vec::new(),
                    share: 1.0 - share,
                    rooted: false,
                },
            ],
        };
        let mut growth = Growth::between(&at(5000), Some(&at(7000)), &at(9000));
        growth.confirm(&[held(0.55)]);
        assert_eq!(
            growth.culprits(3).count(),
            0,
            "of 9000 only some 5000 are alive, as many as before"
        );
        growth.confirm(&[held(0.98)]);
        assert_eq!(growth.culprits(3).count(), 1);
    }

    #[test]
    fn a_warm_up_names_nothing() {
        let at = |n: u64| reading(&[("Entry", Origin::Application, n, n * 40)]);
        let growth = Growth::between(&at(1000), Some(&at(5000)), &at(5100));
        assert!(!growth.leaking);
        assert_eq!(growth.culprits(3).count(), 0);
        assert_eq!(growth.grown[0].bytes, 4100 * 40);
    }

    #[test]
    fn a_wave_that_ends_where_it_began_names_nothing() {
        let at = |n: u64| reading(&[("Request", Origin::Application, n, n * 400)]);
        assert_eq!(
            Growth::between(&at(5000), Some(&at(9000)), &at(5010))
                .culprits(3)
                .count(),
            0
        );
        assert_eq!(
            Growth::between(&at(5000), Some(&at(1000)), &at(7000))
                .culprits(3)
                .count(),
            0
        );
    }
}
