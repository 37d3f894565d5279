//! One's own history judged: reads a file a metrics store gave, produces findings, one line each.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub mod csv;
pub mod line;
pub mod prometheus;

pub use line::Output;

use observer_core::detect::replay::{Refused, Replay, Row, Said};

use crate::terminal;

/// Malformed rows that are named one by one; the rest is counted.
const NAMED: u64 = 1_000;

/// Why a history could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file.
    #[error("cannot read {}: {source}", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The header line.
    #[error("{}: the header has no column {column:?}; it needs series, t and anon, and may have file, limit, cpu, run, end, version, kind, heap_limit", file.display())]
    Column {
        /// Which file.
        file: PathBuf,
        /// Which column.
        column: &'static str,
    },
    /// The whole file.
    #[error("{} is not what a Prometheus range query answers: {why}; save the body of /api/v1/query_range (one or several, one after another)", file.display())]
    Prometheus {
        /// Which file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// Writing the findings.
    #[error("cannot write findings: {0}")]
    Write(#[source] io::Error),
}

/// What was read, and what was not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows taken.
    pub rows: u64,
    /// Series.
    pub series: u64,
    /// Findings.
    pub findings: u64,
    /// Rows that could not be understood.
    pub malformed: u64,
    /// The first of them: line and why.
    pub named: Vec<String>,
    /// Fields of rows taken that stand for no number (`inf`, `NaN`, `max`): taken as not told.
    pub untold: u64,
    /// Rows that were not taken (duplicates, time running backwards), or in which something was taken as not told.
    pub refused: Refused,
}

impl Summary {
    fn malformed(&mut self, line: u64, why: impl std::fmt::Display) {
        self.malformed += 1;
        if self.malformed <= NAMED {
            self.named.push(format!("line {line}: {why}"));
        }
    }

    fn close(&mut self, replay: &Replay) {
        self.refused = replay.refused();
        self.series = replay.series() as u64;
    }

    /// What a person must know of it, a sentence a line.
    pub fn notices(&self) -> Vec<String> {
        let mut notices = self.named.clone();
        if self.malformed > NAMED {
            notices.push(format!("and {} more malformed rows", self.malformed - NAMED));
        }
        let Refused {
            duplicates,
            backwards,
            limits,
            shrunk,
        } = self.refused;
        let mut total = format!(
            "{} rows of {} series, {} findings; {} rows malformed",
            self.rows, self.series, self.findings, self.malformed
        );
        if duplicates + backwards > 0 {
            total += &format!(", {duplicates} twice, {backwards} out of order");
        }
        if self.untold > 0 {
            total += &format!(", {} fields without a number taken as not told", self.untold);
        }
        if limits > 0 {
            total += &format!(", {limits} limits of 0 or beyond any host taken as none");
        }
        if shrunk > 0 {
            total += &format!(", {shrunk} loads below 0 taken as 0");
        }
        notices.push(total);
        notices
    }
}

/// Who listens to a history that is judged.
pub trait HistorySink {
    /// A row, before it is judged.
    fn row(&mut self, _row: &Row<'_>) {}

    /// The same, after it was judged.
    fn judged(&mut self, _row: &Row<'_>, _replay: &Replay) {}

    /// What is said of a series.
    fn said(&mut self, series: &str, said: Said<'_>);
}

/// Writes what is said, one line each.
struct Written<'a> {
    out: &'a mut dyn Write,
    output: Output,
    findings: u64,
    result: io::Result<()>,
}

impl HistorySink for Written<'_> {
    fn said(&mut self, series: &str, said: Said<'_>) {
        self.findings += 1;
        if self.result.is_ok() {
            self.result = self.out.write_all(line::of(series, said, self.output).as_bytes());
        }
    }
}

/// Reads a history of one format: its file and a time scale, for one who listens.
pub type Reader = fn(&Path, Option<f64>, &mut dyn HistorySink) -> Result<Summary, HistoryError>;

/// Judges the history in `file`; findings go to `out`.
pub fn replay(
    read: Reader,
    file: &Path,
    output: Output,
    time_scale: Option<f64>,
    out: &mut dyn Write,
) -> Result<Summary, HistoryError> {
    let mut written = Written {
        out,
        output,
        findings: 0,
        result: Ok(()),
    };
    let mut summary = read(file, time_scale, &mut written)?;
    let Written {
        out, findings, result, ..
    } = written;
    result.and_then(|()| out.flush()).map_err(HistoryError::Write)?;
    summary.findings = findings;
    Ok(summary)
}

/// A file with its progress, unpacked where its first bytes say it is gzip.
struct Source {
    inner: Box<dyn Read>,
    read: Arc<AtomicU64>,
    size: u64,
}

struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Source {
    fn open(path: &Path) -> Result<Self, HistoryError> {
        let failed = |source| HistoryError::Read {
            file: path.to_owned(),
            source,
        };
        let mut file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let mut magic = [0; 2];
        let mut got = 0;
        while let Some(rest) = magic.get_mut(got..).filter(|rest| !rest.is_empty()) {
            match file.read(rest).map_err(failed)? {
                0 => break,
                count => got += count,
            }
        }
        let read = Arc::new(AtomicU64::new(0));
        // A pipe cannot be rewound: what was looked at is put in front again.
        let head = io::Cursor::new(magic.get(..got).unwrap_or_default().to_vec());
        let counted = Counted {
            inner: head.chain(file),
            read: Arc::clone(&read),
        };
        let inner: Box<dyn Read> = if magic == [0x1f, 0x8b] {
            Box::new(flate2::read::MultiGzDecoder::new(io::BufReader::with_capacity(
                1 << 17,
                counted,
            )))
        } else {
            Box::new(counted)
        };
        Ok(Self { inner, read, size })
    }
}

/// Says how far a long file has been read, on a terminal's standard error, about once a second.
struct Progress {
    read: Arc<AtomicU64>,
    size: u64,
    started: Instant,
    said: Instant,
    shown: bool,
}

impl Progress {
    fn of(source: &Source) -> Self {
        let now = Instant::now();
        Self {
            read: Arc::clone(&source.read),
            size: source.size,
            started: now,
            said: now,
            shown: false,
        }
    }

    fn tick(&mut self, rows: u64) {
        if self.said.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.said = Instant::now();
        self.shown = true;
        let read = self.read.load(Ordering::Relaxed);
        let share = read as f64 / self.size.max(1) as f64;
        let left = self.started.elapsed().as_secs_f64() * (1.0 / share.max(1e-6) - 1.0);
        terminal::progress(format_args!("{:3.0} %, {rows} rows, {left:.0} s left", share * 100.0));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            terminal::progress_done();
        }
    }
}
