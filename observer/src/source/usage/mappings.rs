//! Reads the text of `/proc/PID/smaps`, produces the process's mappings that have memory.
//!
//! Layout: proc_pid_smaps(5), Documentation/filesystems/proc.rst. Numbers are in kB of 1,024 bytes.

/// Guard pages below stacks are not larger, bytes; what is larger was reserved for something else.
const LARGEST_GUARD: u64 = 1 << 20;

/// What stands behind a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The data segment.
    Brk,
    /// The main thread's stack.
    MainStack,
    /// Private and anonymous.
    Anonymous,
    /// A file, private or shared.
    File,
    /// Shared memory: a tmpfs, a memfd, System V.
    Shared,
}

/// A mapping with memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(super) kind: Kind,
    pub(super) executable: bool,
    pub(crate) writable: bool,
    /// It begins right behind a guard, as stacks of threads do.
    pub(super) guarded: bool,
    pub(crate) path: String,
    /// Where in the file it begins.
    pub(super) offset: u64,
    /// Its memory, each page divided by how many processes map it, bytes.
    pub(super) pss: u64,
    /// Pages of a private file that were changed, bytes.
    pub(crate) anonymous: u64,
    pub(super) swap: u64,
}

/// All mappings with memory, ascending.
pub(crate) fn parse(smaps: &str) -> Vec<Mapping> {
    let mut mappings: Vec<Mapping> = Vec::new();
    let mut guard_ends = 0;
    for line in smaps.lines() {
        if let Some(mut mapping) = head(line) {
            mapping.guarded = guard_ends == mapping.start && guard_ends != 0;
            let guards = line
                .split_ascii_whitespace()
                .nth(1)
                .is_some_and(|p| p.starts_with("---"));
            guard_ends = if guards && mapping.end - mapping.start <= LARGEST_GUARD {
                mapping.end
            } else {
                0
            };
            mappings.push(mapping);
        } else if let (Some(mapping), Some((name, value))) = (mappings.last_mut(), line.split_once(':')) {
            let bytes = || Some(value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10);
            let field = match name {
                "Pss" => &mut mapping.pss,
                "Anonymous" => &mut mapping.anonymous,
                "Swap" => &mut mapping.swap,
                _ => continue,
            };
            *field = bytes().unwrap_or(0);
        }
    }
    mappings.retain(|mapping| mapping.pss > 0 || mapping.swap > 0);
    mappings
}

/// The first line of a mapping.
fn head(line: &str) -> Option<Mapping> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
    let permissions = fields.next()?.as_bytes();
    let offset = u64::from_str_radix(fields.next()?, 16).ok()?;
    let inode = fields.nth(1)?;
    let path = fields.next().unwrap_or("").trim_start();
    let shared = permissions.get(3) == Some(&b's');
    let kind = match path {
        "[heap]" => Kind::Brk,
        "[stack]" => Kind::MainStack,
        _ if shared && (inode == "0" || is_shared_memory(path)) => Kind::Shared,
        _ if path.starts_with("/memfd:") => Kind::Shared,
        "" => Kind::Anonymous,
        _ if path.starts_with("[anon") => Kind::Anonymous,
        _ => Kind::File,
    };
    Some(Mapping {
        start,
        end,
        kind,
        executable: permissions.get(2) == Some(&b'x'),
        writable: permissions.get(1) == Some(&b'w'),
        guarded: false,
        path: path.to_owned(),
        offset,
        pss: 0,
        anonymous: 0,
        swap: 0,
    })
}

fn is_shared_memory(path: &str) -> bool {
    ["/dev/shm/", "/dev/zero", "/SYSV", "[anon_shmem:"]
        .iter()
        .any(|prefix| path.starts_with(prefix))
}

/// One number of `/proc/PID/smaps_rollup` or `/proc/PID/status`, bytes.
pub(super) fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
5596189f5000-5596189f7000 rw-p 00003000 fe:00 247026                     /usr/lib/x86_64-linux-gnu/libc.so.6
Size:                  8 kB
Rss:                   8 kB
Pss:                   6 kB
Pss_Dirty:             4 kB
Anonymous:             4 kB
Swap:                  0 kB
VmFlags: rd wr mr mw me ac
55970b5f1000-55970b612000 rw-p 00000000 00:00 0                          [heap]
Pss:                  20 kB
Anonymous:            20 kB
Swap:                  8 kB
7f0000000000-7f0000001000 ---p 00000000 00:00 0
Pss:                   0 kB
7f0000001000-7f0000801000 rw-p 00000000 00:00 0
Pss:                  16 kB
7f0000801000-7f0000802000 rw-p 00000000 00:00 0                          [anon: glibc: malloc]
Pss:                   4 kB
7f1000000000-7f1000100000 rw-s 00000000 00:18 7                          /dev/shm/a file
Pss:                 100 kB
7f1000200000-7f1000300000 rw-s 00000000 00:01 9                          /memfd:x (deleted)
Pss:                   4 kB
";

    #[test]
    fn mappings_with_memory_are_told_by_what_stands_behind_them() {
        let told: Vec<_> = parse(SMAPS)
            .into_iter()
            .map(|m| (m.kind, m.pss >> 10, m.anonymous >> 10, m.swap >> 10, m.guarded))
            .collect();
        let expected = [
            (Kind::File, 6, 4, 0, false),
            (Kind::Brk, 20, 20, 8, false),
            (Kind::Anonymous, 16, 0, 0, true),
            (Kind::Anonymous, 4, 0, 0, false),
            (Kind::Shared, 100, 0, 0, false),
            (Kind::Shared, 4, 0, 0, false),
        ];
        assert_eq!(told, expected);
        assert_eq!(parse(SMAPS)[4].path, "/dev/shm/a file");
        assert_eq!(kilobytes("Name:\tx\nVmPTE:\t     76 kB\n", "VmPTE"), Some(76 << 10));
    }
}
