//! `observer replay --format csv|prometheus`: reads one's own history, prints what would have been found in it.

use std::{
    io::{self, BufWriter},
    path::Path,
};

use super::{Exit, format::Format};
use crate::{
    history::{self, HistoryError},
    terminal::{self, say},
};

pub(super) fn replay(
    file: &Path,
    format: Format,
    output: history::Output,
    time_scale: Option<f64>,
) -> anyhow::Result<Exit> {
    let mut out = BufWriter::with_capacity(1 << 16, terminal::stdout());
    let read = match format {
        Format::Prometheus => history::prometheus::read,
        Format::Csv | Format::Recording => history::csv::read,
    };
    let summary = match history::replay(read, file, output, time_scale, &mut out) {
        // The reader has seen enough (`observer replay FILE | head`).
        Err(HistoryError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Success),
        other => other?,
    };
    for notice in summary.notices() {
        say(notice);
    }
    Ok(Exit::Success)
}
