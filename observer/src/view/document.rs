//! An HTML document that needs nothing from outside: reads a title, a style and a body, produces the whole file. Reports
//! and audits share it.

use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = "
:root { color-scheme: light dark; --faint: #5f6368; --line: #8884; }
body { font: 14px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 80rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; overflow-wrap: anywhere; unicode-bidi: isolate; } p { margin: .4rem 0 1rem; overflow-wrap: anywhere; }
div { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
td.n, th.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td.c { overflow-wrap: anywhere; min-width: 12rem; unicode-bidi: isolate; } td.w { overflow-wrap: anywhere; min-width: 16rem; }
.leaking { font-weight: 700; color: #c62828; } .undersized, .misfit, .growing { color: #b26a00; }
@media (prefers-color-scheme: dark) {
  :root { --faint: #9aa0a6; } .leaking { color: #ff8a80; } .undersized, .misfit, .growing { color: #ffcc80; }
}
@media print { div { overflow: visible; } body { max-width: none; margin: 0; } }
";

/// The file. `style` comes after what all documents share.
pub(crate) fn page(title: &str, style: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // A favicon would be asked for; nothing may be.
                link rel="icon" href="data:,";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:";
                title { (title) }
                style { (PreEscaped(STYLE)) (PreEscaped(style)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}
