//! The page as one HTML file: reads chapters, produces it with `maud`, which escapes all text. It needs nothing from
//! outside: opens from disk, in an e-mail's preview, light and dark, on paper.

use maud::{Markup, PreEscaped, html};
use observer_core::detect::State;

use super::page::{Block, Chapter, Page, Section, Table};
use crate::{
    terminal::clean,
    view::{document, workloads::rank},
};

/// The colours of the chart where the page is dark stand beside those that are drawn (`plot`).
const STYLE: &str = "
header p { color: var(--faint); }
article { margin-top: 2.2rem; } article > h2 { font-size: 1.25rem; margin: 0; overflow-wrap: anywhere; unicode-bidi: isolate; }
h3 { font-size: 1rem; margin: 1.6rem 0 .5rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
.verdict { font-size: 1.1rem; font-weight: 600; margin: .3rem 0 .8rem; }
td.s { white-space: nowrap; } dl { display: flex; flex-wrap: wrap; gap: .6rem 2rem; margin: 0 0 1rem; } dl div { min-width: 7rem; overflow: visible; }
dt { color: var(--faint); font-size: .85rem; } dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
figure { margin: 0; } figure svg { width: 100%; height: auto; display: block; } figure .narrow { display: none; }
figcaption { color: var(--faint); font-size: .9rem; } figcaption span { display: inline-block; margin-right: 1.2rem; overflow-wrap: anywhere; }
ul { margin: .3rem 0; padding-left: 1.2rem; } li { overflow-wrap: anywhere; margin: .2rem 0; }
.said { color: #b26a00; } .level { color: #1976d2; } .ceiling, .died { color: #c62828; }
@media (max-width: 600px) {
  td.s { white-space: normal; } th, td { padding: .3rem; } td.c { min-width: 9rem; }
  figure .wide { display: none; } figure .narrow { display: block; }
}
@media (prefers-color-scheme: dark) {
  .said { color: #ffcc80; } .level { color: #64b5f6; } .ceiling, .died { color: #ff8a80; }
  svg [fill='#1976D2'] { fill: #64b5f6; } svg [stroke='#1976D2'] { stroke: #64b5f6; }
  svg [fill='#C62828'] { fill: #ff8a80; } svg [stroke='#C62828'] { stroke: #ff8a80; }
  svg [fill='#B26A00'] { fill: #ffcc80; } svg [stroke='#B26A00'] { stroke: #ffcc80; }
  svg [fill='#222222'] { fill: #e0e0e0; } svg [stroke='#222222'] { stroke: #e0e0e0; }
  svg [stroke='#DDDDDD'] { stroke: #444444; }
}
@media print { article { break-inside: auto; } figure, table { break-inside: avoid; } }
";

/// The page.
pub fn html(page: &Page) -> String {
    let body = html! {
        header {
            h1 { (text(&page.title)) }
            p { @for about in &page.about { (text(about)) br; } }
        }
        @if let Some(index) = &page.index { (table(index)) }
        @for chapter in &page.chapters { (article(chapter)) }
    };
    document::page(&text(&page.title), STYLE, &body)
}

/// What may have any name in it: what would act on the reader is spelled out, and it is of bounded length. Markup is
/// escaped where it is put in.
fn text(text: &str) -> String {
    clean::sentence(text).into_owned()
}

fn article(chapter: &Chapter) -> Markup {
    html! {
        article id=(chapter.anchor) {
            h2 { (text(&chapter.name)) }
            p class=(format!("verdict {}", tone(chapter.state))) { (capital(&chapter.verdict)) "." }
            dl { @for (name, value) in &chapter.figures { div { dt { (name) } dd { (text(value)) } } } }
            @for section in &chapter.sections { (self::section(section)) }
        }
    }
}

fn section(section: &Section) -> Markup {
    html! {
        section {
            h3 { (section.heading) }
            @for block in &section.blocks { (self::block(block)) }
        }
    }
}

fn block(block: &Block) -> Markup {
    match block {
        Block::Text(sentence) => html! { p { (text(sentence)) } },
        Block::Items(sentences) => items(sentences),
        Block::Table(rows) => table(rows),
        Block::Plot(plot) => html! {
            figure role="img" aria-label=(format!("Memory over time, {}", plot.caption())) {
                @if let Some((wide, narrow)) = plot.svg() {
                    div.wide { (PreEscaped(wide)) }
                    div.narrow { (PreEscaped(narrow)) }
                }
                figcaption {
                    span { (plot.caption()) }
                    @for (sign, what) in plot.legend() {
                        span { b class=(sign) { (mark(sign)) } " " (text(&what)) }
                    }
                }
            }
        },
    }
}

/// The sign of a mark, as it is drawn.
fn mark(sign: &str) -> &'static str {
    match sign {
        "level" | "ceiling" => "━",
        "died" => "✗",
        "ended" => "○",
        "said" => "▲",
        _ => "│",
    }
}

fn items(sentences: &[String]) -> Markup {
    html! { ul { @for sentence in sentences { li { (text(sentence)) } } } }
}

fn table(table: &Table) -> Markup {
    let class = |nth: usize| match table.head.get(nth) {
        Some(column) if column.number => "n",
        Some(column) if column.long => "c",
        // What is no sentence is not broken; names of any length are.
        _ => "s",
    };
    html! {
        div { table {
            thead { tr { @for (nth, column) in table.head.iter().enumerate() { th class=(class(nth)) { (column.name) } } } }
            tbody {
                @for (row, cells) in table.rows.iter().enumerate() {
                    tr { @for (nth, cell) in cells.iter().enumerate() {
                        @let link = table.links.get(row).and_then(Option::as_ref).filter(|_| nth == 0);
                        td class=(class(nth)) {
                            @if let Some(link) = link { a href=(format!("#{link}")) { (text(cell)) } } @else { (text(cell)) }
                        }
                    } }
                }
            }
        } }
    }
}

fn tone(state: State) -> &'static str {
    match rank(state) {
        State::Likely | State::Confirmed => "leaking",
        State::Suspected => "growing",
        _ => "",
    }
}

fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}
