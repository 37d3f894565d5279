//! What loading came to: each hook, its rung, why better rungs failed, what is lost by it.

use super::hook::{Hook, Rung};

/// The outcome of [`super::Kernel::load`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Why nothing at all could be loaded; `None` where something was.
    pub unavailable: Option<String>,
    /// Every hook, in the order of [`Hook::ALL`].
    pub hooks: Vec<HookReport>,
}

/// One hook's outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookReport {
    /// Which.
    pub hook: Hook,
    /// How it is served.
    pub rung: Rung,
    /// Rungs that were tried before, each with the reason it failed.
    pub failed: Vec<(Rung, String)>,
    /// What the agent cannot tell because of it; "nothing" on the first rung.
    pub lost: &'static str,
}

impl Report {
    /// Nothing could be loaded: every hook is served by files.
    pub(super) fn unavailable(reason: String) -> Self {
        let hooks = Hook::ALL
            .into_iter()
            .map(|hook| HookReport {
                hook,
                rung: Rung::Files,
                failed: Vec::new(),
                lost: hook.lost(Rung::Files, false),
            })
            .collect();
        Self {
            unavailable: Some(reason),
            hooks,
        }
    }

    /// How a hook is served.
    pub fn rung(&self, hook: Hook) -> Rung {
        self.hooks
            .iter()
            .find(|report| report.hook == hook)
            .map_or(Rung::Files, |report| report.rung)
    }

    /// One line for each hook that is not served by the best rung: what is lost, and why.
    pub fn degradations(&self) -> impl Iterator<Item = String> + '_ {
        self.hooks
            .iter()
            .filter(|report| report.rung != Rung::TpBtf)
            .map(|report| {
                let reasons: Vec<String> = report
                    .failed
                    .iter()
                    .map(|(rung, reason)| format!("{}: {reason}", rung.name()))
                    .collect();
                let because = if reasons.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", reasons.join("; "))
                };
                format!(
                    "{} by {}, lost: {}{because}",
                    report.hook.name(),
                    report.rung.name(),
                    report.lost
                )
            })
    }
}
