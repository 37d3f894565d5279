//! Names what a search upwards ends at: reads a timer, produces the function that it calls; reads a module, produces the name of an export.

use crate::graph::owners::{Edge, MODULE, Owners, Pending};
use crate::layout::maps::MapInfo;
use crate::layout::refusal::Refusal;
use crate::memory::peek::{smi, strong};
use crate::names::kind::Kind;

/// Properties of Node's timers with the function that they call (lib/internal/timers.js), and timers of which these must agree.
const CALLBACKS: [&str; 2] = ["_onTimeout", "_onImmediate"];
const TIMERS: usize = 16;
/// Words of a module's table of exports.
const MOST_EXPORTS: u64 = 1 << 14;
/// Modules that a module imports from which are looked into.
const MOST_IMPORTED: usize = 256;

impl Owners<'_, '_> {
    /// `Timeout of expire() in /app/sessions.js`, for timers that call one function; nothing for what is none, or calls several.
    pub(crate) fn timers(&self, objects: &[u64]) -> Result<Option<String>, Refusal> {
        let maps = &self.0.maps;
        let mut named: Option<String> = None;
        for &object in objects.iter().take(TIMERS) {
            let Some(map) = maps
                .of(object)?
                .filter(|map| map.instance_type == maps.layout.types.js_object)
            else {
                return Ok(None);
            };
            if !self.is_timer(map)? {
                return Ok(None);
            }
            let (first, fields) = maps.inobject(map.address)?;
            let mut called = None;
            for field in 0..fields {
                let name = maps.field_name(map.address, field)?;
                if name.is_some_and(|name| CALLBACKS.contains(&name.as_str())) {
                    called = strong(maps.peek.word(object + (first + field) * 8)?);
                }
            }
            let (Some(called), (_, what, _)) = (called, maps.describe(self.0.tables, map)?) else {
                return Ok(None);
            };
            let Some(kind) = maps
                .of(called)?
                .filter(|map| maps.layout.types.is_function(map.instance_type))
            else {
                return Ok(None);
            };
            let edge = Edge {
                owner: called,
                offset: 0,
                map: kind,
            };
            let name = format!(
                "{what} of {}",
                self.member(&edge, kind, Pending::None, Kind::Closure, "")?
            );
            if named.as_ref().is_some_and(|known| *known != name) {
                return Ok(None);
            }
            named = Some(name);
        }
        Ok(named)
    }

    /// `export visits in file`: what a module exports stands in a cell, and the cell under its name in one of that module's tables; modules that
    /// import it have the cell as well, and that module in a list (src/objects/source-text-module.tq).
    pub(super) fn export(&self, edge: &Edge, cell: Option<u64>) -> Result<String, Refusal> {
        let mut module = Module::default();
        self.look_into(edge.owner, edge.map, cell, &mut module)?;
        if module.name.is_none() {
            for (imported, map) in std::mem::take(&mut module.imported) {
                let mut other = Module::default();
                self.look_into(imported, map, cell, &mut other)?;
                if other.name.is_some() {
                    module = other;
                    break;
                }
            }
        }
        let Module { name, file, .. } = module;
        let name = name.map_or_else(|| "export of a module".to_owned(), |name| format!("export {name}"));
        Ok(match file {
            Some(file) => format!("{name} in {file}"),
            None => name,
        })
    }

    fn look_into(&self, module: u64, map: MapInfo, cell: Option<u64>, found: &mut Module) -> Result<(), Refusal> {
        let maps = &self.0.maps;
        for word in 1..u64::from(map.words) {
            let Some(target) = strong(maps.peek.word(module + 8 * word)?) else {
                continue;
            };
            let Some(map) = maps.of(target)? else { continue };
            if map.words == 0 {
                self.look_into_table(target, cell, found)?;
            } else if maps.layout.types.is_js_receiver(map.instance_type) && found.file.is_none() {
                // The module's code: a generator, whose type is not published.
                found.file = self.generated_by(target)?.and_then(|function| function.file);
            }
        }
        Ok(())
    }

    /// Looks for the name before a cell, and for modules.
    fn look_into_table(&self, table: u64, cell: Option<u64>, found: &mut Module) -> Result<(), Refusal> {
        let maps = &self.0.maps;
        let data = table + u64::from(maps.layout.array_data);
        let words = smi(maps.peek.word(data - 8)?).and_then(|words| u64::try_from(words).ok());
        for word in 0..words.unwrap_or(0).min(MOST_EXPORTS) {
            let Some(target) = strong(maps.peek.word(data + 8 * word)?) else {
                continue;
            };
            if Some(target) == cell && word > 0 {
                let name = maps.property(maps.peek.word(data + 8 * (word - 1))?)?;
                found.name = found.name.take().or(name);
            } else if found.imported.len() < MOST_IMPORTED
                && let Some(map) = maps.of(target)?.filter(|&map| self.type_name(map) == MODULE)
            {
                found.imported.push((target, map));
            }
        }
        Ok(())
    }
}

/// What is found in a module.
#[derive(Default)]
struct Module {
    name: Option<String>,
    file: Option<String>,
    imported: Vec<(u64, MapInfo)>,
}
