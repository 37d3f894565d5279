//! The sawtooth: reads levels over time, ends of runs and a ceiling, draws them, as a widget or as lines of text.

use observer_core::telemetry::units;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
    symbols::Marker,
    text::{Line, Span, Text},
    widgets::{
        Widget,
        canvas::{Canvas, Line as Stroke},
    },
};

use crate::terminal::{Look, text};

/// Columns left of the plot: `1024 MiB ┤`.
const GUTTER: u16 = 11;
/// Rows below the plot: the axis, its labels, the legend.
const FOOT: u16 = 3;
/// Rows of the plot where it is printed.
const ROWS: u16 = 10;
/// A ceiling so many times above everything would press the plot flat; it is then left to the legend.
const FAR: f64 = 8.0;
const LEVEL: Style = Style::new().fg(Color::Cyan);
const CEILING: Style = Style::new().fg(Color::Red);
const END: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);

/// The end of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// When, seconds.
    pub at: f64,
    /// It died at its ceiling, rather than being restarted.
    pub died: bool,
    /// How it ended.
    pub how: &'static str,
}

/// What is drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sawtooth {
    /// (seconds, bytes), in order of time.
    pub levels: Vec<(f64, f64)>,
    /// Bytes.
    pub ceiling: Option<f64>,
    /// Ends of runs, in order of time.
    pub ends: Vec<Mark>,
}

/// The scales of a plot.
struct Scale {
    first: f64,
    span: f64,
    top: f64,
    ceiling: Option<f64>,
}

impl Sawtooth {
    fn scale(&self) -> Option<Scale> {
        let (first, last) = (self.levels.first()?.0, self.levels.last()?.0);
        let highest = self.levels.iter().fold(1.0, |high: f64, level| high.max(level.1));
        let ceiling = self.ceiling.filter(|ceiling| *ceiling <= FAR * highest);
        Some(Scale {
            first,
            span: (last - first).max(1e-9),
            top: ceiling.map_or(highest, |ceiling| ceiling.max(highest)),
            ceiling,
        })
    }

    /// Levels that belong together, in seconds after the first. A stroke that spans an end of a run, or a long silence,
    /// would tell of levels that nobody saw.
    pub(super) fn pieces(&self) -> Vec<Vec<(f64, f64)>> {
        let Some(scale) = self.scale() else { return Vec::new() };
        let silence = scale.span / 8.0;
        let ended = |from: f64, to: f64| self.ends.iter().any(|end| from <= end.at && end.at < to);
        let together = |from: &(f64, f64), to: &(f64, f64)| to.0 - from.0 <= silence && !ended(from.0, to.0);
        let pieces = self.levels.chunk_by(together);
        let shifted = |piece: &[(f64, f64)]| piece.iter().map(|(at, level)| (at - scale.first, *level)).collect();
        pieces.map(shifted).collect()
    }

    /// As lines; empty where there is nothing to draw.
    pub fn text(&self, look: Look) -> Text<'static> {
        if self.levels.is_empty() {
            return Text::default();
        }
        let width = u16::try_from(look.width.max(30)).unwrap_or(u16::MAX);
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, ROWS + FOOT));
        self.draw(buffer.area, &mut buffer, look.plain);
        lines(&buffer)
    }

    /// Draws it into an area, in ASCII where that is asked for.
    pub fn draw(&self, area: Rect, buffer: &mut Buffer, plain: bool) {
        let Some(scale) = self.scale() else { return };
        if area.width <= GUTTER + 4 || area.height <= FOOT + 1 {
            return;
        }
        let plot = Rect {
            x: area.x + GUTTER,
            y: area.y,
            width: area.width - GUTTER,
            height: area.height - FOOT,
        };
        self.plot(&scale, plot, buffer, plain);
        labels(&scale, plot, buffer);
        self.axis(&scale, plot, buffer);
        let legend = Rect::new(plot.x, plot.bottom() + 2, plot.width, 1);
        buffer.set_line(legend.x, legend.y, &self.legend(), legend.width);
        if plain {
            ascii(buffer, area);
        }
    }

    fn plot(&self, scale: &Scale, plot: Rect, buffer: &mut Buffer, plain: bool) {
        Canvas::default()
            .marker(if plain { Marker::Custom('*') } else { Marker::Braille })
            .x_bounds([0.0, scale.span])
            .y_bounds([0.0, scale.top])
            .paint(|context| {
                if let Some(ceiling) = scale.ceiling {
                    let line = Stroke::new(0.0, ceiling, scale.span, ceiling, Color::Red);
                    context.marker(if plain {
                        Marker::Custom('-')
                    } else {
                        Marker::Custom('╌')
                    });
                    context.draw(&line);
                }
                context.layer();
                context.marker(if plain { Marker::Custom('*') } else { Marker::Braille });
                let color = LEVEL.fg.unwrap_or_default();
                for piece in self.pieces() {
                    let starts = piece.iter().take(1).map(|start| (start, start));
                    for (&(x, before), &(y, after)) in starts.chain(piece.iter().zip(piece.iter().skip(1))) {
                        context.draw(&Stroke::new(x, before, y, after, color));
                    }
                }
            })
            .render(plot, buffer);
    }

    /// The axis of time, with the ends of runs on it.
    fn axis(&self, scale: &Scale, plot: Rect, buffer: &mut Buffer) {
        let y = plot.bottom();
        buffer.set_string(plot.x - GUTTER, y, format!("{:>9} ┼", 0), Style::new());
        buffer.set_string(plot.x, y, "─".repeat(usize::from(plot.width)), Style::new());
        for end in &self.ends {
            let share = ((end.at - scale.first) / scale.span).clamp(0.0, 1.0);
            let column = (share * f64::from(plot.width - 1)).round() as u16;
            buffer.set_string(plot.x + column, y, sign(end.died), END);
        }
        let span = units::seconds(scale.span);
        let right = plot.right() - u16::try_from(span.len()).unwrap_or(0).min(plot.width);
        buffer.set_string(plot.x, y + 1, "0", Style::new());
        buffer.set_string(right, y + 1, span, Style::new());
    }

    fn legend(&self) -> Line<'static> {
        let mut parts: Vec<Span<'static>> = Vec::new();
        let mut ends: Vec<(&Mark, usize)> = Vec::new();
        for end in &self.ends {
            match ends.iter_mut().find(|(known, _)| known.how == end.how) {
                Some((_, count)) => *count += 1,
                None => ends.push((end, 1)),
            }
        }
        if let Some(ceiling) = self.ceiling {
            parts.push(Span::styled("╌", CEILING));
            parts.push(format!(" ceiling {}   ", units::bytes(ceiling as u64)).into());
        }
        for (end, count) in ends {
            parts.push(Span::styled(sign(end.died), END));
            parts.push(format!(" {} {count}x   ", end.how).into());
        }
        Line::from(parts)
    }
}

/// Died at a ceiling, or ended otherwise.
const fn sign(died: bool) -> &'static str {
    if died { "✗" } else { "○" }
}

/// The edge at the left: the top, the ceiling, and half of it where there is room.
fn labels(scale: &Scale, plot: Rect, buffer: &mut Buffer) {
    let row = |level: f64| {
        let above = (1.0 - level / scale.top) * f64::from(plot.height - 1);
        plot.y + (above.round() as u16).min(plot.height - 1)
    };
    for y in plot.top()..plot.bottom() {
        buffer.set_string(plot.x - 1, y, "│", Style::new());
    }
    let mut named = vec![scale.top / 2.0];
    named.extend(
        scale
            .ceiling
            .is_none_or(|ceiling| row(ceiling) > plot.y + 1)
            .then_some(scale.top),
    );
    named.extend(scale.ceiling);
    for level in named {
        let label = format!("{:>9} ┤", units::bytes(level as u64));
        buffer.set_string(plot.x - GUTTER, row(level), label, Style::new());
    }
}

/// Draws what was drawn with nothing but ASCII.
pub fn ascii(buffer: &mut Buffer, area: Rect) {
    for position in area.positions() {
        let Some(cell) = buffer.cell_mut(position) else {
            continue;
        };
        if cell.symbol().is_ascii() {
            continue;
        }
        let plain = match cell.symbol() {
            "│" | "║" => "|",
            "─" | "╌" | "━" | "▂" | "▃" => "-",
            "┤" | "┼" | "┌" | "┐" | "└" | "┘" | "├" | "┬" | "┴" => "+",
            "✗" => "x",
            "○" => "o",
            "█" | "▓" | "▆" | "▇" => "#",
            "░" | "▁" => ".",
            "▄" | "▅" => "=",
            "…" => "~",
            "▶" | "▸" => ">",
            "▲" => "^",
            "▼" => "v",
            "‖" => "\"",
            _ => "?",
        };
        cell.set_symbol(plain);
    }
}

/// What stands in a buffer, with its colours.
pub fn lines(buffer: &Buffer) -> Text<'static> {
    let area = buffer.area;
    let rows = (area.top()..area.bottom()).map(|y| {
        let mut spans: Vec<Span<'static>> = Vec::new();
        let mut x = area.left();
        while x < area.right() {
            let Some(cell) = buffer.cell((x, y)) else { break };
            let style = Style::new().fg(cell.fg).add_modifier(cell.modifier);
            // A cell that nothing was drawn in has the terminal's own colour.
            let style = if style.fg == Some(Color::Reset) {
                Style { fg: None, ..style }
            } else {
                style
            };
            match spans.last_mut() {
                Some(last) if last.style == style => last.content.to_mut().push_str(cell.symbol()),
                _ => spans.push(Span::styled(cell.symbol().to_owned(), style)),
            }
            // What is wider than a column stands in the next cell as well.
            x += u16::try_from(text::width(cell.symbol())).unwrap_or(1).max(1);
        }
        Line::from(spans)
    });
    Text::from(rows.collect::<Vec<_>>())
}

#[cfg(test)]
#[path = "sawtooth_tests.rs"]
mod tests;
