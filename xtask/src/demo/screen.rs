//! The demo's terminal: reads what was seen and said, produces a table that is redrawn in place below the findings,
//! and plain lines where the output is no terminal.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use observer_core::kernel::ExitStatus;
use serde_json::Value;

use super::{services::Services, stage::SERVICES};

/// Between two progress lines where there is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(15);
/// Narrowest and widest layout, columns.
const WIDTHS: (usize, usize) = (60, 110);
const MIB: u64 = 1 << 20;

/// Where the demo draws.
pub(super) struct Screen {
    terminal: bool,
    colour: bool,
    width: usize,
    started: Instant,
    last_plain: Instant,
    /// Lines of the live table on the terminal now.
    drawn: usize,
}

impl Screen {
    pub(super) fn new() -> Self {
        let terminal = io::stdout().is_terminal();
        let columns = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col));
        let width = if columns == 0 { 100 } else { columns };
        Self {
            terminal,
            colour: terminal && std::env::var_os("NO_COLOR").is_none(),
            width: width.clamp(WIDTHS.0, WIDTHS.1),
            started: Instant::now(),
            last_plain: Instant::now(),
            drawn: 0,
        }
    }

    /// A line that stays.
    pub(super) fn say(&mut self, line: &str) {
        self.erase();
        println!("{line}");
    }

    /// A heading that stays.
    pub(super) fn heading(&mut self, text: &str) {
        let painted = self.paint("1", text);
        self.say(&format!("\n{painted}"));
    }

    /// A finding, as the agent printed it.
    pub(super) fn finding(&mut self, finding: &Value) {
        let severity = finding["severity"].as_str().unwrap_or("INFO");
        let code = match severity {
            "ERROR" => "1;31",
            "WARN" => "33",
            _ => "36",
        };
        let service = finding["resource"]["service.name"].as_str().unwrap_or("(agent)");
        let event = finding["event"].as_str().unwrap_or("?");
        let event = event.strip_prefix("observer.").unwrap_or(event);
        let head = format!(
            "  {}  {} {event}",
            self.clock(),
            self.paint(code, &format!("{service:<11}"))
        );
        self.say(&head);
        let body = finding["body"].as_str().unwrap_or_default();
        for line in wrap(body, self.width - 9) {
            let painted = self.paint("2", &line);
            self.say(&format!("         {painted}"));
        }
    }

    /// A line of the verdict, behind its mark.
    pub(super) fn verdict(&mut self, mark: &str, text: &str) {
        for (index, line) in wrap(text, self.width - 6).into_iter().enumerate() {
            let mark = if index == 0 && !mark.is_empty() { mark } else { " " };
            self.say(&format!("  {mark} {line}"));
        }
    }

    /// The table of services, in place of the last one.
    pub(super) fn table(&mut self, seen: &Services, waiting_for: &str) {
        if !self.terminal {
            if self.last_plain.elapsed() >= PLAIN_EVERY {
                self.last_plain = Instant::now();
                let levels = SERVICES.map(|service| format!("{} {}", service.name, level(seen, service.name)));
                println!("  {}  {}", self.clock(), levels.join(", "));
            }
            return;
        }
        self.erase();
        let bar = self.width.saturating_sub(56).clamp(10, 40);
        let mut lines = vec![String::new()];
        for service in &SERVICES {
            let state = seen.of(service.name);
            let share = state.limit.map_or(0.0, |limit| state.usage as f64 / limit as f64);
            let full = ((share * bar as f64).round() as usize).min(bar);
            let code = if share >= 0.8 {
                "31"
            } else if share >= 0.6 {
                "33"
            } else {
                "32"
            };
            let drawn = self.paint(code, &"█".repeat(full)) + &self.paint("2", &"░".repeat(bar - full));
            let name = self.paint("1", &format!("{:<11}", service.name));
            lines.push(format!(
                "  {name} {drawn} {:>13}  run {:<2} {}",
                level(seen, service.name),
                state.runs,
                end(&state)
            ));
        }
        let waiting = format!("  {}  waiting for: {waiting_for}  (Ctrl-C ends)", self.clock());
        lines.push(self.paint("2", &waiting));
        for line in &lines {
            println!("{line}");
        }
        self.drawn = lines.len();
        // A terminal that is gone is nobody's loss.
        let _ = io::stdout().flush();
    }

    /// Takes the table away.
    pub(super) fn erase(&mut self) {
        if self.drawn > 0 {
            print!("\x1b[{}F\x1b[J", self.drawn);
            self.drawn = 0;
        }
    }

    /// Colours by an SGR code where colours are wanted.
    pub(super) fn paint(&self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn clock(&self) -> String {
        let seconds = self.started.elapsed().as_secs();
        format!("{:02}:{:02}", seconds / 60, seconds % 60)
    }
}

fn level(seen: &Services, name: &str) -> String {
    let state = seen.of(name);
    match state.limit {
        Some(limit) if state.usage > 0 => format!("{} / {} MiB", state.usage / MIB, limit / MIB),
        Some(_) => "down".to_owned(),
        None => "not seen yet".to_owned(),
    }
}

fn end(state: &super::services::ServiceState) -> String {
    match (state.oom_kills, state.last_end) {
        (0, None) => String::new(),
        (0, Some(ExitStatus::Code(code))) => format!("ended with {code}"),
        (0, Some(ExitStatus::Signal(signal))) => format!("ended by signal {signal}"),
        (kills, _) => format!("OOM-killed {kills}x"),
    }
}

/// Words in lines of at most `width` columns.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn words_are_never_cut() {
        assert_eq!(wrap("a bb ccc dddd", 6), ["a bb", "ccc", "dddd"]);
        assert_eq!(wrap("a-very-long-word b", 6), ["a-very-long-word", "b"]);
        assert!(wrap("", 10).is_empty());
    }
}
