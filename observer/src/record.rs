//! Recordings: writes the engine's Inputs to a file as they are stepped, reads them back for a replay.
//!
//! One JSON object per line, gzipped where the name ends in `.gz`. The first line is always [`observer_core::What::Begin`], which
//! carries the number of the layout. An agent that was killed leaves a torn tail: what can be read is replayed,
//! and the rest is counted.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, bufread::MultiGzDecoder, write::GzEncoder};
use observer_core::{Input, recording::LAYOUT};
use serde_json::Value;

use crate::layout::{self, LayoutError};

/// Longest line accepted when reading, bytes: an Input is some hundred bytes, at most some tens of thousands.
const LONGEST_LINE: u64 = 16 << 20;

/// What can go wrong with a recording.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file could not be made.
    #[error("cannot create the recording {path}: {error}; name a path in a writable directory")]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file could not be opened.
    #[error("cannot open the recording {path}: {error}{}", if error.kind() == io::ErrorKind::NotFound { "; `observer run --record FILE` writes one" } else { "" })]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Writing failed in the middle: the recording ends there.
    #[error("the recording {path} ends here, writing it failed: {error}; observation goes on")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It does not start as a recording does.
    #[error("{path} is not a recording: {reason}")]
    NotARecording {
        /// The file.
        path: PathBuf,
        /// What was there instead.
        reason: String,
    },
    /// Its layout cannot be read.
    #[error("{path} cannot be replayed: {error}")]
    Layout {
        /// The file.
        path: PathBuf,
        /// Why.
        error: LayoutError,
    },
}

enum Sink {
    Plain(BufWriter<File>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
}

/// Writes a recording.
pub struct Recorder {
    path: PathBuf,
    sink: Sink,
}

impl Recorder {
    /// Creates the file, or empties the one that is there.
    pub fn create(path: &Path) -> Result<Self, RecordError> {
        let file = File::create(path).map_err(|error| RecordError::Create {
            path: path.to_owned(),
            error,
        })?;
        let writer = BufWriter::with_capacity(64 << 10, file);
        let sink = if gzipped(path) {
            Sink::Gzip(Box::new(GzEncoder::new(writer, Compression::fast())))
        } else {
            Sink::Plain(writer)
        };
        Ok(Self {
            path: path.to_owned(),
            sink,
        })
    }

    /// Appends one Input.
    pub fn write(&mut self, input: &Input) -> Result<(), RecordError> {
        let Self { path, sink } = self;
        let written = match sink {
            Sink::Plain(writer) => line(writer, input),
            Sink::Gzip(writer) => line(writer, input),
        };
        written.map_err(|error| RecordError::Write {
            path: path.clone(),
            error,
        })
    }

    /// Brings what was written to the file, so that a killed agent loses little of it.
    pub fn flush(&mut self) -> Result<(), RecordError> {
        let Self { path, sink } = self;
        match sink {
            Sink::Plain(writer) => writer.flush(),
            Sink::Gzip(writer) => writer.flush(),
        }
        .map_err(|error| RecordError::Write {
            path: path.clone(),
            error,
        })
    }

    /// Ends the file properly.
    pub fn finish(self) -> Result<(), RecordError> {
        let Self { path, sink } = self;
        match sink {
            Sink::Plain(mut writer) => writer.flush(),
            Sink::Gzip(writer) => writer.finish().and_then(|mut writer| writer.flush()),
        }
        .map_err(|error| RecordError::Write { path, error })
    }
}

fn line(writer: &mut impl Write, input: &Input) -> io::Result<()> {
    serde_json::to_writer(&mut *writer, input)?;
    writer.write_all(b"\n")
}

fn gzipped(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("gz"))
}

/// What could not be read of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Lines that hold no Input.
    pub lines: u64,
    /// The file ends in the middle of a line or of the compressed stream.
    pub torn: bool,
}

/// Reads a recording, Input by Input.
pub struct Recording {
    reader: Box<dyn BufRead>,
    line: Vec<u8>,
    first: Option<Input>,
    /// The layout it was written in.
    layout: u32,
    damage: Damage,
}

impl Recording {
    /// Opens a file and checks its first line.
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        let file = File::open(path).map_err(|error| RecordError::Open {
            path: path.to_owned(),
            error,
        })?;
        let mut plain = BufReader::with_capacity(64 << 10, file);
        // The content decides, not the name: files get renamed.
        let magic = plain.fill_buf().map_err(|error| RecordError::Open {
            path: path.to_owned(),
            error,
        })?;
        let reader: Box<dyn BufRead> = if magic.starts_with(&[0x1f, 0x8b]) {
            Box::new(BufReader::new(MultiGzDecoder::new(plain)))
        } else {
            Box::new(plain)
        };
        let mut recording = Self {
            reader,
            line: Vec::new(),
            first: None,
            layout: LAYOUT,
            damage: Damage::default(),
        };
        let not = |reason: &str| RecordError::NotARecording {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        let unreadable = || not("its first line cannot be read as an Input");
        if !recording.next_line() {
            return Err(unreadable());
        }
        let head: Value = serde_json::from_slice(&recording.line).map_err(|_| unreadable())?;
        let Some(begin) = head.pointer("/what/begin") else {
            return Err(not("its first Input is not `begin`"));
        };
        let found = begin["format"].as_u64().and_then(|found| u32::try_from(found).ok());
        recording.layout = found.unwrap_or(0);
        layout::check(recording.layout, begin["agent"].as_str().unwrap_or_default()).map_err(|error| {
            RecordError::Layout {
                path: path.to_owned(),
                error,
            }
        })?;
        let first = recording.parse().map_err(|_| unreadable())?;
        recording.first = Some(first);
        Ok(recording)
    }

    /// What could not be read so far.
    pub const fn damage(&self) -> Damage {
        self.damage
    }

    /// Reads a line; false at the end.
    fn next_line(&mut self) -> bool {
        self.line.clear();
        let read = (&mut self.reader).take(LONGEST_LINE).read_until(b'\n', &mut self.line);
        if read.is_err() {
            // A cut gzip stream. What was decoded of the last line has no end.
            self.damage.torn = true;
            return false;
        }
        !self.line.is_empty()
    }

    /// The Input on the line read last.
    fn parse(&self) -> serde_json::Result<Input> {
        if self.layout == LAYOUT {
            return serde_json::from_slice(&self.line);
        }
        let mut value = serde_json::from_slice(&self.line)?;
        layout::upgrade_input(&mut value, self.layout);
        serde_json::from_value(value)
    }

    fn next_input(&mut self) -> Option<Input> {
        while self.next_line() {
            let whole = self.line.last() == Some(&b'\n');
            match self.parse() {
                Ok(input) => return Some(input),
                Err(_) if whole => self.damage.lines += 1,
                Err(_) if self.line.len() as u64 == LONGEST_LINE => self.damage.lines += 1,
                Err(_) => {
                    self.damage.torn = true;
                    return None;
                }
            }
        }
        None
    }
}

impl Iterator for Recording {
    type Item = Input;

    fn next(&mut self) -> Option<Input> {
        self.first.take().or_else(|| self.next_input())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use observer_core::{
        What,
        input::{Begin, Settings},
        time::{Anchor, BootTime},
    };

    use super::*;

    fn begin() -> Input {
        Input {
            at: BootTime(1),
            what: What::Begin(Box::new(Begin {
                format: LAYOUT,
                agent: "0.1.0".into(),
                boot_id: "b".into(),
                host: "h".into(),
                clock: Anchor::default(),
                sample_interval_s: 0.1 + 0.2,
                host_memory: 1 << 34,
                cgroup_version: 2,
                settings: Settings::default(),
            })),
        }
    }

    fn inputs() -> Vec<Input> {
        std::iter::once(begin())
            .chain((0..500).map(|i| Input {
                at: BootTime(u64::MAX - i),
                what: What::Tick,
            }))
            .collect()
    }

    fn written(name: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        let mut recorder = Recorder::create(&path).unwrap();
        for input in inputs() {
            recorder.write(&input).unwrap();
        }
        recorder.finish().unwrap();
        (directory, path)
    }

    #[test]
    fn reads_back_what_was_written() {
        for name in ["r.jsonl", "r.jsonl.gz"] {
            let (_directory, path) = written(name);
            let mut recording = Recording::open(&path).unwrap();
            assert_eq!(recording.by_ref().collect::<Vec<_>>(), inputs(), "{name}");
            assert_eq!(recording.damage(), Damage::default());
        }
    }

    #[test]
    fn a_torn_tail_is_counted_wherever_it_is_cut() {
        for name in ["r.jsonl", "r.jsonl.gz"] {
            let (_directory, path) = written(name);
            let bytes = fs::read(&path).unwrap();
            for cut in (bytes.len() / 2..bytes.len() - 1).step_by(37) {
                fs::write(&path, &bytes[..cut]).unwrap();
                let mut recording = Recording::open(&path).unwrap();
                let read: Vec<Input> = recording.by_ref().collect();
                assert_eq!(read, inputs()[..read.len()]);
                let at_line_end = name == "r.jsonl" && bytes[cut - 1] == b'\n';
                let complete_line = name == "r.jsonl" && bytes[cut] == b'\n';
                assert_eq!(
                    recording.damage().torn,
                    !at_line_end && !complete_line,
                    "{name} cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn a_damaged_line_is_skipped_and_counted() {
        let (_directory, path) = written("r.jsonl");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen("\"tick\"", "\"tock\"", 3)).unwrap();
        let mut recording = Recording::open(&path).unwrap();
        assert_eq!(recording.by_ref().count(), inputs().len() - 3);
        assert_eq!(recording.damage(), Damage { lines: 3, torn: false });
    }

    #[test]
    fn refuses_what_is_no_recording() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        for content in ["", "hello\n", "{\"at\":1,\"what\":\"tick\"}\n"] {
            fs::write(&path, content).unwrap();
            assert!(
                matches!(Recording::open(&path), Err(RecordError::NotARecording { .. })),
                "{content}"
            );
        }
        let other = serde_json::to_string(&begin())
            .unwrap()
            .replace(&format!("\"format\":{LAYOUT}"), "\"format\":99");
        fs::write(&path, other + "\n").unwrap();
        assert!(matches!(
            Recording::open(&path),
            Err(RecordError::Layout {
                error: LayoutError::Newer { found: 99, .. },
                ..
            })
        ));
    }
}
