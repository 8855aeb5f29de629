//! The fuzz targets on stable: what lies in `fuzz/seeds` goes through each, and mutations of it that a seed decides.
//!
//! cargo-fuzz, which sees what code an input reaches, finds more; see `fuzz/README.md`. Without a nightly toolchain,
//! `FUZZ_SECONDS=1200 cargo test --release -p agent --test fuzz -- --ignored --nocapture --test-threads 1` goes on for so long a
//! target, in processor time where there is /proc to read it from.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[allow(unreachable_pub, reason = "it is a library elsewhere")]
#[path = "../../../fuzz/src/lib.rs"]
mod targets;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use targets::{TARGETS, Target};

/// Longest input (bytes).
const LONGEST: usize = 1 << 14;

/// Inputs between looks at the clock.
const LOOK_EVERY: u64 = 64;

/// What readers look for.
const WORDS: [&[u8]; 22] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"\n",
    b"\0",
    b"=",
    b"NaN",
    b"-1",
    b"1e999",
    b"9223372036854775807",
    b"null",
    b"timestamp",
    b"value",
    b"\xff\xfe",
    b"\xf0\x9f\x98\x80",
    b"2026-01-01T00:00:00Z",
    b"\xef\xbb\xbf",
    b"\x1f\x8b",
];

/// A generator that is the same everywhere.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }

    /// One of `seeds`, changed in one to eight places.
    fn mutant(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(8) {
            self.change(&mut bytes, seeds);
        }
        bytes.truncate(LONGEST);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.below(bytes.len() + 1);
        let end = (at + 1 + self.below(32)).min(bytes.len());
        let at = at.min(end);
        match self.below(7) {
            0 if at < end => bytes[at] = self.below(256) as u8,
            1 if at < end => bytes[at] ^= 1 << self.below(8),
            2 => drop(bytes.drain(at..end)),
            3 => drop(bytes.splice(at..at, WORDS[self.below(WORDS.len())].iter().copied())),
            4 => {
                let again = bytes[at..end].to_vec();
                let times = 1 + self.below(64);
                drop(bytes.splice(at..at, again.repeat(times)));
            }
            5 => {
                let other = &seeds[self.below(seeds.len())];
                let from = self.below(other.len() + 1);
                drop(bytes.splice(at..end, other[from..].iter().copied()));
            }
            _ => bytes.truncate(at.max(1)),
        }
    }
}

fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(target);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{target} has no seeds");
    paths
        .into_iter()
        .map(|path| {
            let bytes = std::fs::read(&path).unwrap();
            (path, bytes)
        })
        .collect()
}

/// Runs a target and says on which input it panicked.
fn run(name: &str, target: Target, bytes: &[u8]) {
    if let Err(panic) = std::panic::catch_unwind(|| target(bytes)) {
        println!("{name} panicked on \"{}\"", bytes.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

/// Mutants of a target's seeds while `goes_on` says so of their number; how many there were.
fn mutate(name: &str, target: Target, mut goes_on: impl FnMut(u64) -> bool) -> u64 {
    let seeds: Vec<Vec<u8>> = seeds(name).into_iter().map(|(_, bytes)| bytes).collect();
    let (mut draw, mut done) = (Draw(0x9e37_79b9_7f4a_7c15), 0);
    while goes_on(done) {
        run(name, target, &draw.mutant(&seeds));
        done += 1;
    }
    done
}

/// Processor time of this process so far, where /proc says it in ticks of a hundredth.
fn processor_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in brackets may hold anything; after it stand user and system time as fields 12 and 13.
    let (_, fields) = stat.rsplit_once(')')?;
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.map(|field| field.parse().unwrap_or(0)).sum();
    Some(Duration::from_millis(10 * ticks))
}

#[test]
fn seeds_are_taken_calmly() {
    for (name, target) in TARGETS {
        for (path, bytes) in seeds(name) {
            println!("{}", path.display());
            run(name, target, &bytes);
        }
    }
}

#[test]
fn mutants_are_taken_calmly() {
    for (name, target) in TARGETS {
        mutate(name, target, |done| done < 300);
    }
}

#[test]
#[ignore = "as long as FUZZ_SECONDS says, a target"]
fn mutants_are_taken_calmly_for_long() {
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    let only = std::env::var("FUZZ_TARGET").ok();
    let limit = Duration::from_secs(seconds.unwrap_or(60));
    let begun = Instant::now();
    let spent = || processor_time().unwrap_or_else(|| begun.elapsed());
    for (name, target) in TARGETS {
        if only.as_ref().is_none_or(|only| only == name) {
            let before = spent();
            let done = mutate(name, target, |done| {
                !done.is_multiple_of(LOOK_EVERY) || spent() < before + limit
            });
            println!("{name}: {done} inputs in {} s", (spent() - before).as_secs());
        }
    }
}
