//! Advice followed: what then happens is what was told. V8's flag as told, and nobody dies any more; the limit as told, and
//! the end comes later by what was told.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use observer_core::What;
use observer_tests::{
    agent::{self, Agent},
    bundle::Spec,
    container::{Container, Restart},
    need,
};
use serde_json::Value;

const MIB: u64 = 1 << 20;
/// Longest time for a life of these programs on a busy machine.
const LIFE: Duration = Duration::from_mins(3);

fn restarting(spec: Spec) -> Container {
    Container::start(spec, Restart::After(Duration::from_millis(300))).unwrap()
}

/// A program that holds the same at all times and makes garbage, under a flag of V8's.
fn steady(name: &str, limit: u64, flag: u64) -> Container {
    let arguments = ["--program", "late", "--mb", "8"];
    let spec = Spec::fixture(name, Some(limit), "growth.js", &arguments).with("OTEL_SERVICE_NAME", name);
    restarting(spec.with("NODE_OPTIONS", &format!("--max-old-space-size={flag}")))
}

/// The flag that a misfit of this service advises, MiB.
fn advised(agent: &mut Agent, service: &str) -> u64 {
    let flag = |finding: &Value| {
        let of = finding["resource"]["service.name"] == service;
        finding["attributes"]["observer.advice.max_old_space_size"]
            .as_u64()
            .filter(|_| of)
    };
    agent.wait_finding("the flag that fits", flag).unwrap()
}

#[test]
fn with_the_flag_that_fits_neither_v8_nor_the_kernel_ends_it() {
    need!(Full, Root, Bpf, Runc, Node);
    let mut agent = Agent::start(&["--time-scale", "0.001"]).unwrap();
    // One limit of V8's below what is held, with a container that has room; one above the container's.
    let mut low = steady("low", 1_024 * MIB, 40);
    let mut high = steady("high", 256 * MIB, 4_096);
    let fits = [("low", 1_024 * MIB), ("high", 256 * MIB)].map(|(name, limit)| {
        let flag = advised(&mut agent, name);
        assert!(flag * MIB < limit, "{name}: {flag}");
        (format!("{name}-cured"), limit, flag)
    });
    let cured = fits.map(|(name, limit, flag)| steady(&name, limit, flag));
    // V8's abort is 134, or 139 where it is process 1; the kernel's kill 137.
    for _ in 0..4 {
        let code = low.ended(LIFE).unwrap();
        assert!([134, 139].contains(&code), "{code}");
        assert_eq!(high.ended(LIFE).unwrap(), 137);
    }
    for mut container in cured {
        assert_eq!(
            container.ends.so_far(),
            [""; 0],
            "it died under the flag that was advised"
        );
        assert_eq!(container.output.so_far().len(), 1, "it did not start");
    }
    drop(agent);
}

/// Seconds that ended runs of a service lived, as the agent saw them, as soon as there are so many.
fn lives(agent: &mut Agent, service: &str, many: u64) -> Vec<f64> {
    let life = |finding: &Value, nth: u64| {
        let attributes = &finding["attributes"];
        let of = finding["resource"]["service.name"] == service && attributes["observer.exit.cause"] == "kernel_oom";
        let number = attributes["observer.run.previous.number"].as_u64().filter(|_| of)?;
        attributes["observer.run.previous.duration"]
            .as_f64()
            .filter(|_| number == nth)
    };
    let lives = (1..=many).map(|nth| agent.wait_finding("the end of a life", |finding| life(finding, nth)));
    let mut lives: Vec<f64> = lives.map(Result::unwrap).collect();
    lives.sort_by(f64::total_cmp);
    lives
}

/// It leaks by the clock, however busy the machine is (tests/fixtures/checkout.js).
fn leaking(name: &str, limit: u64) -> Container {
    restarting(Spec::fixture(name, Some(limit), "checkout.js", &["leaks"]).with("OTEL_SERVICE_NAME", name))
}

#[test]
fn under_the_larger_limit_it_lives_longer_by_what_was_told() {
    need!(Full, Root, Bpf, Runc, Node);
    let flags = [
        "--output",
        "json",
        "--sample-interval",
        "250ms",
        "--time-scale",
        "0.001",
    ];
    let mut agent = Agent::spawn(agent::command(&["run"]).args(flags)).unwrap();
    agent
        .wait_input("its beginning", |input| {
            matches!(input.what, What::Begin(_)).then_some(())
        })
        .unwrap();
    let _before = leaking("before", 96 * MIB);
    let (limit, [soonest, latest]) = agent
        .wait_finding("what a larger limit buys", |finding| {
            let attributes = &finding["attributes"];
            let of =
                finding["event"] == "observer.memory.leak_confirmed" && finding["resource"]["service.name"] == "before";
            let limit = attributes["observer.advice.larger_limit"].as_u64().filter(|_| of)?;
            let reprieve = |end: &str| attributes[format!("observer.advice.reprieve.{end}")].as_f64();
            Some((limit, [reprieve("p10")?, reprieve("p90")?]))
        })
        .unwrap();
    assert_eq!(limit, 192 * MIB);
    let before = lives(&mut agent, "before", 3);
    let _after = leaking("after", limit);
    let after = lives(&mut agent, "after", 3);
    // The middle ones of three.
    let later = after[1] - before[1];
    assert!(
        (soonest..=latest).contains(&later),
        "it lived {later:.1} s longer, and {soonest:.1} to {latest:.1} s were told ({before:?}, {after:?})"
    );
}
