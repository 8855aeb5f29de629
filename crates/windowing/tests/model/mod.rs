//! The rules of the crate in the most obvious form: every sample ever is kept, and every step starts from scratch.

use std::collections::BTreeMap;

use types::{Aggregate, Bucket, Kind, Occurrence, RejectReason, Timestamp};
use windowing::{Closed, WindowSpec};

/// One emitted bucket with all that should be seen when it is taken.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) closed: Closed,
    pub(crate) occurrences: Vec<Occurrence>,
    /// Values and mask of the window that ends with it.
    pub(crate) window: (Vec<f64>, Vec<bool>),
}

/// What the samples say about one bucket, before time of availability.
#[derive(Clone, Debug, PartialEq)]
struct Plain {
    start: i64,
    value: f64,
    filled: bool,
    restarted: bool,
    resets: usize,
}

pub(crate) struct Model {
    spec: WindowSpec,
    pub(crate) interval: Option<i64>,
    samples: BTreeMap<i64, f64>,
    /// Everything before is closed.
    closed_to: i64,
    plain: Vec<Plain>,
    pub(crate) rows: Vec<Row>,
}

impl Model {
    pub(crate) fn new(spec: WindowSpec) -> Self {
        Self {
            interval: spec.interval,
            spec,
            samples: BTreeMap::new(),
            closed_to: i64::MIN,
            plain: Vec::new(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn event_time(&self) -> Option<i64> {
        self.samples.keys().last().copied()
    }

    pub(crate) fn observe(&mut self, time: i64, value: f64) -> Result<Occurrence, RejectReason> {
        if value.is_nan() || value.is_infinite() {
            return Err(RejectReason::NotFinite);
        }
        if time < self.closed_to {
            return Err(RejectReason::Late);
        }
        let duplicate = self.samples.contains_key(&time);
        if let Some(interval) = self.interval {
            let bucket = time.div_euclid(interval);
            let held = self.samples.keys().filter(|t| t.div_euclid(interval) == bucket);
            if !duplicate && held.count() >= self.spec.max_samples_per_bucket {
                return Err(RejectReason::BucketFull);
            }
        }
        self.samples.insert(time, value);
        if self.samples.len() == 17 {
            self.infer();
        }
        let event_time = self.event_time().unwrap();
        self.close(event_time - self.spec.lateness, event_time);
        if duplicate {
            Ok(Occurrence::SampleDuplicate)
        } else {
            Ok(Occurrence::SampleAccepted)
        }
    }

    pub(crate) fn close_idle(&mut self, until: i64) {
        self.close(until - self.spec.lateness, until);
    }

    pub(crate) fn flush(&mut self) {
        self.infer();
        if let Some(event_time) = self.event_time() {
            self.close(i64::MAX, event_time);
        }
    }

    fn infer(&mut self) {
        if self.interval.is_some() || self.samples.len() < 2 {
            return;
        }
        let times: Vec<i64> = self.samples.keys().copied().collect();
        let mut gaps: Vec<i64> = times.windows(2).map(|w| w[1] - w[0]).collect();
        gaps.sort();
        let gap = gaps[(0.25 * gaps.len() as f64).ceil() as usize - 1] as f64;
        let ladder = [
            1, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 14400, 21600, 43200,
            86400,
        ];
        let off = |step: i64| (gap - step as f64 * 1e3).abs() / (step as f64 * 1e3);
        let nearest = ladder
            .into_iter()
            .min_by(|&a, &b| off(a).total_cmp(&off(b)))
            .unwrap();
        self.interval = Some(if off(nearest) <= 0.2 {
            nearest * 1000
        } else if gap < 1000.0 {
            gap as i64
        } else {
            (gap / 1000.0).round() as i64 * 1000
        });
    }

    /// Everything that ends by `horizon` closes at `now`, as far as there are samples.
    fn close(&mut self, horizon: i64, now: i64) {
        let (Some(interval), Some(last)) = (self.interval, self.event_time()) else {
            return;
        };
        let mut end = (last.div_euclid(interval) + 1) * interval;
        while end > horizon {
            end -= interval;
        }
        self.closed_to = self.closed_to.max(end);
        let plain = self.recompute(interval);
        assert_eq!(
            plain[..self.plain.len()],
            self.plain,
            "what was emitted never changes"
        );
        for new in self.plain.len()..plain.len() {
            self.emit(&plain[..=new], now);
        }
        self.plain = plain;
    }

    /// All that can be emitted by now.
    fn recompute(&self, interval: i64) -> Vec<Plain> {
        let mut buckets: BTreeMap<i64, Vec<(i64, f64)>> = BTreeMap::new();
        for (&time, &value) in &self.samples {
            buckets
                .entry(time.div_euclid(interval))
                .or_default()
                .push((time, value));
        }
        let (first, last) = (*buckets.keys().next().unwrap(), *buckets.keys().last().unwrap());
        let closed = |k: i64| (k + 1) * interval <= self.closed_to;
        let mut rows: Vec<Plain> = Vec::new();
        // Samples since the last long silence, and whether buckets were emitted since.
        let mut past: Vec<(i64, f64)> = Vec::new();
        let (mut alive, mut restarted) = (false, false);
        let mut empty = 0;
        for k in first..=last {
            if !closed(k) {
                break;
            }
            let Some(samples) = buckets.get(&k) else {
                empty += 1;
                let next = *buckets.range(k..).next().unwrap().0;
                let previous = *buckets.range(..k).last().unwrap().0;
                if next - previous - 1 <= self.spec.restart_after as i64 {
                    if alive {
                        let value = rows.last().unwrap().value;
                        rows.push(plain(k * interval, value, true));
                    }
                } else if !closed(next) {
                    break;
                }
                continue;
            };
            if empty > self.spec.restart_after {
                restarted |= alive;
                alive = false;
                past.clear();
            }
            empty = 0;
            if let Some((value, resets)) = self.value(&past, samples) {
                let mut row = plain(k * interval, value, false);
                (row.resets, row.restarted) = (resets, restarted);
                rows.push(row);
                (alive, restarted) = (true, false);
            }
            past.extend(samples);
        }
        rows
    }

    fn value(&self, past: &[(i64, f64)], samples: &[(i64, f64)]) -> Option<(f64, usize)> {
        let values: Vec<f64> = samples.iter().map(|s| s.1).collect();
        if self.spec.kind == Kind::Counter {
            let mut points: Vec<(i64, f64)> = past.last().copied().into_iter().collect();
            points.extend(samples);
            if points.len() < 2 {
                return None;
            }
            let (mut increase, mut resets) = (0.0, 0);
            for pair in points.windows(2) {
                if pair[1].1 < pair[0].1 {
                    resets += 1;
                    increase += pair[1].1;
                } else {
                    increase += pair[1].1 - pair[0].1;
                }
            }
            let seconds = (points[points.len() - 1].0 - points[0].0) as f64 / 1000.0;
            return Some((increase / seconds, resets));
        }
        let mut sum = 0.0;
        for value in &values {
            sum += value;
        }
        let mut ordered = values.clone();
        ordered.sort_by(f64::total_cmp);
        let value = match self.spec.aggregate {
            Aggregate::Mean => sum / values.len() as f64,
            Aggregate::Sum => sum,
            Aggregate::Max => ordered[ordered.len() - 1],
            Aggregate::Min => ordered[0],
            Aggregate::Last => values[values.len() - 1],
        };
        Some((value, 0))
    }

    fn emit(&mut self, plain: &[Plain], now: i64) {
        let row = &plain[plain.len() - 1];
        let before = self.rows.last().map(|r| r.closed.available_at.millis());
        let mut occurrences = Vec::new();
        if row.restarted {
            occurrences.push(Occurrence::WindowRestarted);
        }
        for _ in 0..row.resets {
            occurrences.push(Occurrence::CounterReset);
        }
        occurrences.push(if row.filled {
            Occurrence::BucketFilled
        } else {
            Occurrence::BucketClosed
        });
        let window = window(plain, self.spec.window);
        self.rows.push(Row {
            closed: Closed {
                bucket: Bucket {
                    start: Timestamp::from_millis(row.start),
                    value: row.value,
                    filled: row.filled,
                    index: plain.len() as u64 - 1,
                },
                available_at: Timestamp::from_millis(before.map_or(now, |b| b.max(now))),
                restarted: row.restarted,
            },
            occurrences,
            window,
        });
    }
}

/// Values and mask of the window of `length` that ends with the last of `rows`.
fn window(rows: &[Plain], length: usize) -> (Vec<f64>, Vec<bool>) {
    let mut places: Vec<(f64, bool)> = Vec::new();
    let mut has_past = false;
    for row in rows {
        if row.restarted && has_past {
            places.iter_mut().for_each(|(_, filled)| *filled = true);
        } else if row.restarted {
            places.clear();
        }
        places.push((row.value, row.filled));
        if let Some(from) = places.len().checked_sub(length) {
            let known = places[from..].iter().filter(|(_, filled)| !filled).count();
            has_past |= 2 * known >= length;
        }
    }
    let mut sorted: Vec<f64> = places.iter().map(|&(value, _)| value).collect();
    sorted.sort_by(f64::total_cmp);
    while places.len() < length {
        places.insert(0, (sorted[(sorted.len() - 1) / 2], true));
    }
    places.split_off(places.len() - length).into_iter().unzip()
}

fn plain(start: i64, value: f64, filled: bool) -> Plain {
    Plain {
        start,
        value,
        filled,
        restarted: false,
        resets: 0,
    }
}
