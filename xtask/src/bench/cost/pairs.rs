//! Paired runs: runs a measurement without the agent, with it, and with it tracing, in turning order, and produces ratios
//! to the run without it of the same round.

use std::path::Path;

use anyhow::Result;

use super::agent::Running;

/// What runs beside the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// Nothing.
    Nothing,
    /// The agent while no process grows.
    Agent,
    /// The agent, and the growth of a process is traced.
    Tracing,
}

impl Load {
    const ALL: [Self; 3] = [Self::Nothing, Self::Agent, Self::Tracing];

    /// In a table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Agent => "the agent, tracing nothing",
            Self::Tracing => "the agent, tracing growth",
        }
    }

    /// The agent, ready. A process must be running that it watches, else there is nothing to trace.
    fn start(self, program: &Path) -> Result<Option<Running>> {
        let flags: &[&str] = match self {
            Self::Nothing => return Ok(None),
            Self::Agent => &["--growth-tracing", "off"],
            Self::Tracing => &["--growth-tracing", "always", "--sample-interval", "1s"],
        };
        let agent = Running::start(program, flags)?;
        agent.until("a container is watched", |state| state["containers"].as_u64() > Some(0))?;
        Ok(Some(agent))
    }
}

/// Ratios of each figure to that of the run beside nothing, for the agent and for tracing.
pub(super) type Ratios<const N: usize> = [(Load, [Vec<f64>; N]); 2];

/// Runs `measure` so many rounds.
pub(super) fn run<const N: usize>(
    program: &Path,
    rounds: usize,
    mut measure: impl FnMut() -> Result<[f64; N]>,
) -> Result<Ratios<N>> {
    let mut ratios = [Load::Agent, Load::Tracing].map(|beside| (beside, [const { Vec::new() }; N]));
    for round in 0..rounds {
        let mut figures = [[0.0; N]; 3];
        for turn in 0..3 {
            let which = (round + turn) % 3;
            let agent = Load::ALL[which].start(program)?;
            figures[which] = measure()?;
            drop(agent);
        }
        for (with, (_, ratios)) in figures[1..].iter().zip(&mut ratios) {
            for (ratios, (with, without)) in ratios.iter_mut().zip(with.iter().zip(figures[0])) {
                ratios.push(with / without);
            }
        }
    }
    Ok(ratios)
}

/// The median, and the middle half.
pub(super) fn quartiles(of: &[f64]) -> String {
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
    use super::quartiles;

    #[test]
    fn the_middle_half() {
        assert_eq!(quartiles(&[5.0, 1.0, 3.0, 2.0, 4.0]), "3.000 (2.000 to 4.000)");
        assert_eq!(quartiles(&[1.0]), "1.000 (1.000 to 1.000)");
        assert_eq!(quartiles(&[]), "NaN (NaN to NaN)");
    }
}
