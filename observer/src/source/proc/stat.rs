//! Reads the text of `/proc/PID/{stat,status,statm,cgroup}`, produces the few fields the agent needs.
//!
//! Layouts: proc_pid_stat(5), proc_pid_status(5), proc_pid_statm(5), cgroups(7).

/// What `/proc/PID/stat` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Name of the main thread. May hold anything, `)` and newlines among it.
    pub(crate) comm: String,
    /// State letter: `Z` and `X` are dead.
    pub(crate) state: char,
    /// The kernel is ending this thread (`PF_EXITING` of include/linux/sched.h): its memory goes, and cgroup v1 shows it in
    /// the root cgroup from now on.
    pub(crate) exiting: bool,
    /// Parent's thread-group id.
    pub(crate) ppid: u32,
    /// Threads alive. A leader that exited before its threads is `Z` with more than one.
    pub(crate) threads: u32,
    /// Start, in ticks since boot.
    pub(crate) start: u64,
}

impl Stat {
    /// The whole process is dead, not only its leader.
    pub(crate) const fn is_dead(&self) -> bool {
        matches!(self.state, 'X' | 'x') || ((self.exiting || self.state == 'Z') && self.threads <= 1)
    }
}

/// `PF_EXITING`
const EXITING: u64 = 0x4;

/// Parses `/proc/PID/stat`. The name lies between the first `(` and the **last** `)`: it is the only field that can
/// hold either, and all fields after it are numbers but the state letter.
pub(crate) fn stat(text: &[u8]) -> Option<Stat> {
    let open = text.iter().position(|&b| b == b'(')?;
    let close = text.iter().rposition(|&b| b == b')')?;
    let comm = String::from_utf8_lossy(text.get(open + 1..close)?).into_owned();
    let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
    // Fields 3 (state), 4 (ppid), 9 (flags), 20 (num_threads), 22 (starttime) of the manual's numbering.
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let ppid = fields.next()?.parse().ok()?;
    let flags: u64 = fields.nth(4)?.parse().ok()?;
    let threads = fields.nth(10)?.parse().ok()?;
    let start = fields.nth(1)?.parse().ok()?;
    Some(Stat {
        comm,
        state,
        exiting: flags & EXITING != 0,
        ppid,
        threads,
        start,
    })
}

/// The process's pids, outermost namespace (that of the mounted procfs) first; one where it lives in that namespace.
pub(crate) fn ns_pids(status: &[u8]) -> Vec<u32> {
    let Some(line) = status
        .split(|&b| b == b'\n')
        .find_map(|line| line.strip_prefix(b"NSpid:"))
    else {
        return Vec::new();
    };
    String::from_utf8_lossy(line)
        .split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Anonymous memory that is resident, bytes: `RssAnon` of `/proc/PID/status`.
pub(crate) fn rss_anon(status: &[u8]) -> Option<u64> {
    let line = status
        .split(|&b| b == b'\n')
        .find_map(|line| line.strip_prefix(b"RssAnon:"))?;
    let kib = std::str::from_utf8(line).ok()?.trim().strip_suffix("kB")?;
    Some(kib.trim().parse::<u64>().ok()? << 10)
}

/// What `/proc/PID/statm` tells, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Statm {
    /// Resident.
    pub(crate) resident: u64,
    /// Of those, file-backed or shared memory.
    pub(crate) shared: u64,
}

/// Parses `/proc/PID/statm`; `None` too where all is 0, since a process without memory has exited.
pub(crate) fn statm(text: &[u8]) -> Option<Statm> {
    let mut fields = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    let size: u64 = fields.next()?.parse().ok()?;
    let resident = fields.next()?.parse().ok()?;
    let shared = fields.next()?.parse().ok()?;
    (size != 0).then_some(Statm { resident, shared })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REST: &str = "S 41 77 77 0 -1 4194304 2224 0 0 0 1 2 0 0 20 0 11 0 123456 1 2 3";

    #[test]
    fn a_name_may_hold_parentheses_spaces_and_newlines() {
        for name in [
            "node",
            "next-server (v1",
            "a) S 1 1",
            ") ",
            "a\nb",
            "",
            "((",
            "tmux: server",
        ] {
            let parsed = stat(format!("77 ({name}) {REST}\n").as_bytes()).unwrap();
            assert_eq!(
                (parsed.comm.as_str(), parsed.ppid, parsed.threads, parsed.start),
                (name, 41, 11, 123_456),
                "{name:?}"
            );
        }
    }

    #[test]
    fn a_leader_that_went_first_is_not_a_dead_process() {
        let of = |state: &str, threads: &str| {
            let rest = REST
                .replacen('S', state, 1)
                .replacen(" 11 ", &format!(" {threads} "), 1);
            stat(format!("7 (x) {rest}").as_bytes()).unwrap().is_dead()
        };
        assert!(!of("Z", "3"));
        assert!(of("Z", "1"));
        assert!(of("X", "1"));
        assert!(!of("D", "1"));
    }

    #[test]
    fn pids_of_nested_namespaces() {
        assert_eq!(
            ns_pids(b"Name:\tnode\nNSpid:\t4711\t17\t1\nVmRSS:\t1 kB\n"),
            [4711, 17, 1]
        );
        assert_eq!(ns_pids(b"Name:\tnode\n"), [0_u32; 0]);
    }

    #[test]
    fn a_process_without_memory_has_exited() {
        assert_eq!(statm(b"0 0 0 0 0 0 0\n"), None);
        assert_eq!(
            statm(b"300 200 50 1 0 2 0\n"),
            Some(Statm {
                resident: 200,
                shared: 50
            })
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text: Vec<u8>) {
            let _ = (stat(&text), ns_pids(&text), statm(&text));
        }
    }
}
