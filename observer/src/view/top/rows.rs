//! The lines of the board: reads what is watched, produces a line for each life, in the order and with the names wanted.

use observer_core::{
    detect::State,
    engine::view::{SlotView, WorkloadView},
};

use crate::view::workloads::{Watched, instance, rank, service, shown};

/// What is watched, at one instant.
#[derive(Clone, Debug, Default)]
pub struct Instant {
    /// Workloads as they stand.
    pub watched: Vec<Watched>,
    /// Seconds since 1970.
    pub now_s: f64,
    /// Where it comes from: the host, or a recording and how far it has been played.
    pub source: String,
    /// Why there is nothing newer, where that is so.
    pub trouble: Option<String>,
}

/// Which life: the workload, the slot, and which of several alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) node: String,
    pub(super) workload: String,
    pub(super) slot: String,
    pub(super) instance: u32,
}

/// A life.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) key: Key,
    pub(super) service: String,
    pub(super) instance: String,
    pub(super) version: String,
    pub(super) state: State,
    /// What is said of it, or how it ended.
    pub(super) says: String,
    pub(super) running: bool,
    pub(super) level: Option<u64>,
    pub(super) ceiling: Option<u64>,
    pub(super) slope: Option<f64>,
    pub(super) left_s: Option<f64>,
    pub(super) run: u64,
    pub(super) up_s: Option<f64>,
}

/// What comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Those reported to leak, of them those that die soonest.
    #[default]
    State,
    /// The nearest to their ceiling.
    Ratio,
    /// The fastest growing.
    Slope,
    /// The largest.
    Level,
    /// By name.
    Name,
}

impl Order {
    /// The next of them.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::State => Self::Ratio,
            Self::Ratio => Self::Slope,
            Self::Slope => Self::Level,
            Self::Level => Self::Name,
            Self::Name => Self::State,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::State => "by state",
            Self::Ratio => "by % of ceiling",
            Self::Slope => "by slope",
            Self::Level => "by level",
            Self::Name => "by name",
        }
    }
}

/// What is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// Everything.
    #[default]
    All,
    /// What something is said of.
    Reported,
    /// What runs.
    Running,
}

impl Filter {
    /// The next of them.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::All => Self::Reported,
            Self::Reported => Self::Running,
            Self::Running => Self::All,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Reported => "reported",
            Self::Running => "running",
        }
    }

    fn takes(self, row: &Row) -> bool {
        match self {
            Self::All => true,
            Self::Reported => rank(row.state) > State::Quiet,
            Self::Running => row.running,
        }
    }
}

/// All lives.
pub(super) fn all(instant: &Instant) -> impl Iterator<Item = Row> {
    let now_s = instant.now_s;
    let slots = instant.watched.iter().flat_map(slots_shown);
    slots.map(move |(watched, slot)| row(watched, slot, now_s))
}

fn slots_shown(watched: &Watched) -> impl Iterator<Item = (&Watched, &SlotView)> {
    shown(&watched.workload).map(move |slot| (watched, slot))
}

/// Those wanted, in order.
pub(super) fn sorted(mut rows: Vec<Row>, order: Order, filter: Filter, search: &str) -> Vec<Row> {
    let search = search.to_lowercase();
    let found = |row: &Row| {
        let names = [&row.service, &row.key.node, &row.instance, &row.version, &row.says];
        search.is_empty() || names.into_iter().any(|name| name.to_lowercase().contains(&search))
    };
    rows.retain(|row| filter.takes(row) && found(row));
    // The larger comes first.
    let weight = |row: &Row| match order {
        Order::State => -row.left_s.unwrap_or(f64::MAX),
        Order::Ratio => ratio(row).unwrap_or(-1.0),
        Order::Slope => row.slope.unwrap_or(f64::MIN),
        Order::Level => row.level.map_or(-1.0, |level| level as f64),
        Order::Name => 0.0,
    };
    rows.sort_by(|a, b| {
        let state = match order {
            Order::State => rank(b.state).cmp(&rank(a.state)),
            _ => std::cmp::Ordering::Equal,
        };
        state
            .then_with(|| weight(b).total_cmp(&weight(a)))
            .then_with(|| (&a.service, &a.key).cmp(&(&b.service, &b.key)))
    });
    rows
}

/// The level as a share of the ceiling.
pub(super) fn ratio(row: &Row) -> Option<f64> {
    let ceiling = row.ceiling.filter(|ceiling| *ceiling > 0)?;
    Some(row.level? as f64 / ceiling as f64)
}

/// The life of this key.
pub(super) fn find<'a>(instant: &'a Instant, wanted: &Key) -> Option<(&'a WorkloadView, &'a SlotView)> {
    let slots = |watched: &'a Watched| watched.workload.slots.iter().map(move |slot| (watched, slot));
    let mut all = instant.watched.iter().flat_map(slots);
    let (watched, slot) = all.find(|(watched, slot)| key(watched, slot) == *wanted)?;
    Some((&watched.workload, slot))
}

fn key(Watched { node, workload }: &Watched, slot: &SlotView) -> Key {
    Key {
        node: node.clone(),
        workload: format!("{}/{}", workload.workload.kind, service(workload)),
        slot: slot.slot.to_string(),
        instance: slot.instance,
    }
}

fn row(watched: &Watched, slot: &SlotView, now_s: f64) -> Row {
    let workload = &watched.workload;
    let run = slot.current.as_ref();
    let last = slot.ended.last();
    let version = match run {
        Some(run) => run.version.as_ref(),
        None => last.and_then(|run| run.version.as_ref()),
    };
    let says = match (run, last) {
        (None, Some(last)) => last.cause().name(),
        _ => slot.state.name(),
    };
    Row {
        key: key(watched, slot),
        service: service(workload),
        instance: run.map_or_else(|| "ended".to_owned(), |run| instance(slot, run)),
        version: version.map_or_else(|| "-".to_owned(), |version| version.0.clone()),
        state: slot.state,
        says: says.to_owned(),
        running: run.is_some(),
        level: run.and_then(|run| run.level),
        ceiling: run.and_then(|run| run.ceiling).map(|ceiling| ceiling.bytes),
        slope: slot.slope_bytes_per_hour,
        left_s: slot.time_to_ceiling_s,
        run: run.map_or(slot.runs, |run| run.run),
        up_s: run.map(|run| (now_s - run.started.0 as f64 / 1e9).max(0.0)),
    }
}
