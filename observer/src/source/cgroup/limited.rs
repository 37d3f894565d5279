//! Reads the limits of a cgroup and of those above it, produces the cgroup that is a container although no engine and no
//! unit made it: the nearest with a limit of its own (Nomad's, ECS's, `systemd-run --scope`, made by hand).

use std::fs;

use observer_core::container;

use super::{Hierarchy, files, limits::ancestry};

impl Hierarchy {
    /// The nearest cgroup with a memory limit of its own, `path` itself or one above; `None` where an engine or a unit made
    /// `path`, and where nothing but a slice or the root is limited.
    ///
    /// `agent` is the agent's own cgroup. It and those above it are no container of others: whatever limit they have is that
    /// of the place where the agent was started, together with all that runs there.
    pub(crate) fn limit_cgroup(&self, path: &str, agent: &str) -> Option<String> {
        if !matches!(
            container::owner(path),
            None | Some(container::Owner::Pod { container: None, .. })
        ) {
            return None;
        }
        let encloses_agent = |cgroup: &str| {
            let below = agent.strip_prefix(cgroup);
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        ancestry(path)
            .filter(|cgroup| !container::is_group(cgroup) && !encloses_agent(cgroup))
            .find(|cgroup| self.is_limited(cgroup))
            .map(str::to_owned)
    }

    fn is_limited(&self, cgroup: &str) -> bool {
        let name = if self.version() == 1 {
            "memory.limit_in_bytes"
        } else {
            "memory.max"
        };
        let text = self.directory(cgroup).and_then(|dir| fs::read(dir.join(name)).ok());
        text.and_then(|text| files::limit(&text)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3d5a1f0c9e7b4a62815c0f9d8e7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a";

    /// A tree whose cgroups have these limits.
    fn tree(limits: &[(&str, &str)]) -> (tempfile::TempDir, Hierarchy) {
        let dir = tempfile::tempdir().unwrap();
        for (path, limit) in limits {
            let cgroup = dir.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(&cgroup).unwrap();
            fs::write(cgroup.join("memory.max"), limit).unwrap();
        }
        let hierarchy = Hierarchy::at(2, dir.path(), None);
        (dir, hierarchy)
    }

    #[test]
    fn the_nearest_limit_that_nobody_announced() {
        let docker = format!("/docker/{ID}");
        let (_dir, hierarchy) = tree(&[
            ("/", "1000\n"),
            ("/nomad.slice", "1000\n"),
            ("/nomad.slice/share.slice/9f.web.scope", "500\n"),
            ("/demo", "900\n"),
            ("/demo/leaky", "400\n"),
            ("/demo/free", "max\n"),
            ("/user.slice/user-7.slice/user@7.service", "800\n"),
            (
                "/user.slice/user-7.slice/user@7.service/app.slice/run-r1.scope",
                "300\n",
            ),
            ("/system.slice/api.service", "700\n"),
            (&docker, "600\n"),
        ]);
        for (path, expected) in [
            (
                "/nomad.slice/share.slice/9f.web.scope",
                Some("/nomad.slice/share.slice/9f.web.scope"),
            ),
            ("/nomad.slice/session.scope", None),
            ("/demo/leaky", Some("/demo/leaky")),
            ("/demo/leaky/worker/1", Some("/demo/leaky")),
            ("/demo/free", Some("/demo")),
            (
                "/user.slice/user-7.slice/user@7.service/app.slice/run-r1.scope",
                Some("/user.slice/user-7.slice/user@7.service/app.slice/run-r1.scope"),
            ),
            ("/user.slice/user-7.slice/user@7.service/init.scope", None),
            // Those are known by other means.
            ("/system.slice/api.service", None),
            (docker.as_str(), None),
            ("/", None),
            ("", None),
            ("/not/there", None),
        ] {
            assert_eq!(hierarchy.limit_cgroup(path, "/agent").as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn where_the_agent_lives_is_no_container_of_others() {
        let (_dir, hierarchy) = tree(&[("/job", "900\n"), ("/job/task", "400\n"), ("/job/agents", "300\n")]);
        let of = |path: &str| hierarchy.limit_cgroup(path, "/job/agent");
        assert_eq!(of("/job").as_deref(), None);
        assert_eq!(of("/job/shell").as_deref(), None);
        assert_eq!(of("/job/task/x").as_deref(), Some("/job/task"));
        assert_eq!(
            of("/job/agents").as_deref(),
            Some("/job/agents"),
            "only alike in its name"
        );
    }
}
