//! The running agent: asks it again and again on a thread of its own, so that a slow answer holds up no key.

use std::{
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use observer_core::time::SECOND;

use super::source::Source;
use crate::{
    command::ask,
    export::line,
    question::{HistoryView, Question},
    snapshot::Snapshot,
    store::Record,
    view::top::Instant,
};

/// Findings shown of a workload.
const FINDINGS: usize = 200;

pub(super) struct Live {
    socket: PathBuf,
    answers: Receiver<Instant>,
}

impl Live {
    /// Asks once, so that a wrong socket is an error and not an empty board; then every `interval`.
    pub(super) fn start(socket: PathBuf, interval: Duration) -> anyhow::Result<Self> {
        let first = answer(&socket)?;
        let (sender, answers) = sync_channel(1);
        let path = socket.clone();
        thread::Builder::new()
            .name("ask".into())
            .spawn(move || ask_on(&path, first, interval, &sender))?;
        Ok(Self { socket, answers })
    }
}

fn ask_on(socket: &Path, first: Instant, interval: Duration, answers: &SyncSender<Instant>) {
    let mut last = first;
    while answers.send(last.clone()).is_ok() {
        thread::sleep(interval);
        match answer(socket) {
            Ok(instant) => last = instant,
            Err(error) => last.trouble = Some(format!("{error:#}")),
        }
    }
}

fn answer(socket: &Path) -> anyhow::Result<Instant> {
    let snapshot: Snapshot = ask::read(&ask::ask(socket, &Question::Status)?)?;
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Ok(Instant {
        workloads: snapshot.workloads,
        now_s: now.tv_sec as f64 + now.tv_nsec as f64 / SECOND as f64,
        source: format!("{} {}", snapshot.agent.host, snapshot.agent.version),
        trouble: None,
    })
}

impl Source for Live {
    fn next(&mut self, held: bool) -> anyhow::Result<Option<Instant>> {
        let newest = self.answers.try_iter().last();
        Ok(newest.filter(|_| !held))
    }

    fn findings(&mut self, service: &str) -> Vec<String> {
        let question = Question::History {
            workload: Some(service.to_owned()),
            limit: Some(FINDINGS),
        };
        let answer = ask::ask(&self.socket, &question).and_then(|answer| ask::read::<HistoryView>(&answer));
        let records = answer.map(|history| history.records).unwrap_or_default();
        let findings = records.iter().filter_map(|record| match record {
            Record::Finding(finding) => Some(line::sentence(finding)),
            Record::Run(_) => None,
        });
        findings.collect()
    }
}
