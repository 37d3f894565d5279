//! Reads ranges of addresses, produces their unions and differences.

/// Alignment of V8's pages, bytes.
const V8_PAGE: u64 = 1 << 18;

/// Ranges, ascending, with those that touch made one.
pub(super) fn joined(ranges: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (start, end) in ranges {
        match joined.last_mut() {
            Some(last) if last.1 >= start => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    joined
}

/// What of these ranges is in none of the others; both ascending.
pub(super) fn without(ranges: &[(u64, u64)], others: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut rest = Vec::new();
    for &(start, end) in ranges {
        let mut at = start;
        let first = others.partition_point(|other| other.1 <= start);
        for other in others.get(first..).unwrap_or_default() {
            if other.0 >= end {
                break;
            }
            if other.0 > at {
                rest.push((at, other.0));
            }
            at = at.max(other.1);
        }
        if at < end {
            rest.push((at, end));
        }
    }
    rest
}

/// Whether a range may be pages that V8 keeps for later: it begins and ends where they do.
pub(super) fn is_of_pages(start: u64, end: u64) -> bool {
    start.is_multiple_of(V8_PAGE) && end.is_multiple_of(V8_PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_joined_and_taken_apart() {
        let ranges = joined([(0, 10), (10, 20), (30, 40), (50, 60)].into_iter());
        assert_eq!(ranges, [(0, 20), (30, 40), (50, 60)]);
        let rest = without(&ranges, &[(0, 5), (8, 12), (18, 35), (50, 60), (70, 80)]);
        assert_eq!(rest, [(5, 8), (12, 18), (35, 40)]);
        assert_eq!(without(&ranges, &[]), ranges);
    }
}
