//! The sawtooth as SVG: reads a case, draws levels, ceilings, ends, what was said and rollouts, with `plotters`, in a width
//! for screens and in one for telephones. Only numbers and our own words stand in it.

use std::{fmt::Write as _, ops::Range};

use observer_core::{detect::State, telemetry::units, time::WallTime};
use plotters::{
    coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged},
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::view::{case::Case, explain::sawtooth, sawtooth::Sawtooth, timeline::time, workloads::rank};

/// A ceiling so many times above everything would press the levels flat.
const FAR: f64 = 8.0;
/// Rollouts that are marked, by letters.
const ROLLOUTS: usize = 26;
/// The colours, which the page's style changes where it is dark.
pub(super) const LEVEL: RGBColor = RGBColor(25, 118, 210);
pub(super) const CEILING: RGBColor = RGBColor(198, 40, 40);
pub(super) const SAID: RGBColor = RGBColor(178, 106, 0);
pub(super) const TEXT: RGBColor = RGBColor(34, 34, 34);
pub(super) const GRID: RGBColor = RGBColor(221, 221, 221);

/// How large it is drawn, pixels, and with how many ticks at most.
struct Size {
    width: u32,
    height: u32,
    ticks: usize,
    font: f64,
}

const WIDE: Size = Size {
    width: 1_000,
    height: 340,
    ticks: 9,
    font: 13.0,
};
const NARROW: Size = Size {
    width: 400,
    height: 280,
    ticks: 4,
    font: 12.0,
};

type Broken = DrawingAreaErrorKind<std::io::Error>;

/// What is drawn.
#[derive(Debug)]
pub(super) struct Plot {
    sawtooth: Sawtooth,
    ceilings: Vec<f64>,
    said: Vec<(f64, State)>,
    rollouts: Vec<(f64, String)>,
    began: Option<WallTime>,
    span: f64,
    top: f64,
}

impl Plot {
    /// `None` where no level is known.
    pub(super) fn of(case: &Case) -> Option<Self> {
        let sawtooth = sawtooth(case);
        let (first, last) = (sawtooth.levels.first()?.0, sawtooth.levels.last()?.0);
        let highest = sawtooth.levels.iter().fold(1.0, |high: f64, level| high.max(level.1));
        let mut ceilings: Vec<f64> = case.ceilings.iter().map(|ceiling| ceiling.bytes as f64).collect();
        ceilings.extend(sawtooth.ceiling);
        ceilings.retain(|ceiling| *ceiling <= FAR * highest);
        ceilings.sort_by(f64::total_cmp);
        ceilings.dedup_by(|a, b| (*a - *b).abs() < 0.01 * *b);
        let top = ceilings.iter().fold(highest, |top, ceiling| top.max(*ceiling)) * 1.12;
        let span = (last - first).max(1.0);
        let within = |at: f64| (0.0..=span * 1.001).contains(&at);
        let mut rollouts: Vec<(f64, String)> = case.rollouts.clone();
        rollouts.retain(|(at, _)| within(*at));
        rollouts.truncate(ROLLOUTS);
        let mut said = case.said.clone();
        said.retain(|(at, _)| within(*at));
        Some(Self {
            ceilings,
            said,
            rollouts,
            began: case.began,
            span,
            top,
            sawtooth,
        })
    }

    /// For screens, and for telephones.
    pub(super) fn svg(&self) -> Option<(String, String)> {
        Some((self.drawn(&WIDE).ok()?, self.drawn(&NARROW).ok()?))
    }

    /// What the marks mean, in order: a sign, and what it stands for.
    pub(super) fn legend(&self) -> Vec<(&'static str, String)> {
        let mut legend = vec![("level", "memory that cannot be reclaimed".to_owned())];
        if !self.ceilings.is_empty() {
            legend.push(("ceiling", "ceilings".to_owned()));
        }
        let died = |died: bool| {
            let mut counts: Vec<(&str, usize)> = Vec::new();
            for end in self.sawtooth.ends.iter().filter(|end| end.died == died) {
                match counts.iter_mut().find(|(how, _)| *how == end.how) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((end.how, 1)),
                }
            }
            let told: Vec<String> = counts.iter().map(|(how, count)| format!("{how} {count}x")).collect();
            told.join(", ")
        };
        for (sign, what) in [("died", died(true)), ("ended", died(false))] {
            if !what.is_empty() {
                legend.push((sign, what));
            }
        }
        let said: Vec<String> = self
            .said
            .iter()
            .map(|(at, state)| format!("{} after {}", state.name(), units::seconds(*at)))
            .collect();
        if !said.is_empty() {
            legend.push(("said", format!("said: {}", said.join(", "))));
        }
        for (nth, (at, version)) in self.rollouts.iter().enumerate() {
            let what = format!("{}: version {version}, after {}", letter(nth), units::seconds(*at));
            legend.push(("rollout", what));
        }
        legend
    }

    /// What it shows, in a sentence.
    pub(super) fn caption(&self) -> String {
        let span = units::seconds(self.span);
        match self.began {
            Some(began) => format!("{span} from {} UTC on", time(began)),
            None => format!("{span}, from the first level on"),
        }
    }

    /// The same as text, for where there are no pictures.
    pub(super) fn text(&self, look: crate::terminal::Look) -> String {
        let page = self.sawtooth.text(look);
        let mut text = String::new();
        for line in &page.lines {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{}", line.to_string().trim_end());
        }
        text
    }

    fn drawn(&self, size: &Size) -> Result<String, Broken> {
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (size.width, size.height)).into_drawing_area();
            self.draw(&root, size)?;
            root.present()?;
        }
        Ok(svg)
    }

    fn draw(&self, root: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>, size: &Size) -> Result<(), Broken> {
        let font = |share: f64, colour: &RGBColor| ("sans-serif", size.font * share).into_font().color(colour);
        let x = Scale::new(self.span, size.ticks, &TIMES);
        let y = Scale::new(self.top, 6, &sizes());
        let mut chart = ChartBuilder::on(root)
            .margin(6)
            .margin_right(14)
            .x_label_area_size(30)
            .y_label_area_size((size.font * 5.6) as u32)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .x_labels(size.ticks + 2)
            .y_labels(8)
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .label_style(font(1.0, &TEXT))
            .x_label_formatter(&|at| {
                if *at == 0.0 {
                    "0".to_owned()
                } else {
                    units::seconds(*at)
                }
            })
            .y_label_formatter(&|level| units::bytes(*level as u64))
            .draw()?;
        for (nth, (at, _)) in self.rollouts.iter().enumerate() {
            let line = [(*at, 0.0), (*at, self.top)];
            chart.draw_series([PathElement::new(line, TEXT.stroke_width(1))])?;
            let style = font(1.0, &TEXT).pos(Pos::new(HPos::Left, VPos::Top));
            chart.draw_series([Text::new(format!(" {}", letter(nth)), (*at, self.top), style)])?;
        }
        for piece in self.sawtooth.pieces() {
            let columns = size.width as usize;
            chart.draw_series(LineSeries::new(
                thinned(&piece, self.span, columns),
                LEVEL.stroke_width(2),
            ))?;
            if let [(at, level)] = piece[..] {
                chart.draw_series([Circle::new((at, level), 2, LEVEL.filled())])?;
            }
        }
        for (nth, ceiling) in self.ceilings.iter().enumerate() {
            let line = [(0.0, *ceiling), (self.span, *ceiling)];
            chart.draw_series([PathElement::new(line, CEILING.stroke_width(2))])?;
            // The lowest is named below it, the highest above, so that they do not cover each other.
            let side = match nth {
                0 if self.ceilings.len() > 1 => VPos::Top,
                nth if nth + 1 == self.ceilings.len() => VPos::Bottom,
                _ => continue,
            };
            let style = font(1.0, &CEILING).pos(Pos::new(HPos::Left, side));
            let label = format!(" {}", units::bytes(*ceiling as u64));
            chart.draw_series([Text::new(label, (0.0, *ceiling), style)])?;
        }
        for end in self
            .sawtooth
            .ends
            .iter()
            .filter(|end| (0.0..=self.span).contains(&end.at))
        {
            let level = self.level(end.at);
            if end.died {
                chart.draw_series([Cross::new((end.at, level), 5, CEILING.stroke_width(2))])?;
            } else {
                chart.draw_series([Circle::new((end.at, level), 4, TEXT.stroke_width(1))])?;
            }
        }
        for (at, state) in &self.said {
            let style = SAID.stroke_width(2);
            let style = if rank(*state) > State::Quiet {
                SAID.filled()
            } else {
                style
            };
            chart.draw_series([TriangleMarker::new((*at, 0.0), 6, style)])?;
        }
        Ok(())
    }

    /// The level last read before an instant.
    fn level(&self, at: f64) -> f64 {
        let first = self.sawtooth.levels.first().map_or(0.0, |level| level.0);
        let after = self.sawtooth.levels.partition_point(|level| level.0 - first <= at);
        let before = after.checked_sub(1).and_then(|nth| self.sawtooth.levels.get(nth));
        before.map_or(0.0, |level| level.1)
    }
}

/// From 0 to an end, with ticks that people would choose.
struct Scale {
    end: f64,
    ticks: Vec<f64>,
}

impl Scale {
    fn new(end: f64, most: usize, distances: &[f64]) -> Self {
        Self {
            end,
            ticks: ticks(end, most, distances),
        }
    }
}

impl Ranged for Scale {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        from + (value / self.end * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        0.0..self.end
    }
}

fn letter(nth: usize) -> char {
    char::from(b'A' + (nth % ROLLOUTS) as u8)
}

/// At most the lowest and the highest level of each column.
fn thinned(piece: &[(f64, f64)], span: f64, columns: usize) -> Vec<(f64, f64)> {
    if piece.len() <= 2 * columns {
        return piece.to_vec();
    }
    let column = |at: f64| (at / span * columns as f64) as usize;
    let columns = piece.chunk_by(|a, b| column(a.0) == column(b.0));
    let ends = columns.flat_map(|levels| {
        let by = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let mut two: Vec<(f64, f64)> = [levels.iter().min_by(by), levels.iter().max_by(by)]
            .into_iter()
            .flatten()
            .copied()
            .collect();
        two.sort_by(|a, b| a.0.total_cmp(&b.0));
        two.dedup();
        two
    });
    ends.collect()
}

/// Distances of ticks in time, seconds.
const TIMES: [f64; 23] = [
    1.0,
    2.0,
    5.0,
    10.0,
    15.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    900.0,
    1_800.0,
    3_600.0,
    7_200.0,
    10_800.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    604_800.0,
    1_209_600.0,
    2_592_000.0,
    31_536_000.0,
];

/// Distances of ticks in bytes: powers of two from 1 KiB on.
fn sizes() -> Vec<f64> {
    (10..50).map(|power| f64::from(power).exp2()).collect()
}

/// Multiples of the smallest distance of which there are no more than `most`.
fn ticks(end: f64, most: usize, distances: &[f64]) -> Vec<f64> {
    let fits = distances.iter().find(|distance| end / **distance <= most as f64);
    let distance = fits.copied().unwrap_or(end);
    (0..=(end / distance) as usize)
        .map(|nth| nth as f64 * distance)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(
            ticks(21_600.0, 9, &TIMES),
            [0.0, 3_600.0, 7_200.0, 10_800.0, 14_400.0, 18_000.0, 21_600.0]
        );
        assert_eq!(ticks(540.0 * 1_048_576.0, 6, &sizes()).len(), 5);
        assert_eq!(ticks(0.5, 4, &TIMES), [0.0]);
    }

    #[test]
    fn thinning_keeps_the_extremes() {
        let piece: Vec<(f64, f64)> = (0..10_000u32)
            .map(|nth| (f64::from(nth), if nth == 5_001 { 1e9 } else { f64::from(nth % 7) }))
            .collect();
        let thin = thinned(&piece, 10_000.0, 100);
        assert!(thin.len() <= 202, "{}", thin.len());
        assert!(thin.contains(&(5_001.0, 1e9)));
        assert!(thin.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
