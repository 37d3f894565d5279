//! Cases of a server's containers: reads their histories as the audit does, produces what reports are made of.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Context as _, anyhow};

use super::{
    collect::{Collected, Span, Talk},
    find::Found,
    question::Batch,
    run::containers,
    server::{Asker, Server, Trouble},
};
use crate::{
    history::prometheus::container::Place,
    terminal::{self, say},
    view::case::{self, Case},
};

/// What is asked for.
pub(crate) struct Wanted<'a> {
    /// Where.
    pub(crate) url: &'a str,
    /// Who asks.
    pub(crate) asker: &'a Asker,
    /// A container; all where none is named.
    pub(crate) name: Option<&'a str>,
    /// How far to look back.
    pub(crate) since: Duration,
    /// Time between two values.
    pub(crate) step: Duration,
}

/// The cases of the containers called so, or the names of others. Of all containers, those of which nothing is said have
/// no levels: there may be thousands.
pub(crate) fn histories(wanted: &Wanted<'_>) -> anyhow::Result<Result<Vec<Case>, Vec<String>>> {
    let server = Server::new(wanted.url, wanted.asker)?;
    let span = Span::of(wanted.since, None, wanted.step)?;
    let mut talk = Talk::new(server, span, String::new());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let refused = |trouble: Trouble| anyhow!("{}", trouble.why());
    runtime.block_on(async {
        let Found { mut batches, kinds } = containers(&mut talk, &[]).await?;
        let known: Vec<String> = batches
            .iter()
            .flat_map(|batch| &batch.places)
            .map(Place::name)
            .collect();
        if let Some(name) = wanted.name {
            for batch in &mut batches {
                batch.places.retain(|place| is_called(place, name));
            }
            batches.retain(|batch| !batch.places.is_empty());
            if batches.is_empty() {
                return Ok(Err(known));
            }
        }
        let mut cases = Vec::new();
        let mut left: VecDeque<Batch> = batches.into();
        while let Some(batch) = left.pop_front() {
            terminal::progress(format_args!(
                "{} containers judged, {} batches left",
                cases.len(),
                left.len() + 1
            ));
            match talk.collect(&batch).await.map_err(refused)? {
                Collected::Metrics(containers) => {
                    let kind = |place: &Place| kinds.get(&(place.namespace.clone(), place.pod.clone())).cloned();
                    let mut judged = case::of_containers(&containers, kind);
                    if wanted.name.is_none() {
                        judged.iter_mut().filter(|case| !case.has_findings()).for_each(forget);
                    }
                    cases.extend(judged);
                }
                Collected::Apart(first, second) => left.extend([first, second]),
                Collected::Unanswered(why) => {
                    say(format_args!("{} containers were not told: {why}", batch.places.len()));
                }
            }
        }
        terminal::progress_done();
        Ok(Ok(cases))
    })
}

/// All but its last level.
fn forget(case: &mut Case) {
    let last = case.levels.pop();
    case.levels = last.into_iter().collect();
    case.happened = Vec::new();
}

/// `namespace/pod/container`, each part of it but the namespace alone, or what pods are named after (`checkout` of
/// `checkout-7d9c5f6b8-x2x4v`), these with their namespace or without.
fn is_called(place: &Place, name: &str) -> bool {
    let own = |name: &str| {
        let after = place.pod.strip_prefix(name);
        place.container == name || after.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    place.name() == name
        || own(name)
        || name
            .split_once('/')
            .is_some_and(|(namespace, name)| place.namespace == namespace && own(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_called_by_pod_by_owner_and_by_their_own_name() {
        let place = Place {
            namespace: "shop".into(),
            pod: "checkout-7d9c5f6b8-x2x4v".into(),
            container: "api".into(),
        };
        for name in [
            "shop/checkout-7d9c5f6b8-x2x4v/api",
            "checkout-7d9c5f6b8-x2x4v",
            "checkout",
            "shop/checkout",
            "api",
            "shop/api",
        ] {
            assert!(is_called(&place, name), "{name}");
        }
        for name in ["check", "shop", "other/checkout", "", "shop/"] {
            assert!(!is_called(&place, name), "{name}");
        }
    }
}
