//! Levels of memory outside V8's heap at the readings that are compared: produces what rises there, and whether that is a leak.

use observer_core::telemetry::units;
use observer_heap::{MOMENTS, Rise, native::Size};
use serde::Serialize;

use super::schedule::FEWEST;
use crate::source::usage::{Allocator, Outside};

/// Growth of malloc's blocks in use, bytes, below which nothing is said: of small programs that leak nothing they rise by less.
const LEAST: u64 = 512 << 10;
/// Growth, bytes, below which nothing is said of memory of which it is not known who uses it, or that is free.
const LARGE: u64 = 2 << 20;
/// And as a share of what was there before.
const LARGE_SHARE: f64 = 0.1;

/// What rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    /// Malloc's blocks in use.
    BlocksInUse,
    /// What is free inside the allocator.
    FreeInAllocator,
    /// Memory of which that is not told apart.
    Other,
}

/// Blocks of one size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Blocks {
    /// The largest, bytes.
    pub(super) up_to: u64,
    /// More than before.
    pub(super) new: u64,
    pub(super) grown_bytes: u64,
}

/// What rose outside V8's heap, over all readings that are compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Risen {
    pub(super) what: What,
    pub(super) first_bytes: u64,
    pub(super) last_bytes: u64,
    /// Bytes in each round, where rounds were counted.
    pub(super) per_round_bytes: Option<f64>,
    /// The size of which most of what is more is, where one is.
    pub(super) blocks: Option<Blocks>,
}

/// What is said of memory outside V8's heap.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Said {
    /// Nothing rises there, or too little.
    #[default]
    Nothing,
    /// It leaks.
    Leaks(Risen),
    /// It was read too seldom.
    Unread,
    /// Whether that is a leak cannot be told, and why.
    Untold(Risen, String),
    /// Memory that is free rises: no leak, and worth a word.
    Fragments(Risen),
}

/// What is said of these readings, taken at these moments.
pub(super) fn said(readings: &[&Outside], at: &[f64], rounds: u64) -> Said {
    let (Some(first), Some(last)) = (readings.first(), readings.last()) else {
        return Said::Unread;
    };
    if readings.len() < FEWEST {
        return Said::Unread;
    }
    let rising = |what: What, levels: &[u64]| {
        let signed: Vec<i64> = levels.iter().map(|level| level.cast_signed()).collect();
        (Rise::of(&signed, at), Risen::of(what, levels, rounds))
    };
    let risen = |what: What, level: fn(&Outside) -> u64| {
        let levels: Vec<u64> = readings.iter().map(|reading| level(reading)).collect();
        rising(what, &levels)
    };
    let all = first.in_use + first.free + first.other;
    let is_large = |grown: u64| grown >= LARGE && grown as f64 >= LARGE_SHARE * all as f64;
    let (rise, mut in_use) = risen(What::BlocksInUse, |reading| reading.in_use);
    in_use.blocks = most_of(first, last);
    let grown = in_use.grown();
    let by_none: Option<Vec<u64>> = readings.iter().map(|reading| reading.led_to_by_none(first)).collect();
    if let Some(by_none) = by_none.as_ref().filter(|_| rise == Rise::Steady)
        && let (Rise::Steady, leak) = rising(What::BlocksInUse, by_none)
        && leak.grown() >= LEAST
        // Node.js keeps notes of its objects that these do not lead to, as of dead ones: of those most is led to.
        && leak.grown() * 2 >= grown
    {
        let blocks = in_use.blocks;
        return Said::Leaks(Risen { blocks, ..leak });
    }
    let untold = match rise {
        Rise::Steady if grown >= LEAST => match (first.by_objects, last.by_objects, by_none) {
            // What objects hold is judged with the heap.
            (Some(before), Some(now), Some(_)) => {
                is_large(grown.saturating_sub(now.garbage.saturating_sub(before.garbage)))
                    .then(|| "JavaScript objects may hold them: `observer memory PID --classes` names these".to_owned())
            }
            _ => Some("whether objects hold them, or garbage, is not told".to_owned()),
        },
        Rise::Unclear if readings.len() < MOMENTS.len() && is_large(grown) => {
            Some(format!("{} readings do not tell whether that goes on", readings.len()))
        }
        _ => None,
    };
    if let Some(why) = untold {
        return in_use.untold(&why);
    }
    let (rise, other) = risen(What::Other, |reading| reading.other);
    if rise == Rise::Steady && is_large(other.grown()) {
        return match last.allocator {
            Allocator::Glibc => other.untold("who uses what is neither V8's nor malloc's is not told"),
            allocator => other.untold(&format!("in use and free are not told apart in {}", allocator.name())),
        };
    }
    match risen(What::FreeInAllocator, |reading| reading.free) {
        (Rise::Steady, free) if is_large(free.grown()) => Said::Fragments(free),
        _ => Said::Nothing,
    }
}

/// The size of which at least half of what is more is.
fn most_of(first: &Outside, last: &Outside) -> Option<Blocks> {
    let more = |now: &Size| {
        let before = first
            .sizes
            .get(&now.up_to)
            .map_or((0, 0), |size| (size.count, size.bytes));
        Blocks {
            up_to: now.up_to,
            new: now.count.saturating_sub(before.0),
            grown_bytes: now.bytes.saturating_sub(before.1),
        }
    };
    let all: Vec<Blocks> = last.sizes.values().map(more).collect();
    let grown: u64 = all.iter().map(|blocks| blocks.grown_bytes).sum();
    let most = all.into_iter().max_by_key(|blocks| blocks.grown_bytes)?;
    (most.grown_bytes > 0 && most.grown_bytes * 2 >= grown).then_some(most)
}

impl What {
    const fn words(self) -> &'static str {
        match self {
            Self::BlocksInUse => "memory outside V8's heap: malloc blocks in use",
            Self::FreeInAllocator => "free memory inside malloc",
            Self::Other => "memory outside V8's heap",
        }
    }
}

impl Risen {
    fn of(what: What, levels: &[u64], rounds: u64) -> Self {
        let [first_bytes, last_bytes] = [levels.first(), levels.last()].map(|level| level.copied().unwrap_or(0));
        let grown = last_bytes.saturating_sub(first_bytes);
        Self {
            what,
            first_bytes,
            last_bytes,
            per_round_bytes: (rounds > 0).then(|| grown as f64 / rounds as f64),
            blocks: None,
        }
    }

    const fn grown(&self) -> u64 {
        self.last_bytes.saturating_sub(self.first_bytes)
    }

    fn untold(self, why: &str) -> Said {
        let why = format!("{}, and {why}", self.levels());
        Said::Untold(self, why)
    }

    /// From what to what.
    fn levels(&self) -> String {
        let (first, last) = (units::bytes(self.first_bytes), units::bytes(self.last_bytes));
        let round = self.per_round_bytes.map_or_else(String::new, |bytes| {
            format!(", {} in each round", units::bytes(bytes.round() as u64))
        });
        format!("{} went from {first} to {last}{round}", self.what.words())
    }

    /// In a sentence.
    pub(super) fn sentence(&self) -> String {
        let blocks = self.blocks.as_ref().map_or_else(String::new, |blocks| {
            let (up_to, bytes) = (units::bytes(blocks.up_to), units::bytes(blocks.grown_bytes));
            format!(
                "; of all that malloc has in use, {} more blocks are of up to {up_to}, {bytes}",
                blocks.new
            )
        });
        let then = match self.what {
            What::BlocksInUse => "; no JavaScript object leads to them, and what holds them is not named",
            What::FreeInAllocator => {
                ": fragmentation, no leak; `observer memory` tells how much of it malloc_trim gives back"
            }
            What::Other => "",
        };
        format!("{}{then}{blocks}", self.levels())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::usage::ByObjects;

    /// What is said of readings of which each part has these levels, KiB; so much of the growth of blocks in use, KiB, is led to by garbage
    /// and by what is held.
    fn told(allocator: Allocator, of: [&[u64]; 3], by: Option<(u64, u64)>) -> Said {
        let readings: Vec<Outside> = (0..of[0].len())
            .map(|nth| {
                let [in_use, free, other] = of.map(|levels| levels[nth] << 10);
                let grown = (MOMENTS[nth] * 1024.0) as u64;
                let nth = nth as u64;
                Outside {
                    allocator,
                    in_use,
                    free,
                    other,
                    pages: 8 << 20,
                    by_objects: by.map(|(garbage, held)| ByObjects {
                        garbage: (500 << 10) + garbage * grown,
                        held: (500 << 10) + held * grown,
                    }),
                    sizes: [(2048, nth * 10, nth * 20_160), (4096, 7, 20_000)]
                        .map(|(up_to, count, bytes)| (up_to, Size { up_to, count, bytes }))
                        .into(),
                }
            })
            .collect();
        let at: Vec<f64> = MOMENTS
            .iter()
            .take(readings.len())
            .map(|moment| moment * 17.0)
            .collect();
        said(&readings.iter().collect::<Vec<_>>(), &at, 17)
    }

    const FLAT: &[u64] = &[2_000; 7];

    fn climbing(by: u64) -> Vec<u64> {
        MOMENTS.map(|moment| 2_000 + (moment * by as f64) as u64).to_vec()
    }

    #[test]
    fn blocks_in_use_that_climb_leak_where_no_object_leads_to_them() {
        let said = |by| told(Allocator::Glibc, [&climbing(5_000), FLAT, FLAT], by);
        let Said::Leaks(risen) = said(Some((1_000, 1_000))) else {
            panic!("{:?}", said(Some((1_000, 1_000))))
        };
        assert_eq!(risen.what, What::BlocksInUse);
        let blocks = Blocks {
            up_to: 2048,
            new: 60,
            grown_bytes: 120_960,
        };
        assert_eq!(risen.blocks, Some(blocks));
        assert_eq!(
            risen.sentence(),
            "memory outside V8's heap: malloc blocks in use went from 1000 KiB to 3.9 MiB, 176 KiB in each round; no JavaScript \
             object leads to them, and what holds them is not named; of all that malloc has in use, 60 more blocks are of up to \
             2.0 KiB, 118 KiB"
        );
        assert_eq!(said(Some((4_900, 0))), Said::Nothing, "garbage that waits");
        assert_eq!(
            said(Some((3_500, 0))),
            Said::Nothing,
            "and what is kept of it elsewhere"
        );
        assert!(matches!(said(Some((0, 4_900))), Said::Untold(..)), "objects hold them");
        assert!(matches!(said(None), Said::Untold(..)));
        let few = told(
            Allocator::Glibc,
            [&[2_000, 3_000, 4_000, 5_000], &[0; 4], &[0; 4]],
            None,
        );
        assert_eq!(few, Said::Unread);
        let little = told(Allocator::Glibc, [&climbing(1_000), FLAT, FLAT], Some((0, 900)));
        assert_eq!(little, Said::Nothing, "what objects hold is judged with the heap");
        let less = told(Allocator::Glibc, [&climbing(200), FLAT, FLAT], Some((0, 0)));
        assert_eq!(less, Said::Nothing);
    }

    #[test]
    fn a_cache_of_native_code_that_is_full_and_a_wave_are_no_leak() {
        let full = MOMENTS.map(|moment| 2_000 + (moment.min(0.6) * 20_000.0) as u64);
        let wave = [2_000, 9_000, 3_000, 8_000, 2_500, 9_500, 9_000];
        for levels in [full, wave] {
            assert_eq!(
                told(Allocator::Glibc, [&levels, FLAT, FLAT], Some((0, 0))),
                Said::Nothing
            );
        }
    }

    #[test]
    fn few_readings_of_much_more_do_not_clear() {
        let said = told(
            Allocator::Glibc,
            [&[2_000, 3_000, 3_000, 9_000, 9_500], &[0; 5], &[0; 5]],
            None,
        );
        assert!(
            matches!(&said, Said::Untold(_, why) if why.contains("5 readings")),
            "{said:?}"
        );
    }

    #[test]
    fn what_is_not_told_apart_is_not_judged_and_free_memory_is_no_leak() {
        let climbs = climbing(9_000);
        let other = |allocator| match told(allocator, [FLAT, FLAT, &climbs], None) {
            Said::Untold(_, why) => why,
            said => panic!("{said:?}"),
        };
        assert!(other(Allocator::Jemalloc).ends_with("told apart in jemalloc"));
        assert!(other(Allocator::Glibc).contains("neither V8's nor malloc's"));
        let Said::Fragments(free) = told(Allocator::Glibc, [FLAT, &climbs, FLAT], None) else {
            panic!("free memory climbs")
        };
        assert!(free.sentence().contains("fragmentation, no leak"));
        let little = climbing(1_500);
        assert_eq!(told(Allocator::Musl, [FLAT, &little, &little], None), Said::Nothing);
    }
}
