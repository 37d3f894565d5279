//! What one boot came to: reads its counts, produces the line that is printed and the row of COMPATIBILITY.md.

use crate::{architecture::Architecture, compatibility, guest::Image, test::Tally};

/// What one boot came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) tally: Tally,
    /// The guest ran to its end.
    pub(super) finished: bool,
    /// Hooks that did not stand on the rung asked for, each with its reason.
    pub(super) fallen: Vec<String>,
    pub(super) seconds: u64,
}

impl Outcome {
    pub(super) fn passed(&self) -> bool {
        self.finished && self.tally.failed == 0 && self.tally.passed > 0
    }

    pub(super) fn line(&self) -> String {
        format!("{} ({} s)", self.result(), self.seconds)
    }

    fn result(&self) -> String {
        let ended = if self.finished { "" } else { "DID NOT FINISH: " };
        let fallen = if self.fallen.is_empty() {
            "every hook on either rung".to_owned()
        } else {
            format!("fallen: {}", self.fallen.join("; "))
        };
        format!("{ended}{fallen}; {}", self.tally.closing())
    }

    /// What COMPATIBILITY.md says of it.
    pub(super) fn row(&self, kernel: &Image, cgroup: u8) -> compatibility::Row {
        let how = match kernel.architecture {
            Architecture::X86_64 => "`cargo xtask kernels`, emulated x86-64",
            Architecture::Aarch64 => "`cargo xtask kernels --arch arm64`, emulated aarch64",
        };
        compatibility::Row {
            of: "Kernels".into(),
            what: format!("{} (Debian), cgroup v{cgroup}", kernel.release),
            how: how.into(),
            result: self.result(),
            tried: compatibility::today(),
        }
    }
}
