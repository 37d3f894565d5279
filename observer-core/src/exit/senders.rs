//! Signals: their numbers, and what the name of a sender or a number is to a run's end.

// Signals by number, as Linux has them on every machine observed.
pub(super) const SIGHUP: u8 = 1;
pub(super) const SIGINT: u8 = 2;
pub(super) const SIGILL: u8 = 4;
pub(super) const SIGTRAP: u8 = 5;
pub(super) const SIGABRT: u8 = 6;
pub(super) const SIGKILL: u8 = 9;
pub(super) const SIGSEGV: u8 = 11;
pub(super) const SIGTERM: u8 = 15;

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
