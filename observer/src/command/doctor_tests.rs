//! The page for hosts that allow everything, little and nothing.

use expect_test::expect;

use super::*;
use crate::kernel::{
    Hook, HookReport,
    probe::{Capability, Host},
};
use crate::terminal::{hostile, rendered};

fn host() -> Host {
    Host {
        release: "6.12.9".into(),
        machine: "x86_64".into(),
        btf: Ok(125_000),
        lockdown: Ok("none".into()),
        tracefs: None,
        in_host_pid_namespace: true,
        uid: 0,
        capabilities: vec![(Capability::Bpf, true), (Capability::SysPtrace, true)],
    }
}

fn report(rung: Rung, failed: &[(Rung, &str)]) -> Report {
    let hook = Hook::Exit;
    let failed = failed.iter().map(|&(rung, reason)| (rung, reason.to_owned())).collect();
    Report {
        unavailable: None,
        hooks: vec![HookReport {
            hook,
            rung,
            failed,
            lost: hook.lost(rung, true),
        }],
    }
}

fn events(allowed: Result<(), String>) -> Wanted {
    Wanted {
        events: Some(allowed),
        store: None,
    }
}

#[test]
fn a_host_that_allows_everything() {
    let memory = Ok(Memory {
        version: 2,
        mount: "/sys/fs/cgroup".into(),
        shortfall: None,
    });
    let (page, exit) = render(&host(), &memory, &report(Rung::TpBtf, &[]), &events(Ok(())));
    expect![[r"
        kernel               6.12.9 x86_64
        types                BTF with 125000 types
        lockdown             none
        tracefs              not to be read; only hooks on their second rung need it
        memory               cgroup v2 at /sys/fs/cgroup
        pids                 the host's namespace
        user                 uid 0
        Kubernetes Events    may be written

        CAP_BPF              held     for kernel programs and their maps
        CAP_SYS_PTRACE       held     for executables, mappings and heaps of other users' processes

        hook            rung        lost by it
        exit            tp_btf      nothing

        Everything the agent wants is possible here.
    "]]
    .assert_eq(&page);
    assert_eq!(exit, Exit::Success);
}

#[test]
fn each_limit_is_named_with_its_reason() {
    let host = Host {
        btf: Err("cannot read /sys/kernel/btf/vmlinux: No such file or directory".into()),
        in_host_pid_namespace: false,
        capabilities: vec![(Capability::Perfmon, false)],
        ..host()
    };
    let memory = Err("no hierarchy with a memory controller is mounted".into());
    let failed = [(Rung::TpBtf, "no BTF"), (Rung::Tracepoint, "not permitted")];
    let (page, exit) = render(
        &host,
        &memory,
        &report(Rung::Files, &failed),
        &events(Err("not allowed".into())),
    );
    expect![[r"
        kernel               6.12.9 x86_64
        types                no BTF: cannot read /sys/kernel/btf/vmlinux: No such file or directory
        lockdown             none
        tracefs              not to be read; only hooks on their second rung need it
        memory               no hierarchy with a memory controller is mounted
        pids                 a namespace of its own: run with hostPID: true, or --pid=host
        user                 uid 0
        Kubernetes Events    cannot be written: not allowed

        CAP_PERFMON          MISSING  for attaching them, reading kernel memory

        hook            rung        lost by it
        exit            files only  exit codes, signals and exact times of death
                        tp_btf failed: no BTF
                        tracepoint failed: not permitted

        Limited in 6 respects, all named above.
    "]]
    .assert_eq(&page);
    assert_eq!(exit, Exit::Limited);
}

#[test]
fn what_a_host_says_of_itself_breaks_no_row() {
    let rows = |page: &str| page.lines().count();
    let (plain, _) = render(
        &host(),
        &Err(String::new()),
        &report(Rung::Files, &[(Rung::TpBtf, "")]),
        &events(Err(String::new())),
    );
    for name in hostile::names() {
        let host = Host {
            release: name.clone(),
            machine: name.clone(),
            btf: Err(name.clone()),
            lockdown: Err(name.clone()),
            tracefs: Some(name.clone()),
            ..host()
        };
        let report = report(Rung::Files, &[(Rung::TpBtf, &name)]);
        let (page, _) = render(&host, &Err(name.clone()), &report, &events(Err(name.clone())));
        hostile::fits(rendered(page.as_str(), false).as_str(), 1_000);
        assert_eq!(rows(&page), rows(&plain), "{page:.2000}");
    }
}

#[test]
fn a_part_of_the_cgroups_and_a_store_that_cannot_be_written_are_limits() {
    let memory = Ok(Memory {
        version: 1,
        mount: "/sys/fs/cgroup/memory".into(),
        shortfall: Some("only /docker/a is mounted".into()),
    });
    let wanted = Wanted {
        store: Some(Err("/var/lib/observer cannot be written".to_owned())),
        events: None,
    };
    let (page, exit) = render(&host(), &memory, &report(Rung::TpBtf, &[]), &wanted);
    assert_eq!(exit, Exit::Limited);
    for said in [
        "cgroup v1 at /sys/fs/cgroup/memory; only /docker/a is mounted",
        "/var/lib/observer cannot be written; nothing will outlive the agent",
        "Limited in 2 respects",
    ] {
        assert!(page.contains(said), "{page}");
    }
}
