//! Lets threads that read heaps wait for everybody else: reads nothing, changes the calling thread's scheduling.

use std::io;

/// Lets the calling thread run only while nobody else wants the processor (`SCHED_IDLE`, sched(7)). Refusals change nothing but
/// that.
pub fn run_when_idle() -> io::Result<()> {
    // The kernel's `sched_param`. The call itself, since musl's function of that name answers ENOSYS whatever it is asked.
    let priority: libc::c_int = 0;
    // SAFETY: the integer lives through the call, which reads it and nothing else; 0 is the calling thread.
    let done = unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_IDLE, &raw const priority) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    use super::*;

    #[test]
    fn a_thread_that_yields_is_idle_and_no_other_is() {
        let policy = |thread: &str| fs::read_to_string(format!("/proc/{thread}/sched")).unwrap();
        let of = |text: String| {
            text.lines()
                .find(|line| line.starts_with("policy"))
                .map(|line| line.ends_with('5'))
        };
        if !std::path::Path::new("/proc/thread-self/sched").exists() {
            return;
        }
        let idle = thread::spawn(move || {
            run_when_idle().unwrap();
            of(policy("thread-self"))
        });
        assert_eq!(idle.join().unwrap(), Some(true));
        assert_eq!(of(policy("thread-self")), Some(false));
    }
}
