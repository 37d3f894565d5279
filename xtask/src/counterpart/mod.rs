//! Real counterparts of the agent: reads names, produces their programs in the cache.
//!
//! Go programs are built from published modules ([`go`]); a few come out of Debian packages, unpacked and not
//! installed ([`debian`]).

mod debian;
mod go;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use observer_tests::counterpart::{ALL, Counterpart};

pub(crate) use debian::{
    directory as debian_directory, node as debian_node, program as debian_program, unpack as debian_unpack,
};
pub(crate) use go::provide;

/// Debian packages whose program has their name.
pub(crate) const DEBIAN: [&str; 2] = ["prometheus", "victoria-metrics"];

/// Which to build.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// collector, jaeger, prometheus, kubernetes, helm, krew, thanos, vmalert, jsonnet, grafana, debian-prometheus, debian-victoria-metrics; none: say which there are
    names: Vec<String>,
}

/// `cargo xtask counterpart`
pub(crate) fn command(options: &Options) -> Result<ExitCode> {
    for name in &options.names {
        if let Some(package) = DEBIAN
            .into_iter()
            .find(|package| name.strip_prefix("debian-") == Some(package))
        {
            let path = debian_program(package, &format!("usr/bin/{package}"))?;
            println!("counterpart: {}", path.display());
            continue;
        }
        let counterpart = named(name)?;
        provide(counterpart)?;
        for path in counterpart
            .programs
            .iter()
            .filter_map(|(name, _)| counterpart.program(name))
        {
            println!("counterpart: {}", path.display());
        }
    }
    if options.names.is_empty() {
        for counterpart in ALL {
            let state = counterpart.missing().unwrap_or_else(|| "built".into());
            println!("{} {}: {state}", counterpart.name, counterpart.version()?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn named(name: &str) -> Result<&'static Counterpart> {
    match ALL.into_iter().find(|counterpart| counterpart.name == name) {
        Some(counterpart) => Ok(counterpart),
        None => bail!(
            "no counterpart is called `{name}`; there are {}, debian-prometheus, debian-victoria-metrics",
            ALL.map(|counterpart| counterpart.name).join(", ")
        ),
    }
}
