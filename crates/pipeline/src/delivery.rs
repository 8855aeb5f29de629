//! The protocol around a task, without I/O: where reading starts, when the task may speak, what may be committed.
//!
//! At-least-once and transactional delivery share it. The rule that both rest on: an offset is committed only after
//! everything that the records below it caused has come out of the task and was handed to the broker (in the same
//! transaction, or acknowledged before).

use types::{Control, ControlKind};

/// Where a group without a committed offset begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstStart {
    /// With the oldest record: everything alerts.
    Earliest,
    /// With the next record to come: cold.
    Latest,
    /// `lookback` ago, muted up to the records that were there at the start: neither cold nor paging for last week.
    Lookback,
}

/// What is known of a partition when it is assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Oldest offset still there.
    pub low: i64,
    /// Offset of the next record to come.
    pub high: i64,
    /// The group's committed offset.
    pub committed: Option<i64>,
    /// Where to read on from with the state that is kept of the task; `None` where none is.
    pub kept: Option<i64>,
    /// First offset whose record is younger than the lookback before the committed record (before now on a first
    /// start); `None` when there is no such record.
    pub lookback: Option<i64>,
}

/// Why a group cannot go on where it had come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// So many offsets were deleted before their records were processed.
    Expired(i64),
    /// The partition ends before the committed offset: the topic was made anew.
    Anew,
}

impl Position {
    /// What stands between the committed offset and the start, if anything.
    #[must_use]
    pub fn gap(&self) -> Option<Gap> {
        match self.committed? {
            c if c > self.high => Some(Gap::Anew),
            c if c < self.low => Some(Gap::Expired(self.low - c)),
            _ => None,
        }
    }
}

/// One partition between assignment and revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    read_from: i64,
    live_from: i64,
    live: bool,
    processed: i64,
    committed: Option<i64>,
}

impl Delivery {
    /// Decides where to start. A committed offset that retention has passed counts as the oldest one there; one beyond the
    /// end (the topic was made anew) as the oldest too, for nothing of it has been read.
    #[must_use]
    pub fn assign(position: Position, first: FirstStart) -> Self {
        let Position {
            low,
            high,
            committed,
            kept,
            lookback,
        } = position;
        let go_on_at = committed.map(|c| if c > high { low } else { c.max(low) });
        let lookback = lookback.unwrap_or(high).clamp(low, high);
        let (read_from, live_from) = match (go_on_at, first) {
            (Some(c), _) => (kept.unwrap_or(lookback).clamp(low, c), c),
            (None, FirstStart::Earliest) => (low, low),
            (None, FirstStart::Latest) => (high, high),
            (None, FirstStart::Lookback) => (lookback, high),
        };
        Self {
            read_from,
            live_from,
            // State that is kept is muted until what came after it has happened, if only ticks.
            live: read_from >= live_from && kept.is_none(),
            processed: live_from,
            // As the group has it: where the start is another one, that is to be committed at once. Else the next start
            // could decide otherwise, and skip what has come in between.
            committed,
        }
    }

    /// First offset to read.
    #[must_use]
    pub fn read_from(&self) -> i64 {
        self.read_from
    }

    /// Whether the task starts muted.
    #[must_use]
    pub fn starts_muted(&self) -> bool {
        !self.live
    }

    /// Whether the re-read of the past is over.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Call before feeding the record at `offset`, and when the consumer stands at `offset` without one. Returns the
    /// control record that must be fed (and logged) first, once, when the re-read is over.
    pub fn before(&mut self, offset: i64) -> Option<Control> {
        if self.live || offset < self.live_from {
            return None;
        }
        self.live = true;
        Some(Control {
            offset,
            kind: ControlKind::Live,
        })
    }

    /// The task has put out everything that records below `next_offset` caused.
    pub fn processed(&mut self, next_offset: i64) {
        self.processed = self.processed.max(next_offset);
    }

    /// The offset to commit now, if it is new.
    #[must_use]
    pub fn to_commit(&self) -> Option<i64> {
        (self.committed != Some(self.processed)).then_some(self.processed)
    }

    /// The next offset to process.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.processed
    }

    /// The commit of `offset` went through.
    pub fn committed(&mut self, offset: i64) {
        self.committed = Some(offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position(committed: Option<i64>, lookback: Option<i64>) -> Position {
        Position {
            low: 100,
            high: 1000,
            committed,
            kept: None,
            lookback,
        }
    }

    #[test]
    fn a_restart_rereads_muted_up_to_the_committed_offset() {
        let mut d = Delivery::assign(position(Some(700), Some(300)), FirstStart::Lookback);
        assert_eq!((d.read_from(), d.starts_muted()), (300, true));
        assert_eq!(d.before(300), None);
        assert_eq!(d.before(699), None);
        assert_eq!(d.to_commit(), None, "a re-read commits nothing");
        d.processed(500);
        assert_eq!(d.to_commit(), None);
        assert_eq!(
            d.before(700),
            Some(Control {
                offset: 700,
                kind: ControlKind::Live
            })
        );
        assert_eq!(d.before(701), None);
        d.processed(701);
        assert_eq!(d.to_commit(), Some(701));
        d.committed(701);
        assert_eq!(d.to_commit(), None);
    }

    #[test]
    fn first_starts() {
        let start = |first| {
            let d = Delivery::assign(position(None, Some(400)), first);
            (d.read_from(), d.starts_muted())
        };
        assert_eq!(start(FirstStart::Earliest), (100, false));
        assert_eq!(start(FirstStart::Latest), (1000, false));
        assert_eq!(start(FirstStart::Lookback), (400, true));
    }

    #[test]
    fn retention_and_recreated_topics() {
        let expired = position(Some(5), None);
        let d = Delivery::assign(expired, FirstStart::Lookback);
        assert_eq!((d.read_from(), d.starts_muted()), (100, false));
        assert_eq!(expired.gap(), Some(Gap::Expired(95)));
        let anew = position(Some(5000), Some(900));
        let d = Delivery::assign(anew, FirstStart::Lookback);
        assert_eq!((d.read_from(), d.starts_muted()), (100, false));
        assert_eq!(anew.gap(), Some(Gap::Anew));
        for committed in [None, Some(100), Some(1000)] {
            assert_eq!(position(committed, None).gap(), None);
        }
    }

    /// A start that was decided must not be decided again: by then the topic may be longer than the stale offset, and a
    /// group without one would begin later.
    #[test]
    fn a_start_that_differs_from_the_groups_offset_is_committed_at_once() {
        let to_commit =
            |committed, first| Delivery::assign(position(committed, Some(400)), first).to_commit();
        assert_eq!(to_commit(Some(5), FirstStart::Lookback), Some(100));
        assert_eq!(to_commit(Some(5000), FirstStart::Lookback), Some(100));
        assert_eq!(to_commit(None, FirstStart::Lookback), Some(1000), "muted or not");
        assert_eq!(to_commit(None, FirstStart::Latest), Some(1000));
        assert_eq!(to_commit(None, FirstStart::Earliest), Some(100));
    }

    proptest! {
        /// Whatever the position: reading starts inside the log, never after what must be spoken about, and what is
        /// committed never goes back.
        #[test]
        fn never_skips_and_never_goes_back(low in 0i64..50, len in 0i64..50, committed in proptest::option::of(0i64..150), kept in proptest::option::of(0i64..150), lookback in proptest::option::of(0i64..150)) {
            let high = low + len;
            for first in [FirstStart::Earliest, FirstStart::Latest, FirstStart::Lookback] {
                let mut d = Delivery::assign(Position { low, high, committed, kept, lookback }, first);
                prop_assert!((low..=high).contains(&d.read_from()));
                if let Some(c) = committed.filter(|c| (low..=high).contains(c)) {
                    prop_assert!(d.read_from() <= c);
                }
                let mut spoken = !d.starts_muted();
                let mut last = d.next_offset();
                for offset in d.read_from()..high + 3 {
                    spoken |= d.before(offset).is_some();
                    prop_assert_eq!(spoken, d.is_live());
                    if committed.is_some_and(|c| (low..=high).contains(&c) && offset >= c) {
                        prop_assert!(spoken);
                    }
                    d.processed(offset + 1);
                    prop_assert!(d.next_offset() >= last);
                    last = d.next_offset();
                }
            }
        }
    }
}
