//! What a larger limit buys: reads a slope with its interval and the limits in force, produces the time by which twice the
//! limit, or a flag of V8's that fits the container, puts the end off.

use super::{
    ceiling::{sane, v8_ceiling},
    forecast::{LEAST_ERROR, Z80},
    misfit::fitting_flag,
};
use crate::{
    detect::{history::point::Point, statistics::round, thresholds::AT_CEILING},
    finding::{Ceiling, CeilingKind, Forecast, HeapFlag, LargerLimit},
};

/// `slope` is in bytes per hour, `interval` its 99 % interval, `ceiling` what the growth leads to. `None` where nothing grows,
/// or something else than the container's limit ends it.
pub(in crate::detect) fn larger_limit(
    slope: f64,
    interval: (f64, f64),
    point: &Point,
    ceiling: Option<Ceiling>,
) -> Option<LargerLimit> {
    let limit = own_limit(point)?;
    let ceiling = ceiling?;
    let ends_at_limit = match ceiling.kind {
        CeilingKind::Cgroup => true,
        CeilingKind::Learned => ceiling.bytes as f64 >= AT_CEILING * limit as f64,
        CeilingKind::CgroupAncestor | CeilingKind::V8Heap | CeilingKind::Host => false,
    };
    if !ends_at_limit {
        return None;
    }
    Some(LargerLimit {
        limit: limit.saturating_mul(2),
        reprieve: put_off(limit as f64, slope, interval)?,
        heap_limit: point
            .heap_limit
            .filter(|heap| sane(*heap) && v8_ceiling(*heap) < limit.saturating_mul(2)),
    })
}

/// V8's flag that fits the container, where V8's heap limit lies above what the container can hold, or ends the process with
/// room left. Its limit is told apart from the container's by where the growth leads: `ceiling`.
pub(in crate::detect) fn heap_flag(
    slope: f64,
    interval: (f64, f64),
    point: &Point,
    ceiling: Option<Ceiling>,
) -> Option<HeapFlag> {
    let cgroup_limit = own_limit(point)?;
    let heap_limit = point.heap_limit.filter(|heap| sane(*heap))?;
    let old_space_mib = fitting_flag(cgroup_limit);
    let gained = (old_space_mib << 20).saturating_sub(heap_limit);
    let ends_in_v8 = ceiling.is_some_and(|ceiling| match ceiling.kind {
        CeilingKind::V8Heap => true,
        CeilingKind::Learned => (ceiling.bytes as f64) < AT_CEILING * cgroup_limit as f64,
        _ => false,
    });
    let reprieve = if ends_in_v8 && gained as f64 >= WORTH * heap_limit as f64 {
        Some(put_off(gained as f64, slope, interval)?)
    } else if v8_ceiling(heap_limit) > cgroup_limit {
        // The kernel kills before V8 looks for garbage in earnest.
        None
    } else {
        return None;
    };
    Some(HeapFlag {
        old_space_mib,
        heap_limit,
        cgroup_limit,
        reprieve,
    })
}

/// The limit that the container's author has set, bytes: one further above, as the node's for all its pods, is not to be
/// raised or filled for one of them.
fn own_limit(point: &Point) -> Option<u64> {
    let limit = point
        .ceilings
        .cgroup
        .filter(|limit| limit.kind == CeilingKind::Cgroup)?;
    Some(limit.bytes).filter(|limit| sane(*limit))
}

/// Share of V8's limit from which more of it is worth being told.
const WORTH: f64 = 0.2;

/// Seconds by which so many bytes more put off the end of what grows by `slope` bytes an hour.
fn put_off(bytes: f64, slope: f64, interval: (f64, f64)) -> Option<Forecast> {
    if slope <= 0.0 || !slope.is_finite() {
        return None;
    }
    let seconds = |slope: f64| bytes / slope * 3_600.0;
    let middle = seconds(slope);
    // A slope that may as well be nothing bounds the time from below only: twice the middle stands for that.
    let slowest = interval.0.max(slope / 2.0);
    let error = Z80 * LEAST_ERROR;
    Some(Forecast {
        p10: round(seconds(interval.1.max(slope)).min(middle * (1.0 - error))),
        p50: round(middle),
        p90: round(seconds(slowest.min(slope)).max(middle * (1.0 + error))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::history::point::Ceilings;

    const MB: u64 = 1 << 20;

    fn limited(limit: u64, heap_limit: Option<u64>) -> Point {
        Point {
            ceilings: Ceilings {
                cgroup: Some(Ceiling {
                    bytes: limit,
                    kind: CeilingKind::Cgroup,
                }),
                v8: None,
            },
            heap_limit,
            ..Point::default()
        }
    }

    const fn of(kind: CeilingKind, bytes: u64) -> Ceiling {
        Ceiling { bytes, kind }
    }

    const AT_LIMIT: Option<Ceiling> = Some(of(CeilingKind::Cgroup, 512 * MB));

    #[test]
    fn twice_the_limit_lasts_as_long_again_as_growing_to_it_from_nothing() {
        let mb = MB as f64;
        let found = larger_limit(75.0 * mb, (70.0 * mb, 80.0 * mb), &limited(512 * MB, None), AT_LIMIT).unwrap();
        assert_eq!((found.limit, found.heap_limit), (1_024 * MB, None));
        assert!(
            (found.reprieve.p50 / (512.0 / 75.0 * 3_600.0) - 1.0).abs() < 1e-5,
            "{found:?}"
        );
        assert!(found.reprieve.p10 < found.reprieve.p50 && found.reprieve.p50 < found.reprieve.p90);
        // V8's own limit comes first.
        let found = larger_limit(
            75.0 * mb,
            (0.0, 80.0 * mb),
            &limited(512 * MB, Some(259 * MB)),
            AT_LIMIT,
        )
        .unwrap();
        assert_eq!(found.heap_limit, Some(259 * MB));
        assert!(found.reprieve.p90 <= 2.0 * found.reprieve.p50 + 1.0, "{found:?}");
    }

    #[test]
    fn where_the_container_s_limit_ends_nothing_there_is_no_advice() {
        let at = |ceiling| larger_limit(1e6, (9e5, 2e6), &limited(512 * MB, Some(259 * MB)), Some(ceiling));
        assert_eq!(at(of(CeilingKind::V8Heap, 299 * MB)), None);
        assert_eq!(at(of(CeilingKind::Learned, 300 * MB)), None);
        assert!(at(of(CeilingKind::Learned, 505 * MB)).is_some());
        assert_eq!(larger_limit(1e6, (9e5, 2e6), &limited(1 << 63, None), AT_LIMIT), None);
        assert_eq!(larger_limit(1e6, (9e5, 2e6), &Point::default(), AT_LIMIT), None);
        assert_eq!(larger_limit(0.0, (0.0, 0.0), &limited(512 * MB, None), AT_LIMIT), None);
    }

    #[test]
    fn a_flag_is_told_where_v8_s_limit_and_the_container_s_do_not_fit() {
        let mb = MB as f64;
        let flag =
            |limit, heap, ceiling| heap_flag(75.0 * mb, (70.0 * mb, 80.0 * mb), &limited(limit, heap), Some(ceiling));
        // V8 gives up with half of the container empty: 898 MiB fit, and last for what they are more.
        let found = flag(1_024 * MB, Some(524 * MB), of(CeilingKind::V8Heap, 564 * MB)).unwrap();
        assert_eq!(found.old_space_mib, 863);
        let reprieve = found.reprieve.unwrap();
        assert!(
            (reprieve.p50 / ((863.0 - 524.0) / 75.0 * 3_600.0) - 1.0).abs() < 1e-3,
            "{found:?}"
        );
        assert!(reprieve.p10 < reprieve.p50 && reprieve.p50 < reprieve.p90);
        assert_eq!(
            flag(1_024 * MB, Some(524 * MB), of(CeilingKind::Learned, 570 * MB)).map(|flag| flag.old_space_mib),
            Some(863)
        );
        // The kernel kills first: the flag fits, and buys nothing.
        let found = flag(256 * MB, Some(4_144 * MB), AT_LIMIT.unwrap()).unwrap();
        assert_eq!((found.old_space_mib, found.reprieve), (202, None));
        // They fit: what ends it at the container's limit lies outside the heap.
        assert_eq!(
            flag(1_024 * MB, Some(524 * MB), of(CeilingKind::Cgroup, 1_024 * MB)),
            None
        );
        // No room worth telling.
        assert_eq!(flag(512 * MB, Some(400 * MB), of(CeilingKind::V8Heap, 440 * MB)), None);
        assert_eq!(flag(512 * MB, None, AT_LIMIT.unwrap()), None);
    }
}
