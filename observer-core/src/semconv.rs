//! Every name that leaves the agent, each with its convention or its reason.
//!
//! Semantic conventions 1.44.0 where they have a name, with their stability in brackets; `observer.*` for the rest.
//! Units are in the text: `By` bytes, `s` seconds. A name is spelled here and nowhere else.

#[macro_use]
mod names;

names! {
    /// Name of the service (stable).
    SERVICE_NAME = "service.name";
    /// Namespace of the service (stable).
    SERVICE_NAMESPACE = "service.namespace";
    /// Version of the service (stable).
    SERVICE_VERSION = "service.version";
    /// Which instance of the service (stable).
    SERVICE_INSTANCE_ID = "service.instance.id";
    /// Name of the host (development): the agent's.
    HOST_NAME = "host.name";
    /// Name of the container (development).
    CONTAINER_NAME = "container.name";
    /// Id of the container (stable).
    CONTAINER_ID = "container.id";
    /// `nodejs` (release candidate).
    PROCESS_RUNTIME_NAME = "process.runtime.name";
    /// Version of Node.js (release candidate).
    PROCESS_RUNTIME_VERSION = "process.runtime.version";
    /// Name of the cluster (stable).
    K8S_CLUSTER_NAME = "k8s.cluster.name";
    /// Uid of the pod (stable).
    K8S_POD_UID = "k8s.pod.uid";
    /// Name of the pod (stable).
    K8S_POD_NAME = "k8s.pod.name";
    /// Namespace of the pod (stable).
    K8S_NAMESPACE_NAME = "k8s.namespace.name";
    /// Name of the node (stable).
    K8S_NODE_NAME = "k8s.node.name";
    /// Name of the Deployment (stable).
    K8S_DEPLOYMENT_NAME = "k8s.deployment.name";
    /// Name of the ReplicaSet (stable).
    K8S_REPLICASET_NAME = "k8s.replicaset.name";
    /// Name of the StatefulSet (stable).
    K8S_STATEFULSET_NAME = "k8s.statefulset.name";
    /// Name of the DaemonSet (stable).
    K8S_DAEMONSET_NAME = "k8s.daemonset.name";
    /// Name of the Job (stable).
    K8S_JOB_NAME = "k8s.job.name";
    /// Name of the CronJob (stable).
    K8S_CRONJOB_NAME = "k8s.cronjob.name";
    /// Runtime that manages the container (development).
    CONTAINER_RUNTIME_NAME = "container.runtime.name";
    /// Image of the container, without tag and digest (stable).
    CONTAINER_IMAGE_NAME = "container.image.name";
    /// Tag of that image, a list of one (stable).
    CONTAINER_IMAGE_TAGS = "container.image.tags";
    /// That image by its registry's digest, `name@sha256:...`, a list of one (stable). As Kubernetes says it.
    CONTAINER_IMAGE_REPO_DIGESTS = "container.image.repo_digests";
    /// Name of the systemd unit. The collector's systemd receiver uses the same; the conventions have none.
    SYSTEMD_UNIT = "systemd.unit.name";
    /// Name of the container in its pod's specification (stable).
    K8S_CONTAINER_NAME = "k8s.container.name";

    /// Why Kubernetes says that the container before ended: `OOMKilled`, `Error`, ... (development). Not in the metrics' Resource.
    K8S_LAST_TERMINATED_REASON = "k8s.container.status.last_terminated_reason";
    /// The main process's cgroup, its path in the hierarchy that accounts for memory (release candidate). Not in the metrics'
    /// Resource.
    PROCESS_LINUX_CGROUP = "process.linux.cgroup";

    /// Pid on the host (release candidate).
    PROCESS_PID = "process.pid";
    /// What failed, in a word (stable): the cause of a run's end, where it is a failure.
    ERROR_TYPE = "error.type";
    /// Exit code of a process (release candidate). Absent where it ended by a signal.
    PROCESS_EXIT_CODE = "process.exit.code";
    /// When the main process of the ended run was created, ISO 8601 (release candidate).
    PROCESS_CREATION_TIME = "process.creation.time";
    /// When it exited, ISO 8601 (release candidate). Absent where its end was not seen.
    PROCESS_EXIT_TIME = "process.exit.time";

    /// Stable id of the finding: a receiver may drop a second record with the same one. No convention.
    FINDING_ID = "observer.finding.id";
    /// `observed` or `inferred`. No convention.
    FINDING_CONFIDENCE = "observer.finding.confidence";
    /// What would have contradicted the finding and was looked for. No convention.
    FINDING_CONTRADICTED_BY = "observer.finding.contradicted_by";
    /// What is restarted in place: pod and container, unit, container, cgroup, or program. No convention.
    SLOT = "observer.slot";
    /// What the process or its pod's annotations claim of the place it runs in (`k8s.*`, `container.*`, `host.*`,
    /// `process.*`, `systemd.*`) that differs from what is known, or that nobody knows: not taken into the Resource. No convention.
    CLAIMS_REFUSED = "observer.identity.refused";
    /// Number of the run within its slot, from 1. No convention.
    RUN = "observer.run.number";

    /// `kernel`, or the name of a daemon that kills for memory. No convention.
    OOM_KILLER = "observer.oom.killer";
    /// Whose limit was enforced: `container`, `pod`, `group` (of many pods or units: a node's for all pods), `host`, `unknown`. No convention.
    OOM_SCOPE = "observer.oom.scope";
    /// Whether the victim was its container's main process. No convention.
    OOM_MAIN_PROCESS = "observer.oom.main_process";
    /// Others of the same container killed with it. No convention.
    OOM_CO_VICTIMS = "observer.oom.co_victims";
    /// Name of the victim's main thread. No convention: `process.executable.name` is the file's.
    OOM_VICTIM_COMM = "observer.oom.victim.comm";
    /// Anonymous resident memory of the victim, By. No convention.
    OOM_VICTIM_ANON = "observer.oom.victim.anon";
    /// File-backed resident memory of the victim, By. No convention.
    OOM_VICTIM_FILE = "observer.oom.victim.file";
    /// Shared resident memory of the victim, By. No convention.
    OOM_VICTIM_SHMEM = "observer.oom.victim.shmem";
    /// The cgroup whose limit was hit, in the hierarchy that accounts for memory. No convention.
    CGROUP_PATH = "observer.cgroup.path";
    /// The lowest limit of the cgroup and its ancestors, By. No convention for an event's attribute.
    MEMORY_LIMIT = "observer.memory.limit";
    /// Usage last seen, page cache included, By. No convention for an event's attribute.
    MEMORY_USAGE = "observer.memory.usage";
    /// Resident set last seen, By. No convention for an event's attribute.
    MEMORY_RSS = "observer.memory.rss";

    /// V8's heap limit, By. `v8js.*` is defined as measured inside the process, which this is not: no convention.
    V8_HEAP_LIMIT = "observer.v8.heap_limit";
    /// Whether the heap limit was predicted from version, limit and flags rather than read. No convention.
    V8_HEAP_LIMIT_PREDICTED = "observer.v8.heap_limit.predicted";

    /// Why a run ended: `kernel_oom`, `userspace_oom`, `v8_heap_oom`, `rollout`, `terminated`, `liveness`, `evicted`, `crash`,
    /// `error_exit`, `completed`, `unknown`. No convention.
    EXIT_CAUSE = "observer.exit.cause";
    /// `observed` or `inferred`: of the cause. No convention.
    EXIT_CONFIDENCE = "observer.exit.confidence";
    /// What decided the cause, in words. No convention.
    EXIT_REASON = "observer.exit.reason";
    /// Signal that ended it, by name. No convention.
    EXIT_SIGNAL = "observer.exit.signal";
    /// Pid of the process that sent the fatal signal. No convention.
    EXIT_SENDER_PID = "observer.exit.sender.pid";
    /// Name of the process that sent the fatal signal. No convention.
    EXIT_SENDER_COMM = "observer.exit.sender.comm";
    /// What Kubernetes or the container's engine says of the same end, beside what the kernel showed. No convention.
    EXIT_REPORTED = "observer.exit.reported";

    /// Number of the run that ended. No convention.
    PREVIOUS_RUN = "observer.run.previous.number";
    /// How long it lived, s. No convention.
    PREVIOUS_DURATION = "observer.run.previous.duration";
    /// Its version. No convention: `service.version` is the new one's.
    PREVIOUS_VERSION = "observer.run.previous.version";
    /// Its highest usage, By. No convention.
    PREVIOUS_PEAK = "observer.run.previous.peak";
    /// Its lower ceiling, By. No convention.
    PREVIOUS_CEILING = "observer.run.previous.ceiling";
    /// What set that ceiling. No convention.
    PREVIOUS_CEILING_KIND = "observer.run.previous.ceiling.kind";
    /// Slope of its trend, By per hour. No convention.
    PREVIOUS_SLOPE = "observer.run.previous.slope";
    /// Whether the new run is of another version. No convention.
    RESTART_ROLLOUT = "observer.restart.rollout";

    /// Runs between the two that nobody saw, by Kubernetes' own count of restarts. Absent where there were none. No
    /// convention.
    RESTART_UNSEEN = "observer.restart.unseen";

    /// Restarts in a crash loop so far. No convention.
    LOOP_RESTARTS = "observer.crash_loop.restarts";
    /// When the first run of the crash loop began, s since 1970: with the slot it tells one loop from another. No
    /// convention.
    LOOP_SINCE = "observer.crash_loop.since";
    /// Mean time from one restart to the next since the last update, s. No convention.
    LOOP_INTERVAL = "observer.crash_loop.interval";
    /// Causes of the ends in the crash loop with their counts, the most frequent first. No convention.
    LOOP_CAUSES = "observer.crash_loop.causes";
    /// The crash loop is over: a run has lived for ten minutes. No convention.
    LOOP_OVER = "observer.crash_loop.over";

    /// The run's version, where its Resource has no `service.version`. No convention.
    RUN_VERSION = "observer.run.version";
    /// On a span: the run's highest usage, By. No convention.
    RUN_PEAK = "observer.run.peak";
    /// On a span: the run's lower ceiling, By. No convention.
    RUN_CEILING = "observer.run.ceiling";
    /// On a span: what set that ceiling. No convention.
    RUN_CEILING_KIND = "observer.run.ceiling.kind";
    /// On a span: slope of the run's trend, By per hour. No convention.
    RUN_SLOPE = "observer.run.slope";

    /// Number of bytes at which the run dies, By. No convention.
    CEILING = "observer.memory.ceiling";
    /// `cgroup`, `cgroup_ancestor`, `v8_heap`, `learned`, `host`. No convention.
    CEILING_KIND = "observer.memory.ceiling.kind";
    /// Level over ceiling. No convention.
    CEILING_RATIO = "observer.memory.ceiling.ratio";
    /// Anonymous, swapped, shared and unreclaimable kernel memory, By. No convention.
    LEVEL = "observer.memory.level";
    /// Time to the ceiling, s: half of the forecasts are sooner. No convention.
    TIME_TO_CEILING = "observer.memory.time_to_ceiling";
    /// Time to the ceiling, s: one in ten is sooner. No convention.
    TIME_TO_CEILING_P10 = "observer.memory.time_to_ceiling.p10";
    /// Time to the ceiling, s: one in ten is later. No convention.
    TIME_TO_CEILING_P90 = "observer.memory.time_to_ceiling.p90";

    /// The state entered. No convention.
    LEAK_STATE = "observer.leak.state";
    /// The state left. No convention.
    LEAK_PREVIOUS_STATE = "observer.leak.previous_state";
    /// When the state left was told of this slot, s since 1970. No convention.
    LEAK_PREVIOUS_AT = "observer.leak.previous_at";
    /// First version that shows it. No convention.
    LEAK_FIRST_VERSION = "observer.leak.first_version";
    /// Last version that did not show it. No convention.
    LEAK_LAST_CLEAN_VERSION = "observer.leak.last_clean_version";
    /// Runs that were compared. No convention.
    LEAK_RUNS = "observer.leak.runs";
    /// Mean time from one end to the next, s. No convention.
    LEAK_PERIOD = "observer.leak.period";
    /// Slope of each compared run, By per hour, oldest first. No convention.
    LEAK_RUN_SLOPES = "observer.leak.run.slopes";
    /// Peak of each compared run, By, oldest first. No convention.
    LEAK_RUN_PEAKS = "observer.leak.run.peaks";
    /// Cause of the end of each compared run, oldest first. No convention.
    LEAK_RUN_CAUSES = "observer.leak.run.causes";
    /// Which gates decided: name, measured value and threshold. No convention.
    LEAK_GATES = "observer.leak.gates";
    /// The reason in words. No convention.
    LEAK_REASON = "observer.leak.reason";
    /// What the verdict stands on: `level` of the container, or `heap`, which was read. No convention.
    LEAK_BASIS = "observer.leak.basis";
    /// Growth of the floor when the heap was read, By. No convention.
    LEAK_HEAP_GROWN = "observer.leak.heap.grown";
    /// Of that growth, garbage that V8 had not collected, By. No convention.
    LEAK_HEAP_GARBAGE = "observer.leak.heap.garbage";
    /// What was held in the heap, By. No convention.
    LEAK_HEAP_HELD = "observer.leak.heap.held";
    /// Slope of the floor, By per hour. No convention.
    SLOPE = "observer.memory.slope";
    /// Lower end of the slope's 99 % interval, By per hour. No convention.
    SLOPE_LOW = "observer.memory.slope.low";
    /// Upper end of the slope's 99 % interval, By per hour. No convention.
    SLOPE_HIGH = "observer.memory.slope.high";
    /// How much history the slope stands on, s. No convention.
    SLOPE_SPAN = "observer.memory.slope.span";
    /// Floor after garbage collection, By. No convention.
    FLOOR = "observer.memory.floor";
    /// Where most of the growth is: `v8_heap`, `malloc`, `large_buffer`, `file`, `shmem`, `other`. No convention.
    GROWTH_WHERE = "observer.memory.growth.where";
    /// Share of the growth in V8's heap, 0 to 1. No convention.
    GROWTH_V8_HEAP = "observer.memory.growth.v8_heap";
    /// Share of the growth in the allocator, 0 to 1. No convention.
    GROWTH_MALLOC = "observer.memory.growth.malloc";
    /// Share of the growth in large anonymous buffers, 0 to 1. No convention.
    GROWTH_LARGE_BUFFER = "observer.memory.growth.large_buffer";
    /// Share of the growth in files, 0 to 1. No convention.
    GROWTH_FILE = "observer.memory.growth.file";
    /// Share of the growth in files in memory (a tmpfs, shared memory), 0 to 1. No convention.
    GROWTH_SHMEM = "observer.memory.growth.shmem";
    /// Share of the growth elsewhere, 0 to 1. No convention.
    GROWTH_OTHER = "observer.memory.growth.other";
    /// The kind of memory that grew most between two readings of the container's memory: `heap`, `garbage`, `heap_free`, `young`,
    /// `buffers`, `native`, `fragmentation`, `allocator`, `program`, `other_processes`, `page_cache`, `tmpfs`, `kernel`. No convention.
    GROWTH_KIND = "observer.memory.growth.kind";
    /// Bytes by which that kind grew, By. No convention.
    GROWTH_KIND_BYTES = "observer.memory.growth.bytes";
    /// Its share of all that grew, 0 to 1. No convention.
    GROWTH_KIND_SHARE = "observer.memory.growth.share";
    /// What it means that this kind grew, in words; inferred where it is a leak, since a cache that fills looks the same. No convention.
    GROWTH_MEANING = "observer.memory.growth.meaning";
    /// Bytes of each kind at the first of the readings and at the last (`native: 1048576 -> 67108864`). No convention.
    GROWTH_KINDS = "observer.memory.growth.kinds";
    /// Whole pages inside free blocks of the allocator at the last, By: what `malloc_trim` gives back. No convention.
    GROWTH_TRIMMABLE = "observer.memory.growth.trimmable";
    /// `observed` or `inferred`: of the shares. No convention.
    GROWTH_CONFIDENCE = "observer.memory.growth.confidence";

    /// The version that leaked. No convention.
    BEFORE_VERSION = "observer.leak.before.version";
    /// Its level shortly after a start, By. No convention.
    BEFORE_BASELINE = "observer.leak.before.baseline";
    /// Its highest level, By. No convention.
    BEFORE_PEAK = "observer.leak.before.peak";
    /// Its slope, By per hour. No convention.
    BEFORE_SLOPE = "observer.leak.before.slope";
    /// How long its runs lived, s. No convention.
    BEFORE_LIFETIME = "observer.leak.before.lifetime";
    /// The version that does not leak. No convention.
    AFTER_VERSION = "observer.leak.after.version";
    /// Its level shortly after a start, By. No convention.
    AFTER_BASELINE = "observer.leak.after.baseline";
    /// Its highest level so far, By. No convention.
    AFTER_PEAK = "observer.leak.after.peak";
    /// Its slope, By per hour. No convention.
    AFTER_SLOPE = "observer.leak.after.slope";
    /// How long it has lived, s. No convention.
    AFTER_LIFETIME = "observer.leak.after.lifetime";

    /// Twice the limit of the container, By. `observer.advice.reprieve` says what it buys. No convention.
    LARGER_LIMIT = "observer.advice.larger_limit";
    /// By how long that limit puts the end off at the pace of the growth, s. It does not prevent it. No convention.
    REPRIEVE = "observer.advice.reprieve";
    /// Its lower end, s: nine in ten or more are longer. No convention.
    REPRIEVE_P10 = "observer.advice.reprieve.p10";
    /// Its upper end, s: nine in ten or more are shorter. No convention.
    REPRIEVE_P90 = "observer.advice.reprieve.p90";
    /// `--max-old-space-size` that fits the container, MiB, where V8's heap limit does not. No convention.
    HEAP_FLAG = "observer.advice.max_old_space_size";
    /// By how long that flag puts the end off, s, where V8's limit is what ends it. It does not prevent it. No convention.
    HEAP_FLAG_REPRIEVE = "observer.advice.max_old_space_size.reprieve";
    /// Its lower end, s: nine in ten or more are longer. No convention.
    HEAP_FLAG_REPRIEVE_P10 = "observer.advice.max_old_space_size.reprieve.p10";
    /// Its upper end, s: nine in ten or more are shorter. No convention.
    HEAP_FLAG_REPRIEVE_P90 = "observer.advice.max_old_space_size.reprieve.p90";
    /// Page cache that makes the container's usage look close to its limit, By: the kernel takes it back. No convention.
    PAGE_CACHE = "observer.advice.page_cache";
    /// Kills so far, of this version. No convention.
    RECURRING_KILLS = "observer.recurring_oom.kills";
    /// From the first of them to the last, s. No convention.
    RECURRING_WITHIN = "observer.recurring_oom.within";
    /// How long a run lives, s: the median. No convention.
    RECURRING_LIFETIME = "observer.recurring_oom.lifetime";
    /// Lowest level after a start, By. No convention.
    RECURRING_FROM_LOW = "observer.recurring_oom.from.low";
    /// Highest level after a start, By. No convention.
    RECURRING_FROM_HIGH = "observer.recurring_oom.from.high";
    /// Lowest level at an end, By. No convention.
    RECURRING_TO_LOW = "observer.recurring_oom.to.low";
    /// Highest level at an end, By. No convention.
    RECURRING_TO_HIGH = "observer.recurring_oom.to.high";
    /// What the growth looks like: `steady`, `bursts`, `spike`, `flat`, `garbage`, `mixed`. No convention.
    RECURRING_PATTERN = "observer.recurring_oom.pattern";
    /// What may explain it: `undersized`, `misfit`, `leak_or_undersized`. No convention.
    RECURRING_EXPLANATION = "observer.recurring_oom.explanation";
    /// What to set, in words. No convention.
    MISFIT_ADVICE = "observer.misfit.advice";
    /// The version before. No convention.
    ROLLOUT_FROM = "observer.rollout.from";
    /// The new version. No convention: `service.version` in the Resource is the same.
    ROLLOUT_TO = "observer.rollout.to";
    /// The version that introduced it. No convention.
    BLAME_INTRODUCED_BY = "observer.leak.introduced_by";
    /// When that version was first seen, s since 1970. No convention.
    BLAME_SINCE = "observer.leak.introduced_at";
    /// What the blame stands on, in words. No convention.
    BLAME_EVIDENCE = "observer.leak.blame.evidence";
    /// What changed, in words. No convention.
    ROLLOUT_CHANGED = "observer.rollout.changed";
    /// What most likely leaks, by its name in the code. No convention.
    HEAP_CULPRIT = "observer.heap.culprit";
    /// The same for one suspect in every run, replica and version: a hash of its name, its file and what holds it. No convention.
    HEAP_CULPRIT_ID = "observer.heap.culprit.id";
    /// File and line of it. No convention: `code.*` describe where a record was made.
    HEAP_CULPRIT_PLACE = "observer.heap.culprit.place";
    /// How many there were at the first reading. No convention.
    HEAP_CULPRIT_BEFORE = "observer.heap.culprit.count_before";
    /// How many there are. No convention.
    HEAP_CULPRIT_COUNT = "observer.heap.culprit.count";
    /// Bytes they became more by, By. No convention.
    HEAP_CULPRIT_BYTES = "observer.heap.culprit.bytes_grown";
    /// The way most of them are held, from a variable or global down. No convention.
    HEAP_CULPRIT_HELD_BY = "observer.heap.culprit.held_by";
    /// Bytes that would be free without the place where it accumulates, By. No convention.
    HEAP_CULPRIT_RETAINED = "observer.heap.culprit.retained";
    /// Share of the heap's growth that hangs there, 0 to 1. No convention.
    HEAP_CULPRIT_SHARE = "observer.heap.culprit.share";
    /// What grew most, one sentence each. No convention.
    HEAP_GROWERS = "observer.heap.growers";
    /// Growth of all that grew, By. No convention.
    HEAP_GROWN = "observer.heap.grown";
    /// Share of it that hangs where the culprits accumulate, 0 to 1. No convention.
    HEAP_EXPLAINED = "observer.heap.explained";
    /// Whether dead objects were told apart; otherwise counts are upper bounds. No convention.
    HEAP_EXACT = "observer.heap.exact";
    /// Readings compared, the first and the last included; a culprit was found more at each than at the one before. No convention.
    HEAP_READINGS = "observer.heap.readings";
    /// Growth of the container between the first reading and the last, By. No convention.
    HEAP_CONTAINER_GROWN = "observer.heap.container_grown";
    /// Growth of garbage not yet collected and of free memory in V8's pages, By. No convention.
    HEAP_GARBAGE_GROWN = "observer.heap.garbage_grown";
    /// Whether what the heap holds can be why the container grew. No convention.
    HEAP_EXPLAINS = "observer.heap.explains";
    /// Time between the two readings, s. No convention.
    HEAP_APART = "observer.heap.apart";
    /// The version compared with. No convention.
    HEAP_VERSION_FROM = "observer.heap.version.from";
    /// The version that runs. No convention.
    HEAP_VERSION_TO = "observer.heap.version.to";
    /// How long the reading took, s. No convention.
    HEAP_READ_DURATION = "observer.heap.read.duration";
    /// Bytes of the process's memory read, By. No convention.
    HEAP_READ_BYTES = "observer.heap.read.bytes";
    /// Why it was not read. No convention.
    HEAP_NOT_READ = "observer.heap.read.refused";
    /// How long nothing could be seen, s; the record's time is its end. By the wall clock where the host was restarted in it. No convention.
    GAP_DURATION = "observer.gap.duration";
    /// Why. No convention.
    GAP_REASON = "observer.gap.reason";
    /// Records known to be lost in it. No convention.
    GAP_LOST = "observer.gap.lost";
}

pub mod event;
pub mod metric;
pub mod published;
