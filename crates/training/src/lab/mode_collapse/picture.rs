//! The pictures: the density of the data in blue, that of the samples in green.

use std::fmt::Write as _;

use super::look::Look;
use super::peaks::{self, AXIS, BINS};
use super::{Job, Loss, SAMPLES};
use crate::plot::{self, Curve, Panel, Run, Scale};

pub(super) const DATA: &str = "#1f6fb4";
pub(super) const GENERATED: &str = "#2a9d3c";

/// A cell of the grid, the gap between two, and the room left of and above them.
const CELL: [f64; 2] = [168.0, 96.0];
const GAP: f64 = 10.0;
const LEFT: f64 = 108.0;
const TOP: f64 = 92.0;

/// The highest density that is drawn: collapsed peaks are higher, and cut.
const HIGHEST: f64 = 1.0;

/// Cells a row, over time.
const MOMENTS: usize = 7;

/// Both GANs of one seed, from the start to the end.
pub(super) fn over_time(looks: &[Look], seed: u64) -> String {
    let rows = Loss::ALL.map(|loss| {
        let own: Vec<&Look> = looks
            .iter()
            .filter(|l| l.seed == seed && l.loss == loss)
            .collect();
        let last = own.len().saturating_sub(1);
        let moments = MOMENTS.min(own.len());
        let picked = (0..moments).map(|k| own[k * last / (moments - 1).max(1)]);
        (
            loss.name().to_owned(),
            picked.map(|look| (format!("step {}", look.step), look)).collect(),
        )
    });
    grid(&format!("Two peaks, seed {seed}: over time"), &rows)
}

/// All seeds at the end, five a row.
pub(super) fn at_the_end(looks: &[Look], steps: usize) -> String {
    let rows: Vec<_> = Loss::ALL
        .iter()
        .flat_map(|loss| {
            let own: Vec<&Look> = looks
                .iter()
                .filter(|l| l.loss == *loss && l.step == steps)
                .collect();
            let rows = own.chunks(5).map(|row| {
                let cells = row.iter().map(|look| {
                    let both = if look.found.covers_both() {
                        "both"
                    } else {
                        "collapsed"
                    };
                    (format!("seed {}: {both}", look.seed), *look)
                });
                (loss.name().to_owned(), cells.collect())
            });
            rows.collect::<Vec<_>>()
        })
        .collect();
    grid(&format!("Two peaks after {steps} steps, each seed"), &rows)
}

/// Cells by rows, each row with its name and each cell with a word.
fn grid(title: &str, rows: &[(String, Vec<(String, &Look)>)]) -> String {
    let columns = rows.iter().map(|row| row.1.len()).max().unwrap_or(0);
    let width = LEFT + (CELL[0] + GAP) * columns as f64 + GAP;
    let height = TOP + (CELL[1] + 2.0 * GAP + 14.0) * rows.len() as f64;
    let mut out = head([width, height], title);
    // Writing to a String cannot fail.
    for (number, (name, cells)) in rows.iter().enumerate() {
        let y = TOP + (CELL[1] + 2.0 * GAP + 14.0) * number as f64;
        let _ = writeln!(
            out,
            "<text x=\"16\" y=\"{:.1}\" font-weight=\"600\">{name}</text>",
            y + CELL[1] / 2.0
        );
        for (column, (word, look)) in cells.iter().enumerate() {
            let x = LEFT + (CELL[0] + GAP) * column as f64;
            cell([x, y], word, look, &mut out);
        }
    }
    out.push_str("</svg>\n");
    out
}

/// The start of a picture: its size, title and legend.
pub(super) fn head([width, height]: [f64; 2], title: &str) -> String {
    let [from, to] = AXIS;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#333\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"16\" y=\"30\" font-size=\"20\" font-weight=\"600\" fill=\"#111\">{title}</text>\n\
         <rect x=\"16\" y=\"43\" width=\"14\" height=\"9\" fill=\"{DATA}\"/><text x=\"35\" y=\"52\">data</text>\
         <rect x=\"82\" y=\"43\" width=\"14\" height=\"9\" fill=\"{GENERATED}\"/>\
         <text x=\"101\" y=\"52\">generated, from {from} to {to}</text>\n"
    )
}

fn cell([x, y]: [f64; 2], word: &str, look: &Look, out: &mut String) {
    let bottom = y + CELL[1];
    let width = (AXIS[1] - AXIS[0]) / BINS as f64;
    let point = |at: f64, density: f64| {
        let across = x + CELL[0] * (at - AXIS[0]) / (AXIS[1] - AXIS[0]);
        format!(
            "L{across:.1} {:.1}",
            bottom - CELL[1] * (density / HIGHEST).min(1.0)
        )
    };
    let centre = |bin: usize| AXIS[0] + (bin as f64 + 0.5) * width;
    let data: String = (0..4 * BINS)
        .map(|k| AXIS[0] + (k as f64 + 0.5) * width / 4.0)
        .map(|at| point(at, peaks::density(at)))
        .collect();
    let bins = look.found.bins.iter().enumerate();
    let generated: String = bins
        .map(|(bin, &count)| point(centre(bin), f64::from(count) / (SAMPLES as f64 * width)))
        .collect();
    let right = x + CELL[0];
    let _ = write!(
        out,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{}\" height=\"{}\" fill=\"#f8f8f8\"/>\
         <text x=\"{x:.1}\" y=\"{:.1}\" fill=\"#666\">{word}</text>",
        CELL[0],
        CELL[1],
        y - 5.0
    );
    for (path, colour) in [(data, DATA), (generated, GENERATED)] {
        let _ = writeln!(
            out,
            "<path d=\"M{x:.1} {bottom:.1}{path}L{right:.1} {bottom:.1}Z\" fill=\"{colour}\" fill-opacity=\"0.35\" \
             stroke=\"{colour}\" stroke-width=\"1.3\" stroke-linejoin=\"round\"/>"
        );
    }
}

/// The collapse measure, the share at the peaks and the distance.
pub(super) fn measures(looks: &[Look], job: &Job) -> String {
    let mean = |loss: Loss, value: &dyn Fn(&Look) -> f64| {
        let first = looks.iter().filter(|l| l.loss == loss && l.seed == job.seed);
        let points = first.map(|look| {
            let same = looks.iter().filter(|l| l.loss == loss && l.step == look.step);
            let values: Vec<f64> = same.map(value).collect();
            (look.step as f64, values.iter().sum::<f64>() / values.len() as f64)
        });
        Curve(loss.name(), points.collect())
    };
    let panel = |title, unit, curves, levels| Panel {
        title,
        unit,
        scale: Scale::Linear,
        curves,
        levels,
    };
    let lesser = |look: &Look| look.found.lesser();
    let panels = [
        panel(
            "Share of the lesser peak",
            "collapse measure, mean of the seeds",
            Loss::ALL.map(|loss| mean(loss, &lesser)).into(),
            vec![(0.0, ""), (peaks::COVERED, "covered from here on"), (0.5, "data")],
        ),
        panel(
            "Share at either peak",
            "mean",
            Loss::ALL.map(|loss| mean(loss, &|l| l.found.together())).into(),
            vec![(0.0, ""), (peaks::TOGETHER, "needed"), (1.0, "data")],
        ),
        panel(
            "Distance to the data",
            "Wasserstein, mean",
            Loss::ALL.map(|loss| mean(loss, &|l| l.found.distance)).into(),
            vec![(0.0, "")],
        ),
    ];
    let about = format!("{} seeds, {} steps each", job.seeds, job.steps);
    let run = Run {
        warm_up: 0,
        best: None,
        end: job.steps,
    };
    plot::sheet("Mode collapse", &about, run, &panels)
}
