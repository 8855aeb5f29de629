//! What was injected, what was said, and how the two meet. A function of both and of nothing else.

use std::collections::{BTreeMap, BTreeSet};

use ingest::synthetic::FaultKind;
use types::{AlertState, DurationMs, Timestamp};

use super::alerts::Heard;
use super::feed::Injection;

/// What an alert was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The first about a fault, so long (event time) after that began.
    Hit(DurationMs),
    /// One more about a fault that has been noticed already.
    Again,
    /// A fault is over, but the series' last windows still hold it.
    Wake,
    /// Nothing had been done to the series.
    False,
    /// A limit set by hand: no matter of faults.
    Limit,
}

/// The books.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    injections: Vec<Injection>,
    /// By injection, in their order: how long after its start the first alert about it was known.
    delays: Vec<Option<DurationMs>>,
    meanings: BTreeMap<String, Meaning>,
    seen: BTreeSet<(String, AlertState)>,
    /// How long a fault stays in the windows.
    wake: DurationMs,
}

/// The end of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tally {
    /// Faults injected.
    pub(super) injected: usize,
    /// Of these, noticed while they lasted.
    pub(super) hits: usize,
    /// Of these, over without an alert that began while they lasted.
    pub(super) missed: Vec<Injection>,
    /// Of these, neither noticed nor over when the demo ended.
    pub(super) undecided: usize,
    /// Hits and decided faults by kind.
    pub(super) by_kind: BTreeMap<FaultKind, (usize, usize)>,
    /// Delays of the hits, ascending, event time.
    pub(super) delays: Vec<DurationMs>,
    /// Anomalies (alerts told apart by id).
    pub(super) events: usize,
    /// Of these, more about a fault already noticed, or in the wake of one.
    pub(super) echoes: usize,
    /// Of these, about nothing.
    pub(super) false_alerts: usize,
    /// Limits forecast to be crossed, or crossed.
    pub(super) limits: usize,
}

impl Ledger {
    /// `injections` in order of start; `wake`: length of a window in event time.
    pub(super) fn new(injections: Vec<Injection>, wake: DurationMs) -> Self {
        Self {
            delays: vec![None; injections.len()],
            injections,
            meanings: BTreeMap::new(),
            seen: BTreeSet::new(),
            wake,
        }
    }

    /// Faults that start in `[from, until)`.
    pub(super) fn starting(&self, from: Timestamp, until: Timestamp) -> impl Iterator<Item = &Injection> {
        self.injections
            .iter()
            .filter(move |i| (from..until).contains(&i.fault.start))
    }

    /// Takes an alert state in. Says what its event is about; `None` for a state that came before: at least once is
    /// sometimes twice.
    pub(super) fn hear(&mut self, alert: &Heard) -> Option<Meaning> {
        if !self.seen.insert((alert.id.clone(), alert.state)) {
            return None;
        }
        if let Some(meaning) = self.meanings.get(&alert.id) {
            return Some(*meaning);
        }
        let meaning = match alert.limit {
            None => self.meaning(alert),
            Some(_) => Meaning::Limit,
        };
        self.meanings.insert(alert.id.clone(), meaning);
        Some(meaning)
    }

    fn meaning(&mut self, alert: &Heard) -> Meaning {
        let mut wake = false;
        for (injection, delay) in self.injections.iter().zip(&mut self.delays) {
            if injection.series.as_str() != alert.series {
                continue;
            }
            let (start, end) = (injection.fault.start, injection.fault.end());
            if (start..end).contains(&alert.start) {
                if delay.is_some() {
                    return Meaning::Again;
                }
                let late = alert.available_at - start;
                *delay = Some(late);
                return Meaning::Hit(late);
            }
            wake |= (end..end + self.wake).contains(&alert.start);
        }
        if wake { Meaning::Wake } else { Meaning::False }
    }

    /// Alert states so far.
    pub(super) fn states(&self) -> usize {
        self.seen.len()
    }

    /// Counts, when event time got as far as `now` (exclusive).
    pub(super) fn tally(&self, now: Timestamp) -> Tally {
        let mut tally = Tally::default();
        for (injection, delay) in self.injections.iter().zip(&self.delays) {
            if injection.fault.start >= now {
                continue;
            }
            tally.injected += 1;
            match delay {
                None if injection.fault.end() >= now => {
                    tally.undecided += 1;
                    continue;
                }
                None => tally.missed.push(injection.clone()),
                Some(delay) => {
                    tally.hits += 1;
                    tally.delays.push(*delay);
                }
            }
            let kind = tally.by_kind.entry(injection.fault.kind).or_default();
            kind.0 += usize::from(delay.is_some());
            kind.1 += 1;
        }
        tally.delays.sort_unstable();
        for meaning in self.meanings.values() {
            tally.limits += usize::from(*meaning == Meaning::Limit);
            tally.events += usize::from(*meaning != Meaning::Limit);
            tally.echoes += usize::from(matches!(meaning, Meaning::Again | Meaning::Wake));
            tally.false_alerts += usize::from(*meaning == Meaning::False);
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::super::alerts::HeardLimit;
    use super::*;
    use ingest::synthetic::Fault;
    use types::{SeriesKey, Severity};

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_millis(minute * 60_000)
    }

    /// A spike on `a` in minutes 10 to 13, and two level shifts on `b` in 20 to 40 and 200 to 220.
    fn ledger() -> Ledger {
        let injection = |series, kind, start, minutes: i64| Injection {
            series: SeriesKey::from_name(series).unwrap(),
            fault: Fault {
                kind,
                start: at(start),
                duration: minutes * 60_000,
                magnitude: 10.0,
            },
            unit: 1.0,
        };
        let injections = vec![
            injection("a", FaultKind::Spike, 10, 3),
            injection("b", FaultKind::LevelShift, 20, 20),
            injection("b", FaultKind::LevelShift, 200, 20),
        ];
        Ledger::new(injections, 100 * 60_000)
    }

    fn alert(series: &str, start: i64, known: i64) -> Heard {
        Heard {
            id: format!("{series}-{start}"),
            state: AlertState::Firing,
            severity: Severity::Warning,
            series: series.to_owned(),
            start: at(start),
            available_at: at(known),
            score: 1.5,
            value: 1.0,
            expected: Some(0.0),
            limit: None,
        }
    }

    #[test]
    fn an_alert_means_the_fault_in_which_it_begins() {
        for (series, start, want) in [
            ("a", 9, Meaning::False),
            ("a", 10, Meaning::Hit(120_000)),
            ("a", 12, Meaning::Hit(240_000)),
            ("a", 13, Meaning::Wake),
            ("a", 112, Meaning::Wake),
            ("a", 113, Meaning::False),
            ("b", 10, Meaning::False),
            ("b", 39, Meaning::Hit(21 * 60_000)),
            ("b", 200, Meaning::Hit(120_000)),
            ("c", 20, Meaning::False),
        ] {
            let got = ledger().hear(&alert(series, start, start + 2));
            assert_eq!(got, Some(want), "{series} at {start}");
        }
    }

    #[test]
    fn one_fault_is_hit_once_and_states_of_one_event_share_their_meaning() {
        let mut ledger = ledger();
        let first = alert("b", 21, 23);
        assert_eq!(ledger.hear(&first), Some(Meaning::Hit(180_000)));
        assert_eq!(ledger.hear(&first), None, "delivered twice");
        let resolved = Heard {
            state: AlertState::Resolved,
            ..first
        };
        assert_eq!(ledger.hear(&resolved), Some(Meaning::Hit(180_000)));
        assert_eq!(ledger.hear(&alert("b", 30, 32)), Some(Meaning::Again));
        assert_eq!(ledger.hear(&alert("b", 41, 43)), Some(Meaning::Wake));
        assert_eq!(ledger.hear(&alert("c", 41, 43)), Some(Meaning::False));
        let limit = Heard {
            limit: Some(HeardLimit {
                bound: types::Bound::Above,
                value: 0.5,
                forecast: None,
            }),
            ..alert("a", 11, 12)
        };
        assert_eq!(ledger.hear(&limit), Some(Meaning::Limit));
        let tally = ledger.tally(at(300));
        assert_eq!((tally.injected, tally.hits, tally.missed.len()), (3, 1, 2));
        assert_eq!((tally.events, tally.echoes, tally.false_alerts), (4, 2, 1));
        assert_eq!(tally.limits, 1);
        assert_eq!(tally.delays, [180_000]);
        assert_eq!(tally.by_kind[&FaultKind::LevelShift], (1, 2));
        assert_eq!(tally.by_kind[&FaultKind::Spike], (0, 1));
    }

    #[test]
    fn what_has_not_begun_or_is_not_over_is_no_miss() {
        let ledger = ledger();
        for (now, injected, missed, undecided) in [
            (10, 0, 0, 0),
            (12, 1, 0, 1),
            (13, 1, 0, 1),
            (14, 1, 1, 0),
            (30, 2, 1, 1),
            (200, 2, 2, 0),
        ] {
            let tally = ledger.tally(at(now));
            let got = (tally.injected, tally.missed.len(), tally.undecided);
            assert_eq!(got, (injected, missed, undecided), "at {now}");
        }
        let starting: Vec<i64> = ledger
            .starting(at(10), at(200))
            .map(|i| i.fault.start.millis() / 60_000)
            .collect();
        assert_eq!(starting, [10, 20]);
    }
}
