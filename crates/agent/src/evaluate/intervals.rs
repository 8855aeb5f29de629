//! Found intervals held against known ones: two confusion matrices, and what follows from them.
//!
//! Intervals are pairs of whole numbers of any unit, both ends included, as in the metrics that publications on TadGAN use.

/// First and last unit of an interval.
pub type Interval = (i64, i64);

/// A confusion matrix without what is rightly left alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Confusion {
    /// Known and found.
    pub true_positive: u64,
    /// Found, not known.
    pub false_positive: u64,
    /// Known, not found.
    pub false_negative: u64,
}

impl Confusion {
    /// Share of what was found that is known; `None` when nothing was found.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        ratio(self.true_positive, self.true_positive + self.false_positive)
    }

    /// Share of what is known that was found; `None` when nothing is known.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        ratio(self.true_positive, self.true_positive + self.false_negative)
    }

    /// Harmonic mean of both; `None` when nothing is known and nothing was found.
    #[must_use]
    pub fn f1(&self) -> Option<f64> {
        let hit = 2 * self.true_positive;
        ratio(hit, hit + self.false_positive + self.false_negative)
    }
}

impl std::ops::AddAssign for Confusion {
    fn add_assign(&mut self, other: Self) {
        self.true_positive += other.true_positive;
        self.false_positive += other.false_positive;
        self.false_negative += other.false_negative;
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Whole events, as Hundman et al. count them: a known interval is found when any found one overlaps it; a found interval that
/// overlaps no known one is false. Neither length nor lateness costs anything.
#[must_use]
pub fn by_overlap(known: &[Interval], found: &[Interval]) -> Confusion {
    let meets = |a: &Interval, others: &[Interval]| others.iter().any(|b| a.0 <= b.1 && b.0 <= a.1);
    let hit = known.iter().filter(|k| meets(k, found)).count() as u64;
    Confusion {
        true_positive: hit,
        false_negative: known.len() as u64 - hit,
        false_positive: found.iter().filter(|f| !meets(f, known)).count() as u64,
    }
}

/// Every unit of the axis counted by itself: long intervals weigh more, and an alert that never ends costs its length.
#[must_use]
pub fn by_length(known: &[Interval], found: &[Interval]) -> Confusion {
    let (known, found) = (merged(known), merged(found));
    let both: u64 = known
        .iter()
        .flat_map(|k| found.iter().map(move |f| common(*k, *f)))
        .sum();
    Confusion {
        true_positive: both,
        false_positive: length(&found) - both,
        false_negative: length(&known) - both,
    }
}

/// The same units as ascending intervals that lie apart.
#[must_use]
pub fn merged(intervals: &[Interval]) -> Vec<Interval> {
    joined(intervals, 0)
}

/// As [`merged`], intervals that start at most `gap` units after the end of another made one with it.
#[must_use]
pub fn joined(intervals: &[Interval], gap: i64) -> Vec<Interval> {
    let mut sorted = intervals.to_vec();
    sorted.sort_unstable();
    let mut out: Vec<Interval> = Vec::new();
    for (start, end) in sorted {
        match out.last_mut() {
            Some(last) if start - gap <= last.1 => last.1 = last.1.max(end),
            _ => out.push((start, end)),
        }
    }
    out
}

/// Units in intervals that lie apart.
#[must_use]
pub fn length(intervals: &[Interval]) -> u64 {
    intervals.iter().map(|i| common(*i, *i)).sum()
}

fn common(a: Interval, b: Interval) -> u64 {
    u64::try_from(a.1.min(b.1) - a.0.max(b.0) + 1).unwrap_or(0)
}

/// A 95 % interval of the pooled F1, by resampling the files with replacement (percentile bootstrap); `None` for fewer than two
/// files or where F1 is undefined. The same seed gives the same interval.
#[must_use]
pub fn f1_interval(files: &[Confusion], seed: u64) -> Option<(f64, f64)> {
    const RESAMPLES: usize = 2000;
    let mut state = seed;
    let mut draw = || {
        let file = (u128::from(splitmix64(&mut state)) * files.len() as u128) >> 64;
        files[file as usize]
    };
    if files.len() < 2 {
        return None;
    }
    let mut scores: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let mut pooled = Confusion::default();
            (0..files.len()).for_each(|_| pooled += draw());
            pooled.f1()
        })
        .collect();
    scores.sort_by(f64::total_cmp);
    let last = scores.len().checked_sub(1)?;
    let at = |share: f64| scores[(share * last as f64).round() as usize];
    Some((at(0.025), at(0.975)))
}

/// Steele, Lea and Flood 2014: the whole of a small seeded generator.
pub(super) fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn confusion(false_positive: u64, false_negative: u64, true_positive: u64) -> Confusion {
        Confusion {
            true_positive,
            false_positive,
            false_negative,
        }
    }

    #[test]
    fn the_reference_s_unit_tests() {
        let known = [(1, 2), (5, 6), (7, 10), (12, 13), (16, 17), (22, 23)];
        let found = [(2, 3), (4, 5), (8, 9), (11, 14), (19, 20), (22, 23)];
        let weighted = by_length(&known, &found);
        assert_eq!(weighted, confusion(6, 6, 8));
        assert_eq!(left_alone(weighted, (1, 23)), 3);
        for value in [weighted.precision(), weighted.recall(), weighted.f1()] {
            assert!((value.unwrap() - 8.0 / 14.0).abs() < 1e-12);
        }
        assert_eq!(by_overlap(&known, &found), confusion(1, 1, 5));
        assert_eq!(by_overlap(&open(&known), &open(&found)), confusion(3, 3, 3));

        let known = [(2, 2), (5, 5), (8, 8), (12, 12), (15, 17), (18, 18)];
        let found = [(2, 2), (3, 5), (8, 10), (11, 13), (16, 16), (20, 20)];
        let weighted = by_length(&known, &found);
        assert_eq!(weighted, confusion(7, 3, 5));
        assert_eq!(left_alone(weighted, (2, 20)), 4);
        assert_eq!(by_overlap(&known, &found), confusion(1, 1, 5));
        assert_eq!(by_overlap(&open(&known), &open(&found)), confusion(4, 4, 2));
    }

    /// Units of the span that are in neither; with those in both they make the reference's accuracy.
    fn left_alone(counts: Confusion, span: Interval) -> u64 {
        length(&[span]) - in_order(counts).iter().sum::<f64>() as u64
    }

    /// The same intervals with their ends left out, in half units: the reference's overlap without its padding of 1.
    fn open(intervals: &[Interval]) -> Vec<Interval> {
        intervals.iter().map(|(a, b)| (2 * a + 1, 2 * b - 1)).collect()
    }

    #[test]
    fn the_reference_s_points() {
        let points = |list: &[i64]| -> Vec<Interval> { list.iter().map(|t| (*t, *t)).collect() };
        let counts = by_length(&points(&[3, 4, 5]), &points(&[4, 6, 7, 8, 12]));
        assert_eq!((left_alone(counts, (3, 12)), counts), (3, confusion(4, 2, 1)));
        let accuracy = (3 + counts.true_positive) as f64 / length(&[(3, 12)]) as f64;
        assert!((accuracy - 0.4).abs() < 1e-12);
        assert_eq!((counts.precision(), counts.f1()), (Some(0.2), Some(0.25)));
        assert!((counts.recall().unwrap() - 1.0 / 3.0).abs() < 1e-12);
        // Where nothing is in both the reference has no F1; here it is the worst one.
        assert_eq!(by_length(&points(&[1]), &points(&[2])).f1(), Some(0.0));
        assert_eq!(joined(&points(&[2, 3, 4, 5, 8, 9]), 1), [(2, 5), (8, 9)]);
    }

    #[test]
    fn the_reference_s_example() {
        let known = [(1_392_768_000, 1_402_423_200)];
        let found = [(1_398_729_600, 1_399_356_000)];
        let weighted = by_length(&known, &found);
        assert!((weighted.f1().unwrap() - 0.122).abs() < 5e-4);
        let span = (1_222_819_200, 1_442_016_000);
        let right = left_alone(weighted, span) + weighted.true_positive;
        assert!((right as f64 / length(&[span]) as f64 - 0.959).abs() < 5e-4);
        assert_eq!(by_overlap(&known, &found).f1(), Some(1.0));
    }

    #[test]
    fn what_is_undefined_is_absent() {
        let nothing = by_overlap(&[], &[]);
        assert_eq!(
            (nothing.precision(), nothing.recall(), nothing.f1()),
            (None, None, None)
        );
        let missed = by_overlap(&[(1, 2)], &[]);
        assert_eq!(
            (missed.precision(), missed.recall(), missed.f1()),
            (None, Some(0.0), Some(0.0))
        );
    }

    #[test]
    fn intervals_that_touch_are_one() {
        assert_eq!(merged(&[(5, 9), (1, 3), (2, 5), (11, 12)]), [(1, 9), (11, 12)]);
        assert_eq!(length(&[(1, 9), (11, 12)]), 11);
    }

    #[test]
    fn the_bootstrap_holds_the_pooled_score_and_repeats_itself() {
        let files: Vec<Confusion> = (0..20).map(|i| confusion(i % 3, i % 2, 2 + i % 4)).collect();
        let mut pooled = Confusion::default();
        files.iter().for_each(|f| pooled += *f);
        let (low, high) = f1_interval(&files, 1).unwrap();
        let f1 = pooled.f1().unwrap();
        assert!(low < f1 && f1 < high && high - low < 0.3, "{low} {f1} {high}");
        assert_eq!(f1_interval(&files, 1), Some((low, high)));
        assert_eq!(f1_interval(&files[..1], 1), None);
        assert_eq!(f1_interval(&[confusion(0, 0, 3); 4], 1), Some((1.0, 1.0)));
        assert_eq!(f1_interval(&[Confusion::default(); 4], 1), None);
    }

    /// Forty random pairs that the reference implementation judged.
    #[test]
    fn the_reference_s_confusion_matrices() {
        let Some(data) = std::env::var_os("AGENT_REFERENCE_DATA") else {
            println!(
                "SKIPPED: the_reference_s_confusion_matrices: set AGENT_REFERENCE_DATA to the folder with the reference data"
            );
            return;
        };
        let text = std::fs::read_to_string(Path::new(&data).join("parity/vectors.json")).unwrap();
        let vectors: serde_json::Value = serde_json::from_str(&text).unwrap();
        let cases = vectors["contextual"].as_array().unwrap();
        assert_eq!(cases.len(), 40);
        for case in cases {
            let list = |key: &str| -> Vec<Interval> { serde_json::from_value(case[key].clone()).unwrap() };
            let numbers = |key: &str| -> Vec<f64> { serde_json::from_value(case[key].clone()).unwrap() };
            let (known, found) = (list("expected"), list("observed"));
            let overlap = by_overlap(&known, &found);
            assert_eq!(numbers("overlap_fp_fn_tp"), in_order(overlap), "{case}");
            let weighted = by_length(&known, &found);
            let [fp, fn_, tp] = in_order(weighted);
            let span = case["end"].as_f64().unwrap() - case["start"].as_f64().unwrap();
            let whole = [span - fp - fn_ - tp, fp, fn_, tp];
            assert_eq!(numbers("weighted_tn_fp_fn_tp"), whole, "{case}");
        }
    }

    fn in_order(c: Confusion) -> [f64; 3] {
        [c.false_positive, c.false_negative, c.true_positive].map(|n| n as f64)
    }
}
