//! Reads a map, produces what its objects are called: a class, a shape, one of V8's own types.

use crate::layout::maps::{MapInfo, Maps};
use crate::layout::refusal::Refusal;
use crate::layout::tables::Tables;
use crate::names::functions::Function;
use crate::names::kind::Kind;

/// Property names that tell object literals apart.
const SHAPE: u32 = 4;

impl Maps<'_> {
    /// What the objects of a map are called.
    pub(crate) fn describe(&self, tables: Tables, info: MapInfo) -> Result<(Kind, String, Function), Refusal> {
        let layout = &self.layout;
        let types = &layout.types;
        let instance_type = info.instance_type;
        if instance_type < layout.string.first_nonstring {
            return Ok((Kind::String, "string".to_owned(), Function::default()));
        }
        if !types.is_js_receiver(instance_type) {
            return Ok((
                Kind::Internal,
                self.internal(tables, instance_type),
                Function::default(),
            ));
        }
        let type_name = layout
            .type_names
            .get(&instance_type)
            .map_or("object", |name| name.strip_prefix("JS").unwrap_or(name));
        let constructor = match self.class(info.address)? {
            Some(shared) => self.function(shared)?.unwrap_or_default(),
            None => Function::default(),
        };
        let kind = match instance_type {
            t if t == types.js_array || t == types.js_map || t == types.js_set => Kind::Collection,
            t if t == types.js_promise => Kind::Promise,
            t if t == types.js_array_buffer || type_name.contains("TypedArray") || type_name.contains("DataView") => {
                Kind::Buffer
            }
            _ => Kind::Object,
        };
        if kind == Kind::Object && (constructor.name.is_empty() || constructor.name == "Object") {
            let what = if self.is_dictionary(info.address)? {
                "Object (dictionary)".to_owned()
            } else {
                let names = self.shape(info.address, SHAPE)?;
                let more = if self.own_descriptors(info.address)? > SHAPE {
                    ", …"
                } else {
                    ""
                };
                format!("{{{}{more}}}", names.join(", "))
            };
            return Ok((Kind::Shape, what, constructor));
        }
        let name = if constructor.name.is_empty() {
            type_name.to_owned()
        } else {
            constructor.name.clone()
        };
        Ok((kind, name, constructor))
    }

    pub(crate) fn internal(&self, tables: Tables, instance_type: u16) -> String {
        let known = self.layout.type_names.get(&instance_type).cloned();
        match instance_type {
            t if Some(t) == tables.map => "(Map's table)".to_owned(),
            t if Some(t) == tables.set => "(Set's table)".to_owned(),
            t if Some(t) == tables.weak => "(WeakMap's table)".to_owned(),
            t if self.layout.types.is_context(t) => "(closure scope)".to_owned(),
            t => known.map_or_else(|| format!("(internal type {t})"), |name| format!("({name})")),
        }
    }
}
