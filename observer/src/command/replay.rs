//! `observer replay`: reads a recording, steps a new engine with it, prints its findings as the recorded run did.

use std::path::PathBuf;

use anyhow::bail;
use observer_core::Engine;

use super::{
    Exit,
    explain::unknown,
    format::{Format, with_formats},
    replay_csv,
};
use crate::{
    config::OutputFormat,
    export::line::Lines,
    record::Recording,
    terminal::{self, Look, clean, say},
    view::history::History,
};

/// Arguments of `observer replay`.
#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    /// The recording, as `observer run --record FILE` wrote it; or one's own history, with --format
    file: PathBuf,
    /// What the file is
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// How findings of one's own history are written
    #[arg(long, value_enum, default_value_t)]
    format_out: crate::history::Output,
    /// Factor on every duration of detection [default: by the distance between samples, 1 from 10 s upward]
    #[arg(long)]
    time_scale: Option<f64>,
    /// Lines for people, or JSON; auto asks whether standard output is a terminal
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// Draw the memory of this service, its ceiling and its ends, instead of printing findings
    #[arg(long, value_name = "SERVICE", conflicts_with = "output")]
    chart: Option<String>,
}

/// [`OutputFormat`] as an argument.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Output {
    #[default]
    Auto,
    Human,
    Json,
}

pub(super) fn replay(args: &ReplayArgs) -> anyhow::Result<Exit> {
    if args.format != Format::Recording {
        return replay_csv::replay(&args.file, args.format, args.format_out, args.time_scale);
    }
    let lines = Lines::new(match args.output {
        Output::Auto => OutputFormat::Auto,
        Output::Human => OutputFormat::Human,
        Output::Json => OutputFormat::Json,
    });
    let mut recording = Recording::open(&args.file).map_err(with_formats)?;
    let mut engine = Engine::new();
    let mut history = History::default();
    for input in recording.by_ref() {
        // Requests are thrown away: their answers are in the recording.
        let findings = engine.step(&input).findings;
        if let Some(service) = &args.chart {
            history.take(service, &engine, &input, &findings);
            continue;
        }
        for finding in findings {
            lines.of(&finding).print()?;
        }
    }
    if let Some(service) = &args.chart {
        if !history.services.contains(service) {
            let others: Vec<String> = history.services.into_iter().collect();
            bail!("{}", unknown(service, &others));
        }
        if history.levels.is_empty() {
            bail!("no level of {} was recorded", clean::name(service));
        }
        terminal::print(history.sawtooth().text(Look::of_stdout()))?;
    }
    let damage = recording.damage();
    if damage.lines > 0 {
        say(format_args!(
            "{}: {} damaged lines were skipped",
            args.file.display(),
            damage.lines
        ));
    }
    if damage.torn {
        say(format_args!(
            "{}: its end is torn; the agent was killed, or still writes it",
            args.file.display()
        ));
    }
    Ok(Exit::Success)
}
