//! What this kernel's own files say of it: reads BTF and tracefs, produces the offsets, formats and prototypes that programs
//! and hooks need.

use std::fs;

use aya::Btf as AyaBtf;
use observer_common::layout::{ABSENT, FIELDS, FORMATS, SETTINGS, Setting};

use super::{
    btf::{Btf, BtfError, Parameter},
    hook::Hook,
    layout::{self, VMLINUX},
};

/// What this kernel's own files say about it.
pub(super) struct KernelFacts {
    /// aya's own view of BTF, for attaching; an error with the reason.
    pub(super) btf: Result<AyaBtf, String>,
    pub(super) offsets: [u32; FIELDS],
    rss_is_a_structure: bool,
    pub(super) formats: [u32; FORMATS],
    /// Prototype of each hook's BTF tracepoint, in the order of [`Hook::ALL`].
    prototypes: [Option<Vec<Parameter>>; Hook::ALL.len()],
}

impl KernelFacts {
    /// Offsets and prototypes, and whether the types could be read; [`KernelFacts::btf`] is left to the caller.
    pub(super) fn read() -> (Self, Result<(), String>) {
        let mut kernel = Self {
            btf: Err(String::new()),
            offsets: [ABSENT; FIELDS],
            rss_is_a_structure: false,
            formats: layout::formats(layout::tracefs()),
            prototypes: [const { None }; Hook::ALL.len()],
        };
        let types = fs::read(VMLINUX)
            .map_err(|error| format!("cannot read the kernel's BTF at {VMLINUX}: {error}"))
            .and_then(|blob| {
                kernel
                    .resolve(&blob)
                    .map_err(|error| format!("cannot parse {VMLINUX}: {error}"))
            });
        (kernel, types)
    }

    fn resolve(&mut self, blob: &[u8]) -> Result<(), BtfError> {
        let btf = Btf::parse(blob)?;
        self.offsets = layout::offsets(&btf);
        self.rss_is_a_structure = layout::rss_is_a_structure(&btf);
        for (prototype, hook) in self.prototypes.iter_mut().zip(Hook::ALL) {
            *prototype = btf.prototype(&format!("btf_trace_{}", hook.tracepoint()));
        }
        Ok(())
    }

    pub(super) fn prototype(&self, hook: Hook) -> Option<&[Parameter]> {
        let index = Hook::ALL.iter().position(|&other| other == hook)?;
        self.prototypes.get(index)?.as_deref()
    }

    /// Whether the hook's first argument is a structure: `mark_victim` carried a bare pid once.
    pub(super) fn passes_pointer(&self, hook: Hook) -> bool {
        // The prototype begins with a `void *` of its own.
        self.prototype(hook)
            .is_some_and(|parameters| parameters.get(1) == Some(&Parameter::Pointer))
    }

    pub(super) fn settings(&self) -> [u32; SETTINGS] {
        let mut settings = [0; SETTINGS];
        // The prototype counts the `void *` that every such typedef starts with.
        let tells = self
            .prototype(Hook::Exit)
            .is_some_and(|parameters| parameters.len() > 2);
        settings[Setting::PageSize as usize] = rustix::param::page_size() as u32;
        settings[Setting::ExitTellsGroupDead as usize] = u32::from(tells);
        settings[Setting::CgroupHierarchy as usize] = memory_hierarchy();
        settings[Setting::RssByHelper as usize] = u32::from(self.rss_is_a_structure);
        settings
    }
}

/// The hierarchy that accounts for memory (0 is the unified one), or [`ABSENT`], which stands for all.
fn memory_hierarchy() -> u32 {
    // Kernels without cgroup v1 have no such file: everything is in the unified hierarchy.
    let Ok(text) = fs::read_to_string("/proc/cgroups") else {
        return 0;
    };
    text.lines()
        .find_map(|line| {
            let mut columns = line.split_whitespace();
            (columns.next()? == "memory").then(|| columns.next()?.parse().ok())?
        })
        .unwrap_or(ABSENT)
}
