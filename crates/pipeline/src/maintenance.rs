//! Times at which series may be out of the ordinary: single spans, and calendars of days.
//!
//! A pure function of event time. Local times follow their zone: one that a change of clocks skips is moved behind the gap, of one that
//! comes twice the first counts.

use std::collections::BTreeSet;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use types::{DurationMs, SeriesKey, Timestamp};

use crate::settings::{Matcher, TaskSettings};

/// For some series, when.
#[derive(Clone, Debug, PartialEq)]
pub struct Maintenance {
    /// Which series.
    pub matcher: Matcher,
    /// When.
    pub when: When,
    /// Whether their references take in what happens then.
    pub learn: bool,
}

/// One span of time, or one that recurs.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// Once.
    Once(Span),
    /// On days of a calendar.
    Days {
        /// Which.
        days: Days,
        /// Local time at which it begins.
        from: Time,
        /// Local time at which it ends: of the next day where it is not after `from`.
        to: Time,
        /// Whose local time.
        zone: TimeZone,
    },
}

/// Days of a calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Days {
    /// Of each week, from Monday on.
    Weekly([bool; 7]),
    /// By date.
    Dates(BTreeSet<Date>),
}

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first moment.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
}

/// What is planned for a series at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// The first moment after it.
    pub(crate) end: Timestamp,
    /// Whether the references take it in.
    pub(crate) learn: bool,
}

impl When {
    /// The span that holds a part of `[from, to)`; the last to end where there are several.
    #[must_use]
    pub fn overlapping(&self, from: Timestamp, to: Timestamp) -> Option<Span> {
        let overlaps = |span: &Span| span.start < to && span.end > from;
        match self {
            Self::Once(span) => Some(*span).filter(overlaps),
            Self::Days { days, zone, .. } => {
                let first = date(from, zone)?.yesterday().ok()?;
                let last = date(to, zone)?;
                days.between(first, last)
                    .filter_map(|day| self.on(day))
                    .filter(overlaps)
                    .max_by_key(|span| span.end)
            }
        }
    }

    /// The span that begins on `day`; `None` where a change of clocks leaves nothing of it.
    fn on(&self, day: Date) -> Option<Span> {
        let Self::Days { from, to, zone, .. } = self else {
            return None;
        };
        let last_day = if to > from { day } else { day.tomorrow().ok()? };
        let at = |day: Date, time: Time| {
            let at = zone.to_timestamp(day.to_datetime(time)).ok()?;
            Some(Timestamp::from_millis(at.as_millisecond()))
        };
        let span = Span {
            start: at(day, *from)?,
            end: at(last_day, *to)?,
        };
        (span.start < span.end).then_some(span)
    }
}

impl Days {
    /// Those from `first` to `last`; of a long time the last week is enough of what comes weekly.
    fn between(&self, first: Date, last: Date) -> Box<dyn Iterator<Item = Date> + '_> {
        match self {
            Self::Dates(dates) => Box::new(dates.range(first..=last).copied()),
            Self::Weekly(weekly) => {
                let back = std::iter::successors(Some(last), |day| day.yesterday().ok());
                let week = back.take(9).take_while(move |day| *day >= first);
                Box::new(week.filter(|day| weekly[weekday(day.weekday())]))
            }
        }
    }
}

/// Place of a day in [`Days::Weekly`].
fn weekday(day: Weekday) -> usize {
    usize::try_from(day.to_monday_zero_offset()).unwrap_or(0)
}

fn date(time: Timestamp, zone: &TimeZone) -> Option<Date> {
    let time = jiff::Timestamp::from_millisecond(time.millis()).ok()?;
    Some(zone.to_datetime(time).date())
}

impl TaskSettings {
    /// Numbers of the maintenance that is meant for `series`.
    pub(crate) fn maintenance_of(&self, series: &SeriesKey) -> Vec<usize> {
        let all = self.maintenance.iter().enumerate();
        all.filter(|(_, m)| m.matcher.matches(series))
            .map(|(i, _)| i)
            .collect()
    }

    /// What is planned for a series with maintenance `own`, see [`Self::maintenance_of`], in some part of `length`
    /// milliseconds from `from` on: what ends last, and what must not be learnt wins.
    pub(crate) fn planned(&self, own: &[usize], from: Timestamp, length: DurationMs) -> Option<Planned> {
        let own = own.iter().filter_map(|i| self.maintenance.get(*i));
        let found = own.filter_map(|m| {
            let span = m.when.overlapping(from, from + length)?;
            Some(Planned {
                end: span.end,
                learn: m.learn,
            })
        });
        found.reduce(|a, b| Planned {
            end: a.end.max(b.end),
            learn: a.learn && b.learn,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Model;

    fn t(text: &str) -> Timestamp {
        Timestamp::parse(text, None).unwrap()
    }

    fn span(start: &str, end: &str) -> Option<Span> {
        Some(Span {
            start: t(start),
            end: t(end),
        })
    }

    fn time(text: &str) -> Time {
        text.parse().unwrap()
    }

    fn nightly(days: Days, zone: &str) -> When {
        When::Days {
            days,
            from: time("22:00"),
            to: time("02:00"),
            zone: TimeZone::get(zone).unwrap(),
        }
    }

    fn at(when: &When, moment: &str) -> Option<Span> {
        when.overlapping(t(moment), t(moment) + 1)
    }

    #[test]
    fn a_span_holds_its_start_and_not_its_end() {
        let when = When::Once(span("2026-03-01T00:00:00Z", "2026-03-01T02:00:00Z").unwrap());
        for (from, to, inside) in [
            ("2026-02-28T23:00:00Z", "2026-03-01T00:00:00Z", false),
            ("2026-02-28T23:59:00Z", "2026-03-01T00:01:00Z", true),
            ("2026-03-01T01:59:00Z", "2026-03-01T02:59:00Z", true),
            ("2026-03-01T02:00:00Z", "2026-03-01T03:00:00Z", false),
        ] {
            assert_eq!(when.overlapping(t(from), t(to)).is_some(), inside, "{from}");
        }
    }

    #[test]
    fn nights_belong_to_the_day_they_begin_on() {
        // Saturday to Sunday, and no other night.
        let mut week = [false; 7];
        week[5] = true;
        let when = nightly(Days::Weekly(week), "UTC");
        let night = span("2026-03-07T22:00:00Z", "2026-03-08T02:00:00Z");
        assert_eq!(at(&when, "2026-03-07T22:00:00Z"), night);
        assert_eq!(at(&when, "2026-03-08T01:59:59Z"), night);
        for outside in [
            "2026-03-07T01:00:00Z",
            "2026-03-08T02:00:00Z",
            "2026-03-08T23:00:00Z",
        ] {
            assert_eq!(at(&when, outside), None, "{outside}");
        }
        // A bucket of a month holds some of it.
        assert!(
            when.overlapping(t("2026-03-08T12:00:00Z"), t("2026-04-08T12:00:00Z"))
                .is_some()
        );
        let dates = Days::Dates(BTreeSet::from(["2026-12-24".parse().unwrap()]));
        let when = nightly(dates, "UTC");
        assert_eq!(
            at(&when, "2026-12-25T01:00:00Z"),
            span("2026-12-24T22:00:00Z", "2026-12-25T02:00:00Z")
        );
        assert_eq!(at(&when, "2026-12-25T22:00:00Z"), None);
    }

    /// Clocks in Berlin go forward on 2026-03-29 at 02:00 and back on 2026-10-25 at 03:00.
    #[test]
    fn local_time_follows_its_zone() {
        let when = nightly(Days::Weekly([true; 7]), "Europe/Berlin");
        for (moment, start, end) in [
            (
                "2026-01-10T22:00:00Z",
                "2026-01-10T21:00:00Z",
                "2026-01-11T01:00:00Z",
            ),
            // The night of the change ends where 02:00 would be: at 03:00 summer time.
            (
                "2026-03-28T22:00:00Z",
                "2026-03-28T21:00:00Z",
                "2026-03-29T01:00:00Z",
            ),
            (
                "2026-07-10T21:00:00Z",
                "2026-07-10T20:00:00Z",
                "2026-07-11T00:00:00Z",
            ),
            // 02:00 comes twice: the first counts.
            (
                "2026-10-24T22:00:00Z",
                "2026-10-24T20:00:00Z",
                "2026-10-25T00:00:00Z",
            ),
        ] {
            assert_eq!(at(&when, moment), span(start, end), "{moment}");
        }
    }

    #[test]
    fn what_is_planned_twice_lasts_longer_and_is_not_learnt() {
        let one = |end: &str, learn| Maintenance {
            matcher: Matcher::default(),
            when: When::Once(span("2026-03-01T00:00:00Z", end).unwrap()),
            learn,
        };
        let mut settings = TaskSettings::new(Model {
            label: String::new(),
            kind: scorer::manifest::ModelKind::Tadgan,
            window: 100,
            scaler: scorer::normalise::Scaler::Window { gain: 3.0 },
            calibration: vec![],
        });
        settings.maintenance = vec![
            one("2026-03-01T01:00:00Z", false),
            one("2026-03-01T02:00:00Z", true),
        ];
        let own = settings.maintenance_of(&SeriesKey::from_name("a").unwrap());
        let now = t("2026-03-01T00:30:00Z");
        let found = settings.planned(&own, now, 1).unwrap();
        assert_eq!((found.end, found.learn), (t("2026-03-01T02:00:00Z"), false));
        assert_eq!(settings.planned(&own, now + -3_600_000, 1_000), None);
    }
}
