//! What a file is that findings are made from: an argument of several commands.

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
