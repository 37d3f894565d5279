//! Edges: reads kernel events, produces changes of the registry and requests to look closer.

use super::{Engine, GRACE};
use crate::{
    Output, Request,
    exit::SignalSeen,
    identity,
    kernel::{ExitStatus, OomVictim, Signal},
    process::ProcessKey,
    registry::{ContainerId, Death, Home, Mark, container::MAX_MEMBERS},
    time::BootTime,
};

impl Engine {
    pub(super) fn exec(&mut self, at: BootTime, key: ProcessKey, ppid: u32, comm: &str, out: &mut Output) {
        self.replace_pid(at, key, out);
        let parent = self.registry.processes.resolve(ProcessKey { pid: ppid, start: 0 });
        let process = self
            .registry
            .processes
            .enter(key, &mut self.registry.evictions.processes);
        process.mark = process.mark.take().or_else(|| self.oom_marks.take(key));
        comm.clone_into(&mut process.comm);
        process.parent = parent.unwrap_or(ProcessKey { pid: ppid, start: 0 });
        // A launcher becomes what it launches within milliseconds: an answer on its way may be about the launcher.
        process.again = process.alive() && process.asked;
        if process.alive() && !process.asked {
            process.asked = true;
            out.requests.push(Request::Inspect(key));
        }
        if let Some(parent) = parent
            && let Some(id) = self.container_of_children(parent)
        {
            self.inherit(key, parent, id);
        }
    }

    /// A child of a container's process is one of its processes before it executes anything.
    pub(super) fn fork(&mut self, key: ProcessKey, ppid: u32) {
        let Some(parent) = self.registry.processes.resolve(ProcessKey { pid: ppid, start: 0 }) else {
            return;
        };
        if let Some(id) = self.container_of_children(parent)
            && !self.registry.processes.buried(&key)
        {
            let process = self
                .registry
                .processes
                .enter(key, &mut self.registry.evictions.processes);
            process.mark = process.mark.take().or_else(|| self.oom_marks.take(key));
            self.inherit(key, parent, id);
        }
    }

    /// Makes a child a member of the container that its parent's children begin in, until its own facts say otherwise: it may be gone before they are
    /// read, as a helper that needs more memory than there is.
    fn inherit(&mut self, key: ProcessKey, parent: ProcessKey, id: ContainerId) {
        let processes = &mut self.registry.processes;
        let (Some(above), Some(container)) = (processes.get(&parent), self.registry.containers.get_mut(id)) else {
            return;
        };
        let (cgroup, limit_cgroup) = (above.cgroup.clone(), above.limit_cgroup.clone());
        let Some(process) = processes.get_mut(&key) else { return };
        // A late record: it has died, and is kept only for facts that may still come.
        if process.container.is_some() || !process.alive() {
            return;
        }
        if container.members.len() >= MAX_MEMBERS {
            self.registry.evictions.members += 1;
            return;
        }
        process.parent = parent;
        process.cgroup = cgroup;
        process.limit_cgroup = limit_cgroup;
        process.container = Some(id);
        container.members.insert(key);
    }

    /// The container that children of this process begin in. A bare process's are their own affair until they turn out to
    /// be its workers.
    fn container_of_children(&self, parent: ProcessKey) -> Option<ContainerId> {
        let id = self.registry.processes.get(&parent)?.container?;
        let container = self.registry.containers.get(id)?;
        (!matches!(container.home, Home::Tree(_)) && !container.gone).then_some(id)
    }

    pub(super) fn exit(&mut self, key: ProcessKey, death: Death, comm: &str, out: &mut Output) {
        let key = self.registry.processes.resolve(key).unwrap_or(key);
        if let Some(process) = self.registry.processes.get_mut(&key)
            && process.comm.is_empty()
        {
            comm.clone_into(&mut process.comm);
        }
        self.gone(key, death, out);
    }

    pub(super) fn vanished(&mut self, at: BootTime, key: ProcessKey, out: &mut Output) {
        if let Some(process) = self.registry.processes.get_mut(&key) {
            process.asked = false;
        }
        self.gone(key, Death::unseen(at), out);
    }

    /// A process is no more.
    pub(super) fn gone(&mut self, key: ProcessKey, death: Death, out: &mut Output) {
        let Some(process) = self.registry.processes.get_mut(&key) else {
            if death.seen {
                self.registry.processes.bury(key, death);
            }
            return;
        };
        if let Some(known) = &mut process.death {
            // The same death told twice: the record that saw it wins.
            if !known.seen && death.seen {
                *known = Death {
                    reported: known.reported,
                    ..death
                };
            }
            return;
        }
        process.death = Some(death);
        if process.watched {
            process.watched = false;
            process.traced = false;
            out.requests.push(Request::Unwatch(key));
        }
        let (marked, asked) = (process.mark.is_some(), process.asked);
        let id = process.container.or_else(|| self.started_by(key).filter(|_| marked));
        if let Some(id) = id {
            if let Some(process) = self.registry.processes.get_mut(&key) {
                process.container = Some(id);
            }
            self.dies(id, key, death, out);
        } else if asked {
            // Facts may still arrive: it is only now that the process is gone.
            self.later(death.at, key);
        } else {
            self.forget(key);
        }
    }

    /// The bare service that started this process, which shares its cgroup: its nearest ancestor that is watched.
    fn started_by(&self, key: ProcessKey) -> Option<ContainerId> {
        let cgroup = &self.registry.processes.get(&key)?.cgroup;
        let id = self
            .ancestors(key)
            .find_map(|above| self.registry.processes.get(&above)?.container)?;
        let container = self.registry.containers.get(id)?;
        let bare = matches!(container.home, Home::Tree(_)) && !container.gone;
        (bare && container.cgroup == *cgroup).then_some(id)
    }

    /// A process that belonged to nothing watched is no more.
    pub(super) fn forget(&mut self, key: ProcessKey) {
        if self
            .registry
            .processes
            .remove(&key)
            .is_some_and(|process| process.mark.is_some())
        {
            self.oom_marks.unwatched();
        }
    }

    /// A member of a container has died: it is decided after the grace.
    pub(super) fn dies(&mut self, id: ContainerId, key: ProcessKey, death: Death, out: &mut Output) {
        if let Some(container) = self.registry.containers.get_mut(id) {
            container.members.remove(&key);
            container.dying.insert(key);
            container.last_exit = container.last_exit.max(death.at);
            if container.main == key {
                container.main_dead = true;
            }
            let clean = matches!(death.status, Some(ExitStatus::Code(_)));
            if !clean && !container.cgroup.is_empty() {
                out.requests.push(Request::OomKills {
                    cgroup: container.cgroup.clone(),
                });
            }
        }
        self.later(death.at, key);
    }

    /// Looks at a process again after the grace.
    pub(super) fn later(&mut self, at: BootTime, key: ProcessKey) {
        let when = self.time.now.max(at).plus(GRACE);
        self.deaths.add(when, key);
    }

    /// A pid that is used again says that its former owner has died unseen.
    pub(super) fn replace_pid(&mut self, at: BootTime, key: ProcessKey, out: &mut Output) {
        let before = |p: &&crate::registry::Process| p.key.start < key.start && p.alive();
        let former: Vec<ProcessKey> = self
            .registry
            .processes
            .with_pid(key.pid)
            .filter(before)
            .map(|p| p.key)
            .collect();
        for former in former {
            let at = if key.start == 0 { at } else { key.started().min(at) };
            self.gone(former, Death::unseen(at), out);
        }
    }

    pub(super) fn oom_victim(&mut self, at: BootTime, victim: &OomVictim) {
        let Some(key) = self.registry.processes.resolve(victim.process) else {
            self.oom_marks.wait(at, victim);
            return;
        };
        if let Some(process) = self.registry.processes.get_mut(&key) {
            // Chosen with its group, a victim is marked twice: sizes of the first mark are those before the kill.
            process.mark.get_or_insert(Mark::of(at, victim));
        }
    }

    pub(super) fn signal(&mut self, at: BootTime, signal: &Signal) {
        let Some(key) = self.registry.processes.resolve(signal.target) else {
            return;
        };
        if let Some(process) = self.registry.processes.get_mut(&key) {
            process.signal(SignalSeen {
                at,
                signal: signal.signal,
                code: signal.code,
                delivered: signal.delivered,
                sender_pid: signal.sender_pid,
                sender_comm: signal.sender_comm.clone(),
            });
        }
    }

    /// A cgroup can be released only when it is empty: whoever is still thought to live there has died unseen,
    /// unless the records of it are on their way in the other ring.
    pub(super) fn cgroup_released(&mut self, root: u32, id: u64, path: &str) {
        if !self.cgroups.released(root, id, path) {
            return;
        }
        let home = identity::home_of_cgroup(path).unwrap_or_else(|| Home::Cgroup(path.to_owned()));
        let Some(id) = self.registry.containers.at(&home).map(|c| c.id) else {
            return;
        };
        let Some(container) = self.registry.containers.get_mut(id) else {
            return;
        };
        // A cgroup below the container's own may go at any time.
        let own = container.cgroup == path || container.cgroup.strip_prefix(path).is_some_and(|r| r.starts_with('/'));
        if !own {
            return;
        }
        container.gone = true;
        let members: Vec<ProcessKey> = container.members.iter().copied().collect();
        for key in members {
            self.later(self.time.now, key);
        }
    }

    pub(super) fn oom_kills(&mut self, at: BootTime, cgroup: &str, count: u64) {
        for container in self.registry.containers.iter_mut() {
            let inside = container.cgroup == cgroup
                || cgroup == "/"
                || container
                    .cgroup
                    .strip_prefix(cgroup)
                    .is_some_and(|rest| rest.starts_with('/'));
            if inside {
                container.count_oom_kills(at, cgroup, count);
            }
        }
    }
}
