//! Reads the objects of a heap in order of their addresses, produces the nodes and edges of a snapshot.
//!
//! Nodes were numbered before. An object that is no longer where it was found is still a node, so that all others keep their
//! numbers: of the type `hidden`, without edges, with a name that says so.

use std::fs::File;
use std::rc::Rc;

use crate::export::extras::Extras;
use crate::export::ids::{Ids, mark};
use crate::export::locations::Locations;
use crate::export::objects::{Collected, Objects, PageObjects};
use crate::export::out::{EdgeType, NodeType, Out};
use crate::export::plan::{Naming, Plan, Plans};
use crate::export::slots::{self, Scopes};
use crate::export::strings::Strings;
use crate::graph::live::BITS;
use crate::layout::refusal::Refusal;
use crate::memory::by_address::ByAddress;
use crate::memory::pages::Space;
use crate::memory::peek::strong;
use crate::walk::heap::Heap;
use crate::walk::walker::{Choose, Object, Visit, Walker};

/// Functions whose name is kept.
const MOST_FUNCTIONS: usize = 1 << 18;
/// Backing stores told apart; further ones are nodes of their own.
const MOST_STORES: usize = 1 << 20;
/// V8's backing stores are smaller.
const LARGEST_STORE: u64 = 1 << 47;

/// The node being written.
struct Node {
    kind: NodeType,
    name: u32,
    id: u32,
    bytes: u64,
    edges: u32,
    plan: Rc<Plan>,
}

/// Writes nodes and edges.
pub(crate) struct Emit<'e, 'm> {
    pub(crate) heap: &'e Heap<'m>,
    pub(crate) objects: &'e Objects,
    pub(crate) strings: Strings<'e, std::io::BufWriter<File>>,
    pub(crate) out: Out<&'e mut File, File>,
    pub(crate) locations: Locations<File>,
    pub(crate) ids: &'e mut Ids,
    plans: Plans,
    scopes: Scopes,
    extras: Extras,
    names: ByAddress<u32>,
    node: Option<Node>,
    /// Number of the node after the objects and the four that stand for what holds them.
    first_store: u32,
    /// Sizes of backing stores, and which stands at which address.
    pub(crate) stores: Vec<u64>,
    store_at: ByAddress<u32>,
    /// Objects that were no longer there.
    pub(crate) moved: u64,
}

impl<'e, 'm> Emit<'e, 'm> {
    pub(crate) fn new(
        heap: &'e Heap<'m>,
        objects: &'e Objects,
        strings: Strings<'e, std::io::BufWriter<File>>,
        out: Out<&'e mut File, File>,
        locations: Locations<File>,
        ids: &'e mut Ids,
        first_store: u32,
    ) -> Self {
        let words = heap.maps.pages.pages.iter().map(|page| page.area() / 8).sum();
        Self {
            heap,
            objects,
            strings,
            out,
            locations,
            ids,
            plans: Plans::default(),
            scopes: Scopes::default(),
            extras: Extras::new(words),
            names: ByAddress::default(),
            node: None,
            first_store,
            stores: Vec::new(),
            store_at: ByAddress::default(),
            moved: 0,
        }
    }

    /// Writes every object.
    pub(crate) fn objects(&mut self, collected: &Collected) -> Result<(), Refusal> {
        let mut walker = Walker::new(&self.heap.maps, &self.heap.sizes);
        for objects in &collected.objects.pages {
            self.heap.maps.peek.forget();
            if objects.page.space == Space::Young {
                for copied in collected.young.of(&objects.page) {
                    let words = collected.young.words(copied);
                    let object = Object {
                        address: copied.address,
                        map: copied.map,
                        info: copied.info,
                        size: copied.size,
                        words,
                        window: words,
                        room: copied.size,
                        slots: copied.slots,
                    };
                    self.object(&object)?;
                    self.settle();
                }
                continue;
            }
            let mut page = OfPage {
                emit: self,
                objects,
                word: 0,
                taken: 0,
                open: false,
            };
            walker.chosen(&objects.page, &mut page)?;
            self.settle();
        }
        Ok(())
    }

    /// Writes the node that is complete.
    fn settle(&mut self) {
        if let Some(node) = self.node.take() {
            self.out.node(node.kind, node.name, node.id, node.bytes, node.edges);
        }
    }

    /// A node in place of an object that is gone.
    fn gone(&mut self, address: u64) {
        self.settle();
        self.moved += 1;
        let name = self.strings.name("(moved while it was read)");
        let id = self.ids.of(address, 0);
        self.out.node(NodeType::Hidden, name, id, 0, 0);
    }

    fn function(&mut self, shared: u64) -> Result<u32, Refusal> {
        if let Some(&name) = self.names.get(&shared) {
            return Ok(name);
        }
        let function = self.heap.maps.function(shared)?.unwrap_or_default();
        // As in V8's own, a function without a name has none.
        let index = self.strings.name(&function.name);
        if self.names.len() < MOST_FUNCTIONS {
            self.names.insert(shared, index);
        }
        Ok(index)
    }

    fn name(&mut self, naming: Naming, object: &Object<'_>) -> Result<u32, Refusal> {
        let maps = &self.heap.maps;
        let function = &maps.layout.function;
        Ok(match naming {
            Naming::Fixed(name) => name,
            Naming::Closure => match strong(object.word(function.shared)) {
                Some(shared) => self.function(shared)?,
                None => self.strings.name(""),
            },
            Naming::Function => self.function(object.address)?,
            Naming::Script => {
                let name = maps.text(object.word(function.script_name))?.unwrap_or_default();
                self.strings.name(&name)
            }
            Naming::Text => self.strings.contents(maps, "string", object.address)?,
            Naming::Pattern => {
                let source = maps.layout.pattern.and_then(|at| strong(object.word(at)));
                let is_string = |address| -> Result<bool, Refusal> {
                    let map = maps.of(address)?;
                    Ok(map.is_some_and(|map| map.instance_type < maps.layout.string.first_nonstring))
                };
                match source {
                    Some(source) if is_string(source)? => self.strings.contents(maps, "pattern", source)?,
                    _ => self.strings.name("(pattern)"),
                }
            }
        })
    }

    /// The edge from an ArrayBuffer to its memory outside the heap.
    fn store(&mut self, object: &Object<'_>) -> u32 {
        let layout = &self.heap.maps.layout.buffer;
        let (bytes, address) = (object.word(layout.byte_length), object.word(layout.backing_store));
        if bytes == 0 || bytes >= LARGEST_STORE || address == 0 {
            return 0;
        }
        let next = self.stores.len() as u32;
        let index = match self.store_at.get(&address) {
            Some(&index) => index,
            None => {
                if self.store_at.len() < MOST_STORES {
                    self.store_at.insert(address, next);
                }
                self.stores.push(bytes);
                next
            }
        };
        let Some(to) = self.first_store.checked_add(index) else {
            return 0;
        };
        let name = self.strings.name("backing_store");
        self.out.edge(EdgeType::Internal, name, to);
        1
    }

    fn begin(&mut self, object: &Object<'_>, plan: Rc<Plan>) -> Result<(), Refusal> {
        let layout = &self.heap.maps.layout;
        let name = self.name(plan.naming, object)?;
        let function = (layout.function.shared, layout.function.context);
        let id = self.ids.of(object.address, mark(&plan, object.words, function));
        let (kind, name) = match plan.kind {
            // The lowest bit behind its hash (src/objects/name.h, Symbol::flags).
            NodeType::Symbol if object.word(8) >> 32 & 1 == 1 => {
                (NodeType::Hidden, self.strings.name("private symbol"))
            }
            kind => (kind, name),
        };
        self.node = Some(Node {
            kind,
            name,
            id,
            bytes: object.size,
            edges: 0,
            plan,
        });
        Ok(())
    }

    fn edges(&mut self, plan: &Plan, first: usize, words: &[[u8; 8]]) -> Result<u32, Refusal> {
        slots::write(
            self.heap,
            self.objects,
            &mut self.scopes,
            &mut self.strings,
            &mut self.out,
            plan,
            first,
            words,
        )
    }

    /// Which function an object belongs to.
    fn belongs(&self, plan: &Plan, object: &Object<'_>) -> Option<u64> {
        match plan.naming {
            Naming::Closure => strong(object.word(self.heap.maps.layout.function.shared)),
            _ => plan.class,
        }
    }
}

impl Visit for Emit<'_, '_> {
    fn object(&mut self, object: &Object<'_>) -> Result<(), Refusal> {
        self.settle();
        let plan = self.plans.of(self.heap, &mut self.strings, object.map, object.info)?;
        self.begin(object, plan.clone())?;
        let words = if object.slots { object.words } else { &object.words[..1] };
        let mut edges = self.edges(&plan, 0, words)?;
        if plan.receiver {
            let objects = (self.heap, self.objects);
            edges += self
                .extras
                .write(objects, &mut self.strings, &mut self.out, &plan, object.words)?;
            if let Some(shared) = self.belongs(&plan, object) {
                self.locations.note(self.out.node_count, shared);
            }
        }
        if plan.buffer {
            edges += self.store(object);
        }
        if let Some(node) = &mut self.node {
            node.edges += edges;
        }
        Ok(())
    }

    fn more(&mut self, _: &Object<'_>, first: usize, words: &[[u8; 8]]) -> Result<(), Refusal> {
        let Some(plan) = self.node.as_ref().map(|node| node.plan.clone()) else {
            return Ok(());
        };
        let edges = self.edges(&plan, first, words)?;
        if let Some(node) = &mut self.node {
            node.edges += edges;
        }
        Ok(())
    }
}

/// Chooses the objects of one page in order.
struct OfPage<'p, 'e, 'm> {
    emit: &'p mut Emit<'e, 'm>,
    objects: &'p PageObjects,
    /// Word of the bit map, and its bits that were taken.
    word: usize,
    taken: u64,
    /// An object was chosen, and nothing was said of it yet: it lies outside of what was read.
    open: bool,
}

impl OfPage<'_, '_, '_> {
    fn address(&self) -> u64 {
        let bit = self.taken.checked_ilog2().unwrap_or(0);
        self.objects.page.base + (self.word as u64 * 64 + u64::from(bit)) * 8
    }

    fn gone(&mut self) {
        self.open = false;
        self.emit.gone(self.address());
    }
}

impl Choose for OfPage<'_, '_, '_> {
    fn next(&mut self) -> Option<usize> {
        if std::mem::take(&mut self.open) {
            self.gone();
        }
        while self.word < BITS {
            let open = self.objects.bits[self.word] & !self.taken;
            if open != 0 {
                let bit = open.trailing_zeros();
                self.taken |= 1 << bit;
                self.open = true;
                let start = (self.objects.page.start - self.objects.page.base) / 8;
                // An object before the area's start is none: it is told as gone.
                let index = (self.word as u64 * 64 + u64::from(bit)).checked_sub(start);
                return Some(index.map_or(usize::MAX, |index| index as usize));
            }
            self.word += 1;
            self.taken = 0;
        }
        None
    }

    fn torn(&mut self, _: u64) {
        self.gone();
    }
}

impl Visit for OfPage<'_, '_, '_> {
    fn object(&mut self, object: &Object<'_>) -> Result<(), Refusal> {
        self.open = false;
        self.emit.object(object)
    }

    fn more(&mut self, object: &Object<'_>, first: usize, words: &[[u8; 8]]) -> Result<(), Refusal> {
        self.emit.more(object, first, words)
    }
}
