//! A server driven to its limit beside the agent; produces ratios of its throughput, of its response times and of
//! the CPU time of a request.

use std::{path::Path, time::Duration};

use anyhow::Result;
use observer_tests::load::Server;

use super::pairs;

/// How long it is driven in one measurement: short, and often, so that what else the machine does is the same in a round.
const DURING: Duration = Duration::from_secs(3);
/// Rounds for each pair that was asked for.
const ROUNDS: usize = 3;

pub(super) fn measure(program: &Path, pairs: usize) -> Result<String> {
    let server = Server::start(0)?;
    let mut without = Vec::new();
    let loads = [pairs::Load::agent(program), pairs::Load::tracing(program)];
    let ratios = pairs::run(&loads, pairs * ROUNDS, || {
        let figures = server.drive(DURING)?;
        without.push(figures.throughput);
        Ok([figures.throughput, figures.p50, figures.p99, figures.cpu])
    })?;
    without.sort_by(f64::total_cmp);
    let requests = without.get(without.len() / 2).copied().unwrap_or(f64::NAN);
    let mut table = format!(
        "{requests:.0} requests a second (median).\n\n| beside | throughput | p50 | p99 | CPU time of a request |\n|---|---|---|---|---|\n"
    );
    for ratios in &ratios {
        table.push_str(&ratios.row());
    }
    Ok(table)
}
