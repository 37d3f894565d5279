//! Reads `/proc/self/mountinfo`, produces where the hierarchy that accounts for memory is mounted, and turns the paths
//! of `/proc/PID/cgroup` into its directories. v1, v2, both at once, and private cgroup namespaces.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::membership::memory_cgroup;

/// Most directories looked at to find where a private cgroup namespace begins.
const MOST_DIRECTORIES: usize = 100_000;

/// Why no hierarchy could be used.
#[derive(Debug, thiserror::Error)]
pub enum HierarchyError {
    /// mountinfo could not be read.
    #[error("cannot read {path}: {source}")]
    Mountinfo {
        /// Where it was looked for.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// No mounted hierarchy has a memory controller.
    #[error(
        "no cgroup hierarchy with a memory controller is mounted{}; mount the host's /sys/fs/cgroup read-only",
        below.as_ref().map(|path| format!(" below {}", path.display())).unwrap_or_default()
    )]
    NoMemoryController {
        /// Where it was looked for, where that was configured.
        below: Option<PathBuf>,
    },
}

/// The hierarchy that accounts for memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// 1 or 2.
    version: u8,
    /// Where it is mounted.
    mount: PathBuf,
    /// Which of its cgroups is mounted there; empty for its root.
    mounted: Vec<String>,
    /// Where this process's cgroup namespace begins, below the mounted cgroup; empty on the host.
    namespace: Vec<String>,
    /// v1's hierarchy that accounts for CPU time.
    cpuacct: Option<PathBuf>,
    /// The cgroup namespace is one of its own, and nothing above its beginning is mounted.
    own_only: bool,
}

/// One line of mountinfo, as far as it matters (proc_pid_mountinfo(5)).
struct Mount {
    root: String,
    at: PathBuf,
    kind: String,
    options: String,
}

impl Hierarchy {
    /// Finds it among this process's mounts; only below `below` where that is given.
    pub fn discover(proc_root: &Path, below: Option<&Path>) -> Result<Self, HierarchyError> {
        let path = proc_root.join("self/mountinfo");
        let text = fs::read_to_string(&path).map_err(|source| HierarchyError::Mountinfo {
            path: path.clone(),
            source,
        })?;
        let has_memory = |mount: &Path| {
            fs::read_to_string(mount.join("cgroup.controllers"))
                .is_ok_and(|controllers| controllers.split_ascii_whitespace().any(|name| name == "memory"))
        };
        let mut found =
            Self::from_mountinfo(&text, below, has_memory).ok_or_else(|| HierarchyError::NoMemoryController {
                below: below.map(Path::to_path_buf),
            })?;
        // The root of a whole hierarchy has no events of its own, and every cgroup below it has.
        let below_root = found.version == 2 && found.mount.join("cgroup.events").exists();
        found.own_only = below_root && found.namespace.is_empty() && leads_out(proc_root);
        if !found.namespace.is_empty() {
            let own = find_own(&found.mount, std::process::id()).unwrap_or_default();
            found.namespace.clear();
            // The agent may sit below the namespace's beginning: its own path tells how far.
            let below_namespace = fs::read(proc_root.join("self/cgroup"))
                .ok()
                .and_then(|text| memory_cgroup(&text))
                .map_or(0, |path| components(&path).count());
            found
                .namespace
                .extend(own.iter().take(own.len().saturating_sub(below_namespace)).cloned());
        }
        Ok(found)
    }

    /// At a directory, for trees that are not mounted (tests, recorded trees).
    pub fn at(version: u8, mount: impl Into<PathBuf>, cpuacct: Option<PathBuf>) -> Self {
        Self {
            version,
            mount: mount.into(),
            mounted: Vec::new(),
            namespace: Vec::new(),
            cpuacct,
            own_only: false,
        }
    }

    /// `namespace` holds placeholders for each level between the mounted cgroup and the namespace's beginning.
    fn from_mountinfo(text: &str, below: Option<&Path>, has_memory: impl Fn(&Path) -> bool) -> Option<Self> {
        let mounts: Vec<_> = text
            .lines()
            .filter_map(parse_line)
            .filter(|mount| below.is_none_or(|below| mount.at.starts_with(below)))
            .collect();
        let v1 =
            |controller: &str| {
                highest(mounts.iter().filter(|mount| {
                    mount.kind == "cgroup" && mount.options.split(',').any(|option| option == controller)
                }))
            };
        let memory = v1("memory");
        let version = if memory.is_some() { 1 } else { 2 };
        let mount = memory.or_else(|| highest(mounts.iter().filter(|m| m.kind == "cgroup2" && has_memory(&m.at))))?;
        let above = components(&mount.root).filter(|name| *name == "..").count();
        let mounted = if above > 0 {
            Vec::new()
        } else {
            components(&mount.root).map(str::to_owned).collect()
        };
        Some(Self {
            version,
            mount: mount.at.clone(),
            mounted,
            namespace: vec![String::new(); above],
            cpuacct: (version == 1)
                .then(|| v1("cpuacct").map(|mount| mount.at.clone()))
                .flatten(),
            own_only: false,
        })
    }

    /// What is missing where only a part of the hierarchy is mounted; `None` where all that its namespace knows of is.
    pub fn shortfall(&self) -> Option<String> {
        let part = (!self.mounted.is_empty()).then(|| format!("/{} of the hierarchy", self.mounted.join("/")));
        // Within a namespace of its own, a mount of the namespace's beginning shows the agent's own cgroup only.
        let part = part.or_else(|| self.own_only.then(|| "the agent's own cgroup".to_owned()))?;
        Some(format!(
            "only {part} is mounted at {}: levels, limits and kill counters of other cgroups are not read; mount the host's \
             /sys/fs/cgroup read-only",
            self.mount.display()
        ))
    }

    /// 1 or 2.
    pub const fn version(&self) -> u8 {
        self.version
    }

    /// Where it is mounted.
    pub fn mount(&self) -> &Path {
        &self.mount
    }

    /// The path below the hierarchy's root of a cgroup as `/proc/PID/cgroup` names it, which is below this process's
    /// cgroup namespace and leads out of it by `/..`. Unchanged where it leads above what is mounted.
    pub fn canonical(&self, path: &str) -> String {
        let mut at = self.namespace.clone();
        for name in components(path) {
            if name != ".." {
                at.push(name.to_owned());
            } else if at.pop().is_none() {
                return path.to_owned();
            }
        }
        format!("/{}", at.join("/"))
    }

    /// The directory of a cgroup by its canonical path; `None` where it is not below what is mounted.
    pub fn directory(&self, path: &str) -> Option<PathBuf> {
        Some(self.mount.join(self.relative(path)?))
    }

    /// Its directory in v1's CPU accounting hierarchy, which container runtimes and systemd lay out alike.
    pub(crate) fn cpu_directory(&self, path: &str) -> Option<PathBuf> {
        match self.version {
            1 => Some(self.cpuacct.as_ref()?.join(self.relative(path)?)),
            _ => self.directory(path),
        }
    }

    fn relative(&self, path: &str) -> Option<PathBuf> {
        let mut names = components(path);
        for mounted in &self.mounted {
            if names.next() != Some(mounted) {
                return None;
            }
        }
        let below: PathBuf = names.collect();
        below
            .components()
            .all(|c| matches!(c, std::path::Component::Normal(_)))
            .then_some(below)
    }
}

/// Whether the first process is outside of this process's cgroup namespace.
fn leads_out(proc_root: &Path) -> bool {
    let first = fs::read(proc_root.join("1/cgroup")).ok();
    first
        .and_then(|text| memory_cgroup(&text))
        .is_some_and(|path| components(&path).next() == Some(".."))
}

/// Names of a path; an empty one and `.` are none.
fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty() && *name != ".")
}

/// The mount that shows most of a hierarchy: one that begins above the namespace, then one of its root.
fn highest<'a>(mounts: impl Iterator<Item = &'a Mount>) -> Option<&'a Mount> {
    mounts.min_by_key(|mount| {
        let (above, below): (Vec<_>, Vec<_>) = components(&mount.root).partition(|name| *name == "..");
        (std::cmp::Reverse(above.len()), below.len())
    })
}

fn parse_line(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let mut right = right.split(' ');
    Some(Mount {
        root: unescape(left.next()?),
        at: unescape(left.next()?).into(),
        kind: right.next()?.to_owned(),
        options: right.nth(1)?.to_owned(),
    })
}

/// Undoes the kernel's `\ooo` for space, tab, newline and backslash.
fn unescape(field: &str) -> String {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = tail.get(..3).filter(|_| *first == b'\\').and_then(|digits| {
            digits.iter().try_fold(0_u32, |n, b| {
                (b'0'..=b'7').contains(b).then(|| n * 8 + u32::from(b - b'0'))
            })
        });
        if let Some(byte) = octal.and_then(|n| u8::try_from(n).ok()) {
            plain.push(byte);
            rest = &tail[3..];
        } else {
            plain.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// Finds the cgroup that holds `pid`, from the mounted one down.
fn find_own(mount: &Path, pid: u32) -> Option<Vec<String>> {
    let mut open = vec![Vec::<String>::new()];
    for _ in 0..MOST_DIRECTORIES {
        let at = open.pop()?;
        let dir = at.iter().fold(mount.to_path_buf(), |dir, name| dir.join(name));
        let procs = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        if procs.lines().any(|line| line.parse() == Ok(pid)) {
            return Some(at);
        }
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir())
                && let Ok(name) = entry.file_name().into_string()
            {
                open.push(at.iter().cloned().chain([name]).collect());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";
    const V2: &str =
        "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate";

    fn of(text: &str, below: Option<&str>) -> Option<Hierarchy> {
        Hierarchy::from_mountinfo(text, below.map(Path::new), |_| true)
    }

    #[test]
    fn v1_v2_and_both_at_once() {
        let hybrid = of(V1, None).unwrap();
        assert_eq!(
            (hybrid.version, hybrid.mount()),
            (1, Path::new("/sys/fs/cgroup/memory"))
        );
        assert_eq!(
            hybrid.cpu_directory("/a").unwrap(),
            Path::new("/sys/fs/cgroup/cpu,cpuacct/a")
        );
        let v2 = of(V2, None).unwrap();
        assert_eq!((v2.version, v2.mount()), (2, Path::new("/sys/fs/cgroup")));
        assert_eq!(
            v2.directory("/kubepods/x").unwrap(),
            Path::new("/sys/fs/cgroup/kubepods/x")
        );
        assert_eq!(v2.cpu_directory("/a").unwrap(), Path::new("/sys/fs/cgroup/a"));
        assert_eq!(of("30 23 0:26 / /proc rw - proc proc rw", None), None);
        assert_eq!(
            Hierarchy::from_mountinfo(V2, None, |_| false),
            None,
            "a v2 root without the memory controller"
        );
    }

    #[test]
    fn a_host_mounted_elsewhere_is_taken_where_it_was_configured() {
        let both = format!("{V2}\n90 23 0:26 /../../.. /host/sys/fs\\040cgroup ro - cgroup2 cgroup2 ro");
        assert_eq!(
            of(&both, Some("/host")).unwrap().mount(),
            Path::new("/host/sys/fs cgroup")
        );
        assert_eq!(of(&both, Some("/elsewhere")), None);
        assert_eq!(
            of(&both, None).unwrap().mount(),
            Path::new("/host/sys/fs cgroup"),
            "it shows more"
        );
    }

    #[test]
    fn a_mounted_part_shows_that_part_only() {
        let part = of(
            "9 8 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory",
            None,
        )
        .unwrap();
        assert_eq!(part.canonical("/docker/abc/x"), "/docker/abc/x");
        assert_eq!(
            part.directory("/docker/abc/x").unwrap(),
            Path::new("/sys/fs/cgroup/memory/x")
        );
        assert_eq!(part.directory("/docker/other"), None);
        assert!(part.shortfall().is_some_and(|told| told.contains("/docker/abc")));
        assert_eq!(of(V1, None).unwrap().shortfall(), None);
        assert_eq!(of(V2, None).unwrap().shortfall(), None);
    }

    #[test]
    fn paths_from_a_private_namespace() {
        let mut hierarchy = of("9 8 0:26 /../../.. /sys/fs/cgroup ro - cgroup2 cgroup2 ro", None).unwrap();
        hierarchy.namespace = ["kubepods", "podA", "agent"].map(str::to_owned).to_vec();
        assert_eq!(hierarchy.canonical("/"), "/kubepods/podA/agent");
        assert_eq!(hierarchy.canonical("/../../podB/id"), "/kubepods/podB/id");
        assert_eq!(
            hierarchy.canonical("/../../../system.slice/x.service"),
            "/system.slice/x.service"
        );
        assert_eq!(
            hierarchy.canonical("/../../../../x"),
            "/../../../../x",
            "above everything mounted"
        );
        assert_eq!(
            hierarchy.directory("/../../../../x"),
            None,
            "never a directory outside the mount"
        );
    }

    #[test]
    fn the_agent_finds_itself() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["a/b", "a/c/d", "e"] {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        fs::write(dir.path().join("a/cgroup.procs"), "1\n42\n").unwrap();
        fs::write(dir.path().join("a/c/d/cgroup.procs"), "4\n421\n").unwrap();
        assert_eq!(find_own(dir.path(), 421).unwrap(), ["a", "c", "d"]);
        assert_eq!(find_own(dir.path(), 21), None);
    }
}
