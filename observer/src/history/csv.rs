//! `--format csv`: reads rows of `series,t,anon,file,limit,cpu,run,end,version,kind,heap_limit`, produces findings.
//!
//! Columns are found by name, in any order; unknown ones are ignored. The file is read once, front to back, and nothing
//! of it is kept.

use std::{cell::Cell, path::Path};

use csv::ByteRecord;
use observer_core::{
    detect::replay::{Replay, Row},
    exit::Cause,
};

use super::{HistoryError, HistorySink, Progress, Source, Summary};

/// Where each column is; `None` where the file has none.
#[derive(Clone, Debug)]
struct Columns {
    series: usize,
    t: usize,
    anon: usize,
    file: Option<usize>,
    limit: Option<usize>,
    cpu: Option<usize>,
    run: Option<usize>,
    end: Option<usize>,
    version: Option<usize>,
    kind: Option<usize>,
    heap_limit: Option<usize>,
    /// Fields that stand for no number and were taken as not told.
    untold: Cell<u64>,
}

/// What exporters write where there is no number, or no limit.
const NO_NUMBER: [&str; 10] = [
    "nan",
    "inf",
    "+inf",
    "-inf",
    "infinity",
    "none",
    "null",
    "max",
    "unlimited",
    "-",
];

impl Columns {
    fn of(header: &ByteRecord, file: &Path) -> Result<Self, HistoryError> {
        let find = |name: &str| {
            header.iter().position(|column| {
                let column = column.strip_prefix(b"\xef\xbb\xbf").unwrap_or(column);
                column.trim_ascii().eq_ignore_ascii_case(name.as_bytes())
            })
        };
        let need = |name: &'static str| {
            find(name).ok_or_else(|| HistoryError::Column {
                file: file.to_owned(),
                column: name,
            })
        };
        Ok(Self {
            series: need("series")?,
            t: need("t")?,
            anon: need("anon")?,
            file: find("file"),
            limit: find("limit"),
            cpu: find("cpu"),
            run: find("run"),
            end: find("end"),
            version: find("version"),
            kind: find("kind"),
            heap_limit: find("heap_limit"),
            untold: Cell::new(0),
        })
    }

    fn row<'a>(&self, record: &'a ByteRecord) -> Result<Row<'a>, String> {
        let field = |at: usize| record.get(at).unwrap_or_default().trim_ascii();
        let filled = |at: Option<usize>| at.map(field).filter(|bytes| !bytes.is_empty());
        let needed = |at: usize, name: &str| {
            let bytes = field(at);
            number(bytes).ok_or_else(|| format!("{name} is not a number: {:?}", String::from_utf8_lossy(bytes)))
        };
        let optional = |at: Option<usize>, name: &str| match filled(at) {
            None => Ok(None),
            Some(bytes) => match number(bytes) {
                None if NO_NUMBER.iter().any(|none| bytes.eq_ignore_ascii_case(none.as_bytes())) => {
                    self.untold.set(self.untold.get() + 1);
                    Ok(None)
                }
                None => Err(format!("{name} is not a number: {:?}", String::from_utf8_lossy(bytes))),
                found => Ok(found),
            },
        };
        let text = |at: Option<usize>| filled(at).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let series = std::str::from_utf8(field(self.series)).map_err(|_| "series is not UTF-8".to_owned())?;
        if series.is_empty() {
            return Err("series is empty".to_owned());
        }
        let t = needed(self.t, "t")?;
        let anon = needed(self.anon, "anon")?;
        if t < 0.0 || anon < 0.0 {
            return Err(format!("t and anon must not be negative: {t}, {anon}"));
        }
        let end = match filled(self.end) {
            None => None,
            Some(name) => Some(
                std::str::from_utf8(name)
                    .ok()
                    .and_then(Cause::from_name)
                    .ok_or_else(|| format!("end is not an exit cause: {:?}", String::from_utf8_lossy(name)))?,
            ),
        };
        let run = optional(self.run, "run")?.map(|run| run as i64 as u64);
        Ok(Row {
            series,
            t,
            anon,
            file: optional(self.file, "file")?,
            limit: optional(self.limit, "limit")?,
            cpu: optional(self.cpu, "cpu")?,
            run,
            end,
            version: text(self.version),
            kind: text(self.kind),
            heap_limit: optional(self.heap_limit, "heap_limit")?,
        })
    }
}

/// A finite number. Most are whole numbers of bytes, for which this is several times the speed of the general way.
fn number(bytes: &[u8]) -> Option<f64> {
    if !bytes.is_empty() && bytes.len() <= 15 && bytes.iter().all(u8::is_ascii_digit) {
        let whole = bytes
            .iter()
            .fold(0u64, |whole, digit| whole * 10 + u64::from(digit - b'0'));
        return Some(whole as f64);
    }
    let value: f64 = std::str::from_utf8(bytes).ok()?.parse().ok()?;
    value.is_finite().then_some(value)
}

/// Reads the history in `file` for one who listens to its rows and to what is said of them.
pub fn read(file: &Path, time_scale: Option<f64>, ear: &mut dyn HistorySink) -> Result<Summary, HistoryError> {
    let source = Source::open(file)?;
    let mut progress = Progress::of(&source);
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .buffer_capacity(1 << 18)
        .from_reader(source.inner);
    let failed = |error: csv::Error| HistoryError::Read {
        file: file.to_owned(),
        source: error.into(),
    };
    let columns = Columns::of(reader.byte_headers().map_err(failed)?, file)?;
    let mut replay = Replay::new(time_scale);
    let mut summary = Summary::default();
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(failed)? {
        match columns.row(&record) {
            Ok(row) => {
                ear.row(&row);
                replay.row(&row, &mut |series, said| ear.said(series, said));
                ear.judged(&row, &replay);
                summary.rows += 1;
                if summary.rows.is_multiple_of(1 << 16) {
                    progress.tick(summary.rows);
                }
            }
            Err(why) => summary.malformed(record.position().map_or(0, csv::Position::line), why),
        }
    }
    replay.finish(&mut |series, said| ear.said(series, said));
    summary.untold = columns.untold.get();
    summary.close(&replay);
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::history::{Output, replay};

    fn judged(text: &str) -> (String, Summary) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut out = Vec::new();
        let summary = replay(read, file.path(), Output::Json, None, &mut out).unwrap();
        (String::from_utf8(out).unwrap(), summary)
    }

    /// Six hours from 64 to 512 MB, twice, and a flat one beside it; columns in an odd order, one unknown.
    fn incident() -> String {
        let mut text = String::from("\u{feff}t,Series,colour,anon,limit,end,run\n");
        for i in 0..720u64 {
            let level = 64_000_000 + (i % 360) * 1_246_000;
            let end = if i % 360 == 359 { "kernel_oom" } else { "" };
            text += &format!(
                "{}.5,leaky,red,{level},512000000,{end},{}\n",
                1_700_000_000 + i * 60,
                i / 360
            );
            text += &format!("{}.5,flat,red,64000000.0,512000000,,0\n", 1_700_000_000 + i * 60);
        }
        text
    }

    #[test]
    fn the_incident_in_csv() {
        let (out, summary) = judged(&incident());
        let lines: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let states: Vec<_> = lines.iter().map(|line| line["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["suspected", "likely", "confirmed"]);
        assert_eq!(lines[1]["event"], "memory.leak_likely");
        assert_eq!(lines[1]["series"], "leaky");
        let left = 1_700_000_000.5 + 21_600.0 - lines[1]["t"].as_f64().unwrap();
        let foretold = lines[1]["time_to_ceiling_s"]["p50"].as_f64().unwrap();
        assert!(
            left >= 7_200.0 && (foretold / left - 1.0).abs() < 0.1,
            "{foretold} for {left}"
        );
        assert_eq!((summary.rows, summary.series, summary.malformed), (1_440, 2, 0));
    }

    #[test]
    fn malformed_rows_are_named_by_line_and_the_rest_is_judged() {
        let mut lines: Vec<String> = incident().lines().map(str::to_owned).collect();
        lines.insert(10, "x,leaky,red,1,2,,0".to_owned());
        lines.insert(20, "1700000100,leaky,red,NaN,2,,0".to_owned());
        lines.insert(30, "1700000100,leaky,red,5,2,vanished,0".to_owned());
        lines.insert(40, "short".to_owned());
        let (out, summary) = judged(&(lines.join("\n") + "\n"));
        assert_eq!(out.lines().count(), 3);
        assert_eq!(summary.malformed, 4);
        assert!(
            summary.named[0].starts_with("line 11: t is not a number"),
            "{:?}",
            summary.named
        );
        assert!(summary.named[2].contains("vanished"));
    }

    /// Names with commas, quotes and spaces, lines that end as on Windows, limits that are none: taken as they are.
    #[test]
    fn odd_names_and_limits_that_are_none() {
        let odd = |limit: &str| {
            let rows: Vec<String> = incident()
                .replace("\u{feff}", "")
                .replace("leaky", "\"a, \"\"b\"\" / \u{e9}\u{fc}\"")
                .replace("512000000", limit)
                .lines()
                .map(str::to_owned)
                .collect();
            judged(&(rows.join("\r\n") + "\r\n"))
        };
        let (out, summary) = odd("512000000");
        let line: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
        assert_eq!(
            (line["series"].as_str(), line["state"].as_str()),
            (Some("a, \"b\" / \u{e9}\u{fc}"), Some("confirmed"))
        );
        assert_eq!((summary.malformed, summary.untold), (0, 0));
        for limit in ["inf", "max", "NaN"] {
            let (out, summary) = odd(limit);
            // Two deaths alike need no limit.
            assert!(out.lines().last().unwrap().contains("confirmed"), "{limit}: {out}");
            assert_eq!((summary.malformed, summary.untold), (0, 1_440));
            assert!(
                summary.notices().last().unwrap().contains("1440 fields"),
                "{:?}",
                summary.notices()
            );
        }
    }

    #[test]
    fn gzip_and_plain_give_the_same() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut packed =
            flate2::write::GzEncoder::new(std::fs::File::create(file.path()).unwrap(), flate2::Compression::fast());
        packed.write_all(incident().as_bytes()).unwrap();
        packed.finish().unwrap();
        let mut out = Vec::new();
        replay(read, file.path(), Output::Json, None, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), judged(&incident()).0);
    }

    #[test]
    fn a_file_without_the_columns_says_which() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "series,time,anon\n").unwrap();
        let error = replay(read, file.path(), Output::Json, None, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("no column \"t\""), "{error}");
    }
}
