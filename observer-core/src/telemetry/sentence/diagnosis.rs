//! What is said of a diagnosis: what grew in a heap and where it accumulates, or that the heap is not what grew.

use std::fmt::Write as _;

use crate::{
    heap::{Compared, ContainerGrowth, Diagnosis},
    telemetry::words::grower,
    units,
};

pub(super) fn diagnosed(who: &str, version: &str, diagnosis: &Diagnosis) -> String {
    if let Some(container) = diagnosis.container.filter(|container| !container.explains()) {
        return unexplained(who, version, diagnosis, container);
    }
    let upper = if diagnosis.exact { "" } else { " (upper bounds)" };
    let mut text = match &diagnosis.compared {
        Compared::Times(seconds) => format!(
            "the heap of {who}{version} holds {} more than {} ago{upper}",
            units::bytes(diagnosis.grown),
            units::seconds(*seconds)
        ),
        Compared::Versions(from, _) => {
            let from = from.as_ref().map_or("an earlier version", |from| from.0.as_str());
            format!("{who}{version} holds what {from} did not{upper}")
        }
    };
    let mut culprits = diagnosis.culprits();
    match (culprits.next(), diagnosis.growers.first()) {
        (Some(culprit), _) => {
            let _ = write!(text, ": {}", grower(culprit));
            for culprit in culprits {
                let _ = write!(text, "; and {}", grower(culprit));
            }
            if diagnosis.readings > 2 {
                let _ = write!(text, "; {} readings, each more than the one before", diagnosis.readings);
            }
        }
        (None, Some(most)) => {
            let _ = write!(text, "; no one place accumulates it; most of it is {}", grower(most));
        }
        (None, None) => text.push_str(", none of it under a name"),
    }
    text
}

/// What grew in a heap, a sentence each, culprits first; or that the heap is not what grew.
pub fn grew(diagnosis: &Diagnosis) -> Vec<String> {
    match diagnosis.container.filter(|container| !container.explains()) {
        Some(container) => vec![unexplained("the process", "", diagnosis, container)],
        None => diagnosis.growers.iter().map(grower).collect(),
    }
}

/// What the heap does not account for, and what else grew.
fn unexplained(who: &str, version: &str, diagnosis: &Diagnosis, container: ContainerGrowth) -> String {
    let mut text = format!(
        "the heap of {who}{version} does not explain its growth: the container grew by {}",
        units::bytes(container.level)
    );
    if let Compared::Times(seconds) = &diagnosis.compared {
        let _ = write!(text, " in {}", units::seconds(*seconds));
    }
    let held = u64::try_from(container.held).unwrap_or(0);
    let garbage = u64::try_from(container.garbage).unwrap_or(0);
    let _ = write!(
        text,
        ", the heap holds {} more; garbage and free memory in V8's pages grew by {}",
        units::bytes(held),
        units::bytes(garbage.min(container.level)),
    );
    let outside = container.level.saturating_sub(held).saturating_sub(garbage);
    if outside > 0 {
        let _ = write!(text, "; the other {} is outside V8's heap", units::bytes(outside));
    }
    text
}
