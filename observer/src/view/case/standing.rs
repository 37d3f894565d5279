//! How a case stands: reads what is known of it, produces its ceiling, the time it has left, and whether anything is said of
//! it.

use observer_core::{
    detect::State,
    engine::view::SlotView,
    time::{BootTime, SECOND},
};

use super::Case;
use crate::view::workloads::rank;

impl Case {
    /// The ceiling it is heading for, bytes: the run in progress' own; else that of what was said last.
    pub(in crate::view) fn ceiling_in_force(&self) -> Option<f64> {
        let current = self.current.as_ref().and_then(|run| run.ceiling);
        let said = || self.verdict.as_ref().and_then(|verdict| verdict.ceiling);
        let ceiling = current.or_else(said).map(|ceiling| ceiling.bytes as f64);
        ceiling.or(self.ceiling)
    }

    /// Runs that ended at a ceiling, of all that were seen.
    pub(in crate::view) fn deaths(&self) -> usize {
        self.ends.iter().filter(|end| end.died).count()
    }

    /// Whether anything is said of it: a leak, kills, a level close to its ceiling, limits that do not fit.
    pub(crate) fn has_findings(&self) -> bool {
        rank(self.state()) > State::Quiet
            || self.recurring.is_some()
            || self.near.is_some()
            || self.misfit.is_some()
            || self.deaths() > 0
    }

    /// Seconds until the ceiling from the last level on, where the run goes on and is said to grow.
    pub(in crate::view) fn time_left(&self) -> Option<f64> {
        let verdict = self.verdict.as_ref()?;
        if rank(verdict.state) == State::Quiet || self.verdicts.last().is_some_and(|last| last.at != verdict.at) {
            return None;
        }
        if self.current.is_some() {
            return self.left;
        }
        let (now, level) = *self.levels.last()?;
        let (said, _) = *self.said.last()?;
        let over = self.ends.last().is_some_and(|end| end.at >= now);
        let another = self.rollouts.last().is_some_and(|(at, _)| *at > said);
        if over || another {
            return None;
        }
        let elapsed = (now - said).max(0.0) * SECOND as f64;
        let left = verdict.time_left(verdict.at.plus(elapsed as u64), level as u64)?;
        Some(left.p50)
    }
}

/// Seconds until the ceiling as the engine knows them: of the growth it sees, else of runs alike.
pub(super) fn left(case: &Case, slot: &SlotView) -> Option<f64> {
    let level = slot.current.as_ref()?.level?;
    let alike = || {
        let confirmed = case.verdict.as_ref().filter(|verdict| verdict.state == slot.state)?;
        // Of runs alike it counts from the level alone.
        let alike = confirmed.state == State::Confirmed;
        confirmed.time_left(BootTime::default(), level).filter(|_| alike)
    };
    slot.time_to_ceiling_s.or_else(|| alike().map(|left| left.p50))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{case::alike::two_runs_alike, sawtooth::Mark};

    #[test]
    fn the_time_left_is_told_of_the_level_now_and_of_no_run_that_is_over() {
        let (_, verdict) = two_runs_alike();
        assert_eq!(verdict.state, State::Confirmed);
        let mut case = Case {
            said: vec![(43_600.0, State::Confirmed)],
            levels: vec![(43_600.0, 5e8), (58_000.0, 360.0 * 1_048_576.0)],
            verdicts: vec![verdict.clone()],
            verdict: Some(verdict),
            ..Case::default()
        };
        let left = case.time_left().unwrap();
        // 150 of 448 MiB, of six hours.
        assert!((1.8..2.2).contains(&(left / 3_600.0)), "{left}");
        assert!(case.has_findings());
        case.rollouts.push((50_000.0, "1.43".to_owned()));
        assert_eq!(case.time_left(), None, "another version");
        case.rollouts.clear();
        case.ends.push(Mark {
            at: 58_000.0,
            died: true,
            how: "kernel_oom",
        });
        assert_eq!(case.time_left(), None, "it is over");
    }

    #[test]
    fn kills_and_misfits_are_findings_and_a_plain_restart_is_none() {
        let ended = |died| Case {
            ends: vec![Mark { at: 1.0, died, how: "" }],
            ..Case::default()
        };
        assert!(ended(true).has_findings() && !ended(false).has_findings());
        let misfit = Case {
            misfit: Some("it does not fit".to_owned()),
            ..Case::default()
        };
        assert!(misfit.has_findings());
    }
}
