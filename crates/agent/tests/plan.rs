//! Whether the memory that `agent plan` predicts is what series take, counted by the allocator.
//!
//! `cargo test -p agent --test plan -- --ignored --nocapture` does it with 2 000 series rather than a dozen; minutes.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// One test at a time: the count is the process's.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

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
    assert_eq!(
        feed.task().open_alerts(),
        series,
        "an event of each is part of the plan"
    );
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
    let _alone = alone();
    // The nodes of a small map are emptier than those of a large one.
    compare(12, MINUTE, 0.1);
}

/// Ten times the series that were planned for come, and the task holds no more than the plan says. `evict_idle` as it is by
/// default, so that those beyond the cap are refused, or 0, so that each makes room for the next.
fn crowd(series: usize, interval: i64, evict_idle: i64, rounds: i64) {
    let settings = TaskSettings {
        evict_idle,
        ..settings()
    };
    let plan = drive(&settings, interval).unwrap().memory;
    let planned = plan.total() * series;
    let before = HELD.load(Ordering::Relaxed);
    let mut feed = Feed::new(&settings, interval, series);
    feed.past();
    feed.dense(400);
    let full = HELD.load(Ordering::Relaxed) - before;
    // The names themselves belong to whoever sends them.
    feed.crowd(9 * series);
    let names = HELD.load(Ordering::Relaxed) - before - full;
    let mut most = 0;
    for _ in 0..rounds {
        feed.dense(1);
        most = most.max(HELD.load(Ordering::Relaxed) - before - names);
        assert!(feed.task().series_count() <= series);
    }
    println!(
        "{series} series, then {}: planned {planned}, held {full}, then at most {most}",
        10 * series
    );
    assert!(most <= planned, "held {most}, planned {planned}");
}

#[test]
fn ten_times_the_series_stay_within_the_plan() {
    let _alone = alone();
    let hour = settings().evict_idle;
    crowd(12, MINUTE, hour, 300);
    crowd(12, MINUTE, 0, 300);
}

#[test]
#[ignore = "minutes"]
fn what_is_planned_is_what_many_series_take() {
    let _alone = alone();
    compare(2_000, 5 * MINUTE, 0.05);
}

#[test]
#[ignore = "minutes"]
fn ten_times_many_series_stay_within_the_plan() {
    let _alone = alone();
    let hour = settings().evict_idle;
    crowd(2_000, 5 * MINUTE, hour, 100);
    crowd(2_000, 5 * MINUTE, 0, 20);
}
