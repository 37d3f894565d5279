//! The dashboards as pictures: reads their files and what a server answers to their queries, produces a page of each with the
//! panels where Grafana has them, and a PNG of it where there is a Chromium.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use observer_tests::{
    backend::Backend,
    fleet::dashboards::{DASHBOARDS, directory, encoded},
    places,
};
use serde_json::Value;

use crate::plot::{self, Line, text};

/// Pixels of one of the 24 columns, and of a row, as Grafana has them.
const COLUMN: u64 = 60;
const ROW: u64 = 38;
/// Pixels around a panel's content: its border, and its title.
const AROUND: u64 = 20;
const TITLE: u64 = 26;
/// Pixels of a line of a legend, and how many lines there are at most.
const LEGEND: u64 = 18;
const MOST: usize = 6;

/// When, and of what.
pub(crate) struct View<'a> {
    pub(crate) server: &'a Backend,
    /// Seconds since 1970, and hours before it.
    pub(crate) end: f64,
    pub(crate) hours: f64,
    /// The value of `$workload`, a regular expression.
    pub(crate) workload: &'a str,
}

/// Draws all dashboards into a directory.
pub(crate) fn draw(view: &View<'_>, into: &Path) -> Result<()> {
    fs::create_dir_all(into)?;
    for name in DASHBOARDS {
        let dashboard: Value = serde_json::from_slice(&fs::read(directory().join(name))?)?;
        let panels = dashboard["panels"].as_array().context("no panels")?;
        let drawn = panels
            .iter()
            .map(|panel| view.panel(panel))
            .collect::<Result<Vec<_>>>()?;
        let bottom = panels.iter().map(|panel| number(panel, "y") + number(panel, "h")).max();
        let (width, height) = (24 * COLUMN, bottom.unwrap_or(0) * ROW);
        let page = html! {
            (DOCTYPE)
            html { head { meta charset="utf-8"; style { (PreEscaped(STYLE)) } } body { @for panel in &drawn { (panel) } } }
        };
        let path = into.join(name).with_extension("html");
        fs::write(&path, page.into_string())?;
        if let Some(chromium) = places::program("chromium") {
            let output = Command::new(chromium)
                .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
                .arg(format!("--window-size={width},{height}"))
                .arg(format!("--screenshot={}", path.with_extension("png").display()))
                .arg(format!("file://{}", fs::canonicalize(&path)?.display()))
                .output()
                .context("cannot start Chromium")?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        println!("fleet: drawn: {}", path.display());
    }
    Ok(())
}

const STYLE: &str = "body{margin:0;background:#f4f5f5;font:12px sans-serif;position:relative}\
section{position:absolute;box-sizing:border-box;background:#fff;border:1px solid #ddd;padding:4px 9px;overflow:hidden}\
h2{font-size:13px;margin:2px 0 5px}h2 small{font-weight:normal;color:#777}\
table{border-collapse:collapse}td,th{text-align:left;padding:2px 12px 2px 0}\
i{display:inline-block;width:12px;height:3px;margin:0 4px 3px 10px}b{font-size:34px;color:#37872d}p{margin:0;height:18px;white-space:nowrap}";

fn number(panel: &Value, field: &str) -> u64 {
    panel["gridPos"][field].as_u64().unwrap_or(0)
}

impl View<'_> {
    fn panel(&self, panel: &Value) -> Result<Markup> {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|field| number(panel, field));
        let (width, height) = (w * COLUMN - AROUND, h * ROW - AROUND - TITLE);
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap_or_default();
        let content = match panel["type"].as_str() {
            Some("stat") => self.stat(panel, unit)?,
            Some("table") => self.table(panel, unit)?,
            _ => self.lines(panel, unit, (width, height))?,
        };
        let place = format!(
            "left:{}px;top:{}px;width:{}px;height:{}px",
            x * COLUMN + 3,
            y * ROW + 3,
            w * COLUMN - 6,
            h * ROW - 6
        );
        let said = |field: &str| panel[field].as_str().unwrap_or_default().to_owned();
        Ok(html! {
            section style=(place) { h2 { (said("title")) " " small { (said("description")) } } (content) }
        })
    }

    /// What the server answers to a panel's queries: labels and value, or labels and points, of each series.
    fn ask(&self, target: &Value, range: Option<f64>) -> Result<Vec<Value>> {
        let expression = target["expr"].as_str().context("no expression")?;
        let expression = expression
            .replace("$workload", self.workload)
            .replace("$job", ".*")
            .replace("$agent", ".*");
        let (query, end) = (encoded(&expression), self.end);
        let path = match range {
            Some(step) => {
                let start = end - self.hours * 3_600.0;
                format!("/api/v1/query_range?query={query}&start={start}&end={end}&step={step}")
            }
            None => format!("/api/v1/query?query={query}&time={end}"),
        };
        let mut answer = self.server.ask(&path)?;
        match answer["data"]["result"].take() {
            Value::Array(list) => Ok(list),
            other => anyhow::bail!("{expression}: {other}"),
        }
    }

    fn stat(&self, panel: &Value, unit: &str) -> Result<Markup> {
        let answer = self.ask(&panel["targets"][0], None)?;
        let value = answer.first().and_then(|sample| value(&sample["value"][1]));
        Ok(html! { b { (value.map_or_else(|| "No data".to_owned(), |value| text(value, unit))) } })
    }

    /// Rows by their labels, as Grafana merges tables, with its names of columns.
    fn table(&self, panel: &Value, unit: &str) -> Result<Markup> {
        let targets = panel["targets"].as_array().context("no targets")?;
        let transformed = panel["transformations"].as_array().into_iter().flatten();
        let organized = transformed
            .filter(|of| of["id"] == "organize")
            .map(|of| &of["options"])
            .next();
        let organized = organized.unwrap_or(&Value::Null);
        let of_column = |column: &str| -> Option<String> {
            let overrides = panel["fieldConfig"]["overrides"].as_array()?.iter();
            let mut of = overrides.filter(|one| one["matcher"]["options"] == column);
            let properties = of.next()?["properties"].as_array()?.iter();
            let mut units = properties.filter(|property| property["id"] == "unit");
            units.next()?["value"].as_str().map(str::to_owned)
        };
        let mut rows: BTreeMap<BTreeMap<String, String>, BTreeMap<String, String>> = BTreeMap::new();
        let mut columns = Vec::new();
        for target in targets {
            let column = match targets.len() {
                1 => "Value".to_owned(),
                _ => format!("Value #{}", target["refId"].as_str().unwrap_or_default()),
            };
            let renamed = organized["renameByName"][&column]
                .as_str()
                .unwrap_or(&column)
                .to_owned();
            let unit = of_column(&renamed).unwrap_or_else(|| unit.to_owned());
            for sample in self.ask(target, None)? {
                let mut labels: BTreeMap<String, String> = serde_json::from_value(sample["metric"].clone())?;
                labels.retain(|name, _| organized["excludeByName"][name] != true);
                if let Some(value) = value(&sample["value"][1]) {
                    rows.entry(labels)
                        .or_default()
                        .insert(renamed.clone(), text(value, &unit));
                }
            }
            columns.push(renamed);
        }
        let labels: BTreeSet<&String> = rows.keys().flat_map(BTreeMap::keys).collect();
        Ok(html! {
            @if rows.is_empty() { "No data" } @else {
                table {
                    tr { @for label in &labels {
                        th { (organized["renameByName"][label.as_str()].as_str().unwrap_or(label)) }
                    } @for column in &columns { th { (column) } } }
                    @for (of, values) in &rows { tr {
                        @for label in &labels { td { (of.get(*label).map_or("", String::as_str)) } }
                        @for column in &columns { td { (values.get(column).map_or("", String::as_str)) } }
                    } }
                }
            }
        })
    }

    fn lines(&self, panel: &Value, unit: &str, (width, height): (u64, u64)) -> Result<Markup> {
        let step = (self.hours * 3_600.0 / width as f64 / 15.0).ceil() * 15.0;
        let mut lines = Vec::new();
        for target in panel["targets"].as_array().context("no targets")? {
            for series in self.ask(target, Some(step))? {
                let labels: BTreeMap<String, String> = serde_json::from_value(series["metric"].clone())?;
                let points = series["values"].as_array().into_iter().flatten();
                let point = |pair: &Value| Some((pair[0].as_f64()?, value(&pair[1])?));
                lines.push(Line {
                    name: legend(target["legendFormat"].as_str().unwrap_or_default(), &labels),
                    points: points.filter_map(point).collect(),
                });
            }
        }
        lines.sort_by(|a, b| a.name.cmp(&b.name));
        if lines.is_empty() {
            return Ok(html! { "No data" });
        }
        let said = lines.len().min(MOST).div_ceil(3) as u64;
        let range = (self.end - self.hours * 3_600.0)..self.end;
        let label = panel["fieldConfig"]["defaults"]["custom"]["axisLabel"]
            .as_str()
            .unwrap_or_default();
        let drawn = plot::svg(
            &lines,
            range,
            step,
            (unit, label),
            (width as u32, (height - said * LEGEND) as u32),
        )?;
        let shown: Vec<_> = lines.iter().take(MOST).enumerate().collect();
        Ok(html! {
            (PreEscaped(drawn))
            @for some in shown.chunks(3) { p { @for (nth, line) in some {
                i style=(format!("background:{}", plot::hex(*nth))) {} (line.name)
            } @if lines.len() > MOST && some.len() == 3 && some[0].0 > 0 { " and " (lines.len() - MOST) " more" } } }
        })
    }
}

fn value(text: &Value) -> Option<f64> {
    text.as_str()?.parse().ok().filter(|value: &f64| value.is_finite())
}

/// A legend with its labels filled in, or all of them where it has no text.
fn legend(format: &str, labels: &BTreeMap<String, String>) -> String {
    if format.is_empty() {
        return format!("{labels:?}");
    }
    let mut parts = format.split("{{");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // A label that a series does not have is nothing.
        let (name, rest) = part.split_once("}}").unwrap_or(("", part));
        text += labels.get(name).map_or("", String::as_str);
        text += rest;
    }
    text
}
