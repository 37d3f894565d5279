//! Finding: reads a server's lists of series, produces the places of all containers that have a level, in batches, and the
//! kinds of their pods' owners. A list that is too long for the server is asked for in parts: by pods, then by time.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    collect::{Span, Talk},
    question::{self, Batch, METRICS, NAMES, Names},
    server::Trouble,
};
use crate::{
    history::prometheus::container::{self, Kinds, Place},
    terminal::say,
};

/// Containers asked for together.
const TOGETHER: usize = 20;
/// Bytes of the names of pods that one question is narrowed to: VictoriaMetrics takes 16 KiB of a query.
const NAMED: usize = 6 << 10;
/// Shortest time that a list is asked for, seconds: the index of VictoriaMetrics is by the day.
const SHORTEST: i64 = 86_400;

/// All containers that have a level, in batches, and what is known of their pods.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) batches: Vec<Batch>,
    pub(super) kinds: Kinds,
}

/// Labels of a series, of which only the place is kept.
#[derive(Deserialize)]
#[serde(from = "BTreeMap<String, String>")]
struct Whose(Option<Place>);

impl From<BTreeMap<String, String>> for Whose {
    fn from(labels: BTreeMap<String, String>) -> Self {
        Self(Place::of(&labels))
    }
}

/// Labels of a series of `kube_pod_info`, of which only the pod and its owner's kind are kept.
#[derive(Deserialize)]
#[serde(from = "BTreeMap<String, String>")]
struct Owned(Option<((String, String), String)>);

impl From<BTreeMap<String, String>> for Owned {
    fn from(labels: BTreeMap<String, String>) -> Self {
        Self(container::owner(&labels))
    }
}

impl Talk {
    /// Finds out which of [`METRICS`] the server has.
    pub(super) async fn meet(&mut self) -> Result<(), Trouble> {
        let names: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
        let ours = format!("{{__name__=~{}}}", question::quoted(&names.join("|")));
        let path = "label/__name__/values";
        let known: Vec<String> = match self.over_time(path, &ours).await {
            // Names alone are a matter of the index.
            Err(Trouble::TooMuch(_)) => self.over_time(path, "").await?.0,
            answer => answer?.0,
        };
        self.metrics = METRICS
            .into_iter()
            .filter(|metric| known.iter().any(|name| name == metric.name))
            .collect();
        Ok(())
    }

    /// Finds all containers that have a level, and how kube-state-metrics' labels are called.
    pub(super) async fn find(&mut self, namespaces: &[String]) -> Result<Found, Trouble> {
        let mut places: BTreeMap<(String, Names), BTreeSet<Place>> = BTreeMap::new();
        for metric in self
            .metrics
            .iter()
            .filter(|metric| question::LEVELS.contains(&metric.name))
        {
            for (names, selector) in NAMES
                .into_iter()
                .zip(question::levels(metric.name, namespaces, &self.selector))
            {
                let found: Vec<Whose> = self.series(&selector, names.unit()).await?;
                for place in found.into_iter().filter_map(|whose| whose.0) {
                    places
                        .entry((place.namespace.clone(), names))
                        .or_default()
                        .insert(place);
                }
            }
        }
        let pods: BTreeSet<&String> = places.values().flatten().map(|place| &place.pod).collect();
        self.exported = self.are_renamed(&pods).await?;
        let label = if self.exported { "exported_pod" } else { "pod" };
        let owned: Vec<Owned> = self.series(&format!("kube_pod_info{{{label}!=\"\"}}"), label).await?;
        let kinds = owned.into_iter().filter_map(|owned| owned.0).collect();
        let batches = places
            .into_iter()
            .flat_map(|((namespace, names), places)| {
                let places: Vec<Place> = places.into_iter().collect();
                batches(&namespace, names, &places)
            })
            .collect();
        Ok(Found { batches, kinds })
    }

    /// Whether what kube-state-metrics tells of these pods is labelled `exported_pod`.
    async fn are_renamed(&self, pods: &BTreeSet<&String>) -> Result<bool, Trouble> {
        let path = "label/exported_pod/values";
        let all = "{__name__=~\"kube_pod_container_.+\",exported_pod!=\"\"}";
        match self.listed::<String>(path, all, self.span, false).await {
            Err(Trouble::TooMuch(_)) => {}
            answer => return answer.map(|pods| !pods.is_empty()),
        }
        let pods: Vec<String> = pods.iter().copied().cloned().collect();
        for part in parts(pods) {
            let some: (Vec<String>, i64) = self.over_time(path, &narrowed(all, "exported_pod", &part)).await?;
            if !some.0.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All series that a selector selects. Where they are too many, those of some values of `label` at a time.
    async fn series<T: DeserializeOwned>(&self, selector: &str, label: &str) -> Result<Vec<T>, Trouble> {
        match self.listed("series", selector, self.span, false).await {
            Err(Trouble::TooMuch(_)) => {}
            answer => return answer,
        }
        let (values, mut piece) = self.over_time(&format!("label/{label}/values"), "").await?;
        let mut left: Vec<Vec<String>> = parts(values);
        let mut all = Vec::new();
        while let Some(mut part) = left.pop() {
            let selector = narrowed(selector, label, &part);
            match self
                .in_pieces("series", &selector, piece, part.len() < 2 && piece <= SHORTEST)
                .await
            {
                Ok(found) => all.extend(found),
                Err(Trouble::TooMuch(_)) if part.len() > 1 => {
                    let second = part.split_off(part.len() / 2);
                    left.extend([second, part]);
                }
                Err(Trouble::TooMuch(_)) if piece > SHORTEST => {
                    piece /= 2;
                    left.push(part);
                }
                // One name, one day.
                Err(Trouble::TooMuch(why)) => say(format_args!(
                    "what has {label}={} is left out, the server does not list it: {why}",
                    question::quoted(&part.concat())
                )),
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(all)
    }

    /// A list of the whole time, and the longest time in seconds that it was answered for at once.
    async fn over_time<T: DeserializeOwned>(&self, path: &str, selector: &str) -> Result<(Vec<T>, i64), Trouble> {
        let mut piece = self.span.end - self.span.start + self.span.step;
        loop {
            match self.in_pieces(path, selector, piece, piece <= SHORTEST).await {
                Err(Trouble::TooMuch(_)) if piece > SHORTEST => piece /= 2,
                answer => return Ok((answer?, piece)),
            }
        }
    }

    /// A list of the whole time, asked for `piece` seconds at a time.
    async fn in_pieces<T: DeserializeOwned>(
        &self,
        path: &str,
        selector: &str,
        piece: i64,
        smallest: bool,
    ) -> Result<Vec<T>, Trouble> {
        let mut all = Vec::new();
        let mut start = self.span.start;
        while start <= self.span.end {
            let end = self.span.end.min(start + piece);
            let span = Span {
                start,
                end,
                ..self.span
            };
            all.extend(self.listed::<T>(path, selector, span, smallest).await?);
            start = end + 1;
        }
        Ok(all)
    }

    /// A list of that time, of all series where there is no selector.
    async fn listed<T: DeserializeOwned>(
        &self,
        path: &str,
        selector: &str,
        span: Span,
        smallest: bool,
    ) -> Result<Vec<T>, Trouble> {
        let mut form = vec![("start", span.start.to_string()), ("end", span.end.to_string())];
        if !selector.is_empty() {
            form.push(("match[]", selector.to_owned()));
        }
        self.patiently(path, &form, smallest).await
    }
}

/// A selector, of these values of `label` only.
fn narrowed(selector: &str, label: &str, values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| question::literal(value)).collect();
    let inner = selector.trim_end_matches('}');
    format!("{inner},{label}=~{}}}", question::quoted(&values.join("|")))
}

/// Values that fit into a question together; none that are empty.
fn parts(values: Vec<String>) -> Vec<Vec<String>> {
    let mut parts: Vec<Vec<String>> = Vec::new();
    let mut bytes = NAMED;
    let different: BTreeSet<String> = values.into_iter().filter(|value| !value.is_empty()).collect();
    for value in different {
        bytes += value.len() + 1;
        if bytes > NAMED {
            parts.push(Vec::new());
            bytes = value.len() + 1;
        }
        if let Some(last) = parts.last_mut() {
            last.push(value);
        }
    }
    parts
}

/// Pods are kept together.
fn batches(namespace: &str, names: Names, places: &[Place]) -> Vec<Batch> {
    let batch = |places: Vec<Place>| Batch {
        namespace: namespace.to_owned(),
        names,
        places,
    };
    let mut all = Vec::new();
    let mut next: Vec<Place> = Vec::new();
    let pods = places.chunk_by(|a, b| a.pod == b.pod && !a.pod.is_empty());
    for pod in pods {
        if !next.is_empty() && next.len() + pod.len() > TOGETHER {
            all.push(batch(std::mem::take(&mut next)));
        }
        next.extend_from_slice(pod);
    }
    if !next.is_empty() {
        all.push(batch(next));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_every_value_once_and_fit() {
        let values: Vec<String> = (0..1_000).map(|nth| format!("{}-{nth}", "a".repeat(40))).collect();
        let asked = parts([values.clone(), values.clone(), vec![String::new()]].concat());
        assert!(asked.len() > 1);
        for part in &asked {
            assert!(!part.is_empty() && part.join("|").len() <= NAMED);
        }
        let all: BTreeSet<String> = asked.into_iter().flatten().collect();
        assert_eq!(all, values.into_iter().collect());
        let long = "b".repeat(2 * NAMED);
        assert_eq!(parts(vec![long.clone()]), [[long]]);
    }

    #[test]
    fn a_selector_is_narrowed_inside_its_braces() {
        assert_eq!(
            narrowed("m{a=\"b\"}", "pod", &["c.d".to_owned(), "e".to_owned()]),
            r#"m{a="b",pod=~"c\\.d|e"}"#
        );
    }
}
