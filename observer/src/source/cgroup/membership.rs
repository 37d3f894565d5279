//! Whose member a process is: reads the text of `/proc/PID/cgroup`, produces the path of its memory cgroup.

/// The process's cgroup in the hierarchy that accounts for memory: v1's `memory` controller where one is mounted,
/// else the unified hierarchy. A path may hold `:`; a removed cgroup's carries the suffix ` (deleted)`.
pub(crate) fn memory_cgroup(text: &[u8]) -> Option<String> {
    let mut unified = None;
    for line in text.split(|&b| b == b'\n') {
        let mut fields = line.splitn(3, |&b| b == b':');
        let (Some(id), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let path = || {
            let path = String::from_utf8_lossy(path);
            path.strip_suffix(" (deleted)").unwrap_or(&path).to_owned()
        };
        if controllers
            .split(|&b| b == b',')
            .any(|controller| controller == b"memory")
        {
            return Some(path());
        }
        if id == b"0" && controllers.is_empty() {
            unified = Some(path());
        }
    }
    unified
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::memory_cgroup;

    #[test]
    fn the_memory_hierarchy_is_preferred_to_the_unified_one() {
        let v2 = b"0::/system.slice/api.service\n";
        assert_eq!(memory_cgroup(v2).unwrap(), "/system.slice/api.service");
        let hybrid = b"9:name=systemd:/x\n4:cpu,memory:/docker/ab:c\n0::/\n";
        assert_eq!(memory_cgroup(hybrid).unwrap(), "/docker/ab:c");
        let v1_without_unified = b"4:memory:/\n";
        assert_eq!(memory_cgroup(v1_without_unified).unwrap(), "/");
        let gone = b"0::/user.slice/x.scope (deleted)\n";
        assert_eq!(memory_cgroup(gone).unwrap(), "/user.slice/x.scope");
        assert_eq!(memory_cgroup(b"3:cpuset:/\n"), None);
        assert_eq!(memory_cgroup(b"2:memoryish:/\n"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text: Vec<u8>) {
            let _ = memory_cgroup(&text);
        }
    }
}
