//! Reads the blocks in use of glibc's allocator, produces how many objects of each C++ class there are, what they hold, and the other
//! blocks by size.
//!
//! A block that begins with the address of a virtual table is an object of that class. Blocks without a class that an object's
//! words lead to, over other such blocks too, are what it holds, unless another object leads there as well. Words are taken for
//! pointers as a conservative collector takes them.

use std::collections::BTreeMap;

use crate::memory::peek::Peek;
use crate::memory::source::{Memory, MemoryError};
use crate::native::arenas::{Malloc, State};
use crate::native::vtables::Vtables;

/// Blocks told apart, 24 bytes each; further ones are only counted by size.
const MOST_BLOCKS: usize = 1 << 21;
/// Bytes of one block that are searched for pointers.
const SEARCHED: u64 = 64 << 10;
/// A pointer leads to a block where it points so far into it at most: some code keeps a block's size before what it hands out.
const INTO: u64 = 64;
/// Objects of one class whose addresses are kept.
const MOST_OBJECTS: usize = 1 << 16;

/// Whose a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Nobody's so far.
    None,
    /// The object at this place in the list.
    One(u32),
    /// Several objects'.
    Several,
    /// It is an object, or an ArrayBuffer's memory.
    Own,
}

/// Objects of one class.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// Objects.
    pub count: u64,
    /// Bytes of their blocks.
    pub bytes: u64,
    /// Bytes of blocks that they alone hold, each object's own.
    pub held: u64,
    /// Where they stand, ascending.
    pub objects: Vec<u64>,
}

/// Blocks of sizes up to a power of two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// The largest size, bytes.
    pub up_to: u64,
    /// Blocks.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Who uses native memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// By bytes, of the objects and of what they hold.
    pub classes: Vec<Class>,
    /// Blocks without a class that no object alone holds, by size.
    pub sizes: Vec<Size>,
}

struct Blocks<'m> {
    peek: Peek<'m>,
    ranges: Vec<(u64, u64)>,
    classes: Vec<Option<u32>>,
    owners: Vec<Owner>,
}

/// The bytes of blocks that addresses lead to, for two groups of addresses: each block that one leads to, and what those of its group
/// alone lead to from there, over other blocks too. A block that both groups have an address of is the first one's. `buffers` are the
/// addresses of ArrayBuffers' memory, ascending, which is not looked at. `None` where there are more blocks than are told apart.
pub fn held_alone(
    memory: &dyn Memory,
    malloc: &Malloc,
    groups: [&[u64]; 2],
    buffers: &[u64],
) -> Result<Option<[u64; 2]>, MemoryError> {
    let mut blocks = Blocks::of(memory, malloc, &mut |_| {});
    if blocks.ranges.len() >= MOST_BLOCKS {
        return Ok(None);
    }
    blocks.leave_out(buffers);
    for (group, addresses) in (0..).zip(groups) {
        for &address in addresses {
            if let Some(block) = blocks.at(address)
                && blocks.owners[block] != Owner::Own
            {
                blocks.classes[block] = Some(group);
                blocks.owners[block] = Owner::Own;
            }
        }
    }
    blocks.share_out()?;
    Ok(Some([0, 1].map(|group| blocks.bytes_of(group))))
}

impl Census {
    /// Counts; `buffers` are the addresses of ArrayBuffers' memory, ascending, which is not looked at.
    pub fn read(memory: &dyn Memory, malloc: &Malloc, vtables: &Vtables, buffers: &[u64]) -> Result<Self, MemoryError> {
        let mut sizes = BTreeMap::new();
        let mut blocks = Blocks::of(memory, malloc, &mut |bytes| Size::count(&mut sizes, bytes));
        blocks.classify(vtables, buffers)?;
        blocks.share_out()?;
        Ok(blocks.count(vtables, buffers, sizes))
    }
}

impl Size {
    /// Counts a block among others by size, whose keys are the largest sizes.
    pub fn count(sizes: &mut BTreeMap<u64, Self>, bytes: u64) {
        let up_to = bytes.next_power_of_two();
        let size = sizes.entry(up_to).or_default();
        size.up_to = up_to;
        size.count += 1;
        size.bytes += bytes;
    }
}

impl<'m> Blocks<'m> {
    /// Those in use; `further` is told the bytes of each that is not told apart.
    fn of(memory: &'m dyn Memory, malloc: &Malloc, further: &mut dyn FnMut(u64)) -> Self {
        let mut ranges = Vec::new();
        for block in malloc.blocks().filter(|block| block.state == State::InUse) {
            if ranges.len() < MOST_BLOCKS {
                ranges.push((block.start, block.end));
            } else {
                further(block.end - block.start);
            }
        }
        ranges.sort_unstable();
        Self {
            peek: Peek::new(memory),
            classes: vec![None; ranges.len()],
            owners: vec![Owner::None; ranges.len()],
            ranges,
        }
    }

    /// The block that an address leads to.
    fn at(&self, address: u64) -> Option<usize> {
        let index = self
            .ranges
            .partition_point(|range| range.0 + 16 <= address)
            .checked_sub(1)?;
        let (start, end) = self.ranges[index];
        (address < end && address - start - 16 < INTO).then_some(index)
    }

    /// Blocks of ArrayBuffers' memory are nobody else's.
    fn leave_out(&mut self, buffers: &[u64]) {
        for (range, owner) in self.ranges.iter().zip(&mut self.owners) {
            if buffers.binary_search(&(range.0 + 16)).is_ok() {
                *owner = Owner::Own;
            }
        }
    }

    /// Bytes of blocks of a class, and of what these alone hold.
    fn bytes_of(&self, class: u32) -> u64 {
        let whose = |index: usize| match self.owners[index] {
            Owner::One(object) => self.classes[object as usize],
            _ => self.classes[index],
        };
        let ranges = self.ranges.iter().enumerate();
        ranges
            .filter(|(index, _)| whose(*index) == Some(class))
            .map(|(_, range)| range.1 - range.0)
            .sum()
    }

    fn classify(&mut self, vtables: &Vtables, buffers: &[u64]) -> Result<(), MemoryError> {
        for (index, &(start, _)) in self.ranges.iter().enumerate() {
            if buffers.binary_search(&(start + 16)).is_ok() {
                self.owners[index] = Owner::Own;
            } else if let Some(class) = vtables.class(self.peek.word(start + 16)?) {
                self.classes[index] = Some(class);
                self.owners[index] = Owner::Own;
            }
        }
        Ok(())
    }

    /// Gives each block that one object alone leads to, to that object.
    fn share_out(&mut self) -> Result<(), MemoryError> {
        let mut several = Vec::new();
        let mut pending = Vec::new();
        for object in 0..self.ranges.len() {
            if self.classes[object].is_none() {
                continue;
            }
            pending.push(object);
            while let Some(from) = pending.pop() {
                for to in self.leads_to(from)? {
                    match self.owners[to] {
                        Owner::None => {
                            self.owners[to] = Owner::One(object as u32);
                            pending.push(to);
                        }
                        Owner::One(other) if other as usize != object => several.push(to),
                        _ => {}
                    }
                }
            }
        }
        while let Some(block) = several.pop() {
            if self.owners[block] != Owner::Several {
                self.owners[block] = Owner::Several;
                let next = self.leads_to(block)?;
                several.extend(next.into_iter().filter(|&to| matches!(self.owners[to], Owner::One(_))));
            }
        }
        Ok(())
    }

    /// Blocks without a class that the words of a block point at.
    fn leads_to(&self, block: usize) -> Result<Vec<usize>, MemoryError> {
        let (start, end) = self.ranges[block];
        // Behind the header; the last word of a chunk is the next one's first.
        let length = (end - start).saturating_sub(16).min(SEARCHED + 8);
        let mut bytes = vec![0; length as usize & !7];
        self.peek.memory.read(start + 16, &mut bytes)?;
        let (Some(first), Some(last)) = (self.ranges.first(), self.ranges.last()) else {
            return Ok(Vec::new());
        };
        let all = first.0..last.1;
        let mut found = Vec::new();
        for word in bytes.as_chunks::<8>().0 {
            let word = u64::from_le_bytes(*word);
            if !all.contains(&word) {
                continue;
            }
            if let Some(index) = self.at(word)
                && self.owners[index] != Owner::Own
            {
                found.push(index);
            }
        }
        Ok(found)
    }

    fn count(&self, vtables: &Vtables, buffers: &[u64], mut sizes: BTreeMap<u64, Size>) -> Census {
        let mut classes = BTreeMap::<u32, Class>::new();
        for (index, &(start, end)) in self.ranges.iter().enumerate() {
            let bytes = end - start;
            match (self.classes[index], self.owners[index]) {
                (Some(class), _) => {
                    let class = classes.entry(class).or_default();
                    class.count += 1;
                    class.bytes += bytes;
                    if class.objects.len() < MOST_OBJECTS {
                        class.objects.push(start + 16);
                    }
                }
                (None, Owner::One(object)) => {
                    if let Some(class) = self.classes.get(object as usize).copied().flatten() {
                        classes.entry(class).or_default().held += bytes;
                    }
                }
                (None, Owner::Own) if buffers.binary_search(&(start + 16)).is_ok() => {}
                (None, _) => Size::count(&mut sizes, bytes),
            }
        }
        let mut classes: Vec<Class> = classes
            .into_iter()
            .map(|(class, counted)| Class {
                name: vtables.name(class),
                ..counted
            })
            .collect();
        classes.sort_by(|a, b| (b.bytes + b.held, &a.name).cmp(&(a.bytes + a.held, &b.name)));
        Census {
            classes,
            sizes: sizes.into_values().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::source::{Image, Region};
    use crate::native::arenas::Areas;

    const BASE: u64 = 0x50_0000;
    const TABLE: u64 = 0x1000;

    /// A heap of chunks of these sizes and first words, with a top behind.
    fn heap(chunks: &[(u64, &[u64])]) -> (Image, Malloc) {
        let mut words = Vec::new();
        for (size, body) in chunks.iter().chain([&(64, &[][..])]) {
            let begin = words.len();
            words.extend([0, size | 1]);
            words.extend(*body);
            words.resize(begin + *size as usize / 8, 0);
        }
        let region = Region {
            start: BASE,
            end: BASE + words.len() as u64 * 8,
            executable: false,
        };
        let mut image = Image::default();
        image.insert(region, words.iter().flat_map(|word| word.to_le_bytes()).collect());
        let areas = Areas {
            brk: Some(region),
            anonymous: &[],
            library: &[],
        };
        let malloc = Malloc::read(&image, areas).unwrap();
        (image, malloc)
    }

    fn census(chunks: &[(u64, &[u64])], buffers: &[u64]) -> Census {
        let (image, malloc) = heap(chunks);
        let vtables = Vtables::of(&[(TABLE, 64, "_ZTV1A"), (2 * TABLE, 64, "_ZTV1B")]);
        Census::read(&image, &malloc, &vtables, buffers).unwrap()
    }

    #[test]
    fn an_object_holds_what_it_alone_leads_to() {
        let (a, b) = (TABLE + 16, 2 * TABLE + 16);
        let at = |offset: u64| BASE + offset + 16;
        let census = census(
            &[
                (64, &[a, at(128), at(192) + 8, at(384)]), // 0: A leads to the next but one, into one behind it, and a shared one
                (64, &[b, at(384), at(448)]),              // 64: B leads to the shared one, and an ArrayBuffer's memory
                (64, &[at(256)]),                          // 128: leads on
                (64, &[0]),                                // 192
                (128, &[at(0)]),                           // 256: leads back
                (64, &[0]),                                // 384: shared
                (64, &[0]),                                // 448: an ArrayBuffer's
                (1024, &[at(0)]),                          // 512: nobody's
            ],
            &[at(448)],
        );
        let told: Vec<_> = census
            .classes
            .iter()
            .map(|class| (class.name.as_str(), class.count, class.bytes, class.held))
            .collect();
        assert_eq!(told, [("A", 1, 64, 64 + 64 + 128), ("B", 1, 64, 0)]);
        let sizes: Vec<_> = census
            .sizes
            .iter()
            .map(|size| (size.up_to, size.count, size.bytes))
            .collect();
        assert_eq!(sizes, [(64, 1, 64), (1024, 1, 1024)]);
        assert_eq!(census.classes[0].objects, [at(0)]);
    }

    #[test]
    fn what_one_group_of_addresses_alone_leads_to_is_told_from_what_both_lead_to() {
        let at = |offset: u64| BASE + offset + 16;
        let (image, malloc) = heap(&[
            (64, &[at(64), at(256)]),  // 0: led to, and leads on
            (64, &[at(128)]),          // 64
            (128, &[at(0), at(384)]),  // 128: leads back, and to an ArrayBuffer's memory
            (128, &[at(512)]),         // 256: another leads here as well
            (128, &[0]),               // 384: an ArrayBuffer's
            (256, &[0]),               // 512
            (64, &[at(256), at(832)]), // 768: led to by the others
            (4096, &[0]),              // 832
            (1024, &[at(0)]),          // 4928: nobody leads here
        ]);
        let bytes = |first: &[u64], second: &[u64]| {
            let held = held_alone(&image, &malloc, [first, second], &[at(384)]);
            held.unwrap().unwrap()
        };
        assert_eq!(bytes(&[at(0)], &[at(768)]), [64 + 64 + 128, 64 + 4096]);
        assert_eq!(bytes(&[at(0)], &[]), [64 + 64 + 128 + 128 + 256, 0]);
        // An address that both have is the first one's; one beside every block leads nowhere.
        assert_eq!(bytes(&[at(0) + 8, 16], &[at(0), at(768)]), [64 + 64 + 128, 64 + 4096]);
    }
}
