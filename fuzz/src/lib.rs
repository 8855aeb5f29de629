//! What is fuzzed: one function a target, each taking any bytes and panicking only where something is wrong.
//!
//! `crates/agent/tests/fuzz.rs` compiles this file once more, replays `seeds/` and mutates them a little, so that the targets
//! build on stable and what was once found stays found. Where a checksum or a compression would turn every mutation away at the door, the target puts it right first.

use std::io::{self, Cursor};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use flate2::Crc;
use ingest::decode::{Format, LabelRules, MAX_SERIES_BYTES, decode as decode_record};
use ingest::file::{FileOptions, ReadItem, open_reader};
use ingest::inputlog::{Entry, Header, MAGIC, Reader, VERSION, Writer};
use ingest::labels::Labels;
use pipeline::{Input, Model, Output, Task, TaskSettings};
use scorer::WindowOutput;
use scorer::bundle::{Bundle, FINGERPRINT_FILE, MANIFEST_FILE, sha256_hex};
use scorer::manifest::ModelKind;
use scorer::normalise::Scaler;
use types::{Control, ControlKind, Payload, Record, Sample, SeriesKey, Timestamp};

/// A target: any bytes in.
pub type Target = fn(&[u8]);

/// Every target by its name, which is that of its folder of seeds.
pub const TARGETS: [(&str, Target); 7] = [
    ("decode", decode),
    ("file", file),
    ("log", log),
    ("labels", labels),
    ("config", config),
    ("bundle", bundle),
    ("snapshot", snapshot),
];

/// Records as they come off the wire. The first byte chooses format, labels and whether the record has a time.
pub fn decode(data: &[u8]) {
    let Some((&choice, payload)) = data.split_first() else {
        return;
    };
    let format = [Format::Auto, Format::NativeJson, Format::PrometheusJson][usize::from(choice) % 3];
    let time = (choice & 4 == 0).then(|| Timestamp::from_millis(1_767_225_600_000));
    let rules = if choice & 8 == 0 {
        LabelRules::default()
    } else {
        LabelRules {
            keep: Some(["host".to_owned(), "job".to_owned()].into()),
            drop: ["job".to_owned()].into(),
        }
    };
    let decoded = decode_record(payload, format, time, &rules);
    decoded.samples.iter().for_each(sound);
    // Bytes that are no JSON at all are said to be so.
    if decoded.samples.is_empty() && payload.trim_ascii().is_empty() {
        assert!(
            !decoded.rejected.is_empty(),
            "nothing was said of an empty payload"
        );
    }
    let again = decode_record(payload, format, time, &rules);
    assert_eq!(again, decoded);
}

/// Metric files: tables and JSON lines, plain or compressed.
pub fn file(data: &[u8]) {
    let length = data.len() as u64;
    let options = FileOptions::default();
    let path = Path::new("metric.csv");
    let Ok(reader) = open_reader(Cursor::new(data.to_vec()), length, path, &options) else {
        return;
    };
    // A few compressed bytes may be very many lines.
    for item in reader.take(100_000) {
        match item {
            Ok(ReadItem::Sample(sample)) => sound(&sample),
            Ok(ReadItem::Rejected(_) | ReadItem::Truth { .. }) => {}
            Err(_) => break,
        }
    }
}

/// Recorded runs. An even first byte: the bytes as they are. An odd one: edits to a log that is right, by frame, with lengths and
/// checksums put right afterwards.
pub fn log(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    let bytes = if choice % 2 == 0 {
        rest.to_vec()
    } else {
        framed(&edited(log_body(), rest))
    };
    let Ok(reader) = Reader::new(Cursor::new(bytes)) else {
        return;
    };
    let mut written =
        Writer::new(io::sink(), reader.header()).expect("a header that was read can be written");
    for entry in reader.take(10_000).map_while(Result::ok) {
        written
            .write(&entry)
            .expect("an entry that was read can be written");
    }
}

/// Files of labelled windows.
pub fn labels(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(labels) = Labels::from_json(text) else {
        return;
    };
    let key = SeriesKey::from_name("metric").expect("a name");
    for (start, end) in labels.windows(Path::new("folder/metric.csv"), &key) {
        assert!(start <= end, "a window ends before it starts");
    }
    assert_eq!(Labels::from_json(text).ok().as_ref(), Some(&labels));
}

/// Configuration files, down to the settings of a task.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(settings) = agent::settings::load(None, Some(text), &[]) else {
        return;
    };
    let task = settings.task("scope", model());
    let mut task = Task::new(Arc::new(task), false);
    task.feed(Input::Record(&record(0, 0)), &mut Vec::new());
    // What is recorded with a run makes the same settings again.
    if settings.all().kafka.properties.is_empty() {
        let again =
            agent::settings::load(None, Some(settings.text()), &[]).expect("what was written can be read");
        assert_eq!(again.all(), settings.all());
    }
}

/// Bundles: manifest, a NUL byte, fingerprint. The hashes of the manifest are put right, and the nets are no nets.
pub fn bundle(data: &[u8]) {
    let mut parts = data.splitn(2, |&byte| byte == 0);
    let manifest = parts.next().unwrap_or_default();
    let fingerprint = parts.next().unwrap_or_default();
    let dir = tempfile::tempdir().expect("a directory");
    let put = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).expect("writable");
    let mut manifest = String::from_utf8_lossy(manifest).into_owned();
    for net in ModelKind::Tadgan.net_files() {
        put(net, net.as_bytes());
        manifest = manifest.replace(&format!("HASH-{net}"), &sha256_hex(net.as_bytes()));
    }
    manifest = manifest.replace("HASH-fingerprint", &sha256_hex(fingerprint));
    put(MANIFEST_FILE, manifest.as_bytes());
    put(FINGERPRINT_FILE, fingerprint);
    match Bundle::load(dir.path()) {
        Ok(bundle) => assert_eq!(bundle.label().len(), bundle.manifest().name.len() + 13),
        Err(error) => assert!(!error.problems.is_empty(), "refused without a reason"),
    }
}

/// Snapshots of a task. An even first byte: the bytes as they are. An odd one: edits to a snapshot that is right. What is
/// let in must be whole enough to be written and asked again.
pub fn snapshot(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    let edit;
    let bytes = if choice % 2 == 0 {
        rest
    } else {
        edit = edited(task_snapshot(), rest);
        &edit
    };
    let Ok(task) = Task::restore(settings(), bytes) else {
        return;
    };
    let stored = task.snapshot().expect("what was read can be written");
    let again = Task::restore(settings(), &stored).expect("what was written can be read");
    assert_eq!(again.series_count(), task.series_count());
    assert_eq!(again.open_alerts(), task.open_alerts());
    assert_eq!(again.unanswered().count(), task.unanswered().count());
    assert_eq!(again.snapshot().as_deref(), Ok(stored.as_slice()));
}

fn sound(sample: &Sample) {
    assert!(sample.value.is_finite(), "{sample:?}");
    assert!(sample.series.as_str().len() <= MAX_SERIES_BYTES);
    assert!(!sample.series.name().is_empty());
}

/// `base` after the edits that `program` asks for, three bytes each: where (two, little endian), and what. 0 cuts off, 1 takes a
/// byte out, 2 puts one in, all others are added to the byte.
fn edited(base: &[u8], program: &[u8]) -> Vec<u8> {
    let mut bytes = base.to_vec();
    for edit in program.chunks_exact(3).take(64) {
        if bytes.is_empty() {
            break;
        }
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % bytes.len();
        match edit[2] {
            0 => bytes.truncate(at),
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, 0xff),
            delta => bytes[at] = bytes[at].wrapping_add(delta),
        }
    }
    bytes
}

/// A log of frames of the same length as those of `bodies`, each a byte of length and so many bytes of body.
fn framed(bodies: &[u8]) -> Vec<u8> {
    let mut frames = Vec::new();
    let mut rest = bodies;
    while let Some((&length, after)) = rest.split_first() {
        let (body, after) = after.split_at(usize::from(length).min(after.len()));
        let mut crc = Crc::new();
        crc.update(body);
        frames.extend((body.len() as u32).to_le_bytes());
        frames.extend(crc.sum().to_le_bytes());
        frames.extend(body);
        rest = after;
    }
    let mut log = MAGIC.to_vec();
    log.extend(zstd::encode_all(frames.as_slice(), 1).expect("memory can be written"));
    log
}

/// The frames' bodies of a short log, each after its length.
fn log_body() -> &'static [u8] {
    static BODY: OnceLock<Vec<u8>> = OnceLock::new();
    BODY.get_or_init(|| {
        let header = Header {
            version: VERSION,
            config: "[kafka]\n".to_owned(),
            bundle: "waves@0".to_owned(),
        };
        let mut writer = Writer::new(Vec::new(), &header).expect("memory can be written");
        let topic = "metrics".to_owned();
        for offset in 0..4 {
            let entry = Entry::Record {
                topic: topic.clone(),
                partition: 1,
                record: record(offset, 0),
            };
            writer.write(&entry).expect("memory can be written");
        }
        let kind = ControlKind::IdleClose {
            until: Timestamp::from_millis(9_000),
            quiet_since: 3,
        };
        for kind in [ControlKind::Start { muted: true }, kind, ControlKind::Live] {
            let control = Control { offset: 4, kind };
            let entry = Entry::Control {
                topic: topic.clone(),
                partition: 1,
                control,
            };
            writer.write(&entry).expect("memory can be written");
        }
        let log = writer.finish().expect("memory can be written");
        let frames = zstd::decode_all(&log[MAGIC.len()..]).expect("it was just written");
        let (mut bodies, mut rest) = (Vec::new(), frames.as_slice());
        while rest.len() > 8 {
            let length = u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
            bodies.push(u8::try_from(length).expect("a short entry"));
            bodies.extend(&rest[8..8 + length]);
            rest = &rest[8 + length..];
        }
        bodies
    })
}

/// A task that has seen two series of forty buckets, with an event and windows that wait for the nets.
fn task_snapshot() -> &'static [u8] {
    static SNAPSHOT: OnceLock<Vec<u8>> = OnceLock::new();
    SNAPSHOT.get_or_init(|| {
        let mut task = Task::new(settings(), false);
        for offset in 0..80 {
            let mut out = Vec::new();
            task.feed(Input::Record(&record(offset, offset % 2)), &mut out);
            let answers = out.into_iter().filter_map(|output| match output {
                Output::Due { id, input } if offset < 76 => {
                    let answer = WindowOutput {
                        reconstruction: vec![0.0; input.len()],
                        critic: Some(0.0),
                    };
                    Some((id, Some(answer)))
                }
                _ => None,
            });
            let answers = answers.collect();
            task.feed(Input::Scored(answers), &mut Vec::new());
        }
        task.snapshot().expect("it can be written")
    })
}

fn record(offset: i64, series: i64) -> Record {
    let value = if offset > 70 { 50.0 } else { (offset % 7) as f64 };
    let sample = Sample {
        series: SeriesKey::from_name(&format!("s{series}")).expect("a name"),
        time: Timestamp::from_millis(offset / 2 * 1_000),
        value,
    };
    Record {
        offset,
        time: None,
        payload: Payload::Samples(vec![sample]),
    }
}

fn model() -> Model {
    Model {
        label: "waves@0".to_owned(),
        kind: ModelKind::Tadgan,
        window: 8,
        scaler: Scaler::Window { gain: 3.0 },
        calibration: Vec::new(),
    }
}

fn settings() -> Arc<TaskSettings> {
    static SETTINGS: OnceLock<Arc<TaskSettings>> = OnceLock::new();
    let made = SETTINGS.get_or_init(|| {
        let mut settings = TaskSettings::new(model());
        settings.defaults.window.interval = Some(1_000);
        settings.defaults.score.half_history = 5.0;
        settings.defaults.alert.min_confidence = 0.1;
        Arc::new(settings)
    });
    Arc::clone(made)
}
