//! A stop in hindsight: reads how a run ended and what came after, produces the cause that only this tells.
//!
//! A kubelet stops a container by the same signals whatever its reason is: failed probes, a new limit, an eviction, the end
//! of a pod whose sidecar it is. A signal alone is therefore a stop and no more.

use std::fmt::Write;

use super::senders::is_container_runtime;
use crate::{
    container_facts::Disruption,
    finding::{Cause, Confidence, End},
};

/// Its container was started again in the same pod, at the same version. `probed`: whether it has a probe after whose
/// failures that happens; `resized`: its memory limit is another one now.
pub(crate) fn started_again(end: &mut End, probed: Option<bool>, resized: bool) {
    if !stopped_by_runtime(end) {
        return;
    }
    let why = if resized {
        "with another memory limit"
    } else if probed == Some(false) {
        "for a reason that was not seen: it has no probe that could have failed"
    } else {
        end.cause = Cause::Liveness;
        end.confidence = Confidence::Inferred;
        "as it does after failed probes"
    };
    let _ = write!(end.because, "; its pod stayed and the kubelet started it again, {why}");
}

/// Kubernetes says why it ended the pod before its time.
pub(crate) fn disrupted(end: &mut End, disruption: &Disruption) {
    let word = format!("; Kubernetes says {}", disruption.reason);
    if !stopped_by_runtime(end) || end.because.contains(&word) {
        return;
    }
    if disruption.evicts() {
        end.cause = Cause::Evicted;
        end.confidence = Confidence::Inferred;
    }
    end.because.push_str(&word);
    if !disruption.message.is_empty() {
        let _ = write!(end.because, ": {}", disruption.message);
    }
}

fn stopped_by_runtime(end: &End) -> bool {
    let sender = end.sender.as_ref();
    end.cause == Cause::Terminated && sender.is_some_and(|sender| is_container_runtime(&sender.comm))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Sender;

    fn stopped(comm: &str) -> End {
        End {
            cause: Cause::Terminated,
            confidence: Confidence::Observed,
            status: None,
            sender: Some(Sender {
                pid: 7,
                comm: comm.into(),
                signal: 15,
            }),
            because: format!("{comm} (pid 7) sent SIGTERM"),
        }
    }

    #[test]
    fn a_container_that_is_started_again_failed_its_probes_if_it_has_any() {
        for (by, probed, resized, cause) in [
            ("containerd-shim", Some(true), false, Cause::Liveness),
            ("runc", None, false, Cause::Liveness),
            ("runc", Some(false), false, Cause::Terminated),
            ("runc", Some(true), true, Cause::Terminated),
            ("bash", Some(true), false, Cause::Terminated),
        ] {
            let mut end = stopped(by);
            started_again(&mut end, probed, resized);
            assert_eq!(end.cause, cause, "{end:?}");
        }
        let mut died = stopped("runc");
        died.cause = Cause::KernelOom;
        started_again(&mut died, Some(true), false);
        assert_eq!(died.cause, Cause::KernelOom);
    }

    #[test]
    fn kubernetes_own_word_of_a_pod_that_it_ends_is_told_once_and_as_its_word() {
        let evicted = Disruption {
            reason: "Evicted".into(),
            message: "The node was low on resource: memory".into(),
        };
        let late = Disruption {
            reason: "DeadlineExceeded".into(),
            message: String::new(),
        };
        for (disruption, cause, because) in [
            (
                &evicted,
                Cause::Evicted,
                "runc (pid 7) sent SIGTERM; Kubernetes says Evicted: The node was low on resource: memory",
            ),
            (
                &late,
                Cause::Terminated,
                "runc (pid 7) sent SIGTERM; Kubernetes says DeadlineExceeded",
            ),
        ] {
            let mut end = stopped("runc");
            disrupted(&mut end, disruption);
            disrupted(&mut end, disruption);
            assert_eq!((end.cause, end.because.as_str()), (cause, because));
        }
        // Whoever was killed for memory before the eviction came was killed for memory.
        let mut by_hand = stopped("bash");
        disrupted(&mut by_hand, &evicted);
        assert_eq!(by_hand.cause, Cause::Terminated);
    }
}
