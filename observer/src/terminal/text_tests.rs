//! Names shown: what is spelled out, what is left as it is, and how wide it is.

use proptest::prelude::*;
use unicode_width::UnicodeWidthStr as _;

use super::*;
use crate::terminal::hostile;

#[test]
fn what_acts_or_hides_is_spelled_out() {
    for (name, shown) in [
        ("\x1b[31mred\u{202e}", r"\x1b[31mred\u{202e}"),
        ("two\r\nlines", r"two\r\nlines"),
        ("\u{9b}31m\x7f\0\t", r"\x9b31m\x7f\x00\t"),
        ("a\u{2028}b\u{feff}", r"a\u{2028}b\u{feff}"),
        ("soft\u{ad}hyphen", r"soft\xadhyphen"),
        ("z\u{301}\u{301}\u{301}\u{301}", "z\u{301}\u{301}\u{301}\\u{301}"),
    ] {
        assert_eq!(visible(name), shown);
    }
}

#[test]
fn what_languages_need_stays_as_it_is() {
    for name in [
        "checkout",
        "été",
        "e\u{301}te\u{301}",
        "日本語",
        "שלום",
        "नमस्ते",
        "ไม่มี",
        "🚀 api",
        r"C:\x",
        "-",
    ] {
        assert_eq!(visible(name), name);
    }
}

#[test]
fn json_keeps_its_value() {
    for name in hostile::names() {
        let json = serde_json::to_string(&name).unwrap();
        let shown = visible_json(&json);
        hostile::harmless(&shown);
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), name);
    }
}

#[test]
fn the_middle_of_a_long_name_goes() {
    assert_eq!(cut("checkout-7d9c5f6b8-x2x4v", 14), "checko…8-x2x4v");
    assert_eq!(cut("日本語の名前", 8), "日…名前");
    assert_eq!((cut("abc", 1).as_ref(), cut("abc", 0).as_ref()), ("…", ""));
}

#[test]
fn cells_are_as_wide_as_asked_for_whatever_stands_in_them() {
    for name in hostile::names() {
        for width in [1, 2, 7, 40] {
            for number in [false, true] {
                let cell = cell(&name, width, number);
                hostile::harmless(&cell);
                assert_eq!(cell.width(), width, "{cell:?}");
            }
        }
        hostile::fits(&wrapped(&name, 40).join("\n"), 40);
    }
}

proptest! {
    #[test]
    fn any_text_comes_out_visible_once_and_for_all(text in any::<String>(), width in 1usize..60) {
        let shown = visible(&text).into_owned();
        prop_assert_eq!(visible(&shown), shown.as_str());
        prop_assert!(shown.chars().all(|c| !c.is_control()));
        prop_assert!(cut(&text, width).width() <= width);
        prop_assert_eq!(cell(&text, width, false).width(), width);
        for line in wrapped(&text, width.max(8)) {
            prop_assert!(line.width() <= width.max(8));
        }
    }
}
