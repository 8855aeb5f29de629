//! Wrong input, tried on the real binary: what it says and how it ends stands in `docs/wrong-input.md`, and this test
//! holds the two together. A case that is new or says something else prints its row.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;

use crate::support::agent::command;
use crate::support::cli::{Ran, has_runtime};
use crate::support::surgery::{copy, rehash};
use crate::support::trained::trained;
use crate::support::{read, root};

const DOCUMENT: &str = "docs/wrong-input.md";

/// Runs cases in a directory and keeps what they said.
struct Desk {
    dir: TempDir,
    rows: Vec<[String; 3]>,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy(trained(), &dir.path().join("bundle")).unwrap();
        let desk = Self { dir, rows: vec![] };
        desk.write("good.csv", "timestamp,value\n2026-01-01T00:00:00Z,1\n");
        desk
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    /// Replays `content` as `metric.csv`.
    fn file(&mut self, case: &str, content: impl AsRef<[u8]>) {
        self.write("metric.csv", content);
        self.run(case, "replay --file metric.csv --model bundle");
    }

    /// Replays a good file with more arguments.
    fn replay(&mut self, case: &str, arguments: &str) {
        self.run(
            case,
            &format!("replay --file good.csv --model bundle {arguments}"),
        );
    }

    /// Replays a good file with a configuration.
    fn config(&mut self, case: &str, text: &str) {
        self.write("agent.toml", text);
        self.replay(case, "--config agent.toml");
    }

    /// Replays with a copy of the bundle that `spoil` has worked on.
    fn bundle(&mut self, case: &str, spoil: impl FnOnce(&Path)) {
        let dir = self.path("spoilt");
        if dir.exists() {
            fs::remove_dir_all(&dir).unwrap();
        }
        copy(trained(), &dir).unwrap();
        spoil(&dir);
        self.run(case, "replay --file good.csv --model spoilt");
    }

    fn run(&mut self, case: &str, arguments: &str) {
        self.run_with(case, arguments, &[]);
    }

    fn run_with(&mut self, case: &str, arguments: &str, environment: &[(&str, &str)]) {
        let ran: Ran = command(&[])
            .args(arguments.split_whitespace())
            .current_dir(&self.dir)
            // Asked for by name unless a case is about looking for it.
            .env("ORT_DYLIB_PATH", runtime())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap()
            .into();
        let said = if ran.code == 0 { &ran.stdout } else { &ran.stderr };
        let said = said.replace(&format!("{}/", self.dir.path().display()), "");
        let said = match said.strip_prefix("agent: ") {
            Some(own) => own.trim_end().replace('\n', "<br>"),
            // The parser of the command line goes on to explain the usage.
            None if ran.code != 0 => {
                let lines = said.lines().map(str::trim).take_while(|line| !line.is_empty());
                lines.collect::<Vec<_>>().join(" ")
            }
            None => {
                let lines = || said.lines().map(str::trim);
                let counted = lines().find(|line| line.starts_with("not used"));
                counted.or_else(|| lines().next()).unwrap_or_default().to_owned()
            }
        };
        assert!(!said.contains("panicked"), "{case}: {}", ran.stderr);
        self.rows.push([case.to_owned(), ran.code.to_string(), said]);
    }

    /// Holds the cases against the document's rows.
    fn finish(self) {
        let document = read(DOCUMENT);
        let mut wrong = Vec::new();
        for row in &self.rows {
            let [case, code, said] = row;
            let line = format!("| {case} | {code} | {} |", said.replace('|', "\\|"));
            println!("{line}");
            if !document.lines().any(|known| says_the_same(known, &line)) {
                wrong.push(line);
            }
        }
        assert!(
            wrong.is_empty(),
            "{DOCUMENT} says otherwise; now it is\n{}",
            wrong.join("\n")
        );
    }
}

/// `…` in what is known stands for words of others: loaders, drivers, the operating system.
fn says_the_same(known: &str, line: &str) -> bool {
    match known.split_once('…') {
        Some((start, end)) => line.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)),
        None => known == line,
    }
}

fn runtime() -> String {
    let found = scorer::runtime::Runtime::find(None).unwrap();
    let path = found.path();
    // A bare name is the loader's to find.
    path.canonicalize()
        .unwrap_or_else(|_| path.to_owned())
        .display()
        .to_string()
}

#[test]
fn files_that_cannot_be_used() {
    if !has_runtime("files_that_cannot_be_used") {
        return;
    }
    let mut desk = Desk::new();
    desk.run(
        "file that is not there",
        "replay --file nowhere.csv --model bundle",
    );
    desk.run("directory", "replay --file . --model bundle");
    desk.file("empty file", "");
    desk.file("blank lines only", "\n \n");
    desk.file("binary file", b"\x7fELF\x02\x01\x01\x00\x00\x00");
    desk.file("UTF-16", b"\xff\xfet\x00i\x00m\x00e\x00");
    desk.file("no header", "2026-01-01,1\n2026-01-02,2\n");
    desk.file("no column of values", "timestamp,label\n2026-01-01T00:00:00Z,0\n");
    desk.file(
        "long without values",
        "timestamp,series,amount\n2026-01-01T00:00:00Z,a,0\n",
    );
    desk.file("a column twice", "timestamp,cpu,cpu\n2026-01-01T00:00:00Z,1,2\n");
    desk.file("header only", "timestamp,value\n");
    desk.file(
        "NaN and infinities only",
        "timestamp,value\n2026-01-01T00:00:00Z,NaN\n2026-01-01T00:01:00Z,-inf\n",
    );
    desk.file("no readable time", "timestamp,value\nyesterday,1\ntoday,2\n");
    desk.file("JSON that is no point", "{\"name\": \"cpu\"}\n{\"name\": \n");
    desk.file(
        "NaN and infinities among numbers",
        "timestamp,value\n2026-01-01T00:00:00Z,NaN\n2026-01-01T00:01:00Z,inf\n2026-01-01T00:02:00Z,3\n",
    );
    desk.file("one clock a year ahead", ahead());
    desk.write("cut.csv.gz", cut_gzip());
    desk.run("gzip cut short", "replay --file cut.csv.gz --model bundle");
    desk.run("decode: file that is not there", "decode --file nowhere.csv");
    desk.run("decode: unknown format", "decode --file good.csv --format xml");
    desk.finish();
}

#[test]
fn options_that_cannot_be_used() {
    if !has_runtime("options_that_cannot_be_used") {
        return;
    }
    let mut desk = Desk::new();
    desk.config("two unknown keys", "[score]\nlagg = 1\n[alerts]\ntopik = \"x\"\n");
    desk.config(
        "several wrong values",
        "[score]\nlag = 3\nrarity = \"high\"\n[windows]\nlateness = \"5\"\n[alert]\ndirection = \"sideways\"\n",
    );
    let rule = "[[rules]]\nmatch = { name = \"*\" }\nlimit_above = 90\n";
    desk.config("limits that overlap", &format!("{rule}limit_below = 95\n"));
    desk.config("limit for a bundle that does not predict", rule);
    desk.config(
        "maintenance that says not when",
        "[[maintenance]]\ndays = [\"caturday\"]\nfrom = \"9\"\n[[maintenance]]\nmatch = { name = \"*\" }\nlearn = true\n",
    );
    desk.config("no TOML", "score lag = 1\n");
    desk.replay("configuration that is not there", "--config nowhere.toml");
    desk.replay("wrong override", "--set score.lag=3");
    desk.replay("override without a value", "--set score.lag");
    let arguments = "replay --file good.csv --model bundle";
    desk.run_with("wrong environment", arguments, &[("AGENT__SCORE__LAGG", "1")]);
    desk.write("labels.json", "{\"good\": [[\"2026-01-01\"");
    desk.replay("labels that are no JSON", "--labels labels.json");
    desk.write(
        "labels.json",
        "{\"good\": [[\"2026-01-02 00:00:00\", \"2026-01-01 00:00:00\"]]}",
    );
    desk.replay("label that ends before it starts", "--labels labels.json");
    desk.replay("labels that are not there", "--labels nowhere.json");
    desk.replay("scores nowhere", "--scores nowhere/scores.csv");
    desk.replay("alerts nowhere", "--alerts nowhere/alerts.jsonl");
    desk.replay("forecasts nowhere", "--forecasts nowhere/forecasts.csv");
    desk.replay("report nowhere", "--report nowhere/report.html");
    desk.replay("output over the input", "--scores good.csv");
    desk.replay("two outputs in one file", "--scores out --alerts out");
    desk.run("no command", "");
    desk.run("unknown command", "repaly");
    desk.run("unknown option", "replay --fiel good.csv");
    desk.run("replay without a file", "replay");
    desk.replay("unknown device", "--device tpu");
    desk.run("--version", "--version");
    desk.run("--help", "--help");
    assert_eq!(
        fs::read_to_string(desk.path("good.csv")).unwrap().lines().count(),
        2,
        "an input is never overwritten"
    );
    desk.finish();
}

#[test]
fn folders_that_cannot_be_evaluated() {
    if !has_runtime("folders_that_cannot_be_evaluated") {
        return;
    }
    let mut desk = Desk::new();
    for folder in ["empty", "some"] {
        fs::create_dir(desk.path(folder)).unwrap();
    }
    desk.write("some/metric.csv", "timestamp,value\n");
    desk.write("known.json", "{\"metric\": []}");
    desk.write("other.json", "{\"other.csv\": []}");
    desk.write("broken.json", "{\"metric\": 1}");
    for (case, data, labels) in [
        ("evaluate: folder that is not there", "nowhere", "known.json"),
        ("evaluate: file for a folder", "good.csv", "known.json"),
        ("evaluate: empty folder", "empty", "known.json"),
        ("evaluate: labels that name no file", "some", "other.json"),
        ("evaluate: labels that are not there", "some", "nowhere.json"),
        ("evaluate: labels that are not windows", "some", "broken.json"),
        ("evaluate: labelled file without a sample", "some", "known.json"),
    ] {
        let arguments = format!("evaluate --data {data} --labels {labels} --model bundle");
        desk.run(case, &arguments);
    }
    let arguments = "evaluate --data some --labels known.json --train-fraction 1";
    desk.run("evaluate: nothing left to judge", arguments);
    desk.write("list.txt", "# none\n");
    for (case, option) in [
        ("evaluate: list that is not there", "--series nowhere.txt"),
        ("evaluate: list of nothing", "--series list.txt"),
        ("evaluate: cuts that are none", "--test-start other.json"),
        ("evaluate: no such half", "--half third"),
    ] {
        let arguments = format!("evaluate --data some --labels known.json {option}");
        desk.run(case, &arguments);
    }
    desk.finish();
}

#[test]
fn bundles_and_runtimes_that_cannot_be_used() {
    if !has_runtime("bundles_and_runtimes_that_cannot_be_used") {
        return;
    }
    let mut desk = Desk::new();
    desk.run("no bundle there", "replay --file good.csv --model nowhere");
    desk.run("no bundle anywhere", "replay --file good.csv");
    desk.bundle("bundle with a wrong hash", |dir| {
        append(&dir.join("encoder.onnx"), b"\0")
    });
    desk.bundle("bundle with a wrong shape", |dir| {
        fs::copy(dir.join("critic_z.onnx"), dir.join("critic_x.onnx")).unwrap();
        rehash(dir).unwrap();
    });
    desk.bundle("bundle with a net that is none", |dir| {
        fs::write(dir.join("generator.onnx"), "not a net").unwrap();
        rehash(dir).unwrap();
    });
    desk.bundle("bundle whose fingerprint does not hold", |dir| {
        let path = dir.join("fingerprint.json");
        let mut fingerprint: scorer::manifest::Fingerprint =
            serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        fingerprint.critic_x[0] += 1.0;
        fs::write(&path, serde_json::to_vec(&fingerprint).unwrap()).unwrap();
        rehash(dir).unwrap();
    });
    desk.bundle("bundle without a net", |dir| {
        fs::remove_file(dir.join("critic_z.onnx")).unwrap()
    });
    desk.bundle("bundle without a manifest", |dir| {
        fs::remove_file(dir.join("manifest.toml")).unwrap();
    });
    desk.bundle("bundle with two problems", |dir| {
        append(&dir.join("generator.onnx"), b"\0");
        let path = dir.join("manifest.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("colour = \"red\"\n{text}")).unwrap();
    });
    desk.run("inspect: no bundle there", "inspect --model nowhere");
    desk.write("libnone.so", "not a library");
    let arguments = "replay --file good.csv --model bundle";
    for (case, library) in [
        ("no ONNX Runtime where it should be", "nowhere/libonnxruntime.so"),
        ("ONNX Runtime that is no library", "libnone.so"),
    ] {
        desk.run_with(case, arguments, &[("ORT_DYLIB_PATH", library)]);
    }
    desk.replay("named ONNX Runtime that is not there", "--onnxruntime nowhere.so");
    desk.replay("--device cuda without CUDA", "--device cuda");
    desk.finish();
}

/// An hour of minutes, one of them of the next year.
fn ahead() -> String {
    let mut text = "timestamp,value\n".to_owned();
    for minute in 0..60 {
        let year = if minute == 40 { 2027 } else { 2026 };
        text += &format!("{year}-01-01T00:{minute:02}:00Z,{minute}\n");
    }
    text
}

fn append(path: &Path, bytes: &[u8]) {
    let mut content = fs::read(path).unwrap();
    content.extend_from_slice(bytes);
    fs::write(path, content).unwrap();
}

fn cut_gzip() -> Vec<u8> {
    use std::io::Write as _;

    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut text = "timestamp,value\n".to_owned();
    for k in 0..3000 {
        text += &format!("{},{}\n", 1_700_000_000 + 60 * k, k * k % 1013);
    }
    writer.write_all(text.as_bytes()).unwrap();
    let whole = writer.finish().unwrap();
    whole[..whole.len() / 2].to_vec()
}

#[test]
fn the_document_names_no_case_that_is_not_tried() {
    let tests = fs::read_to_string(root().join("tests/wrong_input.rs")).unwrap();
    for line in read(DOCUMENT).lines() {
        let cells: Vec<&str> = line.split(" | ").collect();
        let [case, code, ..] = cells.as_slice() else {
            continue;
        };
        // `agent run` meets brokers and ports; its cases are tried where those are, and the trainer's by its own tests.
        let case = case.trim_start_matches("| ");
        let elsewhere = ["run: ", "train: "].iter().any(|of| case.starts_with(of));
        if code.parse::<u8>().is_ok() && !elsewhere {
            assert!(tests.contains(&format!("\"{case}\"")), "nobody tries `{case}`");
        }
    }
}
