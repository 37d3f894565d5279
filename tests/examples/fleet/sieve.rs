//! What can raise an alert of a leak at all: reads the series of a healthy fleet, produces those of workloads that the rules have
//! to judge. Prometheus' engine takes most of the time, and most healthy workloads come nowhere near a verdict.
//!
//! Each question here is weaker than the rules' own (deploy/prometheus), so that nothing is sifted out which they would tell of:
//! a pooled slope lies below the steepest of its replicas, and its standard error above that of all of them without differences.

use std::collections::{BTreeMap, BTreeSet};

use observer_tests::fleet::promtool::Values;

/// Seconds of history and standard errors that the pool asks for, and a canary.
const POOL: (f64, f64) = (86_400.0, 5.0);
const CANARY: (f64, f64) = (14_400.0, 4.0);
/// Share of the ceiling by which both must have grown.
const GROWN: f64 = 0.05;

/// What the replicas of a workload tell at one step.
#[derive(Clone, Debug)]
struct Step {
    likely: bool,
    steepest: f64,
    lowest: f64,
    /// Sum of 1 / standard error squared, hours squared per byte squared.
    weight: f64,
    replicas: u32,
    longest: f64,
    ceiling: f64,
}

impl Default for Step {
    fn default() -> Self {
        Self {
            likely: false,
            steepest: f64::NEG_INFINITY,
            lowest: 0.0,
            weight: 0.0,
            replicas: 0,
            longest: 0.0,
            ceiling: f64::INFINITY,
        }
    }
}

impl Step {
    fn take(&mut self, name: &str, value: f64) {
        match name {
            "observer_leak_state" => self.likely |= value == 2.0 || value == 3.0,
            "observer_memory_slope_bytes_per_hour" => {
                self.steepest = self.steepest.max(value);
                self.lowest = self.lowest.min(value);
            }
            "observer_memory_slope_standard_error_bytes_per_hour" if value > 0.0 => {
                self.weight += value.powi(-2);
                self.replicas += 1;
            }
            "observer_memory_slope_span_seconds" => self.longest = self.longest.max(value),
            "observer_memory_ceiling_bytes" => self.ceiling = self.ceiling.min(value),
            _ => {}
        }
    }

    fn may_alert(&self, versions: usize) -> bool {
        let rises = |(seconds, errors): (f64, f64), by: f64| {
            self.longest >= seconds
                && self.steepest * self.longest / 3_600.0 >= GROWN * self.ceiling
                && by * self.weight.sqrt() > errors
        };
        self.likely
            || self.replicas >= 3 && rises(POOL, self.steepest)
            || versions > 1 && rises(CANARY, self.steepest - self.lowest)
    }
}

/// The series of workloads that may raise one.
pub(crate) fn sift(values: Values) -> Values {
    let mut steps: BTreeMap<&str, Vec<Step>> = BTreeMap::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (series, told) in &values {
        let Some(workload) = label(series, "observer_workload") else {
            continue;
        };
        versions
            .entry(workload)
            .or_default()
            .insert(label(series, "service_version").unwrap_or_default());
        let steps = steps
            .entry(workload)
            .or_insert_with(|| vec![Step::default(); told.len()]);
        let name = series.split('{').next().unwrap_or_default();
        for (step, value) in steps.iter_mut().zip(told) {
            if let Some(value) = value {
                step.take(name, *value);
            }
        }
    }
    let judged: BTreeSet<String> = steps
        .into_iter()
        .filter(|(workload, steps)| {
            let versions = versions.get(workload).map_or(0, BTreeSet::len);
            steps.iter().any(|step| step.may_alert(versions))
        })
        .map(|(workload, _)| workload.to_owned())
        .collect();
    let of_judged =
        |series: &String| label(series, "observer_workload").is_none_or(|workload| judged.contains(workload));
    values.into_iter().filter(|(series, _)| of_judged(series)).collect()
}

/// The value of a series' label; names of generated workloads hold no quotes.
fn label<'a>(series: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = series.split_once(&format!("{name}=\""))?;
    after.split('"').next()
}
