//! Names of events (`EventName` of a log record).

names! {
    /// A watched process was killed for memory. No convention exists for OOM kills.
    OOM_KILL = "observer.process.oom_kill";
    /// A Node.js process died of V8's heap limit. No convention.
    HEAP_OOM = "observer.v8.heap_oom";
    /// A slot got a new run. No convention: Kubernetes counts restarts, nobody says why.
    RESTART = "observer.container.restart";
    /// A slot restarts again and again after short runs that failed: one record when it begins, one each time the count
    /// doubles or another cause appears, one when it is over. No convention.
    CRASH_LOOP = "observer.container.crash_loop";
    /// A run passed a share of its lower ceiling. No convention.
    NEAR_CEILING = "observer.memory.near_ceiling";
    /// Growth within one run is significant. No convention.
    LEAK_SUSPECTED = "observer.memory.leak_suspected";
    /// Significant growth that leads to a ceiling within days. No convention.
    LEAK_LIKELY = "observer.memory.leak_likely";
    /// The sawtooth: runs that climb alike and end at a ceiling. No convention.
    LEAK_CONFIRMED = "observer.memory.leak_confirmed";
    /// The evidence went away. No convention.
    LEAK_RETRACTED = "observer.memory.leak_retracted";
    /// A later version stays flat. No convention.
    LEAK_RESOLVED = "observer.memory.leak_resolved";
    /// V8's heap limit and the container's limit contradict each other. No convention.
    MISFIT = "observer.memory.misfit";
    /// A container is killed at its ceiling again and again, whatever its growth looks like. No convention.
    RECURRING_OOM = "observer.memory.recurring_oom";
    /// A heap was read from outside and compared: what grew, by name. No convention.
    DIAGNOSIS = "observer.memory.diagnosis";
    /// A heap was read from outside, or refused. No convention.
    HEAP_READ = "observer.memory.heap_read";
    /// First run of a new version. No convention exists for deployments on a host.
    ROLLOUT = "observer.rollout.observed";
    /// The agent could not see. No convention.
    GAP = "observer.gap";
}
