//! Advice explained: reads a case, produces what may be done about its memory and what is no reason to worry, each with what
//! it stands on.

use observer_core::{
    detect::{State, growth::misfit::misfit},
    finding::{Confidence, PageCache},
    telemetry::{self, units},
};

use crate::view::{
    case::Case,
    wording::{interval, size},
};

/// Sentences of advice.
pub(super) fn advice(case: &Case) -> Vec<String> {
    let mut said = Vec::new();
    let verdict = case.verdict.as_ref();
    let larger = verdict.and_then(|verdict| verdict.larger_limit.as_ref());
    let flag = verdict.and_then(|verdict| verdict.heap_flag.as_ref());
    if let Some(larger) = larger {
        said.push(sentence(&telemetry::larger_limit(larger)));
    }
    if let Some(flag) = flag {
        said.push(sentence(&telemetry::heap_flag(flag)));
    }
    let bought = larger.is_some() || flag.is_some_and(|flag| flag.reprieve.is_some());
    if let Some(verdict) = verdict.filter(|_| bought) {
        said.push(format!(
            "The time bought is the room gained, divided by the growth of {} ({} {} to {}), if it goes on growing so.",
            units::rate(verdict.slope_bytes_per_hour),
            interval(verdict),
            units::rate(verdict.slope_interval.0),
            units::rate(verdict.slope_interval.1)
        ));
    }
    let limits = case.current.as_ref().map(|run| (run.heap_limit, run.cgroup_limit));
    // What is said of a leak has its flag where one helps: growth outside V8's heap is not helped by any.
    let leaks = verdict.is_some_and(|verdict| matches!(verdict.state, State::Likely | State::Confirmed));
    if let Some((Some(heap), Some(limit))) = limits.filter(|_| !leaks && !outside_heap(case))
        && let Some(misfit) = misfit(heap, limit)
    {
        said.push(sentence(&misfit.advice));
        said.push(format!(
            "V8's limit of {} is predicted from its version, its flags and the container's limit of {}.",
            size(heap as f64),
            size(limit as f64)
        ));
    }
    if let Some(page) = page_cache(case) {
        said.push(sentence(&telemetry::page_cache(&page)));
        said.push("That is the cgroup's own account (memory.stat); what detection follows is the rest.".to_owned());
    }
    said
}

/// Whether most of its growth was counted outside V8's heap.
fn outside_heap(case: &Case) -> bool {
    let attribution = case.attribution();
    attribution.is_some_and(|all| all.confidence == Confidence::Observed && all.shares.v8_heap < 0.5)
}

/// As it was read last, else as it was when something was said.
fn page_cache(case: &Case) -> Option<PageCache> {
    let counters = case.counters.as_ref().map(|level| {
        let limit = level.limit.as_ref()?.bytes;
        PageCache::of(level.file, level.trend(), limit)
    });
    let run = || {
        let run = case.current.as_ref()?;
        Some(PageCache::of(run.page_cache?, run.level?, run.cgroup_limit?))
    };
    let said = || case.verdict.as_ref().and_then(|verdict| verdict.page_cache);
    counters.or_else(run).unwrap_or_else(said)
}

/// A clause as a sentence.
fn sentence(clause: &str) -> String {
    let mut letters = clause.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    format!("{}{}.", first.collect::<String>(), letters.as_str())
}

#[cfg(test)]
mod tests {
    use observer_core::sample::{CgroupLevel, Limit};

    use super::*;

    #[test]
    fn page_cache_is_told_as_it_was_read_last() {
        let read = |file: u64, anon: u64| Case {
            counters: Some(CgroupLevel {
                usage: file + anon,
                file,
                anon,
                limit: Some(Limit {
                    bytes: 512 << 20,
                    cgroup: "/c".to_owned(),
                }),
                ..CgroupLevel::default()
            }),
            ..Case::default()
        };
        let said = advice(&read(350 << 20, 140 << 20)).join(" ");
        assert!(
            said.contains("Of the 490 MiB that it uses of 512 MiB 350 MiB are page cache")
                && said.contains("memory.stat"),
            "{said}"
        );
        assert_eq!(advice(&read(100 << 20, 140 << 20)), [""; 0]);
    }

    #[test]
    fn a_flag_is_a_sentence_as_it_is_written() {
        assert_eq!(
            sentence("--max-old-space-size=863 fits"),
            "--max-old-space-size=863 fits."
        );
        assert_eq!(sentence(""), ".");
    }
}
