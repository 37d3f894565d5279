//! The table as one file: reads what is said of all containers, produces HTML that needs nothing from outside.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use observer_core::telemetry::units;

use super::{
    collect::{Span, at},
    outcome::{Judged, Outcome},
    table,
};

const STYLE: &str = "
:root { color-scheme: light dark; }
body { font: 14px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 80rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; } p { margin: .4rem 0 1rem; }
div { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid #8884; }
td.n, th.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td.c { overflow-wrap: anywhere; min-width: 12rem; unicode-bidi: isolate; } td.w { overflow-wrap: anywhere; min-width: 16rem; }
.leaking { font-weight: 700; color: #c62828; } .undersized, .misfit, .growing { color: #b26a00; }
@media (prefers-color-scheme: dark) { .leaking { color: #ff8a80; } .undersized, .misfit, .growing { color: #ffcc80; } }
@media print { div { overflow: visible; } }
";

/// The page.
pub(super) fn page(server: &str, span: Span, judged: &[Judged]) -> String {
    let page: Markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { "observer audit" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Memory of " (judged.len()) " containers" }
                p {
                    (table::totals(judged).lines().next().unwrap_or_default()) br;
                    (server) ", " (at(span.start)) " to " (at(span.end)) ", a value every " (units::seconds(span.step as f64))
                }
                div { table {
                    thead { tr {
                        th { "Verdict" } th { "Container" } th.n { "Level" } th.n { "Limit" } th.n { "Growth" }
                        th.n { "OOM kills" } th { "Version" } th { "Why" }
                    } }
                    tbody { @for one in judged { (row(one)) } }
                } }
            }
        }
    };
    page.into_string()
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
            td.c { (one.place().name()) }
            td.n { (bytes(one.level_bytes)) }
            td.n { (bytes(one.limit_bytes)) }
            td.n { (one.slope_bytes_per_hour.filter(|slope| *slope != 0.0).map_or_else(String::new, units::rate)) }
            td.n { @if one.oom_kills > 0 { (one.oom_kills) } }
            td.c { (one.version.as_deref().unwrap_or_default()) }
            td.w { (one.why) }
        }
    }
}
