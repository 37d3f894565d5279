//! What a reading may cost: reads the host's memory situation, produces a reason to wait; slows reading down to a
//! bandwidth.

use std::{
    cell::Cell,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use observer_heap::{Generated, Memory, MemoryError, Original, Region};

/// Memory that must be available on the host, bytes, and as a share of all of it, in percent.
const AVAILABLE: u64 = 256 << 20;
const AVAILABLE_PERCENT: u64 = 5;
/// Share of time in which some task waited for memory (PSI, 10 s average), percent, from which on nothing is read.
const PRESSURE: f64 = 10.0;
/// Sleeps shorter than this cost more than they save.
const SHORTEST: Duration = Duration::from_millis(2);

/// Why nothing should be read now.
pub(super) fn shortage(procfs: &Path) -> Option<String> {
    let read = |name: &str| fs::read_to_string(procfs.join(name)).unwrap_or_default();
    short_of(&read("meminfo"), &read("pressure/memory"))
}

fn short_of(meminfo: &str, pressure: &str) -> Option<String> {
    let field = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':')
            .trim()
            .strip_suffix("kB")?
            .trim()
            .parse::<u64>()
            .ok()
    };
    if let (Some(available), Some(total)) = (field("MemAvailable"), field("MemTotal")) {
        let least = (AVAILABLE >> 10).max(total / 100 * AVAILABLE_PERCENT);
        if available < least {
            return Some(format!(
                "the host is short of memory: {} MiB available, {} MiB are asked for",
                available >> 10,
                least >> 10
            ));
        }
    }
    // Documentation/accounting/psi.rst; absent where the kernel does not account for it.
    let some = pressure.lines().find_map(|line| line.strip_prefix("some avg10="))?;
    let some: f64 = some.split_ascii_whitespace().next()?.parse().ok()?;
    (some > PRESSURE).then(|| format!("tasks of the host wait for memory {some} % of the time"))
}

/// A memory that is read no faster than so many bytes a second.
pub(super) struct Paced<'m> {
    memory: &'m dyn Memory,
    bytes_per_second: u64,
    began: Instant,
    bytes: Cell<u64>,
}

impl<'m> Paced<'m> {
    pub(super) fn new(memory: &'m dyn Memory, bytes_per_second: u64) -> Self {
        Self {
            memory,
            bytes_per_second: bytes_per_second.max(1),
            began: Instant::now(),
            bytes: Cell::new(0),
        }
    }

    /// Bytes read so far.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes.get()
    }
}

impl Memory for Paced<'_> {
    fn regions(&self) -> Result<Vec<Region>, MemoryError> {
        self.memory.regions()
    }

    fn writable(&self) -> Result<Vec<Region>, MemoryError> {
        self.memory.writable()
    }

    fn unused(&self) -> Result<Vec<Region>, MemoryError> {
        self.memory.unused()
    }

    fn resident(&self, start: u64, pages: &mut [bool]) -> Result<(), MemoryError> {
        self.memory.resident(start, pages)
    }

    fn is_swapped(&self) -> bool {
        self.memory.is_swapped()
    }

    fn original(&self, generated: &Generated<'_>) -> Option<Original> {
        self.memory.original(generated)
    }

    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<usize, MemoryError> {
        let read = self.memory.read(address, buffer)?;
        self.bytes.set(self.bytes.get() + read as u64);
        let due = Duration::from_secs_f64(self.bytes.get() as f64 / self.bytes_per_second as f64);
        let ahead = due.saturating_sub(self.began.elapsed());
        if ahead >= SHORTEST {
            thread::sleep(ahead);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_short_of_memory_is_left_alone() {
        let plenty = "MemTotal:       24000000 kB\nMemFree: 1 kB\nMemAvailable:   20000000 kB\n";
        let scarce = "MemTotal:       24000000 kB\nMemAvailable:    1000000 kB\n";
        let calm = "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00";
        let tight = "some avg10=31.50 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00";
        assert_eq!(short_of(plenty, calm), None);
        assert_eq!(short_of(plenty, ""), None, "a kernel without PSI");
        assert!(
            short_of(scarce, calm)
                .unwrap()
                .contains("976 MiB available, 1171 MiB are asked for")
        );
        assert!(short_of(plenty, tight).unwrap().contains("31.5 %"));
    }

    #[test]
    fn reading_keeps_to_its_bandwidth() {
        let mut image = observer_heap::Image::default();
        let region = Region {
            start: 0x1000,
            end: 0x11000,
            executable: false,
        };
        image.insert(region, vec![1; 0x10000]);
        let paced = Paced::new(&image, 1 << 20);
        let began = Instant::now();
        let mut buffer = vec![0; 0x10000];
        for _ in 0..2 {
            paced.read(0x1000, &mut buffer).unwrap();
        }
        assert_eq!(paced.bytes(), 0x20000);
        assert!(
            began.elapsed() >= Duration::from_millis(125),
            "128 KiB at 1 MiB a second"
        );
    }
}
