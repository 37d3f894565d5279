//! A filter of addresses: reads the addresses looked for, rejects most others by one load (a Bloom filter of one hash).

/// With 2 to the power of `BITS` bits.
pub(crate) struct Filter<const BITS: u32> {
    words: Vec<u64>,
}

impl<const BITS: u32> Filter<BITS> {
    pub(crate) fn new() -> Self {
        Self {
            words: vec![0; 1 << (BITS - 6)],
        }
    }

    /// By Fibonacci hashing: the upper bits of a product with 2^64 over the golden ratio.
    const fn bit(address: u64) -> (usize, u64) {
        let bit = (address >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BITS);
        ((bit / 64) as usize, 1 << (bit % 64))
    }

    pub(crate) fn insert(&mut self, address: u64) {
        let (word, bit) = Self::bit(address);
        self.words[word] |= bit;
    }

    /// Whether the address may be in it; certainly not where this is false.
    #[inline]
    pub(crate) fn may_hold(&self, address: u64) -> bool {
        let (word, bit) = Self::bit(address);
        self.words[word] & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_it_is_found_and_most_of_what_is_not_is_rejected() {
        let mut filter = Filter::<16>::new();
        (0..1_000u64).for_each(|n| filter.insert(0x7f00_0000_0000 + 24 * n));
        assert!((0..1_000u64).all(|n| filter.may_hold(0x7f00_0000_0000 + 24 * n)));
        let wrong = (1_000..11_000u64).filter(|n| filter.may_hold(0x7f00_0000_0000 + 24 * n));
        assert!(wrong.count() < 500);
    }
}
