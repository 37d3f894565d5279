//! How pages may look: reads the terminal and the environment, produces width, colour and character set.
#![expect(
    clippy::disallowed_methods,
    reason = "asks standard output what it is, writes nothing"
)]

use std::{
    env,
    io::{self, IsTerminal as _},
};

/// Columns where standard output is no terminal.
const COLUMNS: usize = 100;

/// How a page is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Columns.
    pub width: usize,
    /// Colours: on a terminal, unless `NO_COLOR` is set.
    pub colour: bool,
    /// Nothing but ASCII: where the locale is not UTF-8.
    pub plain: bool,
}

impl Look {
    /// What standard output can show.
    pub fn of_stdout() -> Self {
        Self::of_stdout_as(None, false)
    }

    /// The same, with a width and ASCII where they are asked for.
    pub fn of_stdout_as(width: Option<usize>, plain: bool) -> Self {
        Self {
            width: width.or_else(columns).unwrap_or(COLUMNS).clamp(60, 120),
            colour: is_terminal() && colour(),
            plain: plain || !utf8(),
        }
    }
}

/// Whether standard output is one.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Its width, where it is one and knows it.
fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Whether nobody asked for none (<https://no-color.org>).
pub(super) fn colour() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether the locale's characters are UTF-8: the first of the three that is set decides. Where none is, most terminals'.
pub(crate) fn utf8() -> bool {
    ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()))
        .is_none_or(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        })
}
