//! Tells in which file a scope stands. A ScopeInfo does not say; the functions inside of it do.

use std::cell::RefCell;

use crate::layout::maps::Maps;
use crate::layout::refusal::Refusal;
use crate::memory::by_address::ByAddress;
use crate::memory::peek::strong;
use crate::names::functions::Function;

/// Scopes around a function that are followed.
const DEEPEST: usize = 64;

/// The functions of the last reading, and what they say about the scopes around them; filled when first asked.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    functions: RefCell<Vec<u64>>,
    /// ScopeInfo to a SharedFunctionInfo in it, and whether that is the scope's own function.
    inside: RefCell<ByAddress<(u64, bool)>>,
}

impl Scopes {
    pub(crate) fn remember(&self, functions: impl Iterator<Item = u64>) {
        self.inside.borrow_mut().clear();
        self.functions.borrow_mut().extend(functions);
    }

    /// The file a scope stands in, and its function's name when that is known.
    pub(crate) fn describe(&self, maps: &Maps<'_>, scope: u64) -> Result<(Option<String>, Option<String>), Refusal> {
        if self.inside.borrow().is_empty() {
            let functions = self.functions.take();
            let mut inside = ByAddress::default();
            for shared in functions {
                note(maps, shared, &mut inside)?;
            }
            *self.inside.borrow_mut() = inside;
        }
        let Some((shared, own)) = self.inside.borrow().get(&scope).copied() else {
            return Ok((None, None));
        };
        let function: Function = maps.function(shared)?.unwrap_or_default();
        Ok((
            function.file,
            own.then_some(function.name).filter(|name| !name.is_empty()),
        ))
    }
}

/// Notes a function under its own scope and all scopes around it.
fn note(maps: &Maps<'_>, shared: u64, inside: &mut ByAddress<(u64, bool)>) -> Result<(), Refusal> {
    let layout = &maps.layout.function;
    let scope_info = maps.layout.types.scope_info;
    let scope_at = |offset: Option<u32>| -> Result<Option<u64>, Refusal> {
        let Some(offset) = offset else { return Ok(None) };
        let Some(address) = strong(maps.peek.word(shared + u64::from(offset))?) else {
            return Ok(None);
        };
        Ok(maps
            .of(address)?
            .filter(|map| map.instance_type == scope_info)
            .map(|_| address))
    };
    let own = scope_at(layout.name_or_scope_info)?;
    let mut scope = if own.is_some() {
        own
    } else {
        scope_at(layout.outer_or_feedback)?
    };
    for _ in 0..DEEPEST {
        let Some(address) = scope else { break };
        let is_own = Some(address) == own;
        if inside.get(&address).is_some_and(|&(_, known)| known || !is_own) {
            break;
        }
        inside.insert(address, (shared, is_own));
        scope = maps.scope_info(address)?.outer;
    }
    Ok(())
}
