//! Reads a ScopeInfo, produces the function's name and position and the names of its context's variables.
//!
//! How its flags are laid out is not published and changes between versions; what follows them is told apart by what
//! stands there instead (src/objects/scope-info.tq, V8 10 to 14): of a module, from V8 12 on, the number of its variables that other
//! modules see; names of the context's locals, one Smi for each of
//! them, then, each only if present: name and slot of the function's own variable, an inferred name, start and end (as
//! long as they do not stand before the names), the outer ScopeInfo.

use crate::layout::maps::Maps;
use crate::layout::refusal::Refusal;
use crate::memory::peek::{smi, strong};

/// From so many locals on a hash table stands instead of their names (`kScopeInfoMaxInlinedLocalNamesSize`).
const MOST_INLINED: u64 = 75;
/// Words looked at behind the locals.
const TAIL: usize = 7;

/// What a ScopeInfo says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ScopeInfo {
    /// Tagged pointers to strings.
    pub(crate) name: Option<u64>,
    /// Where the function's own variable is, in its context or on the stack.
    pub(crate) own: Option<i32>,
    pub(crate) inferred: Option<u64>,
    /// Where the function starts in its source, characters.
    pub(crate) start: Option<u32>,
    pub(crate) outer: Option<u64>,
}

/// What a word of the tail is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Smi(i32),
    Text(u64),
    Scope(u64),
    Other,
}

impl Maps<'_> {
    pub(crate) fn scope_info(&self, address: u64) -> Result<ScopeInfo, Refusal> {
        let first = u64::from(self.layout.scope_first_vars);
        let Some(locals) = self.scope_locals(address)? else {
            return Ok(ScopeInfo::default());
        };
        let names = if locals < MOST_INLINED { locals } else { 1 };
        let tail = self.scope_names(address, locals)? + 8 * (names + locals);
        let mut words = [Word::Other; TAIL];
        for (index, word) in words.iter_mut().enumerate() {
            *word = self.classify(self.peek.word(tail + 8 * index as u64)?)?;
        }
        // Five words before the names: start and end stand among them.
        let start_before = (first >= 5).then_some(address + 8 + 8 * 3);
        let mut info = parse(&words, start_before.is_some());
        if let Some(at) = start_before {
            info.start = smi(self.peek.word(at)?).and_then(|start| u32::try_from(start).ok());
        }
        Ok(info)
    }

    /// How many variables the scope's context has; nothing when this is no number one could believe.
    pub(crate) fn scope_locals(&self, address: u64) -> Result<Option<u64>, Refusal> {
        let word = self.peek.word(address + 8 + 8 * u64::from(self.layout.scope_locals))?;
        Ok(smi(word).and_then(|n| u64::try_from(n).ok()).filter(|&n| n < 1 << 16))
    }

    /// Where the names of so many variables begin, or the table of them.
    fn scope_names(&self, address: u64, locals: u64) -> Result<u64, Refusal> {
        let names = address + 8 + 8 * u64::from(self.layout.scope_first_vars);
        let counts = locals > 0 && smi(self.peek.word(names)?).is_some();
        Ok(names + 8 * u64::from(counts))
    }

    /// Which slot of a context of so many is the first variable's, by the context's scope. The scope of a module, and of a function with
    /// sloppy `eval`, has one slot more before its variables (`ScopeInfo::ContextHeaderLength`), one whose function refers to itself by
    /// its own name has that behind them.
    pub(crate) fn first_variable(&self, scope: u64, slots: u64) -> Result<Option<u64>, Refusal> {
        let Some(locals) = self.scope_locals(scope)? else {
            return Ok(None);
        };
        let own = self.scope_info(scope)?.own.and_then(|own| u64::try_from(own).ok());
        let header = slots.checked_sub(locals);
        let without_own = header.filter(|_| own.is_some_and(|own| own + 1 == slots));
        let candidates = [without_own.and_then(|header| header.checked_sub(1)), header];
        let first = u64::from(self.layout.context_min_slots);
        Ok(candidates
            .into_iter()
            .flatten()
            .find(|header| (first..=first + 1).contains(header)))
    }

    /// The name of one of the context's variables, as a tagged pointer.
    pub(crate) fn scope_local(&self, address: u64, index: u64) -> Result<Option<u64>, Refusal> {
        let Some(locals) = self.scope_locals(address)?.filter(|locals| index < *locals) else {
            return Ok(None);
        };
        let names = self.scope_names(address, locals)?;
        if locals < MOST_INLINED {
            Ok(Some(self.peek.word(names + 8 * index)?))
        } else {
            self.hashed_local(self.peek.word(names)?, index)
        }
    }

    /// The name whose value in a NameToIndexHashTable is this index: behind three counters, pairs of name and Smi.
    fn hashed_local(&self, table: u64, index: u64) -> Result<Option<u64>, Refusal> {
        let Some(table) = strong(table) else { return Ok(None) };
        let data = table + u64::from(self.layout.array_data);
        let length = smi(self.peek.word(data - 8)?)
            .and_then(|n| u64::try_from(n).ok())
            .unwrap_or(0)
            .min(1 << 17);
        for pair in 0..length.saturating_sub(3) / 2 {
            let key = data + 8 * (3 + 2 * pair);
            if smi(self.peek.word(key + 8)?).is_some_and(|value| i64::from(value) == index as i64) {
                return Ok(Some(self.peek.word(key)?));
            }
        }
        Ok(None)
    }

    fn classify(&self, word: u64) -> Result<Word, Refusal> {
        if let Some(value) = smi(word) {
            return Ok(Word::Smi(value));
        }
        let Some(address) = strong(word) else {
            return Ok(Word::Other);
        };
        Ok(match self.of(address)? {
            Some(map) if map.instance_type < self.layout.string.first_nonstring => Word::Text(word),
            Some(map) if map.instance_type == self.layout.types.scope_info => Word::Scope(address),
            _ => Word::Other,
        })
    }
}

/// Tells the optional words behind the locals apart.
fn parse(words: &[Word; TAIL], positions_before: bool) -> ScopeInfo {
    let mut info = ScopeInfo::default();
    let mut at = 0;
    let smis = |from: usize| {
        words[from.min(TAIL)..]
            .iter()
            .take_while(|word| matches!(word, Word::Smi(_)))
            .count()
    };
    // The function's variable: a string (or 0 while it has none) and a Smi. Positions are two Smis, so with them a name
    // is followed by one Smi and something else, or by three.
    let own = match words[0] {
        Word::Text(_) => matches!((positions_before, smis(1)), (true, 1) | (false, 1 | 3)),
        Word::Smi(0) => {
            matches!((positions_before, smis(0)), (true, 2) | (false, 2 | 4))
                && !(!positions_before && smis(0) == 2 && !text(words[2]))
        }
        _ => false,
    };
    if own {
        if let Word::Text(name) = words[0] {
            info.name = Some(name);
        }
        if let Word::Smi(slot) = words[1] {
            info.own = Some(slot);
        }
        at = 2;
    }
    match words[at] {
        Word::Text(inferred) => {
            info.inferred = Some(inferred);
            at += 1;
        }
        // `undefined` in place of an inferred name.
        Word::Other if positions_before || smis(at + 1) == 2 => at += 1,
        _ => {}
    }
    if !positions_before && let (Some(Word::Smi(start)), Some(Word::Smi(_))) = (words.get(at), words.get(at + 1)) {
        info.start = u32::try_from(*start).ok();
        at += 2;
    }
    if let Some(Word::Scope(outer)) = words.get(at) {
        info.outer = Some(*outer);
    }
    info
}

fn text(word: Word) -> bool {
    matches!(word, Word::Text(_))
}

#[cfg(test)]
mod tests {
    use super::Word::{Other, Scope, Smi, Text};
    use super::*;

    #[track_caller]
    fn check(
        positions_before: bool,
        words: &[Word],
        name: Option<u64>,
        inferred: Option<u64>,
        start: Option<u32>,
        outer: Option<u64>,
    ) {
        let mut tail = [Other; TAIL];
        tail[..words.len()].copy_from_slice(words);
        assert_eq!(
            parse(&tail, positions_before),
            ScopeInfo {
                name,
                own: words.get(1).filter(|_| name.is_some()).and_then(|word| match word {
                    Smi(slot) => Some(*slot),
                    _ => None,
                }),
                inferred,
                start,
                outer
            }
        );
    }

    #[test]
    fn with_positions_behind_the_names() {
        check(
            false,
            &[Text(1), Smi(-1), Smi(10), Smi(20), Scope(9)],
            Some(1),
            None,
            Some(10),
            Some(9),
        );
        check(
            false,
            &[Text(1), Smi(4), Text(2), Smi(10), Smi(20), Scope(9)],
            Some(1),
            Some(2),
            Some(10),
            Some(9),
        );
        check(
            false,
            &[Text(2), Smi(10), Smi(20), Scope(9)],
            None,
            Some(2),
            Some(10),
            Some(9),
        );
        check(false, &[Smi(10), Smi(20), Scope(9)], None, None, Some(10), Some(9));
        check(false, &[Smi(0), Smi(20), Scope(9)], None, None, Some(0), Some(9));
        check(false, &[Scope(9)], None, None, None, Some(9));
    }

    #[test]
    fn with_positions_before_the_names() {
        check(true, &[Text(1), Smi(-1), Scope(9)], Some(1), None, None, Some(9));
        check(
            true,
            &[Text(1), Smi(4), Text(2), Scope(9)],
            Some(1),
            Some(2),
            None,
            Some(9),
        );
        check(true, &[Text(2), Scope(9)], None, Some(2), None, Some(9));
        check(true, &[Scope(9)], None, None, None, Some(9));
    }
}
