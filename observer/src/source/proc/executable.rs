//! Reads a process's executable (and a distribution's libnode), produces which runtime it is. What was found is kept
//! per file, so a busy host's thousands of short-lived programs cost one stat each.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use observer_core::process::{NodeEvidence, Runtime};
use rustix::fs::{AtFlags, Stat, fstat, statat};

use super::dir::ProcessDir;
use crate::source::elf::{self, ElfError, Image, Landmarks};
use crate::source::rooted::Rooted;

/// Executables remembered. A host runs some hundreds of different ones.
const MOST_REMEMBERED: usize = 1024;

/// Builds of Node.js remembered by where in the file they say so.
const MOST_BUILDS: usize = 64;

/// Where distributions install libraries, for a process that has not loaded its own yet.
const LIBRARY_DIRS: [&str; 8] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/arm-linux-gnueabihf",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/lib64",
    "/lib",
];

/// One state of one file: a rebuilt executable has another size or change time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FileId {
    device: u64,
    inode: u64,
    size: i64,
    changed: (i64, i64),
}

impl From<Stat> for FileId {
    #[allow(
        clippy::useless_conversion,
        reason = "the fields' types differ between architectures"
    )]
    fn from(stat: Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            changed: (stat.st_ctime, i64::try_from(stat.st_ctime_nsec).unwrap_or(0)),
        }
    }
}

/// Executables judged so far.
#[derive(Debug, Default)]
pub(crate) struct Executables {
    seen: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    images: BTreeMap<FileId, (u64, Image)>,
    /// Each container has its file on a file system of its own, with another id: copies are known by these.
    builds: VecDeque<Landmarks>,
    /// Counts look-ups: the entry with the lowest count was used longest ago.
    clock: u64,
}

/// What was found, and whether a look had to be forgone.
pub(crate) struct Classification {
    pub(crate) runtime: Runtime,
    /// The executable could not be read: the runtime stands on its name alone.
    pub(crate) unreadable: bool,
}

impl Classification {
    /// Of the agent itself.
    pub(crate) const AGENT: Self = Self {
        runtime: Runtime::Agent,
        unreadable: false,
    };
}

impl Executables {
    /// Judges what a process runs.
    pub(crate) fn classify(&self, process: &ProcessDir) -> Classification {
        let (runtime, unreadable) = match self.executable(process) {
            Ok(Image::Node {
                version,
                single_executable,
            }) => {
                let evidence = if single_executable {
                    NodeEvidence::SingleExecutable
                } else {
                    NodeEvidence::ElfSymbol
                };
                (Runtime::Node { version, evidence }, false)
            }
            Ok(Image::NeedsLibnode(name)) => {
                let version = self.libnode_version(process, &name);
                (
                    Runtime::Node {
                        version,
                        evidence: NodeEvidence::Libnode,
                    },
                    false,
                )
            }
            Ok(Image::Other) => (Runtime::Other, false),
            // A kernel thread has no executable.
            Err(ElfError::Read(error)) if error.kind() == io::ErrorKind::NotFound => (Runtime::Other, false),
            Err(_) if is_named_node(process) => (
                Runtime::Node {
                    version: None,
                    evidence: NodeEvidence::ExecutableName,
                },
                true,
            ),
            Err(_) => (Runtime::Other, true),
        };
        Classification { runtime, unreadable }
    }

    fn executable(&self, process: &ProcessDir) -> Result<Image, ElfError> {
        let id = statat(process.fd(), "exe", AtFlags::empty())
            .map_err(io::Error::from)?
            .into();
        match self.remembered(id) {
            Some(image) => Ok(image),
            // The process may replace its image in between: the id is taken anew, from the file that is judged.
            None => self.inspect(&process.file("exe")?),
        }
    }

    fn inspect(&self, file: &File) -> Result<Image, ElfError> {
        let id = fstat(file).map_err(io::Error::from)?.into();
        if let Some(image) = self.remembered(id) {
            return Ok(image);
        }
        // Not under the lock: this reads tens of megabytes once. Two threads may do it at the same time.
        let builds: Vec<Landmarks> = self.lock().builds.iter().cloned().collect();
        let (image, build) = elf::inspect_like(file, &builds)?;
        self.remember(id, image.clone(), build);
        Ok(image)
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remembered(&self, id: FileId) -> Option<Image> {
        let seen = &mut *self.lock();
        seen.clock += 1;
        let (used, image) = seen.images.get_mut(&id)?;
        *used = seen.clock;
        Some(image.clone())
    }

    fn remember(&self, id: FileId, image: Image, build: Option<Landmarks>) {
        let seen = &mut *self.lock();
        if seen.images.len() >= MOST_REMEMBERED {
            let oldest = seen.images.iter().min_by_key(|(_, (used, _))| *used).map(|(id, _)| *id);
            if let Some(oldest) = oldest {
                seen.images.remove(&oldest);
            }
        }
        seen.images.insert(id, (seen.clock, image));
        if let Some(build) = build.filter(|build| !seen.builds.contains(build)) {
            if seen.builds.len() >= MOST_BUILDS {
                seen.builds.pop_front();
            }
            seen.builds.push_back(build);
        }
    }

    /// Version of the libnode a process uses: the mapped one, or, right after exec, the one it is about to map.
    fn libnode_version(&self, process: &ProcessDir, name: &str) -> Option<String> {
        let root = Rooted::of(process.fd()).ok()?;
        let mapped = process.read("maps").ok().and_then(|maps| mapped_path(&maps, name));
        let installed = LIBRARY_DIRS.iter().map(|dir| Path::new(dir).join(name));
        mapped
            .into_iter()
            .chain(installed)
            .find_map(|path| match self.inspect(&root.open(&path).ok()?) {
                Ok(Image::Node { version, .. }) => version,
                _ => None,
            })
    }
}

/// Path of the mapped file with this name. A mapping's line ends in its path (proc_pid_maps(5)), the sixth field.
fn mapped_path(maps: &[u8], name: &str) -> Option<PathBuf> {
    maps.split(|&b| b == b'\n').find_map(|line| {
        let line = std::str::from_utf8(line).ok()?;
        let path = Path::new(&line[line.find('/')?..]);
        (path.file_name()? == name).then(|| path.to_path_buf())
    })
}

/// By the executable's own name, or where even that may not be read, the name it was started under.
fn is_named_node(process: &ProcessDir) -> bool {
    let exe = process.link("exe").or_else(|| {
        let arguments = process.read("cmdline").ok()?;
        Some(String::from_utf8_lossy(arguments.split(|&b| b == 0).next()?).into_owned())
    });
    let name = exe
        .as_deref()
        .map(|exe| exe.strip_suffix(" (deleted)").unwrap_or(exe))
        .and_then(|exe| exe.rsplit('/').next());
    matches!(name, Some("node" | "nodejs"))
}
