//! Claimed cgroups: reads the path that a process is in, produces that of the container it runs in where the path bears the id
//! of another.
//!
//! Whoever may make cgroups below its own may call one after another container's id. Runtimes make ids at random and
//! nobody else's directory is called so: a container has one cgroup.

use super::Engine;
use crate::{
    container::{self, Owner},
    registry::Home,
};

impl Engine {
    /// The cgroup of the container around it, where `cgroup` lies inside of a container and bears the id of one that is known to
    /// be elsewhere; `None` where the path may stand as it is.
    pub(super) fn cgroup_around_claim(&self, cgroup: &str) -> Option<String> {
        let mut around = None;
        let mut path = cgroup;
        while let Some(outer) = container::around(path).filter(|_| self.is_claimed(path)) {
            around = Some(outer);
            path = outer;
        }
        around.map(str::to_owned)
    }

    /// Whether the container that `cgroup` names has another cgroup, or is a pod's and lies in none.
    fn is_claimed(&self, cgroup: &str) -> bool {
        let (id, in_pod) = match container::owner(cgroup) {
            Some(Owner::Pod {
                container: Some(container),
                ..
            }) => (container.id, true),
            Some(Owner::Container(container)) => (container.id, false),
            _ => return false,
        };
        let named = self.registry.catalogue.get(&id);
        let of_a_pod = named.is_some_and(|named| named.pod.is_some());
        let home = Home::Container(id);
        let lives = self.registry.containers.at(&home);
        let elsewhere = lives.is_some_and(|lives| lives.cgroup != container::own_cgroup(cgroup));
        elsewhere || (of_a_pod && !in_pod)
    }
}
