//! Arguments of `cargo xtask test`.

use clap::Args;

/// What to test.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Only tests whose name contains this
    pub(crate) filter: Option<String>,
    /// Only this package
    #[arg(short, long)]
    pub(crate) package: Option<String>,
    /// Do not look for, or install, what is missing
    #[arg(long)]
    pub(crate) no_setup: bool,
    /// Also tests that take minutes, and the counterparts that take longest to build
    #[arg(long)]
    pub(crate) full: bool,
    /// Write what the tests ran with into COMPATIBILITY.md, where nothing failed
    #[arg(long, conflicts_with_all = ["filter", "package"])]
    pub(crate) write: bool,
}

impl Options {
    /// Whether tests of all kinds will run: then all that they need is set up.
    pub(super) fn needs_everything(&self) -> bool {
        self.filter.is_none() && self.package.is_none()
    }
}
