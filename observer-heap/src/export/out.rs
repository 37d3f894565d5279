//! Writes numbers of nodes and edges, and counts them: the counts at a snapshot's head must be exact.

use std::io::{self, BufWriter, Write};

use crate::export::objects::Bits;

/// Fields of a node, of an edge.
pub(crate) const NODE_FIELDS: u32 = 7;
const BUFFER: usize = 1 << 18;

/// Types of nodes, in the order of the snapshot's `node_types`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum NodeType {
    Hidden,
    Array,
    String,
    Object,
    Code,
    Closure,
    RegExp,
    Number,
    Native,
    Synthetic,
    ConsString,
    SlicedString,
    Symbol,
    BigInt,
    Shape,
}

/// Types of edges, in the order of `edge_types`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum EdgeType {
    Context,
    Element,
    Property,
    Internal,
    Hidden,
    Shortcut,
    Weak,
}

/// What stands before `nodes`, with room for the counts.
pub(crate) fn head(nodes: u64, edges: u64) -> String {
    format!(
        concat!(
            r#"{{"snapshot":{{"meta":{{"node_fields":["type","name","id","self_size","edge_count","trace_node_id","detachedness"],"#,
            r#""node_types":[["hidden","array","string","object","code","closure","regexp","number","native","synthetic","#,
            r#""concatenated string","sliced string","symbol","bigint","object shape"],"#,
            r#""string","number","number","number","number","number"],"#,
            r#""edge_fields":["type","name_or_index","to_node"],"#,
            r#""edge_types":[["context","element","property","internal","hidden","shortcut","weak"],"string_or_number","node"],"#,
            r#""trace_function_info_fields":["function_id","name","script_name","script_id","line","column"],"#,
            r#""trace_node_fields":["id","function_info_index","count","size","children"],"#,
            r#""sample_fields":["timestamp_us","last_assigned_id"],"#,
            r#""location_fields":["object_index","script_id","line","column"]}},"#,
            "\"node_count\":{:<10},\"edge_count\":{:<20},\"trace_function_count\":0}},\n\"nodes\":["
        ),
        nodes, edges
    )
}

/// Nodes and edges as they are written.
pub(crate) struct Out<N: Write, E: Write> {
    nodes: BufWriter<N>,
    edges: BufWriter<E>,
    pub(crate) node_count: u32,
    pub(crate) edge_count: u64,
    /// Strong references to objects that are no nodes: they moved, or came to be, since what is held was told.
    pub(crate) lost: u64,
    /// By number: something that is no weak reference leads there.
    pub(crate) incoming: Bits,
    failed: Option<io::Error>,
}

impl<N: Write, E: Write> Out<N, E> {
    pub(crate) fn new(nodes: N, edges: E, most: u32) -> Self {
        Self {
            nodes: BufWriter::with_capacity(BUFFER, nodes),
            edges: BufWriter::with_capacity(BUFFER, edges),
            node_count: 0,
            edge_count: 0,
            lost: 0,
            incoming: Bits::new(most),
            failed: None,
        }
    }

    /// The next node; its edges are those written since the one before.
    pub(crate) fn node(&mut self, kind: NodeType, name: u32, id: u32, bytes: u64, edges: u32) {
        // Readers keep 32 bits.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let values = [kind as u32, name, id, bytes, edges, 0, 0];
        self.node_count += 1;
        keep(&mut self.failed, numbers(&mut self.nodes, self.node_count > 1, &values));
    }

    pub(crate) fn edge(&mut self, kind: EdgeType, name: u32, to: u32) {
        if kind != EdgeType::Weak {
            self.incoming.set(to);
        }
        self.edge_count += 1;
        let values = [kind as u32, name, to * NODE_FIELDS];
        keep(&mut self.failed, numbers(&mut self.edges, self.edge_count > 1, &values));
    }

    /// Ends, when all could be written.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        match self.failed {
            Some(error) => Err(error),
            None => self.nodes.flush().and_then(|()| self.edges.flush()),
        }
    }
}

/// Keeps the first failure: what follows it is not written to the end.
fn keep(failed: &mut Option<io::Error>, done: io::Result<()>) {
    if failed.is_none() {
        *failed = done.err();
    }
}

fn numbers(out: &mut impl Write, comma: bool, values: &[u32]) -> io::Result<()> {
    let mut buffer = itoa::Buffer::new();
    for (index, &value) in values.iter().enumerate() {
        if comma || index > 0 {
            out.write_all(b",")?;
        }
        out.write_all(buffer.format(value).as_bytes())?;
    }
    out.write_all(b"\n")
}
