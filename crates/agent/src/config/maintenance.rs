//! `[[maintenance]]`: when which series may be out of the ordinary.

use std::collections::BTreeSet;

use config::ValueKind;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use pipeline::Maintenance;
use pipeline::maintenance::{Days, Span, When};
use types::Timestamp;

use super::reader::{Section, text, texts};
use super::rules::matcher;
use super::sections::{boolean_or_false, zone};

/// Days as they are written, from Monday on.
const WEEK: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// One entry; `None`, with notes, where it does not say when.
pub(super) fn maintenance(mut s: Section<'_>) -> Option<Maintenance> {
    let matcher = matcher(&mut s);
    let zone = s.get_or("zone", TimeZone::UTC, zone);
    let [start, end] = ["start", "end"].map(|key| s.get(key, |value| moment(value, &zone)));
    let recurring = recurring(&mut s);
    let learn = boolean_or_false(&mut s, "learn");
    let when = match (start, end, recurring) {
        (None, None, Some((days, from, to))) => Some(When::Days { days, from, to, zone }),
        (Some(start), Some(end), None) if start < end => Some(When::Once(Span { start, end })),
        (Some(_), Some(_), None) => {
            s.note("end", "must be later than start");
            None
        }
        _ if s.has_mistakes() => None,
        _ => {
            s.note(
                "start",
                "say either start and end, or days or dates, with from and to for a part of them",
            );
            None
        }
    };
    s.finish();
    Some(Maintenance {
        matcher,
        when: when?,
        learn,
    })
}

/// Days with the time of day at which it begins and ends; midnight to midnight where that is not said.
fn recurring(s: &mut Section<'_>) -> Option<(Days, Time, Time)> {
    let weekly = s.get("days", week);
    let dates = s.get("dates", |value| {
        let each = texts(value)?;
        let dates: Result<BTreeSet<Date>, String> = each.iter().map(|text| date(text)).collect();
        dates.and_then(|dates| {
            if dates.is_empty() {
                Err("names no day".to_owned())
            } else {
                Ok(dates)
            }
        })
    });
    let [from, to] = ["from", "to"].map(|key| s.get(key, clock));
    let whole_day = Time::midnight();
    if weekly.is_some() && dates.is_some() {
        s.note("dates", "conflicts with days");
    }
    let days = weekly.map(Days::Weekly).or(dates.map(Days::Dates));
    let days = match days {
        None if from.is_some() || to.is_some() => Days::Weekly([true; 7]),
        days => days?,
    };
    Some((days, from.unwrap_or(whole_day), to.unwrap_or(whole_day)))
}

fn moment(value: &ValueKind, zone: &TimeZone) -> Result<Timestamp, String> {
    Timestamp::parse(&text(value)?, Some(zone)).map_err(|error| error.to_string())
}

fn week(value: &ValueKind) -> Result<[bool; 7], String> {
    let mut week = [false; 7];
    for day in texts(value)? {
        let at = WEEK.iter().position(|name| *name == day);
        week[at.ok_or_else(|| format!("`{day}` is none of {}", WEEK.join(", ")))?] = true;
    }
    if week == [false; 7] {
        return Err("names no day".to_owned());
    }
    Ok(week)
}

fn date(text: &str) -> Result<Date, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is no date, as in \"2026-12-24\""))
}

fn clock(value: &ValueKind) -> Result<Time, String> {
    let text = text(value)?;
    // The parser would take the time of a whole date, too.
    let wrong = || format!("`{text}` is no time of day, as in \"22:30\"");
    if !text.contains(':') || text.len() > 8 {
        return Err(wrong());
    }
    text.parse().map_err(|_| wrong())
}
