//! `observer doctor --json`: reads what the page reads, produces one JSON object on one line, for scripts and fleets.

use serde_json::{Value, json};

use crate::kernel::{Report, probe::Host};

/// The hierarchy that accounts for memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) version: u8,
    pub(super) mount: String,
    /// What is missing where only a part of it is mounted.
    pub(super) shortfall: Option<String>,
}

/// What the configuration asks for, and whether it can be had; `None` where it asks for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Writing Events about pods.
    pub(super) events: Option<Result<(), String>>,
    /// The store's directory.
    pub(super) store: Option<Result<String, String>>,
}

/// The object. What is not known is `null` beside a `..._error` that says why.
pub(super) fn render(host: &Host, memory: &Result<Memory, String>, report: &Report, wanted: &Wanted) -> Value {
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
        "cgroup_shortfall": memory.as_ref().ok().and_then(|memory| memory.shortfall.as_ref()),
        "store": wanted.store.as_ref().and_then(|store| store.as_ref().ok()),
        "store_error": wanted.store.as_ref().and_then(|store| store.as_ref().err()),
        "host_pid_namespace": host.in_host_pid_namespace,
        "uid": host.uid,
        "capabilities": capabilities,
        "kubernetes_events": wanted.events.as_ref().map(Result::is_ok),
        "kubernetes_events_error": wanted.events.as_ref().and_then(|events| events.as_ref().err()),
        "unavailable": report.unavailable,
        "hooks": hooks,
    })
}
