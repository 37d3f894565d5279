//! Deaths and releases that wait for the records that explain them: reads who died and when, produces whom to decide on.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::{process::ProcessKey, time::BootTime};

/// Processes to look at again, by when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PendingDeaths {
    due: BTreeMap<BootTime, VecDeque<ProcessKey>>,
}

impl PendingDeaths {
    /// Looks at this process again at `when`.
    pub(crate) fn add(&mut self, when: BootTime, key: ProcessKey) {
        self.due.entry(when).or_default().push_back(key);
    }

    /// The processes of the earliest moment that is not after `now`, in the order they came.
    pub(crate) fn pop(&mut self, now: BootTime) -> Option<VecDeque<ProcessKey>> {
        let entry = self.due.first_entry().filter(|entry| *entry.key() <= now)?;
        Some(entry.remove())
    }

    /// Whether it will be looked at.
    #[cfg(test)]
    pub(crate) fn contains(&self, key: ProcessKey) -> bool {
        self.due.values().flatten().any(|due| *due == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_are_decided_in_order_and_not_before_their_time() {
        let key = |pid| ProcessKey { pid, start: 1 };
        let mut deaths = PendingDeaths::default();
        deaths.add(BootTime(20), key(3));
        deaths.add(BootTime(10), key(1));
        deaths.add(BootTime(10), key(2));
        assert_eq!(deaths.pop(BootTime(9)), None);
        assert_eq!(deaths.pop(BootTime(30)), Some([key(1), key(2)].into()));
        assert!(deaths.contains(key(3)) && !deaths.contains(key(1)));
        assert_eq!(deaths.pop(BootTime(20)), Some([key(3)].into()));
        assert_eq!(deaths.pop(BootTime(u64::MAX)), None);
    }
}
