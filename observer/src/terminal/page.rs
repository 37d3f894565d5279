//! Standard output and standard error: reads pages and lines, produces bytes without anything in them that a terminal
//! would act on, colours of our own aside.
#![expect(clippy::disallowed_methods, reason = "the one way out to a person")]

use std::{
    fmt::{self, Display},
    io::{self, IsTerminal as _, Write},
};

use ratatui::{
    backend::IntoCrossterm as _,
    style::Style,
    text::{Line, Text},
};
use serde::Serialize;
use serde_json::Value;

use super::{clean, look, text};

/// What has been made fit to be written to a terminal. Only this module makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed(String);

impl Printed {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Writes it to standard output, at once.
    pub fn print(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(self.0.as_bytes())?;
        out.flush()
    }
}

/// A page: its lines, each with its line end. What stands in a span is shown, whatever it is; only styles colour it.
pub fn rendered<'a>(page: impl Into<Text<'a>>, colour: bool) -> Printed {
    let page = page.into();
    let mut out = String::new();
    for line in &page.lines {
        push(&mut out, line, page.style, colour);
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
    Printed(out)
}

fn push(out: &mut String, line: &Line<'_>, style: Style, colour: bool) {
    for span in &line.spans {
        let text = text::visible(&span.content);
        let style = style.patch(line.style).patch(span.style);
        if colour && style != Style::default() {
            *out += &style.into_crossterm().apply(text).to_string();
        } else {
            *out += &text;
        }
    }
}

/// One line of JSON, with its line end. What cannot be seen is escaped as JSON has it: the value is the same.
pub fn json(value: &impl Serialize) -> serde_json::Result<Printed> {
    let json = serde_json::to_string(value)?;
    Ok(Printed(text::visible_json(&json).into_owned() + "\n"))
}

/// The same of what is JSON already.
pub fn json_value(value: &Value) -> Printed {
    Printed(text::visible_json(&value.to_string()).into_owned() + "\n")
}

/// Writes text as it is, for a file or another program: what this program made itself, or what a command that it was told
/// to run prints, as that would have printed it without us.
pub fn pass_on(text: &[u8], to_stderr: bool) -> io::Result<()> {
    if to_stderr {
        return io::stderr().lock().write_all(text);
    }
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()
}

/// Prints a page.
pub fn print<'a>(page: impl Into<Text<'a>>) -> io::Result<()> {
    rendered(page, look::is_terminal() && look::colour()).print()
}

/// Standard output for lines that are many: what is written to it comes out as [`text::visible_lines`] shows it.
pub fn stdout() -> impl Write {
    Visible {
        out: io::stdout().lock(),
        rest: Vec::new(),
    }
}

/// Makes what passes through it visible, line by line.
struct Visible<W: Write> {
    out: W,
    /// The beginning of a line whose end has not come yet.
    rest: Vec<u8>,
}

impl<W: Write> Visible<W> {
    fn pass(&mut self, bytes: usize) -> io::Result<()> {
        let done: Vec<u8> = self.rest.drain(..bytes).collect();
        let done = String::from_utf8_lossy(&done);
        self.out.write_all(text::visible_lines(&done).as_bytes())
    }
}

impl<W: Write> Drop for Visible<W> {
    fn drop(&mut self) {
        // Whoever wants to know flushes it.
        let _ = self.flush();
    }
}

impl<W: Write> Write for Visible<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let before = self.rest.len();
        self.rest.extend_from_slice(bytes);
        if let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') {
            self.pass(before + end + 1)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass(self.rest.len())?;
        self.out.flush()
    }
}

/// One line about the agent itself, to standard error.
pub fn say(line: impl Display) {
    // Standard error may be closed; the agent goes on.
    let _ = writeln!(io::stderr().lock(), "{}", said(&line));
}

/// Several lines of a message that is not about the agent, to standard error.
pub fn complain(message: impl Display) {
    let _ = write!(io::stderr().lock(), "{}", text::visible_lines(&message.to_string()));
}

fn said(line: &dyn Display) -> String {
    format!("observer: {}", clean::sentence(&line.to_string()))
}

/// How far something is: on a terminal's standard error, in place of what was said before; nowhere else.
pub fn progress(line: fmt::Arguments<'_>) {
    let mut out = io::stderr().lock();
    if out.is_terminal() {
        // Progress that cannot be shown is not worth ending for.
        let _ = write!(out, "\r{}\x1b[K", text::cut(&line.to_string(), 79));
        let _ = out.flush();
    }
}

/// Takes the last [`progress`] away.
pub fn progress_done() {
    let mut out = io::stderr().lock();
    if out.is_terminal() {
        let _ = write!(out, "\r\x1b[K");
        let _ = out.flush();
    }
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
