//! Attributes of each kind of finding. What is not known is absent, never 0.

mod heap;
mod recurring;

use super::{
    value::Value,
    words::{ceiling_kind, confidence, killer, period_s, scope},
};
use crate::{
    Finding,
    exit::signal_name,
    finding::{
        Cause, Ceiling, CrashLoop, End, EndedRun, Event, Forecast, OomKiller, Restart, RunSummary, Side, Verdict,
    },
    kernel::ExitStatus,
    semconv as name,
    time::{BootTime, SECOND, WallTime},
};

type Attributes = Vec<(&'static str, Value)>;

pub(super) fn of(finding: &Finding) -> Attributes {
    let mut list = List(Vec::new());
    list.text(name::FINDING_ID, &finding.id);
    list.text(name::FINDING_CONFIDENCE, confidence(finding.confidence));
    list.text(name::FINDING_CONTRADICTED_BY, &finding.contradicted_by);
    if let Some(subject) = &finding.subject {
        list.text(name::SLOT, &subject.slot.to_string());
        list.bytes(name::RUN, Some(subject.run));
        if !subject.resource.contains_key(name::SERVICE_VERSION) {
            list.maybe_text(name::RUN_VERSION, subject.version.as_ref().map(|v| v.0.as_str()));
        }
        let refused = subject.refused.iter();
        let refused = refused.map(|(name, value)| match subject.resource.get(name) {
            Some(known) => Value::Text(format!("{name}={value} (it is {known})")),
            None => Value::Text(format!("{name}={value}")),
        });
        list.list(name::CLAIMS_REFUSED, refused.collect());
    }
    match &finding.event {
        Event::OomKill(kill) => {
            let daemon = matches!(kill.killer, OomKiller::Userspace(_));
            let cause = if daemon { Cause::UserspaceOom } else { Cause::KernelOom };
            list.text(name::ERROR_TYPE, cause.name());
            list.text(name::OOM_KILLER, killer(&kill.killer));
            list.text(name::OOM_SCOPE, scope(kill.scope));
            list.maybe_text(name::CGROUP_PATH, kill.cgroup.as_deref());
            list.bytes(name::MEMORY_LIMIT, kill.limit);
            list.bytes(name::MEMORY_USAGE, kill.usage);
            list.bytes(name::OOM_VICTIM_ANON, kill.anon);
            list.bytes(name::OOM_VICTIM_FILE, kill.file);
            list.bytes(name::OOM_VICTIM_SHMEM, kill.shmem);
            list.bytes(name::PROCESS_PID, Some(u64::from(kill.pid)));
            list.text(name::OOM_VICTIM_COMM, &kill.comm);
            list.bool(name::OOM_MAIN_PROCESS, kill.main_process);
            list.bytes(name::OOM_CO_VICTIMS, Some(u64::from(kill.co_victims)));
        }
        Event::HeapOom(death) => {
            list.bytes(name::V8_HEAP_LIMIT, death.heap_limit);
            if death.heap_limit.is_some() {
                list.bool(name::V8_HEAP_LIMIT_PREDICTED, death.predicted);
            }
            list.bytes(name::MEMORY_RSS, death.rss);
            list.bytes(name::MEMORY_LIMIT, death.cgroup_limit);
            list.end(&death.end);
        }
        Event::Restart(restart) => {
            list.restart(restart);
            list.times(&restart.previous, |at| finding.wall_of(at));
        }
        Event::CrashLoop(crash_loop) => {
            list.crash_loop(crash_loop);
            if let Some(last) = &crash_loop.last {
                list.times(last, |at| finding.wall_of(at));
            }
        }
        Event::NearCeiling(near) => {
            list.ceiling(Some(near.ceiling));
            list.float(name::CEILING_RATIO, near.ratio);
            list.bytes(name::LEVEL, Some(near.level));
            if let Some(seconds) = near.time_to_ceiling_s {
                list.float(name::TIME_TO_CEILING, seconds);
            }
        }
        Event::Leak(verdict) => list.leak(verdict),
        Event::Misfit(misfit) => {
            list.bytes(name::V8_HEAP_LIMIT, Some(misfit.heap_limit));
            list.bytes(name::MEMORY_LIMIT, Some(misfit.cgroup_limit));
            list.bytes(name::HEAP_FLAG, misfit.old_space_mib);
            list.text(name::MISFIT_ADVICE, &misfit.advice);
        }
        Event::RecurringOom(recurring) => list.recurring(recurring),
        Event::Rollout(rollout) => {
            list.maybe_text(name::ROLLOUT_FROM, rollout.from.as_ref().map(|v| v.0.as_str()));
            list.text(name::ROLLOUT_TO, &rollout.to.0);
            list.text(name::ROLLOUT_CHANGED, &rollout.changed);
        }
        Event::Diagnosis(diagnosis) => list.diagnosis(diagnosis),
        Event::HeapRead(read) => {
            list.bytes(name::PROCESS_PID, Some(u64::from(read.pid)));
            list.float(name::HEAP_READ_DURATION, read.took_ns as f64 / SECOND as f64);
            list.bytes(name::HEAP_READ_BYTES, Some(read.bytes));
            list.maybe_text(name::HEAP_NOT_READ, read.not_read.as_deref());
        }
        Event::Gap(gap) => {
            list.float(name::GAP_DURATION, gap.lasted() as f64 / SECOND as f64);
            list.text(name::GAP_REASON, &gap.reason);
            list.bytes(name::GAP_LOST, Some(gap.lost));
        }
    }
    list.0
}

/// Attributes of an ended run's span.
pub(super) fn of_run(ended: &EndedRun) -> Attributes {
    let mut list = List(Vec::new());
    let run = &ended.run;
    list.text(name::FINDING_ID, &ended.id);
    list.text(name::SLOT, &ended.subject.slot.to_string());
    list.bytes(name::RUN, Some(run.run));
    if !ended.subject.resource.contains_key(name::SERVICE_VERSION) {
        list.maybe_text(name::RUN_VERSION, run.version.as_ref().map(|v| v.0.as_str()));
    }
    list.end(&run.end);
    list.times(run, |at| WallTime(ended.ended.0.saturating_sub(run.ended.since(at))));
    list.maybe_text(name::EXIT_REPORTED, run.reported.as_deref());
    list.bool(name::RESTART_ROLLOUT, ended.rollout);
    list.bytes(name::RUN_PEAK, Some(run.peak).filter(|peak| *peak > 0));
    if let Some(ceiling) = run.ceiling {
        list.bytes(name::RUN_CEILING, Some(ceiling.bytes));
        list.text(name::RUN_CEILING_KIND, ceiling_kind(ceiling.kind));
    }
    if let Some(slope) = run.slope_bytes_per_hour {
        list.float(name::RUN_SLOPE, slope);
    }
    list.0
}

struct List(Attributes);

impl List {
    fn text(&mut self, name: &'static str, text: &str) {
        self.0.push((name, Value::Text(text.to_owned())));
    }

    fn maybe_text(&mut self, name: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// Bytes and counts: what exceeds the protocol's 64-bit signed integers is told as their largest.
    fn bytes(&mut self, name: &'static str, number: Option<u64>) {
        if let Some(number) = number {
            self.0.push((name, int(number)));
        }
    }

    fn float(&mut self, name: &'static str, number: f64) {
        if number.is_finite() {
            self.0.push((name, Value::Float(number)));
        }
    }

    fn bool(&mut self, name: &'static str, yes: bool) {
        self.0.push((name, Value::Bool(yes)));
    }

    fn ceiling(&mut self, ceiling: Option<Ceiling>) {
        if let Some(ceiling) = ceiling {
            self.bytes(name::CEILING, Some(ceiling.bytes));
            self.text(name::CEILING_KIND, ceiling_kind(ceiling.kind));
        }
    }

    fn end(&mut self, end: &End) {
        self.text(name::EXIT_CAUSE, end.cause.name());
        if !matches!(
            end.cause,
            Cause::Completed | Cause::Terminated | Cause::Rollout | Cause::Unknown
        ) {
            self.text(name::ERROR_TYPE, end.cause.name());
        }
        self.text(name::EXIT_CONFIDENCE, confidence(end.confidence));
        self.text(name::EXIT_REASON, &end.because);
        match end.status {
            Some(ExitStatus::Code(code)) => self.bytes(name::PROCESS_EXIT_CODE, Some(u64::from(code))),
            Some(ExitStatus::Signal(signal)) => self.text(name::EXIT_SIGNAL, &signal_name(signal)),
            None => {}
        }
        if let Some(sender) = &end.sender {
            self.bytes(name::EXIT_SENDER_PID, Some(u64::from(sender.pid)));
            self.text(name::EXIT_SENDER_COMM, &sender.comm);
        }
    }

    /// When an ended run's main process was created and when it exited, where that was seen.
    fn times(&mut self, run: &RunSummary, wall: impl Fn(BootTime) -> WallTime) {
        self.0
            .push((name::PROCESS_CREATION_TIME, Value::Time(wall(run.started))));
        if run.end.status.is_some() {
            self.0.push((name::PROCESS_EXIT_TIME, Value::Time(wall(run.ended))));
        }
    }

    fn restart(&mut self, restart: &Restart) {
        let previous = &restart.previous;
        self.end(&previous.end);
        self.maybe_text(name::EXIT_REPORTED, previous.reported.as_deref());
        self.bool(name::RESTART_ROLLOUT, restart.rollout);
        self.bytes(name::RESTART_UNSEEN, Some(u64::from(restart.unseen)).filter(|n| *n > 0));
        self.bytes(name::PREVIOUS_RUN, Some(previous.run));
        self.float(name::PREVIOUS_DURATION, previous.duration_ns() as f64 / SECOND as f64);
        self.maybe_text(name::PREVIOUS_VERSION, previous.version.as_ref().map(|v| v.0.as_str()));
        self.bytes(name::PREVIOUS_PEAK, Some(previous.peak).filter(|peak| *peak > 0));
        if let Some(ceiling) = previous.ceiling {
            self.bytes(name::PREVIOUS_CEILING, Some(ceiling.bytes));
            self.text(name::PREVIOUS_CEILING_KIND, ceiling_kind(ceiling.kind));
        }
        if let Some(slope) = previous.slope_bytes_per_hour {
            self.float(name::PREVIOUS_SLOPE, slope);
        }
    }

    fn crash_loop(&mut self, crash_loop: &CrashLoop) {
        self.bytes(name::LOOP_RESTARTS, Some(u64::from(crash_loop.restarts)));
        self.bytes(name::LOOP_SINCE, Some(crash_loop.since.0 / SECOND));
        self.float(name::LOOP_INTERVAL, crash_loop.interval_s);
        let causes = crash_loop.causes.iter();
        let causes = causes.map(|(cause, count)| Value::Text(format!("{} {count}", cause.name())));
        self.list(name::LOOP_CAUSES, causes.collect());
        self.bool(name::LOOP_OVER, crash_loop.over);
        if let Some(last) = &crash_loop.last {
            self.end(&last.end);
            self.bytes(name::PREVIOUS_RUN, Some(last.run));
            self.float(name::PREVIOUS_DURATION, last.duration_ns() as f64 / SECOND as f64);
        }
    }

    fn forecast(&mut self, forecast: Forecast) {
        self.float(name::TIME_TO_CEILING, forecast.p50);
        self.float(name::TIME_TO_CEILING_P10, forecast.p10);
        self.float(name::TIME_TO_CEILING_P90, forecast.p90);
    }

    fn leak(&mut self, verdict: &Verdict) {
        self.text(name::LEAK_STATE, verdict.state.name());
        self.text(name::LEAK_PREVIOUS_STATE, verdict.previous.name());
        self.bytes(name::LEAK_PREVIOUS_AT, verdict.previous_at.map(|at| at.0 / SECOND));
        self.float(name::SLOPE, verdict.slope_bytes_per_hour);
        self.float(name::SLOPE_LOW, verdict.slope_interval.0);
        self.float(name::SLOPE_HIGH, verdict.slope_interval.1);
        self.float(name::SLOPE_SPAN, verdict.span_ns as f64 / SECOND as f64);
        self.bytes(name::FLOOR, Some(verdict.floor));
        self.ceiling(verdict.ceiling);
        if let Some(forecast) = verdict.time_to_ceiling {
            self.forecast(forecast);
        }
        self.maybe_text(
            name::LEAK_FIRST_VERSION,
            verdict.first_version.as_ref().map(|v| v.0.as_str()),
        );
        if let Some(larger) = verdict.larger_limit {
            self.bytes(name::LARGER_LIMIT, Some(larger.limit));
            self.float(name::REPRIEVE, larger.reprieve.p50);
            self.float(name::REPRIEVE_P10, larger.reprieve.p10);
            self.float(name::REPRIEVE_P90, larger.reprieve.p90);
        }
        if let Some(flag) = verdict.heap_flag {
            self.bytes(name::HEAP_FLAG, Some(flag.old_space_mib));
            if let Some(reprieve) = flag.reprieve {
                self.float(name::HEAP_FLAG_REPRIEVE, reprieve.p50);
                self.float(name::HEAP_FLAG_REPRIEVE_P10, reprieve.p10);
                self.float(name::HEAP_FLAG_REPRIEVE_P90, reprieve.p90);
            }
        }
        self.bytes(name::PAGE_CACHE, verdict.page_cache.map(|page| page.cache));
        self.runs(verdict);
        if let Some(attribution) = &verdict.attribution {
            let shares = &attribution.shares;
            self.text(name::GROWTH_WHERE, attribution.largest().0);
            self.float(name::GROWTH_V8_HEAP, shares.v8_heap);
            self.float(name::GROWTH_MALLOC, shares.malloc);
            self.float(name::GROWTH_LARGE_BUFFER, shares.large_buffer);
            self.float(name::GROWTH_FILE, shares.file);
            self.float(name::GROWTH_SHMEM, shares.shmem);
            self.float(name::GROWTH_OTHER, shares.other);
            self.text(name::GROWTH_CONFIDENCE, confidence(attribution.confidence));
        }
        if let Some(blame) = &verdict.blame {
            self.maybe_text(
                name::BLAME_INTRODUCED_BY,
                blame.introduced_by.as_ref().map(|v| v.0.as_str()),
            );
            self.maybe_text(
                name::LEAK_LAST_CLEAN_VERSION,
                blame.last_clean.as_ref().map(|v| v.0.as_str()),
            );
            self.bytes(name::BLAME_SINCE, Some(blame.since.0 / SECOND));
            self.text(name::BLAME_EVIDENCE, &blame.evidence);
        }
        if let Some(comparison) = &verdict.comparison {
            let before = [
                name::BEFORE_VERSION,
                name::BEFORE_BASELINE,
                name::BEFORE_PEAK,
                name::BEFORE_SLOPE,
            ];
            self.side(&comparison.before, before, name::BEFORE_LIFETIME);
            let after = [
                name::AFTER_VERSION,
                name::AFTER_BASELINE,
                name::AFTER_PEAK,
                name::AFTER_SLOPE,
            ];
            self.side(&comparison.after, after, name::AFTER_LIFETIME);
        }
        self.text(name::LEAK_BASIS, if verdict.heap.is_some() { "heap" } else { "level" });
        self.heap_read(verdict.heap.as_ref());
        if let Some(diagnosis) = &verdict.diagnosis {
            self.diagnosis(diagnosis);
        }
        let gates = verdict.gates.iter().map(|gate| {
            let held = if gate.held { "held" } else { "failed" };
            Value::Text(format!(
                "{} {held}: {} against {}",
                gate.name, gate.value, gate.threshold
            ))
        });
        self.list(name::LEAK_GATES, gates.collect());
        self.text(name::LEAK_REASON, &verdict.because);
    }

    fn runs(&mut self, verdict: &Verdict) {
        let runs = &verdict.runs;
        if runs.is_empty() {
            return;
        }
        self.bytes(name::LEAK_RUNS, Some(runs.len() as u64));
        if let Some(period) = period_s(runs) {
            self.float(name::LEAK_PERIOD, period);
        }
        let slopes = runs
            .iter()
            .filter_map(|r| r.slope_bytes_per_hour)
            .filter(|s| s.is_finite())
            .map(Value::Float);
        self.list(name::LEAK_RUN_SLOPES, slopes.collect());
        self.list(name::LEAK_RUN_PEAKS, runs.iter().map(|r| int(r.peak)).collect());
        let causes = runs.iter().map(|r| Value::Text(r.cause().name().to_owned()));
        self.list(name::LEAK_RUN_CAUSES, causes.collect());
    }

    fn side(&mut self, side: &Side, names: [&'static str; 4], lifetime: &'static str) {
        let [version, baseline, peak, slope] = names;
        self.maybe_text(version, side.version.as_ref().map(|v| v.0.as_str()));
        self.bytes(baseline, Some(side.baseline));
        self.bytes(peak, Some(side.peak));
        self.float(slope, side.slope_bytes_per_hour);
        self.float(lifetime, side.lifetime_s);
    }

    fn list(&mut self, name: &'static str, values: Vec<Value>) {
        if !values.is_empty() {
            self.0.push((name, Value::List(values)));
        }
    }
}

fn int(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}
