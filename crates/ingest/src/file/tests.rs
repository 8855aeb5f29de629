use std::fs;
use std::io::Write;

use proptest::prelude::*;
use tempfile::TempDir;
use types::RejectReason as Why;

use super::*;

/// A file of that name and content, and the directory that keeps it.
fn file(name: &str, content: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, content).unwrap();
    (dir, path)
}

fn read_with(name: &str, content: &[u8], options: &FileOptions) -> Vec<ReadItem> {
    let (_dir, path) = file(name, content);
    open(&path, options).unwrap().map(Result::unwrap).collect()
}

/// `series@seconds=value`, `!reason`, and `?series@seconds=truth`, one an item.
fn show(item: &ReadItem) -> String {
    let seconds = |time: &Timestamp| time.millis() as f64 / 1000.0;
    match item {
        ReadItem::Sample(s) => format!("{}@{}={}", s.series, seconds(&s.time), s.value),
        ReadItem::Rejected(rejected) => format!("!{}", rejected.reason.name()),
        ReadItem::Truth {
            series,
            time,
            anomalous,
        } => {
            let series = series.as_ref().map_or("*", SeriesKey::as_str);
            format!("?{series}@{}={}", seconds(time), u8::from(*anomalous))
        }
    }
}

fn read(name: &str, content: &str) -> Vec<String> {
    let items = read_with(name, content.as_bytes(), &FileOptions::default());
    items.iter().map(show).collect()
}

fn why(content: &[u8]) -> OpenError {
    let (_dir, path) = file("m.csv", content);
    let error = open(&path, &FileOptions::default())
        .err()
        .expect("cannot be opened");
    assert!(!error.to_string().contains('\n'));
    error
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(content).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn a_bare_series_is_named_after_the_stem() {
    let text = "timestamp,value\n1970-01-01 00:00:05,1.5\n1970-01-01T00:00:06Z,-2\n7,3e2\n";
    for name in ["m.a.csv", "m.a.CSV", "m.a.csv.gz", "m.a.csv.zst", "m.a.txt"] {
        assert_eq!(read(name, text), ["m.a@5=1.5", "m.a@6=-2", "m.a@7=300"], "{name}");
    }
}

#[test]
fn compression_is_told_by_content() {
    let text = "timestamp,value\n1,1\n2,2\n";
    let want = read("m.csv", text);
    let twice = [gzip(b"timestamp,value\n1,1\n"), gzip(b"2,2\n")].concat();
    for content in [
        gzip(text.as_bytes()),
        twice,
        zstd::encode_all(text.as_bytes(), 0).unwrap(),
    ] {
        let items = read_with("m.csv", &content, &FileOptions::default());
        assert_eq!(items.iter().map(show).collect::<Vec<_>>(), want);
    }
}

#[test]
fn naive_times_follow_the_zone() {
    let options = FileOptions {
        zone: Some(TimeZone::fixed(jiff::tz::offset(1))),
        ..FileOptions::default()
    };
    let csv = read_with("m.csv", b"timestamp,value\n1970-01-01 01:00:05,1\n", &options);
    let json = br#"{"name":"m","timestamp":"1970-01-01 01:00:05","value":1}"#;
    assert_eq!(csv, read_with("m.jsonl", json, &options));
    assert_eq!(show(&csv[0]), "m@5=1");
}

#[test]
fn long_tables_have_labels() {
    let text = "value,Series,host,Timestamp,az\n1,cpu,a,5,\n2,cpu,b,5,x\n3,mem,a,6,x\n,mem,a,7,x\n4,,a,7,x\n";
    let want = [
        r#"cpu{host="a"}@5=1"#,
        r#"cpu{az="x",host="b"}@5=2"#,
        r#"mem{az="x",host="a"}@6=3"#,
        "!missing_field",
    ];
    assert_eq!(read("m.csv", text), want);
    let options = FileOptions {
        labels: LabelRules {
            keep: None,
            drop: ["az".to_owned()].into(),
        },
        ..FileOptions::default()
    };
    let items = read_with("m.csv", text.as_bytes(), &options);
    assert_eq!(show(&items[1]), r#"cpu{host="b"}@5=2"#);
    assert_eq!(
        read("m.csv", "name,timestamp,value,label\na,1,2,1\n"),
        ["a@1=2", "?a@1=1"]
    );
}

#[test]
fn wide_tables_have_a_series_a_column() {
    let text = ",timestamp,cpu,Mem,label\n0,5,1,2,0\n1,6,,3,1\n2,7,x,4,\n";
    let want = [
        "f.cpu@5=1",
        "f.Mem@5=2",
        "?*@5=0",
        "f.Mem@6=3",
        "?*@6=1",
        "!not_a_number",
        "f.Mem@7=4",
    ];
    assert_eq!(read("f.csv", text), want);
    assert_eq!(
        read("f.csv", "timestamp,value,other\n1,2,3\n"),
        ["f.value@1=2", "f.other@1=3"]
    );
}

#[test]
fn a_label_column_is_truth_only_with_zeros_and_ones() {
    let truth = "timestamp,value,label\n1,2,1\n2,3,0.0\n3,4,\n";
    assert_eq!(
        read("f.csv", truth),
        ["f@1=2", "?*@1=1", "f@2=3", "?*@2=0", "f@3=4"]
    );
    let metric = "timestamp,value,label\n1,2,1\n2,3,7\n";
    assert_eq!(
        read("f.csv", metric),
        ["f.value@1=2", "f.label@1=1", "f.value@2=3", "f.label@2=7"]
    );

    let mut late = String::from("timestamp,value,label\n");
    for n in 0..TRUTH_ROWS {
        late.push_str(&format!("{n},1,0\n"));
    }
    late.push_str("9999,1,7\n");
    let (_dir, path) = file("f.csv", late.as_bytes());
    let reader = open(&path, &FileOptions::default()).unwrap();
    assert!(reader.ground_truth());
    let items: Vec<_> = reader.map(Result::unwrap).collect();
    let end: Vec<_> = items[2 * TRUTH_ROWS..].iter().map(show).collect();
    assert_eq!(end, ["f@9999=1", "!malformed"]);
    let ReadItem::Rejected(rejected) = &items[2 * TRUTH_ROWS + 1] else {
        unreachable!("just compared")
    };
    assert_eq!(rejected.detail, "line 258: `label` is `7`, but was 0 or 1 before");
}

#[test]
fn spellings_that_are_tolerated() {
    for text in [
        "\u{FEFF}timestamp,value\r\n1,2\r\n\r\n3,4",
        "\n\nTIMESTAMP;Value\n1;2\n3;4\n",
        "timestamp\tvalue\n1\t2\n3\t4\n",
        "\"timestamp\",\"value\"\n\"1\",\"2\"\n3,\"4\"\n",
        " timestamp , value \n 1 , 2 \n3, 4\n",
        "timestamp,value\n1,2,,\n3,4,\n",
    ] {
        assert_eq!(read("f.csv", text), ["f@1=2", "f@3=4"], "{text:?}");
    }
    assert_eq!(
        read("f.csv", "timestamp,series,value\n1,\"a,b\"\"c\",2\n"),
        [r#"a,b"c@1=2"#]
    );
}

#[test]
fn bad_rows_are_counted_and_the_rest_is_used() {
    let text =
        "timestamp,value\n1,1\nsoon,2\n,3\n4,NaN\n5,-inf\n6,x\n7\n8,1,5\ntimestamp,value\n9,\"9\n10,10\n";
    let want = [
        "f@1=1",
        "!bad_timestamp",
        "!missing_field",
        "!not_finite",
        "!not_finite",
        "!not_a_number",
        "!malformed",
        "!malformed",
        "!bad_timestamp",
        "f@9=9",
        "f@10=10",
    ];
    assert_eq!(read("f.csv", text), want);
    let items = read_with("f.csv", b"timestamp,value\n1,\xff\xfe\n", &FileOptions::default());
    assert_eq!(show(&items[0]), "!not_a_number");
}

#[test]
fn json_lines() {
    let text = r#"
        {"name":"cpu","labels":{"host":"a"},"timestamp":5,"value":1}
        [{"name":"cpu","timestamp":6,"value":2},{"name":"cpu","timestamp":7}]
        {"timestamp":"1970-01-01T00:00:08Z","value":"3","name":"up","labels":{"__name__":"up"}}
        {"name":"#;
    let want = [
        r#"cpu{host="a"}@5=1"#,
        "cpu@6=2",
        "!missing_field",
        "up@8=3",
        "!malformed",
    ];
    assert_eq!(read("m.csv", text), want);
    let items = read_with("m", text.as_bytes(), &FileOptions::default());
    let ReadItem::Rejected(rejected) = &items[2] else {
        unreachable!("just compared")
    };
    assert_eq!(rejected.detail, "line 3: point 2: `value` is missing");
}

#[test]
fn files_that_cannot_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let options = FileOptions::default();
    assert!(matches!(
        open(&dir.path().join("none"), &options),
        Err(OpenError::NotFound)
    ));
    assert!(matches!(open(dir.path(), &options), Err(OpenError::Directory)));
    for empty in [&b""[..], b"\n \r\n", b"\xEF\xBB\xBF", &gzip(b"")] {
        assert!(matches!(why(empty), OpenError::Empty), "{empty:?}");
    }
    for binary in [
        &b"\x7FELF\0\0"[..],
        b"\xFF\xFEt\0i\0",
        b"\xC3\x28,value\n",
        &[b' '; 10_000],
    ] {
        assert!(matches!(why(binary), OpenError::Binary(_)), "{binary:?}");
    }
    for (text, message) in [
        (
            "time,value\n1,2\n",
            "there is no `timestamp` column in `time,value`",
        ),
        ("timestamp\n1\n", "there is no `timestamp` column in `timestamp`"),
        (
            "timestamp,label\n1,0\n",
            "there is no column of values beside `timestamp`",
        ),
        (
            "timestamp,series\n1,a\n",
            "there is a `series` column but no `value` column",
        ),
        ("timestamp,a,b,a\n", "the column `a` is there twice"),
        (
            "2014-04-01 00:00:00,45.0\n",
            "there is no `timestamp` column in `2014-04-01 00:00:00,45.0`",
        ),
    ] {
        let want = format!("its header is not usable: {message}");
        assert_eq!(why(text.as_bytes()).to_string(), want);
    }
    assert!(matches!(
        why(&gzip(b"timestamp,value\n")[..8]),
        OpenError::Read(_)
    ));
}

#[test]
fn a_recorded_run_is_told_apart() {
    let header = inputlog::Header {
        version: inputlog::VERSION,
        config: String::new(),
        bundle: "b".to_owned(),
    };
    let log = inputlog::Writer::new(Vec::new(), &header)
        .unwrap()
        .finish()
        .unwrap();
    assert!(matches!(why(&log), OpenError::IsInputLog));
    for content in [&gzip(&log), &log] {
        let (_dir, path) = file("run.log", content);
        assert_eq!(sniff(&path).unwrap(), FileType::InputLog);
        let reader = open_log(&path).unwrap();
        assert_eq!(reader.header(), &header);
        assert_eq!(
            reader.map(Result::unwrap).collect::<Vec<_>>(),
            [inputlog::Entry::End]
        );
    }
    let (_dir, path) = file("m.csv", b"timestamp,value\n");
    assert_eq!(sniff(&path).unwrap(), FileType::Csv);
    assert!(matches!(
        open_log(&path),
        Err(OpenError::Log(inputlog::LogError::NotALog))
    ));
    assert_eq!(read("m.csv", "timestamp,value\n"), [] as [&str; 0]);
}

#[test]
fn a_cut_off_archive_yields_what_it_holds_then_an_error() {
    let mut text = String::from("timestamp,value\n");
    for n in 0..50_000_u32 {
        text.push_str(&format!("{n},{}\n", n.wrapping_mul(2_654_435_761)));
    }
    let (whole_gzip, whole_zstd) = (
        gzip(text.as_bytes()),
        zstd::encode_all(text.as_bytes(), 0).unwrap(),
    );
    for content in [whole_gzip, whole_zstd] {
        let (_dir, path) = file("m.csv", &content[..content.len() / 2]);
        let mut reader = open(&path, &FileOptions::default()).unwrap();
        assert_eq!(reader.bytes_total(), content.len() as u64 / 2);
        let samples = reader
            .by_ref()
            .take_while(|item| matches!(item, Ok(ReadItem::Sample(_))))
            .count();
        assert!(samples > 10_000, "{samples}");
        assert_eq!(reader.bytes_read(), reader.bytes_total());
        assert!(reader.next().is_none());
    }
    // Shorter than what is looked at to tell what it is.
    let content = gzip(&text.as_bytes()[..2000]);
    let (_dir, path) = file("m.csv", &content[..content.len() - 30]);
    let items: Vec<_> = open(&path, &FileOptions::default()).unwrap().collect();
    assert!(items.len() > 10);
    assert!(items.last().unwrap().is_err());
}

#[test]
fn an_endless_line_costs_one_reject_and_no_memory() {
    let mut text = b"timestamp,value\n1,1\n".to_vec();
    text.resize(text.len() + (17 << 20), b'x');
    text.extend_from_slice(b"\n2,2\n");
    let items = read_with("f.csv", &text, &FileOptions::default());
    assert_eq!(
        items.iter().map(show).collect::<Vec<_>>(),
        ["f@1=1", "!malformed", "f@2=2"]
    );
}

#[test]
fn readers_can_move_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<SampleReader>();
    is_send::<inputlog::Reader<Box<dyn BufRead + Send>>>();
}

#[test]
fn stems() {
    for (path, want) in [
        ("/a/b.csv", "b"),
        ("b.csv.gz", "b"),
        ("b.CSV.ZST", "b"),
        ("b.c.csv", "b.c"),
        ("b", "b"),
        (".csv", ".csv"),
        (".gz", ".gz"),
        ("é.gz", "é"),
    ] {
        assert_eq!(stem(Path::new(path)), want);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_bytes_are_read_without_panic(
        start in prop_oneof![Just(""), Just("timestamp,value\n"), Just("timestamp,a,label\n1,2,0\n"),
            Just("timestamp;series;value\n"), Just("{\"name\":\"m\"}\n"), Just("\u{1f}")],
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let content = [start.as_bytes(), &bytes].concat();
        let (_dir, path) = file("m.csv", &content);
        if let Ok(reader) = open(&path, &FileOptions::default()) {
            for item in reader.flatten() {
                if let ReadItem::Rejected(rejected) = item {
                    prop_assert!(!rejected.detail.contains('\n'));
                    prop_assert!(rejected.reason != Why::Late);
                }
            }
        }
    }

    #[test]
    fn rows_survive(rows in proptest::collection::vec((any::<i32>(), -1e12..1e12_f64), 0..50)) {
        let mut text = String::from("timestamp,value\n");
        for (seconds, value) in &rows {
            text.push_str(&format!("{seconds},{value:?}\n"));
        }
        let items = read_with("m.csv", text.as_bytes(), &FileOptions::default());
        let back: Vec<_> = items.iter().filter_map(|item| match item {
            ReadItem::Sample(sample) => Some(((sample.time.millis() / 1000) as i32, sample.value)),
            ReadItem::Rejected(_) | ReadItem::Truth { .. } => None,
        }).collect();
        prop_assert_eq!(back, rows);
    }
}
