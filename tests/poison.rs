//! Records that nobody can use, many of them, among good ones: every good point is scored, every bad one is in the dead-letter topic with
//! its reason and its place, and memory stays flat.
//!
//! The long run, a million of them on a real Kafka:
//! `cargo test -p aiops-tests --test integration poison -- --ignored --nocapture`; `POISON_RECORDS` says how many.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;
use types::RejectReason;

use crate::support::agent::{Agent, LIMIT, Workshop, until};
use crate::support::broker::{Broker, Real};

const PARTITIONS: i32 = 4;
/// Good series, two a partition.
const SERIES: usize = 8;
/// Bad records between two good ones of a partition.
const BAD: usize = 10;
const STEP: i64 = 10_000;
/// Buckets of the small bundle's window.
const WINDOW: u64 = 20;
/// A record of so many bad points: of those beyond the first hundred only the number is said.
const WIDE: usize = 1_000;

/// What becomes of a record: a reason and the number of dead letters, or none.
type Fate = Option<(RejectReason, u32)>;

/// Every record that was written, by partition and offset.
struct Poison {
    start: i64,
    fates: BTreeMap<i32, Vec<Fate>>,
    bad: usize,
}

/// A bad record of one of these kinds, for a stream that stands at `time`; `n` makes it unlike the others of its kind.
fn bad(kind: usize, n: usize, series: usize, time: i64) -> (Vec<u8>, RejectReason) {
    use RejectReason as Why;
    let seconds = |ms: i64| format!("{}.{:03}", ms / 1_000, ms % 1_000);
    let at = |ms: i64, name: &str| {
        let time = seconds(ms);
        format!(
            "{{\"name\":\"{name}\",\"labels\":{{\"host\":\"{series}\"}},\"timestamp\":{time},\"value\":1}}"
        )
    };
    let (text, why) = match kind {
        0 => ("{\"name\":\"load\",\"value\":".to_owned(), Why::Malformed),
        1 => (format!("hello {n}"), Why::Malformed),
        2 => return (vec![0xff, 0xfe, 0, b'{', (n % 256) as u8], Why::Malformed),
        3 => (String::new(), Why::Malformed),
        4 => ("[".repeat(200), Why::Malformed),
        5 => (
            "{\"name\":\"a\",\"name\":\"b\",\"value\":1}".to_owned(),
            Why::Malformed,
        ),
        6 => (at(time, ""), Why::BadSeries),
        7 => (
            "{\"name\":\"load\",\"labels\":7,\"value\":1}".to_owned(),
            Why::BadSeries,
        ),
        8 => (
            "{\"name\":\"load\",\"timestamp\":\"soon\",\"value\":1}".to_owned(),
            Why::BadTimestamp,
        ),
        9 => (
            "{\"name\":\"load\",\"timestamp\":1,\"value\":NaN}".to_owned(),
            Why::NotFinite,
        ),
        10 => (
            "{\"name\":\"load\",\"timestamp\":1,\"value\":true}".to_owned(),
            Why::NotANumber,
        ),
        11 => ("{\"timestamp\":1,\"value\":1}".to_owned(), Why::MissingField),
        12 => (
            "{\"name\":\"load\",\"timestamp\":1}".to_owned(),
            Why::MissingField,
        ),
        13 => (at(time - 5 * STEP, "load"), Why::Late),
        14 => (at(time + 86_400_000, "load"), Why::Future),
        _ => (at(time, &format!("intruder_{n}")), Why::TooManySeries),
    };
    (text.into_bytes(), why)
}
const KINDS: usize = 16;

/// The value of a good series' bucket: whole, so that it is read as it was written.
fn value(series: usize, k: usize) -> f64 {
    ((k as f64 * 0.3 + series as f64).sin() * 1e4).round()
}

impl Poison {
    /// Writes `steps` good points a series, and between two of them bad ones.
    fn write(broker: &Real, topic: &str, steps: usize, start: i64) -> Self {
        let producer: BaseProducer = broker
            .client()
            .set("enable.idempotence", "true")
            .set("linger.ms", "20")
            .set("queue.buffering.max.messages", "100000")
            .create()
            .unwrap();
        let mut poison = Self {
            start,
            fates: BTreeMap::new(),
            bad: 0,
        };
        for k in 0..steps {
            for series in 0..SERIES {
                poison.step(&producer, topic, k, series);
            }
        }
        producer.flush(LIMIT).unwrap();
        poison
    }

    fn step(&mut self, producer: &BaseProducer, topic: &str, k: usize, series: usize) {
        let time = self.start + STEP * k as i64;
        // The first samples make the series, so that there is something to be late for and no room for more.
        for i in 0..if k < 10 { 0 } else { BAD } {
            let n = (k * SERIES + series) * BAD + i;
            let (payload, why) = if n % 5_000 == 17 {
                let points = vec!["7"; WIDE].join(",");
                self.put(
                    producer,
                    topic,
                    series,
                    time,
                    format!("[{points}]").as_bytes(),
                    Some((RejectReason::Malformed, 101)),
                );
                continue;
            } else {
                bad(n % KINDS, n, series, time)
            };
            self.put(producer, topic, series, time, &payload, Some((why, 1)));
        }
        let value = value(series, k);
        let good = format!(
            "{{\"name\":\"load\",\"labels\":{{\"host\":\"{series}\"}},\"timestamp\":{},\"value\":{value}}}",
            time / 1_000
        );
        if k % 7 == 3 {
            let half = format!("[{{\"name\":\"x\"}},{good}]");
            self.put(
                producer,
                topic,
                series,
                time,
                half.as_bytes(),
                Some((RejectReason::MissingField, 1)),
            );
        } else {
            self.put(producer, topic, series, time, good.as_bytes(), None);
        }
    }

    fn put(
        &mut self,
        producer: &BaseProducer,
        topic: &str,
        series: usize,
        time: i64,
        payload: &[u8],
        fate: Fate,
    ) {
        let partition = series as i32 % PARTITIONS;
        self.fates.entry(partition).or_default().push(fate);
        self.bad += usize::from(fate.is_some());
        let mut next = BaseRecord::<[u8], [u8]>::to(topic)
            .partition(partition)
            .payload(payload)
            .timestamp(time + 500);
        while let Err((_, back)) = producer.send(next) {
            producer.poll(Duration::from_millis(20));
            next = back;
        }
    }

    fn ends(&self) -> BTreeMap<i32, i64> {
        self.fates
            .iter()
            .map(|(p, fates)| (*p, fates.len() as i64))
            .collect()
    }

    /// Dead letters there should be.
    fn letters(&self) -> u64 {
        let fates = self.fates.values().flatten().flatten();
        fates.map(|(_, letters)| u64::from(*letters)).sum()
    }
}

/// Hands every committed record of a topic to `take`.
fn read(broker: &Real, topic: &str, mut take: impl FnMut(&rdkafka::message::BorrowedMessage<'_>)) {
    let consumer: BaseConsumer = broker
        .client()
        .set("group.id", "reader")
        // A commit is an event without a message, which would look like the end of patience.
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(topic, partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut ends = 0;
    while ends < PARTITIONS {
        match consumer.poll(LIMIT).expect("records or the end of a partition") {
            Ok(message) => take(&message),
            Err(KafkaError::PartitionEOF(_)) => ends += 1,
            Err(error) => panic!("{topic}: {error}"),
        }
    }
}

/// Waits until everything is committed; how far it was and the memory of the agent then, again and again.
fn digest(
    broker: &Real,
    group: &str,
    topic: &str,
    ends: &BTreeMap<i32, i64>,
    agent: &Agent,
) -> Vec<(f64, f64)> {
    let consumer: BaseConsumer = broker.client().set("group.id", group).create().unwrap();
    let mut query = TopicPartitionList::new();
    for partition in ends.keys() {
        query.add_partition(topic, *partition);
    }
    let committed = || {
        let found = consumer
            .committed_offsets(query.clone(), Duration::from_secs(5))
            .ok()?;
        let offsets = found.elements().into_iter().filter_map(|e| e.offset().to_raw());
        Some(offsets.filter(|offset| *offset >= 0).sum::<i64>())
    };
    let (all, mut done, mut seen) = (ends.values().sum::<i64>(), 0, Vec::new());
    while done < all {
        done = until("progress", || committed().filter(|now| *now > done));
        let bytes = agent.metric("agent_resident_bytes").unwrap();
        seen.push((done as f64 / all as f64, bytes / 1_048_576.0));
    }
    seen
}

fn swallow(name: &str, records: usize) {
    let Some(broker) = Real::start() else { return };
    let Some(shop) = Workshop::new() else { return };
    let steps = records.div_ceil(BAD * SERIES);
    // As young as can be: retention goes by these times.
    let start = agent::clock::now().millis() / STEP * STEP - STEP * steps as i64;
    let poison = Poison::write(&broker, name, steps, start);
    let text = format!(
        "[kafka]\nbrokers = \"{}\"\ntopics = [\"{name}\"]\ngroup = \"{name}\"\nstart = \"earliest\"\n\
         [alerts]\ntopic = \"{name}-alerts\"\n[scores]\ntopic = \"{name}-scores\"\n\
         [dead_letter]\ntopic = \"{name}-dead\"\n[state]\nmax_series = 2\n[windows]\nidle_close = \"1d\"\n\
         [[rules]]\nmatch = {{ name = \"load\" }}\ninterval = \"10s\"\n",
        broker.brokers()
    );
    let config = shop.config(&format!("{name}.toml"), &text);
    let began = Instant::now();
    let running = shop.start("agent", &["--config", config.to_str().unwrap()]);
    let seen = digest(&broker, name, name, &poison.ends(), &running);
    let took = began.elapsed().as_secs_f64();
    let counted: f64 = RejectReason::ALL
        .iter()
        .filter_map(|why| running.metric(&format!("agent_rejected_total{{reason=\"{}\"}}", why.name())))
        .sum();
    let (code, log, _) = running.terminate();
    assert_eq!(code, Some(0), "{log}");

    assert_letters(&broker, &format!("{name}-dead"), name, &poison);
    assert_eq!(counted as u64, poison.letters());
    assert_rows(&broker, &format!("{name}-scores"), steps);
    // A few lines a minute, whatever comes.
    let lines = log.lines().filter(|line| line.contains("not used")).count();
    assert!(
        lines as f64 <= 6.0 * (took / 60.0 + 2.0),
        "{lines} lines in {took} s"
    );
    let of = |from: f64, to: f64| {
        let part = seen.iter().filter(|(share, _)| (from..=to).contains(share));
        part.map(|(_, mib)| *mib).fold(0.0, f64::max)
    };
    println!(
        "{} bad of {} records in {took:.0} s; {} dead letters; resident MiB at most, by quarters: {:.0} {:.0} {:.0} {:.0}; {lines} lines of log",
        poison.bad,
        poison.ends().values().sum::<i64>(),
        poison.letters(),
        of(0.0, 0.25),
        of(0.25, 0.5),
        of(0.5, 0.75),
        of(0.75, 1.0)
    );
    if records >= 100_000 {
        let (early, late) = (of(0.0, 0.5), of(0.5, 1.0));
        assert!(late < early + 16.0, "memory grew from {early} to {late} MiB");
    }
}

/// Each bad record has its letters, with the right reason, and nothing else has any.
fn assert_letters(broker: &Real, topic: &str, source: &str, poison: &Poison) {
    let mut found: BTreeMap<i32, Vec<u32>> = BTreeMap::new();
    for (partition, fates) in &poison.fates {
        found.insert(*partition, vec![0; fates.len()]);
    }
    read(broker, topic, |message| {
        let headers = message.headers().unwrap();
        let header = |name: &str| {
            let found = headers.iter().find(|h| h.key == name).unwrap();
            std::str::from_utf8(found.value.unwrap()).unwrap().to_owned()
        };
        assert_eq!(header("topic"), source);
        let partition: i32 = header("partition").parse().unwrap();
        let offset: usize = header("offset").parse().unwrap();
        let fate = poison.fates[&partition][offset];
        assert_eq!(Some(header("reason")), fate.map(|(why, _)| why.name().to_owned()));
        found.get_mut(&partition).unwrap()[offset] += 1;
    });
    for (partition, fates) in &poison.fates {
        for (offset, (fate, letters)) in fates.iter().zip(&found[partition]).enumerate() {
            assert_eq!(
                fate.map_or(0, |(_, n)| n),
                *letters,
                "{partition}/{offset}: {fate:?}"
            );
        }
    }
}

/// Each good point has its row, and once there is a fifth of a window a score.
fn assert_rows(broker: &Real, topic: &str, steps: usize) {
    let mut scored: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    read(broker, topic, |message| {
        let row: Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
        let series = row["series"].as_str().unwrap().to_owned();
        let host = series.split('"').nth(1).unwrap().parse().unwrap();
        let (rows, scores) = scored.entry(series).or_default();
        assert_eq!(row["value"].as_f64(), Some(value(host, *rows as usize)), "{row}");
        *rows += 1;
        *scores += u64::from(row["score"].is_number());
    });
    assert_eq!(scored.len(), SERIES);
    // The last bucket is open still.
    let closed = steps as u64 - 1;
    for (series, found) in scored {
        assert_eq!(found, (closed, closed - (WINDOW / 5 - 1)), "{series}");
    }
}

#[test]
fn poison_is_put_aside_and_what_is_good_is_scored() {
    swallow("poison", 8_000);
}

#[test]
#[ignore = "minutes"]
fn a_million_of_poison_is_put_aside_and_what_is_good_is_scored() {
    let records = std::env::var("POISON_RECORDS").ok().and_then(|n| n.parse().ok());
    swallow("flood", records.unwrap_or(1_000_000));
}
