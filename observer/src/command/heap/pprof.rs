//! Reads what grew and where it hangs, produces a profile that pprof, Pyroscope, Grafana and speedscope open: what holds is the
//! caller of what it holds, as in goref's profiles of heaps of Go.
//!
//! The form is pprof's (github.com/google/pprof, proto/profile.proto), written by `prost` and packed by gzip.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::time::SystemTime;

use flate2::{Compression, write::GzEncoder};
use observer_heap::Row;
use prost::Message;

use super::difference::Difference;
use crate::terminal::clean;

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    /// Index into the table of strings.
    #[prost(int64, tag = "14")]
    default_sample_type: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    /// The innermost first.
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

/// A profile while it is put together.
#[derive(Default)]
struct Draft {
    profile: Profile,
    strings: BTreeMap<String, i64>,
    /// Locations by name, file and line.
    locations: BTreeMap<(i64, i64, i64), u64>,
}

impl Draft {
    fn string(&mut self, text: &str) -> i64 {
        // A service may call things anything; who prints a profile does not expect that.
        let text = clean::name(text).into_owned();
        let next = self.profile.string_table.len() as i64;
        let index = *self.strings.entry(text.clone()).or_insert(next);
        if index == next {
            self.profile.string_table.push(text);
        }
        index
    }

    /// What is shown as a function: functions and locations have the same numbers.
    fn location(&mut self, name: &str, file: &str, line: i64) -> u64 {
        let (name, filename) = (self.string(name), self.string(file));
        let next = self.profile.location.len() as u64 + 1;
        let id = *self.locations.entry((name, filename, line)).or_insert(next);
        if id == next {
            self.profile.function.push(Function {
                id,
                name,
                system_name: name,
                filename,
            });
            self.profile.location.push(Location {
                id,
                line: vec![Line { function_id: id, line }],
            });
        }
        id
    }

    fn row(&mut self, row: &Row) -> u64 {
        let line = row.line.map_or(0, i64::from);
        self.location(&row.title(), row.file.as_deref().unwrap_or_default(), line)
    }

    fn sample(&mut self, location_id: Vec<u64>, objects: u64, bytes: u64) {
        let value = [objects, bytes]
            .map(|value| i64::try_from(value).unwrap_or(i64::MAX))
            .to_vec();
        self.profile.sample.push(Sample { location_id, value });
    }
}

/// The growth by where it hangs; what hangs nowhere that was found is told by its name alone.
fn profile(difference: &Difference<'_>) -> Profile {
    let mut draft = Draft::default();
    draft.string("");
    for (kind, unit) in [("inuse_objects", "count"), ("inuse_space", "bytes")] {
        let (kind, unit) = (draft.string(kind), draft.string(unit));
        draft.profile.sample_type.push(ValueType { kind, unit });
        draft.profile.default_sample_type = kind;
    }
    for suspect in difference.suspects {
        let mut stack = vec![draft.row(&suspect.content)];
        for step in suspect.path.iter().rev() {
            let file = step.split_once(" in ").map_or("", |(_, file)| file);
            stack.push(draft.location(step, file, 0));
        }
        draft.sample(stack, suspect.new, suspect.grown);
    }
    let placed: u64 = difference.suspects.iter().map(|suspect| suspect.grown).sum();
    let elsewhere = difference.growth.bytes.saturating_sub(placed);
    if elsewhere > 0 {
        let location = draft.location("(elsewhere)", "", 0);
        draft.sample(vec![location], 0, elsewhere);
    }
    draft.profile.duration_nanos = i64::try_from(difference.apart.as_nanos()).unwrap_or(i64::MAX);
    draft.profile
}

/// Writes the growth as a profile.
pub(super) fn write(mut file: File, difference: &Difference<'_>) -> io::Result<()> {
    let mut profile = profile(difference);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    profile.time_nanos = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&profile.encode_to_vec())?;
    file.write_all(&packed.finish()?)
}
