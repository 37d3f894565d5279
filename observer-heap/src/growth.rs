//! Compares two readings of one process, produces what grew, the application's own names first.

use std::collections::BTreeMap;

use crate::histogram::Tally;
use crate::reading::{Kind, Origin, Reading, Row};

/// A row that grew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grown {
    /// As in the later reading.
    pub row: Row,
    /// What the earlier reading counted.
    pub before: Tally,
    /// Bytes more than before, net.
    pub bytes: u64,
    /// Objects more than before; may be negative when fewer hold more.
    pub count: i64,
}

/// The difference of two readings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Growth {
    /// What grew, by origin of the name, then bytes.
    pub grown: Vec<Grown>,
    /// Bytes of all rows that grew.
    pub bytes: u64,
    /// Of these, bytes of rows named by the application or its dependencies.
    pub named_bytes: u64,
}

impl Growth {
    /// What is more in `after` than in `before`. Both must be readings of the same process.
    pub fn between(before: &Reading, after: &Reading) -> Self {
        let key = |row: &Row| (row.isolate, row.kind, row.what.clone(), row.file.clone(), row.position);
        let mut earlier = BTreeMap::<_, Tally>::new();
        for row in &before.rows {
            earlier.entry(key(row)).or_default().merge(row.tally);
        }
        let mut growth = Self::default();
        for row in &after.rows {
            let before = earlier.get(&key(row)).copied().unwrap_or_default();
            let bytes = row.tally.bytes.saturating_sub(before.bytes);
            let count = row.tally.count as i64 - before.count as i64;
            if bytes > 0 {
                growth.bytes += bytes;
                growth.named_bytes += if row.origin <= Origin::Dependency { bytes } else { 0 };
                growth.grown.push(Grown {
                    row: row.clone(),
                    before,
                    bytes,
                    count,
                });
            }
        }
        growth.grown.sort_by(|a, b| {
            let rank = |g: &Grown| (g.row.origin, g.row.kind == Kind::Internal, std::cmp::Reverse(g.bytes));
            (rank(a), &a.row.what).cmp(&(rank(b), &b.row.what))
        });
        growth
    }
}
