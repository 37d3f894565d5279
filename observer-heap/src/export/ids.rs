//! Gives objects ids, the same in each snapshot of one sitting: by address, where what stands there can be the same object.
//!
//! An old object keeps its address unless a major collection compacts its page. What stands at the address must be of the same
//! class, or, where contents never change (strings, closures, scopes), the same contents. Young objects move at the next minor
//! collection, and nothing tells where to: after one, all of them get new ids.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::export::objects::Objects;
use crate::export::out::NodeType;
use crate::export::plan::{Naming, Plan, Slots};
use crate::memory::pages::Space;

/// Ids of heap objects are odd, as V8's are.
const STEP: u32 = 2;
/// A minor collection moves every young object that is held; without one, so many percent are where they were.
const STAY_PERCENT: u64 = 90;
/// Words of a string by which it is known again: its length and its first characters.
const STRING_WORDS: std::ops::Range<usize> = 2..6;

/// Objects of the snapshot before.
struct Known {
    objects: Objects,
    /// Id and mark of recognition, by number.
    ids: Vec<(u32, u32)>,
    /// Young objects stand where they stood: there was no minor collection since.
    young_stay: bool,
}

/// Ids given so far.
pub(crate) struct Ids {
    next: u32,
    before: Option<Known>,
    now: Vec<(u32, u32)>,
    /// Another snapshot may follow.
    keep: bool,
    /// Objects that were known again.
    pub(crate) recognised: u64,
}

impl Ids {
    pub(crate) const fn new(keep: bool) -> Self {
        Self {
            next: 1,
            before: None,
            now: Vec::new(),
            keep,
            recognised: 0,
        }
    }

    /// Begins a snapshot of these objects.
    pub(crate) fn begin(&mut self, objects: &Objects) {
        self.now = Vec::new();
        self.recognised = 0;
        if let Some(before) = &mut self.before {
            let (mut young, mut stayed) = (0, 0);
            before.objects.each(Space::Young, &mut |address| {
                young += 1;
                stayed += u64::from(objects.ordinal(address).is_some());
            });
            before.young_stay = stayed * 100 >= young * STAY_PERCENT;
        }
    }

    /// The next id that nothing had; 0 when there is none.
    pub(crate) fn fresh(&mut self) -> u32 {
        let id = self.next;
        self.next = id.checked_add(STEP).unwrap_or(0);
        if id == 0 { 0 } else { id }
    }

    /// Whether 32 bits were not enough.
    pub(crate) const fn is_exhausted(&self) -> bool {
        self.next == 0
    }

    /// The id of the next object in order.
    pub(crate) fn of(&mut self, address: u64, mark: u32) -> u32 {
        let known = self.before.as_ref().and_then(|before| {
            let space = before.objects.space(address)?;
            let ordinal = before.objects.ordinal(address)?;
            let (id, known) = *before.ids.get(ordinal as usize - 1)?;
            ((space != Space::Young || before.young_stay) && known == mark).then_some(id)
        });
        self.recognised += u64::from(known.is_some());
        let id = known.unwrap_or_else(|| self.fresh());
        if self.keep {
            self.now.push((id, mark));
        }
        id
    }

    /// Ends a snapshot: the next one's objects are looked for among these.
    pub(crate) fn end(&mut self, objects: Objects) {
        if self.keep {
            let ids = std::mem::take(&mut self.now);
            self.before = Some(Known {
                objects,
                ids,
                young_stay: false,
            });
        }
    }
}

/// By what an object is known again.
pub(crate) fn mark(plan: &Plan, words: &[[u8; 8]], slots: (u32, u32)) -> u32 {
    let mut hasher = DefaultHasher::new();
    plan.identity.hash(&mut hasher);
    let word = |index: usize| words.get(index).copied().unwrap_or_default();
    let (shared, context) = slots;
    match (&plan.naming, &plan.slots) {
        (Naming::Closure, _) => {
            (word(shared as usize / 8), word(context as usize / 8)).hash(&mut hasher);
        }
        (_, Slots::Context) => (word(2), word(3)).hash(&mut hasher),
        // The lower half of the second word is the string's own hash, which is computed when it is first asked for.
        (Naming::Text, _) => {
            word(1)[4..].hash(&mut hasher);
            words
                .get(STRING_WORDS.start..words.len().min(STRING_WORDS.end))
                .hash(&mut hasher);
        }
        (_, Slots::Elements) if plan.kind == NodeType::Array => word(1).hash(&mut hasher),
        _ => {}
    }
    hasher.finish() as u32
}
