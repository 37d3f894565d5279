//! Who a process is: reads its facts, produces slot, workload, version and the Resource of its telemetry.

mod release;
mod resource;
mod slot;
mod subject;

pub(crate) use release::{Release, is_job, workload};
pub(crate) use resource::{About, resource};
pub(crate) use slot::{Home, home, home_of, home_of_cgroup, is_launcher, own_cgroup, program, slot};
pub use subject::{Resource, Slot, Subject, Version, Workload};
