//! What a file is that findings are made from: an argument of several commands, and what is said where it is something else.

use anyhow::anyhow;

use crate::record::RecordError;

/// What is replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// What `observer run --record` wrote
    #[default]
    Recording,
    /// Rows of series,t,anon,file,limit,cpu,run,end,version,kind,heap_limit; gzip too
    Csv,
    /// Answers of Prometheus range queries
    Prometheus,
}

/// Why a recording cannot be read, with the formats that it may be instead.
pub(super) fn with_formats(error: RecordError) -> anyhow::Error {
    let hint = match &error {
        RecordError::NotARecording { .. } => "; --format csv or --format prometheus reads one's own history",
        _ => "",
    };
    anyhow!("{error}{hint}")
}
