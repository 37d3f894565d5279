//! Options of the loader: reads the configuration, produces its options.

use super::hook::Rung;
use crate::config::{Config, GrowthTracing, Hooks, KernelLog};

/// Options of the loader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Rung to begin with: a lower one than the best is for tests, and for kernels whose best rung misbehaves.
    pub best_rung: Rung,
    /// Bytes of the ring of exec, fork, signal and cgroup records: a power of two, a multiple of the page size.
    pub events_bytes: u32,
    /// Bytes of the ring of exits and OOM victims; likewise.
    pub deaths_bytes: u32,
    /// Most processes that can be watched at once.
    pub watched_max: u32,
    /// Most processes whose growth can be traced at once.
    pub traced_max: u32,
    /// When growth is traced.
    pub growth: GrowthTracing,
    /// What the programs say of themselves.
    pub log: KernelLog,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            best_rung: Rung::TpBtf,
            events_bytes: 1 << 20,
            deaths_bytes: 1 << 18,
            watched_max: 8192,
            traced_max: 1024,
            growth: GrowthTracing::Auto,
            log: KernelLog::Off,
        }
    }
}

impl Options {
    /// As configured.
    pub fn of(config: &Config) -> Self {
        Self {
            best_rung: match config.hooks {
                Hooks::Auto => Rung::TpBtf,
                Hooks::Tracepoint => Rung::Tracepoint,
                Hooks::Off => Rung::Files,
            },
            watched_max: config.max_processes.try_into().unwrap_or(u32::MAX),
            growth: config.growth_tracing,
            log: config.kernel_log,
            ..Self::default()
        }
    }
}
