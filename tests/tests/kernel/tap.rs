//! A loaded kernel half to ask for edges: waits on the edge itself, with a generous deadline.

use std::{
    io::{Read as _, Write as _},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use observer::kernel::{Kernel, Options, Report, Rings, Rung};
use observer_core::{Input, What, kernel::KernelEvent, process::ProcessKey};
use observer_tests::{app::dies_with_us, stage, tracefs};

const DEADLINE: Duration = Duration::from_mins(1);

/// Both ends of the loaded programs, and all they told so far.
pub(crate) struct Tap {
    pub(crate) kernel: Kernel,
    pub(crate) rings: Rings,
    pub(crate) report: Report,
    pub(crate) seen: Vec<Input>,
}

impl Tap {
    pub(crate) fn open(best_rung: Rung) -> Self {
        Self::with(&Options {
            best_rung,
            ..Options::default()
        })
    }

    pub(crate) fn with(options: &Options) -> Self {
        if options.best_rung == Rung::Tracepoint {
            tracefs::mounted_here().unwrap();
        }
        let (kernel, rings, report) = Kernel::load(options);
        assert_eq!(report.unavailable, None);
        for hook in &report.hooks {
            assert!(hook.failed.is_empty(), "{hook:?}");
        }
        Self {
            kernel,
            rings,
            report,
            seen: Vec::new(),
        }
    }

    /// The first edge, from the beginning, of which `wanted` makes something.
    pub(crate) fn until<T>(&mut self, what: &str, wanted: impl Fn(&KernelEvent) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        let edge = |input: &Input| match &input.what {
            What::Kernel(event) => wanted(event),
            _ => None,
        };
        if let Some(found) = self.seen.iter().find_map(edge) {
            return found;
        }
        while Instant::now() < deadline {
            let inputs = self.rings.wait(Duration::from_millis(100)).unwrap();
            let found = inputs.iter().find_map(edge);
            self.seen.extend(inputs);
            if let Some(found) = found {
                return found;
            }
        }
        panic!("{what}: not seen among {} edges", self.seen.len());
    }

    /// The exit of this process.
    pub(crate) fn exit(&mut self, pid: u32) -> KernelEvent {
        self.until(&format!("the exit of {pid}"), |event| match event {
            KernelEvent::Exit { process, .. } if process.pid == pid => Some(event.clone()),
            _ => None,
        })
    }

    /// Runs a program to its end and waits for the edge of that: all that happened before has been read by then.
    pub(crate) fn barrier(&mut self) {
        let mut marker = Command::new("/bin/true").spawn().unwrap();
        let pid = marker.id();
        marker.wait().unwrap();
        self.exit(pid);
    }

    /// Everything seen by now.
    pub(crate) fn edges(&self) -> impl Iterator<Item = &KernelEvent> {
        self.seen.iter().filter_map(|input| match &input.what {
            What::Kernel(event) => Some(event),
            _ => None,
        })
    }

    /// How many exits of this process were told.
    pub(crate) fn exits(&self, pid: u32) -> usize {
        self.edges()
            .filter(|event| matches!(event, KernelEvent::Exit { process, .. } if process.pid == pid))
            .count()
    }
}

/// A process that exists, by its pid, as /proc tells it.
pub(crate) fn key(pid: u32) -> ProcessKey {
    ProcessKey {
        pid,
        start: stage::start_of(pid).unwrap(),
    }
}

/// A program that runs until its standard input is closed or it is killed. It has answered once: what starts it has given way to
/// it, so no exec of its is still to come.
pub(crate) fn waiting() -> Child {
    let mut child = dies_with_us(&mut Command::new("/bin/cat"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    child
}

/// Makes one test per rung from a function of a rung.
#[macro_export]
macro_rules! on_each_rung {
    ($($name:ident needs $($need:ident $(($argument:expr))?),+;)+) => {
        $(
            mod $name {
                use observer::kernel::Rung;
                use observer_tests::need;

                #[test]
                fn tp_btf() {
                    need!(Root, Bpf, $($need $(($argument))?),+);
                    super::$name(Rung::TpBtf);
                }

                #[test]
                fn tracepoint() {
                    need!(Root, Bpf, Tracefs, $($need $(($argument))?),+);
                    super::$name(Rung::Tracepoint);
                }
            }
        )+
    };
}
