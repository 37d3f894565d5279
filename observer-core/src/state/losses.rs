//! What was lost before it reached the engine: reads counts by stage, produces whether something may have been missed at an
//! instant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::{BootTime, SECOND};

/// Nanoseconds after a loss of records in which deaths are told as inferred.
const LOSSY: u64 = 60 * SECOND;

/// Losses since the agent's beginning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Losses {
    until: BootTime,
    by_stage: BTreeMap<String, u64>,
}

impl Losses {
    /// Records were lost at a stage.
    pub(crate) fn add(&mut self, stage: &str, count: u64) {
        let lost = self.by_stage.entry(stage.to_owned()).or_insert(0);
        *lost = lost.saturating_add(count);
    }

    /// Something may have been missed at this time, and for a while from then on.
    pub(crate) fn blinded(&mut self, at: BootTime) {
        self.until = self.until.max(at.plus(LOSSY));
    }

    /// Whether something may have been missed at this time.
    pub(crate) fn may_have_missed(&self, at: BootTime) -> bool {
        at <= self.until
    }

    /// Records lost, by stage.
    pub(crate) const fn by_stage(&self) -> &BTreeMap<String, u64> {
        &self.by_stage
    }

    /// An agent that goes on from an earlier one's state counts from its own start.
    pub(crate) fn count_anew(&mut self) {
        self.by_stage.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_casts_doubt_for_a_minute_and_is_counted_by_its_stage() {
        let at = |second: u64| BootTime(second * SECOND);
        let mut losses = Losses::default();
        losses.add("ring", 3);
        losses.add("ring", u64::MAX);
        losses.add("inspect", 0);
        assert_eq!(losses.by_stage().values().copied().collect::<Vec<_>>(), [0, u64::MAX]);
        losses.blinded(at(100));
        losses.blinded(at(50));
        assert!(losses.may_have_missed(at(160)) && !losses.may_have_missed(at(161)));
        losses.count_anew();
        assert!(
            losses.by_stage().is_empty() && losses.may_have_missed(at(160)),
            "doubt stays"
        );
    }
}
