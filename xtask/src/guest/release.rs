//! The kernels of the matrix: Debian's releases.

/// A Debian release and the kernel series it carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Release {
    pub(crate) suite: &'static str,
    pub(crate) series: &'static str,
    /// Whether its configuration still has the memory controller of cgroup v1.
    pub(crate) cgroup_v1: bool,
}

/// Those that are booted.
pub(crate) const RELEASES: [Release; 4] = [
    Release {
        suite: "bullseye",
        series: "5.10",
        cgroup_v1: true,
    },
    Release {
        suite: "bookworm",
        series: "6.1",
        cgroup_v1: true,
    },
    Release {
        suite: "trixie",
        series: "6.12",
        cgroup_v1: false,
    },
    Release {
        suite: "sid",
        series: "7.2",
        cgroup_v1: false,
    },
];
