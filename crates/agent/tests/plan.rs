//! Whether the memory that `agent plan` predicts is what series take, counted by the allocator.
//!
//! `cargo test -p agent --test plan -- --ignored --nocapture` does it with 2 000 series rather than a dozen; minutes.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use agent::plan::memory::{Feed, drive};
use agent::plan::speed::resident_bytes;
use pipeline::{Model, TaskSettings};
use scorer::manifest::ModelKind;
use scorer::normalise::Scaler;

/// The system's allocator, with the bytes that are handed out.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe by its nature; this one only counts"
)]
// SAFETY: both methods hand on what they were given.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

const MINUTE: i64 = 60_000;

fn settings() -> TaskSettings {
    TaskSettings::new(Model {
        label: "none".to_owned(),
        kind: ModelKind::Tadgan,
        window: 100,
        scaler: Scaler::Window { gain: 3.0 },
        calibration: Vec::new(),
    })
}

/// Drives `series` series over a week and 4500 buckets more, and holds the allocator's count against the plan: it may be off by
/// `margin` to either side.
fn compare(series: usize, interval: i64, margin: f64) {
    let settings = settings();
    let plan = drive(&settings, interval).unwrap().memory;
    // Windows under way are answered at once here.
    let planned = (plan.total() - plan.queue) * series;
    let (before, resident) = (HELD.load(Ordering::Relaxed), resident_bytes());
    let mut feed = Feed::new(&settings, interval, series);
    feed.past();
    feed.dense(4_500);
    let held = HELD.load(Ordering::Relaxed) - before;
    let counted = feed.task().memory().total();
    println!("{series} series: planned {planned}, counted by the task {counted}, held {held}");
    if let Some((before, after)) = resident.zip(resident_bytes()) {
        println!("  resident: {}", after.saturating_sub(before));
    }
    println!("  a series: planned {plan:?}, held {}", held / series);
    for (name, bytes) in [("planned", planned), ("counted", counted)] {
        let off = bytes as f64 / held as f64 - 1.0;
        assert!(off.abs() < margin, "{name} {bytes}, held {held}: off by {off:.3}");
    }
}

#[test]
fn what_is_planned_is_what_a_few_series_take() {
    // The nodes of a small map are emptier than those of a large one.
    compare(12, MINUTE, 0.1);
}

#[test]
#[ignore = "minutes"]
fn what_is_planned_is_what_many_series_take() {
    compare(2_000, 5 * MINUTE, 0.05);
}
