//! Paired runs: runs a measurement without anything beside it and beside each load, in turning order, and produces ratios to
//! the run without of the same round.

use std::{any::Any, path::Path};

use anyhow::Result;

use super::agent::Running;

/// Starts what runs beside a measurement; dropped, it is ended.
type Start<'a> = Box<dyn Fn() -> Result<Box<dyn Any>> + 'a>;

/// What runs beside a measurement.
pub(super) struct Load<'a> {
    /// In a table.
    name: &'static str,
    start: Start<'a>,
}

impl<'a> Load<'a> {
    pub(super) fn new<T: 'static>(name: &'static str, start: impl Fn() -> Result<T> + 'a) -> Self {
        Self {
            name,
            start: Box::new(move || Ok(Box::new(start()?))),
        }
    }

    /// The agent while no process grows.
    pub(super) fn agent(program: &'a Path) -> Self {
        Self::new("the agent, tracing nothing", || {
            watching(program, &["--growth-tracing", "off"])
        })
    }

    /// The agent while it traces the growth of a process.
    pub(super) fn tracing(program: &'a Path) -> Self {
        Self::new("the agent, tracing growth", || {
            watching(program, &["--growth-tracing", "always", "--sample-interval", "1s"])
        })
    }
}

/// The agent, ready. A process must be running that it watches, else there is nothing to trace.
fn watching(program: &Path, flags: &[&str]) -> Result<Running> {
    let agent = Running::start(program, flags)?;
    agent.until("a container is watched", |state| state["containers"].as_u64() > Some(0))?;
    Ok(agent)
}

/// Ratios of each figure to that of the run beside nothing.
pub(super) struct Ratios<const N: usize> {
    /// Of the load, as in a table.
    pub(super) beside: &'static str,
    /// One for each round.
    pub(super) figures: [Vec<f64>; N],
}

impl<const N: usize> Ratios<N> {
    /// A row of a table: the median of each figure, and its middle half.
    pub(super) fn row(&self) -> String {
        let cells = self.figures.each_ref().map(|of| quartiles(of)).join(" | ");
        format!("| {} | {cells} |\n", self.beside)
    }
}

/// Runs `measure` so many rounds: in each once beside nothing and once beside each load, beginning with another one each time.
pub(super) fn run<const N: usize>(
    loads: &[Load<'_>],
    rounds: usize,
    mut measure: impl FnMut() -> Result<[f64; N]>,
) -> Result<Vec<Ratios<N>>> {
    let mut ratios: Vec<Ratios<N>> = loads
        .iter()
        .map(|load| Ratios {
            beside: load.name,
            figures: [const { Vec::new() }; N],
        })
        .collect();
    for round in 0..rounds {
        let mut figures = vec![[0.0; N]; loads.len() + 1];
        for turn in 0..figures.len() {
            let which = (round + turn) % figures.len();
            let beside = which.checked_sub(1).map(|load| (loads[load].start)()).transpose()?;
            figures[which] = measure()?;
            drop(beside);
        }
        for (with, ratios) in figures[1..].iter().zip(&mut ratios) {
            for (ratios, (with, without)) in ratios.figures.iter_mut().zip(with.iter().zip(figures[0])) {
                ratios.push(with / without);
            }
        }
    }
    Ok(ratios)
}

/// The median, and the middle half.
fn quartiles(of: &[f64]) -> String {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (share * (sorted.len().max(1) - 1) as f64).round() as usize;
        sorted.get(index).copied().unwrap_or(f64::NAN)
    };
    format!("{:.3} ({:.3} to {:.3})", at(0.5), at(0.25), at(0.75))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_middle_half() {
        assert_eq!(quartiles(&[5.0, 1.0, 3.0, 2.0, 4.0]), "3.000 (2.000 to 4.000)");
        assert_eq!(quartiles(&[1.0]), "1.000 (1.000 to 1.000)");
        assert_eq!(quartiles(&[]), "NaN (NaN to NaN)");
    }

    #[test]
    fn each_load_runs_alone_and_is_compared_with_its_own_rounds_run_beside_nothing() {
        struct Costs<'a>(&'a Cell<f64>, f64);
        impl Drop for Costs<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() / self.1);
            }
        }
        // Leaked, since what is started must own what it has.
        let cost: &'static Cell<f64> = Box::leak(Box::new(Cell::new(1.0)));
        let load = |name, factor: f64| {
            Load::new(name, move || {
                cost.set(cost.get() * factor);
                Ok(Costs(cost, factor))
            })
        };
        let mut round = 0.0;
        let ratios = run(&[load("twice", 2.0), load("four times", 4.0)], 5, || {
            round += 1.0;
            // The machine gets slower from round to round.
            let slow = f64::from(1 + (round as u32 - 1) / 3);
            Ok([slow * cost.get()])
        })
        .unwrap();
        assert_eq!(ratios.len(), 2);
        assert_eq!(ratios[0].figures[0], [2.0; 5]);
        assert_eq!(ratios[1].row(), "| four times | 4.000 (4.000 to 4.000) |\n");
    }
}
