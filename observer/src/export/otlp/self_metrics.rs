//! The agent's own metrics through the OpenTelemetry SDK: takes points of the agent itself, sends the newest of them at
//! every interval under the agent's one Resource.
//!
//! The SDK reads the clock, keeps start times and encodes; the connection is ours, so that certificates, client keys and
//! headers are those of every other signal.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, MeterProvider},
};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    Compression, MetricExporter, Protocol as Wire, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    metrics::{PeriodicReader, SdkMeterProvider, Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
};
use tokio::{runtime::Handle, time::Instant};
use tonic::metadata::MetadataMap;

use super::{
    batch::scope,
    delivery::Counts,
    signal::name,
    transport::{self, TransportError},
};
use crate::{
    config::otlp::{self, Protocol, Signal, Target},
    export::metrics::{self, Kind, Point, agent_resource},
    snapshot::ExporterView,
    terminal::say,
};

/// The newest points, read when the SDK collects.
type Newest = Arc<Mutex<Vec<Point>>>;

/// The way of the agent's own metrics out. Counts are of requests.
pub(super) struct SelfMetrics {
    provider: SdkMeterProvider,
    newest: Newest,
    counts: Arc<Counts>,
    name: String,
}

impl fmt::Debug for SelfMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelfMetrics")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl SelfMetrics {
    /// Starts the SDK's reader. Within a runtime only.
    pub(super) fn start(target: &Target, interval: Duration, host: &str) -> Result<Self, TransportError> {
        let exporter = exporter(target)?;
        let counts = Arc::new(Counts::default());
        let name = format!("the agent's own {}", name(target));
        let counted = Counted {
            exporter,
            counts: Arc::clone(&counts),
            name: name.clone(),
        };
        let attributes = agent_resource(host).into_iter();
        let resource = Resource::builder_empty()
            .with_attributes(attributes.map(|(name, value)| KeyValue::new(name, value)))
            .build();
        let provider = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_reader(PeriodicReader::builder(counted).with_interval(interval).build())
            .build();
        let newest = Newest::default();
        instruments(&provider, &newest);
        Ok(Self {
            provider,
            newest,
            counts,
            name,
        })
    }

    /// Takes the place of the points before.
    pub(super) fn tell(&self, points: Vec<Point>) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = points;
    }

    pub(super) fn view(&self) -> ExporterView {
        ExporterView {
            // Not to be taken for those of the observed.
            signal: "own_metrics".to_owned(),
            ..self.counts.view(&self.name, Signal::Metrics)
        }
    }

    /// Sends the last points, until the deadline.
    pub(super) async fn finish(self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        // It blocks its thread while the runtime sends. Failures are counted.
        let ended = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(left));
        let _ = tokio::time::timeout_at(deadline, ended).await;
    }
}

/// One observable instrument per metric of the agent's.
fn instruments(provider: &SdkMeterProvider, newest: &Newest) {
    let scope = scope();
    let meter = provider.meter_with_scope(
        opentelemetry::InstrumentationScope::builder(scope.name)
            .with_version(scope.version)
            .with_schema_url(super::SCHEMA_URL)
            .build(),
    );
    for metric in metrics::OWN {
        let newest = Arc::clone(newest);
        let observe = move |instrument: &dyn AsyncInstrument<f64>| {
            let points = newest.lock().unwrap_or_else(PoisonError::into_inner);
            for point in points.iter().filter(|point| point.metric.name == metric.name) {
                let pairs = point.attributes.iter();
                let attributes: Vec<KeyValue> =
                    pairs.map(|(name, value)| KeyValue::new(*name, value.clone())).collect();
                instrument.observe(point.value, &attributes);
            }
        };
        match metric.kind {
            Kind::Gauge => drop(
                meter
                    .f64_observable_gauge(metric.name)
                    .with_unit(metric.unit)
                    .with_callback(observe)
                    .build(),
            ),
            Kind::UpDown => drop(
                meter
                    .f64_observable_up_down_counter(metric.name)
                    .with_unit(metric.unit)
                    .with_callback(observe)
                    .build(),
            ),
            Kind::Counter => drop(
                meter
                    .f64_observable_counter(metric.name)
                    .with_unit(metric.unit)
                    .with_callback(observe)
                    .build(),
            ),
        }
    }
}

fn exporter(target: &Target) -> Result<MetricExporter, TransportError> {
    let temporality = match target.temporality {
        otlp::Temporality::Cumulative => Temporality::Cumulative,
        otlp::Temporality::Delta => Temporality::Delta,
        otlp::Temporality::LowMemory => Temporality::LowMemory,
    };
    let built = match target.protocol {
        Protocol::Grpc => {
            let headers = target.headers.clone();
            let builder = MetricExporter::builder()
                .with_temporality(temporality)
                .with_tonic()
                .with_timeout(target.timeout)
                // Last, so that they win over what the SDK itself reads from the environment.
                .with_interceptor(move |mut request: tonic::Request<()>| {
                    let mut all = std::mem::take(request.metadata_mut()).into_headers();
                    all.extend(headers.clone());
                    *request.metadata_mut() = MetadataMap::from_headers(all);
                    Ok(request)
                })
                .with_channel(transport::channel(target)?);
            if target.gzip {
                builder.with_compression(Compression::Gzip).build()
            } else {
                builder.build()
            }
        }
        Protocol::HttpProtobuf => {
            let builder = MetricExporter::builder()
                .with_temporality(temporality)
                .with_http()
                .with_protocol(Wire::HttpBinary)
                .with_timeout(target.timeout)
                .with_endpoint(target.endpoint.to_string())
                .with_http_client(OnRuntime {
                    client: transport::client(target)?,
                    headers: target.headers.clone(),
                    runtime: Handle::current(),
                });
            if target.gzip {
                builder.with_compression(Compression::Gzip).build()
            } else {
                builder.build()
            }
        }
    };
    built.map_err(|error| transport::error(target, &error))
}

/// Our HTTP client, for the SDK's thread, which is none of the runtime's.
struct OnRuntime {
    client: reqwest::Client,
    headers: http::HeaderMap,
    runtime: Handle,
}

impl fmt::Debug for OnRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers are never shown.
        f.write_str("OnRuntime")
    }
}

#[async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let mut request = reqwest::Request::try_from(request)?;
        request.headers_mut().extend(self.headers.clone());
        let sent = self.runtime.spawn(async move {
            let response = client.execute(request).await.map_err(reqwest::Error::without_url)?;
            let mut answer = Response::builder().status(response.status());
            if let Some(headers) = answer.headers_mut() {
                headers.extend(response.headers().clone());
            }
            let body = response.bytes().await.map_err(reqwest::Error::without_url)?;
            Ok::<_, HttpError>(answer.body(body)?)
        });
        sent.await?
    }
}

/// The SDK's exporter, with its successes and failures counted and reported.
struct Counted {
    exporter: MetricExporter,
    counts: Arc<Counts>,
    name: String,
}

impl PushMetricExporter for Counted {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.exporter.export(metrics).await;
        let why = result.as_ref().err().map(ToString::to_string);
        match why {
            None => &self.counts.delivered,
            Some(_) => &self.counts.refused,
        }
        .fetch_add(1, Relaxed);
        let mut failing = self.counts.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*failing, &why) {
            (None, Some(why)) => say(format_args!(
                "{}: not delivered ({why}); the next points will be tried",
                self.name
            )),
            (Some(_), None) => say(format_args!("{}: delivered again", self.name)),
            _ => {}
        }
        *failing = why;
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}
