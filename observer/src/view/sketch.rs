//! A sawtooth drawn in characters: reads levels over time, restarts and a ceiling, produces lines of text.
//!
//! Braille characters hold two by four dots each, so a terminal of 80 columns shows some 140 samples. Nothing but plain
//! characters unless colour is asked for.

use std::fmt::Write;

const MIB: f64 = 1_048_576.0;
/// Columns of the labels at the left.
const GUTTER: usize = 10;

/// The end of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// When, seconds.
    pub at: f64,
    /// It died there, rather than being restarted.
    pub died: bool,
}

/// What is drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// (seconds, bytes), in order of time.
    pub levels: Vec<(f64, f64)>,
    /// Bytes.
    pub ceiling: Option<f64>,
    /// Ends of runs.
    pub marks: Vec<Mark>,
    /// Columns of the whole chart, at least 30.
    pub width: usize,
    /// Rows of the plot, at least 3.
    pub height: usize,
    /// With colours of the terminal.
    pub colour: bool,
    /// Nothing but ASCII: one character where there are eight dots otherwise.
    pub plain: bool,
}

impl Chart {
    /// The chart's lines, each with its line break. Empty where there is nothing to draw.
    pub fn draw(&self) -> String {
        let (Some(first), Some(last)) = (self.levels.first(), self.levels.last()) else {
            return String::new();
        };
        let columns = self.width.max(30) - GUTTER;
        let rows = self.height.max(3);
        let span = (last.0 - first.0).max(1e-9);
        let top = self
            .levels
            .iter()
            .map(|level| level.1)
            .chain(self.ceiling)
            .fold(1.0, f64::max)
            * 1.04;
        let dots = self.dots(columns, rows, first.0, span, top);
        let ceiling_row = self.ceiling.map(|ceiling| row_of(ceiling, rows, top));
        let mut text = String::new();
        for (row, cells) in dots.iter().enumerate() {
            let label = if ceiling_row == Some(row) {
                self.ceiling.map_or_else(String::new, megabytes)
            } else if row == 0 && ceiling_row != Some(0) || row + 1 == rows {
                megabytes(if row == 0 { top } else { 0.0 })
            } else {
                String::new()
            };
            let edge = if label.is_empty() {
                self.either('│', '|')
            } else {
                self.either('┤', '+')
            };
            let _ = write!(text, "{label:>8} {edge}");
            for cell in cells {
                let dots = char::from_u32(0x2800 + u32::from(*cell)).unwrap_or(' ');
                let dots = self.either(dots, '*');
                match (*cell, ceiling_row == Some(row)) {
                    (0, true) => self.push(&mut text, self.either('┄', '-'), "31"),
                    (0, false) => text.push(' '),
                    (_, _) => self.push(&mut text, dots, "36"),
                }
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        self.axis(&mut text, columns, first.0, span);
        text
    }

    const fn either(&self, fine: char, plain: char) -> char {
        if self.plain { plain } else { fine }
    }

    fn push(&self, text: &mut String, character: char, colour: &str) {
        if self.colour {
            let _ = write!(text, "\x1b[{colour}m{character}\x1b[0m");
        } else {
            text.push(character);
        }
    }

    /// One byte of dots a cell.
    fn dots(&self, columns: usize, rows: usize, start: f64, span: f64, top: f64) -> Vec<Vec<u8>> {
        let mut cells = vec![vec![0u8; columns]; rows];
        let (wide, high) = (columns * 2, rows * 4);
        let y_of = |level: f64| high - 1 - ((level / top * high as f64) as usize).min(high - 1);
        let mut before: Option<(usize, usize)> = None;
        for (t, level) in &self.levels {
            let x = (((t - start) / span * wide as f64) as usize).min(wide - 1);
            let y = y_of(*level);
            // A stroke from the level before, so that a fall is a line and not a jump.
            let from = before
                .filter(|(column, _)| x - column <= wide / 8 + 1)
                .map_or(y, |(_, y)| y);
            for dot in from.min(y)..=from.max(y) {
                let bit = match (x % 2, dot % 4) {
                    (0, 3) => 0x40,
                    (0, row) => 1 << row,
                    (_, 3) => 0x80,
                    (_, row) => 8 << row,
                };
                if let Some(cell) = cells.get_mut(dot / 4).and_then(|row| row.get_mut(x / 2)) {
                    *cell |= bit;
                }
            }
            before = Some((x, y));
        }
        cells
    }

    /// The axis of time, with the ends of runs on it.
    fn axis(&self, text: &mut String, columns: usize, start: f64, span: f64) {
        let (rule, cross, again) = (self.either('─', '-'), self.either('✗', 'x'), self.either('↻', 'o'));
        let mut line = vec![rule; columns];
        for mark in &self.marks {
            let at = (((mark.at - start) / span * columns as f64) as usize).min(columns - 1);
            if let Some(cell) = line.get_mut(at) {
                *cell = if mark.died { cross } else { again };
            }
        }
        let _ = write!(text, "{:>9}{}", "", self.either('└', '+'));
        for character in line {
            if character == rule {
                text.push(character);
            } else {
                self.push(text, character, "31");
            }
        }
        let end = duration(span);
        let room = columns.saturating_sub(1 + end.chars().count());
        let _ = writeln!(text, "\n{:>10}0{:room$}{end}", "", "");
        let died = self.marks.iter().filter(|mark| mark.died).count();
        let restarted = self.marks.len() - died;
        let mut legend = Vec::new();
        if died > 0 {
            legend.push(format!("{cross} died at the ceiling ({died})"));
        }
        if restarted > 0 {
            legend.push(format!("{again} restarted ({restarted})"));
        }
        if self.ceiling.is_some() {
            legend.push(format!("{} ceiling", self.either('┄', '-')));
        }
        if !legend.is_empty() {
            let _ = writeln!(text, "{:>10}{}", "", legend.join("   "));
        }
    }
}

fn row_of(level: f64, rows: usize, top: f64) -> usize {
    (rows - 1).saturating_sub((level / top * rows as f64) as usize)
}

fn megabytes(bytes: f64) -> String {
    let size = bytes / MIB;
    if size >= 10_240.0 {
        format!("{:.1} GiB", size / 1_024.0)
    } else {
        format!("{size:.0} MiB")
    }
}

/// A duration a person reads at a glance.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 2.0 * 3_600.0 => format!("{:.0} min", s / 60.0),
        s if s < 48.0 * 3_600.0 => format!("{:.1} h", s / 3_600.0),
        s => format!("{:.1} d", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sawtooth(width: usize) -> Chart {
        Chart {
            levels: (0..90)
                .map(|t| (f64::from(t), (40.0 + f64::from(t % 30) * 3.0) * MIB))
                .collect(),
            ceiling: Some(128.0 * MIB),
            marks: [30.0, 60.0].map(|at| Mark { at, died: true }).to_vec(),
            width,
            height: 8,
            colour: false,
            plain: false,
        }
    }

    #[test]
    fn a_sawtooth_rises_to_its_ceiling_and_marks_its_deaths() {
        let text = sawtooth(60).draw();
        assert_eq!(text.matches('✗').count(), 3, "{text}");
        assert!(
            text.contains("128 MiB ┤") && text.contains("died at the ceiling (2)"),
            "{text}"
        );
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn no_line_is_wider_than_asked_for() {
        for width in [30, 47, 80, 200] {
            let text = sawtooth(width).draw();
            let widest = text.lines().take(10).map(|line| line.chars().count()).max();
            assert!(widest <= Some(width), "{widest:?} of {width}\n{text}");
        }
    }

    #[test]
    fn nothing_and_one_point_are_drawn_without_harm() {
        assert_eq!(Chart::default().draw(), "");
        let one = Chart {
            levels: vec![(5.0, 0.0)],
            ..Chart::default()
        };
        assert!(one.draw().lines().count() >= 5);
    }
}
