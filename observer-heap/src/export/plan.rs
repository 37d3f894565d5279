//! Reads maps, produces for each how its objects are written: type and name of the node, names of the slots. Kept, since a map has
//! many objects.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::rc::Rc;

use crate::export::out::{EdgeType, NodeType};
use crate::export::strings::Strings;
use crate::layout::maps::{MapId, MapInfo};
use crate::layout::refusal::Refusal;
use crate::memory::by_address::ByAddress;
use crate::memory::peek::strong;
use crate::names::kind::Kind;
use crate::walk::heap::Heap;

/// Maps whose plan is kept; when there are more, all are made anew.
const MOST_PLANS: usize = 1 << 15;
/// Properties named of one map.
const MOST_PROPERTIES: u32 = 1 << 10;

/// V8's own types that its snapshots count as code, and as shapes of objects (heap-snapshot-generator.cc, GetSystemEntryType).
const CODE: [&str; 26] = [
    "AllocationSite",
    "ArrayBoilerplateDescription",
    "BytecodeArray",
    "BytecodeWrapper",
    "ClosureFeedbackCellArray",
    "Code",
    "CodeDataContainer",
    "CodeWrapper",
    "FeedbackCell",
    "FeedbackMetadata",
    "FeedbackVector",
    "InstructionStream",
    "InterpreterData",
    "LoadHandler",
    "ObjectBoilerplateDescription",
    "PreparseData",
    "RegExpBoilerplateDescription",
    "ScopeInfo",
    "StoreHandler",
    "TemplateObjectDescription",
    "TrustedByteArray",
    "TrustedFixedArray",
    "UncompiledDataWithPreparseData",
    "UncompiledDataWithoutPreparseData",
    "UncompiledDataWithPreparseDataAndJob",
    "UncompiledDataWithoutPreparseDataWithJob",
];
const SHAPES: [&str; 7] = [
    "Map",
    "DescriptorArray",
    "StrongDescriptorArray",
    "TransitionArray",
    "PrototypeInfo",
    "EnumCache",
    "Cell",
];
const ARRAYS: [&str; 5] = [
    "FixedArray",
    "FixedDoubleArray",
    "ByteArray",
    "ArrayList",
    "ScriptContextTable",
];

/// How a node is named.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Naming {
    /// All alike.
    Fixed(u32),
    /// By the function at the closure's slot; by the function it describes itself.
    Closure,
    Function,
    /// By its file.
    Script,
    /// By its contents.
    Text,
    /// By its source, which may come from outside.
    Pattern,
}

/// What the slots are called.
#[derive(Debug, Clone)]
pub(crate) enum Slots {
    /// By word; a slot without a name is told by its number.
    Named(Vec<Option<(EdgeType, u32)>>),
    /// Elements, behind two words.
    Elements,
    /// Entries of a weak table: the first of each pair, at odd words, is held by nothing.
    WeakTable,
    /// Held by none of them.
    Weak,
    /// Variables of a scope.
    Context,
}

/// How the objects of a map are written.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) kind: NodeType,
    pub(crate) naming: Naming,
    pub(crate) slots: Slots,
    /// Properties that stand in the property array: index and name.
    pub(crate) outside: Vec<(u64, u32)>,
    /// Properties stand in a dictionary.
    pub(crate) dictionary: bool,
    /// It may have elements.
    pub(crate) receiver: bool,
    pub(crate) buffer: bool,
    pub(crate) prototype: Option<u64>,
    /// SharedFunctionInfo of the class.
    pub(crate) class: Option<u64>,
    /// The same for objects that may be one object at two times.
    pub(crate) identity: u64,
}

/// Plans by map.
#[derive(Default)]
pub(crate) struct Plans {
    known: ByAddress<Rc<Plan>>,
}

impl Plans {
    pub(crate) fn of<W: Write>(
        &mut self,
        heap: &Heap<'_>,
        strings: &mut Strings<'_, W>,
        id: MapId,
        info: MapInfo,
    ) -> Result<Rc<Plan>, Refusal> {
        if let Some(plan) = self.known.get(&u64::from(id.0)) {
            return Ok(plan.clone());
        }
        if self.known.len() >= MOST_PLANS {
            self.known.clear();
        }
        let plan = Rc::new(plan(heap, strings, info)?);
        self.known.insert(u64::from(id.0), plan.clone());
        Ok(plan)
    }
}

fn plan<W: Write>(heap: &Heap<'_>, strings: &mut Strings<'_, W>, info: MapInfo) -> Result<Plan, Refusal> {
    let maps = &heap.maps;
    let layout = &maps.layout;
    let types = &layout.types;
    let instance_type = info.instance_type;
    let type_name = layout.type_names.get(&instance_type).map_or("", String::as_str);
    let is_receiver = types.is_js_receiver(instance_type);
    let mut plan = Plan {
        kind: NodeType::Hidden,
        naming: Naming::Fixed(0),
        slots: Slots::Named(Vec::new()),
        outside: Vec::new(),
        dictionary: false,
        receiver: is_receiver,
        buffer: instance_type == types.js_array_buffer,
        prototype: None,
        class: None,
        identity: u64::from(instance_type),
    };
    if is_receiver {
        let (_, what, _) = heap.maps.describe(heap.tables, info)?;
        receiver(heap, strings, info, type_name, &what, &mut plan)?;
        return Ok(plan);
    }
    let name = match instance_type {
        t if t < layout.string.first_nonstring => {
            let s = &layout.string;
            // Another representation, or interned: the same string.
            plan.identity = 0;
            let (kind, naming) = match t & s.representation_mask {
                r if r == s.cons => (
                    NodeType::ConsString,
                    Naming::Fixed(strings.name("(concatenated string)")),
                ),
                r if r == s.sliced => (NodeType::SlicedString, Naming::Fixed(strings.name("(sliced string)"))),
                _ => (NodeType::String, Naming::Text),
            };
            (plan.kind, plan.naming) = (kind, naming);
            plan.slots = Slots::Named(published(heap, strings, instance_type, &[]));
            return Ok(plan);
        }
        t if t == layout.string.first_nonstring => {
            plan.kind = NodeType::Symbol;
            "symbol".to_owned()
        }
        t if t == types.shared_function_info => {
            (plan.kind, plan.naming) = (NodeType::Code, Naming::Function);
            String::new()
        }
        t if t == types.script => {
            (plan.kind, plan.naming) = (NodeType::Code, Naming::Script);
            String::new()
        }
        t if types.is_context(t) => {
            plan.slots = Slots::Context;
            if type_name == "NativeContext" {
                "system / NativeContext".to_owned()
            } else {
                plan.kind = NodeType::Object;
                "system / Context".to_owned()
            }
        }
        _ if type_name == "HeapNumber" => {
            plan.kind = NodeType::Number;
            "heap number".to_owned()
        }
        _ if type_name == "BigInt" => {
            plan.kind = NodeType::BigInt;
            "bigint".to_owned()
        }
        t => {
            let is_table = [heap.tables.map, heap.tables.set, heap.tables.weak, heap.tables.names].contains(&Some(t));
            plan.kind = match type_name {
                name if CODE.contains(&name) => NodeType::Code,
                name if SHAPES.contains(&name) => NodeType::Shape,
                name if ARRAYS.contains(&name) || is_table => NodeType::Array,
                // V8 publishes every type but those of its hash tables.
                "" if info.words == 0 => NodeType::Array,
                _ => NodeType::Hidden,
            };
            if is_table {
                maps.internal(heap.tables, t)
            } else if type_name.is_empty() {
                format!("system / (internal type {t})")
            } else {
                format!("system / {type_name}")
            }
        }
    };
    if matches!(plan.naming, Naming::Fixed(_)) {
        plan.naming = Naming::Fixed(strings.name(&name));
    }
    if maps.is_weak(instance_type) {
        plan.slots = Slots::Weak;
    } else if Some(instance_type) == heap.tables.weak {
        plan.slots = Slots::WeakTable;
    } else if plan.kind == NodeType::Array || Some(instance_type) == types.property_array {
        plan.slots = Slots::Elements;
    } else if matches!(plan.slots, Slots::Named(_)) {
        plan.slots = Slots::Named(published(heap, strings, instance_type, &[]));
    }
    Ok(plan)
}

/// A JavaScript object: its class, and where its properties stand.
fn receiver<W: Write>(
    heap: &Heap<'_>,
    strings: &mut Strings<'_, W>,
    info: MapInfo,
    type_name: &str,
    what: &str,
    plan: &mut Plan,
) -> Result<(), Refusal> {
    let maps = &heap.maps;
    let types = &maps.layout.types;
    plan.class = maps.class(info.address)?;
    plan.prototype = maps
        .layout
        .map
        .prototype
        .map(|at| maps.peek.word(info.address + u64::from(at)))
        .transpose()?
        .and_then(strong);
    let mut hasher = DefaultHasher::new();
    (info.instance_type, plan.class).hash(&mut hasher);
    plan.identity = hasher.finish();
    let (kind, _, _) = maps.describe(heap.tables, info)?;
    plan.kind = NodeType::Object;
    if types.is_function(info.instance_type) {
        (plan.kind, plan.naming) = (NodeType::Closure, Naming::Closure);
    } else if type_name == "JSBoundFunction" {
        (plan.kind, plan.naming) = (NodeType::Closure, Naming::Fixed(strings.name("native_bind")));
    } else if type_name == "JSRegExp" {
        (plan.kind, plan.naming) = (NodeType::RegExp, Naming::Pattern);
    } else if matches!(type_name, "JSGlobalObject" | "JSGlobalProxy") {
        plan.naming = Naming::Fixed(strings.name("global"));
    } else {
        let what = if kind == Kind::Shape { "Object" } else { what };
        plan.naming = Naming::Fixed(strings.name(what));
    }
    plan.dictionary = maps.is_dictionary(info.address)?;
    let mut named = published(heap, strings, info.instance_type, &["JSObject", "JSReceiver"]);
    if maps.is_weak(info.instance_type) {
        plan.slots = Slots::Weak;
        return Ok(());
    }
    if !plan.dictionary {
        properties(heap, strings, info, &mut named, &mut plan.outside)?;
    }
    plan.slots = Slots::Named(named);
    Ok(())
}

/// Names of the fields that V8 publishes of a type, and of the classes above it.
fn published<W: Write>(
    heap: &Heap<'_>,
    strings: &mut Strings<'_, W>,
    instance_type: u16,
    above: &[&str],
) -> Vec<Option<(EdgeType, u32)>> {
    let layout = &heap.maps.layout;
    let mut named = vec![Some((EdgeType::Internal, strings.name("map")))];
    let own = layout.type_names.get(&instance_type).map(String::as_str);
    // Strings are published by what they are made of, not by how wide their characters are.
    let s = &layout.string;
    let string = (instance_type < s.first_nonstring).then_some(match instance_type & s.representation_mask {
        r if r == s.cons => "ConsString",
        r if r == s.sliced => "SlicedString",
        r if r == s.thin => "ThinString",
        _ => "String",
    });
    let function = layout.types.is_function(instance_type).then_some("JSFunction");
    for class in above.iter().copied().chain(own).chain(string).chain(function) {
        for (offset, field) in layout.fields_of.get(class).into_iter().flatten() {
            let index = *offset as usize / 8;
            if index >= named.len() {
                named.resize(index + 1, None);
            }
            named[index] = Some((EdgeType::Internal, strings.name(called(field))));
        }
    }
    named
}

/// What V8's own snapshots call a field, where they have another word for it than its symbols.
fn called(field: &str) -> &str {
    match field {
        "raw_properties_or_hash" => "properties",
        "instance_descriptors" => "descriptors",
        "constructor_or_back_pointer" => "constructor",
        "script_or_debug_info" => "script",
        other => other.strip_prefix("raw_").unwrap_or(other),
    }
}

/// Names the slots of own properties, in the object and outside of it.
fn properties<W: Write>(
    heap: &Heap<'_>,
    strings: &mut Strings<'_, W>,
    info: MapInfo,
    named: &mut Vec<Option<(EdgeType, u32)>>,
    outside: &mut Vec<(u64, u32)>,
) -> Result<(), Refusal> {
    let maps = &heap.maps;
    let (start, inside) = maps.inobject(info.address)?;
    for index in 0..maps.own_descriptors(info.address)?.min(MOST_PROPERTIES) {
        let (Some(field), Some(key)) = (
            maps.field_index(info.address, index)?,
            maps.descriptor_key(info.address, index)?,
        ) else {
            continue;
        };
        let name = strings.key(maps, key, false)?;
        if field >= inside {
            outside.push((field - inside, name));
            continue;
        }
        let at = (start + field) as usize;
        if at >= named.len() {
            named.resize(at + 1, None);
        }
        named[at] = Some((EdgeType::Property, name));
    }
    Ok(())
}
