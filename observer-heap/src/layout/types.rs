//! Reads `Metadata`, produces the instance types the reader tells apart, and which of them hold others.

use std::collections::BTreeMap;

use crate::layout::published::Published;
use crate::layout::refusal::Refusal;

/// How many instance types functions have in the versions that do not publish the last one (V8 10 and 11).
const FUNCTION_TYPES: u16 = 17;

/// V8's own types that hold nothing of the program's.
const HOLDS_NOTHING: [&str; 20] = [
    "Map",
    "DescriptorArray",
    "StrongDescriptorArray",
    "FeedbackVector",
    "FeedbackCell",
    "AllocationSite",
    "AllocationMemento",
    "SharedFunctionInfo",
    "Script",
    "ScopeInfo",
    "BytecodeArray",
    "Code",
    "InstructionStream",
    "WeakCell",
    "JSWeakRef",
    "WeakFixedArray",
    "WeakArrayList",
    "PrototypeInfo",
    "UncompiledDataWithPreparseData",
    "ClosureFeedbackCellArray",
];

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

impl Types {
    pub(crate) fn published(m: &Published<'_>) -> Result<Self, Refusal> {
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

/// For each instance type, whether its objects can hold others; types beyond the end can.
pub(crate) fn holders(type_names: &BTreeMap<u16, String>) -> Vec<bool> {
    let last = type_names.keys().next_back().copied().unwrap_or(0);
    (0..=last)
        .map(|t| {
            type_names
                .get(&t)
                .is_none_or(|name| !HOLDS_NOTHING.contains(&name.as_str()))
        })
        .collect()
}
