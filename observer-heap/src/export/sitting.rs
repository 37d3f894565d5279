//! Writes heap snapshots in V8's own format (heap-snapshot-generator.cc; read by Chrome DevTools, memlab, VS Code), one or more of
//! one process in one sitting.
//!
//! Nodes: the root, the objects by address, four that stand for what holds them, the memory of ArrayBuffers. Edges follow in the
//! order of nodes. Edges, strings and locations wait in files of their own until the nodes are complete, so that memory stays
//! bounded: a bit for each word of the heap, names from code, young objects.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::time::Duration;

use thiserror::Error;

use crate::export::emit::Emit;
use crate::export::ids::Ids;
use crate::export::locations::Locations;
use crate::export::objects::{Collected, collect};
use crate::export::out::{EdgeType, NODE_FIELDS, NodeType, Out, head};
use crate::export::strings::{Privacy, Strings};
use crate::layout::refusal::Refusal;
use crate::memory::pages::Space;
use crate::report::reader::Reader;
use crate::walk::heap::Heap;

/// Nodes beside the objects: the root, what holds all, and the three kinds of that.
const SYNTHETIC: u32 = 5;
/// Numbers that readers keep of nodes, or of edges: arrays of 32 bits each (`Uint32Array`) have so many at most. Every object may have
/// a node more, for its memory outside the heap.
const MOST_NUMBERS: u64 = u32::MAX as u64;
const MOST_EDGES: u64 = MOST_NUMBERS / 3;

/// Times a snapshot is written until nothing much moved meanwhile, and how long apart; one object in so many may have moved.
const ATTEMPTS: u32 = 4;
const APART: Duration = Duration::from_millis(250);
const MOVED: u64 = 500;
/// Likewise for references that lead nowhere: all that an object held that moved may be missing.
const LOST: u64 = 5000;

/// Why there is no snapshot.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// The heap could not be read.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The file could not be written.
    #[error("the snapshot could not be written: {0}")]
    Written(#[from] io::Error),
    /// Telling what is held would take more memory than is allowed.
    #[error("the heap is too large: telling what it holds would take more memory than is allowed for it")]
    TooLarge,
    /// Numbers of the format are too small.
    #[error(
        "the heap is too large for the format: it has {nodes} nodes and {edges} edges, and readers keep 32 bits of each number"
    )]
    Format {
        /// Nodes.
        nodes: u64,
        /// Edges.
        edges: u64,
    },
}

/// What a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Nodes, objects and others.
    pub nodes: u64,
    /// Edges.
    pub edges: u64,
    /// Objects that moved or died while they were read: they are nodes without edges.
    pub moved: u64,
    /// References to objects that moved or came to be meanwhile: these are missing, with all that only they hold.
    pub lost: u64,
    /// Young objects for which there was no room.
    pub left_out: u64,
    /// Objects that the snapshot before has under the same id.
    pub recognised: u64,
    /// Collections moved objects in every attempt to find what is held: some may be missing.
    pub disturbed: bool,
}

/// Files in which parts of a snapshot wait; empty.
#[derive(Debug)]
pub struct Spools {
    /// Edges.
    pub edges: File,
    /// Strings.
    pub strings: File,
    /// Which object belongs to which function.
    pub locations: File,
}

/// Snapshots of one process whose ids can be compared.
pub struct Sitting {
    ids: Ids,
    privacy: Privacy,
}

impl Sitting {
    /// Of strings only length and a hash with a random key are written, unless contents are asked for. Where `several` follow, ids
    /// are remembered: 8 bytes for each object.
    pub fn new(with_strings: bool, several: bool) -> Self {
        Self {
            ids: Ids::new(several),
            privacy: Privacy::new(with_strings),
        }
    }

    /// Writes a snapshot of all isolates of the process into an empty file. What was written before an error is no snapshot.
    pub fn write(
        &mut self,
        reader: &mut Reader<'_>,
        file: &mut File,
        spools: Spools,
    ) -> Result<Written, SnapshotError> {
        let mut attempt = 1;
        loop {
            if let Some(written) = self.attempt(reader, file, &spools, attempt >= ATTEMPTS)? {
                return Ok(written);
            }
            attempt += 1;
            std::thread::sleep(APART);
        }
    }

    /// Writes a snapshot, unless too much moved meanwhile and it is not the last attempt.
    fn attempt(
        &mut self,
        reader: &mut Reader<'_>,
        file: &mut File,
        spools: &Spools,
        last: bool,
    ) -> Result<Option<Written>, SnapshotError> {
        let marking = reader.marking();
        let collected = collect(reader.heap_mut(), marking)?.ok_or(SnapshotError::TooLarge)?;
        reader.nothing_swapped()?;
        if u64::from(collected.count) * u64::from(NODE_FIELDS) > MOST_NUMBERS / 4 {
            return Err(SnapshotError::Format {
                nodes: collected.count.into(),
                edges: 0,
            });
        }
        let heap = reader.heap();
        for file in [&*file, &spools.edges, &spools.strings, &spools.locations] {
            file.set_len(0)?;
            (&mut { file }).rewind()?;
        }
        file.write_all(head(0, 0).as_bytes())?;
        let parts = self.parts(heap, &collected, file, spools)?;
        let (nodes, edges) = (parts.nodes, parts.edges);
        if !last && (collected.disturbed || parts.moved * MOVED > nodes || parts.lost * LOST > nodes) {
            return Ok(None);
        }
        if self.ids.is_exhausted() || edges > MOST_EDGES || nodes * u64::from(NODE_FIELDS) > MOST_NUMBERS {
            return Err(SnapshotError::Format { nodes, edges });
        }
        let mut out = BufWriter::new(file);
        out.write_all(b"],\n\"edges\":[")?;
        append(&spools.edges, &mut out)?;
        out.write_all(b"],\n\"trace_function_infos\":[],\n\"trace_tree\":[],\n\"samples\":[],\n\"locations\":[")?;
        parts.locations.write(heap, &mut out)??;
        out.write_all(b"],\n\"strings\":[")?;
        append(&spools.strings, &mut out)?;
        out.write_all(b"]}\n")?;
        out.seek(io::SeekFrom::Start(0))?;
        out.write_all(head(nodes, edges).as_bytes())?;
        out.flush()?;
        let written = Written {
            nodes,
            edges,
            moved: parts.moved,
            lost: parts.lost,
            left_out: collected.young.left_out,
            recognised: self.ids.recognised,
            disturbed: collected.disturbed,
        };
        self.ids.end(collected.objects);
        Ok(Some(written))
    }

    /// Writes the nodes into the file, edges and strings into theirs.
    fn parts(
        &mut self,
        heap: &Heap<'_>,
        collected: &Collected,
        file: &mut File,
        spools: &Spools,
    ) -> Result<Parts, SnapshotError> {
        self.ids.begin(&collected.objects);
        let most = collected.count + SYNTHETIC;
        let mut emit = Emit::new(
            heap,
            &collected.objects,
            Strings::new(BufWriter::new(spools.strings.try_clone()?), &self.privacy),
            Out::new(file, spools.edges.try_clone()?, most),
            Locations::new(spools.locations.try_clone()?),
            &mut self.ids,
            most,
        );
        root(&mut emit, collected);
        emit.objects(collected)?;
        holders(&mut emit, collected);
        let stores = std::mem::take(&mut emit.stores);
        let name = emit.strings.name("system / JSArrayBufferData");
        for bytes in stores {
            let id = emit.ids.fresh();
            emit.out.node(NodeType::Native, name, id, bytes, 0);
        }
        let (nodes, edges, lost) = (emit.out.node_count.into(), emit.out.edge_count, emit.out.lost);
        emit.out.finish()?;
        emit.strings.finish()?;
        Ok(Parts {
            nodes,
            edges,
            moved: emit.moved,
            lost,
            locations: emit.locations,
        })
    }
}

/// What is known once the nodes are written.
struct Parts {
    nodes: u64,
    edges: u64,
    moved: u64,
    lost: u64,
    locations: Locations<File>,
}

fn append(mut from: &File, to: &mut impl Write) -> io::Result<()> {
    from.rewind()?;
    io::copy(&mut from, to).map(drop)
}

/// The root: it leads to what holds everything, and, as V8's does, to the global objects.
fn root(emit: &mut Emit<'_, '_>, collected: &Collected) {
    let name = emit.strings.name("");
    emit.out.edge(EdgeType::Element, 1, collected.count + 1);
    let mut edges = 1;
    for (number, global) in (2..).zip(&collected.globals) {
        if let Some(to) = collected.objects.ordinal(*global) {
            let number = emit.strings.name(&format!("{number}"));
            emit.out.edge(EdgeType::Shortcut, number, to);
            edges += 1;
        }
    }
    let id = emit.ids.fresh();
    emit.out.node(NodeType::Synthetic, name, id, 0, edges);
}

/// What holds objects from outside the heap; objects that never change; and what nothing in the snapshot leads to, because it moved
/// meanwhile or because what holds it did.
fn holders(emit: &mut Emit<'_, '_>, collected: &Collected) {
    let first = collected.count + 1;
    let names = [
        "(Handles and stacks)",
        "(Read-only roots)",
        "(Held by what moved meanwhile)",
    ];
    let all = emit.strings.name("(GC roots)");
    for number in 1..=3 {
        emit.out.edge(EdgeType::Element, number, first + number);
    }
    let id = emit.ids.fresh();
    emit.out.node(NodeType::Synthetic, all, id, 0, 3);
    for (kind, name) in names.into_iter().enumerate() {
        let name = emit.strings.name(name);
        let mut edges = 0;
        let mut next = 1;
        for objects in &collected.objects.pages {
            let is_read_only = objects.page.space == Space::ReadOnly;
            let count = objects.bits.iter().map(|word| word.count_ones()).sum::<u32>();
            for node in next..next + count {
                let leads = match kind {
                    0 => collected.rooted.has(node),
                    1 => is_read_only && !emit.out.incoming.has(node),
                    _ => !emit.out.incoming.has(node),
                };
                if leads {
                    edges += 1;
                    emit.out.edge(EdgeType::Element, edges, node);
                }
            }
            next += count;
        }
        let id = emit.ids.fresh();
        emit.out.node(NodeType::Synthetic, name, id, 0, edges);
    }
}
