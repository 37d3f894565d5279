//! Names that nobody would choose and anybody can: what tests of every way out to a person are tried with.

use std::iter::repeat_n;

use unicode_width::UnicodeWidthStr as _;

use super::text;

/// The whole family: escape sequences of every kind, line breaks of every kind, what turns text round, what is not to be
/// seen, what is drawn over other lines, what is long in bytes, in characters or in columns.
pub(crate) fn names() -> Vec<String> {
    let mut names: Vec<String> = [
        "\x1b[31mred\u{202e}",
        "\x1b]0;title\x07",
        "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\",
        "\x1bPq#0\x1b\\",
        "\x1bc",
        "\u{9b}31mred",
        "\u{90}q\u{9c}",
        "two\nlines",
        "two\r\nlines",
        "over\rwritten",
        "a\u{b}b\u{c}c\u{85}d\u{2028}e\u{2029}f",
        "tab\tbed",
        "back\x08\x7fspace",
        "nul\0",
        "\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}",
        "\u{2066}\u{2067}\u{2068}\u{2069}\u{200e}\u{200f}\u{61c}",
        "zero\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}width",
        "soft\u{ad}hyphen",
        "tags\u{e0001}\u{e0041}\u{e007f}",
        "blank\u{3164}\u{115f}\u{1160}\u{ffa0}\u{2800}letters",
        "private\u{e000}\u{f0000}",
        "not assigned\u{378}\u{ffff}",
        "annotated\u{fff9}\u{fffa}\u{fffb}",
        "שלום",
        "日本語の名前",
        "e\u{301}te\u{301}",
        "",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push("long".repeat(25_000));
    names.push("wide 日本".repeat(10_000));
    names.push("\x1b[2J".repeat(25_000));
    names.push("lines\n".repeat(20_000));
    names.push("z".to_owned() + &repeat_n('\u{301}', 50_000).collect::<String>());
    names
}

/// Nothing in it acts on a terminal or is invisible, but for line ends and what this program paints itself.
#[track_caller]
pub(crate) fn harmless(page: &str) {
    let paint = [
        "\x1b[0m",
        "\x1b[39m",
        "\x1b[1m",
        "\x1b[2m",
        "\x1b[38;5;1m",
        "\x1b[38;5;3m",
        "\x1b[38;5;6m",
    ];
    let bare = paint
        .iter()
        .filter(|paint| page.contains(**paint))
        .fold(page.to_owned(), |page, paint| page.replace(paint, ""));
    let shown = text::visible_lines(&bare);
    assert!(shown == bare, "something of it acts on a terminal: {shown:.300}");
}

/// And no line is wider.
#[track_caller]
pub(crate) fn fits(page: &str, width: usize) {
    harmless(page);
    for line in page.lines() {
        assert!(
            line.width() <= width,
            "{} columns of {width}: {line:.300}",
            line.width()
        );
    }
}
