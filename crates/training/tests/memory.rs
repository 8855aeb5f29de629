//! What reading data and drawing batches holds in memory, counted by the allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use scorer::normalise::Scaler;
use training::batches::Batches;
use training::data::{DataOptions, Dataset, Inputs};

/// The system's allocator, with the bytes that are and at most were handed out.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe by its nature; this one only counts"
)]
// SAFETY: both methods hand on what they were given.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// `points` rows of `series` series of one sample a minute.
fn file(dir: &Path, name: &str, series: usize, points: usize) -> PathBuf {
    let path = dir.join(name);
    let mut out = BufWriter::new(File::create(&path).expect("writable"));
    write!(out, "timestamp").expect("writable");
    (0..series).for_each(|series| write!(out, ",metric_{series}").expect("writable"));
    for k in 0..points {
        write!(out, "\n{}", 1_700_000_000 + 60 * k).expect("writable");
        for series in 0..series {
            write!(out, ",{}", (k * 7919 + series * 31) % 1000).expect("writable");
        }
    }
    out.into_inner().expect("writable");
    path
}

const SERIES: usize = 20;

/// What is held at most, beyond what was at the start, while files are read and ten steps' windows drawn; and what
/// is held after that.
fn held(files: &[PathBuf]) -> (usize, usize) {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let data = Dataset::from_files(&Inputs::files(files), &DataOptions::new(100), |_| {}).expect("readable");
    let windows = data.train_windows();
    let batches = Batches::new(1, windows.len(), 64);
    let mut x = vec![0.0; 64 * 100];
    for step in 0..10 {
        let places = batches.step(step * 100).into_iter().map(|n| windows.place(n));
        data.fill(places, &Scaler::Window { gain: 3.0 }, 100, &mut x)
            .expect("readable");
    }
    let end = HELD.load(Ordering::Relaxed) - before;
    (PEAK.load(Ordering::Relaxed) - before, end)
}

// One test, since there is one count for all threads.
#[test]
fn memory_does_not_grow_with_the_data() {
    it_does_not_grow_with_the_points();
    a_series_being_read_takes_little();
}

fn it_does_not_grow_with_the_points() {
    let dir = tempfile::tempdir().expect("writable");
    let short = file(dir.path(), "short.csv", SERIES, 1_000);
    let long = file(dir.path(), "long.csv", SERIES, 16_000);
    let (short_peak, short_end) = held(std::slice::from_ref(&short));
    let (long_peak, long_end) = held(std::slice::from_ref(&long));
    let (both_peak, both_end) = held(&[short, long]);
    let bytes = 16_000 * SERIES * 8;
    println!(
        "peak {short_peak}, {long_peak}, {both_peak}; at the end {short_end}, {long_end}, {both_end}; of {bytes}"
    );
    // Most of it is buffers.
    assert!(long_peak < bytes / 4, "{long_peak} of {bytes}");
    assert!(long_peak <= short_peak + 4096, "{short_peak} {long_peak}");
    assert!(both_peak <= long_peak + 8192, "{long_peak} {both_peak}");
    // A run a series, and the input.
    assert!(both_end < 48 * 1024, "{both_end}");
    assert!(long_end <= short_end + 256, "{short_end} {long_end}");
}

fn a_series_being_read_takes_little() {
    let dir = tempfile::tempdir().expect("writable");
    let (few, many) = (
        file(dir.path(), "few.csv", 1_000, 200),
        file(dir.path(), "many.csv", 2_000, 200),
    );
    let ((few_peak, few_end), (many_peak, many_end)) = (held(&[few]), held(&[many]));
    println!(
        "{} and {}",
        (many_peak - few_peak) / 1000,
        (many_end - few_end) / 1000
    );
    assert!(many_peak - few_peak < 1_000 * 3072, "{few_peak} {many_peak}");
    assert!(many_end - few_end < 1_000 * 128, "{few_end} {many_end}");
}
