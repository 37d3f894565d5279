//! One's own history judged: reads rows of many series as they come, produces each series' verdicts.
//!
//! A row is what a metrics store keeps of a container at one instant. Memory is bounded by the number of series: each has
//! a detector and no rows, but for its first few, from which the distance between samples is learned.

mod row;

use std::collections::BTreeMap;

use crate::{
    detect::{
        config::DetectConfig,
        growth::{
            ceiling::{sane, v8_ceiling},
            misfit::misfit,
        },
        history::point::{Ceilings, Point, RunEnd},
        state::slot::SlotDetector,
        statistics::median,
    },
    finding::{Cause, Ceiling, CeilingKind, Gate, Verdict},
    identity::Version,
    time::{BootTime, SECOND},
};

pub use row::{Refused, Row, Said};

/// Distances between samples that are looked at before a series is judged.
const DISTANCES: usize = 6;
/// Rows in a row that lie before the last one taken, after which the clock is taken to have been set back for good.
const SET_BACK: u32 = 100;
/// Latest time taken, seconds: year 2500. Later ones are milliseconds by mistake.
const LATEST: f64 = 1.7e10;

/// The detectors of all series.
#[derive(Debug, Default)]
pub struct Replay {
    time_scale: Option<f64>,
    slots: Vec<Slot>,
    by_name: BTreeMap<Box<str>, usize>,
    last: usize,
    refused: Refused,
}

#[derive(Debug)]
struct Slot {
    name: Box<str>,
    /// Which series came after this one the last time: files are mostly written in turns.
    next: usize,
    detector: SlotDetector,
    first: Vec<Kept>,
    judging: bool,
    last_t: f64,
    set_back: u32,
    run: Option<u64>,
    version: Option<Box<str>>,
    /// CPU seconds since the series' start.
    work: f64,
    /// The heap limit and the container's that were last looked at together.
    limits: (u64, u64),
}

/// A row kept until the distance between samples is known.
#[derive(Debug)]
struct Kept {
    row: Row<'static>,
    version: Option<Box<str>>,
}

impl Replay {
    /// Judges at a time scale of its own for each series, by the distance between its samples, or at the one given.
    pub fn new(time_scale: Option<f64>) -> Self {
        Self {
            time_scale,
            ..Self::default()
        }
    }

    /// What was not taken.
    pub const fn refused(&self) -> Refused {
        self.refused
    }

    /// Number of series.
    pub fn series(&self) -> usize {
        self.slots.len()
    }

    /// Takes a row; `hear` gets the series and each verdict.
    pub fn row(&mut self, row: &Row<'_>, hear: &mut dyn FnMut(&str, Said<'_>)) {
        let at = self.slot(row);
        self.last = at;
        let Some(slot) = self.slots.get_mut(at) else { return };
        if row.t == slot.last_t && (row.end.is_none() || slot.ended()) {
            self.refused.duplicates += 1;
            return;
        }
        if row.t < slot.last_t || row.t > LATEST {
            self.refused.backwards += 1;
            slot.set_back += 1;
            if slot.set_back < SET_BACK {
                return;
            }
        }
        if slot.set_back >= SET_BACK {
            // Set back for good: what was seen stands, and goes on from here as another run.
            slot.run = None;
            slot.detector
                .end_run(&RunEnd::new(at_time(slot.last_t), Cause::Unknown));
        }
        slot.set_back = 0;
        self.refused.limits += u64::from(row.limit.is_some_and(|limit| !sane(limit.max(0.0) as u64)));
        self.refused.shrunk += u64::from(row.cpu.is_some_and(|cpu| cpu < 0.0));
        let elapsed = (row.t - slot.last_t).max(0.0);
        slot.last_t = row.t;
        if slot.judging {
            slot.take(row, elapsed, hear);
            return;
        }
        slot.keep(row);
        if slot.first.len() > DISTANCES {
            slot.start(self.time_scale, hear);
        }
    }

    /// The file ends: series of a few rows are judged too.
    pub fn finish(&mut self, hear: &mut dyn FnMut(&str, Said<'_>)) {
        for slot in &mut self.slots {
            if !slot.judging {
                slot.start(self.time_scale, hear);
            }
        }
    }

    /// What is asked of a series' run in progress, and what is measured.
    pub fn ask(&self, series: &str) -> Vec<Gate> {
        let slot = self.by_name.get(series).and_then(|at| self.slots.get(*at));
        slot.map_or_else(Vec::new, |slot| slot.detector.gates())
    }

    fn slot(&mut self, row: &Row<'_>) -> usize {
        let named = |at: usize| self.slots.get(at).is_some_and(|slot| &*slot.name == row.series);
        if named(self.last) {
            return self.last;
        }
        let guess = self.slots.get(self.last).map_or(usize::MAX, |slot| slot.next);
        if named(guess) {
            return guess;
        }
        let known = self.by_name.get(row.series).copied();
        let at = known.unwrap_or_else(|| {
            let name: Box<str> = row.series.into();
            self.by_name.insert(name.clone(), self.slots.len());
            self.slots.push(Slot::new(name, row));
            self.slots.len() - 1
        });
        if let Some(slot) = self.slots.get_mut(self.last) {
            slot.next = at;
        }
        at
    }
}

fn at_time(t: f64) -> BootTime {
    BootTime((t.max(0.0) * 1_000.0 + 0.5) as u64 * (SECOND / 1_000))
}

impl Slot {
    fn new(name: Box<str>, row: &Row<'_>) -> Self {
        Self {
            name,
            next: 0,
            detector: SlotDetector::new(DetectConfig {
                job: matches!(row.kind, Some("Job" | "CronJob")),
                ..DetectConfig::default()
            }),
            first: Vec::new(),
            judging: false,
            last_t: f64::NEG_INFINITY,
            set_back: 0,
            run: None,
            version: None,
            work: 0.0,
            limits: (0, 0),
        }
    }

    /// Its last row had an end.
    fn ended(&self) -> bool {
        self.judging && self.run.is_some() && self.detector.current_run().is_none()
    }

    fn keep(&mut self, row: &Row<'_>) {
        self.first.push(Kept {
            row: Row {
                series: "",
                version: None,
                kind: None,
                ..*row
            },
            version: row.version.map(Into::into),
        });
    }

    /// The distance between samples is known: judges what was kept.
    fn start(&mut self, time_scale: Option<f64>, hear: &mut dyn FnMut(&str, Said<'_>)) {
        let first = std::mem::take(&mut self.first);
        let mut distances: Vec<f64> = first
            .windows(2)
            .filter(|pair| pair[0].row.run == pair[1].row.run)
            .map(|pair| pair[1].row.t - pair[0].row.t)
            .collect();
        let interval = median(&mut distances);
        let time_scale = time_scale.unwrap_or_else(|| DetectConfig::scale_for_interval(interval));
        self.detector.set_time_scale(time_scale);
        self.judging = true;
        let mut before = None;
        for kept in &first {
            let row = Row {
                version: kept.version.as_deref(),
                ..kept.row
            };
            let elapsed = before.map_or(0.0, |before: f64| (row.t - before).max(0.0));
            before = Some(row.t);
            self.take(&row, elapsed, hear);
        }
    }

    fn take(&mut self, row: &Row<'_>, elapsed: f64, hear: &mut dyn FnMut(&str, Said<'_>)) {
        let at = at_time(row.t);
        let name = &self.name;
        let mut tell = |verdict: Option<Verdict>| {
            if let Some(verdict) = verdict {
                hear(name, Said::Verdict(&verdict));
            }
        };
        let number = row.run.or(self.run).unwrap_or(0);
        if self.run != Some(number) || self.detector.current_run().is_none() {
            // A version that is named now and then holds until another is named.
            if let Some(version) = row.version {
                self.version = Some(version.into());
            }
            if self.detector.current_run().is_some() {
                let before = at_time(row.t - elapsed);
                tell(self.detector.end_run(&RunEnd::new(before, Cause::Unknown)));
            }
            let version = self.version.as_deref().map(|version| Version(version.to_owned()));
            tell(self.detector.begin_run(number, at, version.as_ref()));
            self.run = Some(number);
        } else if let Some(cpu) = row.cpu {
            self.work += cpu.max(0.0) * elapsed;
        }
        let bytes = |value: Option<f64>| value.filter(|bytes| *bytes > 0.0).map(|bytes| bytes as u64);
        let point = Point {
            at,
            trend: row.anon.max(0.0) as u64,
            file: bytes(row.file).unwrap_or(0),
            cpu_ns: row.cpu.map(|_| (self.work * 1e9) as u64),
            ceilings: Ceilings {
                cgroup: row.limit.map(|limit| Ceiling {
                    bytes: limit.max(0.0) as u64,
                    kind: CeilingKind::Cgroup,
                }),
                v8: bytes(row.heap_limit).map(v8_ceiling),
            },
            heap_limit: bytes(row.heap_limit),
            ..Point::default()
        };
        tell(self.detector.observe(&point));
        if let Some(cause) = row.end {
            tell(self.detector.end_run(&RunEnd::new(at, cause)));
            if let Some(recurring) = self.detector.recurring() {
                hear(&self.name, Said::Recurring(at, &recurring));
            }
        }
        let limits = (bytes(row.heap_limit).unwrap_or(0), bytes(row.limit).unwrap_or(0));
        if limits != self.limits {
            self.limits = limits;
            if let Some(misfit) = misfit(limits.0, limits.1) {
                hear(&self.name, Said::Misfit(at, &misfit));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::State;

    fn sawtooth(replay: &mut Replay, said: &mut Vec<(String, State)>, change: impl Fn(&mut Row<'_>)) {
        for i in 0..1_500u32 {
            for series in ["a", "b"] {
                let mut row = Row {
                    series,
                    t: 1.6e9 + f64::from(i) * 60.0,
                    anon: if series == "a" {
                        5e7 + f64::from(i % 360) * 1.25e6
                    } else {
                        6e7
                    },
                    limit: Some(5e8),
                    run: Some(u64::from(i / 360)),
                    end: (i % 360 == 359).then_some(Cause::KernelOom),
                    ..Row::default()
                };
                change(&mut row);
                replay.row(&row, &mut |series, heard| {
                    if let Said::Verdict(verdict) = heard {
                        said.push((series.to_owned(), verdict.state));
                    }
                });
            }
        }
    }

    #[test]
    fn interleaved_series_are_judged_apart() {
        let (mut replay, mut said) = (Replay::new(None), Vec::new());
        sawtooth(&mut replay, &mut said, |_| {});
        assert_eq!(replay.series(), 2);
        assert!(said.iter().all(|(series, _)| series == "a"), "{said:?}");
        assert_eq!(said.last().map(|said| said.1), Some(State::Confirmed));
    }

    #[test]
    fn jobs_are_never_reported_as_leaking_and_unnamed_ends_at_the_ceiling_still_count() {
        let (mut replay, mut said) = (Replay::new(None), Vec::new());
        sawtooth(&mut replay, &mut said, |row| row.kind = Some("CronJob"));
        assert!(said.iter().all(|(_, state)| *state < State::Likely), "{said:?}");
        let (mut replay, mut said) = (Replay::new(None), Vec::new());
        sawtooth(&mut replay, &mut said, |row| row.end = None);
        assert_eq!(said.last().map(|said| said.1), Some(State::Confirmed));
    }

    #[test]
    fn rows_out_of_order_are_counted_and_a_clock_set_back_is_survived() {
        let mut replay = Replay::new(None);
        let mut row = |t: f64| {
            replay.row(
                &Row {
                    series: "a",
                    t,
                    anon: 1e8,
                    ..Row::default()
                },
                &mut |_, _| {},
            );
        };
        for t in [0.0, 60.0, 60.0, 30.0, 120.0, 1e300] {
            row(t);
        }
        for i in 0..300 {
            row(50.0 + f64::from(i));
        }
        assert_eq!(replay.refused().duplicates, 2);
        assert!(replay.refused().backwards >= 70);
        assert!(replay.slots[0].last_t > 300.0);
    }
}
