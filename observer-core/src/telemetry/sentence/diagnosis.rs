//! What is said of a diagnosis: what grew in a heap and where it accumulates, or that the heap is not what grew.

use std::fmt::Write as _;

use crate::{
    heap::{Compared, ContainerGrowth, Diagnosis},
    memory_use::MemoryKind,
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

/// Where the container's memory was and is, a sentence for what grew and one for each kind that is a hundredth of it at least, largest
/// first; nothing where no accounts were taken.
pub fn whereabouts(diagnosis: &Diagnosis) -> Vec<String> {
    let Some(memory) = &diagnosis.memory else {
        return Vec::new();
    };
    let mut said = vec![match grown(diagnosis) {
        Some(grown) => format!("in {}, {grown}", units::seconds(memory.apart_s)),
        None => format!(
            "no kind of memory grew by {} or more",
            units::bytes(memory.before.least_growth())
        ),
    }];
    let mut kinds = memory.after.kinds.clone();
    kinds.retain(|now| now.bytes >= memory.after.usage / 100);
    kinds.sort_by_key(|now| std::cmp::Reverse(now.bytes));
    said.extend(kinds.iter().map(|now| {
        let share = now.bytes as f64 / memory.after.usage.max(1) as f64 * 100.0;
        let before = units::bytes(memory.before.of(now.kind));
        format!(
            "{}: {} ({share:.0} %), before {before}",
            now.kind.noun(),
            units::bytes(now.bytes)
        )
    }));
    said
}

/// Which kind of memory grew most, and what that means.
pub(super) fn grown(diagnosis: &Diagnosis) -> Option<String> {
    let memory = diagnosis.memory.as_ref()?;
    let (kind, bytes, share) = memory.most()?;
    let mut text = format!(
        "most of what grew is {}, by {} ({:.0} %): {}",
        kind.noun(),
        units::bytes(bytes),
        share * 100.0,
        kind.means()
    );
    if kind == MemoryKind::Fragmentation {
        let _ = write!(
            text,
            "; malloc_trim would give back {} of it, fewer arenas (there are {}) or another allocator may keep less",
            units::bytes(memory.after.trimmable),
            memory.after.arenas
        );
    }
    Some(text)
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
    if let Some(grown) = grown(diagnosis) {
        let _ = write!(text, "; {grown}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_use::{KindBytes, MemoryGrowth, MemoryUse};

    fn memory(usage: u64, kinds: &[(MemoryKind, u64)]) -> MemoryUse {
        MemoryUse {
            usage: usage << 20,
            kinds: kinds
                .iter()
                .map(|&(kind, mib)| KindBytes { kind, bytes: mib << 20 })
                .collect(),
            trimmable: 40 << 20,
            arenas: 9,
        }
    }

    fn diagnosis(before: MemoryUse, after: MemoryUse) -> Diagnosis {
        Diagnosis {
            compared: Compared::Times(60.0),
            growers: Vec::new(),
            grown: 0,
            explained: 0.0,
            exact: true,
            readings: 2,
            container: None,
            memory: Some(Box::new(MemoryGrowth {
                apart_s: 60.0,
                before,
                after,
            })),
        }
    }

    #[test]
    fn fragmentation_is_told_with_what_would_give_it_back() {
        let before = memory(200, &[(MemoryKind::Heap, 100), (MemoryKind::Fragmentation, 100)]);
        let after = memory(251, &[(MemoryKind::Heap, 101), (MemoryKind::Fragmentation, 150)]);
        let said = whereabouts(&diagnosis(before, after));
        assert_eq!(
            said,
            [
                "in 1 min, most of what grew is free memory inside the C library's allocator (fragmentation), by 50 MiB (98 %): no leak: it was \
                 given back by the program, not by the allocator; malloc_trim would give back 40 MiB of it, fewer arenas (there are 9) \
                 or another allocator may keep less",
                "free memory inside the C library's allocator (fragmentation): 150 MiB (60 %), before 100 MiB",
                "objects that the JavaScript heap holds: 101 MiB (40 %), before 100 MiB",
            ]
        );
    }

    #[test]
    fn nothing_is_made_of_what_hardly_grew() {
        let before = memory(200, &[(MemoryKind::Heap, 200)]);
        let after = memory(201, &[(MemoryKind::Heap, 201)]);
        let diagnosis = diagnosis(before, after);
        assert_eq!(grown(&diagnosis), None);
        assert_eq!(whereabouts(&diagnosis)[0], "no kind of memory grew by 2.0 MiB or more");
    }
}
