//! Reads [`Metadata`], produces the offsets and instance types the reader uses, each within bounds that V8's own
//! structures impose. What is not published stays `None` and is discovered later (`discover`) or done without.

use std::collections::BTreeMap;

use crate::layout::metadata::Metadata;
use crate::layout::refusal::Refusal;

/// The largest offset any field the reader uses can have.
const LARGEST_OFFSET: u32 = 256;

/// Offsets in bytes from an object's start, and instance types.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) map: MapLayout,
    pub(crate) string: StringLayout,
    pub(crate) function: FunctionLayout,
    pub(crate) buffer: BufferLayout,
    pub(crate) details: DetailsLayout,
    pub(crate) types: Types,
    /// Class names of published instance types.
    pub(crate) type_names: BTreeMap<u16, String>,
    /// By instance type: whether such objects can hold others of the program's.
    pub(crate) holders: Vec<bool>,
    /// Instance types whose pointers keep nothing.
    pub(crate) weak_types: Vec<u16>,
    /// Bytes before the first element of a FixedArray.
    pub(crate) array_data: u32,
    /// JSObject: property array or dictionary, and where its own fields begin.
    pub(crate) properties: u32,
    pub(crate) fields: u32,
    /// Bytes before the first entry of a DescriptorArray.
    pub(crate) descriptors_header: u32,
    /// Prefix words of a NameDictionary behind its three counters; words per entry.
    pub(crate) dictionary_prefix: u32,
    /// Words of a ScopeInfo before the names of its context locals, and the index of their number.
    pub(crate) scope_first_vars: u32,
    pub(crate) scope_locals: u32,
    /// Slots of a context before its first local.
    pub(crate) context_min_slots: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct MapLayout {
    pub(crate) size_in_words: u32,
    pub(crate) inobject_start: u32,
    pub(crate) instance_type: u32,
    pub(crate) bit_field3: u32,
    pub(crate) own_descriptors_mask: u32,
    pub(crate) own_descriptors_shift: u32,
    pub(crate) dictionary_shift: u32,
    pub(crate) constructor: Option<u32>,
    pub(crate) descriptors: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct StringLayout {
    pub(crate) first_nonstring: u16,
    pub(crate) representation_mask: u16,
    pub(crate) one_byte: u16,
    pub(crate) cons: u16,
    pub(crate) sliced: u16,
    pub(crate) thin: u16,
    pub(crate) length: u32,
    pub(crate) chars: u32,
    pub(crate) cons_first: u32,
    pub(crate) cons_second: u32,
    pub(crate) sliced_parent: u32,
    pub(crate) sliced_offset: u32,
    pub(crate) thin_actual: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct FunctionLayout {
    pub(crate) shared: u32,
    pub(crate) context: u32,
    pub(crate) name_or_scope_info: Option<u32>,
    pub(crate) script: Option<u32>,
    /// FeedbackMetadata of a compiled function, the outer ScopeInfo of one that is not.
    pub(crate) outer_or_feedback: Option<u32>,
    pub(crate) token_offset: Option<u32>,
    pub(crate) uncompiled_start: Option<u32>,
    pub(crate) uncompiled_inferred_name: Option<u32>,
    pub(crate) script_name: u32,
    pub(crate) script_source: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct BufferLayout {
    pub(crate) byte_length: u32,
    pub(crate) backing_store: u32,
}

/// A property's details in a DescriptorArray: where the value is, and with which index.
#[derive(Debug, Clone)]
pub(crate) struct DetailsLayout {
    pub(crate) location_mask: u32,
    pub(crate) location_field: u32,
    pub(crate) index_mask: u32,
    pub(crate) index_shift: u32,
}

/// Instance types by what they are.
#[derive(Debug, Clone)]
pub(crate) struct Types {
    pub(crate) map: u16,
    pub(crate) shared_function_info: u16,
    pub(crate) script: u16,
    pub(crate) scope_info: u16,
    pub(crate) fixed_array: u16,
    pub(crate) function_first: u16,
    pub(crate) function_last: u16,
    pub(crate) context_first: u16,
    pub(crate) context_last: u16,
    /// Everything from here on is a JavaScript object.
    pub(crate) js_receiver_first: u16,
    pub(crate) js_object: u16,
    pub(crate) js_array: u16,
    pub(crate) js_map: u16,
    pub(crate) js_set: u16,
    pub(crate) js_promise: u16,
    pub(crate) js_array_buffer: u16,
    pub(crate) property_array: Option<u16>,
    pub(crate) js_weak_map: Option<u16>,
    /// Suspended calls: their function is the first field of their own.
    pub(crate) generators: Vec<u16>,
}

impl Layout {
    pub(crate) fn published(metadata: &Metadata) -> Result<Self, Refusal> {
        match metadata.get("TaggedSize") {
            Some(8) => {}
            Some(other) => return Err(Refusal::PointerCompression(other)),
            None => return Err(Refusal::Unpublished("TaggedSize")),
        }
        let m = Published(metadata);
        let types = Types::published(&m)?;
        let type_names: BTreeMap<u16, String> = metadata
            .instance_types()
            .map(|(value, class)| (value, class.to_owned()))
            .collect();
        let holders = crate::graph::owners::holders(&type_names);
        let weak_types = ["WeakCell", "JSWeakRef"]
            .iter()
            .filter_map(|class| metadata.instance_type(class))
            .collect();
        Ok(Self {
            map: MapLayout {
                size_in_words: m.field("Map", "instance_size_in_words", "Map.instance_size_in_words")?,
                inobject_start: m.field(
                    "Map",
                    "inobject_properties_start_or_constructor_function_index",
                    "Map.inobject_properties_start_or_constructor_function_index",
                )?,
                instance_type: m.field("Map", "instance_type", "Map.instance_type")?,
                bit_field3: m.field("Map", "bit_field3", "Map.bit_field3")?,
                own_descriptors_mask: m.number("bit_field3_number_of_own_descriptors_mask")?,
                own_descriptors_shift: m.shift("bit_field3_number_of_own_descriptors_shift")?,
                dictionary_shift: m.shift("bit_field3_is_dictionary_map_shift")?,
                constructor: metadata.field("Map", "constructor_or_back_pointer"),
                descriptors: m.field("Map", "instance_descriptors", "Map.instance_descriptors")?,
            },
            string: StringLayout::published(&m)?,
            function: FunctionLayout {
                shared: m.field("JSFunction", "shared", "JSFunction.shared")?,
                context: m.field("JSFunction", "context", "JSFunction.context")?,
                name_or_scope_info: metadata.field("SharedFunctionInfo", "name_or_scope_info"),
                script: metadata
                    .field("SharedFunctionInfo", "script_or_debug_info")
                    .or_else(|| metadata.field("SharedFunctionInfo", "raw_script"))
                    .or_else(|| metadata.field("SharedFunctionInfo", "script")),
                outer_or_feedback: metadata.field("SharedFunctionInfo", "feedback_metadata"),
                token_offset: metadata.field("SharedFunctionInfo", "raw_function_token_offset"),
                uncompiled_start: metadata.field("UncompiledData", "start_position"),
                uncompiled_inferred_name: metadata.field("UncompiledData", "inferred_name"),
                script_name: m.field("Script", "name", "Script.name")?,
                script_source: m.field("Script", "source", "Script.source")?,
            },
            buffer: BufferLayout {
                byte_length: m.field("JSArrayBuffer", "byte_length", "JSArrayBuffer.byte_length")?,
                backing_store: m.field("JSArrayBuffer", "backing_store", "JSArrayBuffer.backing_store")?,
            },
            details: DetailsLayout {
                location_mask: m.number("prop_location_mask")?,
                location_field: (m.number("prop_location_Field")? & 1) << m.shift("prop_location_shift")?,
                index_mask: m.number("prop_index_mask")?,
                index_shift: m.shift("prop_index_shift")?,
            },
            types,
            type_names,
            holders,
            weak_types,
            array_data: m.field("FixedArray", "data", "FixedArray.data")?,
            properties: m.field(
                "JSReceiver",
                "raw_properties_or_hash",
                "JSReceiver.raw_properties_or_hash",
            )?,
            fields: m.field("JSObject", "internal_fields", "JSObject.internal_fields")?,
            descriptors_header: m.field("DescriptorArray", "header_size", "DescriptorArray.header_size")?,
            dictionary_prefix: m.number("namedictionaryshape_prefix_size")?,
            scope_first_vars: m.number("scopeinfo_idx_first_vars")?,
            scope_locals: m.number("scopeinfo_idx_ncontextlocals")?,
            context_min_slots: m.number("context_min_slots")?,
        })
    }
}

impl StringLayout {
    fn published(m: &Published<'_>) -> Result<Self, Refusal> {
        Ok(Self {
            first_nonstring: m.number("FirstNonstringType")? as u16,
            representation_mask: m.number("StringRepresentationMask")? as u16,
            one_byte: m.number("OneByteStringTag")? as u16,
            cons: m.number("ConsStringTag")? as u16,
            sliced: m.number("SlicedStringTag")? as u16,
            thin: m.number("ThinStringTag")? as u16,
            length: m.field("String", "length", "String.length")?,
            chars: m.field("SeqOneByteString", "chars", "SeqOneByteString.chars")?,
            cons_first: m.field("ConsString", "first", "ConsString.first")?,
            cons_second: m.field("ConsString", "second", "ConsString.second")?,
            sliced_parent: m.field("SlicedString", "parent", "SlicedString.parent")?,
            sliced_offset: m.field("SlicedString", "offset", "SlicedString.offset")?,
            thin_actual: m.field("ThinString", "actual", "ThinString.actual")?,
        })
    }
}

impl Types {
    fn published(m: &Published<'_>) -> Result<Self, Refusal> {
        let js_object = m.instance_type("JSObject", "JS_OBJECT_TYPE")?;
        let function = m.instance_type("JSFunction", "JS_FUNCTION_TYPE")?;
        // The range of function types is published from V8 12 on. Before, JS_FUNCTION_TYPE is followed by the
        // constructors of typed arrays (11), of Array, Promise and RegExp, class constructors and prototypes.
        let bound = |name: &str| m.0.get(name).and_then(|value| u16::try_from(value).ok());
        let first = bound("FirstJSFunctionType").unwrap_or(function);
        let last = bound("LastJSFunctionType").unwrap_or(function.saturating_add(FUNCTION_TYPES - 1));
        if first > function || last < function || last - first >= 2 * FUNCTION_TYPES {
            return Err(Refusal::Implausible {
                name: "LastJSFunctionType",
                value: last.into(),
            });
        }
        Ok(Self {
            map: m.instance_type("Map", "MAP_TYPE")?,
            shared_function_info: m.instance_type("SharedFunctionInfo", "SHARED_FUNCTION_INFO_TYPE")?,
            script: m.instance_type("Script", "SCRIPT_TYPE")?,
            scope_info: m.instance_type("ScopeInfo", "SCOPE_INFO_TYPE")?,
            fixed_array: m.instance_type("FixedArray", "FIXED_ARRAY_TYPE")?,
            function_first: first,
            function_last: last,
            context_first: m.number("FirstContextType")? as u16,
            context_last: m.number("LastContextType")? as u16,
            js_receiver_first: m
                .0
                .instance_types()
                .filter(|(_, c)| c.starts_with("JS"))
                .map(|(t, _)| t)
                .min()
                .unwrap_or(js_object),
            js_object,
            js_array: m.instance_type("JSArray", "JS_ARRAY_TYPE")?,
            js_map: m.instance_type("JSMap", "JS_MAP_TYPE")?,
            js_set: m.instance_type("JSSet", "JS_SET_TYPE")?,
            js_promise: m.instance_type("JSPromise", "JS_PROMISE_TYPE")?,
            js_array_buffer: m.instance_type("JSArrayBuffer", "JS_ARRAY_BUFFER_TYPE")?,
            property_array: m.0.instance_type("PropertyArray"),
            js_weak_map: m.0.instance_type("JSWeakMap"),
            generators: ["JSGeneratorObject", "JSAsyncFunctionObject", "JSAsyncGeneratorObject"]
                .iter()
                .filter_map(|class| m.0.instance_type(class))
                .collect(),
        })
    }

    pub(crate) fn is_function(&self, instance_type: u16) -> bool {
        (self.function_first..=self.function_last).contains(&instance_type)
    }

    pub(crate) fn is_context(&self, instance_type: u16) -> bool {
        (self.context_first..=self.context_last).contains(&instance_type)
    }

    pub(crate) fn is_js_receiver(&self, instance_type: u16) -> bool {
        instance_type >= self.js_receiver_first
    }
}

/// How many instance types functions have in the versions that do not publish the last one (V8 10 and 11).
const FUNCTION_TYPES: u16 = 17;

/// Looks published values up and turns a missing or impossible one into its refusal.
struct Published<'a>(&'a Metadata);

impl Published<'_> {
    fn field(&self, class: &str, field: &str, name: &'static str) -> Result<u32, Refusal> {
        let offset = self.0.field(class, field).ok_or(Refusal::Unpublished(name))?;
        if offset < LARGEST_OFFSET {
            Ok(offset)
        } else {
            Err(Refusal::Implausible {
                name,
                value: offset.into(),
            })
        }
    }

    fn number(&self, name: &'static str) -> Result<u32, Refusal> {
        let value = self.0.get(name).ok_or(Refusal::Unpublished(name))?;
        u32::try_from(value).map_err(|_| Refusal::Implausible {
            name,
            value: value.into(),
        })
    }

    fn shift(&self, name: &'static str) -> Result<u32, Refusal> {
        match self.number(name)? {
            shift @ 0..32 => Ok(shift),
            other => Err(Refusal::Implausible {
                name,
                value: other.into(),
            }),
        }
    }

    fn instance_type(&self, class: &str, name: &'static str) -> Result<u16, Refusal> {
        self.0.instance_type(class).ok_or(Refusal::Unpublished(name))
    }
}
