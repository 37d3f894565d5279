//! The machines an image is for: reads a name, produces what Rust, the image specification and Debian call it.

use std::env;

use clap::ValueEnum;

/// A machine that images are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Architecture {
    /// 64-bit x86.
    #[value(name = "x86_64")]
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

impl Architecture {
    /// All of them, as a release has them.
    pub(crate) const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// This machine's.
    pub(crate) fn host() -> Self {
        if env::consts::ARCH == "aarch64" {
            Self::Aarch64
        } else {
            Self::X86_64
        }
    }

    /// As Rust and the kernel have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// As the image specification has it (Go's GOARCH).
    pub(crate) const fn oci(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// The Rust target of a static program.
    pub(crate) fn target(self) -> String {
        format!("{}-unknown-linux-musl", self.name())
    }

    /// Debian's C compiler for it on another machine: its program, and the packages that have it.
    pub(super) const fn cross_compiler(self) -> (&'static str, [&'static str; 2]) {
        match self {
            Self::X86_64 => (
                "x86_64-linux-gnu-gcc",
                ["gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross"],
            ),
            Self::Aarch64 => (
                "aarch64-linux-gnu-gcc",
                ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
            ),
        }
    }
}
