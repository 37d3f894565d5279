//! The reference page: reads the names, produces docs/telemetry.md. The page is written by this test and held against it.

use std::fmt::Write;

use expect_test::expect_file;

use super::{Names, reference};

/// What stands before the tables.
const HEAD: &str = "\
# What goes out

<!-- Written by `UPDATE_EXPECT=1 cargo test -p observer-core telemetry::reference`; the text stands in
     observer-core/src/telemetry/reference.rs, the names in observer-core/src/semconv.rs. -->

Events are OTLP log records with an `EventName`. The record's time is that of the occurrence, its body a sentence for
people, and its Resource the observed workload's own, never the agent's, so that a backend shows it on the
application's service page. Only `observer.gap`, which is the agent's own, goes out under the agent's Resource.

A record may arrive twice (delivery is at least once): `observer.finding.id` is then the same. What is not known is
absent, never 0.

## Severity

| severity | events |
|---|---|
| ERROR | `oom_kill`, `heap_oom`, `leak_confirmed` |
| WARN | `leak_likely`, `near_ceiling`, `restart` |
| INFO | the rest, and a `restart` that is a rollout or follows a clean exit |

## Resource

Names follow the OpenTelemetry semantic conventions 1.44.0. Where several sources name a thing, the first wins:

| attribute | from |
|---|---|
| `service.name` | `OTEL_SERVICE_NAME` of the process; `OTEL_RESOURCE_ATTRIBUTES`; the pod's annotation `resource.opentelemetry.io/service.name`; the owner's name (Deployment, StatefulSet, ..., unit); elsewhere the name in package.json, the container's name, the script |
| `service.version` | `OTEL_RESOURCE_ATTRIBUTES`; the annotation; the label `app.kubernetes.io/version`; `tag@digest` of the image; the version in package.json |
| `service.instance.id` | as above; `namespace.pod.container` |
| any other | `OTEL_RESOURCE_ATTRIBUTES`, then annotations `resource.opentelemetry.io/*`, then what Kubernetes, the engine, systemd and the host say |

Of a process's environment only `OTEL_*` and `NODE_OPTIONS` are read. Its command line is not exported.

";

#[test]
fn the_page_is_what_the_code_says() {
    let (events, attributes) = reference();
    let mut page = HEAD.to_owned();
    table(&mut page, "Events", events);
    table(&mut page, "Attributes", attributes);
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
