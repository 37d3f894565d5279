//! The board drawn: what it shows, what keys do, whatever the names.

use expect_test::expect;
use observer_core::{
    detect::State,
    engine::view::{RunView, SlotView, WorkloadView},
    finding::{Ceiling, CeilingKind},
    identity::{Slot, Version, Workload},
    process::ProcessKey,
    time::{BootTime, WallTime},
};

use super::*;
use crate::{
    terminal::{hostile, rendered},
    view::{sawtooth::lines, workloads::Watched},
};

fn workload(name: &str, state: State, level: u64) -> WorkloadView {
    let reported = state > State::Quiet;
    let run = RunView {
        run: 3,
        version: Some(Version("1.4.2".into())),
        started: WallTime(0),
        started_boot: BootTime(0),
        found: false,
        gap: false,
        main: ProcessKey { pid: 7, start: 1 },
        processes: 1,
        level: Some(level << 20),
        usage: None,
        rss: None,
        anon: None,
        working_set: None,
        page_cache: None,
        peak: level << 20,
        ceiling: Some(Ceiling {
            bytes: 512 << 20,
            kind: CeilingKind::Cgroup,
        }),
        heap_limit: None,
        cgroup_limit: None,
        limit_current: None,
        limit_desired: None,
        growth: None,
        restart_count: None,
        traced: false,
        resource: std::collections::BTreeMap::new(),
    };
    let slot = SlotView {
        slot: Slot::Unit(format!("{name}.service")),
        instance: 0,
        state,
        slope_bytes_per_hour: reported.then_some(86.0 * 1_048_576.0),
        slope_standard_error: None,
        pace: None,
        asked: Vec::new(),
        ceilings: Vec::new(),
        time_to_ceiling_s: reported.then_some(3_600.0),
        runs: 3,
        current: Some(run),
        ended: Vec::new(),
        said: None,
        levels: Vec::new(),
        diagnosis: None,
    };
    WorkloadView {
        workload: Workload {
            namespace: Some("shop".into()),
            kind: "unit".into(),
            name: name.into(),
            container: None,
        },
        service: name.into(),
        service_namespace: None,
        releases: Vec::new(),
        oom_kills: 0,
        restarts: 0,
        slots: vec![slot],
    }
}

fn board(workloads: Vec<WorkloadView>) -> Board {
    let mut board = Board::default();
    for now_s in [7_190.0, 7_200.0] {
        board.show(Instant {
            watched: Watched::here(workloads.clone()),
            now_s,
            source: "node-1".into(),
            trouble: None,
        });
    }
    board
}

fn drawn(board: &mut Board, width: u16, height: u16, plain: bool) -> String {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    let look = Look {
        width: usize::from(width),
        colour: false,
        plain,
    };
    board.draw(area, &mut buffer, look);
    rendered(lines(&buffer), false).as_str().to_owned()
}

fn press(board: &mut Board, keys: &str) -> Wanted {
    let mut wanted = Wanted::Nothing;
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\x1b' => KeyCode::Esc,
            '↓' => KeyCode::Down,
            key => KeyCode::Char(key),
        };
        wanted = board.key(KeyEvent::new(code, KeyModifiers::NONE));
    }
    wanted
}

fn three() -> Vec<WorkloadView> {
    vec![
        workload("cart", State::Quiet, 45),
        workload("checkout", State::Confirmed, 460),
        workload("search", State::Suspected, 128),
    ]
}

#[test]
fn those_reported_stand_first_at_80_columns() {
    expect![[r"
        observer  3 lives, 1 leaking                                              node-1
        SERVICE            STATE     MEMORY        LEVEL  CEILING       SLOPE       LEFT
        shop/checkout      confirmed █████████░  460 MiB  512 MiB    86 MiB/h        1 h
        shop/search        suspected ███░░░░░░░  128 MiB  512 MiB    86 MiB/h        1 h
        shop/cart          quiet     █░░░░░░░░░   45 MiB  512 MiB           -          -

        Enter open  s by state  f all  / search  q quit  Space hold
    "]]
    .assert_eq(&drawn(&mut board(three()), 80, 7, false));
}

#[test]
fn a_wide_terminal_shows_instances_versions_and_trends_in_ascii_too() {
    expect![[r"
        observer  3 lives, 1 leaking                                                                                                          node-1
        SERVICE             INSTANCE           VERSION    STATE     MEMORY        LEVEL  CEILING TREND              SLOPE       LEFT  RUN         UP
        shop/checkout       checkout.service   1.4.2      confirmed #########.  460 MiB  512 MiB ##              86 MiB/h        1 h    3        2 h
        shop/search         search.service     1.4.2      suspected ###.......  128 MiB  512 MiB ##              86 MiB/h        1 h    3        2 h
        shop/cart           cart.service       1.4.2      quiet     #.........   45 MiB  512 MiB ##                     -          -    3        2 h

        Enter open  s by state  f all  / search  q quit  Space hold
    "]].assert_eq(&drawn(&mut board(three()), 140, 7, true));
}

#[test]
fn one_opened() {
    let mut board = board(three());
    assert_eq!(press(&mut board, "\n"), Wanted::Findings("shop/checkout".into()));
    board.findings(vec!["shop/checkout leaks".into()]);
    expect![[r"
        unit/shop/checkout  confirmed  unit checkout.service
          512 MiB +---------------------------------------------------------------------
                  |*                                                                   *
                  |
          256 MiB +
                  |
                  |
                  |
                0 +---------------------------------------------------------------------
                   0                                                                10 s
                   - ceiling 512 MiB
        run 3 of checkout.service, version 1.4.2: 460 MiB of 512 MiB (its container's
        limit), peak 460 MiB
        grows by 86 MiB/h: 1 h to its ceiling
        findings, the newest first
          shop/checkout leaks



        Esc back  Up Down scroll  q quit  Space hold
    "]]
    .assert_eq(&drawn(&mut board, 80, 20, true));
    press(&mut board, "\x1b");
    assert!(drawn(&mut board, 80, 20, true).contains("SERVICE"));
}

#[test]
fn keys_sort_filter_and_search() {
    let mut board = board(three());
    let first = |board: &mut Board| drawn(board, 80, 7, true).lines().nth(2).unwrap().to_owned();
    press(&mut board, "ssss");
    assert!(first(&mut board).contains("cart"), "by name");
    press(&mut board, "f");
    assert!(first(&mut board).contains("checkout"), "only the reported");
    press(&mut board, "\x1b/SEAR\n");
    assert!(first(&mut board).contains("search"));
    assert_eq!(board.rows.len(), 1);
    press(&mut board, "\x1b");
    assert_eq!(board.rows.len(), 3);
    assert_eq!(press(&mut board, "q"), Wanted::Quit);
}

#[test]
fn the_selected_life_stays_selected_when_others_overtake_it() {
    let mut board = board(three());
    press(&mut board, "↓↓");
    assert_eq!(board.selected().unwrap().service, "shop/cart");
    press(&mut board, "ssss");
    assert_eq!(board.selected().unwrap().service, "shop/cart");
    board.show(Instant::default());
    assert!(board.selected().is_none());
    drawn(&mut board, 80, 7, false);
}

#[test]
fn no_name_and_no_size_does_it_harm() {
    let sizes = [(1, 1), (10, 3), (40, 10), (80, 24), (200, 60)];
    for name in hostile::names() {
        let mut view = workload("x", State::Likely, 99);
        view.service.clone_from(&name);
        view.slots[0].slot = Slot::Unit(name.clone());
        let mut board = board(vec![view]);
        for (width, height) in sizes {
            hostile::fits(&drawn(&mut board, width, height, false), usize::from(width));
        }
        press(&mut board, "\n");
        board.findings(vec![clean_sentence(&name)]);
        for (width, height) in sizes {
            hostile::fits(&drawn(&mut board, width, height, false), usize::from(width));
        }
    }
}

fn clean_sentence(text: &str) -> String {
    crate::terminal::clean::sentence(text).into_owned()
}

#[test]
fn a_thousand_lives() {
    let many = (0..1_000u64).map(|nth| workload(&format!("service-{nth:04}"), State::Quiet, nth % 512));
    let mut board = board(many.collect());
    press(&mut board, "ssssG");
    let page = drawn(&mut board, 80, 24, false);
    assert!(page.contains("service-0999"), "{page}");
    assert_eq!(page.lines().count(), 24);
}
