//! Data on its way from files to windows: the same buckets as serving makes, each slice by itself, bad input by name.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use scorer::bundle::sha256_hex;
use scorer::normalise::{FloorEstimate, Scaler};
use tempfile::TempDir;
use training::data::{DataError, DataOptions, Dataset, Inputs, Place, Windows};
use types::{RejectReason, Timestamp};
use windowing::{SeriesWindow, WindowSpec};

const WINDOW: usize = 20;
const SCALER: Scaler = Scaler::Window { gain: 3.0 };

/// Seconds and value of each sample of a series.
type Samples = Vec<(i64, f64)>;

fn options() -> DataOptions {
    DataOptions::new(WINDOW)
}

fn write(dir: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    fs::create_dir_all(path.parent().expect("it lies in the directory")).expect("writable");
    fs::write(&path, text).expect("writable");
    path
}

/// A CSV of one sample each `interval` seconds.
fn regular(interval: i64, points: usize) -> String {
    let samples = (0..points).map(|k| (1_700_000_000 + interval * k as i64, (k as f64 * 0.3).sin()));
    table(&[samples.collect()])
}

/// A CSV of series `s0`, `s1`, …, their samples taken in turns, each in its own order.
fn table(series: &[Samples]) -> String {
    let mut text = String::from("timestamp,series,value\n");
    let longest = series.iter().map(Vec::len).max().unwrap_or(0);
    for k in 0..longest {
        for (number, samples) in series.iter().enumerate() {
            if let Some((seconds, value)) = samples.get(k) {
                let _ = writeln!(text, "{seconds},s{number},{value}");
            }
        }
    }
    text
}

fn load(path: &Path, options: &DataOptions) -> Result<Dataset, DataError> {
    Dataset::from_files(&Inputs::files(&[path.to_owned()]), options, |_| {})
}

fn slices(data: &Dataset) -> [Windows<'_>; 3] {
    [
        data.train_windows(),
        data.validation_windows(),
        data.calibration_windows(),
    ]
}

fn places(windows: Windows<'_>) -> Vec<Place> {
    (0..windows.len()).map(|number| windows.place(number)).collect()
}

/// A minute's samples with gaps short and long, of which some come up to ten minutes late.
fn untidy(random: &mut ChaCha8Rng) -> Samples {
    let mut seconds = 1_700_000_000;
    let mut samples: Samples = (0..random.next_u32() % 700)
        .map(|k| {
            seconds += match random.next_u32() % 100 {
                0 => 60 * i64::from(1 + random.next_u32() % 60),
                1..10 => 60 * i64::from(1 + random.next_u32() % 6),
                _ => 60,
            };
            (
                seconds,
                f64::from(k) + f64::from(random.next_u32() % 1000) / 1000.0,
            )
        })
        .collect();
    for at in 1..samples.len() {
        let back = (random.next_u32() % 4) as usize;
        if back > 1 && at >= back && samples[at].0 - samples[at - back].0 < 600 {
            samples[at - back..=at].rotate_left(1);
        }
    }
    samples
}

/// Runs of (value, floor) as the windowing gives them for samples in the order of time, in memory.
fn model(samples: &Samples) -> Vec<Vec<(f64, f64)>> {
    let mut sorted = samples.clone();
    sorted.sort_by_key(|(seconds, _)| *seconds);
    let spec = WindowSpec::new(WINDOW);
    let (mut series, mut ignored) = (SeriesWindow::new(), Vec::new());
    let (mut floor, mut runs) = (FloorEstimate::default(), vec![Vec::new()]);
    for (seconds, value) in sorted {
        let time = Timestamp::from_millis(1000 * seconds);
        series
            .observe(&spec, time, value, &mut ignored)
            .expect("in order");
    }
    series.flush(&spec);
    while let Some(closed) = series.next_closed(&spec, &mut ignored) {
        if closed.restarted {
            runs.push(Vec::new());
        }
        floor.push(closed.bucket.value);
        let run = runs.last_mut().expect("one at least");
        run.push((closed.bucket.value, floor.floor()));
    }
    runs.retain(|run| run.len() >= WINDOW);
    runs
}

#[test]
fn windows_are_those_of_the_windowing() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut windows = 0;
    for _ in 0..12 {
        let series: Vec<Samples> = (0..5).map(|_| untidy(&mut random)).collect();
        let path = write(&dir, "untidy.csv", &table(&series));
        let data = load(&path, &options()).unwrap();
        assert_eq!(data.summary.rejected, BTreeMap::new());
        let runs: Vec<_> = series.iter().flat_map(model).collect();
        assert_eq!(data.runs(), runs.len());
        let mut all: Vec<Place> = slices(&data).into_iter().flat_map(places).collect();
        all.sort();
        let expected = runs.iter().enumerate().flat_map(|(run, values)| {
            (0..=values.len() - WINDOW).map(move |start| Place {
                run,
                start: start as u64,
            })
        });
        assert!(all.iter().copied().eq(expected));
        for place in all {
            let run = &runs[place.run][place.start as usize..][..WINDOW];
            let values: Vec<f64> = run.iter().map(|(value, _)| *value).collect();
            for known in [WINDOW, WINDOW - 1] {
                let (found, affine) = data.window(place, &SCALER, known).unwrap();
                assert_eq!(found, values);
                assert_eq!(affine, SCALER.fit(&values[..known], run[known - 1].1));
            }
            windows += 1;
        }
        let trained = places(data.train_windows())
            .into_iter()
            .flat_map(|place| data.window(place, &SCALER, WINDOW).unwrap().0);
        let (min, max) = trained.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
        assert_eq!(data.range(), (min, max));
    }
    assert!(windows > 10_000, "{windows}");
}

#[test]
fn no_window_ends_in_an_earlier_slice() {
    let dir = tempfile::tempdir().unwrap();
    for points in (WINDOW..4 * WINDOW).chain([999, 1000, 1001]) {
        let data = load(&write(&dir, "a.csv", &regular(60, points)), &options()).unwrap();
        let [training, validation, calibration] = slices(&data).map(places);
        let windows = [training, validation, calibration];
        // A slice is what its windows end in: it begins where the one before ends.
        let mut next = 0;
        for place in windows.iter().flatten() {
            assert_eq!((place.run, place.start), (0, next));
            next += 1;
        }
        assert_eq!(next as usize, points + 1 - WINDOW);
        let cut = (4 * points).div_ceil(5).max(WINDOW);
        let [training, validation, calibration] = windows.map(|places| places.len());
        assert_eq!(training, cut + 1 - WINDOW);
        assert!(
            calibration == validation || calibration == validation + 1,
            "{points}"
        );
        for slice in slices(&data) {
            assert!(slice.by_run().eq((!slice.is_empty()).then(|| 0..slice.len())));
        }
    }
}

#[test]
fn inputs_are_filled_in_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let data = load(&write(&dir, "a.csv", &regular(60, 300)), &options()).unwrap();
    let windows = data.train_windows();
    let mut out = vec![0.0; 2 * WINDOW];
    data.fill(
        [windows.place(7), windows.place(100)],
        &SCALER,
        WINDOW - 1,
        &mut out,
    )
    .unwrap();
    let (values, affine) = data.window(windows.place(100), &SCALER, WINDOW - 1).unwrap();
    let mut expected = vec![0.0; WINDOW];
    SCALER.apply(affine, &values, &mut expected);
    assert_eq!(out[WINDOW..], expected);
    let nowhere = Place { run: 1, start: 0 };
    assert!(data.window(nowhere, &SCALER, WINDOW).is_err());
    let beyond = Place { run: 0, start: 281 };
    assert!(data.window(beyond, &SCALER, WINDOW).is_err());
}

#[test]
fn a_fraction_leaves_the_rest_of_the_time_unseen() {
    let dir = tempfile::tempdir().unwrap();
    let at_fraction = |path: &Path, train_fraction| {
        let options = DataOptions {
            train_fraction,
            ..options()
        };
        load(path, &options)
    };
    // Two series: one all the time, 1000 minutes, one with a pause from minute 300 to 400.
    let times = (0..=1000).map(|k| 1_700_000_040 + 60 * k);
    let whole: Samples = times.map(|t| (t, (t as f64 * 0.01).sin())).collect();
    let paused: Samples = [&whole[..300], &whole[400..]].concat();
    let path = write(&dir, "a.csv", &table(&[whole.clone(), paused.clone()]));
    // Minute 700 is the first that does not end in the first 70 %.
    let early = [whole[..700].to_vec(), paused[..600].to_vec()];
    let early = write(&dir, "b.csv", &table(&early));
    let (part, first) = (
        at_fraction(&path, 0.7).unwrap(),
        load(&early, &options()).unwrap(),
    );
    assert_eq!(part.runs(), 3);
    assert_eq!(slices(&part).map(places), slices(&first).map(places));
    assert_eq!(part.range(), first.range());
    for place in slices(&part).into_iter().flat_map(places) {
        assert_eq!(
            part.window(place, &SCALER, WINDOW).unwrap(),
            first.window(place, &SCALER, WINDOW).unwrap()
        );
    }
    // What a pause cuts off is not taken as the first part of what remains.
    assert_eq!(at_fraction(&path, 0.35).unwrap().runs(), 2);
    let error = at_fraction(&path, 0.0199).unwrap_err();
    assert!(
        matches!(error, DataError::TooShort { longest: 19, .. }),
        "{error}"
    );
}

#[test]
fn what_comes_far_too_late_is_rejected_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let mut samples: Samples = (0..200).map(|k| (1_700_000_040 + 60 * k, k as f64)).collect();
    let sorted = load(&write(&dir, "a.csv", &table(&[samples.clone()])), &options()).unwrap();
    // Sixteen buckets wait; the one before them has closed.
    samples[100..117].rotate_left(1);
    samples[150..168].rotate_left(1);
    let data = load(&write(&dir, "b.csv", &table(&[samples])), &options()).unwrap();
    assert_eq!(data.summary.rejected, BTreeMap::from([(RejectReason::Late, 1)]));
    assert_eq!((data.summary.buckets, data.summary.filled), (200, 1));
    let window = |data: &Dataset, start| {
        let place = Place { run: 0, start };
        data.window(place, &SCALER, WINDOW).unwrap().0
    };
    assert_eq!(window(&data, 95), window(&sorted, 95));
    assert_ne!(window(&data, 145), window(&sorted, 145));
    assert!(
        data.summary.to_string().contains("rejected: 1 late"),
        "{}",
        data.summary
    );
    // The newest first: seventeen make an interval, and what comes earlier than they do is late.
    let newest_first: Samples = (0..200)
        .rev()
        .map(|k| (1_700_000_040 + 60 * k, k as f64))
        .collect();
    let error = load(&write(&dir, "c.csv", &table(&[newest_first])), &options()).unwrap_err();
    let line = error.to_string();
    assert!(
        line.contains("182 points came late") && line.contains("sorted by time"),
        "{line}"
    );
}

#[test]
fn files_are_found_named_and_ordered() {
    let dir = tempfile::tempdir().unwrap();
    for name in [
        "m/b.csv",
        "m/a/x.csv.gz",
        "m/a/y.JSONL",
        "m/notes.txt",
        "n/b.csv",
        "c[1].csv",
    ] {
        write(&dir, name, "timestamp,value\n");
    }
    let at = |path: &str| dir.path().join(path);
    let names = |arguments: &[&str]| {
        let arguments: Vec<PathBuf> = arguments.iter().map(|path| at(path)).collect();
        let inputs = Inputs::search(&arguments).unwrap();
        inputs.files.into_iter().map(|file| file.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&["m"]), ["a/x.csv.gz", "a/y.JSONL", "b.csv"]);
    assert_eq!(names(&["m/**/*.csv*"]), ["a/x.csv.gz", "b.csv"]);
    assert_eq!(names(&["*/b.csv"]), ["m/b.csv", "n/b.csv"]);
    // A file counts once, however it is found; files of one name keep apart.
    assert_eq!(
        names(&["n", "m", "m/b.csv", "m/a/../*.csv"]),
        ["b.csv", "a/x.csv.gz", "a/y.JSONL", "b.csv#2"]
    );
    assert_eq!(names(&["c[1].csv"]), ["c[1].csv"]);
    fs::create_dir(at("empty")).unwrap();
    for nothing in ["empty", "nowhere", "m/*.parquet", "m/***"] {
        let error = Inputs::search(&[at(nothing)]).unwrap_err();
        assert!(matches!(error, DataError::NoFile { .. }), "{error}");
        assert!(error.to_string().contains(nothing), "{error}");
    }
}

#[test]
fn files_of_no_use_are_named_and_the_others_train() {
    let dir = tempfile::tempdir().unwrap();
    let good = regular(60, 100);
    write(&dir, "data/good.csv", &good);
    write(&dir, "data/again/good.csv", &good);
    write(&dir, "data/empty.csv", "");
    write(&dir, "data/nan.csv", "timestamp,value\n1700000000,NaN\n");
    write(&dir, "data/short.csv", &regular(60, 5));
    write(&dir, "data/strange.csv", "when,what\n1,2\n");
    let inputs = Inputs::search(&[dir.path().join("data")]).unwrap();
    let data = Dataset::from_files(&inputs, &options(), |_| {}).unwrap();
    assert_eq!(data.runs(), 2, "series of one name in two files are two");
    let names: Vec<&str> = data.hashes.keys().map(String::as_str).collect();
    assert_eq!(names, ["again/good.csv", "good.csv"]);
    assert_eq!(data.hashes["good.csv"], sha256_hex(good.as_bytes()));
    let line = data.summary.to_string();
    assert!(
        !line.contains('\n') && line.contains("4 files hold nothing usable"),
        "{line}"
    );
    for name in ["empty.csv: it is empty", "nan.csv", "short.csv", "strange.csv"] {
        assert!(line.contains(name), "{line}");
    }
    // Asked for by name it ends the run.
    let named = load(&dir.path().join("data/strange.csv"), &options()).unwrap_err();
    assert!(matches!(named, DataError::Open { .. }), "{named}");
    // And nothing usable at all does, too.
    fs::remove_file(dir.path().join("data/good.csv")).unwrap();
    fs::remove_file(dir.path().join("data/again/good.csv")).unwrap();
    fs::remove_file(dir.path().join("data/short.csv")).unwrap();
    let inputs = Inputs::search(&[dir.path().join("data")]).unwrap();
    let error = Dataset::from_files(&inputs, &options(), |_| {}).unwrap_err();
    assert!(
        matches!(error, DataError::NoSamples { rejected: 1, .. }),
        "{error}"
    );
}

#[test]
fn irregular_timestamps_are_said_to_be() {
    let dir = tempfile::tempdir().unwrap();
    // Twenty samples a minute apart, then one each five minutes.
    let times = (0..20).map(|k| 60 * k).chain((5..200).map(|k| 300 * k));
    let samples: Samples = times.map(|t| (1_700_000_000 + t, t as f64)).collect();
    let path = write(&dir, "a.csv", &table(&[samples]));
    let error = load(&path, &options()).unwrap_err();
    let line = error.to_string();
    assert!(matches!(error, DataError::Irregular { share: 78, .. }), "{line}");
    for part in ["s0", "inferred interval of 60 s", "--interval"] {
        assert!(line.contains(part), "{line}");
    }
    let longer = DataOptions {
        interval: Some(300_000),
        ..options()
    };
    assert_eq!(load(&path, &longer).unwrap().summary.filled, 0);
    // Gaps beyond a window are not filled in, but leave nothing that is long enough.
    let times = (0..20).chain((1..200).map(|k| 300 * k));
    let samples: Samples = times.map(|t| (1_700_000_000 + t, t as f64)).collect();
    let error = load(&write(&dir, "b.csv", &table(&[samples])), &DataOptions::new(100)).unwrap_err();
    assert!(error.to_string().contains("20 buckets of 1 s"), "{error}");
}

#[test]
fn a_directory_that_takes_no_spool_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let options = DataOptions {
        spool_dir: dir.path().join("nowhere"),
        ..options()
    };
    let error = load(&write(&dir, "a.csv", &regular(60, 100)), &options).unwrap_err();
    assert!(matches!(error, DataError::Spool { .. }), "{error}");
}

#[test]
fn generated_series_come_the_same_way() {
    let data = |seed| Dataset::synthetic(seed, 6, 300, &options()).unwrap();
    let (a, b, c) = (data(1), data(1), data(2));
    assert_eq!(a.runs(), 6);
    assert_eq!(a.hashes, b.hashes);
    assert_ne!(a.hashes, c.hashes);
    let window = |data: &Dataset| {
        data.window(data.train_windows().place(900), &SCALER, WINDOW)
            .unwrap()
    };
    assert_eq!(window(&a), window(&b));
    assert_ne!(window(&a), window(&c));
}
