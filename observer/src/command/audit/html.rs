//! The table as one file: reads what is said of all containers, produces HTML that needs nothing from outside.

use maud::{Markup, html};
use observer_core::telemetry::units;

use super::{
    collect::{Span, at},
    outcome::{Judged, Outcome},
    table,
};
use crate::{terminal::clean, view::document};

/// The page.
pub(super) fn page(server: &str, span: Span, judged: &[Judged]) -> String {
    let body = html! {
        h1 { "Memory of " (judged.len()) " containers" }
        p {
            (table::totals(judged).lines().next().unwrap_or_default()) br;
            (clean::name(server)) ", " (at(span.start)) " to " (at(span.end)) ", a value every " (units::seconds(span.step as f64))
        }
        div { table {
            thead { tr {
                th { "Verdict" } th { "Container" } th.n { "Level" } th.n { "Limit" } th.n { "Growth" }
                th.n { "OOM kills" } th { "Version" } th { "Why" }
            } }
            tbody { @for one in judged { (row(one)) } }
        } }
    };
    document::page("observer audit", "", &body)
}

fn row(one: &Judged) -> Markup {
    let bytes = |bytes: Option<u64>| bytes.map_or_else(String::new, units::bytes);
    let class = match one.outcome {
        Outcome::Leaking if !one.gone => "leaking",
        Outcome::Undersized => "undersized",
        Outcome::Misfit => "misfit",
        Outcome::Growing => "growing",
        _ => "",
    };
    html! {
        tr {
            td class=(class) { (one.outcome.name()) @if one.gone { " (gone)" } }
            td.c { (clean::name(&one.place().name())) }
            td.n { (bytes(one.level_bytes)) }
            td.n { (bytes(one.limit_bytes)) }
            td.n { (one.slope_bytes_per_hour.filter(|slope| *slope != 0.0).map_or_else(String::new, units::rate)) }
            td.n { @if one.oom_kills > 0 { (one.oom_kills) } }
            td.c { (clean::name(one.version.as_deref().unwrap_or_default())) }
            td.w { (clean::sentence(&one.why)) }
        }
    }
}
