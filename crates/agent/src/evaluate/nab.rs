//! The score of the Numenta Anomaly Benchmark (NAB), by the rules of its board.
//!
//! A series is a list of rows, each with a score; a row is flagged when its score reaches the threshold. A flagged row inside a
//! labelled window is worth `s(p) / s(-1)` with `s(p) = 2 / (1 + exp(5 p)) - 1` and `p = -(right - i + 1) / width`, where `i` is
//! the row, `right` the last row of the window and `width` its number of rows: close to 1 at the window's first row, 0 past its
//! last. A window gets the best of its rows once, or loses `fn_weight` when none is flagged. Each flagged row outside every window
//! costs `fp_weight` times `s((i - right) / (width - 1))` for the window before it: little just behind a window, 1 from three
//! widths on or where there is none before. The first 15 % of the rows (at most 750) are probationary and do not count. The sum
//! over all series is put on a scale where a detector that never flags has 0 and one that flags each window's start alone has 100.

/// What an application loses by a false alert and by a missed window; a window found at its start is worth 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// The board's name of it.
    pub name: &'static str,
    /// Cost of a flagged row far from every window.
    pub fp_weight: f64,
    /// Cost of a missed window.
    pub fn_weight: f64,
}

/// The board's three profiles.
pub const PROFILES: [Profile; 3] = [
    Profile {
        name: "standard",
        fp_weight: 0.11,
        fn_weight: 1.0,
    },
    Profile {
        name: "reward_low_FP_rate",
        fp_weight: 0.22,
        fn_weight: 1.0,
    },
    Profile {
        name: "reward_low_FN_rate",
        fp_weight: 0.11,
        fn_weight: 2.0,
    },
];

/// Where a row is that a detector may flag.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// In this window of the corpus.
    Inside(usize),
    /// In none.
    Outside,
}

/// Flaggable rows of many series, gathered by [`Corpus::add`].
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    windows: usize,
    /// Score, place and worth of each row with a positive score.
    rows: Vec<(f64, Place, f64)>,
}

/// The NAB score of a corpus in one profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// A row is flagged when its score is at least this; infinite when nothing is best flagged.
    pub threshold: f64,
    /// 0 for a detector that never flags, 100 for a perfect one.
    pub score: f64,
}

/// First row that is not probationary in a series of `rows` rows.
#[must_use]
pub fn probation(rows: usize) -> usize {
    (rows * 15 / 100).min(750)
}

impl Corpus {
    /// Adds one series.
    ///
    /// `windows` are first and last row of the labelled windows, ascending and apart; `scores` are rows with their scores,
    /// ascending, each row once. A row without a score, or with one that is not positive, is never flagged. Rows before
    /// `first_judged` do not count, nor do windows that lie before it as a whole.
    pub fn add(&mut self, windows: &[(usize, usize)], scores: &[(usize, f64)], first_judged: usize) {
        let names: Vec<Option<usize>> = windows
            .iter()
            .map(|(_, right)| (*right >= first_judged).then(|| next(&mut self.windows)))
            .collect();
        for &(row, score) in scores {
            if row < first_judged || score.is_nan() || score <= 0.0 {
                continue;
            }
            // The first window that does not end before the row: the one it lies in, if any.
            let at = windows.partition_point(|(_, right)| *right < row);
            let entry = match (windows.get(at), names.get(at)) {
                (Some(&(left, right)), Some(Some(name))) if left <= row => {
                    let position = -((right - row + 1) as f64) / (right - left + 1) as f64;
                    (score, Place::Inside(*name), sigmoid(position) / sigmoid(-1.0))
                }
                _ => {
                    let before = at.checked_sub(1).and_then(|i| windows.get(i));
                    (score, Place::Outside, before.map_or(-1.0, |w| past(*w, row)))
                }
            };
            self.rows.push(entry);
        }
    }

    /// Windows that count.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.windows
    }

    /// The score at one threshold; `None` without a window, where there is nothing to put it in relation to.
    #[must_use]
    pub fn at(&self, profile: Profile, threshold: f64) -> Option<f64> {
        let flagged = self.rows.iter().filter(|(score, ..)| *score >= threshold);
        let mut sum = Sum::new(self.windows, profile);
        flagged.for_each(|(_, place, worth)| sum.flag(*place, *worth));
        self.normalise(sum.total, profile)
    }

    /// The best score that a single threshold gives, and that threshold.
    #[must_use]
    pub fn best(&self, profile: Profile) -> Option<Scored> {
        let mut rows = self.rows.clone();
        rows.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut sum = Sum::new(self.windows, profile);
        let mut best = (f64::INFINITY, sum.total);
        for group in rows.chunk_by(|a, b| a.0 == b.0) {
            group
                .iter()
                .for_each(|(_, place, worth)| sum.flag(*place, *worth));
            if sum.total > best.1 {
                best = (group[0].0, sum.total);
            }
        }
        let (threshold, total) = best;
        let score = self.normalise(total, profile)?;
        Some(Scored { threshold, score })
    }

    fn normalise(&self, total: f64, profile: Profile) -> Option<f64> {
        let null = -profile.fn_weight * self.windows as f64;
        let perfect = self.windows as f64;
        (self.windows > 0).then(|| 100.0 * (total - null) / (perfect - null))
    }
}

/// The sum over the corpus as rows are flagged one by one.
struct Sum {
    profile: Profile,
    /// What each window is worth so far.
    windows: Vec<f64>,
    total: f64,
}

impl Sum {
    fn new(windows: usize, profile: Profile) -> Self {
        Self {
            profile,
            windows: vec![-profile.fn_weight; windows],
            total: -profile.fn_weight * windows as f64,
        }
    }

    fn flag(&mut self, place: Place, worth: f64) {
        match place {
            Place::Outside => self.total += self.profile.fp_weight * worth,
            Place::Inside(window) => {
                let so_far = &mut self.windows[window];
                self.total += (worth - *so_far).max(0.0);
                *so_far = so_far.max(worth);
            }
        }
    }
}

fn next(counter: &mut usize) -> usize {
    *counter += 1;
    *counter - 1
}

/// Worth, before weighting, of a flagged row behind a window.
fn past((left, right): (usize, usize), row: usize) -> f64 {
    // A window of one row has no width to measure by: everything behind it is far.
    let widths = (row - right) as f64 / (right - left) as f64;
    if widths >= 3.0 { -1.0 } else { sigmoid(widths) }
}

fn sigmoid(position: f64) -> f64 {
    2.0 / (1.0 + (5.0 * position).exp()) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use ingest::labels::Labels;
    use types::{SeriesKey, Timestamp};

    const STANDARD: Profile = PROFILES[0];

    fn corpus(windows: &[(usize, usize)], scores: &[(usize, f64)]) -> Corpus {
        let mut corpus = Corpus::default();
        corpus.add(windows, scores, 0);
        corpus
    }

    #[test]
    fn the_ends_of_the_scale() {
        let windows = [(10, 19), (40, 49)];
        assert_eq!(corpus(&windows, &[]).at(STANDARD, 0.5), Some(0.0));
        for profile in PROFILES {
            let perfect = corpus(&windows, &[(10, 1.0), (40, 1.0)]);
            assert!((perfect.at(profile, 1.0).unwrap() - 100.0).abs() < 1e-9);
            assert_eq!(perfect.at(profile, 1.1), Some(0.0));
        }
        assert_eq!(corpus(&[], &[(3, 1.0)]).best(STANDARD), None);
    }

    /// By hand: `s(-.5) = .848283640`, `s(-1) = .986614298`, `s(1/9) = -.270847119`.
    #[test]
    fn rows_by_hand() {
        // The sixth of ten rows: five are left, it included.
        let inside = corpus(&[(10, 19)], &[(15, 1.0), (17, 1.0)]);
        let expected = 50.0 * (0.848_283_640 / 0.986_614_298 + 1.0);
        assert!((inside.at(STANDARD, 1.0).unwrap() - expected).abs() < 1e-6);
        let before = corpus(&[(10, 19)], &[(9, 1.0)]);
        assert!((before.at(STANDARD, 1.0).unwrap() + 50.0 * 0.11).abs() < 1e-9);
        let behind = corpus(&[(10, 19)], &[(20, 1.0)]);
        assert!((behind.at(STANDARD, 1.0).unwrap() + 50.0 * 0.11 * 0.270_847_119).abs() < 1e-6);
        let far = corpus(&[(10, 19)], &[(46, 1.0)]);
        assert_eq!(far.at(STANDARD, 1.0), before.at(STANDARD, 1.0));
        let behind_one_row = corpus(&[(10, 10)], &[(11, 1.0)]);
        assert_eq!(behind_one_row.at(STANDARD, 1.0), before.at(STANDARD, 1.0));
    }

    #[test]
    fn probationary_rows_and_windows_do_not_count() {
        assert_eq!(
            (probation(100), probation(4032), probation(20_000)),
            (15, 604, 750)
        );
        let mut corpus = Corpus::default();
        corpus.add(&[(2, 4), (20, 29)], &[(3, 9.0), (7, 9.0), (20, 1.0)], 10);
        assert_eq!(corpus.windows(), 1);
        let best = corpus.best(STANDARD).unwrap();
        assert_eq!(best.threshold, 1.0);
        assert!((best.score - 100.0).abs() < 1e-9);
    }

    #[test]
    fn the_best_threshold_is_the_best_of_all() {
        let scores: Vec<(usize, f64)> = (0..200).map(|i| (i, f64::from((i * 37 % 101) as u32))).collect();
        let corpus = corpus(&[(30, 60), (120, 150)], &scores);
        for profile in PROFILES {
            let best = corpus.best(profile).unwrap();
            let at = |threshold: f64| corpus.at(profile, threshold).unwrap();
            assert!((best.score - at(best.threshold)).abs() < 1e-9);
            let all = (0..=101).map(|t| at(f64::from(t)));
            assert!((all.fold(f64::MIN, f64::max) - best.score).abs() < 1e-9);
        }
    }

    /// Published scores of two detectors on the 26 public files, to the board's own arithmetic.
    #[test]
    fn published_detectors_have_their_published_scores() {
        let Some(data) = std::env::var_os("AGENT_REFERENCE_DATA") else {
            println!(
                "SKIPPED: published_detectors_have_their_published_scores: set AGENT_REFERENCE_DATA to the folder with the \
                 reference data"
            );
            return;
        };
        let data = Path::new(&data);
        let labels = Labels::load(&data.join("nab/labels.json")).unwrap();
        for (detector, expected) in [
            ("numenta", [76.81, 72.19, 80.84]),
            ("randomCutForest", [64.32, 50.86, 70.66]),
        ] {
            let mut corpus = Corpus::default();
            for key in labels.keys() {
                add_published(
                    &mut corpus,
                    &data.join("nab-results").join(detector).join(key),
                    &labels,
                );
            }
            assert_eq!(corpus.windows(), 54);
            for (profile, expected) in PROFILES.into_iter().zip(expected) {
                let score = corpus.best(profile).unwrap().score;
                assert!(
                    (score - expected).abs() < 0.005,
                    "{detector} {}: {score}",
                    profile.name
                );
            }
        }
    }

    fn add_published(corpus: &mut Corpus, file: &Path, labels: &Labels) {
        let series = SeriesKey::from_name("x").unwrap();
        let (mut times, mut scores) = (vec![], vec![]);
        for record in csv::Reader::from_path(file).unwrap().records() {
            let record = record.unwrap();
            scores.push((times.len(), record[1].parse::<f64>().unwrap()));
            times.push(Timestamp::parse(&record[0], None).unwrap());
        }
        let row = |t: Timestamp| times.iter().position(|other| *other == t).unwrap();
        let windows = labels.windows(file, &series);
        let windows: Vec<_> = windows.into_iter().map(|(a, b)| (row(a), row(b))).collect();
        corpus.add(&windows, &scores, probation(times.len()));
    }
}
