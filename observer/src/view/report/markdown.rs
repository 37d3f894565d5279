//! The page as Markdown: reads chapters, produces text for a ticket or a chat. Names are text in it, never markup.

use std::fmt::Write as _;

use super::page::{Block, Page, Table};
use crate::terminal::{Look, clean};

/// What Markdown, and HTML within it, would act on.
const MARKUP: [char; 17] = [
    '\\', '`', '*', '_', '{', '}', '[', ']', '<', '>', '#', '|', '!', '~', '&', '@', '$',
];

/// Columns of the chart.
const COLUMNS: usize = 80;

/// The page.
pub fn markdown(page: &Page) -> String {
    let mut out = format!("# {}\n\n", text(&page.title));
    for about in &page.about {
        line(&mut out, format_args!("{}  ", text(about)));
    }
    if let Some(index) = &page.index {
        out.push('\n');
        table(&mut out, index);
    }
    for chapter in &page.chapters {
        line(
            &mut out,
            format_args!("\n## {}\n\n**{}**\n", text(&chapter.name), text(&chapter.verdict)),
        );
        for (name, value) in &chapter.figures {
            line(&mut out, format_args!("- {name}: {}", text(value)));
        }
        for section in &chapter.sections {
            line(&mut out, format_args!("\n### {}\n", section.heading));
            for block in &section.blocks {
                self::block(&mut out, block);
            }
        }
    }
    out
}

fn line(out: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{line}");
}

fn block(out: &mut String, block: &Block) {
    match block {
        Block::Text(sentence) => line(out, format_args!("{}\n", text(sentence))),
        Block::Items(sentences) => items(out, sentences),
        Block::Table(rows) => {
            table(out, rows);
            out.push('\n');
        }
        Block::Plot(plot) => {
            let look = Look {
                width: COLUMNS,
                colour: false,
                plain: false,
            };
            line(
                out,
                format_args!("```text\n{}```\n\n{}\n", plot.text(look), text(&plot.caption())),
            );
            let rollouts: Vec<String> = plot
                .legend()
                .into_iter()
                .filter(|(sign, _)| *sign == "rollout")
                .map(|(_, what)| what)
                .collect();
            items(out, &rollouts);
        }
    }
}

fn items(out: &mut String, sentences: &[String]) {
    for sentence in sentences {
        line(out, format_args!("- {}", text(sentence)));
    }
    if !sentences.is_empty() {
        out.push('\n');
    }
}

fn table(out: &mut String, table: &Table) {
    let row = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let names = table.head.iter().map(|column| column.name.to_owned());
    line(out, format_args!("{}", row(names.collect())));
    let rules = table
        .head
        .iter()
        .map(|column| if column.number { "--:" } else { "---" }.to_owned());
    line(out, format_args!("{}", row(rules.collect())));
    for cells in &table.rows {
        line(
            out,
            format_args!("{}", row(cells.iter().map(|cell| text(cell)).collect())),
        );
    }
}

/// Text that is nothing else.
fn text(text: &str) -> String {
    let mut out = String::new();
    for c in clean::sentence(text).chars() {
        if MARKUP.contains(&c) {
            out.push('\\');
        }
        out.push(c);
    }
    // A number with a dot, a dash or a plus at the beginning of a line would begin a list.
    if out.starts_with(['-', '+', '=']) && out.len() > 1 {
        out.insert(0, '\\');
    }
    out
}
