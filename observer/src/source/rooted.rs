//! Reads a file as a process sees it, through `/proc/PID/root`, produces its bytes. A path or a link made by the
//! observed process can never lead outside its own root, into a device, a pipe or procfs's magic links.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
    path::{Component, Path},
};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, StatVfs, fstat, fstatvfs, openat, openat2},
    io::Errno,
};

/// A process's root directory.
#[derive(Debug)]
pub(crate) struct Rooted(OwnedFd);

impl Rooted {
    /// Opens the root of a process, given its `/proc/PID`. Needs SYS_PTRACE for another user's process.
    pub(crate) fn of(process: impl AsFd) -> io::Result<Self> {
        Self::at(process, "root")
    }

    /// The same by the process's number.
    pub(crate) fn of_pid(pid: u32) -> io::Result<Self> {
        Self::at(rustix::fs::CWD, &format!("/proc/{pid}/root"))
    }

    fn at(dir: impl AsFd, path: &str) -> io::Result<Self> {
        Ok(Self(openat(
            dir,
            path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?))
    }

    /// Opens a regular file at an absolute path in this root.
    pub(crate) fn open(&self, path: &Path) -> io::Result<File> {
        // Non-blocking, so that a pipe under that name cannot hold the agent; its type is checked before any read.
        let file = self.find(
            path,
            OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY,
        )?;
        if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(file.into())
    }

    /// Sizes of the file system at an absolute path in this root.
    pub(crate) fn file_system(&self, path: &Path) -> io::Result<StatVfs> {
        Ok(fstatvfs(self.find(path, OFlags::PATH | OFlags::CLOEXEC)?)?)
    }

    fn find(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        match openat2(&self.0, path, flags, Mode::empty(), within) {
            Ok(file) => Ok(file),
            // A kernel before 5.6, or a seccomp profile that does not know the call (those answer EPERM).
            Err(Errno::NOSYS | Errno::PERM) => self.walk(path, flags),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Reads at most `most` bytes of such a file; a larger one is an error, never cut.
    pub(crate) fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open(path)?.take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("longer than {most} bytes"),
            ));
        }
        Ok(bytes)
    }

    /// Without openat2: one component after another, no link followed.
    fn walk(&self, path: &Path, last: OFlags) -> io::Result<OwnedFd> {
        let mut at = self.0.try_clone()?;
        let mut components = path
            .components()
            .filter(|component| *component != Component::RootDir)
            .peekable();
        while let Some(component) = components.next() {
            let Component::Normal(name) = component else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            let flags = if components.peek().is_some() {
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW
            } else {
                last | OFlags::NOFOLLOW
            };
            at = openat(&at, name, flags, Mode::empty())?;
        }
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, process::Command};

    use super::*;

    fn root() -> (tempfile::TempDir, Rooted) {
        let dir = tempfile::tempdir().unwrap();
        let root = Rooted::at(rustix::fs::CWD, dir.path().to_str().unwrap()).unwrap();
        (dir, root)
    }

    #[test]
    fn no_link_leads_out_of_the_root() {
        let (dir, root) = root();
        let outside = tempfile::NamedTempFile::new().unwrap();
        fs::write(outside.path(), "outside").unwrap();
        fs::create_dir(dir.path().join("app")).unwrap();
        fs::write(dir.path().join("inside.json"), "inside").unwrap();
        symlink(outside.path(), dir.path().join("app/absolute")).unwrap();
        symlink("../../../../../../../../../etc/passwd", dir.path().join("app/relative")).unwrap();
        symlink("/inside.json", dir.path().join("app/link")).unwrap();
        for path in ["/app/absolute", "/app/relative", "/../../../../etc/passwd"] {
            assert!(root.read(Path::new(path), 100_000).is_err(), "{path}");
        }
        assert_eq!(
            root.read(Path::new("/app/link"), 100).unwrap(),
            b"inside",
            "a link within the root is followed"
        );
    }

    #[test]
    fn procfs_leads_nowhere() {
        let host = Rooted::at(rustix::fs::CWD, "/").unwrap();
        // A plain file there is one like any other; a magic link would lead into another mount namespace.
        assert!(host.open(Path::new("/proc/self/status")).is_ok());
        assert!(host.open(Path::new("/proc/self/exe")).is_err());
    }

    #[test]
    fn only_regular_files_of_a_bounded_size_are_read() {
        let (dir, root) = root();
        let pipe = dir.path().join("package.json");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(root.read(Path::new("/package.json"), 100).is_err());
        fs::write(dir.path().join("large"), vec![b' '; 101]).unwrap();
        assert_eq!(
            root.read(Path::new("/large"), 100).unwrap_err().kind(),
            io::ErrorKind::FileTooLarge
        );
        assert_eq!(root.read(Path::new("/large"), 101).unwrap().len(), 101);
        assert!(root.read(Path::new("/"), 100).is_err());
    }

    #[test]
    fn the_walk_without_openat2_follows_no_link() {
        let (dir, root) = root();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/file"), "x").unwrap();
        symlink("b", dir.path().join("a/link")).unwrap();
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        assert!(root.walk(Path::new("/a/b/file"), flags).is_ok());
        assert!(root.walk(Path::new("/a/link/file"), flags).is_err());
        assert!(root.walk(Path::new("/a/../a/b/file"), flags).is_err());
    }
}
