//! Where the marks of the axes stand.

use std::fmt::Write as _;

use types::Timestamp;

use super::chart::{Frame, WIDTH};

const DAY: i64 = 86_400_000;

/// About `n` round values within `[low, high]`.
pub(super) fn ticks(low: f64, high: f64, n: usize) -> Vec<f64> {
    let rough = (high / n as f64 - low / n as f64).max(f64::MIN_POSITIVE);
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .map(|m| m * power)
        .into_iter()
        .find(|s| *s >= rough)
        .unwrap_or(rough);
    let first = (low / step).ceil();
    let count = (high / step).floor() - first;
    if !count.is_finite() || count > 20.0 {
        return vec![low, high];
    }
    (0..=count.max(0.0) as i64)
        .map(|i| (first + i as f64) * step)
        .collect()
}

/// Steps between labels of the time axis that people count in.
const TIME_STEPS: [i64; 20] = [
    1000,
    5000,
    15_000,
    60_000,
    300_000,
    900_000,
    1_800_000,
    3_600_000,
    3 * 3_600_000,
    6 * 3_600_000,
    12 * 3_600_000,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    28 * DAY,
    91 * DAY,
    182 * DAY,
    365 * DAY,
    3652 * DAY,
];

/// Appends the time axis: at most eight round times (UTC), each day named once.
pub(super) fn time(out: &mut String, frame: &Frame) {
    let span = frame.to - frame.from;
    let step = TIME_STEPS
        .into_iter()
        .find(|s| span / s <= 7)
        .unwrap_or(span / 4)
        .max(1);
    out.push_str("<div class=\"x\" aria-hidden=\"true\">");
    let mut at = frame.from + (-frame.from).rem_euclid(step);
    let mut day = String::new();
    while at <= frame.to {
        let text = Timestamp::from_millis(at).to_string();
        let (date, clock) = (&text[..10], &text[11..if step < 60_000 { 19 } else { 16 }]);
        let left = frame.x(at) / WIDTH * 100.0;
        let _ = write!(
            out,
            "<span{} style=\"left:{left:.2}%\">",
            if left > 94.0 { " class=\"end\"" } else { "" }
        );
        let _ = if step >= DAY {
            write!(out, "{date}")
        } else if day == date {
            write!(out, "{clock}")
        } else {
            write!(out, "{clock}<br>{date}")
        };
        out.push_str("</span>");
        day = date.to_owned();
        at += step;
    }
    out.push_str("</div>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(0.0, 10.0, 4), [0.0, 2.5, 5.0, 7.5, 10.0]);
        assert_eq!(ticks(-0.3, 0.9, 4), [0.0, 0.5].map(|v: f64| v));
        assert!(ticks(1e18, 1e18 + 1.0, 4).len() <= 21);
    }
}
