//! One metric of one container over time: reads the values of its series in any order, produces one value an instant.

/// Values by time in milliseconds, ascending.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Track<V>(Vec<(i64, V)>);

impl<V> Default for Track<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V: Copy + PartialEq> Track<V> {
    /// Whether it has no value.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the values of one more series. Where both have one at the same instant, `choose` picks it.
    pub(super) fn merge(&mut self, mut more: Vec<(i64, V)>, choose: fn(V, V) -> V) {
        if !more.is_sorted_by(|a, b| a.0 < b.0) {
            more.sort_by_key(|(t, _)| *t);
            more = chosen(more, choose);
        }
        let after = match (self.0.last(), more.first()) {
            (Some((last, _)), Some((first, _))) => last < first,
            _ => true,
        };
        if self.0.is_empty() {
            self.0 = more;
        } else if after {
            self.0.append(&mut more);
        } else {
            self.0.append(&mut more);
            // Two ascending stretches: the sort is a merge, and stable.
            self.0.sort_by_key(|(t, _)| *t);
            self.0 = chosen(std::mem::take(&mut self.0), choose);
        }
    }

    /// Leaves out values that repeat the one before: what [`Track::latest`] answers stays the same.
    ///
    /// To be called when nothing more will come for the time up to the last value.
    pub(super) fn seal(&mut self) {
        self.0.dedup_by(|later, earlier| later.1 == earlier.1);
        self.0.shrink_to_fit();
    }

    /// The last value at or before `t`.
    pub(super) fn latest(&self, t: i64) -> Option<V> {
        let after = self.0.partition_point(|(at, _)| *at <= t);
        self.0.get(after.checked_sub(1)?).map(|(_, value)| *value)
    }

    /// All of them, in the order of time.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, (i64, V)> {
        self.0.iter()
    }
}

/// One value an instant.
fn chosen<V: Copy>(sorted: Vec<(i64, V)>, choose: fn(V, V) -> V) -> Vec<(i64, V)> {
    let mut one: Vec<(i64, V)> = Vec::with_capacity(sorted.len());
    for (t, value) in sorted {
        match one.last_mut() {
            Some((last, held)) if *last == t => *held = choose(*held, value),
            _ => one.push((t, value)),
        }
    }
    one
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever comes in whatever order: as a map of the largest values, also once repetitions are gone.
        #[test]
        fn as_a_map(pieces in prop::collection::vec(prop::collection::vec((0i64..40, 0u8..4), 0..30), 0..6)) {
            let mut map: BTreeMap<i64, u8> = BTreeMap::new();
            let mut track = Track::default();
            for piece in pieces {
                for (t, value) in &piece {
                    let held = map.entry(*t).or_insert(*value);
                    *held = (*held).max(*value);
                }
                track.merge(piece, u8::max);
            }
            prop_assert!(track.iter().copied().eq(map.clone()));
            track.seal();
            for t in -1..41 {
                let expected = map.range(..=t).next_back().map(|(_, value)| *value);
                prop_assert_eq!(track.latest(t), expected);
            }
        }
    }
}
