//! The one loop of the daemon: owner of consumer, producer, host and log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ingest::kafka::{
    Consumer, Event, KafkaError, KafkaErrorKind, Message, Start, TopicPartition, failpoint, may_read,
};
use pipeline::delivery::Delivery;
use pipeline::{Member, Output, Past, TaskId};
use types::{Control, ControlKind, Payload, Record};

use crate::clock::{self, Stopwatch};
use crate::failure::Failure;
use crate::http::Readiness;
use crate::metrics::Metrics;
use crate::run::publish::Publisher;
use crate::run::record::Recorder;
use crate::run::starts::Starts;
use crate::run::watch::Watch;
use crate::settings::AgentSettings;

/// Windows gathered before the nets run although more records wait.
const WINDOWS_A_ROUND: usize = 256;
/// Outputs gathered before they are published ahead of the commit interval.
const OUTPUTS_A_COMMIT: usize = 5_000;
/// How long the brokers may take for a look-up, and one publication for its acknowledgements.
const BROKER_TIMEOUT: Duration = Duration::from_secs(10);
/// The same once the process was asked to stop: calls under way, the last publication, giving it up and leaving the group must come to
/// less than [`STOP_DEADLINE`](super::STOP_DEADLINE).
const LAST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long leaving the group may take: librdkafka waits 5 s for a broker to hear of it.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(6);
/// How long one look whether a broker answers again may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long after a second publication has failed partitions begin again; twice as long after each further one.
const BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// So long after the last publication that failed there is nothing left of what it held.
const NOTHING_TO_PUBLISH: Duration = Duration::from_secs(60);
/// How often idle series are looked for.
const TICK: Duration = Duration::from_secs(1);

/// The loop.
pub(crate) struct Engine {
    own: Parts,
    /// What is known of each partition held beside its task.
    pulses: BTreeMap<TaskId, Pulse>,
    /// A start was decided: it is committed before anything is read, so that it is not decided again.
    started: bool,
    /// What is known of how the group began with its topics.
    starts: Starts,
    /// Assigned partitions that the brokers have not given a start for yet.
    unanswered: Option<Vec<TopicPartition>>,
    /// Something failed, and nothing has shown since that the brokers answer.
    trouble: bool,
    /// Among that, something that is not allowed.
    is_denied: bool,
    /// Every partition that the group gave has its start.
    is_assigned: bool,
    /// Publications that failed since the last that did not, and when on the monotonic clock the last of them did.
    failed: (u32, Duration),
}

/// Signs of life of a partition.
#[derive(Default)]
struct Pulse {
    /// When on the monotonic clock the last record came: event time goes on from there while the partition is silent.
    last_record: Option<Duration>,
    /// Samples that the task had seen at the last tick.
    samples_at_tick: u64,
}

/// Everything the loop owns.
pub(crate) struct Parts {
    pub(crate) settings: AgentSettings,
    pub(crate) model: pipeline::Model,
    pub(crate) consumer: Consumer,
    pub(crate) publisher: Publisher,
    pub(crate) member: Member,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) watch: Watch,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) clock: Stopwatch,
    pub(crate) stop: Arc<AtomicBool>,
}

impl Parts {
    /// How long the brokers may take for one answer.
    pub(super) fn patience(&self) -> Duration {
        if self.stop.load(Ordering::Relaxed) {
            LAST_TIMEOUT
        } else {
            BROKER_TIMEOUT
        }
    }
}

impl Engine {
    pub(crate) fn new(own: Parts) -> Self {
        Self {
            own,
            pulses: BTreeMap::new(),
            started: false,
            starts: Starts::default(),
            unanswered: None,
            trouble: false,
            is_denied: false,
            is_assigned: false,
            failed: Default::default(),
        }
    }

    /// Runs until asked to stop, then publishes what is finished. Nothing that live would not have scored is scored.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        let result = self.turn();
        // A member that says good-bye hands its partitions over at once.
        if let Err(error) = self.own.consumer.leave(LEAVE_TIMEOUT) {
            tracing::warn!(%error, "the group has to wait for the session to end");
        }
        result?;
        self.own.recorder.map_or(Ok(()), Recorder::finish)
    }

    fn turn(&mut self) -> Result<(), Failure> {
        let interval = Duration::from_millis(
            u64::try_from(self.own.settings.all().kafka.commit_interval).unwrap_or(500),
        );
        let (mut committed_at, mut ticked_at) = (self.own.clock.elapsed(), self.own.clock.elapsed());
        while !self.own.stop.load(Ordering::Relaxed) {
            self.own.watch.turn(self.own.clock.elapsed(), &self.own.member);
            let due = self.own.member.due();
            // With windows due, only take what is there already; the nets run as soon as nothing is.
            let wait = if due > 0 {
                Duration::ZERO
            } else {
                Duration::from_millis(50).min(interval)
            };
            match self.own.consumer.poll(wait) {
                Some(event) => self.event(event)?,
                None => self.infer(),
            }
            if self.own.member.due() >= WINDOWS_A_ROUND {
                self.infer();
            }
            let now = self.own.clock.elapsed();
            if now.saturating_sub(ticked_at) >= TICK {
                ticked_at = now;
                self.tick(now)?;
            }
            let is_full = self.own.member.waiting() >= OUTPUTS_A_COMMIT;
            if now.saturating_sub(committed_at) >= interval || is_full || std::mem::take(&mut self.started) {
                committed_at = now;
                self.publish()?;
                self.own.watch.look(now, &self.own.member);
            }
        }
        self.own.readiness.set(Err("stopping".to_owned()));
        self.publish()
    }

    fn event(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Message(message) => self.message(message),
            Event::Assigned(partitions) => {
                self.failed = Default::default();
                self.assigned(&partitions)
            }
            Event::Revoked { partitions, lost } => {
                tracing::info!(partitions = partitions.len(), lost, "partitions revoked");
                failpoint::pass("in_revoke");
                if !lost {
                    self.publish()?;
                }
                failpoint::pass("in_revoke");
                self.drop_tasks();
                self.own.consumer.release().or_else(|e| self.survive(&e))
            }
            Event::Ends(ends) => {
                for (source, end) in ends {
                    let id = task_id(&source);
                    if let Some(position) = self.own.member.position(&id) {
                        self.own.metrics.lag(&source, end - position);
                    }
                }
                Ok(())
            }
            Event::Fetched(bytes) => {
                self.own.metrics.fetched(bytes);
                Ok(())
            }
            Event::Error(error) => self.survive(&error),
        }
    }

    /// Counts an error and goes on, unless the client is of no further use.
    fn survive(&mut self, error: &KafkaError) -> Result<(), Failure> {
        self.note(error);
        if error.kind.ends_client() {
            return Err(Failure::unavailable(error));
        }
        Ok(())
    }

    /// Counts an error, and says it to whoever asks.
    fn note(&mut self, error: &KafkaError) {
        self.own.metrics.failed(error.kind);
        if error.kind == KafkaErrorKind::Denied {
            tracing::error!(%error, "the broker refuses");
        } else {
            tracing::warn!(%error, "broker trouble");
        }
        self.own.readiness.set(Err(error.to_string()));
        self.trouble = true;
        self.is_denied |= error.kind == KafkaErrorKind::Denied;
    }

    fn recovered(&mut self) {
        self.own.readiness.set(Ok(()));
        self.trouble = false;
        self.is_denied = false;
    }

    /// Whether the work can be done again: every topic is there, brokers answer, and where something was not allowed, topics can be
    /// read.
    fn probe(&self) -> Result<(), KafkaError> {
        let own = &self.own;
        if let Some(id) = self.pulses.keys().next() {
            own.consumer.bounds(&source_of(id), PROBE_TIMEOUT)?;
        }
        for topic in own.settings.inputs() {
            own.consumer.partition_count(topic, PROBE_TIMEOUT)?;
            let held = self.pulses.keys().find(|id| &*id.topic == topic);
            if let Some(id) = held.filter(|_| self.is_denied) {
                may_read(&own.publisher.connection, &source_of(id), own.patience())?;
            }
        }
        Ok(())
    }

    fn assigned(&mut self, sources: &[TopicPartition]) -> Result<(), Failure> {
        self.drop_tasks();
        let has_canary = sources.iter().any(|s| self.own.settings.is_canary(&s.topic));
        self.own.watch.assigned(has_canary, clock::now());
        match self.starts.decide(&mut self.own, sources) {
            Ok(deliveries) => {
                let starts: Vec<(TopicPartition, Start)> = deliveries
                    .iter()
                    .map(|(source, delivery, _)| (source.clone(), Start::At(delivery.read_from())))
                    .collect();
                self.begin(deliveries)?;
                if let Err(error) = self.own.consumer.assign(&starts) {
                    return self.survive(&error);
                }
                tracing::info!(partitions = sources.len(), "partitions assigned");
                self.is_assigned = true;
                match self.probe() {
                    // What could not be published is still to be.
                    Ok(()) if self.failed.0 > 0 => Ok(()),
                    Ok(()) => {
                        self.recovered();
                        Ok(())
                    }
                    // A topic of which there is none has no partition to tell of it.
                    Err(error) => self.survive(&error),
                }
            }
            Err(error) => {
                // Nothing is read until the brokers say where to start; the next tick asks again.
                self.unanswered = Some(sources.to_vec());
                self.survive(&error)
            }
        }
    }

    fn begin(&mut self, deliveries: Vec<(TopicPartition, Delivery, Past)>) -> Result<(), Failure> {
        let mut starts = Vec::with_capacity(deliveries.len());
        for (source, delivery, past) in deliveries {
            let id = task_id(&source);
            let (from, muted) = (delivery.read_from(), delivery.starts_muted());
            tracing::info!(task = %id, from, muted, "task starts");
            let settings = Arc::new(self.own.settings.task(&id.topic, self.own.model.clone()));
            self.pulses.insert(id.clone(), Pulse::default());
            let state = self.own.publisher.state.as_ref();
            let identity = state
                .filter(|_| past != Past::Unkept)
                .map(|state| state.identity.clone());
            starts.push(pipeline::Start {
                id,
                delivery,
                settings,
                past,
                identity,
            });
        }
        self.started = true;
        let now = self.own.clock.elapsed();
        for (id, control) in self.own.member.assigned(starts) {
            // With nothing to read again the partition may be silent from the start.
            if let (ControlKind::Live, Some(pulse)) = (&control.kind, self.pulses.get_mut(&id)) {
                pulse.last_record = Some(now);
            }
            self.log(&id, Some(&control))?;
        }
        Ok(())
    }

    fn message(&mut self, message: Message) -> Result<(), Failure> {
        let id = task_id(&message.source);
        let elapsed = self.own.clock.elapsed();
        let Some(pulse) = self.pulses.get_mut(&id) else {
            return Ok(());
        };
        pulse.last_record = Some(elapsed);
        if self
            .own
            .member
            .position(&id)
            .is_some_and(|next| message.offset < next)
        {
            return self.begun_anew(&message.source);
        }
        let record = Record {
            offset: message.offset,
            time: message.time,
            payload: Payload::Bytes(message.payload),
        };
        let Some(taken) = self.own.member.record(&id, &record) else {
            return Ok(());
        };
        if !self.own.member.is_live(&id) {
            failpoint::pass("in_restore");
        }
        self.log(&id, taken.before.as_ref())?;
        if let Some(recorder) = &mut self.own.recorder
            && !self.own.settings.is_canary(&id.topic)
        {
            recorder.record(&id, &record)?;
        }
        self.log(&id, taken.after.as_ref())
    }

    /// A partition yields records from before those that it has yielded: librdkafka asked it for the next one, and it has no such offset.
    /// It is another one of the same name.
    fn begun_anew(&mut self, source: &TopicPartition) -> Result<(), Failure> {
        // What the old one caused is said first: nobody can read it again.
        self.publish()?;
        self.starts.begun_anew(source);
        if self.unanswered.is_some() {
            // They begin again anyway.
            return Ok(());
        }
        let sources: Vec<TopicPartition> = self.pulses.keys().map(source_of).collect();
        self.assigned(&sources)
    }

    /// Keeps a control record that has taken effect in the log of inputs.
    fn log(&mut self, id: &TaskId, control: Option<&Control>) -> Result<(), Failure> {
        let Some(control) = control else {
            return Ok(());
        };
        if control.kind == ControlKind::Live {
            tracing::info!(task = %id, offset = control.offset, "the past is re-read: live");
        }
        match &mut self.own.recorder {
            Some(recorder) if !self.own.settings.is_canary(&id.topic) => recorder.control(id, control),
            _ => Ok(()),
        }
    }

    /// Time passes in silent partitions too: series that have been waited for long enough are closed.
    fn tick(&mut self, now: Duration) -> Result<(), Failure> {
        let (failures, failed_at) = self.failed;
        let since = now.saturating_sub(failed_at);
        if (failures < 2 || since >= backoff(failures))
            && let Some(sources) = self.unanswered.take()
        {
            match self.own.publisher.revive(self.own.patience()) {
                Ok(()) => self.assigned(&sources)?,
                Err(error) => {
                    self.failed = (failures + 1, self.own.clock.elapsed());
                    self.unanswered = Some(sources);
                    self.unpublished(&error)?;
                }
            }
        }
        if since >= NOTHING_TO_PUBLISH {
            self.failed = Default::default();
        }
        // Without input there is nothing that would show it.
        if self.trouble && self.is_assigned && self.failed.0 == 0 && self.probe().is_ok() {
            self.recovered();
        }
        let settings = &self.own.settings;
        let watch = &mut self.own.watch;
        watch.beat(clock::now(), &self.own.member, |id| settings.is_canary(&id.topic));
        let (mut idle, mut open) = (Vec::new(), 0);
        for (id, task) in self.own.member.tasks() {
            let Some(pulse) = self.pulses.get_mut(id) else {
                continue;
            };
            let quiet_since = std::mem::replace(&mut pulse.samples_at_tick, task.moment());
            self.own.metrics.series(&source_of(id), task.series_count());
            if !self.own.settings.is_canary(&id.topic) {
                open += task.open_alerts();
            }
            let (Some(time), Some(at), Some(offset), true) = (
                task.event_time(),
                pulse.last_record,
                self.own.member.position(id),
                self.own.member.is_live(id),
            ) else {
                continue;
            };
            let silent = i64::try_from(now.saturating_sub(at).as_millis()).unwrap_or(i64::MAX);
            let until = time + silent;
            if task.is_idle(until, quiet_since) {
                idle.push((
                    id.clone(),
                    Control {
                        offset,
                        kind: ControlKind::IdleClose { until, quiet_since },
                    },
                ));
            }
        }
        self.own.metrics.open_alerts(open);
        self.own.metrics.queued(self.own.publisher.producer.queued());
        for (id, control) in idle {
            self.own.member.control(&id, &control);
            self.log(&id, Some(&control))?;
        }
        Ok(())
    }

    fn infer(&mut self) {
        if self.own.member.due() == 0 {
            return;
        }
        let started = self.own.clock.elapsed();
        let inference = self.own.member.infer();
        let took = self.own.clock.elapsed().saturating_sub(started);
        self.own.metrics.inferred(inference.windows, took);
        for error in &inference.errors {
            self.own.metrics.inference_failed();
            tracing::error!(%error, "inference failed");
        }
    }

    /// Sends what has come out and commits the offsets that caused it. When that fails, everything since the last commit
    /// is done again from the committed offsets: what was sent is either seen whole or not at all (transactional), or
    /// sent again with the same ids (at least once).
    fn publish(&mut self) -> Result<(), Failure> {
        while self.own.member.due() > 0 {
            self.infer();
        }
        let Some(mut publication) = self.own.member.publication() else {
            return Ok(());
        };
        let caused = Watch::take(&mut publication, |id| self.own.settings.is_canary(&id.topic));
        for (id, output) in &publication.outputs {
            self.count(id, output);
        }
        let next = publication.next.iter();
        let next: BTreeMap<TopicPartition, i64> = next.map(|(id, offset)| (source_of(id), *offset)).collect();
        let own = &self.own;
        match own
            .publisher
            .publish(&own.consumer, &publication, &next, own.patience())
        {
            Ok(sent) => {
                self.own.member.published(&publication.next);
                self.starts.published(next.keys());
                self.own.metrics.committed();
                self.own.watch.committed(&caused, clock::now());
                tracing::debug!(?sent, "published");
                if let Some(recorder) = &mut self.own.recorder {
                    recorder.flush()?;
                }
                self.failed = Default::default();
                Ok(())
            }
            Err(error) => {
                if !error.kind.ends_client()
                    && let Err(consequence) = self.own.publisher.abort(self.own.patience())
                {
                    self.unpublished(&consequence)?;
                }
                // The last to be told, for this is the reason.
                self.unpublished(&error)?;
                self.own.metrics.aborted();
                self.failed = (self.failed.0 + 1, self.own.clock.elapsed());
                self.begin_again()
            }
        }
    }

    /// Counts an error of the producer and goes on: of one that is of no further use another can be made, unless it was fenced.
    fn unpublished(&mut self, error: &KafkaError) -> Result<(), Failure> {
        self.note(error);
        self.own.publisher.is_over |= error.kind == KafkaErrorKind::Fatal;
        if error.kind == KafkaErrorKind::Fenced {
            return Err(Failure::unavailable(error));
        }
        Ok(())
    }

    /// Starts every partition anew from what is committed.
    fn begin_again(&mut self) -> Result<(), Failure> {
        let sources: Vec<TopicPartition> = self.pulses.keys().map(source_of).collect();
        if sources.is_empty() || self.own.stop.load(Ordering::Relaxed) {
            self.drop_tasks();
            return Ok(());
        }
        tracing::warn!(
            partitions = sources.len(),
            "starting again from the committed offsets"
        );
        if self.failed.0 > 1 || self.own.publisher.is_over {
            // The past would be read again as often as the loop turns. Meanwhile nothing is fetched.
            self.own.consumer.assign(&[]).or_else(|e| self.survive(&e))?;
            self.drop_tasks();
            self.unanswered = Some(sources);
            return Ok(());
        }
        self.assigned(&sources)?;
        // Not at once: what has just failed may fail again.
        self.started = false;
        Ok(())
    }

    fn drop_tasks(&mut self) {
        self.unanswered = None;
        self.is_assigned = false;
        self.pulses.clear();
        for id in self.own.member.release() {
            self.own.metrics.forget(&source_of(&id));
        }
    }

    fn count(&mut self, id: &TaskId, output: &Output) {
        match output {
            Output::Occurred(occurrence) => self.own.metrics.occurred(*occurrence, 1),
            Output::Alert(alert) => {
                self.own.metrics.alerted(alert);
                tracing::info!(
                    id = %alert.id, state = alert.state.name(), severity = alert.severity.name(),
                    series = %alert.series, score = alert.score, at = %alert.available_at, "alert"
                );
            }
            Output::Row(row) => {
                if row.score.is_some() {
                    self.own.metrics.last_scored(&source_of(id), row.timestamp);
                }
            }
            Output::Rejected { offset, rejected } => {
                let elapsed = self.own.clock.elapsed();
                self.own.watch.rejected(elapsed, id, *offset, rejected);
            }
            Output::Forecast(_) | Output::Due { .. } | Output::Processed { .. } => {}
        }
    }
}

fn backoff(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(2));
    BACKOFF.saturating_mul(doubled).min(LONGEST_BACKOFF)
}

pub(crate) fn task_id(source: &TopicPartition) -> TaskId {
    TaskId {
        topic: Arc::clone(&source.topic),
        partition: source.partition,
    }
}

pub(crate) fn source_of(id: &TaskId) -> TopicPartition {
    TopicPartition {
        topic: Arc::clone(&id.topic),
        partition: id.partition,
    }
}
