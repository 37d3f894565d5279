//! Gives the counts of a walk their names: rows of what is held, where it stands in the source, how many, how much.

use std::collections::BTreeMap;

use crate::histogram::{Isolate, Tally};
use crate::maps::{MapId, MapInfo};
use crate::memory::Memory;
use crate::names::Function;
use crate::reader::Reader;
use crate::refusal::Refusal;

/// Property names that tell object literals apart.
const SHAPE: u32 = 4;

/// What kind of thing a row counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Closures of one function.
    Closure,
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
}

type Key = (Kind, String, Option<String>, Option<u32>);

impl<M: Memory + ?Sized> Reader<'_, M> {
    /// Reads and counts everything once.
    pub fn read(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Reading, Refusal> {
        let mut counted = self.count(progress)?;
        counted.sort_by_key(|isolate| std::cmp::Reverse(isolate.coverage.explained));
        let mut reading = Reading::default();
        for (index, isolate) in counted.iter().enumerate() {
            reading.isolates.push(summary(isolate));
            self.rows(index, isolate, &mut reading.rows)?;
        }
        reading
            .rows
            .sort_by(|a, b| (a.origin, b.tally.bytes, &a.what).cmp(&(b.origin, a.tally.bytes, &b.what)));
        Ok(reading)
    }

    fn rows(&self, index: usize, isolate: &Isolate, rows: &mut Vec<Row>) -> Result<(), Refusal> {
        let mut named = BTreeMap::<Key, (Tally, Option<u64>)>::new();
        let mut add = |kind, what: String, function: &Function, tally| {
            let entry = named
                .entry((kind, what, function.file.clone(), function.position))
                .or_default();
            entry.0.merge(tally);
            entry.1 = entry.1.or(function.script);
        };
        for (&shared, &tally) in &isolate.closures {
            if let Some(function) = self.maps.function(shared)? {
                let name = if function.name.is_empty() {
                    "(anonymous)".to_owned()
                } else {
                    function.name.clone()
                };
                add(Kind::Closure, name, &function, tally);
            }
        }
        if isolate.other_closures.count > 0 {
            add(
                Kind::Closure,
                "(further functions)".to_owned(),
                &Function::default(),
                isolate.other_closures,
            );
        }
        for (id, &tally) in isolate.by_map.iter().enumerate().filter(|(_, tally)| tally.count > 0) {
            let Some(info) = self.maps.info(MapId(id as u32)) else {
                continue;
            };
            if !self.maps.layout.types.is_function(info.instance_type) {
                let (kind, what, function) = self.describe(info)?;
                add(kind, what, &function, tally);
            }
        }
        rows.extend(
            named
                .into_iter()
                .map(|((kind, what, file, position), (tally, script))| Row {
                    isolate: index,
                    kind,
                    what,
                    origin: Origin::of(file.as_deref()),
                    file,
                    position,
                    line: None,
                    tally,
                    script,
                }),
        );
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

fn summary(isolate: &Isolate) -> Summary {
    let all: u64 = isolate.by_map.iter().map(|tally| tally.bytes).sum();
    Summary {
        heap_bytes: all - isolate.array_buffer_bytes,
        array_buffer_bytes: isolate.array_buffer_bytes,
        map_entries: isolate.map_entries,
        set_entries: isolate.set_entries,
        pending_promises: isolate.pending_promises,
        free_bytes: isolate.free,
        code_bytes: isolate.code,
        young_page_bytes: isolate.young_pages,
        young_live_bytes: isolate.young_live,
        unexplained_bytes: isolate.coverage.unexplained,
        torn: isolate.torn,
    }
}
