//! Findings to be sent: reads names and numbers, produces findings and ended runs as the engine makes them.

use std::{collections::BTreeMap, sync::Arc};

use observer_core::{
    Finding,
    exit::{Cause, End},
    finding::{Confidence, EndedRun, Event, Gap, Misfit, RunSummary},
    identity::{Slot, Subject, Version, Workload},
    time::{BootTime, WallTime},
};

/// When the first of them was found, nanoseconds since 1970.
pub const EPOCH: u64 = 1_700_000_000_000_000_000;

/// The `nth` finding, that many nanoseconds after [`EPOCH`]: of a service, or of the agent itself where its name is
/// empty.
pub fn finding(service: &str, nth: u64) -> Finding {
    let event = if service.is_empty() { gap() } else { misfit("set it") };
    Finding {
        id: format!("{service}-{nth}"),
        at: BootTime(nth),
        wall: WallTime(EPOCH + nth),
        subject: (!service.is_empty()).then(|| Arc::new(subject(service))),
        event,
        confidence: Confidence::Observed,
        contradicted_by: "nothing".into(),
    }
}

/// Two ceilings that contradict each other.
pub fn misfit(advice: &str) -> Event {
    Event::Misfit(Misfit {
        heap_limit: 2 << 30,
        cgroup_limit: 1 << 30,
        old_space_mib: Some(863),
        advice: advice.into(),
    })
}

fn gap() -> Event {
    Event::Gap(Gap {
        from: BootTime(1),
        to: BootTime(2),
        reason: "test".into(),
        lost: 3,
        over_boot: None,
    })
}

/// A Deployment's container.
pub fn subject(service: &str) -> Subject {
    let resource = [
        ("service.name", service),
        ("k8s.namespace.name", "default"),
        ("k8s.pod.uid", "3f0c8f5e-0000-4000-8000-000000000001"),
    ];
    Subject {
        workload: Workload {
            namespace: Some("default".into()),
            kind: "Deployment".into(),
            name: service.into(),
            container: Some("api".into()),
        },
        slot: Slot::Cgroup(format!("/{service}")),
        instance: 0,
        run: 1,
        version: None,
        refused: BTreeMap::new(),
        resource: resource.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    }
}

/// The `nth` run of a service, of this version: it lived eight seconds and was killed for memory.
pub fn killed(service: &str, nth: u64, version: &str) -> EndedRun {
    let second = 1_000_000_000;
    let started = nth * 10 * second;
    let run = RunSummary {
        run: nth,
        started: BootTime(started),
        ended: BootTime(started + 8 * second),
        version: Some(Version(version.into())),
        end: End {
            cause: Cause::KernelOom,
            confidence: Confidence::Observed,
            status: None,
            sender: None,
            because: "the kernel marked it".into(),
        },
        reported: None,
        peak: 1 << 20,
        ceiling: None,
        slope_bytes_per_hour: Some(1.5),
    };
    EndedRun {
        id: format!("{service}-run-{nth}"),
        subject: Arc::new(subject(service)),
        started: WallTime(EPOCH + run.started.0),
        ended: WallTime(EPOCH + run.ended.0),
        run,
        rollout: false,
        revision: None,
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
    }
}
