//! Reads the kernel's BTF and the tracepoints' format files, produces the offsets the programs are loaded with.

use std::{fs, path::Path};

use observer_common::layout::{ABSENT, FIELDS, FORMATS, Field, Format};

use super::btf::{Btf, Member};

/// Where the kernel publishes its types.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
/// Where tracefs is mounted, newest habit first.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// The offset of every [`Field`], or [`ABSENT`].
pub fn offsets(btf: &Btf<'_>) -> [u32; FIELDS] {
    let mut offsets = [ABSENT; FIELDS];
    for (offset, field) in offsets.iter_mut().zip(Field::ALL) {
        let (structure, path) = field.path();
        *offset = locate(btf, structure, path).unwrap_or(ABSENT);
    }
    offsets
}

fn locate(btf: &Btf<'_>, structure: &str, path: &str) -> Option<u32> {
    let mut at = Member {
        offset: 0,
        of: btf.structure(structure)?,
    };
    for step in path.split('.') {
        at = if let Ok(n) = step.parse() {
            btf.element(at, n)?
        } else if step.starts_with("MM_") {
            rss_counter(btf, at, btf.enumerator(step)?)?
        } else {
            step_into(btf, at, step)?
        };
    }
    Some(at.offset)
}

fn step_into(btf: &Btf<'_>, at: Member, name: &str) -> Option<Member> {
    let member = btf.member(at.of, name)?;
    Some(Member {
        offset: at.offset.checked_add(member.offset)?,
        of: member.of,
    })
}

/// Whether the resident-page counters are the older structure with an array of a typedef.
pub fn rss_is_a_structure(btf: &Btf<'_>) -> bool {
    btf.structure("mm_rss_stat").is_some()
}

/// `mm_struct.rss_stat` is a structure with an array `count` up to 6.1, and an array of `percpu_counter`, each with
/// its sum in `count`, after it.
fn rss_counter(btf: &Btf<'_>, rss_stat: Member, n: u32) -> Option<Member> {
    match step_into(btf, rss_stat, "count") {
        Some(array) => btf.element(array, n),
        None => step_into(btf, btf.element(rss_stat, n)?, "count"),
    }
}

/// The tracefs mount, where there is one that can be read.
pub fn tracefs() -> Option<&'static Path> {
    TRACEFS
        .into_iter()
        .map(Path::new)
        .find(|mount| mount.join("events/sched").is_dir())
}

/// The offset of every [`Format`], or [`ABSENT`].
pub fn formats(tracefs: Option<&Path>) -> [u32; FORMATS] {
    let mut formats = [ABSENT; FORMATS];
    let Some(tracefs) = tracefs else {
        return formats;
    };
    for (offset, format) in formats.iter_mut().zip(Format::ALL) {
        let (category, event, field) = format.path();
        let file = tracefs.join("events").join(category).join(event).join("format");
        // An unreadable file is an absent field: the rung that needs it says so when it fails to attach.
        if let Ok(text) = fs::read_to_string(file) {
            *offset = format_offset(&text, field).unwrap_or(ABSENT);
        }
    }
    formats
}

/// The offset of a field in a format file, whose lines read `field:TYPE NAME[DIM]; offset:N; size:N; signed:N;`.
fn format_offset(text: &str, field: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut parts = line.trim().strip_prefix("field:")?.split(';');
        let name = parts.next()?.split_whitespace().next_back()?;
        if name.split('[').next()? != field {
            return None;
        }
        parts.next()?.trim().strip_prefix("offset:")?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "name: sched_process_fork\nID: 316\nformat:\n\
            \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
            \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
            \tfield:char parent_comm[16];\toffset:8;\tsize:16;\tsigned:0;\n\
            \tfield:__data_loc char[] child_comm;\toffset:28;\tsize:4;\tsigned:0;\n\
            \tfield:pid_t child_pid;\toffset:44;\tsize:4;\tsigned:1;\n";
        assert_eq!(format_offset(text, "child_pid"), Some(44));
        assert_eq!(format_offset(text, "parent_comm"), Some(8));
        assert_eq!(format_offset(text, "child_comm"), Some(28));
        assert_eq!(format_offset(text, "pid"), None);
        assert_eq!(format_offset("field:int x; offset:; size:4;", "x"), None);
    }

    #[test]
    fn this_kernels_own_types_give_every_offset_this_architecture_needs() {
        let Ok(blob) = fs::read(VMLINUX) else {
            eprintln!("skipped: {VMLINUX} cannot be read");
            return;
        };
        let btf = Btf::parse(&blob).unwrap();
        let offsets = offsets(&btf);
        for (offset, field) in offsets.iter().zip(Field::ALL) {
            assert_ne!(*offset, ABSENT, "{field:?} {:?}", field.path());
        }
        let at = |field: Field| offsets[field as usize];
        // Two neighbours in every kernel since 2.6 (include/linux/sched.h).
        assert_eq!(at(Field::TaskTgid), at(Field::TaskPid) + 4);
        assert_ne!(at(Field::MmRssAnon), at(Field::MmRssFile));
    }
}
