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

    /// One line on what is not served by the best rung, with the first reason met; `None` where everything is. What each
    /// rung costs stands in `observer doctor`.
    pub fn shortfall(&self) -> Option<String> {
        if let Some(reason) = &self.unavailable {
            return Some(format!(
                "no kernel programs, observing through files only: {reason}; `observer doctor` lists what is lost"
            ));
        }
        let fallen = |rung: Rung| {
            let names: Vec<&str> = self
                .hooks
                .iter()
                .filter(|hook| hook.rung == rung)
                .map(|hook| hook.hook.name())
                .collect();
            (!names.is_empty()).then(|| format!("{} by {}", names.join(", "), rung.name()))
        };
        let fallen: Vec<String> = [Rung::Tracepoint, Rung::Files].into_iter().filter_map(fallen).collect();
        if fallen.is_empty() {
            return None;
        }
        let mut reasons: Vec<&str> = Vec::new();
        for (_, reason) in self.hooks.iter().flat_map(|hook| &hook.failed) {
            if !reasons.contains(&reason.as_str()) {
                reasons.push(reason);
            }
        }
        let because = match reasons.as_slice() {
            [] => "as configured".to_owned(),
            [only] => (*only).to_owned(),
            [first, rest @ ..] => format!("{first}; and {} more", rest.len()),
        };
        Some(format!(
            "hooks below their best rung: {} ({because}); `observer doctor` lists what is lost",
            fallen.join("; ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(of: &[(Rung, &[&str])]) -> Report {
        let hooks = Hook::ALL
            .into_iter()
            .zip(of)
            .map(|(hook, (rung, reasons))| HookReport {
                hook,
                rung: *rung,
                failed: reasons
                    .iter()
                    .map(|reason| (Rung::TpBtf, (*reason).to_owned()))
                    .collect(),
                lost: hook.lost(*rung, true),
            })
            .collect();
        Report {
            unavailable: None,
            hooks,
        }
    }

    #[test]
    fn a_shortfall_is_one_line_whatever_has_fallen() {
        let check = |report: &Report, expected: expect_test::Expect| {
            expected.assert_eq(&report.shortfall().unwrap_or_default());
        };
        check(
            &report(&[(Rung::TpBtf, &[]), (Rung::TpBtf, &[])]),
            expect_test::expect![""],
        );
        check(
            &report(&[
                (Rung::Tracepoint, &["no BTF"]),
                (Rung::TpBtf, &[]),
                (Rung::Files, &["no BTF", "no tracefs"]),
            ]),
            expect_test::expect![
                "hooks below their best rung: exec by tracepoint; oom_victim by files only (no BTF; and 1 more); `observer doctor` lists what is lost"
            ],
        );
        check(
            &report(&[(Rung::Tracepoint, &[])]),
            expect_test::expect![
                "hooks below their best rung: exec by tracepoint (as configured); `observer doctor` lists what is lost"
            ],
        );
        check(
            &Report::unavailable("not root".into()),
            expect_test::expect![
                "no kernel programs, observing through files only: not root; `observer doctor` lists what is lost"
            ],
        );
    }
}
