//! Reads maps and prototypes, produces the function that is the class of their objects.
//!
//! A map names the constructor that made its objects. Of a class that extends another that is the base class's, which
//! allocates; the class itself stands in its prototype's own property `constructor`.

use crate::layout::maps::Maps;
use crate::layout::refusal::Refusal;
use crate::memory::peek::{smi, strong};

/// Maps between an object's and the one that names its constructor: one per property added.
const MOST_TRANSITIONS: u32 = 1 << 12;
/// Own properties of a prototype that are looked through.
const MOST_PROPERTIES: u32 = 1 << 9;

/// What a map says of who made its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Maker {
    Function(u64),
    /// Nobody: objects of V8's own.
    Nobody,
    /// Something that stands there no more: a collection has moved it.
    Moved,
}

impl Maps<'_> {
    /// Whether the function that made a map's objects can no longer be found, since a collection has moved it.
    pub(crate) fn is_orphaned(&self, map: u64) -> Result<bool, Refusal> {
        match self.class(map)? {
            Some(shared) => Ok(self.function(shared)?.is_none()),
            None => Ok(self.constructor(map)? == Maker::Moved),
        }
    }

    /// The SharedFunctionInfo of the class of a map's objects.
    pub(crate) fn class(&self, map: u64) -> Result<Option<u64>, Refusal> {
        let Maker::Function(mut function) = self.constructor(map)? else {
            return Ok(None);
        };
        if let (Some(prototype), Some(own)) = (self.prototype(map)?, self.initial_prototype(function)?)
            && prototype != own
            && let Some(class) = self.own_constructor(prototype)?
        {
            function = class;
        }
        Ok(strong(
            self.peek.word(function + u64::from(self.layout.function.shared))?,
        ))
    }

    /// The function that made a map's objects.
    fn constructor(&self, map: u64) -> Result<Maker, Refusal> {
        let Some(at) = self.layout.map.constructor else {
            return Ok(Maker::Nobody);
        };
        let mut map = map;
        for _ in 0..MOST_TRANSITIONS {
            let Some(next) = strong(self.peek.word(map + u64::from(at))?) else {
                return Ok(Maker::Nobody);
            };
            match self.of(next)? {
                Some(info) if info.instance_type == self.layout.types.map => map = next,
                Some(info) if self.layout.types.is_function(info.instance_type) => return Ok(Maker::Function(next)),
                Some(_) => return Ok(Maker::Nobody),
                None => return Ok(Maker::Moved),
            }
        }
        Ok(Maker::Nobody)
    }

    fn prototype(&self, map: u64) -> Result<Option<u64>, Refusal> {
        let Some(at) = self.layout.map.prototype else {
            return Ok(None);
        };
        Ok(strong(self.peek.word(map + u64::from(at))?))
    }

    /// The prototype of the objects that a function makes when it is called with `new` itself.
    fn initial_prototype(&self, function: u64) -> Result<Option<u64>, Refusal> {
        let Some(at) = self.layout.function.prototype_or_initial_map else {
            return Ok(None);
        };
        let Some(word) = strong(self.peek.word(function + u64::from(at))?) else {
            return Ok(None);
        };
        match self.of(word)? {
            Some(info) if info.instance_type == self.layout.types.map => self.prototype(word),
            Some(_) => Ok(Some(word)),
            None => Ok(None),
        }
    }

    /// The function in an object's own property `constructor`.
    fn own_constructor(&self, object: u64) -> Result<Option<u64>, Refusal> {
        let Some(info) = self
            .of(object)?
            .filter(|info| self.layout.types.is_js_receiver(info.instance_type))
        else {
            return Ok(None);
        };
        let value = if self.is_dictionary(info.address)? {
            self.dictionary_constructor(object)?
        } else {
            self.field_constructor(object, info.address)?
        };
        let Some(function) = value.and_then(strong) else {
            return Ok(None);
        };
        Ok(self
            .of(function)?
            .filter(|info| self.layout.types.is_function(info.instance_type))
            .map(|_| function))
    }

    fn field_constructor(&self, object: u64, map: u64) -> Result<Option<u64>, Refusal> {
        let layout = &self.layout;
        let (start, inside) = self.inobject(map)?;
        for index in 0..self.own_descriptors(map)?.min(MOST_PROPERTIES) {
            if self.descriptor_name(map, index)?.as_deref() != Some("constructor") {
                continue;
            }
            let Some(field) = self.field_index(map, index)? else {
                return Ok(None);
            };
            if field < inside {
                return Ok(Some(self.peek.word(object + 8 * (start + field))?));
            }
            let Some(array) = strong(self.peek.word(object + u64::from(layout.properties))?) else {
                return Ok(None);
            };
            let at = array + u64::from(layout.array_data) + 8 * (field - inside);
            return Ok(Some(self.peek.word(at)?));
        }
        Ok(None)
    }

    fn dictionary_constructor(&self, object: u64) -> Result<Option<u64>, Refusal> {
        let layout = &self.layout;
        let Some(table) = strong(self.peek.word(object + u64::from(layout.properties))?) else {
            return Ok(None);
        };
        let data = table + u64::from(layout.array_data);
        let length = smi(self.peek.word(data - 8)?)
            .and_then(|n| u64::try_from(n).ok())
            .unwrap_or(0);
        let before = 3 + u64::from(layout.dictionary_prefix);
        for entry in 0..(length.saturating_sub(before) / 3).min(u64::from(MOST_PROPERTIES)) {
            let at = data + 8 * (before + 3 * entry);
            if self.property(self.peek.word(at)?)?.as_deref() == Some("constructor") {
                return Ok(Some(self.peek.word(at + 8)?));
            }
        }
        Ok(None)
    }
}
