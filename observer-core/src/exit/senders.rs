//! Names: reads the name of a signal's sender or a signal's number, produces what it is to a run's end.

use super::decide::{SIGABRT, SIGHUP, SIGILL, SIGINT, SIGKILL, SIGSEGV, SIGTERM, SIGTRAP};

/// Daemons that kill for memory, by the name of their main thread (cut at 15 bytes by the kernel).
pub(crate) fn is_oom_daemon(comm: &str) -> bool {
    matches!(
        comm,
        "systemd-oomd" | "oomd" | "earlyoom" | "nohang" | "low-memory-moni" | "lmkd"
    )
}

/// Programs through which a kubelet stops a container (cut at 15 bytes by the kernel).
pub(super) fn is_container_runtime(comm: &str) -> bool {
    comm.starts_with("runc")
        || comm.starts_with("crun")
        || comm.starts_with("containerd")
        || comm.starts_with("conmon")
        || comm.starts_with("crio")
        || comm.starts_with("dockerd")
        || comm.starts_with("youki")
}

/// A signal's name as `kill -l` and people spell it.
pub fn signal_name(signal: u8) -> String {
    match signal {
        SIGHUP => "SIGHUP".into(),
        SIGINT => "SIGINT".into(),
        3 => "SIGQUIT".into(),
        SIGILL => "SIGILL".into(),
        SIGTRAP => "SIGTRAP".into(),
        SIGABRT => "SIGABRT".into(),
        7 => "SIGBUS".into(),
        8 => "SIGFPE".into(),
        SIGKILL => "SIGKILL".into(),
        SIGSEGV => "SIGSEGV".into(),
        13 => "SIGPIPE".into(),
        SIGTERM => "SIGTERM".into(),
        other => format!("signal {other}"),
    }
}
