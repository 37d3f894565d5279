//! The sentence of kills that recur.

use std::fmt::Write;

use super::ceiling_words;
use crate::{
    finding::{Cause, Explanation, GrowthPattern, RecurringOom},
    units,
};

/// Also what `observer explain` and a replay of a history say of it.
pub fn recurring_oom(who: &str, version: &str, recurring: &RecurringOom) -> String {
    let range = |(low, high): (u64, u64)| {
        let (low, high) = (units::bytes(low), units::bytes(high));
        if low == high { low } else { format!("{low} to {high}") }
    };
    let of_v8 = recurring
        .runs
        .iter()
        .filter(|run| run.cause() == Cause::V8HeapOom)
        .count();
    let died = match recurring.runs.len() - of_v8 {
        0 if of_v8 > 0 => "died of V8's heap limit",
        _ if of_v8 == 0 => "was killed for memory",
        _ => "was killed for memory or died of V8's heap limit",
    };
    let mut text = format!(
        "{who}{version} {died} {} times in {}: a run lives for {}",
        recurring.kills,
        units::seconds(recurring.within_s),
        units::seconds(recurring.lifetime_s),
    );
    if recurring.from.1 > 0 {
        let _ = write!(text, ", from {} after its start", range(recurring.from));
    }
    let _ = write!(text, " to {}", range(recurring.to));
    if let Some(ceiling) = recurring.ceiling {
        let _ = write!(text, " of {}", ceiling_words(ceiling));
    }
    let _ = write!(text, "; {}", recurring_pattern(recurring));
    text
}

/// What its runs look like, what may explain that, and what to set.
pub fn recurring_pattern(recurring: &RecurringOom) -> String {
    let mut text = String::from(match recurring.pattern {
        GrowthPattern::Steady => "it climbs steadily",
        GrowthPattern::Bursts => "it climbs in a few bursts and gives nothing back",
        GrowthPattern::Spike => "it stays level until a single burst ends it",
        GrowthPattern::Flat => "it stays level, close to its ceiling",
        GrowthPattern::Garbage => "what fills it may be garbage that V8 has not collected",
        GrowthPattern::Mixed => "its runs have no shape in common",
    });
    text.push_str(match recurring.explanation {
        Explanation::Undersized => ": its limit is too low for what it needs at times",
        Explanation::Misfit => "",
        Explanation::Either => ": a leak, or a limit that is too low",
    });
    if let Some(read) = recurring.heap {
        let _ = write!(
            text,
            "; of the {} it had grown by when its heap was read, {} were garbage",
            units::bytes(read.grown),
            units::bytes(read.garbage)
        );
    }
    if let Some(advice) = &recurring.advice {
        let _ = write!(text, "; {advice}");
    }
    text
}
