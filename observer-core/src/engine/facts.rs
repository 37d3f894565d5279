//! Facts: reads what an inspection told, produces containers, their slots and requests to watch them.

use std::sync::Arc;

use super::Engine;
use crate::{
    Output, Request, identity,
    process::{ProcessFacts, ProcessKey},
    registry::{ContainerId, Home, container::MAX_MEMBERS},
    time::BootTime,
};

impl Engine {
    pub(super) fn process(&mut self, at: BootTime, facts: &ProcessFacts, out: &mut Output) {
        let key = facts.key;
        if self
            .registry
            .processes
            .with_pid(key.pid)
            .any(|p| p.key.start > key.start)
        {
            // Late facts of a former owner of this pid.
            return;
        }
        let in_its_own = self.cgroup_around_claim(&facts.cgroup).map(|cgroup| ProcessFacts {
            cgroup,
            ..facts.clone()
        });
        let facts = in_its_own.as_ref().unwrap_or(facts);
        self.replace_pid(at, key, out);
        self.leave_if_moved(key, facts, out);
        let process = self
            .registry
            .processes
            .enter(key, &mut self.registry.evictions.processes);
        process.mark = process.mark.take().or_else(|| self.oom_marks.take(key));
        process.asked = std::mem::take(&mut process.again) && process.alive();
        if process.asked {
            out.requests.push(Request::Inspect(key));
        }
        process.unasked = false;
        process.comm.clone_from(&facts.comm);
        process.parent = facts.parent;
        process.cgroup.clone_from(&facts.cgroup);
        process.limit_cgroup.clone_from(&facts.limit_cgroup);
        process.other = !facts.is_watched() || identity::is_launcher(facts);
        let death = process.death;
        let container = process.container;
        if death.is_some_and(|death| death.decided) && container.is_none() {
            // Its life has been told already.
            self.registry.processes.remove(&key);
            return;
        }
        if process.other {
            self.other(key, out);
        } else {
            // What it published stays known; it is read again on its own.
            let published = process.facts.take().map(|before| before.published.clone());
            process.facts = Some(Arc::new(ProcessFacts {
                published: published.unwrap_or_default(),
                ..facts.clone()
            }));
            match container {
                Some(id) => {
                    self.join(id, key);
                    self.refresh(id, key, out);
                }
                None => self.place(key, facts, out),
            }
            self.watch(key, out);
        }
        if let Some(death) = death
            && let Some(process) = self.registry.processes.get(&key)
        {
            match process.container {
                Some(id) => self.dies(id, key, death, out),
                None => self.forget(key),
            }
        }
    }

    /// A process that is not watched: of interest only as a member of a container that is.
    fn other(&mut self, key: ProcessKey, out: &mut Output) {
        let Some(process) = self.registry.processes.get_mut(&key) else {
            return;
        };
        let was_watched = process.facts.take().is_some();
        if process.watched {
            process.watched = false;
            process.traced = false;
            out.requests.push(Request::Unwatch(key));
        }
        if let Some(id) = process.container {
            // It replaced Node.js by something else: a bare run has ended with that.
            if was_watched
                && let Some(container) = self.registry.containers.get_mut(id)
                && container.main == key
            {
                container.main_dead = true;
                container.gone |= matches!(container.home, Home::Tree(_));
                if container.gone {
                    self.later(self.time.now, key);
                }
            }
            return;
        }
        let home = identity::home_of(&process.cgroup, process.limit_cgroup.as_deref())
            .unwrap_or_else(|| Home::Cgroup(process.cgroup.clone()));
        if let Some(id) = self
            .registry
            .containers
            .at(&home)
            .filter(|c| !c.gone && !c.members.is_empty())
            .map(|c| c.id)
        {
            self.join(id, key);
        }
    }

    /// A child forked inside a container and moved to another cgroup is no longer one of its processes.
    fn leave_if_moved(&mut self, key: ProcessKey, facts: &ProcessFacts, out: &mut Output) {
        let Some(process) = self.registry.processes.get_mut(&key) else {
            return;
        };
        let Some(container) = process.container.and_then(|id| self.registry.containers.get_mut(id)) else {
            return;
        };
        let moved = match &container.home {
            Home::Tree(_) => false,
            home => identity::home(facts) != *home,
        };
        if moved && container.main != key && process.alive() {
            let id = container.id;
            container.members.remove(&key);
            process.container = None;
            if container.members.is_empty() && container.dying.is_empty() {
                self.end_container(id, out);
            }
        }
    }

    /// Finds the container a watched process belongs to, or makes it.
    fn place(&mut self, key: ProcessKey, facts: &ProcessFacts, out: &mut Output) {
        let home = identity::home(facts);
        if let Home::Tree(_) = home {
            match self.bare_container(key, facts) {
                Some(id) => self.join(id, key),
                None => self.create(key, facts, home, out),
            }
            return;
        }
        let Some(existing) = self.registry.containers.at(&home) else {
            return self.create(key, facts, home, out);
        };
        let id = existing.id;
        let over = existing.gone || existing.members.iter().all(|m| *m == key);
        // Whoever comes from outside after the main process has ended was put there by the supervisor: a new life. Within a
        // pid namespace a parent may not be known; on the host it always is.
        let of_a_member = existing.members.contains(&facts.parent) || existing.dying.contains(&facts.parent);
        let on_host = !facts.containerised && facts.limit_cgroup.is_some();
        let inside = of_a_member || (!on_host && facts.ns_pid != 1 && facts.parent.pid != 1);
        if !over && (!existing.main_dead || inside) {
            return self.join(id, key);
        }
        self.supersede(id, key, out);
        self.create(key, facts, home, out);
    }

    /// Another life began in this one's place.
    fn supersede(&mut self, id: ContainerId, by: ProcessKey, out: &mut Output) {
        let Some(container) = self.registry.containers.get_mut(id) else {
            return;
        };
        container.gone = true;
        container.members.remove(&by);
        if container.dying.is_empty() {
            self.end_container(id, out);
        }
    }

    pub(super) fn join(&mut self, id: ContainerId, key: ProcessKey) {
        let Some(container) = self.registry.containers.get_mut(id) else {
            return;
        };
        let Some(process) = self.registry.processes.get_mut(&key) else {
            return;
        };
        if container.members.len() >= MAX_MEMBERS && !container.members.contains(&key) {
            self.registry.evictions.members += 1;
            return;
        }
        process.container = Some(id);
        if process.alive() {
            container.members.insert(key);
        }
        let is_node = process.facts.is_some();
        let main = container.main;
        let above = is_node && self.is_ancestor(key, main);
        if let Some(container) = self.registry.containers.get_mut(id)
            && is_node
            && (container.main_dead || above)
        {
            container.main = key;
            container.main_dead = false;
        }
    }

    fn is_ancestor(&self, above: ProcessKey, below: ProcessKey) -> bool {
        self.ancestors(below).any(|key| key == above)
    }

    /// Known ancestors, nearest first; at most 16, since a loop of parents is no more than bad input.
    pub(super) fn ancestors(&self, of: ProcessKey) -> impl Iterator<Item = ProcessKey> {
        let parent = |key: ProcessKey| {
            let parent = self.registry.processes.get(&key)?.parent;
            self.registry.processes.resolve(parent).filter(|p| *p != key)
        };
        std::iter::successors(parent(of), move |key| parent(*key)).take(16)
    }
}
