//! Text of unknown origin: reads names, produces the characters that show them without doing anything else, and their
//! width in columns.

use std::{borrow::Cow, fmt::Write as _};

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Combining marks on one character at most: languages need up to three, and more of them draw over other lines.
const MARKS: usize = 3;

/// What stands for what was left out.
const ELLIPSIS: char = '…';

/// Whether a character is shown by its number: control characters move the cursor, format characters turn text round or
/// are not to be seen, line separators break rows, and nobody knows what unassigned and private ones look like.
fn hidden(c: char) -> bool {
    // Letters and marks that are drawn as nothing (Default_Ignorable_Code_Point, of other categories than Format).
    let blank = matches!(c, '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{2800}' | '\u{3164}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}');
    blank
        || matches!(
            c.general_category(),
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
                | GeneralCategory::PrivateUse
                | GeneralCategory::Surrogate
                | GeneralCategory::Unassigned
        )
}

/// How a character that is not shown is written.
type Notation = fn(&mut String, char);

/// `\n`, `\x1b`, `\u{202e}`: as in the source of a program.
fn spelled(out: &mut String, c: char) {
    // Writing into a String cannot fail.
    let _ = match c {
        '\n' | '\r' | '\t' => write!(out, "{}", c.escape_default()),
        '\0'..='\u{ff}' => write!(out, "\\x{:02x}", u32::from(c)),
        _ => write!(out, "{}", c.escape_unicode()),
    };
}

/// `\u001b`, `\u202e`, and two of them beyond the basic plane: as JSON has them.
fn in_json(out: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        let _ = write!(out, "\\u{unit:04x}");
    }
}

fn escaped<'a>(text: &'a str, keep: &[char], notation: Notation) -> Cow<'a, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut marks = 0;
    for c in text.chars() {
        if matches!(c, ' '..='~') {
            marks = 0;
            out.push(c);
            continue;
        }
        let zero = c.width() == Some(0);
        marks = if zero { marks + 1 } else { 0 };
        if keep.contains(&c) || !(hidden(c) || zero && marks > MARKS) {
            out.push(c);
        } else {
            notation(&mut out, c);
        }
    }
    Cow::Owned(out)
}

/// The text on one line, with what cannot be seen spelled out. Doing it twice changes nothing.
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, &[], spelled)
}

/// The same of text that consists of lines.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    escaped(text, &['\n'], spelled)
}

/// The same JSON, with what cannot be seen escaped: such characters can only stand within its strings.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    escaped(json, &['\n'], in_json)
}

/// Columns of the text as [`visible`] shows it.
pub fn width(text: &str) -> usize {
    visible(text).width()
}

/// The text as [`visible`] shows it, in at most `width` columns. The middle goes: names that belong together begin alike,
/// and what tells them apart stands at their end.
pub fn cut(text: &str, width: usize) -> Cow<'_, str> {
    // Marks that take no column are shown up to MARKS times: so many characters fill the width for certain.
    let enough = (MARKS + 1) * (width + 1);
    let (front, back) = if text.len() > 8 * enough {
        (visible(beginning(text, enough)), visible(end(text, enough)))
    } else {
        let text = visible(text);
        if text.width() <= width {
            return text;
        }
        (text.clone(), text)
    };
    let room = width.saturating_sub(1);
    let (mut head, mut tail) = (String::new(), Vec::new());
    let mut left = room / 2;
    for c in front.chars() {
        let columns = c.width().unwrap_or(0);
        if columns > left {
            break;
        }
        left -= columns;
        head.push(c);
    }
    let mut left = room - room / 2;
    for c in back.chars().rev() {
        let columns = c.width().unwrap_or(0);
        if columns > left {
            break;
        }
        left -= columns;
        tail.push(c);
    }
    // A mark without its letter would stand on the ellipsis.
    while tail.last().is_some_and(|c| c.width() == Some(0)) {
        tail.pop();
    }
    let ellipsis = (width > 0).then_some(ELLIPSIS);
    Cow::Owned(head.chars().chain(ellipsis).chain(tail.into_iter().rev()).collect())
}

/// The first characters of a text.
fn beginning(text: &str, characters: usize) -> &str {
    let end = text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text)
}

/// The last characters of a text.
fn end(text: &str, characters: usize) -> &str {
    let start = text.char_indices().rev().nth(characters).map_or(0, |(at, _)| at);
    text.get(start..).unwrap_or(text)
}

/// The text in exactly `width` columns, cut or padded: at its right, or at its left where it is a number.
pub fn cell(text: &str, width: usize, number: bool) -> String {
    let text = cut(text, width);
    let padding = " ".repeat(width - text.width().min(width));
    if number {
        padding + &text
    } else {
        text.into_owned() + &padding
    }
}

/// The text in lines of at most `width` columns, broken at spaces; a longer word is broken where the line ends.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let text = visible(text);
    let width = width.max(8);
    let mut lines = vec![String::new()];
    let mut column = 0;
    for word in text.split(' ') {
        let columns = word.width();
        if column > 0 && column + 1 + columns <= width {
            push(&mut lines, " ");
            column += 1;
        } else if column > 0 {
            lines.push(String::new());
            column = 0;
        }
        if columns <= width {
            push(&mut lines, word);
            column += columns;
            continue;
        }
        for c in word.chars() {
            let columns = c.width().unwrap_or(0);
            if column + columns > width {
                lines.push(String::new());
                column = 0;
            }
            push(&mut lines, c.encode_utf8(&mut [0; 4]));
            column += columns;
        }
    }
    lines
}

fn push(lines: &mut [String], text: &str) {
    if let Some(line) = lines.last_mut() {
        line.push_str(text);
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
