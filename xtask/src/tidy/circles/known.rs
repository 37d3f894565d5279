//! Circles of imports that are known and wait to be mended: files, and folders. The list only shrinks.

/// Who is in them.
pub(super) const KNOWN: &[&str] = &[
    "observer-core/src/detect",
    "observer-core/src/detect/ceiling.rs",
    "observer-core/src/detect/forecast.rs",
    "observer-core/src/detect/garbage.rs",
    "observer-core/src/detect/mod.rs",
    "observer-core/src/detect/record.rs",
    "observer-core/src/detect/slot.rs",
    "observer-core/src/exit",
    "observer-core/src/exit.rs",
    "observer-core/src/finding",
    "observer-core/src/finding.rs",
    "observer-core/src/telemetry",
    "observer-core/src/telemetry/attributes",
    "observer-core/src/telemetry/sentence",
    "observer-core/src/detect/judge.rs",
    "observer-core/src/detect/recurring.rs",
    "observer-core/src/finding/recurring.rs",
];
