//! Reads the memory and the executable of a live process, produces what `observer-heap` needs: present pages only,
//! nothing written.
//!
//! `process_vm_readv` copies without stopping the process. Touching a page that is absent would not be free for it (page
//! tables of its own account, pages brought back from swap), so `/proc/PID/pagemap` is asked first and absent pages are
//! left zero.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::{path::Path, thread, time::Duration};

use observer_heap::{
    Generated, Learned, Memory, MemoryError, Metadata, MetadataError, Original, Reader, Refusal, Region,
};

use super::{
    copied::{self, refused},
    pagemap::{MOST_PAGES, PAGE, Pagemap},
    rooted::Rooted,
    source_maps::SourceMaps,
};

/// Times a heap is opened before it is refused, and how long apart.
const ATTEMPTS: u32 = 6;
const APART: Duration = Duration::from_millis(250);

/// The memory of a live process.
pub struct LiveMemory {
    pid: u32,
    pagemap: Pagemap,
    copied: Cell<u64>,
    maps: SourceMaps,
}

impl LiveMemory {
    /// Opens the process's pagemap. Needs CAP_SYS_PTRACE for processes of others.
    pub fn open(pid: u32) -> Result<Self, MemoryError> {
        Ok(Self {
            pid,
            pagemap: Pagemap::of(pid).map_err(|e| refused(pid, "/proc/PID/pagemap", e))?,
            copied: Cell::new(0),
            maps: SourceMaps::of(pid),
        })
    }

    /// Reads source maps of so many bytes each at most.
    #[must_use]
    pub fn with_source_maps(mut self, most: u64) -> Self {
        self.maps.with_most(most);
        self
    }

    /// Bytes of the process's memory that were copied so far, those copied again among them.
    pub const fn copied(&self) -> u64 {
        self.copied.get()
    }

    /// Whether the process has ended, or its memory was freed.
    pub fn is_gone(&self) -> bool {
        matches!(self.regions(), Err(MemoryError::Gone(_)))
    }

    /// Which of the pages from `first` on are present.
    fn present(&self, first: u64, flags: &mut [bool]) -> Result<(), MemoryError> {
        match self.pagemap.present(first, flags) {
            Ok(0) if !is_there(self.pid) => Err(MemoryError::Gone(self.pid)),
            Ok(_) => Ok(()),
            Err(e) => Err(refused(self.pid, "/proc/PID/pagemap", e)),
        }
    }
}

impl Memory for LiveMemory {
    fn regions(&self) -> Result<Vec<Region>, MemoryError> {
        self.mapped(anonymous)
    }

    fn writable(&self) -> Result<Vec<Region>, MemoryError> {
        self.mapped(writable)
    }

    fn unused(&self) -> Result<Vec<Region>, MemoryError> {
        super::stacks::unused(self.pid).map_err(|e| refused(self.pid, "/proc/PID/task", e))
    }

    fn resident(&self, start: u64, pages: &mut [bool]) -> Result<(), MemoryError> {
        for (index, batch) in pages.chunks_mut(MOST_PAGES).enumerate() {
            self.present(start + (index * MOST_PAGES) as u64 * PAGE, batch)?;
        }
        Ok(())
    }

    fn is_swapped(&self) -> bool {
        self.pagemap.is_swapped()
    }

    fn original(&self, generated: &Generated<'_>) -> Option<Original> {
        self.maps.original(generated)
    }

    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<usize, MemoryError> {
        buffer.fill(0);
        let mut total = 0;
        let mut done = 0;
        while done < buffer.len() {
            let Some(at) = address.checked_add(done as u64).filter(|at| *at < 1 << 56) else {
                break;
            };
            let batch = (buffer.len() - done).min(MOST_PAGES * PAGE as usize - (at % PAGE) as usize);
            let mut flags = [false; MOST_PAGES];
            let pages = ((at % PAGE) as usize + batch).div_ceil(PAGE as usize);
            self.present(at, &mut flags[..pages])?;
            total += copied::runs(self.pid, at, &mut buffer[done..done + batch], &flags[..pages])?;
            done += batch;
        }
        self.copied.set(self.copied.get() + total as u64);
        Ok(total)
    }
}

impl LiveMemory {
    /// The mappings that `choose` makes regions of.
    fn mapped(&self, choose: fn(&str) -> Option<Region>) -> Result<Vec<Region>, MemoryError> {
        let maps =
            File::open(format!("/proc/{}/maps", self.pid)).map_err(|e| refused(self.pid, "/proc/PID/maps", e))?;
        let mut regions: Vec<Region> = Vec::new();
        let mut any = false;
        for line in BufReader::new(maps).lines() {
            let line = line.map_err(|e| refused(self.pid, "/proc/PID/maps", e))?;
            any = true;
            let Some(region) = choose(&line) else { continue };
            match regions.last_mut() {
                // A guard page or a change of permission splits what V8 reserved as one.
                Some(last) if last.end == region.start && last.executable == region.executable => last.end = region.end,
                _ => regions.push(region),
            }
        }
        // Nothing at all is mapped in a process whose memory the kernel has freed.
        if any {
            Ok(regions)
        } else {
            Err(MemoryError::Gone(self.pid))
        }
    }
}

/// Opens a heap. One that a collection is sweeping is looked at again after a moment: that takes it some tenths of a second.
/// What is `known` of the process is not learned anew.
pub fn open<'m>(memory: &'m dyn Memory, metadata: &Metadata, known: Option<&Learned>) -> Result<Reader<'m>, Refusal> {
    for _ in 1..ATTEMPTS {
        match Reader::open_knowing(memory, metadata, known) {
            Err(refusal) if refusal.may_pass() => thread::sleep(APART),
            opened => return opened,
        }
    }
    Reader::open_knowing(memory, metadata, known)
}

/// What the process's V8 publishes about itself: from its executable, or from the libnode it has mapped.
pub fn metadata(pid: u32) -> Result<Metadata, Refusal> {
    let exe = File::open(format!("/proc/{pid}/exe")).map_err(|e| match refused(pid, "/proc/PID/exe", e) {
        MemoryError::Gone(_) if is_there(pid) => MemoryError::NoProgram(pid),
        error => error,
    })?;
    match Metadata::of_file(exe) {
        Err(MetadataError::NotPublished) => {}
        parsed => return Ok(parsed?),
    }
    let maps = File::open(format!("/proc/{pid}/maps")).map_err(|e| refused(pid, "/proc/PID/maps", e))?;
    for line in BufReader::new(maps).lines() {
        let line = line.map_err(|e| refused(pid, "/proc/PID/maps", e))?;
        if let Some(path) = line.find('/').map(|at| &line[at..])
            && path
                .rsplit('/')
                .next()
                .is_some_and(|name| name.starts_with("libnode.so"))
        {
            // The path is that of the process's own root, which may be a container's; what lies there now is its author's choice.
            let library = Rooted::of_pid(pid).and_then(|root| root.open(path.as_ref()));
            let library = library.map_err(|e| refused(pid, "libnode.so", e))?;
            return Ok(Metadata::of_file(library)?);
        }
    }
    Err(MetadataError::NotPublished.into())
}

/// The region of a line of /proc/PID/maps, if it is readable, private and anonymous (also when named by prctl).
fn anonymous(line: &str) -> Option<Region> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let permissions = fields.next()?.as_bytes();
    let path = fields.nth(3).unwrap_or("");
    if permissions.first() != Some(&b'r')
        || permissions.get(3) != Some(&b'p')
        || !(path.is_empty() || path.starts_with("[anon:"))
    {
        return None;
    }
    Some(Region {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        executable: permissions.get(2) == Some(&b'x'),
    })
}

/// The region of a line of /proc/PID/maps, if it is private and can be written: with C's heap, stacks and programs' data.
fn writable(line: &str) -> Option<Region> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let permissions = fields.next()?.as_bytes();
    (permissions.starts_with(b"rw") && permissions.get(3) == Some(&b'p'))
        .then(|| {
            Some(Region {
                start: u64::from_str_radix(start, 16).ok()?,
                end: u64::from_str_radix(end, 16).ok()?,
                executable: false,
            })
        })
        .flatten()
}

/// Whether there is such a process, perhaps one that waits to be reaped.
fn is_there(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_private_anonymous_readable_lines_are_regions() {
        let region = |line| anonymous(line).map(|r| (r.start, r.end, r.executable));
        assert_eq!(
            region("10bb4a00000-10bb4a40000 rw-p 00000000 00:00 0 "),
            Some((0x10b_b4a0_0000, 0x10b_b4a4_0000, false))
        );
        assert_eq!(
            region("7f00-7f10 rwxp 00000000 00:00 0 [anon:v8]"),
            Some((0x7f00, 0x7f10, true))
        );
        assert_eq!(region("7f00-7f10 ---p 00000000 00:00 0"), None);
        assert_eq!(region("7f00-7f10 rw-p 00000000 00:00 0 [heap]"), None);
        assert_eq!(region("7f00-7f10 r--p 00000000 fe:00 12 /usr/bin/node"), None);
        assert_eq!(region("7f00-7f10 rw-s 00000000 00:00 0"), None);
    }

    #[test]
    fn this_process_reads_itself_and_absent_pages_stay_zero() {
        let memory = LiveMemory::open(std::process::id()).unwrap();
        let secret = [0x5a_u8; 9000];
        let mut out = [0; 9000];
        assert_eq!(memory.read(secret.as_ptr() as u64, &mut out).unwrap(), 9000);
        assert_eq!(out, secret);
        assert_eq!(memory.read(0x1000, &mut out).unwrap(), 0);
        assert_eq!(out, [0; 9000]);
    }

    #[test]
    fn a_process_that_waits_to_be_reaped_is_gone() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        while !state().contains(") Z ") {
            std::thread::yield_now();
        }
        let regions = LiveMemory::open(pid).and_then(|memory| memory.regions());
        child.wait().unwrap();
        assert!(matches!(regions, Err(MemoryError::Gone(p)) if p == pid), "{regions:?}");
    }

    #[test]
    fn a_dead_process_is_gone() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert!(matches!(LiveMemory::open(pid), Err(MemoryError::Gone(p)) if p == pid));
    }
}
