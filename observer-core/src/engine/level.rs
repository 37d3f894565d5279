//! Levels: reads samples, produces points for detection, `near_ceiling`, `misfit`, and when to trace growth.

use super::Engine;
use crate::{
    Output, Request,
    finding::{Ceiling, CeilingKind, Confidence, Event, NearCeiling},
    process::ProcessKey,
    registry::{ContainerId, Home},
    sample::Sample,
    time::{BootTime, SECOND},
};

impl Engine {
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
        process.rss_anon = sample.rss_anon.or(process.rss_anon);
        process.sampled = at;
        let Some(id) = process.container else { return };
        self.level(at, id, sample, out);
    }

    fn level(&mut self, at: BootTime, id: ContainerId, sample: &Sample, out: &mut Output) {
        let Some(container) = self.registry.containers.get_mut(id) else {
            return;
        };
        if let Some(kills) = sample.cgroup.as_ref().and_then(|c| c.oom_kills) {
            let cgroup = container.cgroup.clone();
            container.count_oom_kills(&cgroup, kills);
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
                let anon = container.members.iter().filter_map(of).filter_map(|p| p.rss_anon).sum();
                let rss = container.members.iter().filter_map(of).filter_map(|p| p.rss).sum();
                (anon, rss, None)
            }
        };
        let run = &mut container.run;
        run.samples += 1;
        run.sampled = at;
        run.trend = Some(trend);
        run.usage = Some(usage);
        run.peak = run.peak.max(usage).max(peak.unwrap_or(0));
        run.limit = sample.cgroup.as_ref().and_then(|c| c.limit.clone());
        run.ceilings.cgroup = run.limit.as_ref().map(|l| Ceiling {
            bytes: l.bytes,
            kind: if l.cgroup == container.cgroup {
                CeilingKind::Cgroup
            } else {
                CeilingKind::CgroupAncestor
            },
        });
        self.near_ceiling(at, id, trend, out);
        self.trace(at, id, trend, out);
    }

    /// Once per run; a run that falls back and comes near again has already been told of.
    fn near_ceiling(&mut self, at: BootTime, id: ContainerId, level: u64, out: &mut Output) {
        let ratio_said = self.settings.near_ceiling_ratio;
        let Some(run) = self.registry.containers.get_mut(id).map(|c| &mut c.run) else {
            return;
        };
        let Some(ceiling) = run.ceiling().filter(|c| c.bytes > 0) else {
            return;
        };
        let ratio = level as f64 / ceiling.bytes as f64;
        if ratio < ratio_said || run.near_said {
            return;
        }
        run.near_said = true;
        let confidence = match ceiling.kind {
            CeilingKind::V8Heap | CeilingKind::Learned => Confidence::Inferred,
            _ => Confidence::Observed,
        };
        let event = Event::NearCeiling(NearCeiling {
            ceiling,
            ratio,
            level,
            time_to_ceiling_s: None,
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
