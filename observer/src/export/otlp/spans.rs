//! Ended runs as spans: reads a run that has ended, produces its encoded `Span` under that run's own Resource.
//!
//! Only ended runs: an open span would be lost with the agent. Ids are hashes, so that a second delivery, or a second
//! agent's, is the same span, and all runs of one version of a workload stand in one trace.

use observer_core::{
    exit::Cause,
    finding::{EndedRun, RunSummary},
    semconv, telemetry,
};
use opentelemetry_proto::tonic::trace::v1::{
    Span, Status,
    span::{Link, SpanKind},
    status::StatusCode,
};
use prost::Message;
use sha2::{Digest, Sha256};

use super::{
    batch::Entry,
    logs::{attributes, resource},
};

/// The span of a run. `made` is the time now, nanoseconds since 1970.
pub(super) fn entry(ended: &EndedRun, made: u64) -> Entry {
    let subject = &ended.subject;
    let workload = &subject.workload;
    let span = Span {
        trace_id: trace_id(ended).to_vec(),
        span_id: hash(&["span", &ended.id])[..8].to_vec(),
        name: workload.container.clone().unwrap_or_else(|| workload.name.clone()),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: ended.started.0.min(ended.ended.0),
        end_time_unix_nano: ended.ended.0,
        attributes: attributes(telemetry::run(ended)),
        links: ended.traceparent.as_deref().and_then(link).into_iter().collect(),
        status: Some(status(&ended.run)),
        ..Default::default()
    };
    let pairs = subject.resource.iter();
    Entry {
        id: ended.id.clone(),
        resource: resource(pairs.map(|(name, value)| (name.as_str(), value.as_str())))
            .encode_to_vec()
            .into(),
        record: span.encode_to_vec().into(),
        made,
    }
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

/// The same for all runs of one rollout of a workload, on every host of its cluster: of one revision of its owner, and
/// where there is none, of one version.
fn trace_id(ended: &EndedRun) -> [u8; 16] {
    let subject = &ended.subject;
    let workload = &subject.workload;
    let digest = hash(&[
        "trace",
        subject
            .resource
            .get(semconv::K8S_CLUSTER_NAME)
            .map_or("", String::as_str),
        workload.namespace.as_deref().unwrap_or_default(),
        &workload.kind,
        &workload.name,
        ended.run.version.as_ref().map_or("", |version| version.0.as_str()),
        ended.revision.as_deref().unwrap_or_default(),
    ]);
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    id
}

/// The trace that a pipeline named in a `traceparent` (W3C Trace Context, 3.2): `00-<trace>-<parent>-<flags>`, and
/// whatever a later version appends.
fn link(traceparent: &str) -> Option<Link> {
    let mut parts = traceparent.trim().split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let known = version.len() == 2 && version != "ff" && (version != "00" || parts.next().is_none());
    let trace_id = hex(trace, 16)?;
    let span_id = hex(parent, 8)?;
    let flags = hex(flags, 1)?;
    let valid = known && trace_id.iter().any(|byte| *byte != 0) && span_id.iter().any(|byte| *byte != 0);
    valid.then(|| Link {
        trace_id,
        span_id,
        flags: u32::from(flags[0]),
        ..Default::default()
    })
}

/// Lower-case hexadecimal of so many bytes.
fn hex(text: &str, bytes: usize) -> Option<Vec<u8>> {
    let digits = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 2 * bytes || !text.bytes().all(digits) {
        return None;
    }
    (0..bytes)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok())
        .collect()
}

fn hash(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use observer_core::{
        exit::End,
        identity::{Slot, Subject, Version, Workload},
        time::{BootTime, WallTime},
    };

    use super::*;

    fn ended(id: &str, version: &str, cause: Cause) -> EndedRun {
        let version = Version(version.into());
        EndedRun {
            id: id.into(),
            subject: Arc::new(Subject {
                workload: Workload {
                    namespace: None,
                    kind: "unit".into(),
                    name: "shop".into(),
                    container: None,
                },
                slot: Slot::Unit("shop.service".into()),
                instance: 0,
                run: 1,
                version: Some(version.clone()),
                resource: [("service.name".to_owned(), "shop".to_owned())].into(),
                refused: std::collections::BTreeMap::new(),
            }),
            run: RunSummary {
                run: 1,
                started: BootTime(500),
                ended: BootTime(1_900),
                version: Some(version),
                end: End {
                    cause,
                    because: "seen".into(),
                    ..End::unseen()
                },
                reported: None,
                peak: 1,
                ceiling: None,
                slope_bytes_per_hour: None,
            },
            started: WallTime(998_500),
            ended: WallTime(999_900),
            rollout: false,
            revision: None,
            traceparent: None,
        }
    }

    fn span(ended: &EndedRun) -> Span {
        Span::decode(entry(ended, 1).record).unwrap()
    }

    #[test]
    fn a_span_is_the_ended_run() {
        let span = span(&ended("a", "1", Cause::KernelOom));
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (998_500, 999_900));
        assert_eq!(span.name, "shop");
        let status = span.status.unwrap();
        assert_eq!(
            (status.code(), status.message.as_str()),
            (StatusCode::Error, "kernel_oom: seen")
        );
        let version = span.attributes.iter().find(|a| a.key == "observer.run.version");
        assert!(version.is_some(), "a Resource without a version leaves it to the span");
    }

    #[test]
    fn runs_of_one_rollout_share_a_trace_and_a_redelivery_is_the_same_span() {
        let first = span(&ended("a", "1", Cause::KernelOom));
        assert_eq!(first, span(&ended("a", "1", Cause::KernelOom)));
        let second = span(&ended("b", "1", Cause::Completed));
        assert_eq!(first.trace_id, second.trace_id);
        assert_ne!(first.span_id, second.span_id);
        assert_eq!(second.status.unwrap(), Status::default());
        assert_ne!(first.trace_id, span(&ended("c", "2", Cause::KernelOom)).trace_id);
        // The same version rolled out again, with another template, is another rollout.
        let mut again = ended("d", "1", Cause::KernelOom);
        again.revision = Some("uid/6f7d8c9b5".into());
        assert_ne!(first.trace_id, span(&again).trace_id);
    }

    #[test]
    fn a_traceparent_is_a_link_and_nonsense_is_none() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let mut run = ended("a", "1", Cause::Completed);
        run.traceparent = Some(format!("00-{trace}-00f067aa0ba902b7-01"));
        let links = span(&run).links;
        assert_eq!(links[0].trace_id[..2], [0x4b, 0xf9]);
        assert_eq!((links[0].span_id[7], links[0].flags), (0xb7, 1));
        assert!(link(&format!("01-{trace}-00f067aa0ba902b7-01-later")).is_some());
        for wrong in [
            String::new(),
            "00".to_owned(),
            format!("00-{trace}-00f067aa0ba902b7"),
            format!("00-{trace}-00f067aa0ba902b7-01-more"),
            format!("ff-{trace}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
            format!("00-{trace}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", "é".repeat(16)),
        ] {
            assert!(link(&wrong).is_none(), "{wrong}");
        }
    }
}
