//! For tests: a leak, as the detector sees it.

use observer_core::{
    detect::{Ceilings, DetectConfig, Point, RunEnd, SlotDetector, Verdict},
    exit::Cause,
    finding::{Ceiling, CeilingKind},
    time::{BootTime, SECOND},
};

/// Two runs that climbed from 64 to 512 MiB in six hours, the second from 22,000 s on, and were killed there: the detector, and what it
/// said last.
pub(in crate::view) fn two_runs_alike() -> (SlotDetector, Verdict) {
    let mut detector = SlotDetector::new(DetectConfig::default());
    let mut said = None;
    for run in 0..2u64 {
        let at = |seconds: u64| BootTime((run * 22_000 + seconds) * SECOND);
        detector.begin_run(run, at(0), None);
        for step in 0..=360u64 {
            detector.observe(&Point {
                at: at(step * 60),
                trend: (64 << 20) + step * (448 << 20) / 360,
                ceilings: Ceilings {
                    cgroup: Some(Ceiling {
                        bytes: 512 << 20,
                        kind: CeilingKind::Cgroup,
                    }),
                    v8: None,
                },
                ..Point::default()
            });
        }
        said = detector.end_run(&RunEnd::new(at(21_600), Cause::KernelOom));
    }
    (detector, said.unwrap())
}
