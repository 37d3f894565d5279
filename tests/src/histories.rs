//! Histories of containers as a cluster's monitoring keeps them: reads what each of them does, produces OpenMetrics text,
//! for Prometheus (promtool) and for what imports it.

use std::fmt::Write as _;

/// Seconds between two values.
pub const STEP: i64 = 60;
/// Hours of history.
pub const HOURS: i64 = 48;
/// Values of a series.
pub const VALUES: i64 = HOURS * 3_600 / STEP;
const MB: f64 = 1e6;
const LIMIT: f64 = 512.0 * MB;

/// What a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Leaks, and is killed at its limit every six hours.
    Sawtooth,
    /// Leaks slowly, in one life.
    Climb,
    /// Does not grow.
    Flat,
    /// Does not grow, is close to its limit, and is killed there every eight hours.
    Tight,
    /// As [`Life::Sawtooth`], until a version that does not comes after half of the time.
    Fixed,
    /// As [`Life::Sawtooth`], and gone for the last day.
    Gone,
    /// As [`Life::Flat`], for the last twenty minutes.
    New,
}

/// A container and how it is monitored.
#[derive(Clone, Debug)]
pub struct Monitored {
    /// Its namespace, pod and name.
    pub place: [String; 3],
    /// What it does.
    pub life: Life,
    /// Its pod's owner.
    pub owner: &'static str,
    /// Only its working set and its start are known: no kube-state-metrics.
    pub little: bool,
}

impl Monitored {
    /// One that is fully monitored.
    pub fn of(place: [&str; 3], life: Life) -> Self {
        Self {
            place: place.map(str::to_owned),
            life,
            owner: "ReplicaSet",
            little: false,
        }
    }
}

/// A cluster with one of each.
pub fn cluster() -> Vec<Monitored> {
    let job = Monitored {
        owner: "Job",
        ..Monitored::of(["shop", "nightly-5", "batch"], Life::Climb)
    };
    let little = Monitored {
        little: true,
        ..Monitored::of(["shop", "legacy-6", "app"], Life::Sawtooth)
    };
    vec![
        Monitored::of(["shop", "cart-0", "cart"], Life::Sawtooth),
        Monitored::of(["shop", "api-1", "api"], Life::Climb),
        Monitored::of(["shop", "web-2", "web"], Life::Flat),
        Monitored::of(["shop", "tight-3", "worker"], Life::Tight),
        Monitored::of(["shop", "fixed-4", "db"], Life::Fixed),
        job,
        little,
        Monitored::of(["shop", "gone-7", "cart"], Life::Gone),
        Monitored::of(["shop", "new-8", "web"], Life::New),
        Monitored::of(["odd.ns", "a.b|c", "<script>\u{1b}[31m\u{202e}\"\\"], Life::Flat),
    ]
}

/// What it is at the `i`th of so many values: level, number of the life, ended by a kill before.
fn at(life: Life, i: i64, values: i64) -> Option<(f64, i64)> {
    // Deterministic, and no two containers' or instants' alike enough to matter.
    let noise = (i.wrapping_mul(7_919) % 997) as f64 / 997.0 * 3.0;
    let tooth = |i: i64| ((64 + noise as i64) as f64 + (i % 360) as f64 * 445.0 / 360.0, i / 360);
    let reported = match life {
        Life::Gone => i < values - 24 * 60,
        Life::New => i >= values - 20,
        _ => true,
    };
    if !reported {
        return None;
    }
    let (level, run) = match life {
        Life::Fixed if i >= values / 2 => (70.0 + noise, values / 2 / 360),
        Life::Sawtooth | Life::Gone | Life::Fixed => tooth(i),
        Life::Climb => (100.0 + i as f64 * 330.0 / values as f64 + noise, 0),
        Life::Flat | Life::New => (180.0 + noise, 0),
        Life::Tight => (470.0 + 10.0 * noise, i / 480),
    };
    Some((level * MB, run))
}

/// The time of the `i`th of so many values of histories that end at `end`, seconds.
const fn time(end: i64, i: i64, values: i64) -> i64 {
    end - (values - 1 - i) * STEP
}

/// All of it, up to `end`; times in units of a second divided by `unit` (1 for OpenMetrics, 1,000 for the older format).
pub fn text(cluster: &[Monitored], end: i64, unit: i64) -> String {
    let mut text = String::new();
    for monitored in cluster {
        each(monitored, (VALUES, end), &mut |name, labels, i, value| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name}{{{labels}}} {value} {}", time(end, i, VALUES) * unit);
        });
    }
    text + "# EOF\n"
}

/// Lines of one that lives so for `hours` up to `end`, as OpenMetrics has them: for histories too long for one text.
pub fn history(monitored: &Monitored, hours: i64, end: i64, give: &mut dyn FnMut(&str)) {
    let values = hours * 3_600 / STEP;
    let mut line = String::new();
    each(monitored, (values, end), &mut |name, labels, i, value| {
        line.clear();
        // Writing to a string does not fail.
        let _ = write!(line, "{name}{{{labels}}} {value} {}", time(end, i, values));
        give(&line);
    });
}

fn each(monitored: &Monitored, (values, end): (i64, i64), give: &mut dyn FnMut(&str, &str, i64, f64)) {
    let [namespace, pod, container] = monitored
        .place
        .each_ref()
        .map(|name| name.replace('\\', "\\\\").replace('"', "\\\""));
    let of_pod = format!("namespace=\"{namespace}\",pod=\"{pod}\"");
    let place = format!("{of_pod},container=\"{container}\"");
    for i in 0..values {
        let Some((level, run)) = at(monitored.life, i, values) else {
            continue;
        };
        let image = if monitored.life == Life::Fixed && i >= values / 2 {
            "shop/app:2"
        } else {
            "shop/app:1"
        };
        let own = format!("{place},id=\"/kubepods/{pod}/{run}\",image=\"{image}\"");
        give("container_memory_working_set_bytes", &own, i, level + 5.0 * MB);
        let began = if run == 0 {
            0
        } else {
            run * if monitored.life == Life::Tight { 480 } else { 360 }
        };
        give("container_start_time_seconds", &own, i, time(end, began, values) as f64);
        give("container_spec_memory_limit_bytes", &own, i, LIMIT);
        if monitored.little {
            continue;
        }
        give("container_memory_rss", &own, i, level);
        give("container_memory_cache", &own, i, 20.0 * MB);
        give("container_memory_swap", &own, i, 0.0);
        give("container_cpu_usage_seconds_total", &own, i, (i - began) as f64 * 12.0);
        if monitored.life == Life::Flat {
            give("container_memory_rss", &format!("{of_pod},container=\"POD\""), i, MB);
            give("container_memory_rss", &of_pod, i, level + MB);
        }
        give(
            "kube_pod_info",
            &format!("{of_pod},created_by_kind=\"{}\"", monitored.owner),
            i,
            1.0,
        );
        give(
            "kube_pod_container_resource_limits",
            &format!("{place},resource=\"memory\",unit=\"byte\""),
            i,
            LIMIT,
        );
        give("kube_pod_container_status_restarts_total", &place, i, run as f64);
        if run > 0 {
            let reason = format!("{place},reason=\"OOMKilled\"");
            give("kube_pod_container_status_last_terminated_reason", &reason, i, 1.0);
        }
    }
}
