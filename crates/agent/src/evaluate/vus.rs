//! VUS-PR: the volume under the surface of precision and recall over buffers of 0 to [`BUFFER`] rows around the labels.
//!
//! Paparrizos, Boniol, Palpanas, Tsay, Elmore and Franklin 2022, *Volume Under the Surface*, as TSB-AD computes it
//! (`RangeAUC_volume_opt`). For a buffer of `l` rows a labelled segment of rows `s..=e` is worth 1 a row, and the `l / 2` rows
//! (rounded down) on either side `sqrt(1 - d / l)`, `d` being the distance to `e` or `s`; where buffers overlap their worths add, to
//! 1 at most. Segments whose buffers meet are one. Rows are flagged in the order of their scores; after each distinct score
//!
//! ```text
//! hit       = worth of the flagged rows
//! precision = hit / flagged rows
//! recall    = min(1, hit / (labelled rows + worth of the flagged buffer rows / 2)) * share of the segments with a flagged row
//! ```
//!
//! The area is the sum of `precision * (recall - recall before)`, VUS-PR the mean area over all buffers. TSB-AD looks at 250 scores, here
//! it is every one. Its default for the longest buffer, 100 rows, is taken for all files: it depends on no detector and no label.

use super::intervals::{self, Interval};

/// The longest buffer (rows).
pub const BUFFER: usize = 100;

/// VUS-PR in [0, 1] of one score a row, rows being labelled that lie in `windows` (first and last row, in `levels`); `None` where no
/// row is labelled.
#[must_use]
pub fn vus_pr(levels: &[f64], windows: &[(usize, usize)], longest: usize) -> Option<f64> {
    let segments: Vec<Interval> = windows.iter().map(|(s, e)| (*s as i64, *e as i64)).collect();
    // Windows that touch are one run of labelled rows.
    let segments = intervals::joined(&segments, 1);
    if segments.is_empty() {
        return None;
    }
    let near = Near::new(levels, &segments, longest as i64 / 2);
    let areas = (0..=longest as i64).map(|buffer| near.area(&segments, buffer));
    Some(areas.sum::<f64>() / (longest + 1) as f64)
}

/// The rows that the longest buffer reaches: only these can be worth anything.
struct Near {
    /// The rows, ascending.
    rows: Vec<i64>,
    /// Positions in `rows` from the highest score to the lowest, with the rows of the whole series that score at least as much.
    ranked: Vec<(usize, u64)>,
    labelled: f64,
}

impl Near {
    fn new(levels: &[f64], segments: &[Interval], reach: i64) -> Self {
        let last = levels.len() as i64 - 1;
        let around = segments
            .iter()
            .map(|(s, e)| ((s - reach).max(0), (e + reach).min(last)));
        let around = intervals::joined(&around.collect::<Vec<_>>(), 1);
        let rows: Vec<i64> = around.iter().flat_map(|(a, b)| *a..=*b).collect();
        let mut sorted = levels.to_vec();
        sorted.sort_by(f64::total_cmp);
        let mut ranked: Vec<(usize, u64)> = rows
            .iter()
            .enumerate()
            .map(|(at, row)| {
                let level = levels[*row as usize];
                let below = sorted.partition_point(|other| other.total_cmp(&level).is_lt());
                (at, (levels.len() - below) as u64)
            })
            .collect();
        ranked.sort_by_key(|(_, flagged)| *flagged);
        Self {
            rows,
            ranked,
            labelled: intervals::length(segments) as f64,
        }
    }

    /// Area under precision and recall for one buffer.
    fn area(&self, segments: &[Interval], buffer: i64) -> f64 {
        let (worth, event, events) = self.extended(segments, buffer);
        let (mut labelled, mut buffered, mut found) = (0_u64, 0.0, vec![false; events]);
        let (mut hit_events, mut recall, mut area) = (0_u64, 0.0, 0.0);
        for flagged in self.ranked.chunk_by(|a, b| a.1 == b.1) {
            for &(at, _) in flagged {
                let Some(event) = event[at] else { continue };
                match worth[at] {
                    None => labelled += 1,
                    Some(part) => buffered += part,
                }
                hit_events += u64::from(!std::mem::replace(&mut found[event], true));
            }
            let hit = labelled as f64 + buffered;
            let share = (hit / (self.labelled + buffered / 2.0)).min(1.0);
            let now = share * hit_events as f64 / events as f64;
            area += (now - recall) * hit / flagged[0].1 as f64;
            recall = now;
        }
        area
    }

    /// What each row is worth with this buffer (`None` for a labelled one), which event it belongs to, and how many those are.
    fn extended(&self, segments: &[Interval], buffer: i64) -> (Vec<Option<f64>>, Vec<Option<usize>>, usize) {
        let half = buffer / 2;
        let (mut worth, mut event) = (vec![Some(0.0); self.rows.len()], vec![None; self.rows.len()]);
        let mut events = 0;
        for (at, &(start, end)) in segments.iter().enumerate() {
            let meets = at > 0 && start - half <= segments[at - 1].1 + half;
            events += usize::from(!meets);
            let first = self.rows.partition_point(|row| *row < start - half);
            for (at, &row) in self.rows.iter().enumerate().skip(first) {
                if row > end + half {
                    break;
                }
                event[at] = Some(events - 1);
                let distance = (start - row).max(row - end);
                if distance <= 0 {
                    worth[at] = None;
                } else if let Some(so_far) = &mut worth[at] {
                    *so_far = f64::min(1.0, *so_far + (1.0 - distance as f64 / buffer as f64).sqrt());
                }
            }
        }
        (worth, event, events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TSB-AD's arrays, one threshold at a time: as slow and as plain as it is written down.
    fn plainly(levels: &[f64], windows: &[(usize, usize)], longest: usize) -> f64 {
        let n = levels.len();
        let mut label = vec![0.0; n];
        windows.iter().for_each(|&(s, e)| label[s..=e].fill(1.0));
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for (row, known) in label.iter().enumerate().map(|(row, l)| (row, *l == 1.0)) {
            match runs.last_mut() {
                Some(last) if known && last.1 + 1 == row => last.1 = row,
                _ if known => runs.push((row, row)),
                _ => {}
            }
        }
        let labelled: f64 = label.iter().sum();
        let mut thresholds = levels.to_vec();
        thresholds.sort_by(|a, b| b.total_cmp(a));
        thresholds.dedup();
        let mut volume = 0.0;
        for l in 0..=longest {
            let mut extended = label.clone();
            let mut events: Vec<(usize, usize)> = Vec::new();
            for &(s, e) in &runs {
                let (from, to) = (s.saturating_sub(l / 2), (e + l / 2).min(n - 1));
                (from..s).for_each(|x| extended[x] += (1.0 - (s - x) as f64 / l as f64).sqrt());
                (e + 1..=to).for_each(|x| extended[x] += (1.0 - (x - e) as f64 / l as f64).sqrt());
                match events.last_mut() {
                    // Before they are cut at the ends of the series.
                    Some(last) if s as i64 - (l / 2) as i64 <= (last.1 + l / 2) as i64 => last.1 = e,
                    _ => events.push((s, e)),
                }
            }
            extended.iter_mut().for_each(|x| *x = x.min(1.0));
            let mut before = 0.0;
            for threshold in &thresholds {
                let flagged = |x: usize| levels[x] >= *threshold;
                let hit: f64 = (0..n).filter(|x| flagged(*x)).map(|x| extended[x]).sum();
                let known: f64 = (0..n)
                    .map(|x| match (label[x] == 1.0, flagged(x)) {
                        (true, _) => 1.0,
                        (false, true) => extended[x],
                        (false, false) => 0.0,
                    })
                    .sum();
                let found = |&&(s, e): &&(usize, usize)| {
                    (s.saturating_sub(l / 2)..=(e + l / 2).min(n - 1)).any(flagged)
                };
                let share = events.iter().filter(found).count() as f64 / events.len() as f64;
                let recall = (hit / ((labelled + known) / 2.0)).min(1.0) * share;
                volume += (recall - before) * hit / (0..n).filter(|x| flagged(*x)).count() as f64;
                before = recall;
            }
        }
        volume / (longest + 1) as f64
    }

    #[test]
    fn it_is_what_the_plain_sums_say() {
        let mut state = 7_u64;
        let mut draw = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for case in 0..60 {
            let n = 20 + draw(60) as usize;
            // Few distinct scores in every other case, so that many are equal.
            let kinds = if case % 2 == 0 { 5 } else { 1_000_000 };
            let levels: Vec<f64> = (0..n).map(|_| draw(kinds) as f64).collect();
            let mut windows = Vec::new();
            let mut row = draw(8) as usize;
            while row < n {
                let end = (row + draw(6) as usize).min(n - 1);
                windows.push((row, end));
                row = end + 1 + draw(20) as usize;
            }
            let longest = draw(14) as usize;
            let expected = plainly(&levels, &windows, longest);
            let got = vus_pr(&levels, &windows, longest).unwrap();
            assert!((got - expected).abs() < 1e-12, "{case}: {got} {expected}");
        }
    }

    /// By hand. Without a buffer it is the average precision, times the share of segments found.
    #[test]
    fn areas_by_hand() {
        let vus =
            |levels: &[f64], windows: &[(usize, usize)], longest| vus_pr(levels, windows, longest).unwrap();
        assert_eq!(vus(&[0.0, 3.0, 2.0, 0.0], &[(1, 2)], 0), 1.0);
        // Flagged in the order 1 (labelled), 0 (not), 2 (labelled): half of the recall at precision 1, half at 2/3.
        assert!((vus(&[2.0, 3.0, 1.0, 0.0], &[(1, 2)], 0) - (0.5 + 0.5 * 2.0 / 3.0)).abs() < 1e-12);
        // Nothing stands out: everything is flagged at once.
        assert_eq!(vus(&[0.0; 8], &[(1, 2)], 0), 0.25);
        // Two segments, one row each: the first alone is half of the rows and half of the segments.
        let two = vus(&[3.0, 0.0, 2.0, 1.0], &[(0, 0), (2, 2)], 0);
        assert!((two - (0.25 + 0.75)).abs() < 1e-12);
        // A row beside the label: with a buffer of 2 rows it is worth sqrt(1/2) of one. Buffers 0 and 1 reach nobody.
        let beside = vus(&[0.0, 9.0, 1.0, 0.0], &[(2, 2)], 2);
        let w = 0.5_f64.sqrt();
        let first = w / (1.0 + w / 2.0);
        let with_two = first * w + (1.0 - first) * (w + 1.0) / 2.0;
        assert!((beside - (0.5 + 0.5 + with_two) / 3.0).abs() < 1e-12, "{beside}");
    }

    #[test]
    fn nothing_labelled_is_nothing_to_measure() {
        assert_eq!(vus_pr(&[1.0, 2.0], &[], 10), None);
    }
}
