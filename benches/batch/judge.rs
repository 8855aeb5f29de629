//! Counting: what was found held against what is known, pooled over signals.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use agent::evaluate::intervals::{self, Confusion, Interval};

/// Counts of some signals.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    /// Whole events: found when anything overlaps them.
    pub(crate) overlap: Confusion,
    /// Seconds.
    pub(crate) length: Confusion,
    /// Judged seconds.
    pub(crate) judged: u64,
}

impl Tally {
    /// Of one signal; what lies outside `span` does not count.
    pub(crate) fn of(known: &[Interval], found: &[Interval], span: Interval) -> Self {
        let clip = |intervals: &[Interval]| -> Vec<Interval> {
            let clipped = intervals
                .iter()
                .map(|(a, b)| ((*a).max(span.0), (*b).min(span.1)));
            clipped.filter(|(a, b)| a <= b).collect()
        };
        let (known, found) = (clip(known), clip(found));
        Self {
            overlap: intervals::by_overlap(&known, &found),
            length: intervals::by_length(&known, &found),
            judged: intervals::length(&[span]),
        }
    }

    /// Share of the judged time that lies in what was found.
    pub(crate) fn time_in_alert(&self) -> f64 {
        (self.length.true_positive + self.length.false_positive) as f64 / self.judged.max(1) as f64
    }

    /// F1 over events, and over seconds where that is equal.
    fn worth(&self) -> (f64, f64) {
        let f1 = |c: Confusion| c.f1().unwrap_or(0.0);
        (f1(self.overlap), f1(self.length))
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.overlap += other.overlap;
        self.length += other.length;
        self.judged += other.judged;
    }
}

impl std::iter::Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |mut sum, tally| {
            sum += tally;
            sum
        })
    }
}

/// What the scores of one detector gave on each signal, signals by name.
pub(crate) type ByScore = BTreeMap<String, BTreeMap<String, Tally>>;

/// The score that is best on every other signal (the first, the third, …), judged on those between, and the other way round: the
/// names of both, and the counts of both halves together.
pub(crate) fn crossed(scores: &ByScore, of_interest: impl Fn(&str) -> bool) -> ([String; 2], Tally) {
    let half = |by_signal: &BTreeMap<String, Tally>, half: usize| -> Tally {
        let chosen = by_signal.iter().filter(|(name, _)| of_interest(name));
        chosen.skip(half).step_by(2).map(|(_, tally)| *tally).sum()
    };
    let best_on = |which: usize| {
        let worth = |score: &&String| half(&scores[*score], which).worth();
        // The first of equals.
        scores
            .keys()
            .reduce(|best, score| if worth(&score) > worth(&best) { score } else { best })
            .cloned()
            .unwrap_or_default()
    };
    let chosen = [best_on(0), best_on(1)];
    let mut tally = Tally::default();
    for (which, score) in chosen.iter().enumerate() {
        tally += scores.get(score).map(|s| half(s, 1 - which)).unwrap_or_default();
    }
    (chosen, tally)
}

/// The score that is best on each family of signals, judged on the same: what publications report that choose a score a family by its
/// labels. Not what a user would get who has none. The name of each family's score, and the counts of all families together.
pub(crate) fn chosen_on_labels<'a>(
    scores: &ByScore,
    families: impl IntoIterator<Item = &'a str>,
    family_of: impl Fn(&str) -> Option<&'a str>,
) -> (Vec<String>, Tally) {
    let mut chosen = Vec::new();
    let mut total = Tally::default();
    for family in families {
        let of_score = |by_signal: &BTreeMap<String, Tally>| -> Tally {
            let of_family = by_signal
                .iter()
                .filter(|(name, _)| family_of(name) == Some(family));
            of_family.map(|(_, tally)| *tally).sum()
        };
        let tallies = scores
            .iter()
            .map(|(score, by_signal)| (score, of_score(by_signal)));
        // The first of equals.
        let best = tallies.reduce(|best, next| {
            if next.1.worth() > best.1.worth() {
                next
            } else {
                best
            }
        });
        if let Some((score, tally)) = best {
            chosen.push(score.clone());
            total += tally;
        }
    }
    (chosen, total)
}

/// See [`crate::signals::check`].
pub(crate) fn check() {
    let tally = Tally::of(&[(0, 9), (50, 59), (90, 120)], &[(5, 6), (70, 79)], (0, 99));
    let overlap = [
        tally.overlap.true_positive,
        tally.overlap.false_positive,
        tally.overlap.false_negative,
    ];
    assert_eq!(overlap, [1, 1, 2]);
    let length = [
        tally.length.true_positive,
        tally.length.false_positive,
        tally.length.false_negative,
    ];
    assert_eq!(length, [2, 10, 28]);
    assert!((tally.time_in_alert() - 0.12).abs() < 1e-12);

    // `p` is right on the first and third signal, `q` on the second and fourth: chosen on one half, each fails on the other.
    let (hit, missed) = (
        Tally::of(&[(1, 2)], &[(1, 2)], (0, 9)),
        Tally::of(&[(1, 2)], &[], (0, 9)),
    );
    let row = |tallies: [Tally; 4]| -> BTreeMap<String, Tally> {
        let names = ["a", "b", "c", "d"].map(str::to_owned);
        names.into_iter().zip(tallies).collect()
    };
    let scores: ByScore = [
        ("p".to_owned(), row([hit, missed, hit, missed])),
        ("q".to_owned(), row([missed, hit, missed, hit])),
    ]
    .into();
    let (chosen, tally) = crossed(&scores, |_| true);
    assert_eq!(chosen, ["p", "q"]);
    assert_eq!(tally.overlap.f1(), Some(0.0));
    let (chosen, tally) = crossed(&scores, |name| name == "a" || name == "c");
    assert_eq!(
        (chosen, tally.overlap.f1()),
        (["p", "p"].map(str::to_owned), Some(1.0))
    );
    // Of the families of `a` and `c`, and of `b` and `d`, each has its own best.
    let family = |name: &str| Some(if name == "a" || name == "c" { "x" } else { "y" });
    let (chosen, tally) = chosen_on_labels(&scores, ["x", "y"], family);
    assert_eq!(
        (chosen, tally.overlap.f1()),
        (vec!["p".to_owned(), "q".to_owned()], Some(1.0))
    );
    let (chosen, tally) = chosen_on_labels(&scores, ["y"], family);
    assert_eq!((chosen.len(), tally.overlap.true_positive), (1, 2));
}
