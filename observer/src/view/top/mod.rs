//! The board of `observer top`: reads snapshots of what is watched and keys pressed, produces what is to be drawn. It has
//! no clock and does no I/O: live or played back, it is the same.

mod list;
mod opened;
mod rows;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ratatui::{
    buffer::Buffer,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    layout::Rect,
    style::Color,
    widgets::TableState,
};

use super::sawtooth;
use crate::terminal::Look;
pub use rows::{Filter, Instant, Order};
use rows::{Key, Row};

/// Levels remembered of each life, for its trend.
const REMEMBERED: usize = 512;
/// Characters of what is searched for at most.
const SEARCHED: usize = 64;

/// What a key asks of whoever feeds the board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing.
    Nothing,
    /// To end.
    Quit,
    /// The findings about a workload.
    Findings(String),
    /// To hold, or to go on.
    Pause,
    /// To go on by one step, and hold.
    Step,
    /// To play faster.
    Faster,
    /// To play slower.
    Slower,
}

/// The board.
#[derive(Debug, Default)]
pub struct Board {
    instant: Instant,
    rows: Vec<Row>,
    seen: BTreeMap<Key, VecDeque<(f64, u64)>>,
    table: TableState,
    order: Order,
    filter: Filter,
    search: String,
    searching: bool,
    opened: Option<Key>,
    scroll: u16,
    findings: Vec<String>,
    /// It shows a recording, which more keys are for.
    plays: bool,
    /// It holds.
    pub paused: bool,
}

impl Board {
    /// An empty one: of a recording or not, on hold or not.
    pub fn new(plays: bool, paused: bool) -> Self {
        Self {
            plays,
            paused,
            ..Self::default()
        }
    }

    /// Takes what is watched now.
    pub fn show(&mut self, instant: Instant) {
        let rows: Vec<Row> = rows::all(&instant).collect();
        for row in &rows {
            let Some(level) = row.level else { continue };
            let seen = self.seen.entry(row.key.clone()).or_default();
            if seen.back().is_none_or(|(at, _)| *at < instant.now_s) {
                seen.push_back((instant.now_s, level));
            }
            if seen.len() > REMEMBERED {
                seen.pop_front();
            }
        }
        let lives: BTreeSet<&Key> = rows.iter().map(|row| &row.key).collect();
        self.seen.retain(|key, _| lives.contains(key));
        self.instant = instant;
        self.arrange(rows);
    }

    /// Takes why there is nothing newer; what was watched last stays.
    pub fn trouble(&mut self, why: String) {
        self.instant.trouble = Some(why);
    }

    /// Takes the findings about the opened workload, in sentences.
    pub fn findings(&mut self, findings: Vec<String>) {
        self.findings = findings;
    }

    /// Puts what is watched in order again.
    fn sort(&mut self) {
        self.arrange(rows::all(&self.instant).collect());
    }

    /// Shows those of all rows that are wanted, in order; the selected life stays selected.
    fn arrange(&mut self, rows: Vec<Row>) {
        let selected = self.selected().map(|row| row.key.clone());
        self.rows = rows::sorted(rows, self.order, self.filter, &self.search);
        let at = selected.and_then(|key| self.rows.iter().position(|row| row.key == key));
        let last = self.rows.len().checked_sub(1);
        let at = at.or(self.table.selected()).unwrap_or(0);
        self.table.select(last.map(|last| at.min(last)));
    }

    fn selected(&self) -> Option<&Row> {
        self.rows.get(self.table.selected()?)
    }

    /// Does what a key says.
    pub fn key(&mut self, key: KeyEvent) -> Wanted {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            let quit = key.code == KeyCode::Char('c');
            return if quit { Wanted::Quit } else { Wanted::Nothing };
        }
        if self.searching {
            self.type_in(key.code);
            return Wanted::Nothing;
        }
        match key.code {
            KeyCode::Char('q') => return Wanted::Quit,
            KeyCode::Char(' ') => return Wanted::Pause,
            KeyCode::Char('.') | KeyCode::Right if self.plays => return Wanted::Step,
            KeyCode::Char('+' | '=') if self.plays => return Wanted::Faster,
            KeyCode::Char('-') if self.plays => return Wanted::Slower,
            KeyCode::Enter if self.opened.is_none() => return self.open(),
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Left if self.opened.is_some() => self.opened = None,
            KeyCode::Esc => {
                self.search.clear();
                self.filter = Filter::default();
                self.sort();
            }
            KeyCode::Char('/') if self.opened.is_none() => {
                self.searching = true;
                self.search.clear();
                self.sort();
            }
            KeyCode::Char('s') => {
                self.order = self.order.next();
                self.sort();
            }
            KeyCode::Char('f') => {
                self.filter = self.filter.next();
                self.sort();
            }
            code => self.go(code),
        }
        Wanted::Nothing
    }

    fn open(&mut self) -> Wanted {
        let Some(row) = self.selected() else {
            return Wanted::Nothing;
        };
        let (key, service) = (row.key.clone(), row.service.clone());
        self.opened = Some(key);
        self.scroll = 0;
        self.findings.clear();
        Wanted::Findings(service)
    }

    fn type_in(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.searching = false,
            KeyCode::Esc => {
                self.searching = false;
                self.search.clear();
            }
            KeyCode::Backspace => {
                self.search.pop();
            }
            KeyCode::Char(c) if self.search.chars().count() < SEARCHED => self.search.push(c),
            _ => {}
        }
        self.sort();
    }

    fn go(&mut self, code: KeyCode) {
        let by: i32 = match code {
            KeyCode::Down | KeyCode::Char('j') => 1,
            KeyCode::Up | KeyCode::Char('k') => -1,
            KeyCode::PageDown => 10,
            KeyCode::PageUp => -10,
            KeyCode::Home | KeyCode::Char('g') => -1_000_000,
            KeyCode::End | KeyCode::Char('G') => 1_000_000,
            _ => return,
        };
        if self.opened.is_some() {
            let scroll = i32::from(self.scroll).saturating_add(by).clamp(0, 1_000);
            self.scroll = u16::try_from(scroll).unwrap_or(0);
        } else if let Some(last) = self.rows.len().checked_sub(1) {
            let at = self.table.selected().unwrap_or(0) as i32;
            self.table
                .select(Some(at.saturating_add(by).clamp(0, last as i32) as usize));
        }
    }

    /// Draws it, as the terminal can show it.
    pub fn draw(&mut self, area: Rect, buffer: &mut Buffer, look: Look) {
        let opened = self
            .opened
            .as_ref()
            .and_then(|key| Some((key.clone(), rows::find(&self.instant, key)?)));
        if let Some((key, (workload, slot))) = opened {
            self.draw_opened((&key, workload, slot), area, buffer, look.plain);
        } else {
            self.opened = None;
            self.draw_list(area, buffer);
        }
        if look.plain {
            sawtooth::ascii(buffer, area);
        }
        if !look.colour {
            for position in area.positions() {
                if let Some(cell) = buffer.cell_mut(position) {
                    cell.set_fg(Color::Reset).set_bg(Color::Reset);
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "../top_tests.rs"]
mod tests;
