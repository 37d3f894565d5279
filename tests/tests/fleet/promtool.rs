//! Fleets before the real rules: reads replicas, produces what promtool's engine says of expressions over them.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf, process::Command};

use observer_core::detect::State;
use observer_tests::{counterpart, places};

use super::replica::{EVERY, LIMIT, Replica, Reported, play};

/// Where promtool is: the one in `PATH`, or Debian's.
pub(crate) fn program() -> PathBuf {
    counterpart::debian_program("prometheus", "usr/bin/promtool").unwrap()
}

/// A file of `deploy/prometheus`.
pub(crate) fn shipped(name: &str) -> PathBuf {
    places::workspace().join("deploy/prometheus").join(name)
}

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
        let directory = tempfile::tempdir().unwrap();
        // As shipped, but evaluated as often as there are points, not each minute.
        let rules = ["observer.rules.yaml", "observer.alerts.yaml"].map(|name| {
            let text = fs::read_to_string(shipped(name)).unwrap();
            let path = directory.path().join(name);
            let seldom = format!("    interval: {EVERY}s");
            let lines = text.lines().map(|line| {
                if line.starts_with("    interval: ") {
                    seldom.as_str()
                } else {
                    line
                }
            });
            fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
            path.display().to_string()
        });
        let mut text = format!(
            "rule_files: {rules:?}\nevaluation_interval: {EVERY}s\ntests:\n- interval: {EVERY}s\n  input_series:\n{}  promql_expr_test:\n",
            self.series
        );
        // A sample that no expression gives: promtool then says what it got instead.
        for (hour, expression) in questions {
            let _ = write!(
                text,
                "  - expr: '{expression}'\n    eval_time: {}m\n    exp_samples: [{{labels: 'nothing', value: 0}}]\n",
                (hour * 60.0) as u64
            );
        }
        let path = directory.path().join("fleet.yaml");
        fs::write(&path, text).unwrap();
        let output = Command::new(program())
            .args(["test", "rules"])
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let answers: Vec<_> = said.split("expr: \"").skip(1).map(samples).collect();
        assert_eq!(answers.len(), questions.len(), "promtool: {said}");
        answers
    }

    /// The alerts firing at an hour: `alertname version`.
    pub(crate) fn firing(&self, hours: &[f64]) -> Vec<Vec<String>> {
        let expression = r#"sum by (alertname, service_version) (ALERTS{alertstate="firing"})"#;
        let questions: Vec<_> = hours.iter().map(|hour| (*hour, expression)).collect();
        let answers = self.ask(&questions);
        answers.into_iter().map(|answer| answer.into_keys().collect()).collect()
    }
}

/// `got: {a="b"} 1E+00, {a="c"} 2E+00`, or `got: nil`.
fn samples(answer: &str) -> BTreeMap<String, f64> {
    let got = answer.split("got: ").nth(1).and_then(|got| got.lines().next());
    let got = got.unwrap_or_default().trim_start_matches('{');
    got.split(", {")
        .filter_map(|sample| {
            let (labels, value) = sample.rsplit_once("} ")?;
            let values: Vec<&str> = labels.split('"').skip(1).step_by(2).collect();
            Some((values.join(" "), value.trim().parse().ok()?))
        })
        .collect()
}
