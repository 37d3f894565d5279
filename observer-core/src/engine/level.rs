//! Levels: reads samples, produces points for detection, `near_ceiling`, `misfit`, and when to trace growth.

use observer_common::growth::PLACES;

use super::Engine;
use crate::{
    Output, Request,
    detect::{
        DetectConfig, Point, SlotDetector,
        growth::{ceiling, misfit::misfit},
    },
    finding::{Ceiling, CeilingKind, Confidence, Event, NearCeiling},
    process::{ProcessFacts, ProcessKey, Runtime},
    registry::{ContainerId, Home, SlotId, heap_watch::Level},
    sample::{CgroupLevel, Growth, Sample},
    time::{BootTime, SECOND},
    v8_limit,
};

/// Points kept for a run whose predecessor is being settled: a grace is a few samples long.
const MAX_EARLY: usize = 16;

impl Engine {
    /// Settings of a slot's detector.
    pub(super) fn detection(&self, job: bool) -> DetectConfig {
        DetectConfig {
            time_scale: self.settings.time_scale,
            job,
            host_memory: Some(self.host.memory).filter(|bytes| *bytes > 0),
        }
    }

    pub(super) fn sample(&mut self, at: BootTime, sample: &Sample, out: &mut Output) {
        let Some(process) = self.registry.processes.get_mut(&sample.process) else {
            return;
        };
        if !process.alive() {
            return;
        }
        if let (Some(before), Some(now)) = (process.rss, sample.rss) {
            let seconds = at.since(process.sampled) as f64 / SECOND as f64;
            if seconds > 0.0 {
                process.pace = (now as f64 - before as f64) / seconds;
            }
        }
        process.rss = sample.rss.or(process.rss);
        process.rss_seen = process.rss_seen.max(sample.rss);
        process.rss_anon = sample.rss_anon.or(process.rss_anon);
        process.sampled = at;
        let Some(id) = process.container else { return };
        if self.registry.containers.get(id).is_some_and(|c| c.left_out) {
            return;
        }
        self.level(at, id, sample, out);
    }

    fn level(&mut self, at: BootTime, id: ContainerId, sample: &Sample, out: &mut Output) {
        let Some(container) = self.registry.containers.get_mut(id) else {
            return;
        };
        if let Some(kills) = sample.cgroup.as_ref().and_then(|c| c.oom_kills) {
            let cgroup = container.cgroup.clone();
            container.count_oom_kills(at, &cgroup, kills);
        }
        // One point per round of samples: the main process's, or the first one's while there is none.
        let speaker = if container.main_dead {
            container.members.first().copied()
        } else {
            Some(container.main)
        };
        if speaker != Some(sample.process) || at < container.run.sampled {
            return;
        }
        let tree = matches!(container.home, Home::Tree(_));
        let (trend, usage, peak) = match &sample.cgroup {
            Some(cgroup) if !tree => (cgroup.trend(), cgroup.usage, cgroup.peak),
            _ => {
                let of = |key: &ProcessKey| self.registry.processes.get(key);
                let anon = container
                    .members
                    .iter()
                    .filter_map(of)
                    .filter_map(|p| p.rss_anon)
                    .fold(0, u64::saturating_add);
                let rss = container
                    .members
                    .iter()
                    .filter_map(of)
                    .filter_map(|p| p.rss)
                    .fold(0, u64::saturating_add);
                (anon, rss, None)
            }
        };
        let main = self.registry.processes.get(&container.main);
        let facts = main.and_then(|p| p.facts.as_deref());
        let rss = main.and_then(|p| p.rss);
        let own = sample.cgroup.as_ref().filter(|_| !tree);
        let other_processes = main
            .and_then(|p| p.rss_anon)
            .filter(|_| container.members.len() > 1)
            .map_or(0, |main| trend.saturating_sub(main));
        let run = &mut container.run;
        run.samples += 1;
        run.sampled = at;
        run.trend = Some(trend);
        run.usage = Some(usage);
        run.cgroup_usage = sample.cgroup.as_ref().map(|cgroup| cgroup.usage);
        run.rss = rss;
        run.anon = own.map(|cgroup| cgroup.anon);
        run.page_cache = own.map(|cgroup| cgroup.file);
        run.working_set = own.map(|cgroup| cgroup.usage.saturating_sub(cgroup.inactive_file));
        run.peak = run.peak.max(usage).max(peak.unwrap_or(0));
        run.peak_trend = run.peak_trend.max(trend);
        run.limit = sample
            .cgroup
            .as_ref()
            .and_then(|c| c.limit.clone())
            .filter(|l| ceiling::sane(l.bytes));
        // A limit that a bare process shares with others is no ceiling of what it holds alone.
        run.ceilings.cgroup = run.limit.as_ref().filter(|_| !tree).map(|l| Ceiling {
            bytes: l.bytes,
            kind: if l.cgroup == container.cgroup {
                CeilingKind::Cgroup
            } else {
                CeilingKind::CgroupAncestor
            },
        });
        if let Some(facts) = facts.filter(|facts| run.heap_limit_of != Some(facts.key)) {
            run.heap_limit_of = Some(facts.key);
            // Node looks at the cgroup it is in, which may lie below its container's.
            let seen = sample.cgroup.as_ref().filter(|_| facts.cgroup == container.cgroup);
            run.heap_limit = heap_limit(facts, seen, self.host.cgroup_version, self.host.memory);
        }
        run.ceilings.v8 = run
            .heap_limit
            // Files in memory are in the level and in no process.
            .map(|limit| {
                ceiling::v8_ceiling(limit).saturating_add(other_processes.max(own.map_or(0, |cgroup| cgroup.shmem)))
            });
        let growth = sample.growth.as_deref().map(net);
        run.growth = growth.or(run.growth);
        let point = Point {
            at,
            trend,
            file: own.map_or(0, |c| c.file),
            shmem: own.map_or(0, |c| c.shmem),
            slab: own.map_or(0, |c| c.slab_unreclaimable),
            cpu_ns: own.and_then(|c| c.cpu_ns),
            growth,
            ceilings: run.ceilings,
            heap_limit: run.heap_limit,
            other_processes,
        };
        let (slot, shmem) = (container.slot.clone(), point.shmem);
        self.watch_resource(at, id, out);
        self.crash_loop_over(at, id, out);
        self.misfit(at, id, out);
        self.point(id, &slot, point, out);
        self.near_ceiling(at, id, trend, out);
        self.trace(at, id, trend, out);
        self.watch_heap(at, id, Level { all: trend, shmem }, out);
    }

    /// To the detector, or kept for it while the run before is being settled.
    fn point(&mut self, id: ContainerId, slot: &SlotId, point: Point, out: &mut Output) {
        let Some(state) = self.registry.slots.get_mut(slot) else {
            return;
        };
        if state.current == Some(id) {
            let verdict = state.detector.observe(&point);
            self.verdict(id, verdict, out);
        } else if let Some(run) = self.registry.containers.get_mut(id).map(|c| &mut c.run)
            && run.early.len() < MAX_EARLY
        {
            run.early.push(point);
        }
    }

    /// Said once of a slot and a pair of numbers.
    fn misfit(&mut self, at: BootTime, id: ContainerId, out: &mut Output) {
        let Some(container) = self.registry.containers.get(id) else {
            return;
        };
        let run = &container.run;
        let Some((heap_limit, limit)) = run.heap_limit.zip(container.own_limit().map(|l| l.bytes)) else {
            return;
        };
        let Some(state) = self.registry.slots.get_mut(&container.slot) else {
            return;
        };
        if state.misfit == Some((heap_limit, limit)) {
            return;
        }
        state.misfit = Some((heap_limit, limit));
        if let Some(misfit) = misfit(heap_limit, limit) {
            let contradicted_by =
                "a heap limit set by the program itself (v8.setFlagsFromString), which is not seen from outside";
            self.find(
                id,
                at,
                Event::Misfit(misfit),
                Confidence::Inferred,
                contradicted_by,
                out,
            );
        }
    }

    /// Once per run; a run that falls back and comes near again has already been told of.
    fn near_ceiling(&mut self, at: BootTime, id: ContainerId, level: u64, out: &mut Output) {
        let ratio_said = self.settings.near_ceiling_ratio;
        let Some(container) = self.registry.containers.get_mut(id) else {
            return;
        };
        let detector = self.registry.slots.get(&container.slot).map(|slot| &slot.detector);
        let run = &mut container.run;
        let Some(ceiling) = run.ceiling().filter(|c| c.bytes > 0) else {
            return;
        };
        let ratio = level as f64 / ceiling.bytes as f64;
        if ratio < ratio_said || run.near_said {
            return;
        }
        run.near_said = true;
        let slope = detector.and_then(SlotDetector::slope).map(|(slope, _)| slope);
        let left = ceiling.bytes.saturating_sub(level) as f64;
        let confidence = match ceiling.kind {
            CeilingKind::V8Heap | CeilingKind::Learned => Confidence::Inferred,
            _ => Confidence::Observed,
        };
        let event = Event::NearCeiling(NearCeiling {
            ceiling,
            ratio,
            level,
            time_to_ceiling_s: slope.filter(|slope| *slope > 0.0).map(|slope| left / slope * 3_600.0),
        });
        self.find(
            id,
            at,
            event,
            confidence,
            "a higher limit at the time of the sample; the one in force was read",
            out,
        );
    }

    /// Growth is traced while a run grows, and only then: each traced call costs the application time.
    fn trace(&mut self, at: BootTime, id: ContainerId, trend: u64, out: &mut Output) {
        let Some(container) = self.registry.containers.get_mut(id) else {
            return;
        };
        let process = container.main;
        let dead = container.main_dead;
        if let Some(on) = container.run.growth(at, trend, self.settings.time_scale)
            && !dead
        {
            out.requests.push(Request::Trace { process, on });
        }
    }
}

/// Net growth by place.
fn net(growth: &[Growth]) -> [i64; PLACES] {
    std::array::from_fn(|i| growth.get(i).map_or(0, |g| g.grown.wrapping_sub(g.shrunk) as i64))
}

/// V8's heap limit, predicted from what the process saw of its own cgroup.
fn heap_limit(facts: &ProcessFacts, level: Option<&CgroupLevel>, cgroup_version: u8, host_memory: u64) -> Option<u64> {
    let Runtime::Node { version, .. } = &facts.runtime else {
        return None;
    };
    // Sources older than `own_limit` tell only the lowest limit and where it is set.
    let nearest = |level: &CgroupLevel| {
        level
            .limit
            .as_ref()
            .filter(|limit| limit.cgroup == facts.cgroup)
            .map(|limit| limit.bytes)
    };
    let inputs = v8_limit::Inputs {
        major: version
            .as_deref()?
            .trim_start_matches('v')
            .split('.')
            .next()?
            .parse()
            .ok()?,
        limit: level.and_then(|level| level.own_limit.or_else(|| nearest(level))),
        high: level.and_then(|level| level.high),
        cgroup_version,
        containerised: facts.containerised,
        host_memory,
        flags: facts.heap_flags,
    };
    v8_limit::heap_limit(&inputs).map(|limit| limit.bytes)
}
