//! The terminal that the board is drawn on: taken over, read for keys, and given back as it was, whatever ends the command.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use ratatui::crossterm::event::{self, Event, KeyEventKind};
use rustix::event::{PollFd, PollFlags, Timespec};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use super::source::{News, Source};
use crate::{
    terminal::Look,
    view::top::{Board, Wanted},
};

/// Longest wait for a key: how late a signal, or something new, is seen.
const PATIENCE: Duration = Duration::from_millis(200);

/// Draws until a key or a signal ends it. A panic gives the terminal back before it is told (`ratatui::try_init`).
pub(super) fn run(source: &mut dyn Source, look: Look, plays: bool, paused: bool) -> anyhow::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let stopped = Arc::clone(&stop);
    thread::Builder::new().name("signals".into()).spawn(move || {
        while signals.pending().next().is_none() && !hung_up() {
            thread::sleep(PATIENCE);
        }
        stopped.store(true, Relaxed);
        // Where the terminal itself has gone, waiting for its keys never returns.
        thread::sleep(PATIENCE * 5);
        ratatui::restore();
        std::process::exit(0);
    })?;
    let board = Board::new(plays, paused);
    let mut terminal = ratatui::try_init()?;
    let ended = draw_on(&mut terminal, board, source, look, &stop);
    let restored = ratatui::try_restore();
    ended?;
    Ok(restored?)
}

/// Whether the terminal has gone: a connection broke, and nobody sent a signal.
fn hung_up() -> bool {
    let stdin = std::io::stdin();
    let mut ends = [PollFd::new(&stdin, PollFlags::empty())];
    let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    rustix::event::poll(&mut ends, Some(&Timespec::default())).is_ok() && ends[0].revents().intersects(gone)
}

fn draw_on(
    terminal: &mut ratatui::DefaultTerminal,
    mut board: Board,
    source: &mut dyn Source,
    look: Look,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let mut stale = true;
    while !stop.load(Relaxed) {
        if let Some(news) = source.next(board.paused)? {
            match news {
                News::Watched(instant) => board.show(instant),
                News::Trouble(why) => board.trouble(why),
            }
            stale = true;
        }
        if std::mem::take(&mut stale) {
            terminal.draw(|frame| {
                let area = frame.area();
                board.draw(area, frame.buffer_mut(), look);
            })?;
        }
        if !event::poll(PATIENCE)? {
            continue;
        }
        stale = true;
        let Event::Key(key) = event::read()? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match board.key(key) {
            Wanted::Nothing => {}
            Wanted::Quit => return Ok(()),
            Wanted::Findings(service) => board.findings(source.findings(&service)),
            Wanted::Pause => board.paused = !board.paused,
            Wanted::Step => {
                board.paused = true;
                source.step();
            }
            Wanted::Faster => source.faster(10.0),
            Wanted::Slower => source.faster(0.1),
        }
    }
    Ok(())
}
