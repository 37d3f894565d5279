//! The running agents: asks them again and again on a thread of its own, so that a slow answer holds up no key.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, sync_channel},
    },
    thread,
    time::Duration,
};

use super::source::{News, Source};
use crate::{
    command::{
        ask::{self, Agents},
        ps,
    },
    export::line,
    question::{HistoryView, Question},
    snapshot::Snapshot,
    store::Record,
    view::top::Instant,
};

/// Findings shown of a workload.
const FINDINGS: usize = 200;

/// Agents, asked by two threads.
type Shared = Arc<Mutex<Box<dyn Agents>>>;

pub(super) struct Live {
    agents: Shared,
    news: Receiver<News>,
}

impl Live {
    /// Asks once, so that a wrong socket is an error and not an empty board; then every `interval`.
    pub(super) fn start(
        agents: Box<dyn Agents>,
        namespace: Option<String>,
        interval: Duration,
    ) -> anyhow::Result<Self> {
        let agents: Shared = Arc::new(Mutex::new(agents));
        let first = answer(&agents, namespace.as_deref())?;
        let (sender, news) = sync_channel(1);
        let asked = Arc::clone(&agents);
        thread::Builder::new().name("ask".into()).spawn(move || {
            let mut last = News::Watched(first);
            while sender.send(last).is_ok() {
                thread::sleep(interval);
                last = answer(&asked, namespace.as_deref())
                    .map_or_else(|error| News::Trouble(format!("{error:#}")), News::Watched);
            }
        })?;
        Ok(Self { agents, news })
    }
}

fn answer(agents: &Shared, namespace: Option<&str>) -> anyhow::Result<Instant> {
    let agents = agents.lock().unwrap_or_else(PoisonError::into_inner);
    let answers = ask::all(agents.as_ref(), &Question::Status, ask::read::<Snapshot>)?;
    drop(agents);
    let source = match &answers.of[..] {
        [(node, snapshot)] if node.is_empty() => format!("{} {}", snapshot.agent.host, snapshot.agent.version),
        [(node, _)] => node.clone(),
        nodes => format!("{} nodes", nodes.len()),
    };
    let trouble = (!answers.silent.is_empty()).then(|| match &answers.silent[..] {
        [one] => one.clone(),
        several => format!(
            "{} of {} nodes: {}",
            several.len(),
            several.len() + answers.of.len(),
            several[0]
        ),
    });
    let (watched, now_s) = ps::merged(answers.of, namespace);
    Ok(Instant {
        watched,
        now_s,
        source,
        trouble,
    })
}

impl Source for Live {
    fn next(&mut self, held: bool) -> anyhow::Result<Option<News>> {
        let newest = self.news.try_iter().last();
        Ok(newest.filter(|_| !held))
    }

    fn findings(&mut self, service: &str) -> Vec<String> {
        let question = Question::History {
            workload: Some(service.to_owned()),
            limit: Some(FINDINGS),
        };
        let agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        // Who does not answer is told by the board, which asks again and again.
        let answers = ask::all(agents.as_ref(), &question, ask::read::<HistoryView>);
        drop(agents);
        let records = answers.map_or_else(|_| Vec::new(), |answers| answers.of);
        let records = records.into_iter().flat_map(|(_, history)| history.records);
        let findings = records.filter_map(|record| match record {
            Record::Finding(finding) => Some(finding),
            Record::Run(_) => None,
        });
        let mut findings: Vec<_> = findings.collect();
        findings.sort_by_key(|finding| finding.wall);
        findings.iter().map(|finding| line::sentence(finding)).collect()
    }
}
