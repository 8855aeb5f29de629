//! What labels are of, and what a detector says of it.
//!
//! Labels that name a series are of that series. Labels that name a file are of the file, which is often a machine with a series a
//! metric: whoever is paged for it does not care which of them spoke. So the file is judged as one. It is flagged with the
//! highest score of its series, its level is the highest of theirs, and their alerts are one where they overlap. What a person
//! counts stays a matter of each series: alerts a day, and the share of time in alert.

use types::Timestamp;

use super::corpus::LabelledFile;
use super::stream::{self, Detections, Series};

/// A series, or all series of a file: what is to be found in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subject {
    /// The file's path below the folder.
    pub file: String,
    /// The file's first folder.
    pub family: String,
    /// The file's number among the labelled ones, from 1 on, is odd.
    pub odd: bool,
    /// How many series it is made of.
    pub series: usize,
    /// Times of their samples, ascending; of several series each time once.
    pub rows: Vec<Timestamp>,
    /// Length of a bucket (milliseconds), the shortest of its series; `None` when none became known.
    pub interval: Option<i64>,
    /// Known anomalies, both ends included, ascending and apart.
    pub windows: Vec<(Timestamp, Timestamp)>,
    /// Nothing before this is judged.
    pub from: Timestamp,
}

/// What a detector said of a subject.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Rows by position and their scores, ascending; a row that is not listed has a score of 0.
    pub scores: Vec<(usize, f64)>,
    /// A level a row.
    pub levels: Vec<f64>,
    /// By series: when an alert fired and when it was resolved.
    pub alerts: Vec<Vec<(Timestamp, Option<Timestamp>)>>,
}

/// What is judged in a file, each with the positions of its series in `series`.
pub(super) fn subjects(file: &LabelledFile, series: &[Series]) -> Vec<(Subject, std::ops::Range<usize>)> {
    let of = |range: std::ops::Range<usize>| {
        let members = &series[range.clone()];
        let mut rows: Vec<Timestamp> = members
            .iter()
            .flat_map(|s| s.samples.iter().map(|(t, _)| *t))
            .collect();
        rows.sort_unstable();
        if members.len() > 1 {
            rows.dedup();
        }
        let windows: Vec<_> = members.iter().flat_map(|s| s.windows.iter().copied()).collect();
        let subject = Subject {
            file: file.name.clone(),
            family: file.family.clone(),
            odd: file.odd,
            series: members.len(),
            rows,
            interval: members.iter().filter_map(|s| s.interval).min(),
            windows: stream::apart(&windows),
            from: members[0].from,
        };
        (subject, range)
    };
    match series {
        [first, ..] if first.whole => vec![of(0..series.len())],
        _ => (0..series.len()).map(|at| of(at..at + 1)).collect(),
    }
}

impl Verdict {
    /// What was said of a subject's series, put together.
    #[must_use]
    pub fn new(subject: &Subject, said: &[Detections]) -> Self {
        let mut scores: Vec<_> = said.iter().flat_map(|d| d.scores.iter().copied()).collect();
        scores.sort_by_key(|(at, _)| *at);
        let mut levels = vec![0.0; subject.rows.len()];
        said.iter()
            .for_each(|one| raise(&mut levels, &subject.rows, &one.levels));
        Self {
            scores: on_rows(&subject.rows, &scores),
            levels,
            alerts: said.iter().map(|d| d.alerts.clone()).collect(),
        }
    }
}

/// Puts each score on the first row not before the time at which it existed, the highest where there are several; what existed
/// only after the last row comes too late.
fn on_rows(rows: &[Timestamp], scores: &[(Timestamp, f64)]) -> Vec<(usize, f64)> {
    let mut out: Vec<(usize, f64)> = Vec::new();
    for &(at, score) in scores {
        let row = rows.partition_point(|t| *t < at);
        match out.last_mut() {
            Some(last) if last.0 == row => last.1 = last.1.max(score),
            _ if row < rows.len() => out.push((row, score)),
            _ => {}
        }
    }
    out
}

/// Raises the level of each row to what one series says there: the highest that is new since the row before, else what stands.
fn raise(levels: &mut [f64], rows: &[Timestamp], own: &[(Timestamp, f64)]) {
    let mut coming = own.iter().peekable();
    let mut standing = 0.0;
    for (level, row) in levels.iter_mut().zip(rows) {
        let mut new: Option<f64> = None;
        while let Some((_, value)) = coming.next_if(|(at, _)| at <= row) {
            new = Some(new.map_or(*value, |so_far| so_far.max(*value)));
        }
        standing = new.unwrap_or(standing);
        *level = level.max(standing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(n: i64) -> Timestamp {
        Timestamp::from_millis(n * 60_000)
    }

    #[test]
    fn a_score_counts_on_the_first_row_that_knew_it() {
        let rows: Vec<Timestamp> = (0..10).map(minute).collect();
        let after = Timestamp::from_millis(61_000);
        let scores = [
            (minute(1), 1.0),
            (after, 3.0),
            (minute(2), 2.0),
            (minute(10), 9.0),
        ];
        assert_eq!(on_rows(&rows, &scores), [(1, 1.0), (2, 3.0)]);
    }

    #[test]
    fn a_level_stands_until_the_next() {
        let rows: Vec<Timestamp> = (0..6).map(minute).collect();
        let mut levels = vec![0.0, 0.0, 0.0, 2.0, 0.0, 0.0];
        let after = Timestamp::from_millis(61_000);
        raise(
            &mut levels,
            &rows,
            &[(minute(1), 1.0), (after, 3.0), (minute(2), 0.5), (minute(5), 0.0)],
        );
        assert_eq!(levels, [0.0, 1.0, 3.0, 3.0, 3.0, 0.0]);
    }

    #[test]
    fn a_file_that_is_labelled_is_one_and_labelled_series_are_many() {
        let file = LabelledFile {
            path: "f/a.csv".into(),
            name: "f/a.csv".to_owned(),
            family: "f".to_owned(),
            odd: true,
        };
        let series = |times: &[i64], windows: &[(i64, i64)], whole| Series {
            file: file.name.clone(),
            family: file.family.clone(),
            series: types::SeriesKey::from_name("x").unwrap(),
            buckets: Vec::new(),
            interval: None,
            from: Timestamp::default(),
            samples: times.iter().map(|t| (minute(*t), 1.0)).collect(),
            windows: windows.iter().map(|(a, b)| (minute(*a), minute(*b))).collect(),
            whole,
        };
        let two = |whole| {
            [
                series(&[2, 1, 1], &[(1, 2)], whole),
                series(&[2, 3], &[(2, 3)], whole),
            ]
        };
        let apart = subjects(&file, &two(false));
        assert_eq!((apart.len(), &apart[1].1, apart[0].0.series), (2, &(1..2), 1));
        // Two samples of one time are two rows of a series.
        assert_eq!(apart[0].0.rows, [minute(1), minute(1), minute(2)]);
        let together = subjects(&file, &two(true));
        let (one, members) = &together[0];
        assert_eq!((together.len(), members, one.series), (1, &(0..2), 2));
        assert_eq!(one.rows, [minute(1), minute(2), minute(3)]);
        assert_eq!(one.windows, [(minute(1), minute(3))]);
        let said = [(2, 1.0, 0.4), (2, 5.0, 0.3)].map(|(t, score, level)| Detections {
            scores: vec![(minute(t), score)],
            levels: vec![(minute(t), level)],
            alerts: vec![(minute(t), None)],
        });
        let verdict = Verdict::new(one, &said);
        assert_eq!(verdict.scores, [(1, 5.0)]);
        assert_eq!(verdict.levels, [0.0, 0.4, 0.4]);
        assert_eq!(verdict.alerts.len(), 2);
    }
}
