//! The agent's own metrics: reads what it tells of itself, produces points.

use observer_core::semconv::metric::{self, attribute};

use super::point::{Metric, Point, counter, gauge, point, up_down};
use crate::snapshot::AgentView;

/// All metrics of the agent itself.
pub const OWN: &[Metric] = &[
    gauge(metric::AGENT_PROCESSES, "{process}"),
    gauge(metric::AGENT_CONTAINERS, "{container}"),
    counter(metric::AGENT_INPUTS, "{input}"),
    counter(metric::AGENT_LATE, "{input}"),
    counter(metric::AGENT_FINDINGS, "{finding}"),
    gauge(metric::AGENT_SWEEP, "s"),
    up_down(metric::PROCESS_MEMORY_USAGE, "By"),
    counter(metric::PROCESS_CPU_TIME, "s"),
    counter(metric::AGENT_LOST, "{record}"),
    counter(metric::AGENT_EVICTED, "{entry}"),
    counter(metric::AGENT_OOM_MARKS, "{process}"),
    gauge(metric::AGENT_HOOK, ""),
    gauge(metric::EXPORT_WAITING, "{record}"),
    gauge(metric::EXPORT_BYTES, "By"),
    gauge(metric::EXPORT_OLDEST, "s"),
    counter(metric::EXPORT_RETRIES, "{request}"),
    counter(metric::EXPORT_RECORDS, "{record}"),
    gauge(metric::STORE_RECORDS, "{record}"),
    gauge(metric::STORE_BYTES, "By"),
    gauge(metric::STORE_STATE, "By"),
    counter(metric::STORE_TROUBLE, "{record}"),
];

/// Those of the agent itself.
pub fn own(agent: &AgentView) -> Vec<Point> {
    let mut points = vec![
        point(gauge(metric::AGENT_PROCESSES, "{process}"), &[], agent.processes as f64),
        point(
            gauge(metric::AGENT_CONTAINERS, "{container}"),
            &[],
            agent.containers as f64,
        ),
        point(counter(metric::AGENT_INPUTS, "{input}"), &[], agent.inputs as f64),
        point(counter(metric::AGENT_LATE, "{input}"), &[], agent.late as f64),
        point(counter(metric::AGENT_FINDINGS, "{finding}"), &[], agent.findings as f64),
        point(gauge(metric::AGENT_SWEEP, "s"), &[], agent.sweep_s),
        point(up_down(metric::PROCESS_MEMORY_USAGE, "By"), &[], agent.memory as f64),
        point(counter(metric::PROCESS_CPU_TIME, "s"), &[], agent.cpu_s),
    ];
    for lost in &agent.lost {
        let attributes = [
            (attribute::STAGE, lost.stage.as_str()),
            (attribute::KIND, lost.kind.as_str()),
        ];
        points.push(point(
            counter(metric::AGENT_LOST, "{record}"),
            &attributes,
            lost.count as f64,
        ));
    }
    if agent.not_printed > 0 {
        let attributes = [(attribute::STAGE, "stdout"), (attribute::KIND, "finding")];
        points.push(point(
            counter(metric::AGENT_LOST, "{record}"),
            &attributes,
            agent.not_printed as f64,
        ));
    }
    for (kind, count) in &agent.evicted {
        points.push(point(
            counter(metric::AGENT_EVICTED, "{entry}"),
            &[(attribute::KIND, kind)],
            *count as f64,
        ));
    }
    for (fate, count) in &agent.oom_marks {
        points.push(point(
            counter(metric::AGENT_OOM_MARKS, "{process}"),
            &[(attribute::FATE, fate)],
            *count as f64,
        ));
    }
    for (hook, rung) in &agent.hooks {
        points.push(point(
            gauge(metric::AGENT_HOOK, ""),
            &[(attribute::HOOK, hook), (attribute::RUNG, rung)],
            1.0,
        ));
    }
    for exporter in &agent.export {
        let signal = (attribute::SIGNAL, exporter.signal.as_str());
        points.push(point(
            gauge(metric::EXPORT_WAITING, "{record}"),
            &[signal],
            exporter.waiting as f64,
        ));
        points.push(point(
            gauge(metric::EXPORT_BYTES, "By"),
            &[signal],
            exporter.waiting_bytes as f64,
        ));
        points.push(point(gauge(metric::EXPORT_OLDEST, "s"), &[signal], exporter.oldest_s));
        points.push(point(
            counter(metric::EXPORT_RETRIES, "{request}"),
            &[signal],
            exporter.retries as f64,
        ));
        for (fate, count) in [
            ("delivered", exporter.delivered),
            ("rejected", exporter.rejected),
            ("refused", exporter.refused),
            ("dropped", exporter.dropped),
        ] {
            points.push(point(
                counter(metric::EXPORT_RECORDS, "{record}"),
                &[signal, (attribute::FATE, fate)],
                count as f64,
            ));
        }
    }
    if let Some(store) = &agent.store {
        points.extend([
            point(gauge(metric::STORE_RECORDS, "{record}"), &[], store.records as f64),
            point(gauge(metric::STORE_BYTES, "By"), &[], store.bytes as f64),
            point(gauge(metric::STORE_STATE, "By"), &[], store.state_bytes as f64),
        ]);
        for (kind, count) in [
            ("dropped", store.dropped),
            ("lost", store.lost),
            ("damaged", store.damaged),
            ("foreign", store.foreign),
            ("failed", store.failed),
        ] {
            points.push(point(
                counter(metric::STORE_TROUBLE, "{record}"),
                &[(attribute::KIND, kind)],
                count as f64,
            ));
        }
    }
    points
}
