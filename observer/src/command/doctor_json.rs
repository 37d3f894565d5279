//! `observer doctor --json`: reads what the page reads, produces one JSON object on one line, for scripts and fleets.

use serde_json::{Value, json};

use crate::kernel::{Report, probe::Host};

/// The hierarchy that accounts for memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) version: u8,
    pub(super) mount: String,
}

/// The object. What is not known is `null` beside a `..._error` that says why.
pub(super) fn render(
    host: &Host,
    memory: &Result<Memory, String>,
    report: &Report,
    events: Option<&Result<(), String>>,
) -> Value {
    let (known, unknown) = (
        |of: &Result<String, String>| of.as_ref().ok().cloned(),
        |of: &Result<String, String>| of.as_ref().err().cloned(),
    );
    let types = host.btf.as_ref().map(usize::to_string).map_err(Clone::clone);
    let capabilities: Value = host
        .capabilities
        .iter()
        .map(|&(capability, held)| (capability.name().to_owned(), Value::Bool(held)))
        .collect();
    let hooks: Vec<Value> = report
        .hooks
        .iter()
        .map(|hook| {
            let failed: Vec<Value> = hook
                .failed
                .iter()
                .map(|(rung, reason)| json!({"rung": rung.name(), "reason": reason}))
                .collect();
            json!({
                "hook": hook.hook.name(),
                "rung": hook.rung.name(),
                "lost": hook.lost,
                "failed": failed,
            })
        })
        .collect();
    json!({
        "kernel": {"release": host.release, "machine": host.machine},
        "btf_types": host.btf.as_ref().ok(),
        "btf_error": unknown(&types),
        "lockdown": known(&host.lockdown),
        "lockdown_error": unknown(&host.lockdown),
        "tracefs": host.tracefs,
        "cgroup_version": memory.as_ref().ok().map(|memory| memory.version),
        "cgroup_mount": memory.as_ref().ok().map(|memory| &memory.mount),
        "cgroup_error": memory.as_ref().err(),
        "host_pid_namespace": host.in_host_pid_namespace,
        "uid": host.uid,
        "capabilities": capabilities,
        "kubernetes_events": events.map(Result::is_ok),
        "kubernetes_events_error": events.and_then(|events| events.as_ref().err()),
        "unavailable": report.unavailable,
        "hooks": hooks,
    })
}
