//! A slot played from its levels: what its detector says, run after run.

use observer_core::{
    detect::{Ceilings, DetectConfig, Point, RunEnd, SlotDetector, State, Verdict},
    exit::Cause,
    finding::{Ceiling, CeilingKind},
    identity::Version,
    time::{BootTime, SECOND},
};

pub(crate) const MB: f64 = 1_048_576.0;

pub(crate) struct Slot {
    pub(crate) detector: SlotDetector,
    pub(crate) now: f64,
    run: u64,
    noise: u64,
    pub(crate) said: Vec<Verdict>,
    /// What each point has beside its level: V8's limit, where it grows.
    pub(crate) beside: Point,
    /// What grows is shared memory.
    pub(crate) level_in_shmem: bool,
    /// What happens after each point: seconds into the run, and the detector.
    pub(crate) each: fn(f64, &mut SlotDetector) -> Option<Verdict>,
}

impl Slot {
    pub(crate) fn new(config: DetectConfig) -> Self {
        Self {
            detector: SlotDetector::new(config),
            now: 1_000.0,
            run: 0,
            noise: 7,
            said: Vec::new(),
            beside: Point::default(),
            level_in_shmem: false,
            each: |_, _| None,
        }
    }

    pub(crate) fn at(&self) -> BootTime {
        BootTime((self.now * SECOND as f64) as u64)
    }

    /// Between -1 and 1, the same each time.
    fn noise(&mut self) -> f64 {
        self.noise = self
            .noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.noise >> 40) as f64 / (1u64 << 23) as f64 - 1.0
    }

    /// A run that is sampled every `step` seconds for `seconds`, at `level` MB of `limit` MB, and ends.
    pub(crate) fn run(
        &mut self,
        version: &str,
        step: f64,
        seconds: f64,
        limit: f64,
        level: impl Fn(f64) -> f64,
        end: Option<Cause>,
    ) {
        self.run += 1;
        let version = Version(version.to_owned());
        self.said
            .extend(self.detector.begin_run(self.run, self.at(), Some(&version)));
        let start = self.now;
        while self.now < start + seconds {
            self.now += step;
            let megabytes = level(self.now - start) * (1.0 + 0.004 * self.noise());
            let point = Point {
                at: self.at(),
                trend: (megabytes * MB) as u64,
                shmem: if self.level_in_shmem {
                    (megabytes * MB) as u64
                } else {
                    0
                },
                ceilings: Ceilings {
                    cgroup: Some(Ceiling {
                        bytes: (limit * MB) as u64,
                        kind: CeilingKind::Cgroup,
                    }),
                    v8: None,
                },
                ..self.beside
            };
            self.said.extend(self.detector.observe(&point));
            self.said.extend((self.each)(self.now - start, &mut self.detector));
        }
        if let Some(cause) = end {
            self.said.extend(self.detector.end_run(&RunEnd::new(self.at(), cause)));
        }
    }

    pub(crate) fn states(&self) -> Vec<State> {
        self.said.iter().map(|verdict| verdict.state).collect()
    }
}
