//! Each rule of the crate on a case that a person can follow.

#![expect(clippy::unwrap_used, reason = "a test")]

use types::{Aggregate, Kind, Occurrence, RejectReason, Timestamp};
use windowing::{Closed, INFERENCE_TIMES, Idle, MAX_WINDOW, SeriesWindow, SpecError, WindowSpec};

/// Grid of ten seconds, no lateness, windows of three.
fn spec() -> WindowSpec {
    WindowSpec {
        interval: Some(10_000),
        ..WindowSpec::new(3)
    }
}

/// The same, changed.
fn with(change: impl FnOnce(&mut WindowSpec)) -> WindowSpec {
    let mut spec = spec();
    change(&mut spec);
    spec
}

fn counter() -> WindowSpec {
    with(|s| s.kind = Kind::Counter)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

/// A series with its rule; times in seconds.
struct Fixture {
    spec: WindowSpec,
    series: SeriesWindow,
    occurrences: Vec<Occurrence>,
}

impl Fixture {
    fn new(spec: WindowSpec) -> Self {
        spec.validate().unwrap();
        Self {
            spec,
            series: SeriesWindow::new(),
            occurrences: Vec::new(),
        }
    }

    fn observe(&mut self, seconds: i64, value: f64) -> Result<(), RejectReason> {
        self.series
            .observe(&self.spec, at(seconds), value, &mut self.occurrences)
    }

    fn take_all(&mut self) -> Vec<Closed> {
        std::iter::from_fn(|| self.series.next_closed(&self.spec, &mut self.occurrences)).collect()
    }

    /// Start, value, filled, available_at of what one accepted sample closes.
    fn sample(&mut self, seconds: i64, value: f64) -> Vec<(i64, f64, bool, i64)> {
        self.observe(seconds, value).unwrap();
        self.brief()
    }

    fn brief(&mut self) -> Vec<(i64, f64, bool, i64)> {
        let seconds = |t: Timestamp| t.millis() / 1000;
        self.take_all()
            .iter()
            .map(|c| {
                let b = c.bucket;
                (seconds(b.start), b.value, b.filled, seconds(c.available_at))
            })
            .collect()
    }

    /// Values of the window, and the share of it that was filled in.
    fn window(&self) -> (Vec<f64>, f64) {
        let window = self.series.window().unwrap();
        (window.values().collect(), window.filled_share())
    }

    fn count(&self, what: Occurrence) -> usize {
        self.occurrences.iter().filter(|&&o| o == what).count()
    }
}

#[test]
fn a_bucket_closes_when_event_time_reaches_its_end_plus_lateness() {
    let mut f = Fixture::new(with(|s| s.lateness = 5_000));
    assert_eq!(f.sample(0, 1.0), []);
    assert_eq!(f.sample(14, 3.0), []);
    assert_eq!(f.sample(9, 5.0), []);
    assert_eq!(f.sample(15, 3.0), [(0, 3.0, false, 15)]);
    assert_eq!(f.observe(9, 5.0), Err(RejectReason::Late));
    assert_eq!(f.count(Occurrence::SampleAccepted), 4);
    assert_eq!(f.count(Occurrence::BucketClosed), 1);
}

#[test]
fn the_grid_goes_on_before_1970() {
    let mut f = Fixture::new(spec());
    assert_eq!(f.sample(-11, 1.0), []);
    assert_eq!(f.sample(-10, 2.0), [(-20, 1.0, false, -10)]);
    assert_eq!(f.sample(-1, 4.0), []);
    assert_eq!(f.sample(0, 5.0), [(-10, 3.0, false, 0)]);
}

#[test]
fn a_rejected_sample_changes_nothing() {
    let mut f = Fixture::new(with(|s| s.max_samples_per_bucket = 2));
    f.sample(0, 1.0);
    f.sample(10, 1.0);
    f.sample(11, 1.0);
    let (before, counted) = (f.series.clone(), f.occurrences.len());
    for (seconds, value, reason) in [
        (12, 1.0, RejectReason::BucketFull),
        (9, 1.0, RejectReason::Late),
        (99, f64::NAN, RejectReason::NotFinite),
        (99, f64::INFINITY, RejectReason::NotFinite),
    ] {
        assert_eq!(f.observe(seconds, value), Err(reason));
        assert_eq!(f.series, before);
    }
    assert_eq!(f.occurrences.len(), counted);
    // A duplicate finds a place in a full bucket.
    assert_eq!(f.observe(11, 3.0), Ok(()));
    assert_eq!(f.sample(20, 0.0), [(10, 2.0, false, 20)]);
}

#[test]
fn the_last_duplicate_wins() {
    let mut f = Fixture::new(spec());
    for value in [1.0, 7.0, 4.0] {
        f.sample(3, value);
    }
    assert_eq!(f.sample(10, 0.0), [(0, 4.0, false, 10)]);
    assert_eq!(f.count(Occurrence::SampleAccepted), 2);
    assert_eq!(f.count(Occurrence::SampleDuplicate), 2);
}

#[test]
fn every_aggregate() {
    for (aggregate, want) in [
        (Aggregate::Mean, 3.0),
        (Aggregate::Sum, 9.0),
        (Aggregate::Max, 6.0),
        (Aggregate::Min, 1.0),
        (Aggregate::Last, 2.0),
    ] {
        let mut f = Fixture::new(with(|s| s.aggregate = aggregate));
        f.sample(9, 2.0);
        f.sample(1, 1.0);
        f.sample(5, 6.0);
        assert_eq!(f.sample(10, 0.0), [(0, want, false, 10)], "{aggregate:?}");
    }
}

#[test]
fn a_gap_up_to_the_limit_is_filled_in_as_soon_as_it_closes() {
    let mut f = Fixture::new(spec());
    f.sample(0, 1.0);
    // Three empty buckets, closed by the very sample that ends the gap.
    let fill = |start| (start, 1.0, true, 40);
    assert_eq!(
        f.sample(40, 2.0),
        [(0, 1.0, false, 40), fill(10), fill(20), fill(30)]
    );
    assert_eq!(f.window(), ([1.0, 1.0, 1.0].into(), 1.0));
    assert_eq!(f.sample(50, 2.0), [(40, 2.0, false, 50)]);
    assert_eq!(f.series.window().unwrap().filled_share(), 2.0 / 3.0);
    assert_eq!(f.count(Occurrence::BucketFilled), 3);
}

#[test]
fn a_longer_gap_leaves_what_was_before_it_in_the_window() {
    let mut f = Fixture::new(spec());
    for seconds in [0, 10, 20, 30] {
        f.sample(seconds, seconds as f64);
    }
    assert_eq!(f.window(), ([0.0, 10.0, 20.0].into(), 0.0));
    assert_eq!(f.sample(80, 2.0), [(30, 30.0, false, 80)]);
    f.observe(90, 3.0).unwrap();
    let closed = f.take_all();
    assert_eq!(closed.len(), 1);
    assert!(closed[0].restarted);
    assert_eq!(closed[0].bucket.index, 4);
    assert_eq!(f.window(), ([20.0, 30.0, 2.0].into(), 2.0 / 3.0));
    f.sample(100, 4.0);
    assert_eq!(f.window(), ([30.0, 2.0, 3.0].into(), 1.0 / 3.0));
    f.sample(110, 5.0);
    assert_eq!(f.window(), ([2.0, 3.0, 4.0].into(), 0.0));
    assert_eq!(f.series.window().unwrap().end_index(), 6);
    assert_eq!(f.count(Occurrence::WindowRestarted), 1);
    assert_eq!(f.count(Occurrence::BucketFilled), 0);
}

#[test]
fn before_its_first_bucket_a_series_has_its_median() {
    let mut f = Fixture::new(with(|s| s.window = 4));
    assert!(f.series.window().is_none());
    f.sample(0, 1.0);
    assert!(f.series.window().is_none());
    f.sample(10, 9.0);
    assert_eq!(f.window(), ([1.0, 1.0, 1.0, 1.0].into(), 0.75));
    assert_eq!(f.series.window().unwrap().lacking(), 3);
    f.sample(20, 5.0);
    assert_eq!(f.window(), ([1.0, 1.0, 1.0, 9.0].into(), 0.5));
    f.sample(30, 2.0);
    assert_eq!(f.window(), ([5.0, 1.0, 9.0, 5.0].into(), 0.25));
    f.sample(40, 2.0);
    assert_eq!(f.window(), ([1.0, 9.0, 5.0, 2.0].into(), 0.0));
    assert_eq!(f.series.window().unwrap().lacking(), 0);
}

#[test]
fn a_gap_in_a_short_past_begins_it_again() {
    // Never full, and never half known.
    for (before, is_kept) in [(&[0, 10][..], false), (&[0, 30], false), (&[0, 20, 30], true)] {
        let mut f = Fixture::new(spec());
        for seconds in before {
            f.sample(*seconds, 7.0);
        }
        f.sample(200, 1.0);
        f.sample(210, 2.0);
        let (values, lacking) = (f.window().0, f.series.window().unwrap().lacking());
        if is_kept {
            assert_eq!((values, lacking), ([7.0, 7.0, 1.0].into(), 0), "{before:?}");
        } else {
            assert_eq!((values, lacking), ([1.0, 1.0, 1.0].into(), 2), "{before:?}");
        }
    }
}

#[test]
fn a_late_comer_can_still_shorten_a_gap() {
    let mut f = Fixture::new(with(|s| s.lateness = 20_000));
    f.sample(0, 1.0);
    // Four empty buckets so far: too many, but 30 and 40 are open, and nothing is certain.
    assert_eq!(f.sample(50, 2.0), [(0, 1.0, false, 50)]);
    assert_eq!(f.observe(29, 9.0), Err(RejectReason::Late));
    assert_eq!(f.sample(30, 3.0), [(10, 1.0, true, 50), (20, 1.0, true, 50)]);
    assert_eq!(
        f.sample(80, 2.0),
        [(30, 3.0, false, 80), (40, 3.0, true, 80), (50, 2.0, false, 80)]
    );
}

#[test]
fn a_window_is_the_last_l_buckets() {
    let mut f = Fixture::new(spec());
    for k in 0..8 {
        f.sample(k * 10, k as f64);
    }
    let window = f.series.window().unwrap();
    assert_eq!(window.values().collect::<Vec<_>>(), [4.0, 5.0, 6.0]);
    assert_eq!((window.len(), window.end_index()), (3, 6));
    assert!(window.filled_mask().all(|filled| !filled));
}

#[test]
fn buckets_not_taken_wait() {
    let mut f = Fixture::new(spec());
    for seconds in [0, 10, 30, 40] {
        f.observe(seconds, 1.0).unwrap();
    }
    let want = [
        (0, 1.0, false, 10),
        (10, 1.0, false, 30),
        (20, 1.0, true, 30),
        (30, 1.0, false, 40),
    ];
    assert_eq!(f.brief(), want);
}

#[test]
fn an_idle_close_invents_nothing() {
    let mut f = Fixture::new(spec());
    f.series.close_idle(&f.spec, at(1_000));
    f.sample(3, 1.0);
    f.series.close_idle(&f.spec, at(9));
    assert_eq!(f.brief(), []);
    f.series.close_idle(&f.spec, at(45));
    assert_eq!(f.brief(), [(0, 1.0, false, 45)]);
    let quiet = f.series.clone();
    f.series.close_idle(&f.spec, at(99));
    assert_eq!(f.series, quiet);
    assert_eq!(f.series.event_time(), Some(at(3)));
    // What was not closed takes samples; what was does not.
    assert_eq!(f.observe(9, 1.0), Err(RejectReason::Late));
    assert_eq!(f.sample(12, 2.0), []);
    // Never available before the bucket in front of it.
    assert_eq!(f.sample(20, 2.0), [(10, 2.0, false, 45)]);
    assert_eq!(f.sample(50, 2.0)[0], (20, 2.0, false, 50));
}

#[test]
fn an_idle_close_keeps_lateness() {
    let mut f = Fixture::new(with(|s| s.lateness = 5_000));
    f.sample(3, 1.0);
    f.series.close_idle(&f.spec, at(14));
    assert_eq!(f.brief(), []);
    f.series.close_idle(&f.spec, at(15));
    assert_eq!(f.brief(), [(0, 1.0, false, 15)]);
}

#[test]
fn a_flush_closes_all_at_event_time() {
    let mut f = Fixture::new(with(|s| s.lateness = 60_000));
    f.series.flush(&f.spec);
    f.sample(3, 1.0);
    f.sample(25, 2.0);
    f.series.flush(&f.spec);
    assert_eq!(
        f.brief(),
        [(0, 1.0, false, 25), (10, 1.0, true, 25), (20, 2.0, false, 25)]
    );
    assert_eq!(f.observe(29, 1.0), Err(RejectReason::Late));
    assert_eq!(f.observe(30, 1.0), Ok(()));
}

#[test]
fn a_counter_is_a_rate() {
    let mut f = Fixture::new(counter());
    // The first bucket only anchors.
    assert_eq!(f.sample(5, 100.0), []);
    assert_eq!(f.sample(12, 170.0), []);
    // 100 at 5 s to 250 at 15 s, out of order.
    assert_eq!(f.sample(15, 250.0), []);
    assert_eq!(f.sample(14, 200.0), []);
    assert_eq!(f.sample(25, 240.0), [(10, 15.0, false, 25)]);
    // A reset: 240 counts whole, over ten seconds.
    assert_eq!(f.sample(45, 300.0), [(20, 24.0, false, 45), (30, 24.0, true, 45)]);
    // Twenty seconds since the last sample.
    assert_eq!(f.sample(55, 300.0), [(40, 3.0, false, 55)]);
    assert_eq!(f.sample(65, 300.0), [(50, 0.0, false, 65)]);
    assert_eq!(f.count(Occurrence::CounterReset), 1);
}

#[test]
fn no_rate_spans_a_long_silence() {
    let mut f = Fixture::new(counter());
    f.sample(0, 0.0);
    f.sample(10, 50.0);
    assert_eq!(f.sample(90, 9e9), [(10, 5.0, false, 90)]);
    assert_eq!(f.sample(100, 9e9 + 20.0), []);
    f.observe(110, 9e9 + 20.0).unwrap();
    let closed = f.take_all();
    assert_eq!(closed.len(), 1);
    assert!(closed[0].restarted);
    assert_eq!(closed[0].bucket.value, 2.0);
    assert_eq!(closed[0].bucket.index, 1);
}

#[test]
fn a_counter_that_only_anchored_fills_nothing_in() {
    let mut f = Fixture::new(counter());
    f.sample(0, 0.0);
    assert_eq!(f.sample(30, 60.0), []);
    assert_eq!(f.sample(40, 60.0), [(30, 2.0, false, 40)]);
    // Nor does silence start anew what has not begun.
    let mut f = Fixture::new(counter());
    f.sample(0, 0.0);
    f.sample(100, 0.0);
    f.sample(110, 10.0);
    assert_eq!(f.sample(120, 10.0), [(110, 1.0, false, 120)]);
    assert_eq!(f.count(Occurrence::WindowRestarted), 0);
}

#[test]
fn the_interval_comes_from_the_first_seventeen_times() {
    let mut f = Fixture::new(WindowSpec::new(3));
    let last = INFERENCE_TIMES as i64 - 1;
    // Backwards, each of them twice: order and duplicates do not matter, and none is late.
    for k in (1..=last).rev() {
        assert_eq!(f.sample(k * 60 + k % 3, 0.0), []);
        assert_eq!(f.sample(k * 60 + k % 3, k as f64), []);
        assert_eq!(f.series.interval(), None);
    }
    let closed = f.sample(0, 0.0);
    assert_eq!(f.series.interval(), Some(60_000));
    let now = last * 60 + last % 3;
    let want: Vec<_> = (0..last).map(|k| (k * 60, k as f64, false, now)).collect();
    assert_eq!(closed, want);
    assert_eq!(f.observe(59, 0.0), Err(RejectReason::Late));
    assert_eq!(f.count(Occurrence::SampleDuplicate), INFERENCE_TIMES - 1);
}

#[test]
fn a_flush_ends_inference_with_what_there_is() {
    let mut f = Fixture::new(WindowSpec::new(3));
    f.sample(0, 1.0);
    f.series.close_idle(&f.spec, at(9_999));
    f.series.flush(&f.spec);
    assert_eq!((f.series.interval(), f.brief()), (None, vec![]));
    f.sample(300, 2.0);
    f.series.flush(&f.spec);
    assert_eq!(f.series.interval(), Some(300_000));
    assert_eq!(f.brief(), [(0, 1.0, false, 300), (300, 2.0, false, 300)]);
}

#[test]
fn the_ends_of_time_are_no_long_way() {
    for interval in [1, 7_000, 86_400_000 * 366] {
        let mut f = Fixture::new(with(|s| s.interval = Some(interval)));
        for time in [Timestamp::MIN, at(0), Timestamp::MAX] {
            f.series.observe(&f.spec, time, 1.0, &mut f.occurrences).unwrap();
        }
        f.series.close_idle(&f.spec, Timestamp::MAX);
        f.series.flush(&f.spec);
        let closed = f.take_all();
        assert_eq!(
            closed.iter().filter(|c| !c.bucket.filled).count(),
            3,
            "{interval}"
        );
        assert_eq!(closed.len(), 3, "{interval}");
    }
}

#[test]
fn a_spec_that_makes_no_grid_is_refused_and_does_no_harm() {
    let cases = [
        (with(|s| s.interval = Some(0)), SpecError::Interval(0)),
        (with(|s| s.lateness = -1), SpecError::Lateness(-1)),
        (
            with(|s| {
                s.lateness = i64::MAX;
                s.interval = None;
            }),
            SpecError::Lateness(i64::MAX),
        ),
        (
            with(|s| s.lateness = 86_400_000),
            SpecError::OpenBuckets {
                lateness: 86_400_000,
                interval: 10_000,
            },
        ),
        (with(|s| s.window = 0), SpecError::Window(0)),
        (
            with(|s| s.restart_after = MAX_WINDOW + 1),
            SpecError::RestartAfter(MAX_WINDOW + 1),
        ),
        (with(|s| s.max_samples_per_bucket = 0), SpecError::NoSamples),
    ];
    for (spec, error) in cases {
        assert_eq!(spec.validate(), Err(error));
        let mut series = SeriesWindow::new();
        for seconds in [5, 15, 25, 100] {
            let _rejected = series.observe(&spec, at(seconds), 1.0, &mut Vec::new());
        }
        series.flush(&spec);
        while series.next_closed(&spec, &mut Vec::new()).is_some() {
            assert_ne!(series.window().map(|w| w.len()), Some(0));
            if series.event_time() > Some(at(1_000)) {
                break;
            }
        }
    }
    assert_eq!(spec().validate(), Ok(()));
    assert_eq!(WindowSpec::new(100).restart_after, 100);
}

#[test]
fn a_full_series_is_small() {
    let spec = WindowSpec {
        interval: Some(60_000),
        ..WindowSpec::new(100)
    };
    let mut series = SeriesWindow::new();
    for k in 0..1_000 {
        series
            .observe(&spec, at(k * 60), 0.1 * k as f64, &mut Vec::new())
            .unwrap();
        while series.next_closed(&spec, &mut Vec::new()).is_some() {}
    }
    let bytes = postcard::to_stdvec(&series).unwrap().len();
    assert!(bytes < 100 * 9 + 100, "{bytes} bytes");
}

#[test]
fn a_quiet_series_is_waited_for() {
    let spec = WindowSpec {
        interval: Some(10_000),
        lateness: 5_000,
        idle: Idle::Intervals(2),
        ..WindowSpec::new(3)
    };
    let mut series = SeriesWindow::new();
    series.observe(&spec, at(3), 1.0, &mut Vec::new()).unwrap();
    for (until, idle) in [(34, false), (35, true)] {
        assert_eq!(series.is_idle(&spec, at(until)), idle);
        series.close_idle(&spec, at(until));
        let closed = series.next_closed(&spec, &mut Vec::new());
        assert_eq!(closed.map(|c| c.available_at), idle.then(|| at(35)));
    }
}
