//! An error with its causes, on one line: many libraries' own messages leave the cause out.

use std::error::Error;

/// The error's message, then those of its causes that it does not repeat.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let message = cause.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        next = cause.source();
    }
    text
}
