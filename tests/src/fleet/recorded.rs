//! A recording as a node's history: reads what an agent recorded (`observer run --record`), produces its Inputs at times of a
//! fleet's history.
//!
//! A program that was recorded at a time scale below 1 had its hours compressed. Here they are hours again: the time from one
//! reading to the next is divided by the scale, and CPU time with it. What happens between two readings (a kill, a restart,
//! the inspection of a process) keeps its own pace, since the engine puts it together by milliseconds.

use anyhow::{Result, bail};
use observer_core::{
    Input, What,
    input::Begin,
    kernel::KernelEvent,
    process::ProcessKey,
    time::{BootTime, SECOND, USER_HZ},
};

/// A recording, and how its time goes.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// What its node is called by.
    pub name: String,
    begin: Begin,
    inputs: Vec<Input>,
    /// How many seconds one of the recording stands for.
    times: f64,
    /// Its readings: when, nanoseconds of the recorded host's boot time, and how many seconds after its beginning that is here.
    readings: Vec<(u64, f64)>,
}

impl Recorded {
    /// Of the Inputs of a recording in today's layout. `name` is what its node is called by.
    pub fn of(name: &str, mut inputs: Vec<Input>) -> Result<Self> {
        let Some((at, begin)) = inputs.first().and_then(|first| match &first.what {
            What::Begin(begin) => Some((first.at, (**begin).clone())),
            _ => None,
        }) else {
            bail!("{name}: its first Input is not an agent's beginning");
        };
        let goes_on = |input: &Input| matches!(input.what, What::Begin(_) | What::Restore(_));
        if inputs.iter().skip(1).any(goes_on) {
            bail!("{name}: another agent's state is in its middle");
        }
        inputs.remove(0);
        // The agent goes on when its recording has ended, and by the fleet's wall clock.
        inputs.retain(|input| !matches!(input.what, What::Clock(_) | What::End));
        let times = 1.0 / begin.settings.time_scale.clamp(1e-6, 1.0);
        let (mut before, mut seconds) = (at.0, 0.0);
        let mut readings = vec![(before, seconds)];
        for input in inputs.iter().filter(|input| matches!(input.what, What::Sample(_))) {
            seconds += seconds_between(before, input.at.0) * times;
            before = input.at.0;
            readings.push((before, seconds));
        }
        Ok(Self {
            name: name.to_owned(),
            begin,
            inputs,
            times,
            readings,
        })
    }

    /// Seconds that it stands for.
    pub fn seconds(&self) -> f64 {
        self.inputs.last().map_or(0.0, |last| self.after(last.at.0))
    }

    /// The recorded agent's circumstances at the scale of real services.
    pub(super) fn begin(&self) -> Begin {
        let mut begin = self.begin.clone();
        begin.settings.time_scale = 1.0;
        begin.sample_interval_s *= self.times;
        begin
    }

    /// Its Inputs, each with its second of a history in which the recording begins at `began`. `boot` gives the boot time of
    /// such a second.
    pub(super) fn inputs(&self, began: f64, boot: fn(f64) -> BootTime) -> impl Iterator<Item = (f64, Input)> + '_ {
        self.inputs.iter().map(move |input| {
            let second = |at: BootTime| began + self.after(at.0);
            let mut what = input.what.clone();
            for process in processes(&mut what) {
                // Of a victim only the pid may be known.
                if process.start > 0 {
                    process.start = boot(second(process.started())).0 / (SECOND / USER_HZ);
                }
            }
            match &mut what {
                What::Gap { from, .. } => *from = boot(second(*from)),
                What::Sample(sample) => {
                    if let Some(used) = sample.cgroup.as_mut().and_then(|level| level.cpu_ns.as_mut()) {
                        *used = (*used as f64 * self.times) as u64;
                    }
                }
                _ => {}
            }
            let at = second(input.at);
            (at, Input { at: boot(at), what })
        })
    }

    /// Seconds after its beginning, of a boot time of the recorded host.
    fn after(&self, at: u64) -> f64 {
        let next = self.readings.partition_point(|(read, _)| *read <= at);
        match next.checked_sub(1).and_then(|last| self.readings.get(last)) {
            Some((read, seconds)) => seconds + seconds_between(*read, at),
            // What it found running is as much older.
            None => -seconds_between(at, self.readings.first().map_or(at, |first| first.0)) * self.times,
        }
    }
}

fn seconds_between(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / SECOND as f64
}

/// The processes that an Input names.
fn processes(what: &mut What) -> Vec<&mut ProcessKey> {
    match what {
        What::Kernel(event) => match event {
            KernelEvent::Exec { process, .. }
            | KernelEvent::Fork { process, .. }
            | KernelEvent::Exit { process, .. } => {
                vec![process]
            }
            KernelEvent::OomVictim(victim) => vec![&mut victim.process],
            KernelEvent::Signal(signal) => vec![&mut signal.target],
            KernelEvent::CgroupMkdir { .. } | KernelEvent::CgroupRelease { .. } => Vec::new(),
        },
        What::Process(facts) => vec![&mut facts.key, &mut facts.parent],
        What::Resource(resource) => vec![&mut resource.process],
        What::Vanished(process) => vec![process],
        What::Sample(sample) => vec![&mut sample.process],
        What::Heap(answer) => vec![&mut answer.process],
        What::Begin(_)
        | What::Restore(_)
        | What::Clock(_)
        | What::Container(_)
        | What::OomKills { .. }
        | What::Lost(_)
        | What::Gap { .. }
        | What::Tick
        | What::End => Vec::new(),
    }
}
