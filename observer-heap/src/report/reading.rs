//! What a reading says: rows of what is held, where it stands in the source, how many, how much.

use crate::graph::before::Held;
use crate::graph::sample::Members;
use crate::names::kind::{Kind, Origin};
use crate::walk::counts::Tally;

/// Things of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which isolate: 0 is the one with the most pages, the main thread as a rule.
    pub isolate: usize,
    /// What they are.
    pub kind: Kind,
    /// Their name.
    pub what: String,
    /// Whose code named them.
    pub origin: Origin,
    /// The script, as Node names it.
    pub file: Option<String>,
    /// Where the function or class starts, in characters of the script.
    pub position: Option<u32>,
    /// Where that is, counted from 1; looked up by `Reader::lines`.
    pub line: Option<u32>,
    /// The column, counted from 1, where the line is so long that it alone says little.
    pub column: Option<u32>,
    /// How many and how much.
    pub tally: Tally,
    /// The Script's address.
    pub(crate) script: Option<u64>,
    pub(crate) members: Members,
}

impl Row {
    /// A row without a name yet.
    pub(crate) fn named(kind: Kind) -> Self {
        Self {
            isolate: 0,
            kind,
            what: String::new(),
            origin: Origin::Engine,
            file: None,
            position: None,
            line: None,
            column: None,
            tally: Tally::default(),
            script: None,
            members: Members::default(),
        }
    }
}

/// One of the largest arrays, Maps or Sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// Which isolate.
    pub isolate: usize,
    /// What it is, or what it is the backing store of.
    pub what: String,
    /// Elements or entries.
    pub elements: u64,
    /// Bytes of its table, without what it points at.
    pub bytes: u64,
    pub(crate) address: u64,
}

/// What one isolate holds in all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Bytes of objects counted, without ArrayBuffers' memory outside the heap.
    pub heap_bytes: u64,
    /// Bytes of ArrayBuffers' memory.
    pub array_buffer_bytes: u64,
    /// Entries of all Maps and of all Sets.
    pub map_entries: u64,
    /// Entries of all Sets.
    pub set_entries: u64,
    /// Promises that are not settled.
    pub pending_promises: u64,
    /// Free bytes inside old pages, left out.
    pub free_bytes: u64,
    /// Bytes of old objects that nothing holds: they wait for a major collection and are left out. `None` when they were
    /// not told apart; then they are counted, and every number is an upper bound.
    pub dead_bytes: Option<u64>,
    /// Code pages' bytes.
    pub code_bytes: u64,
    /// Bytes of the young generation's pages in use, and the share of them that was reachable and counted.
    pub young_page_bytes: u64,
    /// Reachable young bytes.
    pub young_live_bytes: u64,
    /// Old pages' bytes that could not be explained as objects.
    pub unexplained_bytes: u64,
    /// Young objects that were moving while they were read.
    pub torn: u64,
}

/// What a process holds.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// By origin, then bytes.
    pub rows: Vec<Row>,
    /// One for each isolate.
    pub isolates: Vec<Summary>,
    /// When it was taken, in a unit of the caller's, who sets it: seconds, or rounds of the same work. Readings that are compared
    /// have the same.
    pub at: f64,
    /// Collections moved objects in every attempt to read, or chains were too long to be followed to their ends: some objects may be
    /// missing, or counted twice.
    pub disturbed: bool,
    /// The largest collections, by bytes.
    pub collections: Vec<Collection>,
    /// The heaps of the isolates, in order.
    pub(crate) order: Vec<u64>,
    /// Where old objects were held, when they were told apart.
    pub(crate) held: Option<Held>,
}

impl Reading {
    /// Bytes that are held, all isolates together, ArrayBuffers' memory among them; with what is dead where that was not told apart.
    pub fn held_bytes(&self) -> u64 {
        let of = |isolate: &Summary| isolate.heap_bytes + isolate.array_buffer_bytes;
        self.isolates.iter().map(of).sum()
    }

    /// Bytes of V8's pages in which nothing is held: garbage that waits for a collection, and free memory.
    pub fn unheld_bytes(&self) -> u64 {
        self.isolates
            .iter()
            .map(|s| s.dead_bytes.unwrap_or(0) + s.free_bytes + s.young_page_bytes.saturating_sub(s.young_live_bytes))
            .sum()
    }
}
