//! `cargo xtask bench detection`: reads the catalogue and its seeds, produces the table of docs/detection.md and
//! pictures of what was missed and of what was reported falsely.

mod judge;
mod peers;
mod picture;
mod score;
mod table;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use observer_tests::catalogue::{kinds, simulate, variety};

use self::score::{Outcome, by_kind, figures};

/// What to run.
#[derive(Args)]
pub(crate) struct Options {
    /// Which seeds: they do not overlap
    #[arg(long, value_enum, default_value_t = Set::Tuning)]
    set: Set,
    /// Series of each kind
    #[arg(long, default_value_t = 12)]
    seeds: u64,
    /// Only these kinds (L1, N22, ..)
    #[arg(long, value_delimiter = ',')]
    kind: Vec<String>,
    /// The catalogue as another author may have drawn it: other sizes, sampling, noise, and with less reported
    #[arg(long)]
    varied: bool,
    /// Say every verdict
    #[arg(long)]
    verbose: bool,
    /// Run the rules of others beside ours
    #[arg(long)]
    peers: bool,
    /// Write the table into docs/detection.md (with the others' rules)
    #[arg(long)]
    write: bool,
    /// Draw what was missed and what was reported falsely into this directory, as SVG
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
}

/// A set of seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Set {
    /// Looked at while gates were chosen
    Tuning,
    /// To see whether that carries over
    Validation,
    /// Reported, never looked at
    Test,
}

impl Set {
    const fn name(self) -> &'static str {
        match self {
            Self::Tuning => "tuning",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    const fn first_seed(self) -> u64 {
        match self {
            Self::Tuning => 1,
            Self::Validation => 3_000_001,
            Self::Test => 4_000_001,
        }
    }
}

pub(crate) fn command(options: &Options) -> Result<ExitCode> {
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut peers: Vec<(&str, Vec<Outcome>)> = peers::Peer::ALL.map(|peer| (peer.name(), Vec::new())).to_vec();
    if let Some(directory) = &options.pictures {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    for kind in kinds::KINDS {
        if !options.kind.is_empty() && !options.kind.iter().any(|wanted| wanted == kind) {
            continue;
        }
        for seed in 0..options.seeds {
            let seed_of_set = options.set.first_seed() + seed;
            let mut spec = kinds::spec(kind, seed_of_set);
            if options.varied {
                spec = variety::vary(spec, seed_of_set);
            }
            let series = simulate::play(&spec);
            let (said, recurring) = judge::ours(&series, |verdict| {
                if options.verbose {
                    println!(
                        "  {kind}/{seed} {:9.2} h {:?} sat {:.2} {:?} {}",
                        verdict.at.0 as f64 / 3.6e12 - 0.28,
                        verdict.state,
                        verdict.floor as f64 / verdict.ceiling.map_or(f64::NAN, |c| c.bytes as f64),
                        verdict
                            .time_to_ceiling
                            .map(|f| (f.p10 / 3600.0, f.p50 / 3600.0, f.p90 / 3600.0)),
                        verdict.because
                    );
                }
            });
            let outcome = Outcome {
                recurring,
                ..score::score(&series, &said)
            };
            if let Some(directory) = &options.pictures
                && outcome.leaks != outcome.reported
            {
                let file = directory.join(format!("{kind}-{seed}.svg"));
                fs::write(&file, picture::svg(&series, &outcome))
                    .with_context(|| format!("cannot write {}", file.display()))?;
            }
            outcomes.push(outcome);
            if options.peers || options.write {
                for (peer, (_, outcomes)) in peers::Peer::ALL.into_iter().zip(&mut peers) {
                    outcomes.push(score::score(&series, &peer.judge(&series)));
                }
            }
        }
    }
    print(&outcomes);
    if options.peers || options.write {
        let title = format!(
            "{} series of each kind, {} seeds, observer {}:",
            options.seeds,
            options.set.name(),
            env!("CARGO_PKG_VERSION")
        );
        let table = table::markdown(&title, &outcomes, &peers);
        println!("{table}");
        if options.write {
            let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/detection.md");
            table::write(&page, &table)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(outcomes: &[Outcome]) {
    println!("kind   n  acc conf  1st  2nd  3rd  lead  err   cov  find/s  retract_min  recurring");
    for (kind, of) in by_kind(outcomes) {
        let f = figures(&of);
        let reported = of.iter().filter(|outcome| outcome.reported).count();
        let confirmed = of.iter().filter(|outcome| outcome.confirmed).count();
        let volume = of.iter().map(|outcome| outcome.findings).sum::<usize>() as f64 / of.len() as f64;
        println!(
            "{kind:4} {:3} {reported:4} {confirmed:4} {:4.2} {:4.2} {:4.2} {:5.2} {:5.2} {:5.2} {volume:6.2} {:8.0} {:5.2}  {}",
            of.len(),
            f.before_death.1,
            f.confirmed_by.0,
            f.confirmed_by.1,
            f.lead,
            if f.forecast.0.is_nan() {
                f.forecast.1
            } else {
                f.forecast.0
            },
            f.coverage,
            f.retract / 60.0,
            of.iter().map(|outcome| outcome.recurring).sum::<usize>() as f64 / of.len() as f64,
            kinds::describe(kind)
        );
    }
    let all: Vec<&Outcome> = outcomes.iter().collect();
    println!("{:#?}", figures(&all));
}
