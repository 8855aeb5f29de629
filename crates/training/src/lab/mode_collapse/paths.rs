//! Where the samples of one seed lie at every look: time goes to the right, and the darker the green the more samples.

use std::fmt::Write as _;

use super::look::Look;
use super::peaks::{AXIS, BINS, CENTRES, SD};
use super::picture::{DATA, GENERATED, head};
use super::{Job, Loss, SAMPLES};

/// Left end and width of a strip, its height, where the first stands, and from one to the next.
const LEFT: f64 = 108.0;
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 200.0;
const TOP: f64 = 70.0;
const PITCH: f64 = 240.0;

/// Shades of green.
const SHADES: usize = 10;

/// The density of the darkest: the data's at its peaks is two thirds of it.
const DARKEST: f64 = 1.0;

/// Draws both GANs of the first seed.
pub(super) fn draw(looks: &[Look], job: &Job) -> String {
    let size = [LEFT + WIDTH + 20.0, TOP + PITCH * Loss::ALL.len() as f64];
    let title = format!("Two peaks, seed {}: where the samples lie", job.seed);
    let mut out = head(size, &title);
    for (number, loss) in Loss::ALL.into_iter().enumerate() {
        let own = looks.iter().filter(|l| l.seed == job.seed && l.loss == loss);
        let own: Vec<&Look> = own.collect();
        strip(TOP + PITCH * number as f64, loss, &own, &mut out);
    }
    out.push_str("</svg>\n");
    out
}

// Writing to a String cannot fail.
fn strip(top: f64, loss: Loss, looks: &[&Look], out: &mut String) {
    let at = |x: f64| top + HEIGHT * (AXIS[1] - x) / (AXIS[1] - AXIS[0]);
    let _ = writeln!(
        out,
        "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#f8f8f8\"/>\
         <text x=\"16\" y=\"{:.1}\" font-weight=\"600\">{}</text>",
        top + HEIGHT / 2.0,
        loss.name()
    );
    for centre in CENTRES {
        let _ = writeln!(
            out,
            "<rect x=\"{LEFT}\" y=\"{:.1}\" width=\"{WIDTH}\" height=\"{:.1}\" fill=\"{DATA}\" fill-opacity=\"0.2\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"{DATA}\">{centre}</text>",
            at(centre + 2.0 * SD),
            at(centre - 2.0 * SD) - at(centre + 2.0 * SD),
            LEFT - 7.0,
            at(centre) + 4.0
        );
    }
    shades(top, looks, out);
    let steps = looks.last().map_or(0, |look| look.step);
    for (x, anchor, word) in [
        (LEFT, "start", "step 0".to_owned()),
        (LEFT + WIDTH, "end", steps.to_string()),
    ] {
        let _ = writeln!(
            out,
            "<text x=\"{x}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"#666\">{word}</text>",
            top + HEIGHT + 16.0
        );
    }
}

/// A column a look and a cell a bin; cells of the same shade are one path, neighbours one rectangle.
fn shades(top: f64, looks: &[&Look], out: &mut String) {
    let (wide, high) = (WIDTH / looks.len() as f64, HEIGHT / BINS as f64);
    let dense = DARKEST * SAMPLES as f64 * (AXIS[1] - AXIS[0]) / BINS as f64;
    let shade = |count: u32| {
        let share = (f64::from(count) / dense).min(1.0).sqrt();
        (share * SHADES as f64).ceil() as usize
    };
    for level in 1..=SHADES {
        let mut path = String::new();
        for (column, look) in looks.iter().enumerate() {
            let levels: Vec<usize> = look.found.bins.iter().map(|count| shade(*count)).collect();
            let x = LEFT + wide * column as f64;
            let mut bin = 0;
            for run in levels.chunk_by(|a, b| a == b) {
                bin += run.len();
                if run[0] == level {
                    let (y, tall) = (top + HEIGHT - high * bin as f64, high * run.len() as f64);
                    let _ = write!(path, "M{x:.1} {y:.1}h{wide:.1}v{tall:.1}h-{wide:.1}");
                }
            }
        }
        if !path.is_empty() {
            let opacity = 0.95 * level as f64 / SHADES as f64;
            let _ = writeln!(
                out,
                "<path d=\"{path}\" fill=\"{GENERATED}\" fill-opacity=\"{opacity:.2}\"/>"
            );
        }
    }
}
