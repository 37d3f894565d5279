//! Compares readings of one process, produces what grew: what a reader can act on first.
//!
//! Two readings tell what is more; those in between tell a leak from work that comes and goes.

use std::collections::BTreeMap;

use crate::graph::retainers::Holders;
use crate::names::kind::{ANONYMOUS, Kind, Origin};
use crate::report::reading::{Reading, Row};
use crate::report::rise::Rise;
use crate::walk::counts::Tally;

/// A row is worth naming from this share of all growth on, in bytes, percent.
const SIGNIFICANT_BYTES: u64 = 2;
/// Or from this share of the largest growth in objects on, percent; small objects may hold large ones.
const SIGNIFICANT_COUNT: u64 = 10;
/// What grew by less than this part of what grew most, each in proportion to itself, has no part in it.
const KEEPS_UP: f64 = 2.0;
/// Fewer objects more are nothing to name.
const FEWEST: i64 = 20;
/// A point of accumulation with less of the growth, 0 to 1, is told and not blamed.
const BLAMED: f64 = 0.1;
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
    /// It rose as a leak does at several readings, in both halves of the time, and without falling far; of two readings: it grew.
    pub steady: bool,
    /// Enough of the growth to be worth naming; or the application's own, and grown in proportion: few small objects may hold
    /// all the others.
    pub significant: bool,
    /// Whether more of them are alive than there were before; unknown until [`Growth::confirm`].
    pub alive: Option<bool>,
}

impl Grown {
    /// The share of what there is now that came since the first reading.
    fn pace(&self) -> f64 {
        self.count.max(0) as f64 / self.row.tally.count.max(1) as f64
    }

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
    /// Bytes of all rows that grew; no less than `net`, some of which may be in rows too small to be compared.
    pub bytes: u64,
    /// Of these, bytes of rows named by the application or its dependencies.
    pub named_bytes: u64,
    /// Bytes held more than before, shrinking rows counted against growing ones.
    pub net: i64,
    /// Whether the net growth is more than noise.
    pub grows: bool,
    /// And rose as a leak does.
    pub leaking: bool,
    /// Whether it rose as a leak does cannot be told from so few readings.
    pub unclear: bool,
}

/// What tells rows apart.
pub(crate) type Key = (usize, Kind, String, Option<String>, Option<u32>);

pub(crate) fn key(row: &Row) -> Key {
    (row.isolate, row.kind, row.what.clone(), row.file.clone(), row.position)
}

fn tallies(reading: &Reading) -> BTreeMap<Key, Tally> {
    let mut tallies = BTreeMap::<_, Tally>::new();
    for row in &reading.rows {
        tallies.entry(key(row)).or_default().merge(row.tally);
    }
    tallies
}

impl Growth {
    /// What is more in the last of the readings than in the first. All must be of the same process, in order; those between,
    /// taken at [`MOMENTS`](crate::MOMENTS), tell a leak from a warm-up and from work that comes and goes. Fewer than two tell nothing.
    pub fn over(readings: &[&Reading]) -> Self {
        let [first, .., after] = readings else {
            return Self::default();
        };
        let at: Vec<f64> = readings.iter().map(|reading| reading.at).collect();
        let earlier: Vec<_> = readings[..readings.len() - 1].iter().map(|r| tallies(r)).collect();
        let mut growth = Self::default();
        // Those that count less are missing from readings that were kept.
        for row in after.rows.iter().filter(|row| row.is_comparable()) {
            let key = key(row);
            let tally = |tallies: &BTreeMap<Key, Tally>| tallies.get(&key).copied().unwrap_or_default();
            let before = earlier.first().map(tally).unwrap_or_default();
            let bytes = row.tally.bytes.saturating_sub(before.bytes);
            if bytes > 0 {
                let levels = earlier.iter().map(tally).chain([row.tally]);
                // Strings and buffers come in all sizes, and many small ones come and go.
                let by_bytes = matches!(row.kind, Kind::String | Kind::Buffer);
                let level = |tally: Tally| if by_bytes { tally.bytes } else { tally.count } as i64;
                let levels: Vec<i64> = levels.map(level).collect();
                growth.bytes += bytes;
                growth.named_bytes += if row.origin <= Origin::Dependency { bytes } else { 0 };
                growth.grown.push(Grown {
                    row: row.clone(),
                    before,
                    bytes,
                    count: row.tally.count as i64 - before.count as i64,
                    steady: readings.len() == 2 || Rise::of(&levels, &at) == Rise::Steady,
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
        let pace = growth
            .grown
            .iter()
            .max_by_key(|grown| grown.bytes)
            .map_or(1.0, Grown::pace);
        for grown in &mut growth.grown {
            let many = grown.count >= FEWEST && grown.count.cast_unsigned() * 100 >= most * SIGNIFICANT_COUNT;
            let own =
                grown.row.origin <= Origin::Dependency && grown.count >= FEWEST && grown.pace() * KEEPS_UP >= pace;
            grown.significant = grown.bytes * 100 >= growth.bytes * SIGNIFICANT_BYTES || many || own;
        }
        growth.grown.sort_by(|a, b| {
            // Functions without a name come behind those with one: a reader can act on a name.
            let rank = |g: &Grown| (g.tier(), g.row.what == ANONYMOUS, std::cmp::Reverse(g.bytes));
            (rank(a), key(&a.row)).cmp(&(rank(b), key(&b.row)))
        });
        let held: Vec<i64> = readings.iter().map(|reading| reading.held_bytes() as i64).collect();
        let before = first.held_bytes() as i64;
        growth.net = after.held_bytes() as i64 - before;
        growth.bytes = growth.bytes.max(growth.net.max(0).cast_unsigned());
        growth.grows = growth.net > before / 1000 * NOISE as i64;
        let rise = Rise::of(&held, &at);
        growth.leaking = growth.grows && rise == Rise::Steady;
        growth.unclear = growth.grows && rise == Rise::Unclear;
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

    /// The rows that most likely name what leaks, at most `most`: none when nothing grows steadily. What V8 keeps for itself
    /// is what leaks bring along, and never one.
    pub fn culprits(&self, most: usize) -> impl Iterator<Item = &Grown> {
        let most = if self.leaking { most } else { 0 };
        self.grown
            .iter()
            .filter(|grown| grown.tier() <= 1 && grown.row.kind != Kind::Internal && grown.alive != Some(false))
            .take(most)
    }

    /// Whether a point of accumulation with this share of the growth, whose content rose steadily, is to be blamed.
    pub fn blames(&self, share: f64, steady: bool) -> bool {
        self.grows && steady && share >= BLAMED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::retainers::Path;
    use crate::report::reading::Summary;

    fn over(readings: &[Reading]) -> Growth {
        Growth::over(&readings.iter().collect::<Vec<_>>())
    }

    fn reading(rows: &[(&str, Origin, u64, u64)]) -> Reading {
        let heap_bytes = rows.iter().map(|row| row.3).sum();
        let rows = rows
            .iter()
            .map(|&(what, origin, count, bytes)| Row {
                what: what.to_owned(),
                origin,
                tally: Tally { count, bytes },
                ..Row::named(Kind::Object)
            })
            .collect();
        let isolate = Summary {
            heap_bytes,
            ..Summary::default()
        };
        Reading {
            rows,
            isolates: vec![isolate],
            ..Reading::default()
        }
    }

    #[test]
    fn what_is_kept_and_what_was_just_read_are_compared_alike() {
        let small: Vec<String> = (0..2_000).map(|nth| format!("Small{nth}")).collect();
        let at = |n: u64| {
            let mut rows = vec![("Session", Origin::Application, n, n * 40)];
            rows.extend(small.iter().map(|name| (name.as_str(), Origin::Application, 7, 4_000)));
            reading(&rows)
        };
        let (kept, newest) = (at(1_000).kept(), at(1_010));
        assert_eq!((kept.rows.len(), newest.rows.len()), (1, 2_001));
        let growth = over(&[kept, newest]);
        assert_eq!((growth.net, growth.bytes, growth.grown.len()), (400, 400, 1));
        assert!(!growth.grows);
        // Growth in names of which each counts next to nothing is growth that no row explains.
        let growth = over(&[reading(&[]), at(0)]);
        assert_eq!((growth.bytes, growth.grown.len()), (2_000 * 4_000, 0));
        assert!(growth.grows);
    }

    #[test]
    fn what_grows_in_both_halves_is_named() {
        let at = |n: u64| {
            reading(&[
                ("Session", Origin::Application, n, n * 40),
                ("string", Origin::Engine, n, n * 900),
            ])
        };
        let growth = over(&[at(1000), at(2000), at(3000)]);
        assert!(growth.leaking);
        let names: Vec<&str> = growth.culprits(3).map(|grown| grown.row.what.as_str()).collect();
        assert_eq!(
            names,
            ["Session", "string"],
            "the application's own name first, though it has fewer bytes"
        );
    }

    #[test]
    fn few_objects_of_the_application_that_hold_many_others_are_named_first() {
        let at = |n: u64| {
            reading(&[
                ("onUserMessage", Origin::Application, n, n * 64),
                ("onStart", Origin::Application, 500 + n / 20, 40_000 + n * 3),
                ("string", Origin::Engine, n * 150, n * 9000),
            ])
        };
        let growth = over(&[at(300), at(600)]);
        let names: Vec<&str> = growth.culprits(3).map(|grown| grown.row.what.as_str()).collect();
        assert_eq!(
            names,
            ["onUserMessage", "string"],
            "onStart has grown by a thirtieth only"
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
        let mut growth = over(&[at(5000), at(7000), at(9000)]);
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
        let growth = over(&[at(1000), at(5000), at(5100)]);
        assert!(!growth.leaking);
        assert_eq!(growth.culprits(3).count(), 0);
        assert_eq!(growth.grown[0].bytes, 4100 * 40);
    }

    #[test]
    fn a_wave_that_ends_where_it_began_names_nothing() {
        let at = |n: u64| reading(&[("Request", Origin::Application, n, n * 400)]);
        let named = |levels: &[u64]| {
            let readings: Vec<Reading> = levels.iter().map(|&level| at(level)).collect();
            over(&readings).culprits(3).count()
        };
        assert_eq!(named(&[5000, 9000, 5010]), 0);
        assert_eq!(named(&[5000, 1000, 7000]), 0);
        assert_eq!(
            named(&[2000, 3400, 2100, 2700, 1200, 2900, 3500]),
            0,
            "it fell in between"
        );
        assert_eq!(
            named(&[2000, 2100, 2400, 2700, 2690, 2900, 3500]),
            1,
            "a leak that breathes"
        );
        assert_eq!(
            named(&[2000, 2000, 2900, 2900, 2900, 3600, 4100]),
            1,
            "a leak in bursts, with pauses"
        );
        assert_eq!(named(&[2000, 2000, 2000, 4000, 4000, 4000, 4000]), 0, "one step");
    }
}
