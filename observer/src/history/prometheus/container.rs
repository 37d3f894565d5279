//! What is known of one container: reads the series of its metrics, produces rows for its detector.

use std::{collections::BTreeMap, sync::Arc};

use observer_core::{
    detect::replay::{Replay, Row},
    exit::Cause,
};

use super::{HistorySink, answer::Series, track::Track};

/// Where a container is: the same over restarts in place.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Its namespace.
    pub namespace: String,
    /// Its pod.
    pub pod: String,
    /// Its name in the pod.
    pub container: String,
}

impl Place {
    /// `namespace/pod/container`: the name of its series.
    pub fn name(&self) -> String {
        format!("{}/{}/{}", self.namespace, self.pod, self.container)
    }

    /// Whose series these labels name; `None` for a pod's sum and its sandbox: the containers' own series hold the same.
    pub fn of(labels: &BTreeMap<String, String>) -> Option<Self> {
        let first = |names: &[&str]| {
            let mut values = names.iter().filter_map(|name| labels.get(*name));
            values.find(|value| !value.is_empty()).cloned().unwrap_or_default()
        };
        // kube-state-metrics tells of others: where its own labels come before theirs, theirs are renamed.
        let container = first(&["exported_container", "container", "container_name", "name"]);
        let pause = container == "POD" || container.is_empty();
        (!pause).then(|| Self {
            namespace: first(&["exported_namespace", "namespace"]),
            pod: first(&["exported_pod", "pod", "pod_name"]),
            container,
        })
    }
}

/// Kinds of the owners of pods, by namespace and pod.
pub type Kinds = BTreeMap<(String, String), String>;

/// The pod that these labels of `kube_pod_info` are about, and its owner's kind.
pub fn owner(labels: &BTreeMap<String, String>) -> Option<((String, String), String)> {
    let first = |names: [&str; 2]| {
        let mut values = names.iter().filter_map(|name| labels.get(*name));
        values.find(|value| !value.is_empty()).cloned().unwrap_or_default()
    };
    let pod = (
        first(["exported_namespace", "namespace"]),
        first(["exported_pod", "pod"]),
    );
    Some((pod, labels.get("created_by_kind")?.clone()))
}

/// What one container's metrics say.
#[derive(Debug, Default)]
pub struct Container {
    rss: Track<f64>,
    working_set: Track<f64>,
    swap: Track<f64>,
    cache: Track<f64>,
    limit: Track<f64>,
    cpu: Track<f64>,
    restarts: Track<f64>,
    started: Track<f64>,
    reasons: Track<Cause>,
    /// Images, by when each was first seen; with it, until when.
    images: BTreeMap<i64, (i64, Arc<str>)>,
}

/// Milliseconds without a value after which a series begins anew: Prometheus looks back for five minutes.
const APART: i64 = 300_000;

/// Puts a series where it belongs.
pub fn sort(series: Series, containers: &mut BTreeMap<Place, Container>, kinds: &mut Kinds) -> Result<(), String> {
    let label = |name: &str| series.metric.get(name).map_or("", String::as_str);
    let name = label("__name__");
    if name.is_empty() {
        return Err("a series without a name: query the metric itself, not an expression of it".to_owned());
    }
    if name == "kube_pod_info" {
        kinds.extend(owner(&series.metric));
        return Ok(());
    }
    let Some(place) = Place::of(&series.metric) else {
        return Ok(());
    };
    let held = containers.entry(place).or_default();
    held.image(label("image"), &series.values.finite);
    let memory = label("resource") == "memory";
    let into = match name {
        "container_memory_rss" => &mut held.rss,
        "container_memory_working_set_bytes" => &mut held.working_set,
        "container_memory_swap" => &mut held.swap,
        "container_memory_cache" => &mut held.cache,
        "container_spec_memory_limit_bytes" => &mut held.limit,
        "kube_pod_container_resource_limits" if memory => &mut held.limit,
        "kube_pod_container_resource_limits" => return Ok(()),
        "container_cpu_usage_seconds_total" => &mut held.cpu,
        "kube_pod_container_status_restarts_total" => &mut held.restarts,
        "container_start_time_seconds" => &mut held.started,
        "kube_pod_container_status_last_terminated_reason" => {
            let cause = match label("reason") {
                "OOMKilled" => Cause::KernelOom,
                "Completed" => Cause::Completed,
                "Error" | "ContainerCannotRun" | "DeadlineExceeded" => Cause::ErrorExit,
                _ => Cause::Unknown,
            };
            let told = series.values.finite.iter().filter(|(_, value)| *value == 1.0);
            held.reasons
                .merge(told.map(|(t, _)| (*t, cause)).collect(), |_, new| new);
            return Ok(());
        }
        other => return Err(format!("{other} is not used")),
    };
    // Two series of one container (restarts make new cgroups): the larger is the living one, and counters add up to it.
    into.merge(series.values.finite, f64::max);
    Ok(())
}

impl Container {
    fn image(&mut self, image: &str, values: &[(i64, f64)]) {
        if image.is_empty() {
            return;
        }
        let image: Arc<str> = image.into();
        for stretch in values.chunk_by(|a, b| b.0 - a.0 <= APART) {
            let (Some((from, _)), Some((to, _))) = (stretch.first(), stretch.last()) else {
                continue;
            };
            // An old life's series lingers beside its successor's: the one that goes on longer is the living one.
            let held = self.images.entry(*from).or_insert_with(|| (*to, Arc::clone(&image)));
            if held.0 < *to {
                *held = (*to, Arc::clone(&image));
            }
        }
    }

    /// Nothing more will come for the time so far: keeps what makes a difference.
    pub fn seal(&mut self) {
        let Self {
            swap,
            cache,
            limit,
            cpu,
            restarts,
            started,
            reasons,
            ..
        } = self;
        for track in [swap, cache, limit, cpu, restarts, started] {
            track.seal();
        }
        reasons.seal();
        let mut before: Option<Arc<str>> = None;
        self.images
            .retain(|_, (_, image)| before.replace(Arc::clone(image)).as_ref() != Some(image));
    }

    /// Whether a level of it is known.
    pub const fn has_level(&self) -> bool {
        !self.rss.is_empty() || !self.working_set.is_empty()
    }

    /// Whether its restarts are counted, or its starts known.
    pub const fn has_restarts(&self) -> bool {
        !self.restarts.is_empty() || !self.started.is_empty()
    }

    /// Feeds its rows to a detector, and lets `ear` hear them and what is said.
    pub fn judge(&self, name: &str, kind: Option<&str>, replay: &mut Replay, ear: &mut dyn HistorySink) {
        let levels = if self.rss.is_empty() {
            &self.working_set
        } else {
            &self.rss
        };
        let restarts = if self.restarts.is_empty() {
            &self.started
        } else {
            &self.restarts
        };
        let run_at = |t: i64| restarts.latest(t).map_or(0, |count| (count * 1_000.0) as i64 as u64);
        let mut before: Option<(i64, f64)> = None;
        // Counters of restarts begin anew, and times are large: runs are numbered as they come.
        let mut number = 0;
        let mut times = levels.iter().copied().peekable();
        while let Some((t, level)) = times.next() {
            let run = run_at(t);
            let next = times.peek().map(|(t, _)| *t).filter(|next| run_at(*next) != run);
            // Reasons are exported after the fact: the first one told once the next run is there.
            let end = next.map(|next| self.reasons.latest(next + 120_000).unwrap_or(Cause::Unknown));
            let total = self.cpu.latest(t);
            let cpu = match (before, total) {
                (Some((then, held)), Some(now)) if now >= held && t > then => {
                    Some((now - held) * 1_000.0 / (t - then) as f64)
                }
                (_, Some(_)) => Some(0.0),
                _ => None,
            };
            before = total.map(|total| (t, total));
            let image = self
                .images
                .range(..=t)
                .next_back()
                .or_else(|| self.images.iter().next());
            let row = Row {
                series: name,
                t: t as f64 / 1_000.0,
                anon: level + self.swap.latest(t).unwrap_or(0.0),
                file: self.cache.latest(t),
                limit: self.limit.latest(t),
                cpu,
                run: Some(number),
                end,
                version: image.map(|(_, (_, image))| &**image),
                kind,
                heap_limit: None,
            };
            ear.row(&row);
            replay.row(&row, &mut |series, said| ear.said(series, said));
            ear.judged(&row, replay);
            number += u64::from(next.is_some());
        }
    }
}
