//! What goes out for a finding: reads a [`Finding`], produces event name, severity, a sentence for people and typed
//! attributes. The only place where that is decided (docs/telemetry.md).

mod attributes;
#[cfg(test)]
mod reference;
mod sentence;
#[cfg(test)]
mod tests;
pub use crate::units;
mod value;
mod words;

use crate::{
    Finding,
    finding::{Cause, EndedRun, Event as What, State},
    semconv::{self, event},
};

/// An event as it leaves the agent, its Resource aside (that is the finding's subject's).
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `EventName`: static and fully qualified.
    pub name: &'static str,
    /// Severity.
    pub severity: Severity,
    /// A sentence for people.
    pub body: String,
    /// Attributes, by names of [`crate::semconv`].
    pub attributes: Vec<(&'static str, Value)>,
}

/// Severities in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For the record.
    Info,
    /// Somebody should look.
    Warn,
    /// Something died, or will.
    Error,
}

impl Severity {
    /// `SeverityText`
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

pub use self::{
    sentence::{
        advised, ceiling_words, grew, heap_flag, larger_limit, page_cache, recurring_oom, recurring_pattern,
        whereabouts,
    },
    value::Value,
    words::ceiling_kind,
};

/// What goes out for a finding.
pub fn event(finding: &Finding) -> Event {
    let (name, severity) = name_and_severity(&finding.event);
    Event {
        name,
        severity,
        body: sentence::of(finding),
        attributes: attributes::of(finding),
    }
}

/// Whether a Resource's attribute is a list by convention: it is held as its one element.
pub fn is_list(name: &str) -> bool {
    [semconv::CONTAINER_IMAGE_TAGS, semconv::CONTAINER_IMAGE_REPO_DIGESTS].contains(&name)
}

/// Attributes of the span of an ended run.
pub fn run(ended: &EndedRun) -> Vec<(&'static str, Value)> {
    attributes::of_run(ended)
}

fn name_and_severity(what: &What) -> (&'static str, Severity) {
    match what {
        What::OomKill(_) => (event::OOM_KILL, Severity::Error),
        What::HeapOom(_) => (event::HEAP_OOM, Severity::Error),
        What::Restart(restart) => {
            let expected = restart.rollout || matches!(restart.previous.cause(), Cause::Rollout | Cause::Completed);
            (event::RESTART, if expected { Severity::Info } else { Severity::Warn })
        }
        What::CrashLoop(crash_loop) => (
            event::CRASH_LOOP,
            if crash_loop.over {
                Severity::Info
            } else {
                Severity::Warn
            },
        ),
        What::NearCeiling(_) => (event::NEAR_CEILING, Severity::Warn),
        What::Leak(verdict) => match verdict.state {
            State::Quiet | State::Retracted => (event::LEAK_RETRACTED, Severity::Info),
            State::Suspected => (event::LEAK_SUSPECTED, Severity::Info),
            State::Likely => (event::LEAK_LIKELY, Severity::Warn),
            State::Confirmed => (event::LEAK_CONFIRMED, Severity::Error),
            State::Resolved => (event::LEAK_RESOLVED, Severity::Info),
        },
        What::Misfit(_) => (event::MISFIT, Severity::Info),
        What::RecurringOom(_) => (event::RECURRING_OOM, Severity::Warn),
        What::Rollout(_) => (event::ROLLOUT, Severity::Info),
        What::Diagnosis(_) => (event::DIAGNOSIS, Severity::Info),
        What::HeapRead(_) => (event::HEAP_READ, Severity::Info),
        What::Gap(_) => (event::GAP, Severity::Info),
    }
}

/// Names with what they mean.
pub type Names = &'static [(&'static str, &'static str)];

/// Every event with its meaning and every attribute with its convention, for the reference page.
pub fn reference() -> (Names, Names) {
    (event::ALL, semconv::ALL)
}

/// The same of metrics and their attributes.
pub fn metrics_reference() -> (Names, Names) {
    (semconv::metric::ALL, semconv::metric::attribute::ALL)
}
