//! Maintenance and calendars.

use super::{DAY, END, HOUR, ON, Stream, assert_calm, at, daily, steady, watch};

/// Two hours from [`ON`] on.
const OVER: i64 = ON + 2 * HOUR;

fn planned(from: i64, to: i64) -> String {
    let (from, to) = (at(from), at(to));
    format!("[[maintenance]]\nmatch = {{ name = \"m\" }}\nstart = \"{from}\"\nend = \"{to}\"\n")
}

#[test]
fn maintenance_and_the_return_from_it_are_no_news() {
    for seed in [1, 2, 3] {
        for (hours, spec) in [
            (2, steady("m", seed)),
            (2, daily("m", seed, 0.0)),
            (12, daily("m", seed, 0.0)),
        ] {
            let over = ON + hours * HOUR;
            let down = [Stream::new(&spec, 13 * DAY).change(ON, over, |_, _| 0.0)];
            let Some(plain) = watch("maintenance", "", &down) else {
                return;
            };
            assert!(!plain.anomalies(ON, over).is_empty(), "unplanned, it alerts");
            let said = watch("maintenance", &planned(ON, over), &down).unwrap();
            // As long as windows hold some of it, and then as ever.
            assert_eq!(said.anomalies(ON, over + 110), [], "{hours} h, seed {seed}");
            assert_calm("after maintenance", &said, over, 13 * DAY);
            let mut during = said
                .rows
                .iter()
                .filter(|r| (at(ON)..at(over)).contains(&r.timestamp));
            assert!(during.all(|r| r.score > Some(1.0)), "scores come out");
        }
    }
}

#[test]
fn what_happens_after_maintenance_alerts() {
    for seed in [1, 2, 3] {
        for spec in [steady("m", seed), daily("m", seed, 0.0)] {
            // An hour after a return.
            let fault = OVER + HOUR;
            let stream =
                Stream::new(&spec, 12 * DAY)
                    .change(ON, OVER, |_, _| 0.0)
                    .add(fault, fault + HOUR, 30.0);
            let Some(said) = watch("after maintenance", &planned(ON, OVER), &[stream]) else {
                return;
            };
            let found = said.anomalies(ON, fault + 3);
            assert!(
                found.len() == 1 && found[0].start == fault,
                "{:?}",
                said.events("anomaly")
            );
            // And where nothing returned: after a window at the latest.
            let gone = Stream::new(&spec, 12 * DAY).change(ON, END, |_, _| 0.0);
            let said = watch("after maintenance", &planned(ON, OVER), &[gone]).unwrap();
            let found = said.anomalies(ON, OVER + 102);
            assert_eq!(found.len(), 1, "{:?}", said.events("anomaly"));
        }
    }
}

/// A job that runs for an hour on Saturdays, at 02:30 in Berlin, unlike anything else.
#[test]
fn a_calendar_knows_what_comes_every_week() {
    let config = "[[maintenance]]\nmatch = { name = \"m\" }\ndays = [\"sat\"]\nfrom = \"02:30\"\nto = \"03:30\"\n\
                  zone = \"Europe/Berlin\"\n";
    // 01:30 UTC, in the winter.
    let job = |week: i64| (7 * week + 5) * DAY + 3 * HOUR / 2;
    let mut stream = Stream::new(&steady("m", 2), 27 * DAY);
    for week in 0..4 {
        stream = stream.add(job(week), job(week) + HOUR, 40.0);
    }
    let stream = [stream];
    let Some(said) = watch("calendar", config, &stream) else {
        return;
    };
    let plain = watch("calendar", "", &stream).unwrap();
    assert!(!plain.anomalies(job(0), job(0) + 2).is_empty());
    for week in 0..4 {
        assert_eq!(said.anomalies(job(week), job(week) + DAY / 2), [], "week {week}");
    }
}

#[test]
fn a_series_that_is_planned_to_be_silent_is_not_missed() {
    let streams = |until: i64| {
        let away = Stream::new(&steady("m", 1), 12 * DAY).drop(ON, until);
        [away, Stream::new(&steady("n", 2), 12 * DAY)]
    };
    let Some(said) = watch("planned silence", &planned(ON, OVER), &streams(OVER)) else {
        return;
    };
    assert_eq!(said.events("silence"), []);
    let late = watch("planned silence", &planned(ON, OVER), &streams(OVER + HOUR)).unwrap();
    let silence = late.events("silence");
    assert!(silence.len() == 1 && silence[0].known == OVER + 6, "{silence:?}");
}
