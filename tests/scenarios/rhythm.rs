//! Days, weeks, and what happens when they change.

use ingest::synthetic::SeriesSpec;

use super::{DAY, END, ON, Said, Stream, WEEK, assert_calm, at, daily, steady, watch};

#[test]
fn days_are_normal_from_the_second_on() {
    for seed in [1, 2, 3] {
        let days = Stream::new(&daily("m", seed, 0.0), 28 * DAY);
        let Some(said) = watch("days", "", &[days]) else {
            return;
        };
        assert_calm("days", &said, 0, 28 * DAY);
    }
}

/// Weekends lose 60 % of what weekdays bring.
#[test]
fn weekends_are_normal_from_the_first_on() {
    let mut first_weekends = vec![];
    for seed in 1..=10 {
        let days = if seed <= 3 { 35 * DAY } else { 8 * DAY };
        let weeks = Stream::new(&daily("m", seed, 0.6), days);
        let Some(said) = watch("weeks", "", &[weeks]) else {
            return;
        };
        first_weekends.extend(said.anomalies(5 * DAY, 8 * DAY));
        if seed <= 3 {
            assert_calm("weeks", &said, 8 * DAY, days);
        }
    }
    // No more than noise says of thirty days.
    assert!(first_weekends.len() <= 2, "{first_weekends:?}");
}

/// The series goes on as another from [`ON`] on.
fn becomes(before: &SeriesSpec, after: &SeriesSpec) -> Option<Said> {
    let later = after.generate(at(0), 26 * DAY as usize);
    let stream = Stream::new(before, 26 * DAY).change(ON, END, |i, _| later[(ON + i) as usize]);
    watch("changed season", "", &[stream])
}

#[test]
fn a_changed_day_alerts_and_becomes_normal() {
    for seed in [1, 2, 3] {
        let before = daily("m", seed, 0.0);
        let moved = SeriesSpec {
            zone: 6 * 3_600_000,
            ..before.clone()
        };
        let flat = steady("m", seed);
        let double = SeriesSpec {
            scale: 2.0,
            ..before.clone()
        };
        for (case, after) in [("moved", moved), ("flat", flat), ("double", double)] {
            let Some(said) = becomes(&before, &after) else {
                return;
            };
            let soon = said.anomalies(ON, ON + DAY / 2);
            assert!(!soon.is_empty(), "{case} {seed}: {:?}", said.events("anomaly"));
            let settling = said.anomalies(ON, ON + 3 * DAY);
            let lasting = |e: &super::Event| e.end.is_none_or(|end| end - e.known > 130);
            assert!(
                settling.len() <= 6 && !settling.iter().any(lasting),
                "{case} {seed}: {settling:?}"
            );
            assert_calm(case, &said, ON + WEEK, 26 * DAY);
        }
    }
}
