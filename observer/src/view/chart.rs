//! The sawtooth: reads a service's [`History`], produces a chart of its memory with the ceiling and the ends marked.

use std::fmt::Write as _;

use observer_core::{exit::Cause, time::SECOND};

use super::history::History;

/// Rows of the plot.
const ROWS: usize = 12;
/// Columns left of the plot: `1024 MiB ┤`.
const MARGIN: usize = 11;
/// Heights of a cell, in eighths.
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const MIB: f64 = 1_048_576.0;

/// How to draw.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Columns at most, the margin included.
    pub width: usize,
    /// SGR colours.
    pub colour: bool,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Draws it; an explanation where there is nothing to draw.
pub fn draw(history: &History, style: Style) -> String {
    let (Some((first, _)), Some((last, _))) = (history.levels.first(), history.levels.last()) else {
        return "no level was recorded\n".to_owned();
    };
    let columns = style.width.saturating_sub(MARGIN + 1).max(20);
    let span = last.since(*first).max(SECOND);
    let column = |at: observer_core::time::BootTime| {
        let share = u128::from(at.since(*first)) * (columns as u128 - 1) / u128::from(span);
        (share as usize).min(columns - 1)
    };
    let highest = history.levels.iter().map(|(_, level)| *level).max().unwrap_or(0).max(1);
    // A ceiling far above everything would press the plot flat; it is then told in words only.
    let ceiling = history.limit.filter(|limit| *limit <= highest.saturating_mul(4));
    let top = ceiling.map_or(highest, |limit| limit.max(highest)) as f64 * 1.04;

    let heights = filled(history, columns, column);
    let ceiling_row = ceiling.map(|limit| ((limit as f64 / top) * ROWS as f64).ceil() as usize);
    let mut out = String::new();
    for row in (1..=ROWS).rev() {
        let is_ceiling = ceiling_row == Some(row);
        let label = if is_ceiling {
            ceiling.map(|limit| label(limit as f64))
        } else if row % 4 == 0 && ceiling_row.is_none_or(|above| row + 1 < above) {
            Some(label(top * row as f64 / ROWS as f64))
        } else {
            None
        };
        let tick = if label.is_some() { '┤' } else { '│' };
        let _ = write!(out, "{:>9} {tick}", label.unwrap_or_default());
        for level in &heights {
            let eighths = level.map_or(0, |level| (level as f64 / top * (ROWS * 8) as f64).round() as usize);
            let cell = BLOCKS[eighths.saturating_sub((row - 1) * 8).min(8)];
            let near = ceiling.is_some_and(|limit| level.is_some_and(|level| level as f64 >= limit as f64 * 0.9));
            out += &match (cell, is_ceiling) {
                (' ', true) => style.paint("31", "╌"),
                (' ', false) => " ".to_owned(),
                (cell, _) => style.paint(if near { "31" } else { "36" }, &cell.to_string()),
            };
        }
        out += if is_ceiling { " \n" } else { "\n" };
    }
    axis(history, columns, column, style, &mut out);
    let seconds = span / SECOND;
    let right = duration(seconds);
    let _ = writeln!(
        out,
        "{:>MARGIN$}0{right:>width$}",
        "",
        width = columns.saturating_sub(1)
    );
    legend(history, style, &mut out);
    out
}

/// The highest level of each column; a column without a sample repeats the last one while its run lives.
fn filled(
    history: &History,
    columns: usize,
    column: impl Fn(observer_core::time::BootTime) -> usize,
) -> Vec<Option<u64>> {
    let mut heights: Vec<Option<u64>> = vec![None; columns];
    for (at, level) in &history.levels {
        let cell = &mut heights[column(*at)];
        *cell = (*cell).max(Some(*level));
    }
    let ends: Vec<usize> = history.ends.iter().map(|(at, _)| column(*at)).collect();
    let mut carried = None;
    for (index, cell) in heights.iter_mut().enumerate() {
        match *cell {
            Some(level) => carried = Some(level),
            None => *cell = carried,
        }
        if ends.contains(&index) {
            carried = None;
        }
    }
    heights
}

fn axis(
    history: &History,
    columns: usize,
    column: impl Fn(observer_core::time::BootTime) -> usize,
    style: Style,
    out: &mut String,
) {
    let ends: Vec<(usize, Cause)> = history.ends.iter().map(|(at, cause)| (column(*at), *cause)).collect();
    let _ = write!(out, "{:>9} ┼", 0);
    for index in 0..columns {
        match ends.iter().find(|(at, _)| *at == index) {
            Some((_, cause)) => *out += &style.paint("1;31", mark(*cause)),
            None => out.push('─'),
        }
    }
    out.push('\n');
}

fn legend(history: &History, style: Style, out: &mut String) {
    let mut causes: Vec<(Cause, usize)> = Vec::new();
    for (_, cause) in &history.ends {
        match causes.iter_mut().find(|(known, _)| known == cause) {
            Some((_, count)) => *count += 1,
            None => causes.push((*cause, 1)),
        }
    }
    let mut parts: Vec<String> = causes
        .iter()
        .map(|(cause, count)| format!("{} {} {count}x", style.paint("1;31", mark(*cause)), cause.name()))
        .collect();
    if let Some(limit) = history.limit {
        parts.insert(0, format!("{} limit {}", style.paint("31", "╌"), label(limit as f64)));
    }
    if !parts.is_empty() {
        let _ = writeln!(out, "{:>MARGIN$}{}", "", parts.join("   "));
    }
}

/// Died at a ceiling, or ended otherwise.
const fn mark(cause: Cause) -> &'static str {
    if cause.at_ceiling() { "✗" } else { "○" }
}

fn label(bytes: f64) -> String {
    if bytes >= 1024.0 * MIB {
        format!("{:.1} GiB", bytes / MIB / 1024.0)
    } else {
        format!("{:.0} MiB", bytes / MIB)
    }
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{:.1} h", seconds as f64 / 3600.0),
        _ => format!("{:.1} d", seconds as f64 / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use observer_core::{exit::Cause, time::BootTime};

    use super::{History, SECOND, Style, draw};

    /// Three teeth of 20 s from 40 to 160 MiB.
    fn sawtooth() -> History {
        let mut history = History {
            limit: Some(160 << 20),
            ..History::default()
        };
        for tooth in 0..3 {
            for second in 0..20 {
                let at = BootTime((tooth * 20 + second) * SECOND);
                history.levels.push((at, (40 + 120 * second / 19) << 20));
            }
            history
                .ends
                .push((BootTime((tooth * 20 + 19) * SECOND), Cause::KernelOom));
        }
        history
    }

    #[test]
    fn every_line_fits_and_every_end_is_marked() {
        for width in [60, 80, 120] {
            let drawn = draw(&sawtooth(), Style { width, colour: false });
            assert!(
                drawn.lines().all(|line| line.chars().count() <= width),
                "{width}:\n{drawn}"
            );
            let axis = drawn.lines().find(|line| line.contains('┼')).unwrap();
            assert_eq!(axis.matches('✗').count(), 3, "\n{drawn}");
            assert!(drawn.contains("160 MiB ┤"), "\n{drawn}");
            assert!(drawn.contains("kernel_oom 3x"), "\n{drawn}");
        }
    }

    #[test]
    fn the_plot_falls_after_each_end() {
        let drawn = draw(
            &sawtooth(),
            Style {
                width: 80,
                colour: false,
            },
        );
        // Half way up there are exactly three ranges of filled cells, one per tooth.
        let row: Vec<char> = drawn.lines().nth(6).unwrap().chars().skip(11).collect();
        let starts = row.windows(2).filter(|pair| pair[0] == ' ' && pair[1] != ' ').count();
        assert_eq!(starts, 3, "\n{drawn}");
    }

    #[test]
    fn nothing_recorded_is_said() {
        assert_eq!(
            draw(
                &History::default(),
                Style {
                    width: 80,
                    colour: false
                }
            ),
            "no level was recorded\n"
        );
    }
}
