//! Fleets before the real rules: reads replicas, produces what promtool's engine says of expressions over them.

use std::{collections::BTreeMap, fmt::Write as _};

use observer_core::detect::State;
use observer_tests::fleet::promtool::ask;

use super::replica::{EVERY, LIMIT, Replica, Reported, play};

/// A fleet, as Prometheus would have it.
pub(crate) struct Fleet {
    series: String,
    /// When an agent first said `likely` of one replica alone, hours.
    pub(crate) first_alone: Option<f64>,
}

impl Fleet {
    /// Plays all replicas of one workload.
    pub(crate) fn of(replicas: &[Replica], hours: f64) -> Self {
        let mut fleet = Self {
            series: String::new(),
            first_alone: None,
        };
        let all: Vec<Vec<Option<Reported>>> = std::thread::scope(|scope| {
            let halves = replicas
                .chunks(replicas.len().div_ceil(2).max(1))
                .map(|half| scope.spawn(move || half.iter().map(|replica| play(replica, hours)).collect::<Vec<_>>()));
            let halves: Vec<_> = halves.collect();
            halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
        });
        for (replica, reported) in replicas.iter().zip(&all) {
            fleet.add(replica, reported);
        }
        fleet
    }

    fn add(&mut self, replica: &Replica, reported: &[Option<Reported>]) {
        let instance = format!("shop.checkout-{}-{}.api", replica.version, replica.number);
        let pace = |value: fn(&observer_core::detect::Pace) -> f64| {
            move |reported: &Reported| reported.pace.as_ref().map(value)
        };
        self.put(
            "observer_memory_slope_bytes_per_hour",
            "",
            replica,
            &instance,
            reported,
            pace(|p| p.slope),
        );
        let error = "observer_memory_slope_standard_error_bytes_per_hour";
        self.put(error, "", replica, &instance, reported, pace(|p| p.standard_error));
        self.put(
            "observer_memory_slope_late_bytes_per_hour",
            "",
            replica,
            &instance,
            reported,
            pace(|p| p.late),
        );
        self.put(
            "observer_memory_slope_span_seconds",
            "",
            replica,
            &instance,
            reported,
            pace(|p| p.hours * 3_600.0),
        );
        self.put(
            "observer_memory_floor_bytes",
            "",
            replica,
            &instance,
            reported,
            pace(|p| p.floor),
        );
        self.put(
            "observer_memory_level_bytes",
            "",
            replica,
            &instance,
            reported,
            |reported| Some(reported.level),
        );
        let kind = r#",observer_memory_ceiling_kind="cgroup""#;
        self.put(
            "observer_memory_ceiling_bytes",
            kind,
            replica,
            &instance,
            reported,
            |_| Some(LIMIT),
        );
        let left = "observer_memory_time_to_ceiling_seconds";
        self.put(left, "", replica, &instance, reported, |reported| {
            reported.time_to_ceiling_s
        });
        self.put("observer_leak_state", "", replica, &instance, reported, |reported| {
            Some(match reported.state {
                State::Quiet => 0.0,
                State::Suspected => 1.0,
                State::Likely => 2.0,
                State::Confirmed => 3.0,
                State::Retracted => 4.0,
                State::Resolved => 5.0,
            })
        });
        // As the node's agent has it, by the node's clock.
        let first_seen = replica.lives.0 * 3_600.0 + replica.ahead;
        let node = format!("node-{}", replica.number);
        self.put(
            "observer_version_first_seen_seconds",
            "",
            replica,
            &node,
            reported,
            |_| Some(first_seen),
        );
        let alone = reported
            .iter()
            .position(|reported| reported.is_some_and(|reported| reported.state == State::Likely));
        let alone = alone.map(|at| at as f64 * EVERY as f64 / 3_600.0);
        self.first_alone = [self.first_alone, alone].into_iter().flatten().reduce(f64::min);
    }

    fn put(
        &mut self,
        name: &str,
        also: &str,
        replica: &Replica,
        instance: &str,
        reported: &[Option<Reported>],
        value: impl Fn(&Reported) -> Option<f64>,
    ) {
        let version = replica.version;
        let _ = write!(
            self.series,
            "  - series: '{name}{{job=\"shop/checkout\",instance=\"{instance}\",observer_workload=\"shop/Deployment/checkout/api\",service_version=\"{version}\"{also}}}'\n    values: '"
        );
        for reported in reported {
            match reported.as_ref().and_then(&value) {
                // Through a scrape a series that is not reported any more is stale at once.
                None => self.series.push_str("stale "),
                Some(value) => {
                    let _ = write!(self.series, "{value:.6e} ");
                }
            }
        }
        self.series.push_str("'\n");
    }

    /// What each expression gives at an hour: labels and value of each sample, sorted.
    pub(crate) fn ask(&self, questions: &[(f64, &str)]) -> Vec<BTreeMap<String, f64>> {
        let questions: Vec<(u64, &str)> = questions
            .iter()
            .map(|(hour, expression)| ((hour * 60.0) as u64, *expression))
            .collect();
        ask(&self.series, EVERY, &questions).unwrap()
    }

    /// The alerts firing at an hour: `alertname version`.
    pub(crate) fn firing(&self, hours: &[f64]) -> Vec<Vec<String>> {
        let expression = r#"sum by (alertname, service_version) (ALERTS{alertstate="firing"})"#;
        let questions: Vec<_> = hours.iter().map(|hour| (*hour, expression)).collect();
        let answers = self.ask(&questions);
        answers.into_iter().map(|answer| answer.into_keys().collect()).collect()
    }
}
