//! Lines of a running program: reads a pipe on a thread of its own, produces lines to wait for.

use std::{
    io::{BufRead as _, BufReader, Read},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use serde_json::Value;

/// What a program has written so far, and what it will.
#[derive(Debug)]
pub struct Lines {
    seen: Vec<String>,
    next: Receiver<String>,
}

impl Lines {
    /// Reads `stream` to its end.
    pub fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, next) = channel();
        forward(stream, sender);
        Self { seen: Vec::new(), next }
    }

    /// From a channel that others fill.
    pub const fn from_channel(next: Receiver<String>) -> Self {
        Self { seen: Vec::new(), next }
    }

    /// Waits for the first line, from the beginning, of which `wanted` makes something.
    pub fn wait<T>(&mut self, what: &str, within: Duration, wanted: impl Fn(&str) -> Option<T>) -> Result<T> {
        if let Some(found) = self.seen.iter().find_map(|line| wanted(line)) {
            return Ok(found);
        }
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let end = match self.next.recv_timeout(left) {
                Ok(line) => {
                    let found = wanted(&line);
                    self.seen.push(line);
                    match found {
                        Some(found) => return Ok(found),
                        None => continue,
                    }
                }
                Err(RecvTimeoutError::Timeout) => format!("within {} s", within.as_secs()),
                Err(RecvTimeoutError::Disconnected) => "before its output ended".into(),
            };
            let tail = self.seen[self.seen.len().saturating_sub(30)..].join("\n  ");
            bail!(
                "{what}: not seen {end}. The last of {} lines:\n  {tail}",
                self.seen.len()
            );
        }
    }

    /// Waits until `count` lines, from the beginning, are `wanted`.
    pub fn wait_count(
        &mut self,
        what: &str,
        within: Duration,
        count: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let seen = std::cell::Cell::new(0);
        self.wait(&format!("{what}, {count} times"), within, |line| {
            seen.set(seen.get() + usize::from(wanted(line)));
            (seen.get() >= count).then_some(())
        })
    }

    /// Waits for the first JSON object, from the beginning, of which `wanted` makes something: a finding, a record.
    pub fn wait_json<T>(&mut self, what: &str, within: Duration, wanted: impl Fn(&Value) -> Option<T>) -> Result<T> {
        self.wait(what, within, |line| wanted(&serde_json::from_str(line).ok()?))
    }

    /// The JSON objects that have come by now.
    pub fn json_so_far(&mut self) -> Vec<Value> {
        let lines = self.so_far().iter();
        lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Everything that has come by now.
    pub fn so_far(&mut self) -> &[String] {
        self.seen.extend(self.next.try_iter());
        &self.seen
    }

    /// Everything, once the program has closed its end.
    pub fn to_the_end(mut self) -> Vec<String> {
        self.seen.extend(self.next.iter());
        self.seen
    }
}

/// Sends each line of `stream` until it or the receiver ends.
pub fn forward(stream: impl Read + Send + 'static, sender: Sender<String>) {
    thread::spawn(move || {
        let lines = BufReader::new(stream).split(b'\n').map_while(Result::ok);
        for line in lines {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
        }
    });
}
