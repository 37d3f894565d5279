//! Remembers words that stand again and again in the objects of a page: their maps, empty arrays, functions, scopes. What such a word
//! points at was marked when it was met first.

/// Words remembered: few enough to stay in the processor's nearest cache.
const WORDS: usize = 256;
/// Where the label stands in a word: no address has these bits.
const LABEL: u32 = 56;

/// Words whose targets are marked already, each with the label that it was marked with.
pub(crate) struct Repeated(Box<[u64; WORDS]>);

impl Repeated {
    pub(crate) fn new() -> Self {
        Self(Box::new([0; WORDS]))
    }

    const fn place(word: u64) -> usize {
        (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize % WORDS
    }

    /// Whether this word was added with this label, and not another in its place since.
    #[inline]
    pub(crate) const fn contains(&self, word: u64, label: u8) -> bool {
        self.0[Self::place(word)] == word | (label as u64) << LABEL
    }

    #[inline]
    pub(crate) const fn add(&mut self, word: u64, label: u8) {
        self.0[Self::place(word)] = word | (label as u64) << LABEL;
    }

    pub(crate) fn clear(&mut self) {
        self.0.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_known_with_its_label_until_another_takes_its_place_or_all_are_forgotten() {
        let mut repeated = Repeated::new();
        let word = 0x7f12_3456_7801;
        assert!(!repeated.contains(word, 0));
        repeated.add(word, 2);
        assert!(repeated.contains(word, 2) && !repeated.contains(word, 0) && !repeated.contains(word, 1));
        let other = (1..100_000)
            .map(|n| word + 8 * n)
            .find(|&other| Repeated::place(other) == Repeated::place(word));
        repeated.add(other.unwrap(), 2);
        assert!(!repeated.contains(word, 2));
        repeated.add(word, 0);
        assert!(repeated.contains(word, 0));
        repeated.clear();
        assert!(!repeated.contains(word, 0));
    }
}
