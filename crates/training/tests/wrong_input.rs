//! Wrong input, tried on the program itself: what it says and how it ends stands in `docs/wrong-input.md`, and this test
//! holds the two together. A case that is new or says something else prints its row.

#[path = "support/idx.rs"]
mod idx;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/wrong-input.md");

fn table(interval: usize, values: impl Iterator<Item = f64>) -> String {
    let rows = values
        .enumerate()
        .map(|(k, value)| format!("{},{value:.3}\n", 1_700_000_100 + interval * k));
    format!("timestamp,value\n{}", rows.collect::<String>())
}

fn wave(points: usize) -> impl Iterator<Item = f64> {
    (0..points).map(|k| 50.0 + 20.0 * (k as f64 * 0.3).sin() + (k as f64 * 0.754_877_666).fract())
}

fn train(dir: &Path, line: &str) -> Output {
    let arguments: Vec<String> = line
        .split_whitespace()
        .map(|word| word.replace('\'', ""))
        .collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command.args(arguments).current_dir(dir);
    command.output().expect("it starts")
}

/// A bundle and its run, and files of which most are of no use.
fn desk() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("writable");
    write("good.csv", &table(300, wave(300)));
    write("short.csv", &table(300, wave(99)));
    write("nothing.csv", &table(300, (0..300).map(|_| f64::NAN)));
    let often = table(60, wave(20));
    write(
        "irregular.csv",
        &(often + table(600, wave(300)).trim_start_matches("timestamp,value\n")),
    );
    for name in [
        "empty",
        "thesis",
        "other",
        "digits",
        "cut",
        "large",
        "unlabelled",
        "letters",
        "packed",
    ] {
        fs::create_dir(dir.path().join(name)).expect("writable");
    }
    write("thesis/draft.txt", "draft");
    digits(dir.path());
    let output = train(
        dir.path(),
        "tadgan --file good.csv --arch conv --batch 4 --steps 2 --warm-up 2 --run run --out bundle",
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for name in [
        "manifest.toml",
        "encoder.onnx",
        "generator.onnx",
        "critic_x.onnx",
        "critic_z.onnx",
    ] {
        fs::copy(
            dir.path().join("bundle").join(name),
            dir.path().join("other").join(name),
        )
        .expect("copied");
    }
    write("other/fingerprint.json", "{}");
    dir
}

/// Folders with MNIST's files, all but one of them wrong.
fn digits(dir: &Path) {
    let images: Vec<_> = (0..10).map(|kind| idx::digit(kind, 0)).collect();
    let labels: Vec<u8> = (0..10).collect();
    for name in ["digits", "unlabelled", "letters"] {
        for set in ["train", "t10k"] {
            idx::write_set(&dir.join(name), set, &images, &labels);
        }
    }
    let train = |name: &str, kind: &str| dir.join(name).join(format!("train-{kind}-ubyte"));
    idx::write(&train("cut", "images-idx3"), &[10, 28, 28], &[0; 99]);
    idx::write(&train("large", "images-idx3"), &[1, 32, 32], &[0; 1024]);
    idx::write(&train("unlabelled", "labels-idx1"), &[9], &[0; 9]);
    idx::write(&train("letters", "labels-idx1"), &[10], &[10; 10]);
    let line = "dcgan --mnist digits --epochs 1 --batch 5 --drawings 9 --out drawn";
    assert!(self::train(dir, line).status.success());
    let packed = dir.join("packed/train-images-idx3-ubyte.gz");
    fs::write(packed, "this is no gzip file").expect("writable");
}

/// What is tried, and the command line.
const CASES: &[(&str, &str)] = &[
    ("file that is not there", "tadgan --file nowhere.csv --out x"),
    ("folder without a file", "tadgan --data empty --out x"),
    (
        "pattern that fits nothing",
        "tadgan --data 'metrics/*.csv' --out x",
    ),
    (
        "fewer points than a window has",
        "tadgan --file short.csv --out x",
    ),
    ("NaN only", "tadgan --file nothing.csv --out x"),
    ("irregular timestamps", "tadgan --file irregular.csv --out x"),
    ("no data", "tadgan --out x"),
    (
        "two kinds of data",
        "tadgan --file good.csv --synthetic 3 --out x",
    ),
    (
        "unknown architecture",
        "tadgan --file good.csv --arch papers --out x",
    ),
    (
        "steps and epochs",
        "tadgan --file good.csv --steps 5 --epochs 5 --out x",
    ),
    ("no step", "tadgan --file good.csv --steps 0 --out x"),
    (
        "no learning rate",
        "tadgan --file good.csv --learning-rate 0 --out x",
    ),
    ("name that is none", "tadgan --file good.csv --name a/b --out x"),
    (
        "directory that holds something else",
        "tadgan --file good.csv --out thesis",
    ),
    (
        "no run to go on with",
        "tadgan --file good.csv --resume nowhere --out x",
    ),
    (
        "run with other settings",
        "tadgan --file good.csv --arch conv --batch 8 --steps 2 --warm-up 2 --resume run --out x",
    ),
    (
        "run that went further than it is to go",
        "tadgan --file good.csv --arch conv --batch 4 --steps 1 --warm-up 2 --resume run --out x",
    ),
    (
        "no bundle to start from",
        "tadgan --file good.csv --warm-start nowhere --out x",
    ),
    (
        "damaged bundle to start from",
        "tadgan --file good.csv --warm-start other --out x",
    ),
    (
        "other architecture than the bundle\'s",
        "tadgan --file good.csv --warm-start bundle --arch paper --out x",
    ),
    (
        "other scaler than the bundle\'s",
        "tadgan --file good.csv --warm-start bundle --scaler window --out x",
    ),
    (
        "TadGAN\'s bundle for AER",
        "aer --file good.csv --warm-start bundle --out x",
    ),
    (
        "all windows and half as many again to denoise",
        "tadgan --file good.csv --denoise 1.5 --out x",
    ),
    (
        "errors that are large whatever their size",
        "tadgan --file good.csv --huber 0 --out x",
    ),
    (
        "denoising on a GPU",
        "tadgan --file good.csv --denoise 0.02 --device gpu --out x",
    ),
    ("AER on a GPU", "aer --file good.csv --device gpu --out x"),
    #[cfg(not(feature = "gpu"))]
    (
        "GPU in a program built without it",
        "tadgan --file good.csv --device gpu --out x",
    ),
    (
        "learning rate beyond reason",
        "tadgan --file good.csv --arch conv --steps 1 --warm-up 0 --learning-rate 1e30 --out x",
    ),
    (
        "far too few steps",
        "tadgan --file good.csv --arch small --steps 1 --warm-up 0 --out x",
    ),
    (
        "weights that are not there",
        "import --weights nowhere --min 0 --max 1 --interval 300s --out x",
    ),
    ("no digits", "dcgan --mnist empty --out x"),
    ("digits cut short", "dcgan --mnist cut --out x"),
    (
        "digits that are not gzipped as they say",
        "dcgan --mnist packed --out x",
    ),
    ("digits of another size", "dcgan --mnist large --out x"),
    ("fewer labels than digits", "dcgan --mnist unlabelled --out x"),
    ("labels that are no digits", "dcgan --mnist letters --out x"),
    (
        "no passes over the digits",
        "dcgan --mnist digits --epochs 0 --out x",
    ),
    (
        "no GAN to go on with",
        "dcgan --mnist digits --resume --out nowhere",
    ),
    (
        "GAN with other settings",
        "dcgan --mnist digits --epochs 2 --batch 5 --drawings 9 --resume --out drawn",
    ),
    (
        "learning rate beyond reason for a GAN",
        "dcgan --mnist digits --batch 5 --drawings 9 --learning-rate 1e30 --out y",
    ),
    (
        "weights that are none",
        "import --weights good.csv --min 0 --max 1 --interval 300s --out x",
    ),
];

#[test]
fn what_is_wrong_is_said_in_a_sentence() {
    let dir = desk();
    let document = fs::read_to_string(DOCUMENT).unwrap();
    let mut wrong = Vec::new();
    for (case, line) in CASES {
        let output = train(dir.path(), line);
        let text = String::from_utf8(output.stderr).unwrap();
        let own = text.lines().find_map(|line| line.strip_prefix("train: "));
        // The parser of the command line goes on to explain the usage.
        let parser = || text.lines().map(str::trim).take_while(|line| !line.is_empty());
        let said = own.map_or_else(|| parser().collect::<Vec<_>>().join(" "), str::to_owned);
        assert!(!text.contains("panicked"), "{case}: {text}");
        assert!(!dir.path().join("x").exists(), "{case}: half a bundle");
        assert!(
            fs::read_to_string(dir.path().join("thesis/draft.txt")).unwrap() == "draft",
            "{case}"
        );
        let code = output.status.code().unwrap();
        let row = format!("| train: {case} | {code} | {} |", said.replace('|', "\\|"));
        if !document.lines().any(|known| says_the_same(known, &row)) {
            wrong.push(row);
        }
        let _ = fs::remove_dir_all(dir.path().join("x.run"));
    }
    assert!(
        wrong.is_empty(),
        "docs/wrong-input.md says otherwise; now it is\n{}",
        wrong.join("\n")
    );
}

/// `…` in what is known stands for numbers that another processor may round differently, and for words of others.
fn says_the_same(known: &str, row: &str) -> bool {
    match known.split_once('…') {
        Some((start, end)) => row.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)),
        None => known == row,
    }
}
