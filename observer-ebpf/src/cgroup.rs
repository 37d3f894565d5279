//! A cgroup was made or released in the hierarchy that accounts for memory.

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::bpf_probe_read_kernel_str,
    macros::{btf_tracepoint, tracepoint},
    programs::{BtfTracePointContext, TracePointContext},
};
use aya_log_ebpf::{debug, info};
use observer_common::{
    layout::{ABSENT, Field, Format, Setting},
    record::{CGROUP_PATH_LEN, Cgroup, Kind},
};

use crate::{
    emit::emit_in_place,
    memory::{Direct, argument, field, pointer},
    settings,
};

/// `cgroup_mkdir(struct cgroup *cgrp, const char *path)`, 5.10 to 7.2
#[btf_tracepoint(function = "cgroup_mkdir")]
fn cgroup_mkdir_btf(ctx: BtfTracePointContext) -> i32 {
    from_btf(Kind::CgroupMkdir, &ctx)
}

/// `cgroup_release(struct cgroup *cgrp, const char *path)`, 5.10 to 7.2
#[btf_tracepoint(function = "cgroup_release")]
fn cgroup_release_btf(ctx: BtfTracePointContext) -> i32 {
    from_btf(Kind::CgroupRelease, &ctx)
}

/// `cgroup:cgroup_mkdir`: `root`, `level`, `id`, `path`
#[tracepoint]
fn cgroup_mkdir_tp(ctx: TracePointContext) -> i32 {
    from_record(Kind::CgroupMkdir, &ctx)
}

/// `cgroup:cgroup_release`, the same record
#[tracepoint]
fn cgroup_release_tp(ctx: TracePointContext) -> i32 {
    from_record(Kind::CgroupRelease, &ctx)
}

#[inline(always)]
fn from_btf(kind: Kind, ctx: &BtfTracePointContext) -> i32 {
    let Some(cgroup) = argument(ctx.arg(0)) else {
        return 0;
    };
    let hierarchy = pointer::<Direct>(cgroup, Field::CgroupRoot)
        .and_then(|root| field::<Direct, u32>(root, Field::CgroupRootHierarchy))
        .unwrap_or(0);
    let id = pointer::<Direct>(cgroup, Field::CgroupNode)
        .and_then(|node| field::<Direct, u64>(node, Field::KernfsNodeId))
        .unwrap_or(0);
    let level = field::<Direct, u32>(cgroup, Field::CgroupLevel).unwrap_or(0);
    try_cgroup(kind, id, hierarchy, level, ctx.arg(1))
}

#[inline(always)]
fn from_record(kind: Kind, ctx: &TracePointContext) -> i32 {
    let Some(location) = read::<u32>(ctx, Format::CgroupPath) else {
        return 0;
    };
    // A `__data_loc` field: the text's offset in the low half.
    let path = ctx.as_ptr().cast::<u8>().wrapping_add((location & 0xffff) as usize);
    try_cgroup(
        kind,
        read(ctx, Format::CgroupId).unwrap_or(0),
        read(ctx, Format::CgroupHierarchy).unwrap_or(0),
        read(ctx, Format::CgroupDepth).unwrap_or(0),
        path,
    )
}

#[inline(always)]
fn try_cgroup(kind: Kind, id: u64, root: u32, level: u32, path: *const u8) -> i32 {
    let wanted = settings::setting(Setting::CgroupHierarchy);
    // A v1 host makes a container's cgroup once per controller: one of them is enough.
    if wanted != ABSENT && wanted != root {
        debug!(
            (),
            "cgroup {} of hierarchy {}, which does not account for memory", id, root
        );
        return 0;
    }
    info!((), "cgroup {} at depth {}, record {}", id, level, kind as u32);
    emit_in_place::<Cgroup>(kind, |slot, header| {
        // SAFETY: `slot` points to reserved memory of this type, which nobody else writes; the helper checks `path`
        // and writes CGROUP_PATH_LEN bytes at most, its NUL included.
        unsafe {
            (&raw mut (*slot).header).write(header);
            (&raw mut (*slot).id).write(id);
            (&raw mut (*slot).root).write(root);
            (&raw mut (*slot).level).write(level);
            (&raw mut (*slot).pad).write(0);
            let target = (&raw mut (*slot).path).cast();
            let written = bpf_probe_read_kernel_str(target, CGROUP_PATH_LEN as u32, path.cast());
            (&raw mut (*slot).path_len).write(written as u32 - 1);
            written > 0
        }
    });
    0
}

#[inline(always)]
fn read<T: Copy>(ctx: &TracePointContext, of: Format) -> Option<T> {
    let offset = settings::format(of);
    if offset == ABSENT {
        return None;
    }
    // SAFETY: the helper behind it checks the address; the offset is this kernel's own.
    unsafe { ctx.read_at(offset as usize) }.ok()
}
