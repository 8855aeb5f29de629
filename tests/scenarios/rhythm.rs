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

/// A backup, say, at seven past ten in the evening, or some minutes later: one bucket of a day of 1440, far out of the rest.
#[test]
fn a_nightly_job_of_a_minute_is_no_news_after_three_nights() {
    const MINUTES: i64 = 1440;
    let night = |day: i64| day * MINUTES + 22 * 60 + 7 + day * 5 % 7;
    let (odd, large) = (11 * MINUTES + 700, night(12));
    for by in [10.0, 40.0] {
        for spec in [steady("m", 1), daily("m", 1, 0.0)] {
            let spec = SeriesSpec {
                interval: 60_000,
                ..spec
            };
            let quiet = Stream::new(&spec, 13 * MINUTES).add(odd, odd + 1, by);
            let jobs = (0..12).fold(quiet, |stream, day| stream.add(night(day), night(day) + 1, by));
            let stream = jobs.add(large, large + 1, 10.0 * by);
            // Events are counted in buckets of five minutes.
            let nights = |said: &Said, from: i64, to: i64| -> usize {
                let known = |day: i64| said.anomalies(night(day) / 5, night(day) / 5 + 2);
                (from..to).map(|day| known(day).len().min(1)).sum()
            };
            let Some(said) = watch("nightly job", "", std::slice::from_ref(&stream)) else {
                return;
            };
            let events = said.events("anomaly");
            assert_eq!(nights(&said, 0, 2), 2, "{by}: {events:?}");
            // Of eight nights and the fourth.
            assert!(nights(&said, 3, 12) <= 1, "{by}: {events:?}");
            // The same at another time is news, and so is a much larger one at its own.
            assert!(
                !said.anomalies(odd / 5, odd / 5 + 2).is_empty(),
                "{by}: {events:?}"
            );
            assert_eq!(nights(&said, 12, 13), 1, "{by}: {events:?}");
            let always = watch("nightly job", "score.recurrence = 0", &[stream]).unwrap();
            let events = always.events("anomaly");
            assert!(nights(&always, 3, 12) >= 7, "{by}: {events:?}");
        }
    }
}
