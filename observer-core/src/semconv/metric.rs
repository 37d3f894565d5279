//! Names of metrics. Units in their texts; `By/h` is bytes per hour.

names! {
    /// Memory usage of the run's cgroup, By (release candidate). Absent where the run has none of its own.
    CONTAINER_MEMORY_USAGE = "container.memory.usage";
    /// That without page cache that has not been used for long, By (release candidate).
    CONTAINER_MEMORY_WORKING_SET = "container.memory.working_set";
    /// Anonymous memory of the run's cgroup, By (release candidate).
    CONTAINER_MEMORY_RSS = "container.memory.rss";
    /// The lowest limit less the working set, By (release candidate). Absent without a limit.
    CONTAINER_MEMORY_AVAILABLE = "container.memory.available";
    /// Anonymous, swapped, shared and unreclaimable memory, By: what detection follows. No convention.
    MEMORY_LEVEL = "observer.memory.level";
    /// The memory's floor, after garbage collection, By. No convention.
    MEMORY_FLOOR = "observer.memory.floor";
    /// A ceiling of the run, By: one point of each kind in force, of which the lowest ends it. No convention.
    MEMORY_CEILING = "observer.memory.ceiling";
    /// Slope of the floor over up to four days, beside the load, By/h: whether or not growth holds, once there are 24 points. No convention.
    MEMORY_SLOPE = "observer.memory.slope";
    /// Standard error of that slope, By/h: replicas are pooled by it. No convention.
    MEMORY_SLOPE_STANDARD_ERROR = "observer.memory.slope.standard_error";
    /// Slope of the last third of that history, By/h: far below the whole's where growth levels off. No convention.
    MEMORY_SLOPE_LATE = "observer.memory.slope.late";
    /// History that the slope stands on, s. No convention.
    MEMORY_SLOPE_SPAN = "observer.memory.slope.span";
    /// Net growth of a traced run by place, By. No convention.
    MEMORY_GROWTH = "observer.memory.growth";
    /// Bytes that the likeliest culprit of the last heap reading became more by, By; its name is an attribute. No convention.
    HEAP_CULPRIT_GROWN = "observer.heap.culprit.grown";
    /// Share of the container's memory that was of one kind when its heap was read last, 0 to 1. No convention.
    MEMORY_SHARE = "observer.memory.share";
    /// Time until the ceiling while growth holds, s. No convention.
    MEMORY_TIME_TO_CEILING = "observer.memory.time_to_ceiling";
    /// What is said of the slot: 0 quiet, 1 suspected, 2 likely, 3 confirmed, 4 retracted, 5 resolved. No convention.
    LEAK_STATE = "observer.leak.state";
    /// Age of the run in progress, s (development).
    CONTAINER_UPTIME = "container.uptime";
    /// Age of the run in progress where it is a process without a container, s (release candidate).
    PROCESS_UPTIME = "process.uptime";
    /// When the version was first seen on this host, s since 1970. No convention.
    VERSION_FIRST_SEEN = "observer.version.first_seen";
    /// Ended runs by cause and version; survives the replacement of containers. No convention.
    CONTAINER_EXITS = "observer.container.exits";
    /// Processes killed for memory; survives the replacement of containers. No convention.
    OOM_KILLS = "observer.oom_kills";
    /// Slots that got a new run; survives the replacement of containers. No convention.
    RESTARTS = "observer.restarts";
    /// Runs begun; survives the replacement of containers. No convention.
    RUNS = "observer.runs";
    /// Memory limit of the container that its specification asks for, By (development). As Kubernetes says it.
    K8S_MEMORY_LIMIT_DESIRED = "k8s.container.memory.limit.desired";
    /// Memory limit of the container that is in force, By (development). It differs from the one asked for until a resize is done.
    K8S_MEMORY_LIMIT = "k8s.container.memory.limit.current";
    /// Restarts as Kubernetes counts them (development).
    K8S_RESTART_COUNT = "k8s.container.restart.count";

    /// Processes the agent knows. No convention.
    AGENT_PROCESSES = "observer.agent.processes";
    /// Containers the agent knows. No convention.
    AGENT_CONTAINERS = "observer.agent.containers";
    /// Inputs stepped. No convention.
    AGENT_INPUTS = "observer.agent.inputs";
    /// Inputs that came too late for their place in the order of time. No convention.
    AGENT_LATE = "observer.agent.inputs.late";
    /// Findings made. No convention.
    AGENT_FINDINGS = "observer.agent.findings";
    /// Records lost, by stage and kind. No convention.
    AGENT_LOST = "observer.agent.lost";
    /// Put out of the registry to keep memory bounded. No convention.
    AGENT_EVICTED = "observer.agent.evicted";
    /// Processes that the kernel's OOM killer marked, by what became of them. No convention.
    AGENT_OOM_MARKS = "observer.agent.oom_marks";
    /// Records of a signal by what became of them. No convention.
    EXPORT_RECORDS = "observer.agent.export.records";
    /// Records of a signal that wait. No convention.
    EXPORT_WAITING = "observer.agent.export.waiting";
    /// Seconds that the oldest waiting record of a signal has waited. No convention.
    EXPORT_OLDEST = "observer.agent.export.oldest";
    /// Bytes that wait, of a signal. No convention.
    EXPORT_BYTES = "observer.agent.export.waiting.bytes";
    /// Requests of a signal sent again. No convention.
    EXPORT_RETRIES = "observer.agent.export.retries";
    /// Records in the store's history. No convention.
    STORE_RECORDS = "observer.agent.store.records";
    /// Bytes of the store's history. No convention.
    STORE_BYTES = "observer.agent.store.bytes";
    /// Bytes of the engine's state as last put away. No convention.
    STORE_STATE = "observer.agent.store.state";
    /// Trouble with the store, by kind: dropped, lost, damaged, foreign, failed. No convention.
    STORE_TROUBLE = "observer.agent.store.trouble";
    /// Resident memory of a run's main process, and of the agent, By (release candidate).
    PROCESS_MEMORY_USAGE = "process.memory.usage";
    /// CPU time of the agent, s (release candidate).
    PROCESS_CPU_TIME = "process.cpu.time";
    /// Duration of the last sweep over all watched processes, s. No convention.
    AGENT_SWEEP = "observer.agent.sweep.duration";
    /// 1 where a hook is served by this rung. No convention.
    AGENT_HOOK = "observer.agent.hook";
}

/// Attributes of metrics; `observer.exit.cause` and `observer.memory.ceiling.kind` are those of events, `service.version` is
/// the Resource's, or what else tells versions apart (the image's digest, the pod template's hash).
pub mod attribute {
    names! {
        /// What is deployed, of which the run is one: `namespace/kind/name/container`, as far as there are such. No convention.
        WORKLOAD = "observer.workload";
        /// Stage at which records were lost. No convention.
        STAGE = "observer.agent.stage";
        /// Kind of what was lost or put out. No convention.
        KIND = "observer.agent.kind";
        /// What became of records: delivered, rejected, refused, dropped; of processes marked by the OOM killer: reported, not_killed
        /// (ended otherwise), unwatched. No convention.
        FATE = "observer.agent.fate";
        /// The signal. No convention.
        SIGNAL = "observer.agent.signal";
        /// Name of a hook. No convention.
        HOOK = "observer.agent.hook.name";
        /// How a hook is served. No convention.
        RUNG = "observer.agent.hook.rung";
        /// Where memory was asked for: `v8_heap`, `malloc`, `large_buffer`, `file`, `other`. No convention.
        WHERE = "observer.memory.growth.where";
        /// What memory is used for, as `observer.memory.growth.kind` has it. No convention.
        MEMORY_KIND = "observer.memory.kind";
    }
}
