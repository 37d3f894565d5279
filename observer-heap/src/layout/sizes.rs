//! Reads the first words of an object whose map gives no size, produces its size in bytes.
//!
//! Strings, arrays and contexts are sized as published. For the other instance types (which and how changes between
//! versions) every rule V8 uses somewhere is a candidate; `calibrate` keeps for each type the one by which objects end
//! where the next object begins, and none when no rule does.

use std::collections::BTreeMap;

use crate::layout::offsets::Layout;

/// Objects of a type that must have been seen before a rule is believed.
const ENOUGH: u32 = 3;

/// How the size of an object follows from its first words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A Smi at 8 counts units of `1 << shift` bytes behind a header.
    SmiCount { header: u64, shift: u32 },
    /// The lower ten bits of the Smi at 8 count words behind two words (PropertyArray: the rest is a hash).
    HashedCount,
    /// The Smi at 8 is the object's whole size in units of `1 << shift` bytes (FreeSpace: bytes, from V8 13 on words).
    SmiTotal { shift: u32 },
    /// A 16-bit number at 8 counts entries of three words (DescriptorArray).
    Descriptors { header: u64 },
    /// A 32-bit number at 8 counts words behind a header (FeedbackVector).
    IntCount { header: u64, shift: u32 },
    /// Characters of `1 << shift` bytes, their number 32 bits wide at 12.
    Characters { header: u64, shift: u32 },
    /// Bits 1 to 30 of the word at 8 count words (BigInt).
    BigInt,
}

impl Rule {
    /// The object's size in bytes; at least a word, a multiple of 8.
    pub(crate) fn size(self, words: &[[u8; 8]]) -> Option<u64> {
        let second = u64::from_le_bytes(*words.get(1)?);
        let smi = || {
            (second & 0xffff_ffff == 0)
                .then_some(second >> 32)
                .filter(|&n| n < 1 << 31)
        };
        let bytes = match self {
            Self::SmiCount { header, shift } => header + (smi()? << shift),
            Self::HashedCount => 16 + ((smi()? & 0x3ff) << 3),
            Self::SmiTotal { shift } => smi()? << shift,
            Self::Descriptors { header } => header + (second & 0xffff) * 24,
            Self::IntCount { header, shift } => header + ((second & 0x7fff_ffff) << shift),
            Self::Characters { header, shift } => header + ((second >> 32) << shift),
            Self::BigInt => 16 + ((second & 0x7fff_ffff) >> 1 << 3),
        };
        (bytes >= 8).then(|| bytes.next_multiple_of(8))
    }

    /// Whether the body may hold pointers.
    pub(crate) fn has_slots(self) -> bool {
        match self {
            Self::SmiCount { shift, .. } | Self::IntCount { shift, .. } => shift == 3,
            Self::HashedCount | Self::Descriptors { .. } => true,
            Self::SmiTotal { .. } | Self::Characters { .. } | Self::BigInt => false,
        }
    }
}

/// The rule of each instance type that has one.
#[derive(Debug, Clone)]
pub(crate) struct Sizes {
    rules: BTreeMap<u16, Rule>,
    candidates: Vec<Rule>,
    votes: BTreeMap<u16, (u32, Vec<u32>)>,
    /// Tables of Maps and Sets, once they are known.
    tables: [Option<u16>; 2],
    /// By instance type, for the walk: BTreeMap lookups are too slow there.
    table: Vec<Option<Rule>>,
}

impl Sizes {
    pub(crate) fn new(layout: &Layout) -> Self {
        let header = u64::from(layout.array_data);
        let words = Rule::SmiCount { header, shift: 3 };
        let mut rules = BTreeMap::from([(layout.types.fixed_array, words)]);
        rules.extend((layout.types.context_first..=layout.types.context_last).map(|t| (t, words)));
        let mut candidates = vec![
            words,
            Rule::SmiTotal { shift: 0 },
            Rule::SmiTotal { shift: 3 },
            Rule::HashedCount,
            Rule::BigInt,
        ];
        candidates.push(Rule::Descriptors {
            header: u64::from(layout.descriptors_header),
        });
        candidates.push(Rule::SmiCount {
            header: header + 8,
            shift: 3,
        });
        for header in [16, 24, 32, 40, 48, 54, 56, 60, 64, 72] {
            candidates.push(Rule::SmiCount { header, shift: 0 });
        }
        for header in [16, 24, 32, 40, 48, 56] {
            candidates.push(Rule::IntCount { header, shift: 3 });
        }
        for header in [12, 16, 20, 24] {
            candidates.push(Rule::IntCount { header, shift: 2 });
        }
        rules.extend(layout.types.property_array.map(|t| (t, Rule::HashedCount)));
        let mut sizes = Self {
            rules,
            candidates,
            votes: BTreeMap::new(),
            tables: [None; 2],
            table: Vec::new(),
        };
        sizes.add_strings(layout);
        sizes.index();
        sizes
    }

    fn add_strings(&mut self, layout: &Layout) {
        let s = &layout.string;
        for instance_type in 0..s.first_nonstring {
            // Sequential: representation 0. Internalised or shared variants differ in other bits only.
            if instance_type & s.representation_mask == 0 {
                let shift = u32::from(instance_type & s.one_byte == 0);
                self.rules.insert(
                    instance_type,
                    Rule::Characters {
                        header: s.chars.into(),
                        shift,
                    },
                );
            }
        }
    }

    fn index(&mut self) {
        let last = self.rules.keys().next_back().copied().unwrap_or(0);
        self.table = vec![None; usize::from(last) + 1];
        for (&instance_type, &rule) in &self.rules {
            self.table[usize::from(instance_type)] = Some(rule);
        }
    }

    pub(crate) fn rule(&self, instance_type: u16) -> Option<Rule> {
        self.table.get(usize::from(instance_type)).copied().flatten()
    }

    /// Names the tables of Maps and of Sets.
    pub(crate) const fn set_tables(&mut self, map: Option<u16>, set: Option<u16>) {
        self.tables = [map, set];
    }

    /// Whether this is a Map's or Set's table that was replaced by a larger or tidier one: its first element is then no
    /// number but the next table, and its entries are history (src/objects/ordered-hash-table.h).
    pub(crate) fn is_obsolete(&self, instance_type: u16, words: &[[u8; 8]]) -> bool {
        self.tables.contains(&Some(instance_type)) && words.get(2).is_some_and(|word| word[0] & 1 == 1)
    }

    /// Sizes a type like another unless its own rule was learned.
    pub(crate) fn presume(&mut self, instance_type: u16, like: u16) {
        if let (None, Some(rule)) = (self.rule(instance_type), self.rule(like)) {
            self.rules.insert(instance_type, rule);
            self.index();
        }
    }

    /// The instance type of free blocks, if it was learned.
    pub(crate) fn free_type(&self) -> Option<u16> {
        self.rules
            .iter()
            .find(|(_, rule)| matches!(rule, Rule::SmiTotal { .. }))
            .map(|(&instance_type, _)| instance_type)
    }

    /// Lets every candidate vote on one object; `lands` says whether an object begins so many bytes further.
    pub(crate) fn vote<E>(
        &mut self,
        instance_type: u16,
        words: &[[u8; 8]],
        mut lands: impl FnMut(u64) -> Result<bool, E>,
    ) -> Result<(), E> {
        let (seen, votes) = self
            .votes
            .entry(instance_type)
            .or_insert_with(|| (0, vec![0; self.candidates.len()]));
        *seen += 1;
        for (rule, votes) in self.candidates.iter().zip(votes) {
            if let Some(size) = rule.size(words)
                && lands(size)?
            {
                *votes += 1;
            }
        }
        Ok(())
    }

    /// Believes, for each type, the candidate that was right for at least 98 of 100 objects, the best first.
    pub(crate) fn decide(&mut self) {
        for (&instance_type, (seen, votes)) in &self.votes {
            // `max_by_key` takes the last of equals; candidates stand with the likelier first.
            let best = votes.iter().enumerate().rev().max_by_key(|(_, votes)| **votes);
            if let Some((index, &votes)) = best
                && *seen >= ENOUGH
                && u64::from(votes) * 100 >= u64::from(*seen) * 98
            {
                self.rules.insert(instance_type, self.candidates[index]);
            }
        }
        self.index();
    }
}
