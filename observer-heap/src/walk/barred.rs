//! Young objects that are stopped at as if they were not there, until they are gone on from.

use crate::layout::maps::MapId;
use crate::walk::young::Young;

impl Young {
    /// Stops at an object as if it were not there, if it is a young one.
    pub(crate) fn bar(&mut self, address: u64) {
        if let Some((marks, word, flag)) = self.bit(address) {
            marks.visited[word] |= flag;
        }
    }

    /// Goes on from an object that was stopped at, when what has this label is visited.
    pub(crate) fn unbar(&mut self, address: u64, label: u8) {
        self.noted.unbarred.push((address, label));
    }

    /// Stops at all objects of a map.
    pub(crate) fn bar_map(&mut self, map: MapId) {
        self.barred.push(map);
    }

    /// Goes on from all objects of a map, when what has this label is visited.
    pub(crate) fn unbar_map(&mut self, map: MapId, label: u8) {
        self.barred.retain(|&barred| barred != map);
        for address in std::mem::take(&mut self.stopped) {
            self.unbar(address, label);
        }
    }
}
