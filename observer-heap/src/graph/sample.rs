//! Walks the heap, produces addresses of some objects of each row, spread evenly over its bytes, so that one large array
//! weighs as much as the many small ones beside it.

use crate::graph::before::Held;
use crate::graph::live::Live;
use crate::layout::maps::{MapId, Maps};
use crate::layout::refusal::Refusal;
use crate::memory::by_address::ByAddress;
use crate::memory::pages::{PAGE, Page, Space};
use crate::memory::peek::strong;
use crate::walk::heap::{Heap, Order};
use crate::walk::walker::{Object, Visit};

/// Young objects move while their owners are searched: with so many old ones none is taken.
const ENOUGH_OLD: usize = 8;
/// Pages of small objects that are enough to take a sample from; of more, as many are read, evenly spread.
const ENOUGH_PAGES: usize = 256;

/// What of the heap a row counts; valid for the reader that read it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Members {
    pub(crate) maps: Vec<MapId>,
    /// Addresses of SharedFunctionInfos: of closures, and of suspended calls.
    pub(crate) functions: Vec<u64>,
    pub(crate) suspended: Vec<u64>,
}

/// Addresses by row.
#[derive(Default)]
pub(crate) struct Sample {
    /// Address and weight.
    pub(crate) groups: Vec<Vec<(u64, u64)>>,
    /// How many of each group.
    each: Vec<usize>,
    /// Bytes from one sample to the next, and bytes since the last.
    strides: Vec<(u64, u64)>,
    /// Whether the walk has come to young objects, and how many old ones each group has.
    young: bool,
    old: Vec<usize>,
    by_map: Vec<Option<u32>>,
    by_function: ByAddress<u32>,
    by_suspended: ByAddress<u32>,
}

impl Sample {
    pub(crate) fn of(
        heap: &Heap<'_>,
        live: Option<&Live>,
        before: Option<&Held>,
        rows: &[(&Members, usize)],
    ) -> Result<Self, Refusal> {
        let mut sample = Self {
            groups: vec![Vec::new(); rows.len()],
            each: rows.iter().map(|(_, each)| (*each).max(1)).collect(),
            strides: vec![(1, 0); rows.len()],
            young: false,
            old: Vec::new(),
            by_map: vec![None; heap.maps.len()],
            by_function: ByAddress::default(),
            by_suspended: ByAddress::default(),
        };
        for (group, (row, _)) in rows.iter().enumerate() {
            for &map in &row.maps {
                if let Some(entry) = sample.by_map.get_mut(map.0 as usize) {
                    *entry = Some(group as u32);
                }
            }
            for &function in &row.functions {
                sample.by_function.insert(function, group as u32);
            }
            for &function in &row.suspended {
                sample.by_suspended.insert(function, group as u32);
            }
        }
        let mut sorting = Sorting {
            maps: &heap.maps,
            live,
            before,
            sample: &mut sample,
            every: 1,
            met: 0,
            stands_for: 1,
        };
        if let Some(live) = live {
            let old = heap.maps.pages.pages.iter().filter(|page| page.space == Space::Old);
            let small = old
                .filter(|page| page.area() <= PAGE && sorting.is_new(live, page))
                .count();
            sorting.every = small.div_ceil(ENOUGH_PAGES).max(1) as u64;
        }
        for isolate in heap.maps.pages.heaps() {
            sorting.sample.young = false;
            heap.walk(isolate, Order::Ascending, &mut sorting, &mut |_| {})?;
        }
        Ok(sample)
    }

    /// Takes an object for every so-many bytes; when the group is full, its lighter half goes and the stride doubles.
    fn take(&mut self, group: u32, address: u64, size: u64) {
        let group = group as usize;
        if self.young && self.old.get(group).is_some_and(|&old| old >= ENOUGH_OLD) {
            return;
        }
        let (Some(kept), Some((stride, since)), Some(&each)) = (
            self.groups.get_mut(group),
            self.strides.get_mut(group),
            self.each.get(group),
        ) else {
            return;
        };
        *since += size;
        if *since < *stride {
            return;
        }
        kept.push((address, *since / *stride));
        *since %= *stride;
        while kept.len() >= 2 * each {
            *stride *= 2;
            let mut odd = 0;
            kept.retain_mut(|(_, weight)| {
                // An odd weight's last sample stays or goes in turn.
                odd += *weight % 2;
                *weight = *weight / 2 + u64::from(*weight % 2 == 1 && odd % 2 == 1);
                *weight > 0
            });
        }
    }
}

/// Sorts objects into the groups of a sample.
struct Sorting<'s, 'm> {
    maps: &'s Maps<'m>,
    /// Dead objects, which nothing holds, are not followed.
    live: Option<&'s Live>,
    /// Nor are those that were held before.
    before: Option<&'s Held>,
    sample: &'s mut Sample,
    /// Of so many pages one is read; pages met of these; and how many the one that is being read stands for: none where its objects are
    /// not taken.
    every: u64,
    met: u64,
    stands_for: u64,
}

impl Sorting<'_, '_> {
    /// Whether something is held of a page that was not held before.
    fn is_new(&self, live: &Live, page: &Page) -> bool {
        self.before.is_none_or(|before| live.is_new(page, before))
    }
}

impl Visit for Sorting<'_, '_> {
    fn young_begins(&mut self) {
        self.stands_for = 1;
        self.sample.young = true;
        self.sample.old = self.sample.groups.iter().map(Vec::len).collect();
    }

    fn reads(&mut self, page: &Page) -> bool {
        let Some(live) = self.live else { return true };
        self.stands_for = 0;
        if self.is_new(live, page) {
            if page.area() > PAGE {
                self.stands_for = 1;
            } else {
                self.met += 1;
                if self.met.is_multiple_of(self.every) {
                    self.stands_for = self.every;
                }
            }
        }
        // Young objects may hang at pages on which nothing is new.
        self.stands_for > 0 || live.points_at_young(page)
    }

    fn points_at_young(&mut self, page: &Page) -> bool {
        self.live.is_none_or(|live| live.points_at_young(page))
    }

    fn wants(&mut self, _: &Page, _: &[[u8; 8]]) -> bool {
        self.stands_for > 0
    }

    fn object(&mut self, object: &Object<'_>) -> Result<(), Refusal> {
        let layout = &self.maps.layout;
        let sample = &self.sample;
        let group = if let Some(group) = sample.by_map.get(object.map.0 as usize).copied().flatten() {
            Some(group)
        } else if !sample.by_function.is_empty() && layout.types.is_function(object.info.instance_type) {
            strong(object.word(layout.function.shared)).and_then(|shared| sample.by_function.get(&shared).copied())
        } else if !sample.by_suspended.is_empty() && layout.types.generators.contains(&object.info.instance_type) {
            match strong(object.word(layout.fields)) {
                Some(function) => strong(self.maps.peek.word(function + u64::from(layout.function.shared))?)
                    .and_then(|shared| sample.by_suspended.get(&shared).copied()),
                None => None,
            }
        } else {
            None
        };
        if let Some(group) = group
            && (self.sample.young || self.live.is_none_or(|live| live.holds(object.address)))
            && self
                .before
                .is_none_or(|before| !before.contains(object.address / PAGE, object.address % PAGE))
        {
            self.sample.take(group, object.address, object.size * self.stands_for);
        }
        Ok(())
    }
}
