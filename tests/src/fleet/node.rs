//! A node: reads what runs on it, or what was recorded, produces its agent's engine at each moment, and what was found and ended since the last.

use std::collections::{BTreeMap, VecDeque};

use observer_core::{
    Engine, Finding, Input, What,
    exit::Cause,
    finding::EndedRun,
    input::{Begin, Settings},
    process::ProcessKey,
    time::{Anchor, BootTime, SECOND, USER_HZ, WallTime},
};

use super::{
    life::{Place, Run},
    plan::{Container, Part, Plan},
    recorded::Recorded,
};
use crate::catalogue::simulate::{self, Row, Series};

/// Seconds from the node's boot to the fleet's beginning.
const UP: f64 = 1_000.0;

/// What an agent knows at one moment.
pub struct Moment<'a> {
    /// Seconds from the fleet's beginning.
    pub t: f64,
    /// The wall clock.
    pub wall: WallTime,
    /// Its engine.
    pub engine: &'a Engine,
    /// What was found since the moment before.
    pub findings: Vec<Finding>,
    /// What ended since then.
    pub ended: Vec<EndedRun>,
    /// Inputs stepped since the beginning.
    pub inputs: u64,
}

/// A container that is played.
struct Played {
    container: Container,
    /// Its current part, and where its row stands.
    part: usize,
    series: Series,
    row: usize,
    run: Option<Run>,
    /// The run as the series counts it.
    number: u64,
    pods: u64,
    restarts: u32,
    /// The pod ended with its last run: the next one is another.
    replaced: bool,
}

/// A node with its agent's engine.
pub struct Node {
    /// Its name.
    pub host: String,
    engine: Engine,
    /// The wall clock at the fleet's beginning.
    began: WallTime,
    played: Vec<Played>,
    interval: f64,
    days: f64,
    pids: u32,
    inputs: u64,
    /// Found and ended since it was last shown.
    findings: Vec<Finding>,
    ended: Vec<EndedRun>,
    now: f64,
    /// When it was last shown.
    shown: f64,
    /// Cgroups that are still to be released, by their ends, milliseconds.
    dead: BTreeMap<u64, Vec<What>>,
    /// What its agent recorded, where its history is a recording: the seconds of Inputs that are still to come.
    recorded: VecDeque<(f64, Input)>,
}

impl Node {
    /// The `number`th node of a plan; its history begins at `began`.
    pub fn new(plan: &Plan, number: u64, began: WallTime) -> Self {
        let host = format!("node-{number}");
        let played = plan.node(number).into_iter().map(Played::new).collect();
        let begin = Begin {
            format: observer_core::recording::LAYOUT,
            agent: env!("CARGO_PKG_VERSION").into(),
            boot_id: host.clone(),
            host: host.clone(),
            clock: Anchor::default(),
            sample_interval_s: plan.interval,
            host_memory: 64 << 30,
            cgroup_version: 2,
            settings: Settings::default(),
        };
        Self::begun(plan, begin, began, played)
    }

    /// A node whose history is a recording, which ends at second `end` of the fleet's.
    pub fn recorded(plan: &Plan, recorded: &Recorded, end: f64, began: WallTime) -> Self {
        let host = format!("recorded-{}", recorded.name);
        let begin = Begin {
            boot_id: host.clone(),
            host,
            ..recorded.begin()
        };
        let mut node = Self::begun(plan, begin, began, Vec::new());
        node.recorded = recorded.inputs(end - recorded.seconds(), boot).collect();
        node
    }

    fn begun(plan: &Plan, begin: Begin, began: WallTime, played: Vec<Played>) -> Self {
        let mut node = Self {
            engine: Engine::new(),
            began,
            played,
            interval: plan.interval,
            days: plan.days,
            pids: 1_000,
            inputs: 0,
            findings: Vec::new(),
            ended: Vec::new(),
            now: 0.0,
            shown: 0.0,
            dead: BTreeMap::new(),
            recorded: VecDeque::new(),
            host: begin.host.clone(),
        };
        let clock = Anchor {
            boot: boot(0.0),
            wall: began,
        };
        node.step(0.0, What::Begin(Box::new(Begin { clock, ..begin })));
        node
    }

    /// Plays up to `end`, seconds from the fleet's beginning, or to the end of its history, and shows the engine each time
    /// that `every` seconds have passed.
    pub fn play(&mut self, end: f64, every: f64, mut show: impl FnMut(Moment<'_>)) {
        let end = end.min(self.days * 86_400.0);
        let mut due: Vec<(u64, usize)> = Vec::new();
        while self.now + self.interval <= end {
            let until = self.now + self.interval;
            // In the order of time: containers are read at different moments of an interval.
            due.clear();
            for (at, played) in self.played.iter().enumerate() {
                let rows = played.series.rows.iter().skip(played.row);
                let offset = played.offset();
                let rows = rows.map(|row| row.t + offset).take_while(|t| *t <= until);
                due.extend(rows.map(|t| ((t * 1e3) as u64, at)));
            }
            due.sort_unstable();
            for (_, at) in &due {
                self.row(*at);
            }
            while let Some((_, input)) = self.recorded.pop_front_if(|(second, _)| *second <= until) {
                self.take(&input);
            }
            for at in 0..self.played.len() {
                self.rolled_out(at, until);
            }
            self.now = until;
            while let Some(entry) = self
                .dead
                .first_entry()
                .filter(|entry| *entry.key() <= (until * 1e3) as u64)
            {
                for what in entry.remove() {
                    self.step(until, what);
                }
            }
            self.step(until, What::Tick);
            if self.now >= self.shown + every {
                self.shown = self.now;
                show(self.moment());
            }
        }
    }

    /// What its agent knows now.
    pub fn moment(&mut self) -> Moment<'_> {
        Moment {
            t: self.now,
            wall: self.wall(self.now),
            findings: std::mem::take(&mut self.findings),
            ended: std::mem::take(&mut self.ended),
            inputs: self.inputs,
            engine: &self.engine,
        }
    }

    fn wall(&self, t: f64) -> WallTime {
        WallTime(self.began.0 + (t * 1e9) as u64)
    }

    fn step(&mut self, t: f64, what: What) {
        self.take(&Input { at: boot(t), what });
    }

    fn take(&mut self, input: &Input) {
        self.inputs += 1;
        let out = self.engine.step(input);
        self.findings.extend(out.findings);
        self.ended.extend(out.ended);
    }

    /// The next row of a container.
    fn row(&mut self, at: usize) {
        let played = &mut self.played[at];
        let row = Row {
            t: played.series.rows[played.row].t + played.offset(),
            ..played.series.rows[played.row]
        };
        played.row += 1;
        if played.run.is_some() && played.number != row.run {
            // Its end was not seen.
            self.end(at, Cause::Terminated, &row);
        }
        let played = &mut self.played[at];
        if played.run.is_none() {
            self.pids += 1;
            let process = ProcessKey {
                pid: self.pids,
                start: ((row.t + UP) * USER_HZ as f64) as u64,
            };
            played.begin(&self.host, process, &row);
            let begin = played.run.as_ref().map(|run| run.begin(played.series.heap_limit));
            for what in begin.into_iter().flatten() {
                self.step(row.t, what);
            }
        }
        let sample = self.played[at].run.as_mut().map(|run| run.sample(&row));
        if let Some(sample) = sample {
            self.step(row.t, sample);
        }
        if let Some(cause) = row.end {
            self.end(at, cause, &row);
        }
    }

    fn end(&mut self, at: usize, cause: Cause, row: &Row) {
        let played = &mut self.played[at];
        let Some(run) = played.run.take() else { return };
        let replaced = matches!(cause, Cause::Rollout | Cause::Terminated | Cause::Completed);
        played.replaced = replaced;
        for what in run.end(cause, row) {
            self.step(row.t, what);
        }
        self.dead
            .entry(((row.t + 5.0) * 1e3) as u64)
            .or_default()
            .push(run.released());
    }

    /// Begins a container's next part where that is due.
    fn rolled_out(&mut self, at: usize, now: f64) {
        let played = &self.played[at];
        let Some(next) = played
            .container
            .parts
            .get(played.part + 1)
            .filter(|part| part.from <= now)
        else {
            return;
        };
        let series = Played::series(next);
        if let Some(last) = played.series.rows.get(played.row.saturating_sub(1)).copied() {
            self.end(at, Cause::Rollout, &Row { t: now, ..last });
        }
        let played = &mut self.played[at];
        played.part += 1;
        played.series = series;
        played.row = 0;
        played.replaced = true;
    }
}

impl Played {
    fn new(container: Container) -> Self {
        let series = container.parts.first().map_or_else(
            || Series {
                spec: crate::catalogue::spec::Spec::default(),
                rows: Vec::new(),
                deaths: Vec::new(),
                began: 0.0,
                heap_limit: None,
                levelled: None,
            },
            Self::series,
        );
        Self {
            container,
            part: 0,
            series,
            row: 0,
            run: None,
            number: 0,
            pods: 0,
            restarts: 0,
            replaced: false,
        }
    }

    fn series(part: &Part) -> Series {
        let mut series = simulate::play(&part.spec);
        // The second by which they are read differs, as sweeps of agents do.
        let shift = (part.spec.seed % 997) as f64 / 997.0 * part.spec.interval;
        series.rows.iter_mut().for_each(|row| row.t += shift);
        series
    }

    fn offset(&self) -> f64 {
        self.container.parts.get(self.part).map_or(0.0, |part| part.from)
    }

    fn begin(&mut self, node: &str, process: ProcessKey, row: &Row) {
        if self.replaced {
            self.pods += 1;
            self.restarts = 0;
        } else if self.number != row.run {
            self.restarts += 1;
        }
        self.replaced = false;
        self.number = row.run;
        let counted = format!("v{}", row.version);
        let named = self.container.parts.get(self.part).and_then(|part| part.version);
        let facts = Place {
            node,
            workload: &self.container.workload,
            owner: self.series.spec.owner,
            replica: self.container.replica,
            version: named.or(Some(counted.as_str()).filter(|_| self.series.spec.versions)),
            pods: self.pods,
            restarts: self.restarts,
        }
        .facts();
        let uid = facts.pod.as_ref().map(|pod| pod.uid.clone()).unwrap_or_default();
        self.run = Some(Run {
            process,
            cgroup: format!("/kubepods/burstable/pod{uid}/{}", facts.id),
            facts,
            cpu_ns: row.cpu.map(|_| 0.0),
            read: row.t,
            counted: self.series.spec.leaks().then_some(row.anon),
        });
    }
}

fn boot(t: f64) -> BootTime {
    BootTime(((t + UP) * SECOND as f64) as u64)
}
