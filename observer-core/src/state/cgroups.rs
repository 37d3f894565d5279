//! Cgroups made and released: reads their ids and paths, produces whether a release says anything of who lives there now.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::registry::pairs;

/// Paths of living cgroups kept; a host has some thousand. Beyond it a late release may be taken for its successor's.
const MAX_CGROUPS: usize = 16_384;

/// Ids of the cgroups made since the beginning and not released, by hierarchy and path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct KnownCgroups {
    #[serde(with = "pairs")]
    ids: BTreeMap<(u32, String), u64>,
}

impl KnownCgroups {
    /// A cgroup was made.
    pub(crate) fn made(&mut self, root: u32, id: u64, path: &str) {
        let place = (root, path.to_owned());
        if self.ids.len() < MAX_CGROUPS || self.ids.contains_key(&place) {
            self.ids.insert(place, id);
        }
    }

    /// A cgroup was released. False where another was made at its path since: the kernel releases a cgroup when the last
    /// page charged to it is gone, which may be long after.
    pub(crate) fn released(&mut self, root: u32, id: u64, path: &str) -> bool {
        let place = (root, path.to_owned());
        if self.ids.get(&place).is_some_and(|made| *made != id) {
            return false;
        }
        self.ids.remove(&place);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_release_of_the_one_made_last_counts() {
        let mut cgroups = KnownCgroups::default();
        cgroups.made(4, 10, "/a");
        cgroups.made(4, 11, "/a");
        assert!(!cgroups.released(4, 10, "/a"), "the one before");
        assert!(
            cgroups.released(5, 10, "/a"),
            "another hierarchy's, of which nothing is known"
        );
        assert!(cgroups.released(4, 11, "/a"));
        assert!(cgroups.released(4, 12, "/b"), "made before the agent began");
        assert_eq!(cgroups, KnownCgroups::default());
    }

    #[test]
    fn it_is_bounded() {
        let mut cgroups = KnownCgroups::default();
        for n in 0..=MAX_CGROUPS as u64 {
            cgroups.made(4, n, &format!("/{n}"));
        }
        assert_eq!(cgroups.ids.len(), MAX_CGROUPS);
        // One that is known can be made anew.
        cgroups.made(4, 99_999, "/0");
        assert!(!cgroups.released(4, 0, "/0"));
    }
}
