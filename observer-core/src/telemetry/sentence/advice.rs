//! Sentences of advice: what a larger limit or a flag buys, and which memory is no reason to worry.

use std::fmt::Write;

use crate::{
    finding::{Forecast, HeapFlag, LargerLimit, PageCache, Verdict},
    units,
};

/// What a verdict advises, a clause each.
pub fn advised(verdict: &Verdict) -> Vec<String> {
    let larger = verdict.larger_limit.as_ref().map(larger_limit);
    let flag = verdict.heap_flag.as_ref().map(heap_flag);
    let cache = verdict.page_cache.as_ref().map(page_cache);
    [larger, flag, cache].into_iter().flatten().collect()
}

/// `a limit of 1.0 GiB would put its end off by 6 h 50 min (6 h 20 min to 7 h 40 min), and not prevent it`
pub fn larger_limit(larger: &LargerLimit) -> String {
    let mut text = format!(
        "a limit of {} {}",
        units::bytes(larger.limit),
        put_off(&larger.reprieve)
    );
    if let Some(heap) = larger.heap_limit {
        let _ = write!(text, "; V8's heap limit of {} may end it before", units::bytes(heap));
    }
    text
}

/// `--max-old-space-size=863 fits its container of 1.0 GiB and would put its end off by 5 h (4 h to 6 h), and not prevent it`
pub fn heap_flag(flag: &HeapFlag) -> String {
    let (mib, limit) = (flag.old_space_mib, units::bytes(flag.cgroup_limit));
    match &flag.reprieve {
        Some(reprieve) => format!(
            "--max-old-space-size={mib} fits its container of {limit} and {}",
            put_off(reprieve)
        ),
        None => format!(
            "V8's heap limit of {} does not fit its container of {limit}: --max-old-space-size={mib} does, so that V8 collects \
             garbage before the kernel kills",
            units::bytes(flag.heap_limit)
        ),
    }
}

fn put_off(reprieve: &Forecast) -> String {
    format!(
        "would put its end off by {} ({} to {}), and not prevent it",
        units::seconds(reprieve.p50),
        units::seconds(reprieve.p10),
        units::seconds(reprieve.p90)
    )
}

/// `of the 490 MiB that it uses of 512 MiB 350 MiB are page cache, which the kernel takes back: no reason to worry`
pub fn page_cache(page: &PageCache) -> String {
    format!(
        "of the {} that it uses of {} {} are page cache, which the kernel takes back when memory is needed: no reason to worry",
        units::bytes(page.cache.saturating_add(page.level)),
        units::bytes(page.limit),
        units::bytes(page.cache)
    )
}
