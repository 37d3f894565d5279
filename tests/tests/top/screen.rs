//! A terminal of a test's own: reads a command, runs it on a pseudo-terminal, produces the screen as a person sees it, and
//! presses keys.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    num::NonZero,
    os::fd::OwnedFd,
    process::{Child, Command, ExitStatus},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Termios, Winsize, tcgetattr, tcsetwinsize},
};

use observer_tests::agent::DEADLINE;

/// A program on a terminal.
pub(crate) struct Screen {
    child: Child,
    terminal: File,
    /// The other end, held open so that its settings can be asked for when the program has ended.
    inside: OwnedFd,
    before: Termios,
    shown: Arc<Mutex<vt100::Parser>>,
}

impl Screen {
    /// Starts it on a terminal of this size.
    pub(crate) fn start(command: &mut Command, columns: u16, rows: u16) -> Result<Self> {
        let outside = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).context("no pseudo-terminal")?;
        grantpt(&outside)?;
        unlockpt(&outside)?;
        let name = ptsname(&outside, Vec::new())?;
        let inside = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        let before = tcgetattr(&inside)?;
        let terminal = File::from(outside);
        let mut screen = Self {
            child: command
                .env("TERM", "xterm-256color")
                .env("LC_ALL", "C.UTF-8")
                .stdin(inside.try_clone()?)
                .stdout(inside.try_clone()?)
                .stderr(inside.try_clone()?)
                .spawn()?,
            terminal,
            inside,
            before,
            shown: Arc::new(Mutex::new(vt100::Parser::new(cells(rows)?, cells(columns)?, 0))),
        };
        screen.resize(columns, rows)?;
        let (mut output, shown) = (screen.terminal.try_clone()?, Arc::clone(&screen.shown));
        thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
                shown.process(bytes.get(..count).unwrap_or_default());
            }
        });
        Ok(screen)
    }

    /// Another size.
    pub(crate) fn resize(&mut self, columns: u16, rows: u16) -> Result<()> {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.terminal, size)?;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.screen_mut().set_size(cells(rows)?, cells(columns)?);
        Ok(())
    }

    /// Types these characters.
    pub(crate) fn press(&mut self, keys: &str) -> Result<()> {
        self.terminal.write_all(keys.as_bytes()).context("the terminal is gone")
    }

    /// What is on it, a line each.
    pub(crate) fn text(&self) -> String {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.screen().contents()
    }

    /// Whether a program has taken it over.
    pub(crate) fn is_taken_over(&self) -> bool {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.screen().alternate_screen()
    }

    /// Waits until it shows what is wanted.
    pub(crate) fn wait(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let text = self.text();
            if wanted(&text) {
                return Ok(text);
            }
            if Instant::now() > deadline {
                bail!("{what}: not shown in time, but\n{text}");
            }
            // The look-out for what a program draws, which announces nothing.
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The program's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end; whether the terminal is as it was: its settings, its screen, its cursor.
    pub(crate) fn end(&mut self) -> Result<(ExitStatus, bool)> {
        let status = self.child.wait()?;
        let now = tcgetattr(&self.inside)?;
        let settings = (now.local_modes, now.input_modes, now.output_modes)
            == (
                self.before.local_modes,
                self.before.input_modes,
                self.before.output_modes,
            );
        // What it wrote last may still be on its way.
        let deadline = Instant::now() + DEADLINE;
        while self.is_taken_over() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let screen = shown.screen();
        let visible = !screen.alternate_screen() && !screen.hide_cursor();
        Ok((status, settings && visible))
    }
}

fn cells(count: u16) -> Result<NonZero<u16>> {
    NonZero::new(count).context("a terminal of no size")
}

impl Drop for Screen {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
