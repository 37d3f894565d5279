//! Ended runs as spans: reads the finding that a slot got a new run, produces an encoded `Span` of the run before.
//!
//! Only ended runs: an open span would be lost with the agent. Ids are hashes, so that a second delivery, or a second
//! agent's, is the same span, and all runs of one version of a workload stand in one trace.

use observer_core::{
    Finding,
    exit::Cause,
    finding::{Event, RunSummary},
    identity::Subject,
    telemetry,
    time::{BootTime, WallTime},
};
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span::SpanKind, status::StatusCode};
use prost::Message;
use sha2::{Digest, Sha256};

use super::{
    batch::Entry,
    logs::{attributes, resource},
};

/// The span of the run that a restart ended; `None` for every other finding.
pub(super) fn entry(finding: &Finding) -> Option<Entry> {
    let (Event::Restart(restart), Some(subject)) = (&finding.event, &finding.subject) else {
        return None;
    };
    let run = &restart.previous;
    let wall = |at: BootTime| wall(finding, at);
    let ended = wall(run.ended).0;
    let span = Span {
        trace_id: trace_id(subject, run).to_vec(),
        span_id: hash(&["span", &finding.id])[..8].to_vec(),
        name: subject
            .workload
            .container
            .clone()
            .unwrap_or_else(|| subject.workload.name.clone()),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: wall(run.started).0.min(ended),
        end_time_unix_nano: ended,
        attributes: attributes(telemetry::event(finding).attributes),
        status: Some(status(run)),
        ..Default::default()
    };
    Some(Entry {
        id: finding.id.clone(),
        resource: resource(
            subject
                .resource
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        )
        .encode_to_vec()
        .into(),
        record: span.encode_to_vec().into(),
    })
}

/// An error with its cause, unless the run ended as it was meant to.
fn status(run: &RunSummary) -> Status {
    match run.cause() {
        Cause::Completed | Cause::Rollout | Cause::Terminated => Status::default(),
        cause => Status {
            code: StatusCode::Error.into(),
            message: format!("{}: {}", cause.name(), run.end.because),
        },
    }
}

/// The same for all runs of one version of a workload, on every host.
fn trace_id(subject: &Subject, run: &RunSummary) -> [u8; 16] {
    let workload = &subject.workload;
    let digest = hash(&[
        "trace",
        workload.namespace.as_deref().unwrap_or_default(),
        &workload.kind,
        &workload.name,
        run.version.as_ref().map_or("", |version| version.0.as_str()),
    ]);
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    id
}

fn hash(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

/// An instant of boot time on the wall clock, by the finding's own pair of times.
fn wall(finding: &Finding, at: BootTime) -> WallTime {
    WallTime(
        finding
            .wall
            .0
            .saturating_sub(finding.at.since(at))
            .saturating_add(at.since(finding.at)),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use observer_core::{
        exit::End,
        finding::{Confidence, Restart},
        identity::{Slot, Version, Workload},
    };

    use super::*;

    fn restart(id: &str, version: &str, cause: Cause) -> Finding {
        let end = End {
            cause,
            confidence: Confidence::Observed,
            status: None,
            sender: None,
            because: "seen".into(),
        };
        Finding {
            id: id.into(),
            at: BootTime(2_000),
            wall: WallTime(1_000_000),
            subject: Some(Arc::new(Subject {
                workload: Workload {
                    namespace: None,
                    kind: "unit".into(),
                    name: "shop".into(),
                    container: None,
                },
                slot: Slot::Unit("shop.service".into()),
                instance: 0,
                run: 2,
                version: None,
                resource: [("service.name".to_owned(), "shop".to_owned())].into(),
            })),
            event: Event::Restart(Box::new(Restart {
                run: 2,
                previous: RunSummary {
                    run: 1,
                    started: BootTime(500),
                    ended: BootTime(1_900),
                    version: Some(Version(version.into())),
                    end,
                    reported: None,
                    peak: 1,
                    ceiling: None,
                    slope_bytes_per_hour: None,
                },
                rollout: false,
            })),
            confidence: Confidence::Observed,
            contradicted_by: String::new(),
        }
    }

    fn span(finding: &Finding) -> Span {
        Span::decode(entry(finding).unwrap().record).unwrap()
    }

    #[test]
    fn a_span_is_the_ended_run() {
        let span = span(&restart("a", "1", Cause::KernelOom));
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (998_500, 999_900));
        assert_eq!(span.name, "shop");
        let status = span.status.unwrap();
        assert_eq!(
            (status.code(), status.message.as_str()),
            (StatusCode::Error, "kernel_oom: seen")
        );
    }

    #[test]
    fn runs_of_one_version_share_a_trace_and_a_redelivery_is_the_same_span() {
        let first = span(&restart("a", "1", Cause::KernelOom));
        assert_eq!(first, span(&restart("a", "1", Cause::KernelOom)));
        let second = span(&restart("b", "1", Cause::Completed));
        assert_eq!(first.trace_id, second.trace_id);
        assert_ne!(first.span_id, second.span_id);
        assert_eq!(second.status.unwrap(), Status::default());
        assert_ne!(first.trace_id, span(&restart("c", "2", Cause::KernelOom)).trace_id);
    }
}
