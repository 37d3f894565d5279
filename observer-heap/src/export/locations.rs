//! Reads which function each closure and each instance of a class belongs to, produces the `locations` of a snapshot: where that
//! function stands, lines and columns counted from 0.

use std::collections::BTreeMap;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

use crate::export::out::NODE_FIELDS;
use crate::layout::refusal::Refusal;
use crate::memory::by_address::ByAddress;
use crate::walk::heap::Heap;

/// Functions whose place is looked up.
const MOST_FUNCTIONS: usize = 1 << 17;

/// Pairs of node and function, in a file until all are known.
pub(crate) struct Locations<F: Read + Write + Seek> {
    pairs: BufWriter<F>,
    functions: ByAddress<u32>,
    addresses: Vec<u64>,
    failed: Option<io::Error>,
}

/// Where a function stands: script, line, column.
type Place = (u32, u32, u32);

impl<F: Read + Write + Seek> Locations<F> {
    pub(crate) fn new(file: F) -> Self {
        Self {
            pairs: BufWriter::new(file),
            functions: ByAddress::default(),
            addresses: Vec::new(),
            failed: None,
        }
    }

    /// Notes that a node belongs to the function with this SharedFunctionInfo.
    pub(crate) fn note(&mut self, node: u32, shared: u64) {
        let known = self.functions.get(&shared).copied();
        let index = match known {
            Some(index) => index,
            None if self.addresses.len() < MOST_FUNCTIONS => {
                let index = self.addresses.len() as u32;
                self.addresses.push(shared);
                self.functions.insert(shared, index);
                index
            }
            None => return,
        };
        let pair = u64::from(node) << 32 | u64::from(index);
        if self.failed.is_none() {
            self.failed = self.pairs.write_all(&pair.to_le_bytes()).err();
        }
    }

    /// Writes them, separated by commas.
    pub(crate) fn write(self, heap: &Heap<'_>, out: &mut impl Write) -> Result<io::Result<()>, Refusal> {
        let places = places(heap, &self.addresses)?;
        if let Some(error) = self.failed {
            return Ok(Err(error));
        }
        let written = || -> io::Result<()> {
            let mut file = self.pairs.into_inner()?;
            file.rewind()?;
            let mut pairs = BufReader::new(file);
            let mut pair = [0; 8];
            let mut first = true;
            while let Ok(()) = pairs.read_exact(&mut pair) {
                let pair = u64::from_le_bytes(pair);
                let Some(Some((script, line, column))) = places.get((pair & 0xffff_ffff) as usize) else {
                    continue;
                };
                let comma = if first { "" } else { "," };
                first = false;
                let node = (pair >> 32) * u64::from(NODE_FIELDS);
                writeln!(out, "{comma}{node},{script},{line},{column}")?;
            }
            Ok(())
        };
        Ok(written())
    }
}

/// Where functions stand. Scripts are numbered in order of their address: V8 publishes no place of their own numbers.
fn places(heap: &Heap<'_>, functions: &[u64]) -> Result<Vec<Option<Place>>, Refusal> {
    let mut by_script = BTreeMap::<u64, Vec<(u32, usize)>>::new();
    for (index, &shared) in functions.iter().enumerate() {
        if let Some(function) = heap.maps.function(shared)?
            && let (Some(script), Some(position)) = (function.script, function.position)
        {
            by_script.entry(script).or_default().push((position, index));
        }
    }
    let mut places = vec![None; functions.len()];
    for (number, (script, mut functions)) in (1..).zip(by_script) {
        functions.sort_unstable();
        let positions: Vec<u32> = functions.iter().map(|(position, _)| *position).collect();
        let (spots, _) = heap.maps.spots(script, &positions)?;
        for ((_, index), spot) in functions.into_iter().zip(spots) {
            places[index] = Some((number, spot.line - 1, spot.column - 1));
        }
    }
    Ok(places)
}
