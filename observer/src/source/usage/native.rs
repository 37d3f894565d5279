//! Reads the native memory of one process, produces its C++ objects by class, what they hold, and how the JavaScript objects
//! that wrap them are held.

use std::{collections::BTreeMap, fs::File, path::Path};

use observer_heap::{
    Holders, MemoryError,
    native::{Census, Class, Size, Vtables},
};

use super::{
    mappings::{Kind, Mapping},
    process::WholeProcess,
};
use crate::source::{memory, rooted::Rooted};

/// Files whose symbols are read.
const MOST_FILES: usize = 64;
/// Objects that are followed upwards for each class.
const FOLLOWED: usize = 32;

/// Objects of one class.
#[derive(Clone, Debug, Default)]
pub struct NativeClass {
    /// Its name, number and bytes.
    pub class: Class,
    /// How many of them a JavaScript object wraps that is held.
    pub wrapped: u64,
    /// How these are held.
    pub held: Holders,
}

/// Native memory by class.
#[derive(Clone, Debug, Default)]
pub struct Native {
    /// Largest first.
    pub classes: Vec<NativeClass>,
    /// Blocks without a class that no object alone holds.
    pub sizes: Vec<Size>,
    /// Why the JavaScript side is not told.
    pub unwrapped: Option<String>,
}

impl Native {
    /// Reads it; for the classes that `choose` picks of the largest, how they are held is looked up.
    pub fn read(pid: u32, choose: &dyn Fn(&[Class]) -> Vec<usize>) -> Result<Self, MemoryError> {
        let whole = WholeProcess::read(pid)?;
        let (pid, live, mappings) = whole.source();
        let vtables = vtables(pid, mappings);
        let metadata = memory::metadata(pid).ok();
        let mut unwrapped = None;
        let mut reader = metadata.and_then(|metadata| {
            let opened = memory::open(live, &metadata, None).and_then(|mut reader| {
                reader.read(&mut |_, _| {})?;
                Ok(reader)
            });
            opened.inspect_err(|refusal| unwrapped = Some(refusal.to_string())).ok()
        });
        let extents = reader.as_ref().map(observer_heap::Reader::extents).unwrap_or_default();
        let buffers = match reader.as_ref().map(observer_heap::Reader::buffers) {
            Some(Ok(buffers)) => buffers.iter().map(|buffer| buffer.address).collect(),
            _ => Vec::new(),
        };
        let (_, gaps) = whole.stacks_and_gaps(&extents);
        let malloc = whole.malloc(live, &gaps)?;
        let census = Census::read(live, &malloc, &vtables, &buffers)?;
        let chosen = choose(&census.classes);
        let mut classes: Vec<NativeClass> = census
            .classes
            .into_iter()
            .map(|class| NativeClass {
                class,
                ..NativeClass::default()
            })
            .collect();
        if let Some(reader) = &mut reader {
            let natives: Vec<Vec<u64>> = chosen
                .iter()
                .filter_map(|&index| Some(classes.get(index)?.class.objects.clone()))
                .collect();
            match reader.wrapped(&natives, FOLLOWED, &mut |_| {}) {
                Ok(wrapped) => {
                    for (&index, wrapped) in chosen.iter().zip(wrapped) {
                        if let Some(class) = classes.get_mut(index) {
                            class.wrapped = wrapped.count;
                            class.held = wrapped.held;
                        }
                    }
                }
                Err(refusal) => unwrapped = Some(refusal.to_string()),
            }
        }
        Ok(Self {
            classes,
            sizes: census.sizes,
            unwrapped,
        })
    }
}

/// The classes of every mapped file.
fn vtables(pid: u32, mappings: &[Mapping]) -> Vtables {
    let mut files = BTreeMap::<&str, &Mapping>::new();
    for mapping in mappings.iter().filter(|mapping| mapping.kind == Kind::File) {
        files.entry(&mapping.path).or_insert(mapping);
    }
    let executable = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let mut vtables = Vtables::default();
    for (path, mapping) in files.into_iter().take(MOST_FILES) {
        // What was removed or replaced since has symbols no more, unless it is the executable.
        let file = if Path::new(path) == executable {
            File::open(format!("/proc/{pid}/exe"))
        } else {
            Rooted::of_pid(pid).and_then(|root| root.open(Path::new(path)))
        };
        if let Ok(file) = file {
            vtables.add(file, mapping.start, mapping.offset);
        }
    }
    vtables
}
