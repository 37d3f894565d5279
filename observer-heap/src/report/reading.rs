//! Gives the counts of a walk their names: rows of what is held, where it stands in the source, how many, how much.

use std::collections::BTreeMap;

use crate::layout::maps::{MapId, MapInfo};
use crate::layout::refusal::Refusal;
use crate::names::functions::Function;
use crate::report::reader::Reader;
use crate::walk::counts::{Isolate, Tally};

/// What a function without a name is called.
pub(crate) const ANONYMOUS: &str = "(anonymous)";
/// Property names that tell object literals apart.
const SHAPE: u32 = 4;

/// What kind of thing a row counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Closures of one function.
    Closure,
    /// Calls of one async function or generator that wait to be continued.
    Suspended,
    /// Instances of one class or constructor.
    Object,
    /// Object literals with the same first properties.
    Shape,
    /// Arrays, Maps, Sets.
    Collection,
    /// Promises.
    Promise,
    /// ArrayBuffers and views of them; bytes include the memory outside the heap.
    Buffer,
    /// Strings.
    String,
    /// V8's own: backing stores, contexts, maps, code.
    Internal,
}

/// Whose code named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The application's own scripts.
    Application,
    /// Below a `node_modules` directory.
    Dependency,
    /// Node's own library.
    Node,
    /// The language, or V8.
    Engine,
}

impl Origin {
    fn of(file: Option<&str>) -> Self {
        match file {
            None => Self::Engine,
            Some(file) if file.starts_with("node:") => Self::Node,
            Some(file) if file.contains("/node_modules/") => Self::Dependency,
            Some(_) => Self::Application,
        }
    }
}

/// Things of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which isolate: 0 is the one with the most pages, the main thread as a rule.
    pub isolate: usize,
    /// What they are.
    pub kind: Kind,
    /// Their name.
    pub what: String,
    /// Whose code named them.
    pub origin: Origin,
    /// The script, as Node names it.
    pub file: Option<String>,
    /// Where the function or class starts, in characters of the script.
    pub position: Option<u32>,
    /// Where that is, counted from 1; looked up by [`Reader::lines`].
    pub line: Option<u32>,
    /// How many and how much.
    pub tally: Tally,
    /// The Script's address.
    pub(crate) script: Option<u64>,
    pub(crate) members: Members,
}

/// What of the heap a row counts; valid for the reader that read it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Members {
    pub(crate) maps: Vec<MapId>,
    /// Addresses of SharedFunctionInfos: of closures, and of suspended calls.
    pub(crate) functions: Vec<u64>,
    pub(crate) suspended: Vec<u64>,
}

/// What is known of a row while it is put together.
#[derive(Default)]
struct Draft {
    tally: Tally,
    script: Option<u64>,
    members: Members,
}

impl Row {
    /// A row without a name yet.
    pub(crate) fn named(kind: Kind) -> Self {
        Self {
            isolate: 0,
            kind,
            what: String::new(),
            origin: Origin::Engine,
            file: None,
            position: None,
            line: None,
            tally: Tally::default(),
            script: None,
            members: Members::default(),
        }
    }
}

/// One of the largest arrays, Maps or Sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// Which isolate.
    pub isolate: usize,
    /// What it is, or what it is the backing store of.
    pub what: String,
    /// Elements or entries.
    pub elements: u64,
    /// Bytes of its table, without what it points at.
    pub bytes: u64,
    pub(crate) address: u64,
}

/// What one isolate holds in all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Bytes of objects counted, without ArrayBuffers' memory outside the heap.
    pub heap_bytes: u64,
    /// Bytes of ArrayBuffers' memory.
    pub array_buffer_bytes: u64,
    /// Entries of all Maps and of all Sets.
    pub map_entries: u64,
    /// Entries of all Sets.
    pub set_entries: u64,
    /// Promises that are not settled.
    pub pending_promises: u64,
    /// Free bytes inside old pages, left out.
    pub free_bytes: u64,
    /// Bytes of old objects that nothing holds: they wait for a major collection and are left out. `None` when they were
    /// not told apart; then they are counted, and every number is an upper bound.
    pub dead_bytes: Option<u64>,
    /// Code pages' bytes.
    pub code_bytes: u64,
    /// Bytes of the young generation's pages in use, and the share of them that was reachable and counted.
    pub young_page_bytes: u64,
    /// Reachable young bytes.
    pub young_live_bytes: u64,
    /// Old pages' bytes that could not be explained as objects.
    pub unexplained_bytes: u64,
    /// Young objects that were moving while they were read.
    pub torn: u64,
}

/// What a process holds.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// By origin, then bytes.
    pub rows: Vec<Row>,
    /// One for each isolate.
    pub isolates: Vec<Summary>,
    /// Collections moved objects in every attempt to read: some may be missing, or counted twice.
    pub disturbed: bool,
    /// The largest collections, by bytes.
    pub collections: Vec<Collection>,
}

type Key = (Kind, String, Option<String>, Option<u32>);

impl Reader<'_> {
    /// Reads and counts everything once.
    pub fn read(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<Reading, Refusal> {
        let mut counted = self.count(progress)?;
        counted.sort_by_key(|isolate| std::cmp::Reverse(isolate.by_map.iter().map(|tally| tally.bytes).sum::<u64>()));
        let mut reading = Reading {
            disturbed: self.disturbed,
            ..Reading::default()
        };
        for (index, isolate) in counted.iter().enumerate() {
            reading.isolates.push(summary(isolate));
            self.rows(index, isolate, &mut reading.rows)?;
            reading
                .collections
                .extend(isolate.largest.iter().map(|large| Collection {
                    isolate: index,
                    what: self.internal(large.instance_type),
                    elements: large.elements,
                    bytes: large.bytes,
                    address: large.address,
                }));
        }
        reading
            .collections
            .sort_by_key(|collection| std::cmp::Reverse(collection.bytes));
        reading
            .rows
            .sort_by(|a, b| (a.origin, b.tally.bytes, &a.what).cmp(&(b.origin, a.tally.bytes, &b.what)));
        Ok(reading)
    }

    fn rows(&self, index: usize, isolate: &Isolate, rows: &mut Vec<Row>) -> Result<(), Refusal> {
        self.scopes.remember(isolate.closures.keys().copied());
        let mut named = BTreeMap::<Key, Draft>::new();
        for (&shared, &tally) in &isolate.closures {
            if let Some(function) = self.maps.function(shared)? {
                let name = if function.name.is_empty() {
                    ANONYMOUS
                } else {
                    &function.name
                };
                add(&mut named, Kind::Closure, name.to_owned(), &function, tally)
                    .members
                    .functions
                    .push(shared);
            }
        }
        for (&shared, &tally) in &isolate.suspended {
            if let Some(function) = self.maps.function(shared)? {
                add(&mut named, Kind::Suspended, function.name.clone(), &function, tally)
                    .members
                    .suspended
                    .push(shared);
            }
        }
        if isolate.other_closures.count > 0 {
            let what = "(further functions)".to_owned();
            add(
                &mut named,
                Kind::Closure,
                what,
                &Function::default(),
                isolate.other_closures,
            );
        }
        for (id, &tally) in isolate.by_map.iter().enumerate().filter(|(_, tally)| tally.count > 0) {
            let id = MapId(id as u32);
            let Some(info) = self.maps.info(id) else { continue };
            let types = &self.maps.layout.types;
            if !types.is_function(info.instance_type) && !types.generators.contains(&info.instance_type) {
                let (kind, what, function) = self.describe(info)?;
                add(&mut named, kind, what, &function, tally).members.maps.push(id);
            }
        }
        rows.extend(named.into_iter().map(|((kind, what, file, position), draft)| Row {
            isolate: index,
            what,
            origin: Origin::of(file.as_deref()),
            file,
            position,
            tally: draft.tally,
            script: draft.script,
            members: draft.members,
            ..Row::named(kind)
        }));
        Ok(())
    }

    /// What the objects of a map are called.
    pub(crate) fn describe(&self, info: MapInfo) -> Result<(Kind, String, Function), Refusal> {
        let layout = &self.maps.layout;
        let types = &layout.types;
        let instance_type = info.instance_type;
        if instance_type < layout.string.first_nonstring {
            return Ok((Kind::String, "string".to_owned(), Function::default()));
        }
        if !types.is_js_receiver(instance_type) {
            return Ok((Kind::Internal, self.internal(instance_type), Function::default()));
        }
        let type_name = layout
            .type_names
            .get(&instance_type)
            .map_or("object", |name| name.strip_prefix("JS").unwrap_or(name));
        let constructor = match self.maps.constructor(info.address)? {
            Some(shared) => self.maps.function(shared)?.unwrap_or_default(),
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
            let what = if self.maps.is_dictionary(info.address)? {
                "Object (dictionary)".to_owned()
            } else {
                let names = self.maps.shape(info.address, SHAPE)?;
                let more = if self.maps.own_descriptors(info.address)? > SHAPE {
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

    fn internal(&self, instance_type: u16) -> String {
        let known = self.maps.layout.type_names.get(&instance_type).cloned();
        match instance_type {
            t if Some(t) == self.tables.map => "(Map's table)".to_owned(),
            t if Some(t) == self.tables.set => "(Set's table)".to_owned(),
            t if Some(t) == self.tables.weak => "(WeakMap's table)".to_owned(),
            t if self.maps.layout.types.is_context(t) => "(closure scope)".to_owned(),
            t => known.map_or_else(|| format!("(internal type {t})"), |name| format!("({name})")),
        }
    }
}

fn add<'n>(
    named: &'n mut BTreeMap<Key, Draft>,
    kind: Kind,
    what: String,
    function: &Function,
    tally: Tally,
) -> &'n mut Draft {
    let draft = named
        .entry((kind, what, function.file.clone(), function.position))
        .or_default();
    draft.tally.merge(tally);
    draft.script = draft.script.or(function.script);
    draft
}

fn summary(isolate: &Isolate) -> Summary {
    let all: u64 = isolate.by_map.iter().map(|tally| tally.bytes).sum();
    Summary {
        heap_bytes: all - isolate.array_buffer_bytes,
        array_buffer_bytes: isolate.array_buffer_bytes,
        map_entries: isolate.map_entries,
        set_entries: isolate.set_entries,
        pending_promises: isolate.pending_promises,
        free_bytes: isolate.free,
        dead_bytes: isolate.dead,
        code_bytes: isolate.code,
        young_page_bytes: isolate.young_pages,
        young_live_bytes: isolate.young_live,
        unexplained_bytes: isolate.coverage.unexplained,
        torn: isolate.torn,
    }
}
