//! Lines over time as SVG: reads points, a unit and a size, produces what Grafana's time series would show of them.

use std::{
    ops::Range,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Result, anyhow};
use plotters::prelude::*;

/// A named line.
pub(crate) struct Line {
    pub(crate) name: String,
    /// Seconds since 1970, and values.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Grafana's classic colours, in its order.
const COLOURS: [RGBColor; 8] = [
    RGBColor(115, 191, 105),
    RGBColor(242, 204, 12),
    RGBColor(87, 148, 242),
    RGBColor(255, 152, 48),
    RGBColor(242, 73, 92),
    RGBColor(184, 119, 217),
    RGBColor(112, 80, 220),
    RGBColor(55, 135, 45),
];

fn colour(nth: usize) -> RGBColor {
    COLOURS[nth % COLOURS.len()]
}

/// The colour of the `nth` line, as CSS has it.
pub(crate) fn hex(nth: usize) -> String {
    let RGBColor(r, g, b) = colour(nth);
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Draws lines; a line breaks where more than two steps are missing.
pub(crate) fn svg(
    lines: &[Line],
    time: Range<f64>,
    step: f64,
    (unit, label): (&str, &str),
    size: (u32, u32),
) -> Result<String> {
    let values = lines.iter().flat_map(|line| line.points.iter().map(|point| point.1));
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    // Grafana begins at 0 only where that is near; a level line lies in the middle.
    let room = if high > low {
        (high - low) * 0.05
    } else {
        high.abs().max(1.0) * 0.5
    };
    let low = if low >= 0.0 { (low - room).max(0.0) } else { low - room };
    let mut text = String::new();
    draw(&mut text, lines, (time, low..high + room), step, (unit, label), size).map_err(|error| anyhow!("{error}"))?;
    Ok(text)
}

fn draw(
    into: &mut String,
    lines: &[Line],
    (time, values): (Range<f64>, Range<f64>),
    step: f64,
    (unit, label): (&str, &str),
    size: (u32, u32),
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let area = SVGBackend::with_string(into, size).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin_top(8)
        .x_label_area_size(22)
        .y_label_area_size(if label.is_empty() { 70 } else { 90 })
        .build_cartesian_2d(time, values)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(221, 221, 221))
        .axis_style(RGBColor(221, 221, 221))
        .x_label_formatter(&|seconds| clock(*seconds))
        .y_label_formatter(&|value| self::text(*value, unit))
        .y_desc(label)
        .draw()?;
    for (nth, line) in lines.iter().enumerate() {
        let mut parts: Vec<Vec<(f64, f64)>> = Vec::new();
        for point in &line.points {
            match parts.last_mut() {
                Some(part) if part.last().is_some_and(|last| point.0 - last.0 <= 2.0 * step) => part.push(*point),
                _ => parts.push(vec![*point]),
            }
        }
        for part in parts {
            if let [point] = part.as_slice() {
                chart.draw_series([Circle::new(*point, 2, colour(nth).filled())])?;
            } else {
                chart.draw_series(LineSeries::new(part, colour(nth).stroke_width(2)))?;
            }
        }
    }
    area.present()
}

/// Hours and minutes, UTC.
fn clock(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60)
}

/// A value in one of Grafana's units.
pub(crate) fn text(value: f64, unit: &str) -> String {
    let scaled = |value: f64, base: f64, names: &[&str]| {
        let steps = (value.abs().max(1.0).ln() / base.ln())
            .floor()
            .min(names.len() as f64 - 1.0);
        format!("{}{}", short(value / base.powf(steps)), names[steps as usize])
    };
    match unit {
        "bytes" => scaled(value, 1_024.0, &[" B", " KiB", " MiB", " GiB", " TiB"]),
        "percentunit" => format!("{}%", short(value * 100.0)),
        "s" => match value.abs() {
            0.0..1e-3 => format!("{} µs", short(value * 1e6)),
            1e-3..1.0 => format!("{} ms", short(value * 1e3)),
            1.0..60.0 => format!("{} s", short(value)),
            60.0..3_600.0 => format!("{} mins", short(value / 60.0)),
            3_600.0..86_400.0 => format!("{} hours", short(value / 3_600.0)),
            86_400.0..604_800.0 => format!("{} days", short(value / 86_400.0)),
            _ => format!("{} weeks", short(value / 604_800.0)),
        },
        "dateTimeAsIso" => {
            let instant = UNIX_EPOCH + Duration::from_millis(value.max(0.0) as u64);
            humantime::format_rfc3339_seconds(instant).to_string()
        }
        _ => scaled(value, 1_000.0, &["", " K", " Mil", " Bil"]),
    }
}

/// Three digits.
fn short(value: f64) -> String {
    let digits = (2.0 - value.abs().max(1e-9).log10().floor()).clamp(0.0, 3.0) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}
