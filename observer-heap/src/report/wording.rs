//! Reads rows, produces what a person calls them: `onUserMessage()`, `/app/server.js:42`.

use crate::graph::sample::Members;
use crate::memory::source::Original;
use crate::names::kind::{Kind, Origin};
use crate::report::reading::{Reading, Row};

/// Rows of fewer objects and fewer bytes have no part in a comparison.
const WORTH_COUNT: u64 = 8;
const WORTH_BYTES: u64 = 4096;

impl Row {
    /// What it counts, as one would say it.
    pub fn title(&self) -> String {
        let isolate = if self.isolate > 0 {
            format!(" [isolate {}]", self.isolate)
        } else {
            String::new()
        };
        match self.kind {
            Kind::Suspended => format!("{}() suspended{isolate}", self.what),
            Kind::Closure => format!("{}(){isolate}", self.what),
            _ => format!("{}{isolate}", self.what),
        }
    }

    /// Tells it by what its code was generated from.
    pub(crate) fn generated_from(&mut self, original: Original) {
        self.origin = Origin::of(Some(&original.file));
        self.file = Some(original.file);
        self.line = Some(original.line);
        self.column = None;
        // Its place in the script is known no more: it is not looked up again.
        self.script = None;
        if let Some(name) = original.name
            && matches!(self.kind, Kind::Closure | Kind::Suspended | Kind::Object)
        {
            self.what = name;
        }
    }

    /// Where its function or class stands, as an editor would open it.
    pub fn place(&self) -> Option<String> {
        let file = self.file.as_deref()?;
        let file = file.strip_prefix("file://").unwrap_or(file);
        Some(match (self.line, self.column) {
            (Some(line), Some(column)) => format!("{file}:{line}:{column}"),
            (Some(line), None) => format!("{file}:{line}"),
            (None, _) => file.to_owned(),
        })
    }

    /// Whether it counts enough to be compared with another reading's.
    pub(crate) fn is_comparable(&self) -> bool {
        self.tally.count >= WORTH_COUNT || self.tally.bytes >= WORTH_BYTES
    }

    /// Whether the application or one of its dependencies named it.
    pub fn is_named(&self) -> bool {
        self.origin <= Origin::Dependency
    }
}

impl Reading {
    /// What a later reading is compared with, in less memory: without rows that count next to nothing.
    #[must_use]
    pub fn kept(mut self) -> Self {
        self.collections = Vec::new();
        self.rows.retain(Row::is_comparable);
        for row in &mut self.rows {
            row.members = Members::default();
        }
        self.rows.shrink_to_fit();
        self
    }

    /// Of that, what is needed to see whether it rose in between: without where objects were held.
    #[must_use]
    pub fn counted(self) -> Self {
        let mut counted = self.kept();
        counted.held = None;
        counted
    }

    /// Of that, what the application and its dependencies named: comparable with another process's.
    #[must_use]
    pub fn named(&self) -> Self {
        let mut named = self.clone();
        named.held = None;
        named.rows.retain(Row::is_named);
        named.rows.shrink_to_fit();
        named
    }
}
