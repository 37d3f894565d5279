//! The table of ends: what is seen, and what is concluded from it.

mod peaks;

use super::{Cause, Evidence, SignalSeen, Victim, decide};
use crate::{
    finding::Confidence::{self, Inferred, Observed},
    kernel::ExitStatus::{self, Code, Signal},
    time::{BootTime, SECOND},
};

const MB: u64 = 1 << 20;
const NOW: BootTime = BootTime(1_000 * SECOND);

/// A Node process of which nothing is known but how it ended.
fn node(status: Option<ExitStatus>) -> Evidence<'static> {
    Evidence {
        pid: 10,
        at: NOW,
        status,
        seen: true,
        node: true,
        ..Evidence::default()
    }
}

fn signal(signal: u8, code: i32, delivered: bool, sender_pid: u32, sender: &str) -> SignalSeen {
    SignalSeen {
        at: BootTime(NOW.0 - SECOND),
        signal,
        code,
        delivered,
        sender_pid,
        sender_comm: sender.to_owned(),
    }
}

fn decided(evidence: &Evidence<'_>) -> (Cause, Confidence) {
    let end = decide(evidence);
    assert!(!end.because.is_empty());
    (end.cause, end.confidence)
}

#[test]
fn plain_ends() {
    for (status, cause) in [
        (Code(0), Cause::Completed),
        (Code(1), Cause::ErrorExit),
        (Code(137), Cause::ErrorExit),
        (Signal(11), Cause::Crash),
        (Signal(7), Cause::Crash),
    ] {
        assert_eq!(decided(&node(Some(status))), (cause, Observed), "{status:?}");
    }
    assert_eq!(decided(&node(None)), (Cause::Unknown, Inferred));
}

#[test]
fn kernel_oom() {
    let killed = node(Some(Signal(9)));
    let near = Evidence {
        saturation: Some(0.97),
        ..killed.clone()
    };
    for (what, evidence, expected) in [
        (
            "mark",
            Evidence {
                victim: Victim::Marked,
                ..killed.clone()
            },
            (Cause::KernelOom, Observed),
        ),
        (
            "counter",
            Evidence {
                own_kills_rose: Some(true),
                ..killed.clone()
            },
            (Cause::KernelOom, Inferred),
        ),
        (
            "with a marked one",
            Evidence {
                group_kill: true,
                ..killed.clone()
            },
            (Cause::KernelOom, Inferred),
        ),
        (
            "a marked thread, near",
            Evidence {
                victim: Victim::Perhaps,
                ..near.clone()
            },
            (Cause::KernelOom, Inferred),
        ),
        (
            "a marked thread, far",
            Evidence {
                victim: Victim::Perhaps,
                ..killed.clone()
            },
            (Cause::Terminated, Inferred),
        ),
        (
            "ancestor, near",
            Evidence {
                ancestor_kills_rose: Some(true),
                ..near.clone()
            },
            (Cause::KernelOom, Inferred),
        ),
        // Somebody else under the same pod was killed.
        (
            "ancestor, far",
            Evidence {
                ancestor_kills_rose: Some(true),
                ..killed.clone()
            },
            (Cause::Terminated, Inferred),
        ),
        ("nothing", killed.clone(), (Cause::Terminated, Inferred)),
        ("near, but nothing counted", near, (Cause::Terminated, Inferred)),
    ] {
        assert_eq!(decided(&evidence), expected, "{what}");
    }
}

/// `mark_victim` also fires for a task that is already exiting.
#[test]
fn a_mark_is_not_a_kill() {
    let marked = |status| Evidence {
        victim: Victim::Marked,
        own_kills_rose: Some(true),
        ..node(Some(status))
    };
    assert_eq!(decided(&marked(Code(0))).0, Cause::Completed);
    assert_eq!(decided(&marked(Code(1))).0, Cause::ErrorExit);
    assert_eq!(decided(&marked(Signal(11))).0, Cause::Crash);
}

#[test]
fn files_only() {
    let unseen = node(None);
    let counted = Evidence {
        own_kills_rose: Some(true),
        ..unseen.clone()
    };
    assert_eq!(decided(&counted), (Cause::KernelOom, Inferred));
    let both = Evidence {
        victim: Victim::Marked,
        ..counted
    };
    assert_eq!(decided(&both), (Cause::KernelOom, Observed));
    let pod = Evidence {
        ancestor_kills_rose: Some(true),
        ..unseen.clone()
    };
    assert_eq!(decided(&pod), (Cause::Unknown, Inferred));
    assert_eq!(
        decided(&Evidence {
            saturation: Some(0.95),
            ..pod
        }),
        (Cause::KernelOom, Inferred)
    );
    let full_heap = Evidence {
        rss: Some(300 * MB),
        heap_limit: Some(259 * MB),
        ..unseen
    };
    assert_eq!(
        decided(&full_heap),
        (Cause::Unknown, Inferred),
        "a level alone is no cause"
    );
}

#[test]
fn userspace_oom() {
    let oomd = signal(9, 0, true, 7, "systemd-oomd");
    let killed = Evidence {
        signals: vec![&oomd],
        saturation: Some(0.99),
        ..node(Some(Signal(9)))
    };
    let end = decide(&killed);
    assert_eq!((end.cause, end.confidence), (Cause::UserspaceOom, Observed));
    assert_eq!(end.sender.map(|s| s.comm).as_deref(), Some("systemd-oomd"));
    // On a rung without exit statuses the signal says it all the same.
    assert_eq!(decided(&Evidence { status: None, ..killed }).0, Cause::UserspaceOom);
}

/// A JS-heap death is not called a container OOM and the reverse, as PID 1 or not.
#[test]
fn v8_heap() {
    let abort = node(Some(Signal(6)));
    let full = Evidence {
        rss: Some(290 * MB),
        heap_limit: Some(259 * MB),
        ..abort.clone()
    };
    assert_eq!(decided(&full), (Cause::V8HeapOom, Inferred));
    // The last sample lags behind; the pace says how far it got.
    let lagging = Evidence {
        rss: Some(150 * MB),
        rss_projected: Some(280 * MB),
        ..full.clone()
    };
    assert_eq!(decided(&lagging), (Cause::V8HeapOom, Inferred));
    // process.abort() with a small heap.
    let small = Evidence {
        rss: Some(60 * MB),
        ..full.clone()
    };
    // Not observed: the sample that says "small" is older than the death.
    assert_eq!(decided(&small), (Cause::Crash, Inferred));
    // As init the kernel ignores SIGABRT, and the abort traps.
    let ignored = signal(6, -6, false, 10, "node");
    for trap in [11, 5, 4] {
        let init = Evidence {
            init: true,
            status: Some(Signal(trap)),
            signals: vec![&ignored, &ignored],
            ..full.clone()
        };
        assert_eq!(decided(&init), (Cause::V8HeapOom, Inferred), "signal {trap}");
        assert_eq!(
            decided(&Evidence {
                rss: Some(60 * MB),
                ..init.clone()
            })
            .0,
            Cause::Crash
        );
        let not_init = Evidence { init: false, ..init };
        assert_eq!(
            decided(&not_init).0,
            Cause::Crash,
            "a fault of another than init is no abort"
        );
    }
    // Aborted by a watchdog, whatever the level.
    let watchdog = signal(6, 0, true, 1, "systemd");
    let by_other = Evidence {
        signals: vec![&watchdog],
        ..full.clone()
    };
    assert_eq!(decided(&by_other), (Cause::Crash, Observed));
    // Killed by the kernel at a level beyond the heap limit: a Buffer leak.
    let buffers = Evidence {
        status: Some(Signal(9)),
        victim: Victim::Marked,
        ..full.clone()
    };
    assert_eq!(decided(&buffers).0, Cause::KernelOom);
    // A stranger that aborts at any level has no V8.
    assert_eq!(decided(&Evidence { node: false, ..full }).0, Cause::Crash);
}

#[test]
fn stops() {
    let term = signal(15, 0, true, 7, "bash");
    for status in [Signal(15), Code(0), Code(143), Code(1)] {
        let end = decide(&Evidence {
            signals: vec![&term],
            ..node(Some(status))
        });
        assert_eq!((end.cause, end.confidence), (Cause::Terminated, Observed), "{status:?}");
        assert_eq!(end.sender.map(|s| (s.pid, s.signal)), Some((7, 15)));
    }
    // Node.js raises the signal again against itself: it was still bash that asked.
    let raised = signal(15, -6, true, 10, "node");
    let again = decide(&Evidence {
        pid: 10,
        signals: vec![&term, &raised],
        ..node(Some(Signal(15)))
    });
    assert_eq!(again.sender.map(|s| s.pid), Some(7));
    let unseen = node(Some(Signal(15)));
    assert_eq!(decided(&unseen), (Cause::Terminated, Inferred));
    let old = SignalSeen {
        at: BootTime(NOW.0 - 500 * SECOND),
        ..term.clone()
    };
    assert_eq!(
        decided(&Evidence {
            signals: vec![&old],
            ..node(Some(Code(1)))
        })
        .0,
        Cause::ErrorExit
    );
    let kill = signal(9, 0, true, 8, "bash");
    // SIGTERM ignored, then SIGKILL; the counter of kills rose for somebody else.
    let forced = Evidence {
        signals: vec![&term, &kill],
        own_kills_rose: Some(true),
        ..node(Some(Signal(9)))
    };
    assert_eq!(decided(&forced), (Cause::Terminated, Observed));
}

#[test]
fn a_stop_is_a_rollout_where_another_version_took_over() {
    let term = signal(15, 0, true, 7, "containerd-shim");
    let stopped = Evidence {
        signals: vec![&term],
        ..node(Some(Signal(15)))
    };
    let rollout = Evidence {
        rollout: true,
        ..stopped.clone()
    };
    assert_eq!(decided(&rollout).0, Cause::Rollout);
    assert_eq!(decided(&stopped).0, Cause::Terminated);
    // Whoever dies of memory during a rollout has died of memory.
    let killed = Evidence {
        status: Some(Signal(9)),
        victim: Victim::Marked,
        rollout: true,
        ..stopped
    };
    assert_eq!(decided(&killed).0, Cause::KernelOom);
}

#[test]
fn lost_records_lower_the_confidence_and_say_so() {
    let end = decide(&Evidence {
        lossy: true,
        ..node(Some(Code(1)))
    });
    assert_eq!((end.cause, end.confidence), (Cause::ErrorExit, Inferred));
    assert!(end.because.contains("lost"));
}
