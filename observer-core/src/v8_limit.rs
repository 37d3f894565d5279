//! V8's heap limit, predicted: reads Node's version, the memory it saw at its start and its flags; produces what
//! `v8.getHeapStatistics().heap_size_limit` says in that process.
//!
//! Two rules make it up, both read in the sources and checked against the official binaries of 18.20, 20.20, 22.23,
//! 24.21 and 26.10, 64-bit, at 30 limits and 20 flags each (the crate `tests` repeats that on a real kernel):
//!
//! 1. **What Node takes for the memory** (libuv, `uv_get_constrained_memory`, src/unix/linux.c): the lower of its own
//!    cgroup's `memory.max` and `memory.high` (v1: `limit_in_bytes` and `soft_limit_in_bytes`), else the host's memory.
//!    **An ancestor's limit is not looked at**: in a pod whose limit is set on the pod alone, V8 believes it has the
//!    host. Up to Node 18 (libuv 1.44) only a v1 file of a fixed path is read: the container's own where a runtime has
//!    mounted it, else the host's; under v2 no limit at all.
//! 2. **What V8 makes of it** (`Heap::HeapSizeFromPhysicalMemory`, `YoungGenerationSizeFromOldGenerationSize`,
//!    `ConfigureHeap`, `MaxReserved` in src/heap/heap.cc): an old generation of half the memory between a floor and a cap,
//!    a semi-space of a version-dependent share of that, and three semi-spaces beside the old generation.

use crate::process::HeapFlags;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// V8's page: sizes are rounded up to it.
const PAGE: u64 = 256 << 10;

/// What the prediction stands on. All sizes in bytes, as they were when the process started: V8 reads them once, and a
/// limit changed later does not move its heap.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Inputs {
    /// Node's major version.
    pub major: u32,
    /// Limit of the process's own cgroup, not of an ancestor.
    pub limit: Option<u64>,
    /// Its `memory.high`, or v1's soft limit.
    pub high: Option<u64>,
    /// cgroup version that accounts for memory.
    pub cgroup_version: u8,
    /// It runs in a container, whose runtime mounts its own cgroup for it.
    pub containerised: bool,
    /// Memory of the host (`MemTotal`).
    pub host_memory: u64,
    /// Flags in force.
    pub flags: HeapFlags,
}

/// A heap limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapLimit {
    /// Bytes.
    pub bytes: u64,
    /// What set it.
    pub set_by: SetBy,
    /// The rule was measured on this major version; otherwise it is the nearest older one's.
    pub measured: bool,
}

/// What set a heap limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetBy {
    /// A flag of an absolute size.
    Flag,
    /// The cgroup's limit, or a share of it.
    Cgroup,
    /// The host's memory, or a share of it.
    Host,
}

/// What differs between versions of V8.
struct Rules {
    /// Memory from which the old generation may have 4 GiB rather than 2.
    huge_from: u64,
    /// Old generation before V8 lifts it to [`OLD_FLOOR`].
    old_floor: u64,
    /// Share of the old generation that a semi-space gets: 1 in this many.
    semi_ratio: u64,
    /// The same up to an old generation of 256 MiB.
    semi_ratio_small: u64,
    semi_cap: u64,
    semi_floor: u64,
}

/// Largest size taken from a flag, MiB: a pebibyte, beyond any memory.
const LARGEST_FLAG_MIB: u64 = 1 << 30;
/// The old generation's floor, and the bound of "small".
const OLD_FLOOR: u64 = 256 * MIB;

const fn rules(major: u32) -> Rules {
    let v8_10 = Rules {
        huge_from: 15 * GIB + GIB / 2,
        old_floor: OLD_FLOOR,
        semi_ratio: 128,
        semi_ratio_small: 256,
        semi_cap: 16 * MIB,
        semi_floor: MIB,
    };
    match major {
        ..=21 => v8_10, // V8 10.2 and 11.3
        22..=23 => Rules {
            huge_from: 15 * GIB,
            ..v8_10
        }, // V8 12.4
        24..=25 => Rules {
            huge_from: 15 * GIB,
            semi_ratio: 32,
            semi_cap: 64 * MIB,
            ..v8_10
        }, // V8 13.6
        26.. => Rules {
            // V8 14.6
            huge_from: 15 * GIB,
            old_floor: 128 * MIB,
            semi_ratio: 64,
            semi_ratio_small: 64,
            semi_cap: 32 * MIB,
            semi_floor: MIB / 2,
        },
    }
}

/// Majors on which the rules were measured.
const MEASURED: [u32; 5] = [18, 20, 22, 24, 26];

/// Predicts the heap limit; `None` where neither a limit nor the host's memory is known.
pub fn heap_limit(inputs: &Inputs) -> Option<HeapLimit> {
    let rules = rules(inputs.major);
    let flags = &inputs.flags;
    let (memory, by_memory) = memory_seen(inputs);
    let measured = MEASURED.contains(&inputs.major);
    let absolute = flags.max_old_space_mib.is_some_and(|mib| mib > 0) || flags.max_heap_mib.is_some_and(|mib| mib > 0);
    if memory == 0 && !absolute {
        return None;
    }

    let raw_old = (memory / 4 * 2).min(if memory >= rules.huge_from { 4 * GIB } else { 2 * GIB });
    let raw_old = raw_old.max(rules.old_floor).next_multiple_of(PAGE);
    let ratio = if raw_old <= OLD_FLOOR {
        rules.semi_ratio_small
    } else {
        rules.semi_ratio
    };
    let default_semi = (raw_old / ratio).clamp(rules.semi_floor, rules.semi_cap);
    let default_old = raw_old.max(OLD_FLOOR);

    // A percentage is turned into a size by Node and replaces one given beside it.
    let by_percent = flags.max_old_space_percent.filter(|_| memory > 0);
    let by_percent = by_percent.map(|percent| (memory as f64 * percent / 100.0) as u64 / MIB * MIB);
    let mib = |flag: Option<u64>| flag.filter(|mib| *mib > 0).map(|mib| mib.min(LARGEST_FLAG_MIB) * MIB);
    let old = by_percent.or(mib(flags.max_old_space_mib));
    let set_by = if absolute && by_percent.is_none() {
        SetBy::Flag
    } else {
        by_memory
    };

    let semi_flag = mib(flags.max_semi_space_mib);
    let bytes = match (mib(flags.max_heap_mib), old) {
        // Only the whole is given: V8 splits it.
        (Some(heap), None) => heap,
        // Both: what the whole leaves beside the old generation is the young one's.
        (Some(heap), Some(old)) => old.saturating_add(young(
            semi_flag.unwrap_or(heap.saturating_sub(old) / 3).max(rules.semi_floor),
        )),
        (None, old) => old
            .unwrap_or(default_old)
            .saturating_add(young(semi_flag.unwrap_or(default_semi))),
    };
    Some(HeapLimit {
        bytes,
        set_by,
        measured,
    })
}

/// Bytes of the young generation: two semi-spaces and as much for large new objects; V8 rounds a semi-space up to a
/// power of two.
fn young(semi: u64) -> u64 {
    semi.next_multiple_of(PAGE)
        .checked_next_power_of_two()
        .unwrap_or(semi)
        .saturating_mul(3)
}

/// The memory Node believes to have.
fn memory_seen(inputs: &Inputs) -> (u64, SetBy) {
    let reads_it = inputs.major >= 20 || (inputs.cgroup_version == 1 && inputs.containerised);
    // Up to 18 the soft limit was not read either.
    let high = inputs.high.filter(|_| inputs.major >= 20);
    let limit = [inputs.limit, high].into_iter().flatten().min().filter(|_| reads_it);
    match limit {
        Some(limit) if inputs.host_memory == 0 || limit < inputs.host_memory => (limit, SetBy::Cgroup),
        _ => (inputs.host_memory, SetBy::Host),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(major: u32, limit_mib: u64) -> Inputs {
        Inputs {
            major,
            limit: Some(limit_mib * MIB),
            cgroup_version: 1,
            host_memory: 24 * GIB,
            ..Inputs::default()
        }
    }

    fn mib(inputs: &Inputs) -> f64 {
        heap_limit(inputs).unwrap().bytes as f64 / MIB as f64
    }

    /// `heap_size_limit` in MiB as the official binaries printed it, by cgroup limit in MiB.
    #[test]
    fn by_the_cgroups_limit() {
        let limits = [
            100, 256, 300, 512, 520, 600, 768, 1000, 1024, 1500, 2048, 3000, 4096, 8192, 15000, 15500, 16384,
        ];
        for (major, measured) in [
            (
                20,
                [
                    259, 259, 259, 259, 0, 312, 396, 512, 524, 774, 1048, 1548, 2096, 2096, 2096, 2096, 4144,
                ],
            ),
            (
                22,
                [
                    259, 259, 259, 259, 0, 312, 396, 512, 524, 774, 1048, 1548, 2096, 2096, 2096, 4144, 4144,
                ],
            ),
            (
                24,
                [
                    259, 259, 259, 259, 308, 348, 432, 548, 560, 846, 1120, 1692, 2240, 2240, 2240, 4288, 4288,
                ],
            ),
            (
                26,
                [
                    262, 262, 268, 268, 284, 324, 408, 524, 536, 798, 1072, 1596, 2144, 2144, 2144, 4192, 4192,
                ],
            ),
        ] {
            for (limit, measured) in limits.into_iter().zip(measured).filter(|(_, measured)| *measured != 0) {
                assert_eq!(
                    mib(&at(major, limit)),
                    f64::from(measured),
                    "Node {major} under {limit} MiB"
                );
            }
        }
    }

    #[test]
    fn where_four_gigabytes_begin() {
        for (major, below, from) in [(20, 15_871, 15_872), (22, 15_359, 15_360), (24, 15_359, 15_360)] {
            assert!(
                mib(&at(major, below)) < 2300.0 && mib(&at(major, from)) > 4100.0,
                "Node {major}"
            );
        }
    }

    /// By flags, under a limit of 1 GiB: (old, semi, heap, percent) and MiB for 20, 22, 24, 26.
    #[test]
    fn by_flags() {
        let flags = |old, semi, heap, percent| HeapFlags {
            max_old_space_mib: old,
            max_semi_space_mib: semi,
            max_heap_mib: heap,
            max_old_space_percent: percent,
        };
        for (flags, measured) in [
            (flags(Some(100), None, None, None), [112.0, 112.0, 148.0, 124.0]),
            (flags(Some(5000), None, None, None), [5012.0, 5012.0, 5048.0, 5024.0]),
            (flags(Some(0), None, None, None), [524.0, 524.0, 560.0, 536.0]),
            (flags(None, Some(1), None, None), [515.0; 4]),
            (flags(None, Some(3), None, None), [524.0; 4]),
            (flags(None, Some(100), None, None), [896.0; 4]),
            (flags(None, None, Some(300), None), [300.0; 4]),
            (flags(None, None, Some(3000), None), [3000.0; 4]),
            (flags(Some(400), Some(64), None, None), [592.0; 4]),
            (flags(Some(400), None, Some(300), None), [403.0, 403.0, 403.0, 401.5]),
            (flags(None, Some(32), Some(500), None), [500.0; 4]),
            (flags(None, None, None, Some(75.0)), [0.0, 780.0, 816.0, 792.0]),
            (flags(None, None, None, Some(33.3)), [0.0, 352.0, 388.0, 364.0]),
            (flags(Some(400), None, None, Some(50.0)), [0.0, 524.0, 560.0, 536.0]),
        ] {
            for (major, measured) in [20, 22, 24, 26].into_iter().zip(measured).filter(|(_, m)| *m != 0.0) {
                let found = mib(&Inputs {
                    flags,
                    ..at(major, 1024)
                });
                assert!(
                    (found - measured).abs() < 0.01,
                    "Node {major}, {flags:?}: {found}, measured {measured}"
                );
            }
        }
    }

    #[test]
    fn node_18_sees_only_what_a_runtime_mounts_under_v1() {
        let seen = Inputs {
            containerised: true,
            ..at(18, 1024)
        };
        assert_eq!(mib(&seen), 524.0);
        for blind in [
            at(18, 1024),
            Inputs {
                cgroup_version: 2,
                ..seen
            },
        ] {
            assert_eq!(mib(&blind), 4144.0);
            assert_eq!(heap_limit(&blind).unwrap().set_by, SetBy::Host);
        }
    }

    #[test]
    fn what_set_it() {
        let by = |inputs: Inputs| heap_limit(&inputs).unwrap().set_by;
        assert_eq!(by(at(20, 1024)), SetBy::Cgroup);
        assert_eq!(
            by(at(20, 1 << 30)),
            SetBy::Host,
            "a limit beyond the host's memory is none"
        );
        assert_eq!(
            by(Inputs {
                limit: None,
                high: Some(GIB),
                ..at(20, 0)
            }),
            SetBy::Cgroup
        );
        assert_eq!(
            mib(&Inputs {
                high: Some(GIB),
                ..at(20, 4096)
            }),
            524.0,
            "the lower of the two"
        );
        let flags = HeapFlags {
            max_old_space_mib: Some(300),
            ..HeapFlags::default()
        };
        assert_eq!(by(Inputs { flags, ..at(20, 1024) }), SetBy::Flag);
        assert_eq!(
            heap_limit(&Inputs {
                host_memory: 0,
                limit: None,
                ..at(20, 0)
            }),
            None
        );
        assert!(!heap_limit(&at(23, 1024)).unwrap().measured);
    }

    proptest! {
        /// More memory never gives a smaller heap, and nothing overflows.
        #[test]
        fn it_grows_with_memory(major in 16..40_u32, a: u64, b: u64) {
            let of = |limit| heap_limit(&Inputs { limit: Some(limit), host_memory: u64::MAX, ..at(major, 0) });
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(of(low).map(|limit| limit.bytes) <= of(high).map(|limit| limit.bytes));
        }

        #[test]
        fn no_flags_overflow(old: Option<u64>, semi: Option<u64>, heap: Option<u64>, percent in 0.0..100.0, host: u64) {
            let flags = HeapFlags {
                max_old_space_mib: old,
                max_semi_space_mib: semi,
                max_heap_mib: heap,
                max_old_space_percent: Some(percent),
            };
            let _ = heap_limit(&Inputs { major: 24, host_memory: host, flags, ..Inputs::default() });
        }
    }
}
