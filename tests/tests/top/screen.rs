//! A terminal of a test's own: reads a command, runs it on a pseudo-terminal, produces the screen as a person sees it, and
//! presses keys.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    num::NonZero,
    os::fd::OwnedFd,
    process::{Child, Command, ExitStatus},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Termios, Winsize, tcgetattr, tcsetwinsize},
};

use observer_tests::agent::DEADLINE;

/// A program on a terminal.
pub(crate) struct Screen {
    child: Child,
    terminal: Option<File>,
    /// The other end, held open so that its settings can be asked for when the program has ended.
    inside: OwnedFd,
    before: Termios,
    shown: Arc<Mutex<vt100::Parser>>,
    /// The terminal has gone.
    gone: Arc<AtomicBool>,
}

impl Screen {
    /// Starts it on a terminal of this size.
    pub(crate) fn start(command: &mut Command, columns: u16, rows: u16) -> Result<Self> {
        let outside =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).context("no pseudo-terminal")?;
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
            terminal: Some(terminal),
            inside,
            before,
            gone: Arc::default(),
            shown: Arc::new(Mutex::new(vt100::Parser::new(cells(rows)?, cells(columns)?, 0))),
        };
        screen.resize(columns, rows)?;
        let (mut output, shown) = (
            terminal_of(screen.terminal.as_ref())?.try_clone()?,
            Arc::clone(&screen.shown),
        );
        let gone = Arc::clone(&screen.gone);
        thread::spawn(move || {
            let mut bytes = [0; 4_096];
            let patience = Timespec {
                tv_sec: 0,
                tv_nsec: 50_000_000,
            };
            while !gone.load(Relaxed) {
                if poll(&mut [PollFd::new(&output, PollFlags::IN)], Some(&patience)).ok() == Some(0) {
                    continue;
                }
                let Ok(count @ 1..) = output.read(&mut bytes) else {
                    break;
                };
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
        tcsetwinsize(terminal_of(self.terminal.as_ref())?, size)?;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.screen_mut().set_size(cells(rows)?, cells(columns)?);
        Ok(())
    }

    /// Types these characters.
    pub(crate) fn press(&mut self, keys: &str) -> Result<()> {
        let mut terminal = terminal_of(self.terminal.as_ref())?;
        terminal.write_all(keys.as_bytes()).context("the terminal is gone")
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

    /// Closes the terminal, as a connection that breaks does, and waits for the program's end.
    pub(crate) fn hang_up(mut self) -> Result<ExitStatus> {
        self.gone.store(true, Relaxed);
        self.terminal = None;
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("it goes on without a terminal");
            }
            thread::sleep(Duration::from_millis(20));
        }
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

fn terminal_of(terminal: Option<&File>) -> Result<&File> {
    terminal.context("the terminal is gone")
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
