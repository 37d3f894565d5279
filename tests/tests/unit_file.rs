//! The unit for systemd, by systemd's own judgement of it; and that it gives what the chart gives.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, process::Command};

use observer_tests::{
    need, places,
    pod::{Given, Pod},
};

/// The most that `systemd-analyze security` may find, in tenths of ten.
const EXPOSURE: f64 = 3.0;

#[test]
fn the_unit_is_as_closed_as_it_says() {
    need!(Program("systemd-analyze"));
    let unit = places::workspace().join("deploy/systemd/observer.service");
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=yes", "--no-pager"])
        .arg(&unit)
        .output()
        .unwrap();
    let page = String::from_utf8_lossy(&output.stdout);
    let level = page.rsplit("exposure level for observer.service: ").next().unwrap();
    let level: f64 = level.split_whitespace().next().unwrap().parse().unwrap();
    assert!(level <= EXPOSURE, "{page}");
}

#[test]
fn the_unit_has_the_charts_capabilities() {
    let unit = fs::read_to_string(places::workspace().join("deploy/systemd/observer.service")).unwrap();
    let set = unit
        .lines()
        .find_map(|line| line.strip_prefix("CapabilityBoundingSet="))
        .unwrap();
    let held: Vec<String> = set
        .split_whitespace()
        .map(|name| name.trim_start_matches("CAP_").to_owned())
        .collect();
    let given: Vec<String> = Pod::new()
        .unwrap()
        .given()
        .into_iter()
        .filter_map(|given| match given {
            Given::Capability(name) => Some(name),
            _ => None,
        })
        .collect();
    assert_eq!(held, given);
}
