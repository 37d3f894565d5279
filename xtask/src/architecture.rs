//! The machines programs are made for: reads a name, produces what Rust, the image specification, Debian and QEMU call it.

use std::env;

use clap::ValueEnum;

/// A machine that images and kernels are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Architecture {
    /// 64-bit x86.
    #[value(name = "amd64", alias = "x86_64")]
    #[default]
    X86_64,
    /// 64-bit Arm.
    #[value(name = "arm64", alias = "aarch64")]
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

    /// As the image specification (Go's GOARCH) and Debian have it.
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

    /// As npm has it (`process.arch`).
    pub(crate) const fn npm(self) -> &'static str {
        match self {
            Self::X86_64 => "x64",
            Self::Aarch64 => "arm64",
        }
    }

    /// A name in the cache for what is this machine's alone: x86-64 was there before others.
    pub(crate) fn beside(self, name: &str) -> String {
        match self {
            Self::X86_64 => name.to_owned(),
            Self::Aarch64 => format!("{name}-arm64"),
        }
    }

    /// QEMU that emulates it: its program, and Debian's package that has it.
    pub(crate) const fn emulator(self) -> (&'static str, &'static str) {
        match self {
            Self::X86_64 => ("qemu-system-x86_64", "qemu-system-x86"),
            Self::Aarch64 => ("qemu-system-aarch64", "qemu-system-arm"),
        }
    }

    /// Debian's C compiler for it on another machine: its program, and the packages that have it.
    pub(crate) const fn cross_compiler(self) -> (&'static str, [&'static str; 2]) {
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
