//! The pictures: drawings in a grid, ink on paper, and curves.

use super::look::{Judged, Kind, Look};
use super::mnist::KINDS;
use super::{Baseline, DIGIT, png};
use crate::plot::{self, Curve, Panel, Run, Scale};

/// Drawings of a grid.
const ROWS: usize = 4;
const COLUMNS: usize = 12;
pub(super) const SHOWN: usize = ROWS * COLUMNS;

/// Pixels between two drawings, and of the line below that shows how far training is.
const GAP: usize = 2;
const LINE: usize = 3;

/// A grid of drawings whose values are in [-1, 1], after a share of the training.
pub(super) fn grid(drawings: &[f32], share: f64) -> Vec<u8> {
    const PAPER: u8 = png::SHADES - 1;
    let width = COLUMNS * (DIGIT.side + GAP) + GAP;
    let height = ROWS * (DIGIT.side + GAP) + GAP + LINE;
    let mut shades = vec![PAPER; width * height];
    for (number, drawing) in drawings.chunks_exact(DIGIT.len()).take(SHOWN).enumerate() {
        let top = GAP + number / COLUMNS * (DIGIT.side + GAP);
        let left = GAP + number % COLUMNS * (DIGIT.side + GAP);
        for (y, row) in drawing.chunks_exact(DIGIT.side).enumerate() {
            let at = (top + y) * width + left;
            for (shade, ink) in shades[at..].iter_mut().zip(row) {
                *shade = (f32::from(PAPER) * (0.5 - 0.5 * ink.clamp(-1.0, 1.0))).round() as u8;
            }
        }
    }
    let reached = (share * width as f64).round() as usize;
    for row in shades[(height - LINE) * width..].chunks_exact_mut(width) {
        row[..reached.min(width)].fill(PAPER / 3);
    }
    png::still(width, &shades)
}

/// What was judged, and the losses; steps are the GAN's, after those of the classifier.
pub(super) fn curves(looks: &[Look], classifier_steps: usize, end: usize, baseline: &Baseline) -> String {
    let at = |look: &Look| look.step.saturating_sub(classifier_steps) as f64;
    let judged = |name, value: &dyn Fn(&Judged) -> f64| {
        let points = looks.iter().filter_map(|look| match &look.kind {
            Kind::Judged(judged) => Some((at(look), value(judged))),
            Kind::Classifier(_) | Kind::Gan(_) => None,
        });
        Curve(name, points.collect())
    };
    let loss = |name, number: usize| {
        let points = looks.iter().filter_map(|look| match &look.kind {
            Kind::Gan(values) => Some((at(look), values[number])),
            Kind::Classifier(_) | Kind::Judged(_) => None,
        });
        Curve(name, points.collect())
    };
    let panel = |title, unit, scale, curves, levels| Panel {
        title,
        unit,
        scale,
        curves,
        levels,
    };
    let of = |judged: &Judged, pick: fn(f64, f64) -> f64| {
        let shares = judged.recognised.iter().copied();
        shares.reduce(pick).unwrap_or_default()
    };
    let panels = [
        panel(
            "Recognised",
            "share of the drawings",
            Scale::Linear,
            vec![judged("", &Judged::total)],
            vec![(0.0, ""), (baseline.recognised, "test digits")],
        ),
        panel(
            "Fréchet distance",
            "to the test digits, classifier's features",
            Scale::Log,
            vec![judged("", &|judged| judged.frechet)],
            vec![(baseline.frechet, "training digits")],
        ),
        panel(
            "Digits",
            "share of the drawings",
            Scale::Linear,
            vec![
                judged("commonest", &|judged| of(judged, f64::max)),
                judged("rarest", &|judged| of(judged, f64::min)),
            ],
            vec![(0.0, ""), (1.0 / KINDS as f64, "all alike")],
        ),
        panel(
            "Losses",
            "cross-entropy",
            Scale::Linear,
            vec![loss("discriminator", 0), loss("generator", 1)],
            vec![(0.0, "")],
        ),
        panel(
            "Taken for a digit",
            "discriminator's probability",
            Scale::Linear,
            vec![loss("digits", 2), loss("drawings", 3)],
            vec![(0.0, ""), (0.5, "cannot tell"), (1.0, "")],
        ),
    ];
    let run = Run {
        warm_up: 0,
        best: None,
        end,
    };
    plot::sheet(
        "Digits, drawn by a DCGAN",
        &format!("{end} steps of the GAN"),
        run,
        &panels,
    )
}
