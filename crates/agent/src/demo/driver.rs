//! The other side of the broker: writes the stream at its pace, listens to the alerts, keeps the books.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ingest::kafka::{ConnectionSettings, Delivery, Outgoing, Producer};

use super::alerts::Listener;
use super::feed::{Feed, PAST, STEP, STEP_MS};
use super::ledger::Ledger;
use super::screen::Screen;
use super::{ALERTS, INPUT};
use crate::clock::Stopwatch;
use crate::failure::Failure;
use crate::metrics::Metrics;

/// How far the stream may run ahead of the scores before it waits: on a slow machine time goes slower, and alerts
/// come no later.
const AHEAD: u64 = 50;
/// How long the embedded broker may take for anything.
const BROKER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last alerts may take.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Owns the stream and the books.
pub(super) struct Driver {
    feed: Feed,
    producer: Producer,
    listener: Listener,
    ledger: Ledger,
    screen: Screen,
    /// See [`pipeline::SeriesSettings::first_due`].
    first_due: usize,
    /// The daemon's: how far it has come.
    metrics: Arc<Metrics>,
    stop: Arc<AtomicBool>,
}

impl Driver {
    pub(super) fn new(
        feed: Feed,
        connection: &ConnectionSettings,
        screen: Screen,
        window: usize,
        first_due: usize,
        metrics: Arc<Metrics>,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, Failure> {
        let producer = Producer::connect(connection, &Delivery::AtLeastOnce).map_err(Failure::unavailable)?;
        Ok(Self {
            ledger: Ledger::new(feed.injections().to_vec(), window as i64 * STEP_MS),
            listener: Listener::connect(connection, ALERTS.0)?,
            feed,
            producer,
            screen,
            first_due,
            metrics,
            stop,
        })
    }

    /// Past, present, last words; then asks the daemon to stop and sums up.
    pub(super) fn run(mut self, live: Duration) -> Result<(), Failure> {
        let result = self.drive(live);
        self.stop.store(true, Ordering::Relaxed);
        result
    }

    fn drive(&mut self, live: Duration) -> Result<(), Failure> {
        let clock = Stopwatch::start();
        self.past()?;
        if self.stopped() {
            return Ok(());
        }
        self.screen.past_read(clock.elapsed())?;
        let clock = Stopwatch::start();
        self.live(live)?;
        let took = clock.elapsed();
        self.last_words()?;
        let minutes = u64::from(self.feed.steps().saturating_sub(PAST));
        let tally = self.ledger.tally(self.feed.now());
        self.screen
            .summary(&tally, took, minutes * self.feed.width() as u64, minutes)
    }

    /// Writes the past as fast as it goes and waits until it is scored.
    fn past(&mut self) -> Result<(), Failure> {
        for _ in 0..PAST {
            self.step()?;
        }
        self.producer
            .flush(BROKER_TIMEOUT)
            .map_err(Failure::unavailable)?;
        while self.behind() > 0 && !self.stopped() {
            self.listen(STEP)?;
        }
        Ok(())
    }

    fn live(&mut self, live: Duration) -> Result<(), Failure> {
        let clock = Stopwatch::start();
        let mut next = Duration::ZERO;
        while !self.stopped() {
            let now = clock.elapsed();
            if now >= live {
                break;
            }
            if now < next {
                self.listen(next - now)?;
                continue;
            }
            // No hurry after a wait: what was not written in its time is written later, not faster.
            next = (next + STEP).max(now);
            if self.behind() > AHEAD * self.feed.width() as u64 {
                self.listen(STEP)?;
                continue;
            }
            let (from, until) = (self.feed.now(), self.feed.now() + STEP_MS);
            for injection in self.ledger.starting(from, until) {
                self.screen.injected(injection)?;
            }
            self.step()?;
        }
        self.producer.flush(BROKER_TIMEOUT).map_err(Failure::unavailable)
    }

    /// Listens until everything written is scored and everything said is heard.
    fn last_words(&mut self) -> Result<(), Failure> {
        let clock = Stopwatch::start();
        while clock.elapsed() < LAST_WORDS && !self.stopped() {
            if self.behind() == 0 && self.ledger.states() as u64 >= self.metrics.alert_states() {
                break;
            }
            self.listen(STEP)?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Failure> {
        for outbound in self.feed.step() {
            let record = Outgoing {
                topic: INPUT.0,
                key: outbound.key.as_str().as_bytes(),
                payload: outbound.payload.as_bytes(),
                headers: &[],
                time: Some(outbound.time),
            };
            self.producer
                .send(&record, BROKER_TIMEOUT)
                .map_err(Failure::unavailable)?;
        }
        Ok(())
    }

    fn listen(&mut self, timeout: Duration) -> Result<(), Failure> {
        let Some(alert) = self.listener.poll(timeout)? else {
            return Ok(());
        };
        match self.ledger.hear(&alert) {
            Some(meaning) => self.screen.alert(&alert, meaning),
            None => Ok(()),
        }
    }

    /// Buckets that will be scored but are not yet. The newest of each series is open.
    fn behind(&self) -> u64 {
        let scored_each = (self.feed.steps() as usize).saturating_sub(self.first_due);
        let wanted = (scored_each * self.feed.width()) as u64;
        wanted.saturating_sub(self.metrics.buckets_scored())
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
