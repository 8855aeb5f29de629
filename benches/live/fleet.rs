//! A stream that costs little to make: many series, several points a record, in the pace of the clock.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use agent::clock::now;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

/// Partitions of the input topic, as many as the node gives a new one.
pub(crate) const PARTITIONS: i32 = 4;
/// Points of one record: series that are neighbours, at one moment.
const POINTS: usize = 50;
/// Of a bucket.
pub(crate) const BUCKET_MS: i64 = 60_000;
/// Buckets of an era, in which a series may have one fault, and of a fault.
const ERA: i64 = 12;
const FAULT: i64 = 5;

/// Settings beside the defaults: with so short a past confidence is low, and nothing would alert.
pub(crate) const SETTINGS: &str = "[alert]\nmin_confidence = 0.1\n[http]\nlisten = \"127.0.0.1:0\"\n\
    [log]\nlevel = \"info,librdkafka=off,rdkafka=off\"\n[[rules]]\nmatch = { name = \"load\" }\ninterval = \"60s\"\n";

/// Series and the topic that they go to.
pub(crate) struct Fleet {
    producer: BaseProducer,
    topic: String,
    series: Vec<Series>,
    /// Of 10 000 eras so many have a fault, where they are not of the past.
    faults: u64,
    calm_until: i64,
    payload: String,
}

struct Series {
    /// The point up to its time.
    head: String,
    level: f64,
    swing: f64,
    turn: f64,
    phase: f64,
}

impl Fleet {
    pub(crate) fn new(producer: BaseProducer, topic: &str, series: usize, faults: u64) -> Self {
        let one = |i: usize| {
            let unit = |salt| uniform(i as u64, salt);
            Series {
                head: format!("{{\"name\":\"load\",\"labels\":{{\"host\":\"h{i}\"}},\"timestamp\":"),
                level: 20.0 + 200.0 * unit(1),
                swing: 5.0 + 10.0 * unit(2),
                turn: std::f64::consts::TAU / (BUCKET_MS as f64 * (30.0 + 60.0 * unit(3))),
                phase: std::f64::consts::TAU * unit(4),
            }
        };
        Self {
            producer,
            topic: topic.to_owned(),
            series: (0..series).map(one).collect(),
            faults,
            calm_until: i64::MAX,
            payload: String::new(),
        }
    }

    /// Groups of series that share a record.
    pub(crate) fn groups(&self) -> usize {
        self.series.len().div_ceil(POINTS)
    }

    /// When a group has its sample in a round of `every` milliseconds: they share the time out among them.
    fn offset(&self, group: usize, every: i64) -> i64 {
        group as i64 * every / self.groups() as i64
    }

    /// Sends one sample of each series of a group.
    fn send(&mut self, group: usize, time: i64) {
        let all = group * POINTS..((group + 1) * POINTS).min(self.series.len());
        let mut payload = std::mem::take(&mut self.payload);
        payload.clear();
        for i in all {
            let opening = if payload.is_empty() { '[' } else { ',' };
            let value = self.value(i, time);
            let head = &self.series[i].head;
            write!(payload, "{opening}{head}{},\"value\":{value:.3}}}", time / 1_000).expect("room");
        }
        payload.push(']');
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic)
            .partition(group as i32 % PARTITIONS)
            .payload(payload.as_bytes())
            .timestamp(time);
        while let Err((_, back)) = self.producer.send(record) {
            self.producer.poll(Duration::from_millis(20));
            record = back;
        }
        self.producer.poll(Duration::ZERO);
        self.payload = payload;
    }

    /// One sample a series and bucket, in order of time, for so many buckets before `until`.
    pub(crate) fn preload(&mut self, until: i64, buckets: usize, every: i64) {
        for bucket in (1..=buckets as i64).rev() {
            for group in 0..self.groups() {
                let offset = self.offset(group, every);
                self.send(group, until - bucket * BUCKET_MS + offset);
            }
        }
        let flushed = self.producer.flush(Duration::from_secs(60));
        flushed.expect("a broker that takes the past");
    }

    /// Goes on at `from`, with faults, with one sample a series `every` so many milliseconds, each when it is due, until stopped. Its
    /// time is `ago` behind that of the clock.
    pub(crate) fn go_on(mut self, from: i64, every: i64, ago: i64) -> Pace {
        self.calm_until = from;
        let stop = Arc::new(AtomicBool::new(false));
        let behind = Arc::new(AtomicI64::new(0));
        let (stopped, late) = (Arc::clone(&stop), Arc::clone(&behind));
        let thread = std::thread::spawn(move || {
            for round in 0.. {
                for group in 0..self.groups() {
                    let due = from + round * every + self.offset(group, every);
                    loop {
                        if stopped.load(Ordering::Relaxed) {
                            return;
                        }
                        let left = due + ago - now().millis();
                        if left <= 0 {
                            late.fetch_max(-left, Ordering::Relaxed);
                            break;
                        }
                        // Some groups at once: waking up for each costs more than it.
                        crate::pause(left.clamp(20, 200) as u64);
                    }
                    self.send(group, due);
                }
            }
        });
        Pace {
            stop,
            behind,
            thread: Some(thread),
        }
    }

    fn value(&self, i: usize, time: i64) -> f64 {
        let series = &self.series[i];
        let (i, bucket) = (i as u64, time.div_euclid(BUCKET_MS));
        let place = bucket + i as i64 % ERA;
        let (era, within) = (place.div_euclid(ERA) as u64, place.rem_euclid(ERA));
        let is_fault =
            time >= self.calm_until && within < FAULT && hash(i, era ^ 0xfa << 32) % 10_000 < self.faults;
        let noise = uniform(i, bucket as u64) - 0.5 + 0.2 * (uniform(i, time as u64) - 0.5);
        let fault = if is_fault { 3.0 } else { 0.0 };
        series.level + series.swing * ((time as f64 * series.turn + series.phase).sin() + noise + fault)
    }
}

/// A fleet that is under way; stops when dropped.
pub(crate) struct Pace {
    stop: Arc<AtomicBool>,
    behind: Arc<AtomicI64>,
    thread: Option<JoinHandle<()>>,
}

impl Pace {
    /// By how much samples were late at most since the last call (seconds).
    pub(crate) fn behind(&self) -> f64 {
        self.behind.swap(0, Ordering::Relaxed) as f64 / 1_000.0
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A number that looks like chance and follows from two others.
fn hash(a: u64, b: u64) -> u64 {
    let mut x = (a << 40) ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ a;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn uniform(a: u64, b: u64) -> f64 {
    (hash(a, b) >> 11) as f64 / (1_u64 << 53) as f64
}
