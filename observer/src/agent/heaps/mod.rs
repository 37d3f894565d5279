//! Readings of heaps: takes the engine's requests, reads the heaps of processes from outside within a budget, produces
//! Inputs that say what grew.
//!
//! A thread of its own, which yields the processor to everybody else; one reading at a time. The engine says when a container is
//! read; here the bandwidth and the agent's own memory are held, and nothing is read while the host is short of memory.

mod budget;
mod diagnose;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use observer_core::{
    Input, What,
    heap::{Contents, HeapAnswer, Outcome, ReadHeap},
    identity::Version,
    memory_use::{MemoryGrowth, MemoryUse},
    process::ProcessKey,
};
use observer_heap::{Learned, Reader, Reading};

use self::budget::Paced;
use super::{allocator, input_channel::InputSender};
use crate::{
    clock,
    source::{
        Procfs,
        cgroup::Hierarchy,
        idle,
        memory::{self, LiveMemory},
        usage::{Moment, V8},
    },
    terminal::say,
};

/// So many times as long as a reading takes, two must be apart for their growth to be the container's of that time.
const LONG_BESIDE: u32 = 4;
/// Readings at most where more seems dead than held.
const READINGS: u32 = 3;
/// Requests waiting at most; what comes then is put off.
const WAITING: usize = 16;
/// First readings kept for comparison, oldest out first: some hundred kB each.
const KEPT: usize = 16;
/// Later readings kept of each, without where objects were held.
const BETWEEN: usize = 4;
/// Workloads of which the last reading of a version is kept.
const WORKLOADS: usize = 32;
/// Bytes for telling what is held from what is dead: enough for a heap of some 600 MB. Larger ones are counted whole.
const MARKING: usize = 20 << 20;

/// The engine's end.
#[derive(Clone, Debug)]
pub(super) struct Heaps {
    requests: SyncSender<ReadHeap>,
    sender: InputSender,
}

impl Heaps {
    /// Starts the thread; it ends when every [`Heaps`] is dropped.
    pub(super) fn start(
        procfs: Arc<Procfs>,
        hierarchy: Arc<Hierarchy>,
        bytes_per_second: u64,
        sender: InputSender,
    ) -> std::io::Result<Self> {
        let (requests, receiver) = sync_channel(WAITING);
        let answers = sender.clone();
        let mut reading = Readings {
            procfs,
            hierarchy,
            bytes_per_second,
            started: Instant::now(),
            first: VecDeque::new(),
            versions: BTreeMap::new(),
        };
        thread::Builder::new().name("heaps".into()).spawn(move || {
            if let Err(error) = idle::run_when_idle() {
                say(format_args!("heaps are read at ordinary priority: {error}"));
            }
            reading.run(&receiver, &answers);
        })?;
        Ok(Self { requests, sender })
    }

    /// Asks.
    pub(super) fn ask(&self, request: ReadHeap) {
        if let Err(TrySendError::Full(request)) = self.requests.try_send(request) {
            let reason = "too many readings wait".to_owned();
            self.sender
                .answer(answer(request.process, (0, 0), None, Outcome::Postponed(reason)));
        }
    }
}

/// What was read of a process, to compare with.
struct First {
    process: ProcessKey,
    /// When the first reading began, and how long it took.
    began: Instant,
    took: Duration,
    reading: Reading,
    /// Where the container's memory was then.
    memory: Option<MemoryUse>,
    /// Readings since in which a culprit was found, oldest first.
    since: Vec<Reading>,
    learned: Learned,
}

struct Readings {
    procfs: Arc<Procfs>,
    hierarchy: Arc<Hierarchy>,
    bytes_per_second: u64,
    /// From when on readings count their time.
    started: Instant,
    first: VecDeque<First>,
    /// By workload: a version, and what of it stood in the heap under names of its own.
    versions: BTreeMap<String, (Option<Version>, Reading)>,
}

impl Readings {
    fn run(&mut self, requests: &Receiver<ReadHeap>, sender: &InputSender) {
        for request in requests {
            let began = Instant::now();
            let (mut bytes, mut contents) = (0, None);
            let outcome = match budget::shortage(self.procfs.root()) {
                Some(shortage) => Outcome::Postponed(shortage),
                None => self
                    .read(&request, &mut bytes, &mut contents)
                    .unwrap_or_else(|error| Outcome::Refused(format!("{error:#}"))),
            };
            allocator::trim();
            let cost = (began.elapsed().as_nanos() as u64, bytes);
            if !sender.answer(answer(request.process, cost, contents, outcome)) {
                return;
            }
        }
    }

    fn read(
        &mut self,
        request: &ReadHeap,
        bytes: &mut u64,
        contents: &mut Option<Contents>,
    ) -> anyhow::Result<Outcome> {
        let began = Instant::now();
        let pid = request.process.pid;
        let metadata = memory::metadata(pid)?;
        let live = LiveMemory::open(pid)?;
        // Checked after the files were opened: they stay this process's, whoever gets its pid.
        anyhow::ensure!(self.procfs.key(pid) == Some(request.process), "process {pid} has gone");
        let known = self
            .first
            .iter()
            .find(|first| first.process == request.process)
            .map(|first| first.learned.clone());
        // What the kernel tells of the container, before the heap is read: that takes its time.
        let moment = Moment::read(Some(&self.hierarchy), pid, 1)
            .inspect_err(|error| say(format_args!("where the memory of process {pid} is: {error}")))
            .ok();
        let paced = Paced::new(&live, self.bytes_per_second);
        let mut reader = match memory::open(&paced, &metadata, known.as_ref()) {
            // Being swept for longer than was waited.
            Err(refusal) if refusal.may_pass() => return Ok(Outcome::Postponed(refusal.to_string())),
            opened => opened?.with_marking(MARKING),
        };
        let mut reading = reader.read(&mut |_, _| {})?;
        *contents = contents_of(&reading);
        // The head of a chain that moves while it is read leaves all of the chain unmarked: a reading may find too little held,
        // and hardly too much.
        for _ in 1..READINGS {
            if !contents.is_some_and(mostly_dead) {
                break;
            }
            reading = reader.read(&mut |_, _| {})?;
            let again = contents_of(&reading);
            *contents = [*contents, again]
                .into_iter()
                .flatten()
                .max_by_key(|contents| contents.held);
        }
        reading.at = began.duration_since(self.started).as_secs_f64();
        let memory = moment.and_then(|moment| memory_use(moment, &reader, &reading, &paced));
        let took = began.elapsed();
        let outcome = if let Some(first) = self
            .first
            .iter_mut()
            .find(|f| f.process == request.process && request.compare)
        {
            let apart = began.saturating_duration_since(first.began);
            // The container's growth is counted from request to request: while a reading takes long beside that, the heap's is another
            // one's.
            let comparable = apart >= LONG_BESIDE * took.max(first.took);
            let grown = comparable.then_some(request.grown);
            let readings = (&first.reading, &first.since[..], &reading);
            let memory = memory.filter(|_| comparable);
            let garbage = diagnose::garbage((&first.reading, first.memory.as_ref()), (&reading, memory.as_ref()));
            let mut diagnosis = diagnose::in_time(&mut reader, apart, grown.map(|level| (level, garbage)), readings)?;
            diagnosis.memory = first.memory.clone().zip(memory.clone()).map(|(before, after)| {
                Box::new(MemoryGrowth {
                    apart_s: apart.as_secs_f64(),
                    before,
                    after,
                })
            });
            if diagnosis.culprit().is_none() {
                // The next reading is compared with this one.
                (first.began, first.took, first.reading) = (began, took, reading.kept());
                first.memory = memory;
                first.since.clear();
            } else {
                first.since.push(reading.counted());
                if first.since.len() > BETWEEN {
                    first.since.remove(0);
                }
            }
            Outcome::Compared(Box::new(diagnosis))
        } else {
            self.first_of(request, (began, took), &mut reader, (reading, memory))?
        };
        *bytes = paced.bytes();
        Ok(outcome)
    }

    /// The first reading of a process is kept, and compared with that of another version.
    fn first_of(
        &mut self,
        request: &ReadHeap,
        (began, took): (Instant, Duration),
        reader: &mut Reader<'_>,
        (reading, memory): (Reading, Option<MemoryUse>),
    ) -> anyhow::Result<Outcome> {
        let held = reading.held_bytes();
        let newcomers = match self.versions.get(&request.workload) {
            Some((version, before)) if *version != request.version => {
                let versions = (version.clone(), request.version.clone());
                diagnose::in_version(reader, versions, before, &reading)?
            }
            _ => None,
        };
        let kept = reading.kept();
        if self.versions.len() >= WORKLOADS && !self.versions.contains_key(&request.workload) {
            self.versions.pop_first();
        }
        self.versions
            .insert(request.workload.clone(), (request.version.clone(), kept.named()));
        self.first.retain(|first| first.process != request.process);
        if self.first.len() >= KEPT {
            self.first.pop_front();
        }
        self.first.push_back(First {
            process: request.process,
            began,
            took,
            reading: kept,
            memory,
            since: Vec::new(),
            learned: reader.learned(),
        });
        Ok(Outcome::First {
            held,
            newcomers: newcomers.map(Box::new),
        })
    }
}

/// Where the container's memory is: of its other processes only how much they have. `None`, and a line that says why, where that could
/// not be told.
fn memory_use(moment: Moment, reader: &Reader<'_>, reading: &Reading, memory: &Paced<'_>) -> Option<MemoryUse> {
    let v8 = V8::of(reader, reading).ok()?;
    let container = moment.look_into(Some((v8, memory)));
    let told = container.inspect_err(|error| say(format_args!("where a container's memory is: {error}")));
    told.ok().map(|container| container.by_kind())
}

/// More is dead than held: seldom true, and looked at again.
const fn mostly_dead(contents: Contents) -> bool {
    contents.dead > contents.held
}

/// What is held and what is dead; `None` where a collection came between, or the heap was too large to tell them apart.
fn contents_of(reading: &Reading) -> Option<Contents> {
    if reading.disturbed {
        return None;
    }
    let dead: Option<u64> = reading.isolates.iter().map(|isolate| isolate.dead_bytes).sum();
    dead.map(|dead| Contents {
        held: reading.held_bytes(),
        dead,
    })
}

fn answer(process: ProcessKey, (took_ns, bytes): (u64, u64), contents: Option<Contents>, outcome: Outcome) -> Input {
    Input {
        at: clock::boot(),
        what: What::Heap(Box::new(HeapAnswer {
            process,
            took_ns,
            bytes,
            contents,
            outcome,
        })),
    }
}
