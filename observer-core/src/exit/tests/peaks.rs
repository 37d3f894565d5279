//! Aborts, with what is known of the size of the heap that may have caused them.

use super::*;

/// The kernel tells the largest resident set with the exit: what happened between two samples is no longer unknown.
#[test]
fn a_peak_told_with_the_exit() {
    let abort = Evidence {
        rss: Some(60 * MB),
        rss_seen: Some(60 * MB),
        heap_limit: Some(259 * MB),
        ..node(Some(Signal(6)))
    };
    let peak = |peak_rss: u64, of: &Evidence<'_>| {
        decided(&Evidence {
            peak_rss: Some(peak_rss * MB),
            ..of.clone()
        })
    };
    assert_eq!(peak(63, &abort), (Cause::Crash, Observed), "it was small to its end");
    assert_eq!(
        peak(290, &abort),
        (Cause::V8HeapOom, Inferred),
        "it filled since the last sample"
    );
    // An older kernel's bound may be its parent's memory: it can acquit, not convict.
    let bound = |max_rss: u64| {
        decided(&Evidence {
            max_rss: Some(max_rss * MB),
            ..abort.clone()
        })
    };
    assert_eq!(bound(63), (Cause::Crash, Observed));
    assert_eq!(bound(290), (Cause::Crash, Inferred));
    // As large long ago, in buffers perhaps, and small again before it aborted.
    let former = Evidence {
        rss_seen: Some(288 * MB),
        ..abort.clone()
    };
    assert_eq!(peak(290, &former), (Cause::Crash, Inferred));
    // Dead before the first sample.
    let young = Evidence {
        rss: None,
        rss_seen: None,
        heap_limit: None,
        ..abort
    };
    assert_eq!(peak(290, &young), (Cause::V8HeapOom, Inferred));
    assert_eq!(peak(60, &young).0, Cause::Crash);
}

#[test]
fn an_abort_without_a_known_heap_limit() {
    let abort = node(Some(Signal(6)));
    assert_eq!(
        decided(&Evidence {
            rss: Some(2_000 * MB),
            ..abort.clone()
        }),
        (Cause::V8HeapOom, Inferred)
    );
    assert_eq!(
        decided(&Evidence {
            rss: Some(50 * MB),
            ..abort.clone()
        })
        .0,
        Cause::Crash
    );
    assert_eq!(decided(&abort).0, Cause::Crash);
}
