//! The list: draws a line for each life, with its level against its ceiling and its trend; the keys stand below.

use std::collections::VecDeque;

use observer_core::{detect::State, telemetry::units};
use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style, Stylize as _},
    text::{Line, Span},
    widgets::{Cell, Row as TableRow, StatefulWidget, Table, TableState, Widget as _},
};

use super::{
    Board,
    rows::{Row, ratio},
};
use crate::terminal::{clean, text};

/// Cells of a bar.
const BAR: usize = 10;
/// Cells of a trend.
const TREND: usize = 12;
const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// From so many columns on there is room for all columns.
const WIDE: u16 = 132;
const COLUMNS: [(&str, Constraint); 13] = [
    ("SERVICE", Constraint::Fill(1)),
    ("NODE", Constraint::Max(16)),
    ("INSTANCE", Constraint::Fill(1)),
    ("VERSION", Constraint::Max(10)),
    ("STATE", Constraint::Length(9)),
    ("MEMORY", Constraint::Length(BAR as u16)),
    ("LEVEL", Constraint::Length(8)),
    ("CEILING", Constraint::Length(8)),
    ("TREND", Constraint::Length(TREND as u16)),
    ("SLOPE", Constraint::Length(11)),
    ("LEFT", Constraint::Length(10)),
    ("RUN", Constraint::Length(4)),
    ("UP", Constraint::Length(10)),
];

impl Board {
    pub(super) fn draw_list(&mut self, area: Rect, buffer: &mut Buffer) {
        let [head, body, foot] =
            Layout::vertical([Constraint::Length(1), Constraint::Min(2), Constraint::Length(1)]).areas(area);
        self.head(head, buffer);
        let nodes = self.instant.watched.iter().any(|watched| !watched.node.is_empty());
        let narrow = ["INSTANCE", "VERSION", "TREND", "RUN", "UP"];
        let columns: Vec<(&str, Constraint)> = COLUMNS
            .into_iter()
            .filter(|(name, _)| area.width >= WIDE || !narrow.contains(name))
            .filter(|(name, _)| *name != "NODE" || nodes)
            .collect();
        // Only what is to be seen is made.
        let height = usize::from(body.height).saturating_sub(1).max(1);
        let from = self.first(height);
        let lines: Vec<TableRow<'_>> = self
            .rows
            .iter()
            .skip(from)
            .take(height)
            .map(|row| {
                let trend = self.seen.get(&row.key);
                TableRow::new(columns.iter().map(|(name, _)| cell(name, row, trend)))
            })
            .collect();
        let names = columns.iter().map(|(name, _)| {
            let name = Line::from(*name);
            let text = matches!(
                name.spans.first().map(|span| span.content.as_ref()),
                Some("SERVICE" | "NODE" | "INSTANCE" | "VERSION" | "STATE" | "MEMORY" | "TREND")
            );
            Cell::from(if text { name } else { name.right_aligned() })
        });
        let table = Table::new(lines, columns.iter().map(|(_, width)| *width))
            .header(TableRow::new(names).style(Style::new().add_modifier(Modifier::BOLD)))
            .column_spacing(1)
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
        let mut state = TableState::default();
        state.select(self.table.selected().map(|at| at.saturating_sub(from)));
        StatefulWidget::render(table, body, buffer, &mut state);
        self.keys(foot, buffer);
    }

    /// The first row shown of so many: the selected one is among them.
    fn first(&mut self, height: usize) -> usize {
        let selected = self.table.selected().unwrap_or(0);
        let first = self.table.offset_mut();
        *first = (*first).clamp((selected + 1).saturating_sub(height), selected);
        *first
    }

    fn head(&self, area: Rect, buffer: &mut Buffer) {
        let leaking = self
            .rows
            .iter()
            .filter(|row| matches!(row.state, State::Likely | State::Confirmed))
            .count();
        let s = if self.rows.len() == 1 { "life" } else { "lives" };
        let held = if self.paused { "  ‖ on hold" } else { "" };
        let left = format!("observer  {} {s}, {leaking} leaking{held}", self.rows.len());
        let room = usize::from(area.width).saturating_sub(left.chars().count() + 2);
        Line::from(left.bold()).render(area, buffer);
        let (right, style) = match &self.instant.trouble {
            Some(trouble) => (trouble, Style::new().fg(Color::Red)),
            None => (&self.instant.source, Style::new()),
        };
        Line::styled(text::cut(right, room), style)
            .right_aligned()
            .render(area, buffer);
    }

    fn keys(&self, area: Rect, buffer: &mut Buffer) {
        if self.searching {
            let line = vec!["/".bold(), Span::from(text::visible(&self.search)), "█".into()];
            return Line::from(line).render(area, buffer);
        }
        let search = if self.search.is_empty() {
            "search".to_owned()
        } else {
            text::cut(&self.search, 12).into_owned()
        };
        let mut spans = vec!["Enter".bold(), " open  ".into()];
        spans.extend(["s".bold(), format!(" {}  ", self.order.name()).into()]);
        spans.extend(["f".bold(), format!(" {}  ", self.filter.name()).into()]);
        spans.extend(["/".bold(), format!(" {search}  ").into(), "q".bold(), " quit  ".into()]);
        spans.extend(self.playing());
        Line::from(spans).render(area, buffer);
    }

    /// The keys that hold and play.
    pub(super) fn playing(&self) -> Vec<Span<'static>> {
        let hold = if self.paused { " go on  " } else { " hold  " };
        let mut spans = vec!["Space".bold(), hold.into()];
        if self.plays {
            spans.extend([".".bold(), " step  ".into(), "+ -".bold(), " speed".into()]);
        }
        spans
    }
}

fn cell<'a>(name: &str, row: &'a Row, seen: Option<&VecDeque<(f64, u64)>>) -> Cell<'a> {
    let number = |text: Option<String>| {
        let text = text.unwrap_or_else(|| "-".to_owned());
        Cell::from(Line::from(text).right_aligned())
    };
    match name {
        "SERVICE" => Cell::from(clean::name(&row.service)),
        "NODE" => Cell::from(text::cut(&row.key.node, 16)),
        "INSTANCE" => Cell::from(text::cut(&row.instance, 24)),
        "VERSION" => Cell::from(text::cut(&row.version, 10)),
        "STATE" => Cell::from(row.says.as_str()).style(colour(row.state)),
        "MEMORY" => Cell::from(bar(row)).style(colour(row.state)),
        "LEVEL" => number(row.level.map(units::bytes)),
        "CEILING" => number(row.ceiling.map(units::bytes)),
        "TREND" => Cell::from(trend(seen)),
        "SLOPE" => number(row.slope.map(units::rate)),
        "LEFT" => number(row.left_s.map(units::seconds)),
        "RUN" => number(Some(row.run.to_string())),
        _ => number(row.up_s.map(units::seconds)),
    }
}

/// How bad it is.
const fn colour(state: State) -> Style {
    match state {
        State::Confirmed => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        State::Likely => Style::new().fg(Color::Yellow),
        State::Suspected => Style::new().fg(Color::Cyan),
        State::Quiet | State::Retracted | State::Resolved => Style::new(),
    }
}

fn bar(row: &Row) -> String {
    let Some(ratio) = ratio(row) else {
        return String::new();
    };
    let filled = (ratio.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    "█".repeat(filled) + &"░".repeat(BAR - filled)
}

/// The levels seen, the newest at the right.
fn trend(seen: Option<&VecDeque<(f64, u64)>>) -> String {
    let levels: Vec<u64> = seen.into_iter().flatten().map(|(_, level)| *level).collect();
    let highest = levels.iter().max().copied().unwrap_or(0).max(1);
    levels
        .chunks(levels.len().div_ceil(TREND).max(1))
        .filter_map(|chunk| chunk.iter().max())
        .map(|level| EIGHTHS[((*level as f64 / highest as f64 * 7.0).round() as usize).min(7)])
        .collect()
}
