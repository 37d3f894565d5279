//! What is asked: reads selectors, metrics and places, produces queries.

use std::collections::BTreeSet;

use crate::history::prometheus::container::Place;

/// A metric that histories are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Metric {
    /// Its name.
    pub(super) name: &'static str,
    /// Matchers beyond whose it is.
    matchers: &'static str,
    /// kube-state-metrics tells it, of others.
    state: bool,
    /// Asked only where this is missing.
    pub(super) instead_of: Option<Missing>,
}

/// What a metric stands in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// A container without `container_memory_rss`.
    Level,
    /// One without `kube_pod_container_status_restarts_total`.
    Restarts,
}

const fn of_container(name: &'static str) -> Metric {
    Metric {
        name,
        matchers: "",
        state: false,
        instead_of: None,
    }
}

const fn of_state(name: &'static str, matchers: &'static str) -> Metric {
    Metric {
        name,
        matchers,
        state: true,
        instead_of: None,
    }
}

/// In the order they are asked in: what stands in for another comes after it.
pub(super) const METRICS: [Metric; 10] = [
    of_container("container_memory_rss"),
    Metric {
        instead_of: Some(Missing::Level),
        ..of_container("container_memory_working_set_bytes")
    },
    of_container("container_memory_swap"),
    of_container("container_memory_cache"),
    of_container("container_spec_memory_limit_bytes"),
    of_state("kube_pod_container_resource_limits", ",resource=\"memory\""),
    of_container("container_cpu_usage_seconds_total"),
    of_state("kube_pod_container_status_restarts_total", ""),
    Metric {
        instead_of: Some(Missing::Restarts),
        ..of_container("container_start_time_seconds")
    },
    of_state("kube_pod_container_status_last_terminated_reason", ""),
];

/// Metrics of which a container needs one.
pub(super) const LEVELS: [&str; 2] = ["container_memory_rss", "container_memory_working_set_bytes"];

/// Which of several names a label goes by here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Names {
    /// `pod`, or `pod_name` of old.
    pub(super) pod: &'static str,
    /// `container`, `container_name` of old, or `name` where there is no Kubernetes.
    pub(super) container: &'static str,
}

impl Names {
    /// The label that tells pods apart, or containers where there are no pods.
    pub(super) fn unit(&self) -> &'static str {
        if self.container == "name" { "name" } else { self.pod }
    }
}

/// All of them.
pub(super) const NAMES: [Names; 3] = [
    Names {
        pod: "pod",
        container: "container",
    },
    Names {
        pod: "pod_name",
        container: "container_name",
    },
    Names {
        pod: "pod",
        container: "name",
    },
];

/// Containers that are asked for together: those of some pods of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// Their namespace.
    pub(super) namespace: String,
    /// How their labels are called.
    pub(super) names: Names,
    /// Whose histories are wanted.
    pub(super) places: Vec<Place>,
}

impl Batch {
    /// In two, where it can be divided.
    pub(super) fn halves(&self) -> Option<(Self, Self)> {
        let pods: BTreeSet<&String> = self.places.iter().map(|place| &place.pod).collect();
        // The pods of one batch, or the containers where there is one pod or none.
        let middle = if pods.len() > 1 {
            let (first, last) = (pods.first()?, pods.iter().nth(pods.len() / 2)?);
            debug_assert!(first < last);
            self.places.iter().position(|place| place.pod == ***last)?
        } else {
            self.places.len() / 2
        };
        let (first, second) = self.places.split_at_checked(middle)?;
        let part = |places: &[Place]| Self {
            places: places.to_vec(),
            ..self.clone()
        };
        (!first.is_empty() && !second.is_empty()).then(|| (part(first), part(second)))
    }

    /// The selector of a metric of these containers; `exported` where kube-state-metrics' labels are renamed.
    pub(super) fn selector(&self, metric: &Metric, selector: &str, exported: bool) -> String {
        let prefix = if exported && metric.state { "exported_" } else { "" };
        let names = if metric.state { NAMES[0] } else { self.names };
        let one_of = |label: &str, of: fn(&Place) -> &String| {
            let values: BTreeSet<&String> = self.places.iter().map(of).collect();
            let values: Vec<String> = values.into_iter().map(|value| literal(value)).collect();
            format!("{prefix}{label}=~{}", quoted(&values.join("|")))
        };
        let mut text = format!(
            "{}{{{prefix}namespace={},{},{}{}",
            metric.name,
            quoted(&self.namespace),
            one_of(names.pod, |place| &place.pod),
            one_of(names.container, |place| &place.container),
            metric.matchers
        );
        if !metric.state && !selector.is_empty() {
            text += &format!(",{selector}");
        }
        text + "}"
    }
}

/// Selectors of all levels of containers, by how their labels are called.
pub(super) fn levels(metric: &str, namespaces: &[String], selector: &str) -> [String; 3] {
    let mut more = String::new();
    if !namespaces.is_empty() {
        let values: Vec<String> = namespaces.iter().map(|namespace| literal(namespace)).collect();
        more += &format!(",namespace=~{}", quoted(&values.join("|")));
    }
    if !selector.is_empty() {
        more += &format!(",{selector}");
    }
    [
        format!("{metric}{{container!=\"\",container!=\"POD\"{more}}}"),
        format!("{metric}{{container=\"\",container_name!=\"\",container_name!=\"POD\"{more}}}"),
        format!("{metric}{{container=\"\",container_name=\"\",name!=\"\"{more}}}"),
    ]
}

/// A string of PromQL.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted += "\\n",
            other => quoted.push(other),
        }
    }
    quoted + "\""
}

/// A regular expression (RE2) that matches nothing but `text`.
pub(super) fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for letter in text.chars() {
        if "\\.+*?()|[]{}^$".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

/// The matchers between the braces, which are not needed.
pub(super) fn matchers(text: &str) -> String {
    let text = text.trim();
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    inner.unwrap_or(text).trim().trim_end_matches(',').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(pods: &[&str]) -> Batch {
        Batch {
            namespace: "shop".to_owned(),
            names: NAMES[0],
            places: pods
                .iter()
                .map(|pod| Place {
                    namespace: "shop".to_owned(),
                    pod: (*pod).to_owned(),
                    container: "api".to_owned(),
                })
                .collect(),
        }
    }

    #[test]
    fn names_are_taken_literally() {
        let batch = batch(&["a.b", "c\"d\\"]);
        assert_eq!(
            batch.selector(&METRICS[0], "zone=\"a\"", false),
            r#"container_memory_rss{namespace="shop",pod=~"a\\.b|c\"d\\\\",container=~"api",zone="a"}"#
        );
        assert_eq!(
            batch.selector(&METRICS[5], "zone=\"a\"", true),
            r#"kube_pod_container_resource_limits{exported_namespace="shop",exported_pod=~"a\\.b|c\"d\\\\",exported_container=~"api",resource="memory"}"#
        );
    }

    #[test]
    fn halves_keep_a_pod_together_and_end_at_one_container() {
        let (first, second) = batch(&["a", "a", "b", "c"]).halves().unwrap();
        assert_eq!((first.places.len(), second.places.len()), (2, 2));
        let (first, second) = batch(&["a", "a"]).halves().unwrap();
        assert_eq!((first.places.len(), second.places.len()), (1, 1));
        assert_eq!(batch(&["a"]).halves(), None);
    }
}
