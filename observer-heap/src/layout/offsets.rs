//! Reads [`Metadata`], produces the offsets and instance types the reader uses, each within bounds that V8's own
//! structures impose. What is not published stays `None` and is done without.

use std::collections::BTreeMap;

use crate::layout::metadata::Metadata;
use crate::layout::published::Published;
use crate::layout::refusal::Refusal;
use crate::layout::types::{Types, holders};

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
    /// Offset and name of the fields that are published, by class.
    pub(crate) fields_of: BTreeMap<String, Vec<(u32, String)>>,
    /// JSRegExp: its source.
    pub(crate) pattern: Option<u32>,
    /// By instance type: whether such objects can hold others of the program's.
    pub(crate) holders: Vec<bool>,
    /// Instance types whose pointers keep nothing.
    pub(crate) weak_types: [Option<u16>; 2],
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
    pub(crate) prototype: Option<u32>,
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
    pub(crate) prototype_or_initial_map: Option<u32>,
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
        let holders = holders(&type_names);
        let weak_types = ["WeakCell", "JSWeakRef"].map(|class| metadata.instance_type(class));
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
                prototype: metadata.field("Map", "prototype"),
                descriptors: m.field("Map", "instance_descriptors", "Map.instance_descriptors")?,
            },
            string: StringLayout::published(&m)?,
            function: FunctionLayout {
                shared: m.field("JSFunction", "shared", "JSFunction.shared")?,
                context: m.field("JSFunction", "context", "JSFunction.context")?,
                prototype_or_initial_map: metadata.field("JSFunction", "prototype_or_initial_map"),
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
            fields_of: metadata.fields(),
            pattern: metadata.field("JSRegExp", "source"),
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
