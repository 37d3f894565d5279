//! Cases of one's own history: reads its rows as they are judged, produces the case of a series.

use std::{collections::BTreeMap, path::Path};

use observer_core::{
    detect::{
        Ceilings, State,
        growth::ceiling::{in_force, v8_ceiling},
        replay::{Refused, Replay, Row, Said},
    },
    finding::{Ceiling, CeilingKind},
    telemetry::{self, Severity},
    time::WallTime,
};

use super::{
    Case,
    track::{Track, seconds},
};
use crate::{
    history::{
        self, HistoryError, HistorySink, Summary,
        prometheus::container::{Container, Place},
    },
    view::wording::headline,
};

/// Seconds from which a time is one of this century, and not an offset.
const DATES: f64 = 1e9;

/// Collects one series of a history, or each of which something is said.
struct Listener<'a> {
    /// The one asked for; all where none is.
    name: Option<&'a str>,
    tracks: BTreeMap<String, Track>,
    versions: BTreeMap<String, String>,
    others: BTreeMap<String, State>,
}

impl<'a> Listener<'a> {
    fn new(name: Option<&'a str>) -> Self {
        Self {
            name,
            tracks: BTreeMap::new(),
            versions: BTreeMap::new(),
            others: BTreeMap::new(),
        }
    }

    fn wants(&self, series: &str) -> bool {
        self.name.is_none_or(|name| name == series)
    }

    /// The cases, by name.
    fn cases(self, summary: Option<&Summary>) -> Vec<Case> {
        let unread = summary.filter(|summary| summary.malformed > 0 || summary.refused != Refused::default());
        let unread = unread.and_then(|summary| summary.notices().pop());
        self.tracks
            .into_iter()
            .map(|(name, track)| {
                let mut case = track.case;
                case.whose = name;
                case.unseen
                    .extend(unread.iter().map(|notice| format!("of the file: {notice}")));
                case
            })
            .collect()
    }
}

impl HistorySink for Listener<'_> {
    fn row(&mut self, row: &Row<'_>) {
        if !self.wants(row.series) {
            return;
        }
        let track = match self.tracks.get_mut(row.series) {
            Some(track) => track,
            None => self.tracks.entry(row.series.to_owned()).or_default(),
        };
        let run = row.run.or(track.run);
        if track.run.is_some_and(|before| Some(before) != run)
            && track.case.ends.last().is_none_or(|end| end.at < track.last)
        {
            track.end(track.last, None);
        }
        track.run = run;
        track.level(row.t, row.anon);
        if track.case.began.is_none() {
            track.case.began = wall(row.t);
        }
        let limit = row.limit.filter(|limit| *limit > 0.0);
        track.case.ceiling = limit.or(track.case.ceiling);
        if let Some(ceilings) = ceilings(row) {
            track.case.ceilings = ceilings;
        }
        let at = track.last;
        if let Some(version) = row.version
            && self.versions.get(row.series).is_none_or(|known| known != version)
            && let Some(before) = self.versions.insert(row.series.to_owned(), version.to_owned())
        {
            track.case.rollouts.push((at, version.to_owned()));
            let what = format!("version {version} after {before}");
            track.happened(wall(row.t), at, Severity::Info, what);
        }
        if let Some(cause) = row.end {
            track.end(at, Some(cause));
            let severity = if cause.at_ceiling() {
                Severity::Error
            } else {
                Severity::Info
            };
            track.happened(wall(row.t), at, severity, format!("a run ended by {}", cause.name()));
        }
    }

    fn judged(&mut self, row: &Row<'_>, replay: &Replay) {
        if self.wants(row.series)
            && let Some(track) = self.tracks.get_mut(row.series)
        {
            track.asked(false, || replay.ask(row.series));
        }
    }

    fn said(&mut self, series: &str, said: Said<'_>) {
        if let (Said::Verdict(verdict), false) = (said, self.wants(series)) {
            self.others.insert(series.to_owned(), verdict.state);
        }
        let Some(track) = self.tracks.get_mut(series) else {
            return;
        };
        match said {
            Said::Verdict(verdict) => {
                let t = seconds(verdict.at);
                let since = track.since(t);
                track.case.said.push((since, verdict.state));
                track.case.judged(verdict);
                let severity = match verdict.state {
                    State::Confirmed => Severity::Error,
                    State::Likely => Severity::Warn,
                    _ => Severity::Info,
                };
                let what = format!("{} ({})", headline(verdict), verdict.because);
                track.happened(wall(t), since, severity, what);
                track.case.verdict = Some(verdict.clone());
            }
            Said::Recurring(at, recurring) => {
                let said = telemetry::recurring_oom(series, "", recurring);
                let (t, since) = (seconds(at), track.since(seconds(at)));
                track.happened(wall(t), since, Severity::Warn, said.clone());
                track.case.recurring = Some(said);
            }
            Said::Misfit(at, misfit) => {
                let since = track.since(seconds(at));
                track.happened(wall(seconds(at)), since, Severity::Info, misfit.advice.clone());
                track.case.misfit = Some(misfit.advice.clone());
            }
        }
    }
}

fn wall(t: f64) -> Option<WallTime> {
    (t >= DATES).then_some(WallTime((t * 1e9) as u64))
}

/// The ceilings that a row tells, where it tells any.
fn ceilings(row: &Row<'_>) -> Option<Vec<Ceiling>> {
    let bytes = |value: Option<f64>| value.filter(|bytes| *bytes > 0.0).map(|bytes| bytes as u64);
    let ceilings = Ceilings {
        cgroup: bytes(row.limit).map(|bytes| Ceiling {
            bytes,
            kind: CeilingKind::Cgroup,
        }),
        v8: bytes(row.heap_limit).map(v8_ceiling),
    };
    let all = in_force(&ceilings, None, None);
    (!all.is_empty()).then_some(all)
}

/// The case of the series `name` in a history, or of all series of which something was said where none is named; or the
/// names of others.
pub fn of_history(
    read: history::Reader,
    file: &Path,
    time_scale: Option<f64>,
    name: Option<&str>,
) -> Result<Result<Vec<Case>, Vec<String>>, HistoryError> {
    let mut listener = Listener::new(name);
    let summary = read(file, time_scale, &mut listener)?;
    if name.is_some() && listener.tracks.is_empty() {
        let mut others: Vec<(State, String)> = listener.others.into_iter().map(|(name, state)| (state, name)).collect();
        others.sort_by(|a, b| b.cmp(a));
        return Ok(Err(others.into_iter().map(|(_, name)| name).collect()));
    }
    Ok(Ok(listener.cases(Some(&summary))))
}

/// The cases of containers whose metrics a server gave, judged as its histories would be.
pub fn of_containers(containers: &BTreeMap<Place, Container>, kind: impl Fn(&Place) -> Option<String>) -> Vec<Case> {
    let mut listener = Listener::new(None);
    for (place, container) in containers {
        let mut replay = Replay::new(None);
        container.judge(&place.name(), kind(place).as_deref(), &mut replay, &mut listener);
        replay.finish(&mut |series, said| listener.said(series, said));
    }
    listener.cases(None)
}
