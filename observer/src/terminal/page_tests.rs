//! Pages rendered: what stands in a span is shown, never interpreted, on every way out.

use ratatui::style::Stylize as _;

use super::*;
use crate::terminal::hostile;

#[test]
fn only_styles_paint() {
    let page = Line::from(vec!["\x1b[31mred".blue(), " and ".into(), "bold".bold()]);
    assert_eq!(rendered(page.clone(), false).as_str(), "\\x1b[31mred and bold\n");
    let painted = rendered(page, true);
    assert!(painted.as_str().contains("\\x1b[31mred"), "{painted:?}");
    assert!(painted.as_str().starts_with('\x1b'), "{painted:?}");
}

#[test]
fn names_go_out_harmless_as_pages_as_json_as_lines_and_as_messages() {
    for name in hostile::names() {
        hostile::harmless(rendered(format!("a\n{name}\n"), false).as_str());
        let json = json(&name).unwrap();
        hostile::harmless(json.as_str());
        assert_eq!(json.as_str().lines().count(), 1);
        assert_eq!(serde_json::from_str::<String>(json.as_str()).unwrap(), name);
        let message = said(&name);
        hostile::fits(&message, 1_010);
        assert!(!message.contains('\n'));
    }
}

#[test]
fn what_is_written_in_pieces_comes_out_as_a_whole() {
    for name in hostile::names() {
        for size in [1, 2, 3, 5, 4_096] {
            let shown = written(name.as_bytes().chunks(size));
            assert!(shown == text::visible_lines(&name), "{shown:.200}");
        }
    }
    // Not UTF-8 at all.
    let pieces: [&[u8]; 2] = [b"a\xff\xfe\x1b[0m\xe2\x80", b"\xaeb\n"];
    assert_eq!(written(pieces.into_iter()), "a\u{fffd}\u{fffd}\\x1b[0m\\u{202e}b\n");
}

fn written<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> String {
    let mut written = Vec::new();
    let mut out = Visible {
        out: &mut written,
        rest: Vec::new(),
    };
    for piece in pieces {
        out.write_all(piece).unwrap();
    }
    drop(out);
    String::from_utf8(written).unwrap()
}

#[test]
fn findings_names_are_cleaned_and_bounded_wherever_they_stand() {
    for name in hostile::names() {
        let value = serde_json::json!({"service": {&name: [&name, {"because": &name}]}, "n": 1.5, "none": null});
        let clean: serde_json::Value = clean::of(&value).unwrap();
        assert_eq!((&clean["n"], &clean["none"]), (&value["n"], &value["none"]));
        let (key, list) = clean["service"].as_object().unwrap().iter().next().unwrap();
        for (text, width) in [
            (key.as_str(), 256),
            (list[0].as_str().unwrap(), 256),
            (list[1]["because"].as_str().unwrap(), 1_000),
        ] {
            hostile::fits(text, width);
            assert!(!text.contains('\n'));
        }
    }
}
