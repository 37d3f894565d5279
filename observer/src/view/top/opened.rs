//! One life opened: draws its sawtooth, and tells its run, what grows in its heap, where its memory is, its ended runs, its
//! versions and its findings.

use observer_core::{
    engine::view::{SlotView, WorkloadView},
    identity::Version,
    telemetry::{self, units},
    time::SECOND,
};
use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::{Style, Stylize as _},
    text::{Line, Text},
    widgets::{Paragraph, Widget as _, Wrap},
};

use super::{Board, rows::Key};
use crate::{
    terminal::{clean, text},
    view::{case, sawtooth::Sawtooth, workloads::instance},
};

impl Board {
    pub(super) fn draw_opened(
        &self,
        (key, workload, slot): (&Key, &WorkloadView, &SlotView),
        area: Rect,
        buffer: &mut Buffer,
        plain: bool,
    ) {
        let [head, plot, body, foot] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length((area.height / 2).clamp(6, 16)),
            Constraint::Min(1),
            Constraint::Length(1),
        ])
        .areas(area);
        let on = if key.node.is_empty() { "" } else { "  on " };
        let title = format!("{}  {}  {}{on}{}", key.workload, slot.state.name(), key.slot, key.node);
        let title = text::cut(&title, usize::from(area.width)).into_owned();
        Line::from(title.bold()).render(head, buffer);
        self.sawtooth(key, slot).draw(plot, buffer, plain);
        Paragraph::new(self.told(workload, slot))
            .wrap(Wrap { trim: false })
            .scroll((self.scroll, 0))
            .render(body, buffer);
        let mut keys = vec!["Esc".bold(), " back  ".into(), "Up Down".bold(), " scroll  ".into()];
        keys.extend(["q".bold(), " quit  ".into()]);
        keys.extend(self.playing());
        Line::from(keys).render(foot, buffer);
    }

    /// What the agent remembers of it; else what was seen since this board is shown.
    fn sawtooth(&self, key: &Key, slot: &SlotView) -> Sawtooth {
        let known = case::of_slot("", slot);
        let seen = || self.seen.get(key).into_iter().flatten();
        let remembered = known.levels.len() > 1;
        Sawtooth {
            ceiling: known.ceiling,
            ends: if remembered { known.ends } else { Vec::new() },
            levels: if remembered {
                known.levels
            } else {
                seen().map(|(at, level)| (*at, *level as f64)).collect()
            },
        }
    }

    fn told(&self, workload: &WorkloadView, slot: &SlotView) -> Text<'static> {
        let mut told: Vec<Line<'static>> = Vec::new();
        let heading = |text: &'static str| Line::styled(text, Style::new().bold());
        if let Some(run) = &slot.current {
            told.push(Line::from(format!(
                "run {} of {}, version {}: {} of {}, peak {}",
                run.run,
                clean::name(&instance(slot, run)),
                version(run.version.as_ref()),
                run.level.map_or_else(|| "-".to_owned(), units::bytes),
                run.ceiling.map_or_else(|| "-".to_owned(), telemetry::ceiling_words),
                units::bytes(run.peak)
            )));
        }
        if let Some(slope) = slot.slope_bytes_per_hour {
            let left = slot.time_to_ceiling_s.map_or_else(
                || "no ceiling in reach".to_owned(),
                |left| format!("{} to its ceiling", units::seconds(left)),
            );
            told.push(Line::from(format!("grows by {}: {left}", units::rate(slope))));
        }
        if let Some(diagnosis) = &slot.diagnosis {
            told.push(heading("what grows in its heap"));
            let grew = telemetry::grew(diagnosis);
            told.extend(
                grew.iter()
                    .map(|sentence| Line::from(format!("  {}", clean::sentence(sentence)))),
            );
            let whereabouts = telemetry::whereabouts(diagnosis);
            if !whereabouts.is_empty() {
                told.push(heading("where its memory is"));
            }
            told.extend(
                whereabouts
                    .into_iter()
                    .map(|sentence| Line::from(format!("  {sentence}"))),
            );
        }
        if !self.findings.is_empty() {
            told.push(heading("findings, the newest first"));
            let newest = self.findings.iter().rev();
            told.extend(newest.map(|finding| Line::from(format!("  {finding}"))));
        }
        if !slot.ended.is_empty() {
            told.push(heading("ended runs, the newest first"));
        }
        told.extend(slot.ended.iter().rev().map(|run| {
            Line::from(format!(
                "  run {}: {} after {}, peak {}, version {}",
                run.run,
                run.cause().name(),
                units::seconds(run.duration_ns() as f64 / SECOND as f64),
                units::bytes(run.peak),
                version(run.version.as_ref()),
            ))
        }));
        if workload.releases.len() > 1 {
            told.push(heading("versions"));
            told.extend(workload.releases.iter().map(|release| {
                let name = version(release.version.as_ref());
                Line::from(format!("  {name}: {} runs, {}", release.runs, release.state.name()))
            }));
        }
        Text::from(told)
    }
}

fn version(version: Option<&Version>) -> String {
    version.map_or_else(|| "unknown".to_owned(), |version| clean::name(&version.0).into_owned())
}
