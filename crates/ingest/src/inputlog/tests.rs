use proptest::prelude::*;
use types::{ControlKind, Payload, Sample, SeriesKey, Timestamp};

use super::*;

fn header() -> Header {
    Header {
        version: VERSION,
        config: "[kafka]\ngroup = \"a\"\n".to_owned(),
        bundle: "general@0123456789ab".to_owned(),
    }
}

fn log(entries: &[Entry], flush_every: usize) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    for (n, entry) in entries.iter().enumerate() {
        writer.write(entry).unwrap();
        if n % flush_every == 0 {
            writer.flush().unwrap();
        }
    }
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> (Vec<Entry>, bool) {
    let mut reader = Reader::new(bytes).unwrap();
    let entries = reader.by_ref().collect::<Result<_, _>>().unwrap();
    (entries, reader.ended_cleanly())
}

fn entry() -> impl Strategy<Value = Entry> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..40).prop_map(Payload::Bytes);
    let samples =
        proptest::collection::vec(("[a-z]{1,5}", any::<i64>(), -1e9..1e9), 0..4).prop_map(|samples| {
            let sample = |(name, ms, value): (String, i64, f64)| Sample {
                series: SeriesKey::from_name(&name).unwrap(),
                time: Timestamp::from_millis(ms),
                value,
            };
            Payload::Samples(samples.into_iter().map(sample).collect())
        });
    let record = (
        any::<i64>(),
        proptest::option::of(any::<i64>()),
        prop_oneof![bytes, samples],
    )
        .prop_map(|(offset, ms, payload)| Record {
            offset,
            time: ms.map(Timestamp::from_millis),
            payload,
        });
    let kind = prop_oneof![
        Just(ControlKind::Live),
        any::<i64>().prop_map(|ms| ControlKind::IdleClose {
            until: Timestamp::from_millis(ms),
            quiet_since: ms.unsigned_abs(),
        }),
    ];
    let control = (any::<i64>(), kind).prop_map(|(offset, kind)| Control { offset, kind });
    prop_oneof![
        ("[a-z.]{0,8}", any::<i32>(), record).prop_map(|(topic, partition, record)| Entry::Record {
            topic,
            partition,
            record
        }),
        ("[a-z.]{0,8}", any::<i32>(), control).prop_map(|(topic, partition, control)| Entry::Control {
            topic,
            partition,
            control
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(entries in proptest::collection::vec(entry(), 0..30), flush in 1usize..9) {
        let bytes = log(&entries, flush);
        let reader = Reader::new(&bytes[..]).unwrap();
        prop_assert_eq!(reader.header(), &header());
        let (mut back, clean) = read(&bytes);
        prop_assert!(clean);
        prop_assert_eq!(back.pop(), Some(Entry::End));
        prop_assert_eq!(back, entries);
    }

    #[test]
    fn one_flipped_bit_is_never_taken_for_another_entry(
        entries in proptest::collection::vec(entry(), 1..20),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut bytes = log(&entries, 3);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // The header of the zstd stream may change without changing its content; entries may not.
        if let Ok(reader) = Reader::new(&bytes[..]) {
            let back: Vec<Entry> = reader.map_while(Result::ok).filter(|e| *e != Entry::End).collect();
            prop_assert_eq!(&back[..], &entries[..back.len()]);
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut framed = MAGIC.to_vec();
        framed.extend(zstd::encode_all(&bytes[..], 0).unwrap());
        for input in [bytes, framed] {
            if let Ok(reader) = Reader::new(&input[..]) {
                reader.for_each(drop);
            }
        }
    }
}

#[test]
fn cut_anywhere_it_yields_a_prefix() {
    let entries: Vec<Entry> = (0..40)
        .map(|offset| Entry::Record {
            topic: "metrics".to_owned(),
            partition: offset as i32 % 3,
            record: Record {
                offset,
                time: None,
                payload: Payload::Bytes(vec![offset as u8; 50]),
            },
        })
        .collect();
    let bytes = log(&entries, 1);
    let mut longest = 0;
    for cut in 0..bytes.len() {
        let mut reader = match Reader::new(&bytes[..cut]) {
            Ok(reader) => reader,
            Err(LogError::NotALog | LogError::Truncated) => {
                assert_eq!(longest, 0);
                continue;
            }
            Err(error) => panic!("cut at {cut}: {error}"),
        };
        let back: Vec<Entry> = reader.by_ref().collect::<Result<_, _>>().unwrap();
        let back: Vec<Entry> = back.into_iter().filter(|e| *e != Entry::End).collect();
        assert_eq!(back, entries[..back.len()], "cut at {cut}");
        assert!(back.len() >= longest, "cut at {cut}");
        longest = back.len();
    }
    assert_eq!(longest, entries.len());
    assert!(read(&bytes).1);
}

#[test]
fn a_writer_that_vanished_leaves_what_was_flushed() {
    let control = Entry::Control {
        topic: "t".to_owned(),
        partition: 0,
        control: Control {
            offset: 4,
            kind: ControlKind::Live,
        },
    };
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, &header()).unwrap();
    writer.write(&control).unwrap();
    writer.flush().unwrap();
    drop(writer);
    assert_eq!(read(&bytes), (vec![control], false));
}

#[test]
fn other_things_are_refused() {
    let error = |bytes: &[u8]| Reader::new(bytes).err().map(|error| error.to_string());
    assert_eq!(error(b""), Some("this is no recorded run".to_owned()));
    assert_eq!(
        error(b"timestamp,value\n"),
        Some("this is no recorded run".to_owned())
    );
    assert_eq!(
        error(&MAGIC),
        Some("the recorded run ends before its header does".to_owned())
    );
    let newer = Header {
        version: 2,
        ..header()
    };
    let newer = Writer::new(Vec::new(), &newer).unwrap().finish().unwrap();
    assert!(matches!(Reader::new(&newer[..]), Err(LogError::Version(2))));
}
