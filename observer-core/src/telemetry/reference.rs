//! The reference page: reads the names, produces docs/telemetry.md. The page is written by this test and held against it.

use std::fmt::Write;

use expect_test::expect_file;

use super::{Names, metrics_reference, reference};

/// What stands before the tables.
const HEAD: &str = "\
# What goes out

<!-- Written by `UPDATE_EXPECT=1 cargo test -p observer-core telemetry::reference`; the text stands in
     observer-core/src/telemetry/reference.rs, the names in observer-core/src/semconv.rs. -->

Events are OTLP log records with an `EventName`. The record's time is that of the occurrence, its body a sentence for
people, and its Resource the observed workload's own, never the agent's, so that a backend shows it on the
application's service page. Only `observer.gap`, which is the agent's own, goes out under the agent's Resource.

[events/](events/README.md) has one page for each event, with a record that a real agent sent.

A record may arrive twice (delivery is at least once): `observer.finding.id` is then the same. What is not known is
absent, never 0.

## Severity

| severity | events |
|---|---|
| ERROR | `oom_kill`, `heap_oom`, `leak_confirmed` |
| WARN | `leak_likely`, `near_ceiling`, `recurring_oom`, `restart`, `crash_loop` |
| INFO | the rest, a `restart` that is a rollout or follows a clean exit, and the end of a `crash_loop` |

## Resource

Names follow the OpenTelemetry semantic conventions 1.44.0. Where several sources name a thing, the first wins:

| attribute | from |
|---|---|
| all that the application's SDK publishes of its Resource in its memory (OTEP 4719), `service.instance.id` above all | that: it is what its own spans carry. Read some seconds after the start, a minute after it, and every ten minutes; `process.*`, `host.*`, `os.*` and `telemetry.*` of it are not kept |
| `service.name` | `OTEL_SERVICE_NAME` of the process; `OTEL_RESOURCE_ATTRIBUTES`; the pod's annotation `resource.opentelemetry.io/service.name`; with `--service-labels true` its labels `app.kubernetes.io/instance` and `app.kubernetes.io/name`; the owner's name (Deployment, StatefulSet, ..., unit); elsewhere the name in package.json, the container's name, the script |
| `service.version` | `OTEL_RESOURCE_ATTRIBUTES`; the annotation; the label `app.kubernetes.io/version`; `tag@digest` of the image; the version in package.json |
| `service.instance.id` | as above; `namespace.pod.container` |
| `k8s.*`, `container.*`, `host.*`, `process.*`, `systemd.*` | what Kubernetes, the engine, systemd and the kernel say, and nobody else: a process that claims to be another pod is not believed. `k8s.cluster.name` alone, which none of them knows, may come from the process or an annotation |
| any other | `OTEL_RESOURCE_ATTRIBUTES`, then annotations `resource.opentelemetry.io/*` |

What was claimed of the place and not taken, since it differs or nobody knows it, stands on every record of that run as
`observer.identity.refused`.

Of a process's environment only `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` and the heap flags in `NODE_OPTIONS` are kept. Its command line is not exported.

";

/// What stands before the tables of metrics.
const METRICS: &str = "\
A run's series stand under that run's Resource and end with it; counts stand under the service's, with the host as its instance, and go on over
replacements of containers, as long as a run is in progress and for a quarter of an hour after. The agent's own series
stand under the agent's Resource. `/metrics` serves the same under the names that Prometheus gives them when they come
over OTLP: `_total` on counters, units spelled out, `job` from the service's namespace and name, `instance` from
`service.instance.id`, every other attribute of a Resource in `target_info`.

A container has 23 series in a pod, one more while growth holds and one where a heap reading named a culprit, and one `target_info`. A workload has three
on each host, and for each version that ran there in the last quarter of an hour one, three for deaths of memory, which
begin at 0 so that a rate sees the first, and one for each other cause of an end seen. None of them carries what changes at a restart: `container.id`, `process.linux.cgroup` and
`k8s.container.status.last_terminated_reason` are left out of the metrics' Resource (events and spans have them), so a service that crashes every minute has the same series a day later. Points whose
name begins with `observer.memory` or is `observer.leak.state` or an uptime say themselves which workload and version they are
of, so that a query over a fleet needs no join. How replicas are pooled by slope and standard error, and what that costs for
a million containers, is in [fleet.md](fleet.md).

Levels that the conventions define as UpDownCounters (`container.memory.*`, `process.memory.usage`, `k8s.container.*`) are sums
that are not monotonic; other levels are gauges, and both are gauges to Prometheus. Counts are cumulative, or differences where
`OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta` asks for them: what a dead endpoint did not take is then in the next
difference.

";

const SPANS: &str = "\
## Spans

One closed span per ended run, when nothing more can be learnt of it: as soon as its slot's next run has begun, and a
minute after its end at the latest. It is named after the container, begins and ends with the run, stands under that
run's own Resource, and carries the attributes of its end above; its status is an error with the cause unless the run
ended as it was meant to. Trace ids are hashes of cluster, workload, version and revision (the owner's uid and the hash of
the pod's template; outside Kubernetes the image's digest), so that one rollout's runs stand in one trace, from whichever
host they come; span ids are hashes of the run, so that a second delivery is the same span. Where the pod carries a
`traceparent` annotation, the span has a link to that trace.
";

#[test]
fn the_page_is_what_the_code_says() {
    let (events, attributes) = reference();
    let mut page = HEAD.to_owned();
    table(&mut page, "Events", events);
    table(&mut page, "Attributes", attributes);
    page.push_str(METRICS);
    let (metrics, attributes) = metrics_reference();
    table(&mut page, "Metrics", metrics);
    table(&mut page, "Attributes of metrics", attributes);
    page.push_str(SPANS);
    page.truncate(page.trim_end().len());
    page.push('\n');
    expect_file!["../../../docs/telemetry.md"].assert_eq(&page);
}

fn table(page: &mut String, title: &str, names: Names) {
    let _ = write!(page, "## {title}\n\n| name | meaning |\n|---|---|\n");
    for (name, meaning) in names {
        let _ = writeln!(page, "| `{name}` | {} |", meaning.trim());
    }
    page.push('\n');
}
