//! Gives the edges of a path their names: properties from descriptors and dictionaries, variables from scopes, elements
//! of collections. Backing stores (property arrays, elements, tables) are merged into the object they belong to.

use crate::layout::maps::MapInfo;
use crate::layout::refusal::Refusal;
use crate::memory::peek::{smi, strong};
use crate::names::functions::Function;
use crate::names::kind::{Kind, Origin};
use crate::walk::heap::Heap;

/// Dictionaries with more entries are used as collections: their keys may be data and are not read out.
const LARGEST_NAMED_DICTIONARY: i32 = 64;
/// Native contexts have some 300 slots; scopes with so many variables exist, but lie in another context.
const SMALLEST_NATIVE_CONTEXT: i32 = 150;
/// Steps that name nothing.
const BUILT_IN: [&str; 2] = ["(built-in function)", "scope of (anonymous)()"];
/// V8's name for the type of a module.
pub(super) const MODULE: &str = "SourceTextModule";
/// What is pending from the step below: a slot of a backing store whose meaning its owner knows.
pub(super) enum Pending {
    None,
    /// Index in a property array.
    Property(u64),
    /// A named or unnamed entry of a dictionary.
    Entry(Option<String>),
    /// An element, a Map's or Set's entry, or the like.
    Element(&'static str),
}

/// A pointer from an owner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edge {
    pub(crate) owner: u64,
    /// Byte offset of the slot in the owner.
    pub(crate) offset: u64,
    /// The owner's map when it was found: later its memory may hold something else.
    pub(crate) map: MapInfo,
}

/// Names owners of a heap.
pub(crate) struct Owners<'h, 'm>(pub(crate) &'h Heap<'m>);

impl Owners<'_, '_> {
    /// Whether a path ends here: a module's scope, a global's cell, the global object, a module's record.
    pub(crate) fn is_root(&self, address: u64, map: MapInfo) -> Result<bool, Refusal> {
        let types = &self.0.maps.layout.types;
        if types.is_context(map.instance_type) {
            // A module's scope lies directly in the native context, which lies in nothing. So do the scopes of V8's own
            // functions (of a promise's `resolve`, for one), but these stand in no file.
            let Some(outer) = self.0.maps.previous(address)? else {
                // Only the native context is that long.
                let slots = smi(self
                    .0
                    .maps
                    .peek
                    .word(address + u64::from(self.0.maps.layout.array_data) - 8)?);
                return Ok(slots.is_some_and(|slots| slots >= SMALLEST_NATIVE_CONTEXT));
            };
            if self.0.maps.previous(outer)?.is_some() {
                return Ok(false);
            }
            let scope = strong(
                self.0
                    .maps
                    .peek
                    .word(address + u64::from(self.0.maps.layout.array_data))?,
            );
            return Ok(match scope {
                Some(scope) => {
                    self.0.maps.scope_locals(scope)?.is_some_and(|n| n > 0)
                        && self.0.scopes.describe(&self.0.maps, scope)?.0.is_some()
                }
                None => false,
            });
        }
        if matches!(
            self.type_name(map),
            "PropertyCell" | MODULE | "JSGlobalObject" | "JSGlobalProxy"
        ) {
            return Ok(true);
        }
        if map.instance_type != types.js_object {
            return Ok(false);
        }
        // A pending timer is held by Node's lists of timers, link by link: the timer itself says it all.
        self.is_timer(map)
    }

    pub(super) fn type_name(&self, map: MapInfo) -> &str {
        let names = &self.0.maps.layout.type_names;
        names.get(&map.instance_type).map_or("", String::as_str)
    }

    pub(super) fn is_timer(&self, map: MapInfo) -> Result<bool, Refusal> {
        let (_, what, function) = self.0.maps.describe(self.0.tables, map)?;
        Ok(
            matches!(what.as_str(), "Timeout" | "Immediate")
                && function.file.as_deref() == Some("node:internal/timers"),
        )
    }

    /// Whether an edge leads from a collection, or an object used as one, to where its contents stand.
    pub(crate) fn is_store(&self, edge: &Edge) -> bool {
        let layout = &self.0.maps.layout;
        let types = &layout.types;
        let t = edge.map.instance_type;
        if t == types.js_map || t == types.js_set {
            return edge.offset == u64::from(layout.fields);
        }
        // An array's elements stand behind its properties; a dictionary is all an object has of these.
        (t == types.js_array && edge.offset == u64::from(layout.properties) + 8)
            || (t == types.js_object
                && edge.offset == u64::from(layout.properties)
                && self.0.maps.is_dictionary(edge.map.address).unwrap_or(false))
    }

    /// The names of a path's edges, given from the object upwards; returned from the root downwards.
    pub(crate) fn steps(&self, edges: &[Edge]) -> Result<Vec<String>, Refusal> {
        let mut steps = Vec::new();
        let mut pending = Pending::None;
        let mut cell = None;
        for edge in edges {
            match self.type_name(edge.map) {
                MODULE => {
                    steps.push(self.export(edge, cell)?);
                    pending = Pending::None;
                    continue;
                }
                "Cell" => cell = Some(edge.owner),
                _ => {}
            }
            pending = self.step(edge, edge.map, pending, &mut steps)?;
        }
        match pending {
            Pending::None => {}
            Pending::Property(_) => steps.push("(a property)".to_owned()),
            Pending::Entry(name) => steps.push(format!("(dictionary).{}", name.as_deref().unwrap_or("[…]"))),
            Pending::Element(what) => steps.push(format!("(backing store){what}")),
        }
        // V8's own functions on the way (of promises and async calls) say nothing; unless nothing else is there.
        if steps.iter().any(|step| !BUILT_IN.contains(&step.as_str())) {
            steps.retain(|step| !BUILT_IN.contains(&step.as_str()));
        }
        // A linked list is one step, however long.
        steps.dedup();
        steps.reverse();
        Ok(steps)
    }

    /// Whether an edge is a variable with a name, in a file that is not Node's own.
    pub(crate) fn is_telling(&self, edge: &Edge) -> Result<bool, Refusal> {
        if !self.0.maps.layout.types.is_context(edge.map.instance_type) {
            return Ok(false);
        }
        let Some((scope, Some(_))) = self.local(edge)? else {
            return Ok(false);
        };
        let (file, _) = self.0.scopes.describe(&self.0.maps, scope)?;
        Ok(file.is_some_and(|file| Origin::of(Some(&file)) <= Origin::Dependency))
    }

    /// A context's scope, and the name of the variable in this slot.
    fn local(&self, edge: &Edge) -> Result<Option<(u64, Option<String>)>, Refusal> {
        let layout = &self.0.maps.layout;
        let slot = (edge.offset - u64::from(layout.array_data)) / 8;
        let Some(scope) = strong(self.0.maps.peek.word(edge.owner + u64::from(layout.array_data))?) else {
            return Ok(None);
        };
        if self
            .0
            .maps
            .of(scope)?
            .is_none_or(|map| map.instance_type != layout.types.scope_info)
        {
            return Ok(None);
        }
        let slots = smi(self.0.maps.peek.word(edge.owner + u64::from(layout.array_data) - 8)?);
        let first = match slots.and_then(|slots| u64::try_from(slots).ok()) {
            Some(slots) => self.0.maps.first_variable(scope, slots)?,
            None => None,
        };
        let name = match first.and_then(|first| slot.checked_sub(first)) {
            Some(index) => self
                .0
                .maps
                .scope_local(scope, index)?
                .map(|name| self.0.maps.property(name))
                .transpose()?
                .flatten(),
            None => None,
        };
        Ok(Some((scope, name)))
    }

    fn step(&self, edge: &Edge, map: MapInfo, pending: Pending, steps: &mut Vec<String>) -> Result<Pending, Refusal> {
        let layout = &self.0.maps.layout;
        let types = &layout.types;
        let t = map.instance_type;
        if Some(t) == types.property_array {
            return Ok(Pending::Property((edge.offset - u64::from(layout.array_data)) / 8));
        }
        if types.is_context(t) {
            steps.push(self.variable(edge)?);
            return Ok(Pending::None);
        }
        if types.is_js_receiver(t) {
            let (kind, what, _) = self.0.maps.describe(self.0.tables, map)?;
            steps.push(self.member(edge, map, pending, kind, &what)?);
            return Ok(Pending::None);
        }
        if Some(t) == self.0.tables.map || Some(t) == self.0.tables.set || Some(t) == self.0.tables.weak {
            return Ok(Pending::Element("[]"));
        }
        let name = self.type_name(map);
        if name == "PropertyCell" {
            let name = self.0.maps.property(self.0.maps.peek.word(edge.owner + 8)?)?;
            steps.push(format!("global {}", name.as_deref().unwrap_or("[…]")));
            return Ok(Pending::None);
        }
        if map.words == 0 {
            return Ok(match self.dictionary_key(edge, t)? {
                Some(key) => Pending::Entry(key),
                None => match pending {
                    // An array of arrays, as Sets of lists or hash chains: the inner one says nothing of its own.
                    Pending::None | Pending::Element(_) => Pending::Element("[]"),
                    other => other,
                },
            });
        }
        match name {
            "Cell" | "PromiseReaction" | "PromiseCapability" | "AccessorPair" | "ContextCell" => Ok(pending),
            _ if t < layout.string.first_nonstring => Ok(pending),
            _ => {
                steps.push(if name.is_empty() {
                    format!("(internal type {t})")
                } else {
                    format!("({name})")
                });
                Ok(Pending::None)
            }
        }
    }

    /// `name in file`, for a variable of a scope.
    fn variable(&self, edge: &Edge) -> Result<String, Refusal> {
        let Some((scope, name)) = self.local(edge)? else {
            return Ok("(closure scope)".to_owned());
        };
        let (file, function) = self.0.scopes.describe(&self.0.maps, scope)?;
        if name.is_none() && (file.is_none() || self.0.maps.scope_locals(scope)?.is_none_or(|n| n == 0)) {
            return Ok("(built-in function)".to_owned());
        }
        let mut text = name.unwrap_or_else(|| "(a variable)".to_owned());
        if let Some(function) = function {
            text = format!("{text} of {function}()");
        }
        if let Some(file) = file {
            text = format!("{text} in {file}");
        }
        Ok(text)
    }

    /// A member of a JavaScript object, with what its backing store said.
    pub(super) fn member(
        &self,
        edge: &Edge,
        map: MapInfo,
        pending: Pending,
        kind: Kind,
        what: &str,
    ) -> Result<String, Refusal> {
        let layout = &self.0.maps.layout;
        let types = &layout.types;
        if types.is_function(map.instance_type) {
            let shared = strong(self.0.maps.peek.word(edge.owner + u64::from(layout.function.shared))?);
            let closure = shared
                .map(|shared| self.0.maps.function(shared))
                .transpose()?
                .flatten()
                .unwrap_or_default();
            let name = if closure.name.is_empty() {
                "(anonymous)"
            } else {
                &closure.name
            };
            let of = match closure.file {
                Some(file) => format!("{name}() in {file}"),
                None => format!("{name}()"),
            };
            return Ok(if edge.offset == u64::from(layout.function.context) {
                format!("scope of {of}")
            } else if let Some(property) = self.property_of(edge, map, &pending)?.flatten() {
                // Of a class: a static field.
                format!("property {property} of {of}")
            } else {
                of
            });
        }
        if let Some(name) = self.suspended(edge.owner, map)? {
            return Ok(name);
        }
        let plain = if kind == Kind::Shape { "Object" } else { what };
        Ok(match self.property_of(edge, map, &pending)? {
            Some(name) => format!("{plain}.{}", name.as_deref().unwrap_or("[…]")),
            None if matches!(pending, Pending::None) => plain.to_owned(),
            None => format!("{plain}[]"),
        })
    }

    /// The property of an object by which it owns what is below, with its name if it may be shown; `None` where it is none.
    fn property_of(&self, edge: &Edge, map: MapInfo, pending: &Pending) -> Result<Option<Option<String>>, Refusal> {
        let maps = &self.0.maps;
        let inobject = maps.inobject(map.address)?;
        Ok(match pending {
            Pending::Property(index) => Some(maps.field_name(map.address, inobject.1 + index)?),
            Pending::Entry(name) if edge.offset == u64::from(maps.layout.properties) => Some(name.clone()),
            Pending::None if edge.offset / 8 >= inobject.0 => {
                Some(maps.field_name(map.address, edge.offset / 8 - inobject.0)?)
            }
            Pending::Entry(_) | Pending::Element(_) | Pending::None => None,
        })
    }

    /// `suspended load() in file`, for a call of an async function or generator that waits.
    fn suspended(&self, address: u64, map: MapInfo) -> Result<Option<String>, Refusal> {
        let layout = &self.0.maps.layout;
        if !layout.types.generators.contains(&map.instance_type) {
            return Ok(None);
        }
        let Some(function) = self.generated_by(address)? else {
            return Ok(None);
        };
        let file = function.file.map_or_else(String::new, |file| format!(" in {file}"));
        Ok(Some(format!("suspended {}(){file}", function.name)))
    }

    /// The function that the generator at an address runs; nothing where there is none.
    pub(super) fn generated_by(&self, address: u64) -> Result<Option<Function>, Refusal> {
        let maps = &self.0.maps;
        let Some(function) = strong(maps.peek.word(address + u64::from(maps.layout.fields))?) else {
            return Ok(None);
        };
        if maps
            .of(function)?
            .is_none_or(|map| !maps.layout.types.is_function(map.instance_type))
        {
            return Ok(None);
        }
        let shared = strong(maps.peek.word(function + u64::from(maps.layout.function.shared))?);
        Ok(shared.map(|shared| maps.function(shared)).transpose()?.flatten())
    }

    /// If the owner is a name dictionary: the key of the slot's entry, when it may be shown.
    fn dictionary_key(&self, edge: &Edge, instance_type: u16) -> Result<Option<Option<String>>, Refusal> {
        if Some(instance_type) != self.0.tables.names {
            return Ok(None);
        }
        let layout = &self.0.maps.layout;
        let first = u64::from(layout.array_data) + 8 * (3 + u64::from(layout.dictionary_prefix));
        let Some(entry) = edge.offset.checked_sub(first).map(|offset| offset / 24) else {
            return Ok(Some(None));
        };
        let elements = smi(self.0.maps.peek.word(edge.owner + u64::from(layout.array_data))?);
        if elements.is_none_or(|elements| elements > LARGEST_NAMED_DICTIONARY) {
            return Ok(Some(None));
        }
        let key = self.0.maps.peek.word(edge.owner + first + entry * 24)?;
        Ok(Some(self.0.maps.property(key)?))
    }
}
