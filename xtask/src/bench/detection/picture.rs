//! A series as a picture: reads its rows and what was said of it, produces SVG to look at.

use std::fmt::Write;

use observer_core::detect::State;

use observer_tests::catalogue::simulate::Series;

use super::score::Outcome;

const WIDTH: f64 = 1_100.0;
const HEIGHT: f64 = 320.0;

/// Level, limit, deaths and verdicts over time.
pub(crate) fn svg(series: &Series, outcome: &Outcome) -> String {
    let end = series.rows.last().map_or(1.0, |row| row.t);
    let top = series
        .rows
        .iter()
        .map(|row| row.anon.max(row.limit))
        .fold(1.0, f64::max)
        * 1.05;
    let x = |t: f64| t / end * WIDTH;
    let y = |bytes: f64| HEIGHT - bytes / top * HEIGHT;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 -24 {WIDTH} {:.0}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect y=\"-24\" width=\"{WIDTH}\" height=\"{:.0}\" fill=\"white\"/>\n",
        HEIGHT + 30.0,
        HEIGHT + 30.0
    );
    let every = (series.rows.len() / 3_000).max(1);
    let mut path = String::new();
    let mut limit = String::new();
    let mut run = u64::MAX;
    for row in series.rows.iter().step_by(every) {
        let verb = if row.run == run { 'L' } else { 'M' };
        run = row.run;
        let _ = write!(path, "{verb}{:.1} {:.1}", x(row.t), y(row.anon));
        let verb = if limit.is_empty() { 'M' } else { 'L' };
        let _ = write!(limit, "{verb}{:.1} {:.1}", x(row.t), y(row.limit));
    }
    let _ = writeln!(
        text,
        "<path d=\"{limit}\" fill=\"none\" stroke=\"#c33\" stroke-dasharray=\"4 3\"/>"
    );
    let _ = writeln!(text, "<path d=\"{path}\" fill=\"none\" stroke=\"#247\"/>");
    for (_, death) in &series.deaths {
        let at = x(*death);
        let _ = writeln!(
            text,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"0\" y2=\"{HEIGHT}\" stroke=\"#c33\" stroke-width=\"0.5\"/>"
        );
    }
    for (t, state) in &outcome.states {
        let (letter, colour) = match state {
            State::Suspected => ('s', "#999"),
            State::Likely => ('L', "#e80"),
            State::Confirmed => ('C', "#c00"),
            State::Resolved => ('v', "#090"),
            _ => ('r', "#393"),
        };
        let at = x(*t);
        let _ = writeln!(
            text,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"0\" y2=\"{HEIGHT}\" stroke=\"{colour}\"/><text x=\"{at:.1}\" y=\"12\" fill=\"{colour}\">{letter}</text>"
        );
    }
    let _ = writeln!(
        text,
        "<text x=\"4\" y=\"-8\">{} seed {}: {:.1} days, {:.0} s apart</text>\n</svg>",
        outcome.kind,
        outcome.seed,
        end / 86_400.0,
        series.spec.interval
    );
    text
}
