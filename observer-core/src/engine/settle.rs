//! Deaths: reads those whose grace is over, produces their causes, and findings of kills for memory.

use super::{Engine, GRACE, emit::Occurrence, restore::AWAY};
use crate::{
    Output,
    container::owner,
    exit::{self, Cause, End, Evidence, OomKiller, Victim},
    finding::{Event, HeapOom, OomKill, OomScope},
    kernel::ExitStatus,
    process::ProcessKey,
    registry::{Container, ContainerId, Death, Home, Mark, Process},
    time::{BootTime, SECOND},
};

/// An end of the main process explains its container's end for this long: wrappers and siblings take a while to go.
const EXPLAINS: u64 = 120 * SECOND;

impl Engine {
    pub(super) fn settle_due(&mut self, out: &mut Output) {
        while let Some(keys) = self.deaths.pop(self.time.now) {
            for key in keys {
                self.settle(key, out);
            }
        }
    }

    /// The agent stops: what is known now decides.
    pub(super) fn settle_all(&mut self, out: &mut Output) {
        while let Some(keys) = self.deaths.pop(BootTime(u64::MAX)) {
            for key in keys {
                self.settle(key, out);
            }
        }
    }

    fn settle(&mut self, key: ProcessKey, out: &mut Output) {
        let Some(process) = self.registry.processes.get(&key) else {
            return;
        };
        let container = process.container.and_then(|id| self.registry.containers.get(id));
        let Some(container) = container else {
            if !process.alive() || process.container.is_some() {
                self.forget(key);
            }
            return;
        };
        let id = container.id;
        let Some(death) = process.death else {
            if container.gone {
                let death = Death::unseen(self.time.now);
                self.gone(key, death, out);
            }
            return;
        };
        let mut end = exit::decide(&self.evidence(container, process, death));
        if process.unasked && !death.seen {
            end.because.insert_str(0, AWAY);
        }
        if process.mark.is_some() {
            self.oom_marks.decided(end.cause == Cause::KernelOom);
        }
        let is_main = container.main == key;
        let is_node = process.facts.is_some();
        match end.cause {
            Cause::KernelOom | Cause::UserspaceOom if !death.reported => self.report_oom_kill(id, &end, out),
            Cause::V8HeapOom => self.report_heap_oom(id, key, &end, out),
            _ => {}
        }
        if let Some(container) = self.registry.containers.get_mut(id) {
            let older = container
                .main_end
                .as_ref()
                .is_none_or(|(at, _)| death.at.since(*at) > EXPLAINS);
            if is_main || (is_node && container.main_end.is_none()) || older {
                container.main_end = Some((death.at, end));
            }
            container.dying.remove(&key);
            if container.dying.is_empty() {
                container.settle_oom_kills();
            }
            if let Some(death) = self.registry.processes.get_mut(&key).and_then(|p| p.death.as_mut()) {
                death.decided = true;
            }
            let ended = container.members.is_empty()
                || container.gone
                || (matches!(container.home, Home::Tree(_)) && container.main_dead);
            self.registry.processes.remove(&key);
            if ended && self.registry.containers.get(id).is_some_and(|c| c.dying.is_empty()) {
                self.end_container(id, out);
            }
        }
    }

    /// All that is known of a death.
    fn evidence<'a>(&self, container: &Container, process: &'a Process, death: Death) -> Evidence<'a> {
        let (own, ancestor) = match (container.oom_kills_rose(), &container.home) {
            // A bare process shares its cgroup: its counter may have counted somebody else.
            ((own, ancestor), Home::Tree(_)) => (None, own.max(ancestor)),
            (rose, _) => rose,
        };
        let window = |at: BootTime| at.since(death.at) <= GRACE && death.at.since(at) <= 5 * SECOND;
        let victim = if process.mark.is_some() {
            Victim::Marked
        } else if self.oom_marks.unresolved(window) {
            Victim::Perhaps
        } else {
            Victim::No
        };
        let group_kill = container.dying.iter().filter(|k| **k != process.key).any(|k| {
            self.registry.processes.get(k).is_some_and(|p| {
                let killed = p
                    .death
                    .is_some_and(|d| d.status == Some(ExitStatus::Signal(9)) && window(d.at));
                p.mark.is_some() && killed
            })
        });
        let ahead = death.at.since(process.sampled).min(60 * SECOND) as f64 / SECOND as f64;
        let projected = process
            .rss
            .map(|rss| rss.saturating_add((process.pace.max(0.0) * ahead) as u64));
        let limit = container.run.limit.as_ref().map(|l| l.bytes);
        let saturation = limit
            .filter(|l| *l > 0)
            .zip(container.run.usage)
            .map(|(l, u)| u as f64 / l as f64);
        let pod = container.named.as_ref().and_then(|named| named.pod.as_ref());
        Evidence {
            pid: process.key.pid,
            at: death.at,
            status: death.status,
            seen: death.seen,
            node: process.facts.is_some(),
            init: process.facts.as_ref().is_some_and(|f| f.ns_pid == 1 && f.containerised),
            victim,
            own_kills_rose: own,
            ancestor_kills_rose: ancestor,
            group_kill,
            signals: process.signals.iter().collect(),
            rss: process.rss,
            rss_projected: projected,
            rss_seen: process.rss_seen,
            peak_rss: death.peak_rss,
            max_rss: death.max_rss,
            heap_limit: container.run.heap_limit,
            saturation,
            rollout: pod.is_some_and(|pod| pod.terminating) && self.is_superseded(container),
            lossy: self.losses.may_have_missed(death.at) && container.run.gap,
        }
    }

    /// One finding for one incident, however many victims it had.
    fn report_oom_kill(&mut self, id: ContainerId, end: &End, out: &mut Output) {
        let Some(container) = self.registry.containers.get(id) else {
            return;
        };
        let victims: Vec<ProcessKey> = container
            .dying
            .iter()
            .copied()
            .filter(|key| {
                self.registry.processes.get(key).is_some_and(|p| {
                    p.death.is_some_and(|d| {
                        !d.reported && exit::decide(&self.evidence(container, p, d)).cause == end.cause
                    })
                })
            })
            .collect();
        let size = |key: &ProcessKey| {
            let process = self.registry.processes.get(key);
            process
                .and_then(|p| p.mark.as_ref().and_then(|m| m.anon).or(p.rss_anon))
                .unwrap_or(0)
        };
        let main = victims.iter().find(|key| **key == container.main);
        let chosen = main.or_else(|| victims.iter().max_by_key(|key| (size(key), std::cmp::Reverse(**key))));
        let Some(victim) = chosen.and_then(|key| self.registry.processes.get(key)) else {
            return;
        };
        let mark = victim.mark.clone();
        let run = &container.run;
        let rose = container.oom_kills_rose();
        let read = victim.death.is_some_and(|death| container.oom_kills_read >= death.at);
        let tree = matches!(container.home, Home::Tree(_));
        let used = run.cgroup_usage.map(|usage| {
            let held = mark.as_ref().and_then(Mark::held).unwrap_or(0);
            // A helper that has come since the last sample is not in that level.
            if victim.key.started() >= run.sampled {
                usage.saturating_add(held)
            } else {
                usage.max(held)
            }
        });
        let scope = match scope(run.limit.as_ref(), &container.cgroup, used, rose, read) {
            // A bare process has no cgroup of its own.
            OomScope::Container if tree => OomScope::Pod,
            scope => scope,
        };
        let killer = match (&end.cause, &end.sender) {
            (Cause::UserspaceOom, Some(sender)) => OomKiller::Userspace(sender.comm.clone()),
            _ => OomKiller::Kernel,
        };
        let limit = run.limit.clone().filter(|_| scope != OomScope::Host);
        let event = Event::OomKill(OomKill {
            killer,
            scope,
            cgroup: limit.as_ref().map(|l| l.cgroup.clone()),
            limit: limit.map(|l| l.bytes),
            usage: run.cgroup_usage,
            anon: mark.as_ref().and_then(|m| m.anon).or(victim.rss_anon),
            file: mark.as_ref().and_then(|m| m.file),
            shmem: mark.as_ref().and_then(|m| m.shmem),
            pid: victim.key.pid,
            comm: victim.comm.clone(),
            main_process: victim.key == container.main,
            co_victims: victims.len().saturating_sub(1) as u32,
        });
        let at = mark
            .map(|m| m.at)
            .or(victim.death.map(|d| d.at))
            .unwrap_or(self.time.now);
        if let Some(workload) = self.registry.workloads.get_mut(&run.subject.workload)
            && !container.left_out
        {
            workload.oom_kills += victims.len() as u64;
        }
        let victim = victim.key;
        let contradicted_by = "an exit by another signal or by a code; none was seen";
        let said = (event, end.confidence, contradicted_by);
        self.find_of(id, at, Occurrence::Of(victim), said, out);
        for key in victims {
            if let Some(death) = self.registry.processes.get_mut(&key).and_then(|p| p.death.as_mut()) {
                death.reported = true;
            }
        }
    }

    fn report_heap_oom(&mut self, id: ContainerId, key: ProcessKey, end: &End, out: &mut Output) {
        let Some(container) = self.registry.containers.get(id) else {
            return;
        };
        let process = self.registry.processes.get(&key);
        let at = process.and_then(|p| p.death).map_or(self.time.now, |d| d.at);
        let event = Event::HeapOom(HeapOom {
            heap_limit: container.run.heap_limit,
            predicted: true,
            rss: process.and_then(|p| p.death.and_then(|d| d.peak_rss).or(p.rss)),
            cgroup_limit: container.own_limit().map(|l| l.bytes),
            end: end.clone(),
        });
        let contradicted_by =
            "a victim mark of the kernel's OOM killer, or a level far below the heap limit; neither was seen";
        self.find(id, at, event, end.confidence, contradicted_by, out);
    }
}

/// Whose limit a kill enforced: the one that sets the lowest limit, where the usage stood near it. `rose` tells of the kill counters of its
/// own cgroup and of those above, `read` whether one was read since the death.
fn scope(
    limit: Option<&crate::sample::Limit>,
    cgroup: &str,
    usage: Option<u64>,
    (own, ancestor): (Option<bool>, Option<bool>),
    read: bool,
) -> OomScope {
    let Some(limit) = limit else {
        return OomScope::Host;
    };
    let near = usage.is_some_and(|u| u as f64 >= 0.5 * limit.bytes as f64);
    match (near, limit.cgroup == cgroup) {
        (true, true) => OomScope::Container,
        (true, false) if owner(&limit.cgroup).is_some() => OomScope::Pod,
        (true, false) => OomScope::Group,
        (false, _) if own == Some(true) || ancestor == Some(true) => OomScope::Unknown,
        // Its counters were read since, and none rose: it was chosen for the host's need.
        (false, _) if read => OomScope::Host,
        (false, _) => OomScope::Unknown,
    }
}
