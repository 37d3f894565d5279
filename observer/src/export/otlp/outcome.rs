//! What became of a request: reads a receiver's answer over gRPC or HTTP, produces whether it was taken, may be sent
//! again, or was refused for good.
//!
//! What may be sent again, and after how long: OpenTelemetry Protocol 1.x, "Failures" and "Throttling" of OTLP/gRPC
//! and of OTLP/HTTP.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::causes::chain;

/// Longest response body read, bytes: a partial success is a number and a sentence.
pub(super) const LONGEST_RESPONSE: usize = 64 << 10;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The receiver took it, all but `rejected` records.
    Delivered {
        /// Records it refused (partial success).
        rejected: u64,
        /// What it said about that, or a warning; empty mostly.
        message: String,
    },
    /// It may be sent again, no sooner than `after` where the receiver asked for that.
    Later {
        /// What the receiver asked for.
        after: Option<Duration>,
        /// What went wrong.
        why: String,
    },
    /// Sending it again would be wrong: the receiver will never take it.
    Refused {
        /// What the receiver said.
        why: String,
    },
}

/// The three signals' responses have one layout: field 1 a partial success, in it field 1 the number of rejected
/// records and field 2 a message (opentelemetry/proto/collector/*/v1/*_service.proto).
pub(super) fn delivered(response: &[u8]) -> Outcome {
    let partial = ExportLogsServiceResponse::decode(response)
        .ok()
        .and_then(|response| response.partial_success);
    let (rejected, message) = partial.map_or((0, String::new()), |partial| {
        (
            u64::try_from(partial.rejected_log_records).unwrap_or(0),
            partial.error_message,
        )
    });
    Outcome::Delivered { rejected, message }
}

pub(super) fn from_status(status: &Status) -> Outcome {
    let after = status.get_details_retry_info().and_then(|info| info.retry_delay);
    // Where the status was made here (no connection), its message leaves out the cause.
    let cause = std::error::Error::source(status).map(chain).unwrap_or_default();
    let said = if cause.is_empty() {
        status.message()
    } else {
        cause.as_str()
    };
    let why = match said {
        "" => format!("gRPC status {:?}", status.code()),
        said => format!("gRPC status {:?}: {said}", status.code()),
    };
    let retryable = match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        // Made here, from an error of the connection (a certificate refused, a stream cut off): nobody has judged the
        // records. A server's own Unknown has no source.
        Code::Unknown => std::error::Error::source(status).is_some(),
        // Only where the server says that it will recover.
        Code::ResourceExhausted => after.is_some(),
        _ => false,
    };
    if retryable {
        Outcome::Later { after, why }
    } else {
        Outcome::Refused { why }
    }
}

pub(super) async fn from_response(mut response: reqwest::Response) -> Outcome {
    let status = response.status();
    let after = asked_pause(response.headers());
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if body.len() + chunk.len() > LONGEST_RESPONSE {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    if status.is_success() {
        return delivered(&body);
    }
    // An error's body is a google.rpc.Status: field 2 is the message.
    let message = tonic_types::Status::decode(body.as_slice())
        .map(|status| status.message)
        .unwrap_or_default();
    let why = if message.is_empty() {
        format!("HTTP {status}")
    } else {
        format!("HTTP {status}: {message}")
    };
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Outcome::Later { after, why },
        _ => Outcome::Refused { why },
    }
}

/// The pause that an answer asks for.
pub(crate) fn asked_pause(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    retry_after(value, SystemTime::now())
}

/// `Retry-After` is a number of seconds or a date (RFC 9110, 10.2.3).
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    value.parse().map(Duration::from_secs).ok().or_else(|| {
        let date = httpdate::parse_http_date(value).ok()?;
        Some(date.duration_since(now).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_takes_seconds_and_dates() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        assert_eq!(retry_after("120", now), Some(Duration::from_mins(2)));
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now),
            Some(Duration::from_secs(30))
        );
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn only_what_the_protocol_calls_retryable_is_sent_again() {
        for code in [
            Code::Unavailable,
            Code::Cancelled,
            Code::DeadlineExceeded,
            Code::Aborted,
            Code::DataLoss,
        ] {
            assert!(
                matches!(from_status(&Status::new(code, "")), Outcome::Later { .. }),
                "{code:?}"
            );
        }
        for code in [
            Code::InvalidArgument,
            Code::Unauthenticated,
            Code::PermissionDenied,
            Code::Unimplemented,
        ] {
            assert!(
                matches!(from_status(&Status::new(code, "")), Outcome::Refused { .. }),
                "{code:?}"
            );
        }
    }

    #[test]
    fn resource_exhausted_needs_retry_info() {
        assert!(matches!(
            from_status(&Status::resource_exhausted("")),
            Outcome::Refused { .. }
        ));
        let mut details = tonic_types::ErrorDetails::new();
        details.set_retry_info(Some(Duration::from_secs(7)));
        let status = Status::with_error_details(Code::ResourceExhausted, "", details);
        assert!(matches!(from_status(&status), Outcome::Later { after: Some(d), .. } if d.as_secs() == 7));
    }
}
