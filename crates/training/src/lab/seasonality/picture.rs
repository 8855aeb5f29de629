//! The picture: what was and what the nets made of it, the score below, and the span that was found.

use std::fmt::Write as _;

use super::Seen;
use super::series::{self, CHANGE, LEARNED, LEN, PERIOD};

const ACTUAL: &str = "#1f6fb4";
const EXPECTED: &str = "#e08214";
const SCORE: &str = "#c0392b";

/// Left end and width of both charts, and where each stands.
const LEFT: f64 = 24.0;
const WIDTH: f64 = 1032.0;
const VALUES: Field = Field {
    top: 92.0,
    height: 190.0,
};
const SCORES: Field = Field {
    top: 306.0,
    height: 110.0,
};
const SIZE: [f64; 2] = [1080.0, 462.0];

/// Days between two ticks.
const TICK_DAYS: usize = 5;

/// A chart's place on the sheet.
struct Field {
    top: f64,
    height: f64,
}

impl Field {
    /// A line through the values, between the smallest and largest of `range`; interrupted where there is no number.
    fn line(&self, values: &[f64], [low, high]: [f64; 2]) -> String {
        let mut path = String::new();
        let mut pen = 'M';
        for (bucket, value) in values.iter().enumerate() {
            if !value.is_finite() {
                pen = 'M';
                continue;
            }
            let share = (value - low) / (high - low).max(f64::MIN_POSITIVE);
            let y = self.top + self.height * (1.0 - share);
            // Writing to a String cannot fail.
            let _ = write!(path, "{pen}{:.1} {y:.1}", across(bucket));
            pen = 'L';
        }
        path
    }
}

fn across(bucket: usize) -> f64 {
    LEFT + WIDTH * bucket as f64 / LEN as f64
}

/// Smallest and largest number.
fn range<'a>(values: impl Iterator<Item = &'a f64>) -> [f64; 2] {
    let start = [f64::INFINITY, f64::NEG_INFINITY];
    let finite = values.filter(|value| value.is_finite());
    finite.fold(start, |[low, high], value| [low.min(*value), high.max(*value)])
}

/// Draws the series of a seed.
pub(super) fn draw(seed: u64, values: &[f64], seen: &Seen) -> String {
    let [width, height] = SIZE;
    let spans = seen.found.iter().map(|[first, last]| {
        format!(
            "<rect x=\"{:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" fill=\"{SCORE}\" fill-opacity=\"0.13\"/>\n",
            across(*first),
            VALUES.top,
            across(last + 1) - across(*first),
            SCORES.top + SCORES.height - VALUES.top
        )
    });
    let both = range(values.iter().chain(&seen.expected));
    let scores = range(seen.score.iter().chain(&[0.0]));
    let lines = [
        (VALUES.line(values, both), ACTUAL),
        (VALUES.line(&seen.expected, both), EXPECTED),
        (SCORES.line(&seen.score, scores), SCORE),
    ];
    let lines = lines.map(|(path, colour)| {
        format!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.3\" stroke-linejoin=\"round\"/>\n")
    });
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#333\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"30\" font-size=\"20\" font-weight=\"600\" fill=\"#111\">\
         A season that changes, seed {seed}</text>\n{}{}{}{}</svg>\n",
        legend(),
        spans.collect::<String>(),
        lines.concat(),
        marks()
    )
}

fn legend() -> String {
    let entries = [
        (0.0, ACTUAL, "actual"),
        (80.0, EXPECTED, "reconstruction"),
        (210.0, SCORE, "score; shaded: what the published method finds"),
    ];
    let entry = |(x, colour, word): (f64, &str, &str)| {
        let x = LEFT + x;
        let text = x + 22.0;
        format!(
            "<path d=\"M{x} 52h16\" stroke=\"{colour}\" stroke-width=\"3\"/><text x=\"{text}\" y=\"56\">{word}</text>\n"
        )
    };
    entries.map(entry).concat()
}

/// The days below, the end of what was trained on, and the change.
fn marks() -> String {
    let bottom = SCORES.top + SCORES.height;
    let mut out = String::new();
    for day in (0..LEN / PERIOD).step_by(TICK_DAYS) {
        let x = across(day * PERIOD);
        let date = series::time(day * PERIOD).to_string();
        let _ = writeln!(
            out,
            "<path d=\"M{x:.1} {bottom}v5\" stroke=\"#999\"/><text x=\"{x:.1}\" y=\"{}\" fill=\"#666\">{}</text>",
            bottom + 20.0,
            date.split('T').next().unwrap_or_default()
        );
    }
    for (bucket, word) in [(LEARNED, "trained on until here"), (CHANGE, "the season changes")] {
        let x = across(bucket);
        let _ = writeln!(
            out,
            "<path d=\"M{x:.1} {}V{bottom}\" stroke=\"#555\" stroke-dasharray=\"5 4\"/>\
             <text x=\"{:.1}\" y=\"{}\" text-anchor=\"end\" fill=\"#555\">{word}</text>",
            VALUES.top - 14.0,
            x - 5.0,
            VALUES.top - 8.0
        );
    }
    let _ = writeln!(out, "<path d=\"M{LEFT} {bottom}h{WIDTH}\" stroke=\"#999\"/>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_none_are_not_drawn() {
        let values = series::values(0);
        let seen = Seen {
            expected: values.clone(),
            score: vec![f64::NAN; LEN],
            found: vec![[CHANGE, LEN - 1]],
        };
        let svg = draw(0, &values, &seen);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }
}
