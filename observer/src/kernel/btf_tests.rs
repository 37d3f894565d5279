//! The parser on a hand-made blob, on this kernel's own, and on damaged ones.

use std::fs;

use super::*;

/// `struct outer { int a; union { long b; }; int c : 3; int list[4]; struct outer *next; }` and
/// `typedef void (*btf_trace_x)(void *, struct outer *, int)`
struct Blob {
    types: Vec<u8>,
    strings: Vec<u8>,
}

impl Blob {
    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        at
    }

    fn add(&mut self, name: &str, kind: u32, flag: bool, count: u32, target: u32, tail: &[u32]) {
        let name = self.name(name);
        for value in [name, u32::from(flag) << 31 | kind << 24 | count, target]
            .iter()
            .chain(tail)
        {
            self.types.extend(value.to_ne_bytes());
        }
    }

    fn finish(self) -> Vec<u8> {
        let mut blob = Vec::from(MAGIC.to_ne_bytes());
        blob.extend([1, 0]);
        let types = self.types.len() as u32;
        for value in [24, 0, types, types, self.strings.len() as u32] {
            blob.extend(value.to_ne_bytes());
        }
        blob.extend(self.types);
        blob.extend(self.strings);
        blob
    }
}

fn sample() -> Vec<u8> {
    let mut blob = Blob {
        types: Vec::new(),
        strings: vec![0],
    };
    let names: Vec<u32> = ["a", "b", "c", "list", "next"].map(|name| blob.name(name)).into();
    blob.add("int", INT, false, 0, 4, &[32]); // 1
    blob.add("long", INT, false, 0, 8, &[64]); // 2
    blob.add("", UNION, false, 1, 8, &[names[1], 2, 0]); // 3
    blob.add("", ARRAY, false, 0, 0, &[1, 1, 4]); // 4
    let members = [
        [names[0], 1, 0],
        [0, 3, 64],
        [names[2], 1, 3 << 24 | 128],
        [names[3], 6, 160],
        [names[4], 7, 320],
    ]
    .concat();
    blob.add("outer", STRUCT, true, 5, 48, &members); // 5
    blob.add("", CONST, false, 0, 4, &[]); // 6: const int[4]
    blob.add("", PTR, false, 0, 5, &[]); // 7
    blob.add("", FUNC_PROTO, false, 3, 0, &[0, 7, 0, 7, 0, 1]); // 8
    blob.add("", PTR, false, 0, 8, &[]); // 9
    blob.add("btf_trace_x", TYPEDEF, false, 0, 9, &[]); // 10
    let (zero, one) = (blob.name("MM_ZERO"), blob.name("MM_ONE"));
    blob.add("", ENUM, false, 2, 4, &[zero, 0, one, 1]); // 11
    blob.finish()
}

#[test]
fn members_elements_enumerators_and_prototypes_are_found() {
    let blob = sample();
    let btf = Btf::parse(&blob).unwrap();
    let outer = btf.structure("outer").unwrap();
    assert_eq!(btf.member(outer, "a"), Some(Member { offset: 0, of: 1 }));
    assert_eq!(
        btf.member(outer, "b"),
        Some(Member { offset: 8, of: 2 }),
        "inside the anonymous union"
    );
    assert_eq!(btf.member(outer, "c"), None, "a bitfield has no offset in bytes");
    let list = btf.member(outer, "list").unwrap();
    assert_eq!(btf.element(list, 3), Some(Member { offset: 32, of: 1 }));
    assert_eq!(btf.element(list, 4), None);
    assert_eq!(btf.member(outer, "missing"), None);
    assert_eq!(btf.structure("btf_trace_x"), None);
    assert_eq!(btf.enumerator("MM_ONE"), Some(1));
    assert_eq!(
        btf.prototype("btf_trace_x"),
        Some(vec![Parameter::Pointer, Parameter::Pointer, Parameter::Value])
    );
}

#[test]
fn a_structure_that_contains_itself_ends() {
    let mut blob = Blob {
        types: Vec::new(),
        strings: vec![0],
    };
    blob.add("loop", STRUCT, false, 1, 8, &[0, 1, 0]);
    blob.add("alias", TYPEDEF, false, 0, 2, &[]);
    let blob = blob.finish();
    let btf = Btf::parse(&blob).unwrap();
    assert_eq!(btf.member(1, "x"), None);
    assert_eq!(btf.member(2, "x"), None);
}

#[test]
fn damage_is_an_error_or_an_absence_and_never_a_panic() {
    let blob = sample();
    for length in 0..blob.len() {
        let Ok(btf) = Btf::parse(&blob[..length]) else { continue };
        btf.member(5, "next");
    }
    for at in 0..blob.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut damaged = blob.clone();
            damaged[at] = value;
            let Ok(btf) = Btf::parse(&damaged) else { continue };
            for id in 0..16 {
                if let Some(member) = btf.member(id, "list") {
                    btf.element(member, 1);
                }
            }
            btf.enumerator("MM_ONE");
            btf.prototype("btf_trace_x");
        }
    }
    assert_eq!(Btf::parse(&[0; 24]).err(), Some(BtfError::Magic(0)));
}

#[test]
fn this_kernels_own_types_parse_whole() {
    let Ok(blob) = fs::read("/sys/kernel/btf/vmlinux") else {
        eprintln!("skipped: /sys/kernel/btf/vmlinux cannot be read");
        return;
    };
    let btf = Btf::parse(&blob).unwrap();
    assert!(btf.len() > 10_000);
    assert_eq!(btf.prototype("btf_trace_sched_process_exec").map(|p| p.len()), Some(4));
}
