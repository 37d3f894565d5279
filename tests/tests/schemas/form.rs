//! The form of a type as a JSON Schema: reads what its Deserialize implementation asks for, produces a schema.

use std::collections::BTreeMap;

use observer::store::Record;
use observer_core::{
    finding::{Cause, CeilingKind, Confidence, Event, Explanation, GrowthPattern, OomKiller, OomScope, State},
    heap::Compared,
    identity::Slot,
    kernel::ExitStatus,
    memory_use::MemoryKind,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use serde_reflection::{ContainerFormat, Format, FormatHolder, Named, Registry, Tracer, TracerConfig, VariantFormat};

/// The dialect of every schema.
pub(crate) const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Fields that are left out where there is nothing to say (`skip_serializing_if`).
const MAY_BE_ABSENT: [&str; 3] = ["refused", "published", "max_rss"];

/// The schema of what serde writes of a `T`.
pub(crate) fn schema<T: DeserializeOwned>(title: &str, description: &str) -> Value {
    let mut tracer = Tracer::new(TracerConfig::default().is_human_readable(true));
    let (root, _) = tracer.trace_simple_type::<T>().unwrap();
    // Of an enum within another type one variant is met: each enum by itself, until all of its variants are known.
    macro_rules! enums {
        ($($name:ty),+) => { $(tracer.trace_simple_type::<$name>().unwrap();)+ };
    }
    enums!(
        Cause,
        CeilingKind,
        Compared,
        Confidence,
        Event,
        Explanation,
        ExitStatus,
        GrowthPattern,
        MemoryKind,
        OomKiller,
        OomScope,
        Record,
        Slot,
        State
    );
    let registry: Registry = tracer.registry().unwrap();
    let mut schema = of(&root);
    let mut definitions: BTreeMap<&str, Value> = BTreeMap::new();
    let mut next = names(&root);
    while let Some(name) = next.pop() {
        let (name, form) = registry.get_key_value(&name).unwrap();
        if definitions.insert(name, container(form)).is_none() {
            form.visit(&mut |format| {
                next.extend(names(format));
                Ok(())
            })
            .unwrap();
        }
    }
    schema["$schema"] = json!(DIALECT);
    schema["title"] = json!(title);
    schema["description"] = json!(description);
    schema["$defs"] = json!(definitions);
    schema
}

/// The types that a form names.
fn names(format: &Format) -> Vec<String> {
    let mut names = Vec::new();
    format
        .visit(&mut |format| {
            if let Format::TypeName(name) = format {
                names.push(name.clone());
            }
            Ok(())
        })
        .unwrap();
    names
}

fn of(format: &Format) -> Value {
    match format {
        Format::TypeName(name) => json!({ "$ref": format!("#/$defs/{name}") }),
        Format::Unit => json!({ "type": "null" }),
        Format::Bool => json!({ "type": "boolean" }),
        Format::I8 | Format::I16 | Format::I32 | Format::I64 | Format::I128 => json!({ "type": "integer" }),
        Format::U8 | Format::U16 | Format::U32 | Format::U64 | Format::U128 => {
            json!({ "type": "integer", "minimum": 0 })
        }
        Format::F32 | Format::F64 => json!({ "type": "number" }),
        Format::Char | Format::Str | Format::Bytes => json!({ "type": "string" }),
        Format::Option(format) => json!({ "anyOf": [of(format), { "type": "null" }] }),
        Format::Seq(format) => json!({ "type": "array", "items": of(format) }),
        Format::Map { value, .. } => json!({ "type": "object", "additionalProperties": of(value) }),
        Format::Tuple(formats) => tuple(formats),
        Format::TupleArray { content, size } => {
            json!({ "type": "array", "items": of(content), "minItems": size, "maxItems": size })
        }
        Format::Variable(_) => panic!("a form that is not known"),
    }
}

fn container(form: &ContainerFormat) -> Value {
    match form {
        ContainerFormat::UnitStruct => json!({ "type": "null" }),
        ContainerFormat::NewTypeStruct(format) => of(format),
        ContainerFormat::TupleStruct(formats) => tuple(formats),
        ContainerFormat::Struct(fields) => object(fields),
        ContainerFormat::Enum(variants) => {
            let is_unit = |variant: &&Named<VariantFormat>| matches!(variant.value, VariantFormat::Unit);
            let units: Vec<&str> = variants
                .values()
                .filter(is_unit)
                .map(|unit| unit.name.as_str())
                .collect();
            let others = variants.values().filter(|variant| !is_unit(variant)).map(tagged);
            let units = (!units.is_empty()).then(|| json!({ "enum": units }));
            let mut choices: Vec<Value> = units.into_iter().chain(others).collect();
            match choices.len() {
                1 => choices.remove(0),
                _ => json!({ "oneOf": choices }),
            }
        }
    }
}

/// A variant with content, as serde tags it: `{"name": content}`.
fn tagged(variant: &Named<VariantFormat>) -> Value {
    let content = match &variant.value {
        VariantFormat::NewType(format) => of(format),
        VariantFormat::Tuple(formats) => tuple(formats),
        VariantFormat::Struct(fields) => object(fields),
        VariantFormat::Unit | VariantFormat::Variable(_) => panic!("no content: {}", variant.name),
    };
    closed([(variant.name.as_str(), content)])
}

fn object(fields: &[Named<Format>]) -> Value {
    closed(fields.iter().map(|field| (field.name.as_str(), of(&field.value))))
}

/// A string.
pub(crate) fn text() -> Value {
    json!({ "type": "string" })
}

/// An integer of 0 or more.
pub(crate) fn whole() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

/// An integer.
pub(crate) fn signed() -> Value {
    json!({ "type": "integer" })
}

/// A number.
pub(crate) fn number() -> Value {
    json!({ "type": "number" })
}

/// True or false.
pub(crate) fn yes() -> Value {
    json!({ "type": "boolean" })
}

/// A value of this type, or none.
pub(crate) fn maybe(kind: &str) -> Value {
    json!({ "type": [kind, "null"] })
}

/// Any number of these.
pub(crate) fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// An object of these fields and no others.
pub(crate) fn closed<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let fields: Vec<(&str, Value)> = fields.into_iter().collect();
    let required: Vec<&str> = fields
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !MAY_BE_ABSENT.contains(name))
        .collect();
    let properties: Map<String, Value> = fields.into_iter().map(|(name, form)| (name.to_owned(), form)).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn tuple(formats: &[Format]) -> Value {
    let items: Vec<Value> = formats.iter().map(of).collect();
    json!({ "type": "array", "prefixItems": items, "minItems": items.len(), "maxItems": items.len() })
}
