//! Reads the heaps of one process through the layers below: the crate's front door.

use std::collections::BTreeMap;

use crate::graph::live::Live;
use crate::graph::retainers::{Holders, search};
use crate::graph::sample::{Members, Sample};
use crate::layout::metadata::Metadata;
use crate::layout::refusal::Refusal;
use crate::memory::source::{Generated, Memory};
use crate::report::buffers::{Buffer, Extent, buffers, extents};
use crate::report::count::count;
use crate::report::growth::Growth;
use crate::report::led_outside::{LedOutside, led_outside};
use crate::report::reading::{Collection, Reading, Row};
use crate::report::rows::summary;
use crate::report::suspects::{Suspect, suspects};
use crate::report::wrappers::{Wrapped, wrapped};
use crate::walk::calibrate::Learned;
use crate::walk::heap::Heap;

/// Bytes spent on marks unless told otherwise: enough for a heap of 4 GiB.
const MARKING: usize = 144 << 20;

/// The heaps of one process.
pub struct Reader<'m> {
    heap: Heap<'m>,
    /// The old objects that the last reading found held.
    live: Option<Live>,
    /// The memory of the ArrayBuffers that the last reading counted.
    buffers: Vec<(u64, u64)>,
    marking: usize,
}

impl<'m> Reader<'m> {
    /// Finds and checks; refuses what it cannot prove. Where [`Refusal::may_pass`], a collection is moving objects, and another
    /// look after a moment may help.
    pub fn open(memory: &'m dyn Memory, metadata: &Metadata) -> Result<Self, Refusal> {
        Self::open_knowing(memory, metadata, None)
    }

    /// The same, of a process that was opened before: what was learned of it then is not learned anew.
    pub fn open_knowing(memory: &'m dyn Memory, metadata: &Metadata, known: Option<&Learned>) -> Result<Self, Refusal> {
        // What is swapped out makes a layout look unknown.
        let heap = Heap::open(memory, metadata, known).map_err(|refusal| match refusal {
            Refusal::Memory(_) | Refusal::Metadata(_) => refusal,
            _ if memory.is_swapped() => Refusal::SwappedOut,
            _ => refusal,
        })?;
        Ok(Self {
            heap,
            live: None,
            buffers: Vec::new(),
            marking: MARKING,
        })
    }

    /// What was learned of the process, for another reader of it.
    pub fn learned(&self) -> Learned {
        Learned {
            sizes: self.heap.sizes.clone(),
            tables: self.heap.tables,
        }
    }

    /// Sets how many bytes may be spent on telling what is held from what is dead (3.5 % of the heap's size). A larger heap
    /// is counted with what died since its last major collection. With as much again, what suspects retain is told in one go.
    #[must_use]
    pub const fn with_marking(mut self, bytes: usize) -> Self {
        self.marking = bytes;
        self
    }

    /// Bytes that may be spent on marks.
    pub(crate) const fn marking(&self) -> usize {
        self.marking
    }

    pub(crate) const fn heap(&self) -> &Heap<'m> {
        &self.heap
    }

    /// The heap, to be walked anew: marks of a reading are given up.
    pub(crate) fn heap_mut(&mut self) -> &mut Heap<'m> {
        self.live = None;
        &mut self.heap
    }

    /// Refuses what was read of a process of which a part is swapped out.
    pub(crate) fn nothing_swapped(&self) -> Result<(), Refusal> {
        if self.heap.maps.peek.memory.is_swapped() {
            Err(Refusal::SwappedOut)
        } else {
            Ok(())
        }
    }

    /// Reads and counts everything once.
    pub fn read(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<Reading, Refusal> {
        self.live = None;
        let mut counted = count(&mut self.heap, self.marking, progress)?;
        self.nothing_swapped()?;
        self.live = counted.live.take();
        self.buffers = counted
            .isolates
            .iter_mut()
            .flat_map(|isolate| std::mem::take(&mut isolate.buffers))
            .collect();
        let mut reading = Reading {
            rows: counted.rows,
            disturbed: counted.disturbed,
            order: counted.isolates.iter().map(|isolate| isolate.heap).collect(),
            held: self.live.as_ref().map(Live::held),
            ..Reading::default()
        };
        for (index, isolate) in counted.isolates.iter().enumerate() {
            reading.isolates.push(summary(isolate));
            self.heap.scopes.remember(isolate.closures.keys().copied());
            reading
                .collections
                .extend(isolate.largest.iter().map(|large| Collection {
                    isolate: index,
                    what: self.heap.maps.internal(self.heap.tables, large.instance_type),
                    elements: large.elements,
                    bytes: large.bytes,
                    address: large.address,
                }));
        }
        reading
            .collections
            .sort_by_key(|collection| std::cmp::Reverse(collection.bytes));
        reading
            .rows
            .sort_by(|a, b| (a.origin, b.tally.bytes, &a.what).cmp(&(b.origin, a.tally.bytes, &b.what)));
        Ok(reading)
    }

    /// Looks up in which line each row's function or class starts, and in which column of a line that alone says little; where a source map
    /// tells what that was generated from, there. Rows whose source is not in the heap keep none.
    pub fn lines<'r>(&self, rows: impl IntoIterator<Item = &'r mut Row>) -> Result<(), Refusal> {
        let mut by_script = BTreeMap::<u64, Vec<(u32, &mut Row)>>::new();
        for row in rows {
            if let (Some(script), Some(position)) = (row.script, row.position) {
                by_script.entry(script).or_default().push((position, row));
            }
        }
        for (script, mut rows) in by_script {
            rows.sort_by_key(|(position, _)| *position);
            let positions: Vec<u32> = rows.iter().map(|(position, _)| *position).collect();
            let (spots, length) = self.heap.maps.spots(script, &positions)?;
            for ((_, row), spot) in rows.into_iter().zip(spots) {
                row.line = Some(spot.line);
                row.column = spot.long.then_some(spot.column);
                let generated = Generated {
                    file: row.file.as_deref().unwrap_or_default(),
                    length,
                    line: spot.line,
                    column: spot.column,
                    name: &row.what,
                };
                if let Some(original) = self.heap.maps.peek.memory.original(&generated) {
                    row.generated_from(original);
                }
            }
        }
        Ok(())
    }

    /// How the objects of these rows are held: up to `each` of each row are followed. The rows must be of a reading by
    /// this reader. `progress` is told levels searched.
    pub fn holders(
        &mut self,
        rows: &[&Row],
        each: usize,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<Holders>, Refusal> {
        let members: Vec<(&Members, usize)> = rows.iter().map(|row| (&row.members, each)).collect();
        let sample = Sample::of(&self.heap, self.live.as_ref(), None, &members)?;
        search(&mut self.heap, self.live.as_ref(), &sample.groups, progress)
    }

    /// The memory of ArrayBuffers: of those that the last reading counted, and of those that nothing was seen to hold but that
    /// stand in the heap's pages still. Of a heap that was not marked, old ones count as held.
    pub fn buffers(&self) -> Result<Vec<Buffer>, Refusal> {
        buffers(&self.heap, &self.buffers)
    }

    /// The JavaScript objects that wrap native ones, and how they are held: up to `each` of every group, which are addresses of
    /// native objects. `progress` is told passes over the heap.
    pub fn wrapped(
        &mut self,
        natives: &[Vec<u64>],
        each: usize,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<Wrapped>, Refusal> {
        wrapped(&mut self.heap, self.live.as_ref(), natives, each, progress)
    }

    /// Addresses within these ranges, ascending, that stand in objects: whose memory outside the heap that may be. `None` where the last
    /// reading did not tell what is held from what is dead.
    pub fn led_outside(&self, ranges: &[(u64, u64)]) -> Result<Option<LedOutside>, Refusal> {
        let live = self.live.as_ref();
        live.map(|live| led_outside(&self.heap, live, ranges)).transpose()
    }

    /// The memory of V8's pages, in ascending order.
    pub fn extents(&self) -> Vec<Extent> {
        extents(&self.heap.maps.pages)
    }

    /// Whether the last reading told what is held from what is dead.
    pub const fn is_marked(&self) -> bool {
        self.live.is_some()
    }

    /// Where what grew accumulates, largest first: of the first reading of the process, and the last, which must be this
    /// reader's. Takes the reading's marks: nothing but suspects is looked for from here on. `progress` is told passes over
    /// the heap.
    pub fn suspects(
        &mut self,
        growth: &Growth,
        readings: (&Reading, &Reading),
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<Suspect>, Refusal> {
        let live = self.live.take();
        let suspects = suspects(&mut self.heap, live, self.marking, growth, readings, progress)?;
        self.nothing_swapped()?;
        Ok(suspects)
    }

    /// How these collections are held, each for itself.
    pub fn collection_holders(
        &mut self,
        collections: &[Collection],
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<Holders>, Refusal> {
        let groups: Vec<_> = collections
            .iter()
            .map(|collection| vec![(collection.address, 1)])
            .collect();
        search(&mut self.heap, self.live.as_ref(), &groups, progress)
    }
}
