//! One signal's connection: reads an encoded export request, sends it over gRPC or HTTP, produces what became of it.

use std::{io::Write, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, header, uri::PathAndQuery};
use tonic::{
    Status,
    codec::CompressionEncoding,
    metadata::MetadataMap,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use super::{
    codec::EncodedCodec,
    outcome::{LONGEST_RESPONSE, Outcome, delivered, from_response, from_status},
};
use crate::{
    causes::chain,
    config::otlp::{Protocol, Signal, Target},
};

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
    connection: Connection,
}

enum Connection {
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
        let connection = match target.protocol {
            Protocol::Grpc => grpc(target)?,
            Protocol::HttpProtobuf => Connection::Http {
                client: client(target)?,
                url: target.endpoint.to_string(),
                headers: target.headers.clone(),
                gzip: target.gzip,
            },
        };
        Ok(Self {
            signal: target.signal,
            connection,
        })
    }

    /// Sends one encoded `Export*ServiceRequest`.
    pub(super) async fn send(&mut self, request: Bytes) -> Outcome {
        match &mut self.connection {
            Connection::Grpc {
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
            Connection::Http {
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
        // Without its query, which may hold a key.
        endpoint: target
            .endpoint
            .authority()
            .map_or_else(String::new, ToString::to_string),
        why: chain(why),
    }
}

/// The provider of cryptography, for tonic and reqwest alike.
pub(crate) fn install_cryptography() {
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

fn grpc(target: &Target) -> Result<Connection, TransportError> {
    let mut client = tonic::client::Grpc::new(channel(target)?);
    client = client
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(LONGEST_RESPONSE);
    if target.gzip {
        client = client.send_compressed(CompressionEncoding::Gzip);
    }
    Ok(Connection::Grpc {
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

fn compress(body: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 2), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok().map(Bytes::from)
}
