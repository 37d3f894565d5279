//! One signal's connection: reads an encoded export request, sends it over gRPC or HTTP, produces what became of it.
//!
//! What may be sent again, and after how long: OpenTelemetry Protocol 1.x, "Failures" and "Throttling" of OTLP/gRPC
//! and of OTLP/HTTP.

use std::{
    io::Write,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, StatusCode, header, uri::PathAndQuery};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message;
use tonic::{
    Code, Status,
    codec::CompressionEncoding,
    metadata::MetadataMap,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tonic_types::StatusExt;

use super::codec::EncodedCodec;
use crate::config::otlp::{Protocol, Signal, Target};

/// Longest response body read, bytes: a partial success is a number and a sentence.
const LONGEST_RESPONSE: usize = 64 << 10;

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

/// A connection that cannot be made from this target.
#[derive(Debug, thiserror::Error)]
#[error("cannot send {} to {endpoint}: {why}", signal.name())]
pub struct TransportError {
    signal: Signal,
    endpoint: String,
    why: String,
}

/// A signal's connection. Connects when first used, and again whenever it has to.
pub(super) struct Transport {
    signal: Signal,
    way: Way,
}

enum Way {
    Grpc {
        client: Box<tonic::client::Grpc<Channel>>,
        headers: MetadataMap,
        timeout: Duration,
    },
    Http {
        client: reqwest::Client,
        url: String,
        headers: HeaderMap,
        gzip: bool,
    },
}

impl Transport {
    /// Prepares a connection. Certificates are checked here; the network is not touched.
    pub(super) fn new(target: &Target) -> Result<Self, TransportError> {
        let way = match target.protocol {
            Protocol::Grpc => grpc(target)?,
            Protocol::HttpProtobuf => Way::Http {
                client: client(target)?,
                url: target.endpoint.to_string(),
                headers: target.headers.clone(),
                gzip: target.gzip,
            },
        };
        Ok(Self {
            signal: target.signal,
            way,
        })
    }

    /// Sends one encoded `Export*ServiceRequest`.
    pub(super) async fn send(&mut self, request: Bytes) -> Outcome {
        match &mut self.way {
            Way::Grpc {
                client,
                headers,
                timeout,
            } => {
                let mut call = tonic::Request::new(request);
                *call.metadata_mut() = headers.clone();
                call.set_timeout(*timeout);
                match tokio::time::timeout(*timeout, unary(client, self.signal, call)).await {
                    Ok(Ok(response)) => delivered(&response),
                    Ok(Err(status)) => from_status(&status),
                    Err(_) => Outcome::Later {
                        after: None,
                        why: format!("no answer within {timeout:?}"),
                    },
                }
            }
            Way::Http {
                client,
                url,
                headers,
                gzip,
            } => {
                let mut post = client
                    .post(url.as_str())
                    .headers(headers.clone())
                    .header(header::CONTENT_TYPE, "application/x-protobuf");
                let mut body = request;
                if *gzip && let Some(smaller) = compress(&body) {
                    post = post.header(header::CONTENT_ENCODING, "gzip");
                    body = smaller;
                }
                match post.body(body).send().await {
                    Ok(response) => from_response(response).await,
                    Err(error) => Outcome::Later {
                        after: None,
                        why: chain(&error.without_url()),
                    },
                }
            }
        }
    }
}

/// Why this target cannot be used.
pub(super) fn error(target: &Target, why: &dyn std::error::Error) -> TransportError {
    TransportError {
        signal: target.signal,
        endpoint: target.endpoint.to_string(),
        why: chain(why),
    }
}

/// The provider of cryptography, for tonic and reqwest alike.
fn install_cryptography() {
    // A second call finds it installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A channel that connects when it is first used.
pub(super) fn channel(target: &Target) -> Result<Channel, TransportError> {
    install_cryptography();
    lazy_channel(target).map_err(|why| error(target, &why))
}

/// An HTTP client with the target's certificates and timeout.
pub(super) fn client(target: &Target) -> Result<reqwest::Client, TransportError> {
    install_cryptography();
    http_client(target).map_err(|why| error(target, &why))
}

fn lazy_channel(target: &Target) -> Result<Channel, tonic::transport::Error> {
    let mut endpoint = Endpoint::from(target.endpoint.clone())
        .user_agent(USER_AGENT)?
        .connect_timeout(target.timeout)
        // A half-open connection is found out although nothing is being sent.
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    if target.endpoint.scheme_str() == Some("https") {
        let mut tls = ClientTlsConfig::new();
        tls = match &target.authorities {
            Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
            None => tls.with_native_roots(),
        };
        if let Some((certificate, key)) = &target.identity {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        endpoint = endpoint.tls_config(tls)?;
    }
    Ok(endpoint.connect_lazy())
}

fn grpc(target: &Target) -> Result<Way, TransportError> {
    let mut client = tonic::client::Grpc::new(channel(target)?);
    client = client
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(LONGEST_RESPONSE);
    if target.gzip {
        client = client.send_compressed(CompressionEncoding::Gzip);
    }
    Ok(Way::Grpc {
        client: Box::new(client),
        headers: MetadataMap::from_headers(target.headers.clone()),
        timeout: target.timeout,
    })
}

fn http_client(target: &Target) -> Result<reqwest::Client, reqwest::Error> {
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .timeout(target.timeout)
        // A receiver that redirects is misconfigured, and headers would travel on to another host.
        .redirect(reqwest::redirect::Policy::none());
    if let Some(pem) = &target.authorities {
        builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem)?);
    } else if target.endpoint.scheme_str() != Some("https") {
        // Nobody's certificate is looked at, so that a host or an image without authorities is no obstacle.
        builder = builder.tls_certs_only([]);
    }
    if let Some((certificate, key)) = &target.identity {
        let both = [certificate.as_slice(), b"\n", key.as_slice()].concat();
        builder = builder.identity(reqwest::Identity::from_pem(&both)?);
    }
    builder.build()
}

const USER_AGENT: &str = concat!("observer/", env!("CARGO_PKG_VERSION"));

async fn unary(
    client: &mut tonic::client::Grpc<Channel>,
    signal: Signal,
    request: tonic::Request<Bytes>,
) -> Result<Bytes, Status> {
    let path = PathAndQuery::from_static(match signal {
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    });
    client
        .ready()
        .await
        .map_err(|error| Status::unavailable(chain(&error)))?;
    client
        .unary(request, path, EncodedCodec)
        .await
        .map(tonic::Response::into_inner)
}

/// The three signals' responses have one layout: field 1 a partial success, in it field 1 the number of rejected
/// records and field 2 a message (opentelemetry/proto/collector/*/v1/*_service.proto).
fn delivered(response: &[u8]) -> Outcome {
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

fn from_status(status: &Status) -> Outcome {
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

async fn from_response(mut response: reqwest::Response) -> Outcome {
    let status = response.status();
    let after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| retry_after(value, SystemTime::now()));
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

/// `Retry-After` is a number of seconds or a date (RFC 9110, 10.2.3).
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    value.parse().map(Duration::from_secs).ok().or_else(|| {
        let date = httpdate::parse_http_date(value).ok()?;
        Some(date.duration_since(now).unwrap_or_default())
    })
}

fn compress(body: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 2), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// An error with its causes: reqwest's and tonic's own messages leave the cause out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
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
