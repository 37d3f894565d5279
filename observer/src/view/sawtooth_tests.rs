//! The sawtooth drawn: every line fits, every end is marked, and what was not seen is not drawn.

use expect_test::expect;

use super::*;
use crate::terminal::{hostile, rendered};

const MIB: f64 = 1_048_576.0;

/// Three teeth of 30 s from 40 to 127 MiB.
fn sawtooth() -> Sawtooth {
    Sawtooth {
        levels: (0..90)
            .map(|t| (f64::from(t), (40.0 + f64::from(t % 30) * 3.0) * MIB))
            .collect(),
        ceiling: Some(128.0 * MIB),
        ends: [29.5, 59.5, 89.0]
            .map(|at| Mark {
                at,
                died: true,
                how: "kernel_oom",
            })
            .to_vec(),
    }
}

fn drawn(sawtooth: &Sawtooth, width: usize, plain: bool) -> String {
    let look = Look {
        width,
        colour: false,
        plain,
    };
    rendered(sawtooth.text(look), false).as_str().to_owned()
}

/// With a first line at the left edge, which keeps the others where they are.
fn framed(width: usize, plain: bool) -> String {
    format!("memory\n{}", drawn(&sawtooth(), width, plain))
}

#[test]
fn it_rises_to_its_ceiling_and_marks_its_ends() {
    expect![[r"
        memory
          128 MiB +---------------**--------------**--------------**
                  |            ***              **              **
                  |          ***             ***             ***
                  |       ***             ***             ****
                  |     **              ***             ***
           64 MiB +  ***             ***              ***
                  |***             ***             ***
                  |
                  |
                  |
                0 +----------------x---------------x---------------x
                   0                                      1 min 29 s
                   - ceiling 128 MiB   x kernel_oom 3x
    "]]
    .assert_eq(&framed(60, true));
    expect![[r"
        memory
          128 MiB ┤╌╌╌╌╌╌╌╌╌╌╌╌╌╌⡠⠔⠁╌╌╌╌╌╌╌╌╌╌╌╌╌⢀⠔⠁╌╌╌╌╌╌╌╌╌╌╌╌╌╌⡠⠊
                  │            ⡠⠊              ⢀⠔⠁             ⢀⠤⠊
                  │         ⢀⠔⠊             ⢀⠔⠒⠁             ⡠⠒⠁
                  │       ⡠⠊⠁             ⢀⠔⠁              ⡠⠊
                  │     ⡠⠊              ⢀⠔⠁             ⢀⠔⠉
           64 MiB ┤  ⡠⠔⠉             ⢀⠔⠉⠁             ⡠⠊⠁
                  │⡠⠊              ⢀⠔⠁             ⢀⠤⠊
                  │
                  │
                  │
                0 ┼────────────────✗───────────────✗───────────────✗
                   0                                      1 min 29 s
                   ╌ ceiling 128 MiB   ✗ kernel_oom 3x
    "]]
    .assert_eq(&framed(60, false));
}

#[test]
fn no_line_is_wider_than_asked_for_and_every_end_is_marked() {
    for width in [30, 47, 80, 200] {
        for plain in [false, true] {
            let text = drawn(&sawtooth(), width, plain);
            hostile::fits(&text, width);
            let axis = text.lines().nth(usize::from(ROWS)).unwrap();
            assert_eq!(axis.matches(if plain { 'x' } else { '✗' }).count(), 3, "\n{text}");
            assert!(!plain || text.is_ascii(), "\n{text}");
        }
    }
}

#[test]
fn the_plot_falls_after_each_end() {
    let text = drawn(&sawtooth(), 80, true);
    // Half way up there are exactly three ranges of cells, one per tooth.
    let row: Vec<char> = text.lines().nth(5).unwrap().chars().skip(11).chain([' ']).collect();
    let ends = row.windows(2).filter(|pair| pair[0] != ' ' && pair[1] == ' ').count();
    assert_eq!(ends, 3, "\n{text}");
}

#[test]
fn nothing_and_one_point_are_drawn_without_harm() {
    assert_eq!(drawn(&Sawtooth::default(), 80, false), "");
    let one = Sawtooth {
        levels: vec![(5.0, 0.0)],
        ..Sawtooth::default()
    };
    assert_eq!(drawn(&one, 80, false).lines().count(), usize::from(ROWS + FOOT));
}
