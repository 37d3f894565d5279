//! Sentences as they are read, and the rules that hold for every event.

#![allow(clippy::needless_raw_string_hashes, reason = "expect_test writes them")]

use std::collections::BTreeSet;

use expect_test::expect;

use super::{event, reference, units};
use crate::engine::tests::{KILLED, LEAKY, World, key, node};

fn story() -> World {
    let mut world = World::new();
    for life in 0..3_u64 {
        let pid = key(10 + life as u32, 100 + life * 3_600);
        world.at(100 + life * 3_600).start(node(pid, LEAKY));
        for step in 1..60 {
            world
                .at(100 + life * 3_600 + step * 60)
                .sample(pid, LEAKY, 60 + step * 7, 512);
        }
        world.mark(pid).exit(pid, KILLED);
    }
    world.at(20_000);
    world
}

#[test]
fn sentences() {
    let world = story();
    let first: Vec<String> = world.findings.iter().take(4).map(|f| event(f).body).collect();
    expect![[r#"
        leaky stands at 244 MiB, 82 % of 299 MiB (V8's heap limit and what lies outside); it gets there in about 8 min 13 s (inferred)
        leaky probably leaks: it has grown by 401 MiB/h for 20 min; it stands at 254 MiB of 299 MiB (V8's heap limit and what lies outside) and gets there in 4 min 43 s (between 3 min 15 s and 7 min 5 s); --max-old-space-size=411 fits its container of 488 MiB and would put its end off by 22 min (19 min to 25 min), and not prevent it
        leaky was killed for memory by the kernel at its limit of 488 MiB; node (pid 10) held 477 MiB
        leaky restarted: run 1 was killed by the kernel for memory after 59 min, highest level seen 456 MiB against 488 MiB (its container's limit), rising by 401 MiB/h (the kernel marked it as a victim, it ended by SIGKILL)
    "#]]
    .assert_eq(&(first.join("\n") + "\n"));
}

/// Every attribute that goes out is in the reference, once, and every event has one.
#[test]
fn names_are_in_the_reference() {
    let (events, attributes) = reference();
    let names: BTreeSet<&str> = attributes.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), attributes.len(), "a name twice");
    for finding in &story().findings {
        let event = event(finding);
        assert!(events.iter().any(|(name, _)| *name == event.name));
        let mut seen = BTreeSet::new();
        for (name, _) in &event.attributes {
            assert!(names.contains(name), "{name}");
            assert!(seen.insert(*name), "{name} twice in {}", event.name);
        }
    }
}

#[test]
fn units_as_people_write_them() {
    assert_eq!(units::bytes(0), "0 B");
    assert_eq!(units::bytes(536_870_912), "512 MiB");
    assert_eq!(units::bytes(1_288_490_189), "1.2 GiB");
    assert_eq!(units::rate(77_594_624.0), "74 MiB/h");
    assert_eq!(units::rate(-3_145_728.0), "-3.0 MiB/h");
    assert_eq!(units::rate(f64::NAN), "an unknown rate");
    assert_eq!(units::seconds(4.25), "4.2 s");
    assert_eq!(units::seconds(100.0), "1 min 40 s");
    assert_eq!(units::seconds(21_900.0), "6 h 5 min");
    assert_eq!(units::seconds(360_000.0), "4 d 4 h");
}
