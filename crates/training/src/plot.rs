//! `losses.svg`: the epochs of a run as a few small charts, for a browser.

use std::fmt::Write as _;

use crate::course::{Course, Epoch};
use crate::judge::{COLLAPSED, Judge};
use crate::nets::NAMES;

const WIDTH: f64 = 1080.0;
const MARGIN: f64 = 24.0;
const HEAD: f64 = 64.0;
/// Room in a panel for its title and legend, its tick labels below, and those beside it.
const TOP: f64 = 34.0;
const BOTTOM: f64 = 40.0;
const LEFT: f64 = 62.0;
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#b3589a"];

#[derive(Clone, Copy, PartialEq)]
enum Scale {
    Linear,
    Log,
}

/// A curve: name and points.
struct Curve<'a>(&'a str, Vec<(f64, f64)>);

struct Panel<'a> {
    title: &'a str,
    unit: &'a str,
    scale: Scale,
    curves: Vec<Curve<'a>>,
    /// Horizontal lines with a word to each.
    levels: Vec<(f64, &'a str)>,
}

/// Where a panel stands.
#[derive(Clone, Copy)]
struct Place {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// Draws a run that has at least one epoch.
#[must_use]
pub fn draw(name: &str, course: &Course, judge: &Judge) -> String {
    let epochs = course.epochs();
    let (Some(last), Some(best)) = (epochs.last(), course.best()) else {
        return String::new();
    };
    let row = |number: usize| HEAD + 330.0 + 286.0 * number as f64;
    let half = (WIDTH - 3.0 * MARGIN) / 2.0;
    let places = [
        Place {
            x: MARGIN,
            y: HEAD,
            width: WIDTH - 2.0 * MARGIN,
            height: 310.0,
        },
        Place {
            x: MARGIN,
            y: row(0),
            width: half,
            height: 266.0,
        },
        Place {
            x: 2.0 * MARGIN + half,
            y: row(0),
            width: half,
            height: 266.0,
        },
        Place {
            x: MARGIN,
            y: row(1),
            width: half,
            height: 266.0,
        },
        Place {
            x: 2.0 * MARGIN + half,
            y: row(1),
            width: half,
            height: 266.0,
        },
    ];
    let panels = panels(epochs, judge);
    let height = row(panels.len() / 2);
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#333\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{MARGIN}\" y=\"30\" font-size=\"20\" font-weight=\"600\" fill=\"#111\">{name}</text>\n\
         <text x=\"{MARGIN}\" y=\"50\" fill=\"#666\">{} epochs, {} steps; best: held-out error {} at step \
         {}{}</text>\n",
        epochs.len(),
        last.step,
        short(best.measures.held_out_error),
        best.step,
        if judge.has_prior() {
            format!(", diversity {}", short(best.measures.diversity))
        } else {
            String::new()
        },
    );
    let x = Axis {
        scale: Scale::Linear,
        low: 0.0,
        high: last.step as f64,
    };
    for (place, panel) in places.into_iter().zip(panels) {
        panel.draw(place, &x, course.warm_up() as f64, best, &mut out);
    }
    out.push_str("</svg>\n");
    out
}

/// A value over all epochs.
fn curve<'a>(epochs: &[Epoch], name: &'a str, value: impl Fn(&Epoch) -> f64) -> Curve<'a> {
    Curve(name, epochs.iter().map(|e| (e.step as f64, value(e))).collect())
}

fn panels<'a>(epochs: &[Epoch], judge: &Judge) -> Vec<Panel<'a>> {
    let error = Panel {
        title: "Error",
        unit: "mean squared, averaged weights",
        scale: Scale::Log,
        curves: vec![
            curve(epochs, "held out", |e| e.measures.held_out_error),
            curve(epochs, "trained on", |e| e.measures.training_error),
        ],
        levels: vec![(judge.held_out_constant, "constant median of the held-out windows")],
    };
    let mut panels = vec![error];
    if judge.has_prior() {
        panels.extend(tadgan_panels(epochs));
    } else {
        panels.extend(aer_panels(epochs));
    }
    panels
}

fn aer_panels<'a>(epochs: &[Epoch]) -> [Panel<'a>; 2] {
    let curve = |name, value: &dyn Fn(&Epoch) -> f64| curve(epochs, name, value);
    [
        Panel {
            title: "Losses",
            unit: "mean squared, in training",
            scale: Scale::Log,
            curves: vec![
                curve("reconstructed", &|e| e.losses.generator.mse),
                // The loss is half the one and half the other.
                curve("predicted", &|e| {
                    2.0 * e.losses.generator.total - e.losses.generator.mse
                }),
            ],
            levels: vec![],
        },
        Panel {
            title: "Gradient norms",
            unit: "L2",
            scale: Scale::Log,
            curves: vec![
                curve(NAMES[0], &|e| e.losses.gradients[0]),
                curve(NAMES[1], &|e| e.losses.gradients[1]),
            ],
            levels: vec![],
        },
    ]
}

fn tadgan_panels<'a>(epochs: &[Epoch]) -> [Panel<'a>; 4] {
    let curve = |name, value: &dyn Fn(&Epoch) -> f64| curve(epochs, name, value);
    // The critics know nothing before the warm-up's end.
    let later = |name, value: &dyn Fn(&Epoch) -> f64| {
        let later = epochs.iter().filter(|e| !e.warm_up);
        Curve(name, later.map(|e| (e.step as f64, value(e))).collect())
    };
    [
        Panel {
            title: "Wasserstein estimates",
            unit: "critic's units",
            scale: Scale::Linear,
            curves: vec![
                later("windows", &|e| e.losses.critic_x.wasserstein()),
                later("latents", &|e| e.losses.critic_z.wasserstein()),
            ],
            levels: vec![(0.0, "")],
        },
        Panel {
            title: "Losses",
            unit: "",
            scale: Scale::Linear,
            curves: vec![
                later("Cx", &|e| e.losses.critic_x.total()),
                later("Cz", &|e| e.losses.critic_z.total()),
                curve("E and G", &|e| e.losses.generator.total),
            ],
            levels: vec![(0.0, "")],
        },
        Panel {
            title: "Gradient norms",
            unit: "L2",
            scale: Scale::Log,
            curves: vec![
                curve(NAMES[0], &|e| e.losses.gradients[0]),
                curve(NAMES[1], &|e| e.losses.gradients[1]),
                later(NAMES[2], &|e| e.losses.gradients[2]),
                later(NAMES[3], &|e| e.losses.gradients[3]),
            ],
            levels: vec![],
        },
        Panel {
            title: "Diversity of G(z)",
            unit: "that of the data = 1",
            scale: Scale::Linear,
            curves: vec![curve("", &|e| e.measures.diversity)],
            levels: vec![
                (0.0, ""),
                (COLLAPSED, "collapsed below"),
                (1.0, "as diverse as the data"),
            ],
        },
    ]
}

impl Panel<'_> {
    fn draw(&self, place: Place, x: &Axis, warm_up: f64, best: &Epoch, out: &mut String) {
        let Place {
            x: left,
            y: top,
            width,
            height,
        } = place;
        let values = self
            .curves
            .iter()
            .flat_map(|curve| curve.1.iter().map(|point| point.1));
        let y = Axis::new(self.scale, values.chain(self.levels.iter().map(|level| level.0)));
        let (left, top) = (left + LEFT, top + TOP);
        let (width, height) = (width - LEFT, height - TOP - BOTTOM);
        let (right, bottom) = (left + width, top + height);
        let at_x = |value: f64| left + width * x.share(value);
        let at_y = |value: f64| bottom - height * y.share(value);
        let _ = writeln!(
            out,
            "<g><text x=\"{:.1}\" y=\"{:.1}\" font-size=\"14\" font-weight=\"600\" fill=\"#111\">{}\
             <tspan font-size=\"12\" font-weight=\"400\" fill=\"#777\" dx=\"8\">{}</tspan></text>",
            left - LEFT,
            top - 14.0,
            self.title,
            self.unit
        );
        if warm_up > 0.0 {
            let end = at_x(warm_up).min(right);
            let _ = writeln!(
                out,
                "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"#f4f4ee\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#998\">warm-up</text>",
                end - left,
                left + 6.0,
                bottom - 8.0
            );
        }
        for tick in y.ticks() {
            let _ = writeln!(
                out,
                "<path d=\"M{left:.1} {0:.1}H{right:.1}\" stroke=\"#e8e8e8\"/>\
                 <text x=\"{1:.1}\" y=\"{2:.1}\" text-anchor=\"end\" fill=\"#666\">{3}</text>",
                at_y(tick),
                left - 7.0,
                at_y(tick) + 4.0,
                short(tick)
            );
        }
        for tick in x.ticks() {
            let _ = writeln!(
                out,
                "<path d=\"M{0:.1} {bottom:.1}v4\" stroke=\"#999\"/>\
                 <text x=\"{0:.1}\" y=\"{1:.1}\" text-anchor=\"middle\" fill=\"#666\">{2}</text>",
                at_x(tick),
                bottom + 17.0,
                short(tick)
            );
        }
        let _ = writeln!(
            out,
            "<text x=\"{right:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#777\">steps</text>\
             <path d=\"M{left:.1} {bottom:.1}H{right:.1}\" stroke=\"#999\"/>",
            bottom + 33.0
        );
        for (level, word) in &self.levels {
            let _ = writeln!(
                out,
                "<path d=\"M{left:.1} {0:.1}H{right:.1}\" stroke=\"#888\" stroke-dasharray=\"2 4\"/>\
                 <text x=\"{1:.1}\" y=\"{2:.1}\" text-anchor=\"end\" fill=\"#777\" stroke=\"#fff\" \
                 stroke-width=\"3\" paint-order=\"stroke\">{word}</text>",
                at_y(*level),
                right - 4.0,
                at_y(*level) - 5.0
            );
        }
        self.draw_curves(at_x, at_y, (right, top), out);
        let _ = writeln!(
            out,
            "<path d=\"M{0:.1} {top:.1}V{bottom:.1}\" stroke=\"#bbb\" stroke-dasharray=\"6 4\"/>\
             <text x=\"{1:.1}\" y=\"{2:.1}\" text-anchor=\"end\" fill=\"#777\" stroke=\"#fff\" \
             stroke-width=\"3\" paint-order=\"stroke\">best</text>",
            at_x(best.step as f64),
            at_x(best.step as f64) - 5.0,
            bottom - 8.0
        );
        out.push_str("</g>\n");
    }

    /// Curves, and their legend right-aligned above the panel.
    fn draw_curves(
        &self,
        at_x: impl Fn(f64) -> f64,
        at_y: impl Fn(f64) -> f64,
        (right, top): (f64, f64),
        out: &mut String,
    ) {
        let mut legend = right;
        for (Curve(name, points), colour) in self.curves.iter().zip(COLOURS).rev() {
            let shown = |value: f64| value.is_finite() && (self.scale == Scale::Linear || value > 0.0);
            let mut path = String::new();
            let mut dots = String::new();
            let mut pen = 'M';
            for &(step, value) in points {
                if !shown(value) {
                    pen = 'M';
                    continue;
                }
                let (x, y) = (at_x(step), at_y(value));
                let _ = write!(path, "{pen}{x:.1} {y:.1}");
                if points.len() <= 40 {
                    let _ = write!(dots, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.2\"/>");
                }
                pen = 'L';
            }
            let _ = writeln!(
                out,
                "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.7\" \
                 stroke-linejoin=\"round\"/><g fill=\"{colour}\">{dots}</g>"
            );
            if !name.is_empty() {
                // About the width of the text.
                legend -= 6.6 * name.len() as f64;
                let _ = writeln!(
                    out,
                    "<path d=\"M{:.1} {:.1}h16\" stroke=\"{colour}\" stroke-width=\"3\"/>\
                     <text x=\"{legend:.1}\" y=\"{:.1}\">{}</text>",
                    legend - 22.0,
                    top - 18.0,
                    top - 14.0,
                    name.replace('_', " ")
                );
                legend -= 36.0;
            }
        }
    }
}

/// An axis: its ends in its own units (the decadic logarithm for [`Scale::Log`]).
struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
}

impl Axis {
    fn new(scale: Scale, values: impl Iterator<Item = f64>) -> Self {
        let shown = values.filter(|v| v.is_finite() && (scale == Scale::Linear || *v > 0.0));
        let (low, high) = shown
            .map(|v| if scale == Scale::Log { v.log10() } else { v })
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
                (low.min(v), high.max(v))
            });
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        let slack = if high > low { 0.06 * (high - low) } else { 0.5 };
        // An axis from 0 on stays one.
        let below = if scale == Scale::Linear && low == 0.0 {
            0.0
        } else {
            slack
        };
        Self {
            scale,
            low: low - below,
            high: high + slack,
        }
    }

    fn share(&self, value: f64) -> f64 {
        let value = if self.scale == Scale::Log {
            value.log10()
        } else {
            value
        };
        (value - self.low) / (self.high - self.low)
    }

    /// Round numbers along the axis.
    fn ticks(&self) -> Vec<f64> {
        let span = self.high - self.low;
        if self.scale == Scale::Log && span > 0.8 {
            let every = (span / 6.0).ceil();
            let factors: &[f64] = match span {
                ..1.5 => &[1.0, 2.0, 5.0],
                ..3.0 => &[1.0, 3.0],
                _ => &[1.0],
            };
            let decades = (self.low.floor() as i32)..=(self.high.ceil() as i32);
            let ticks = decades
                .filter(|decade| decade % every as i32 == 0)
                .flat_map(|decade| factors.iter().map(move |factor| factor * 10f64.powi(decade)));
            return ticks
                .filter(|tick| (0.0..=1.0).contains(&self.share(*tick)))
                .collect();
        }
        let (low, high) = match self.scale {
            Scale::Log => (10f64.powf(self.low), 10f64.powf(self.high)),
            Scale::Linear => (self.low, self.high),
        };
        let raw = (high - low) / 5.0;
        let magnitude = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * magnitude)
            .find(|step| *step >= raw)
            .unwrap_or(raw);
        let first = (low / step).ceil() as i64;
        let last = (high / step).floor() as i64;
        (first..=last).map(|k| k as f64 * step).collect()
    }
}

/// Three digits, as people write them.
#[must_use]
pub fn short(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "–".to_owned();
    }
    if size != 0.0 && !(1e-3..1e5).contains(&size) {
        return format!("{value:.1e}").replace(".0e", "e");
    }
    let decimals = if size == 0.0 {
        0
    } else {
        (2 - size.log10().floor() as i32).clamp(0, 5)
    };
    let text = format!("{value:.*}", decimals as usize);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.25, "0.25"),
            (0.012_34, "0.0123"),
            (1.0, "1"),
            (1234.5, "1234"),
            (1e-5, "1e-5"),
            (-2.5e6, "-2.5e6"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let axis = Axis::new(Scale::Linear, [0.0, 470.0].into_iter());
        assert_eq!(axis.ticks(), [0.0, 100.0, 200.0, 300.0, 400.0]);
        let axis = Axis::new(Scale::Log, [0.003, 40.0].into_iter());
        assert_eq!(axis.ticks(), [0.01, 0.1, 1.0, 10.0]);
        // Constant, empty and undefined values still make an axis.
        for values in [vec![], vec![f64::NAN], vec![3.0], vec![0.0; 4]] {
            let axis = Axis::new(Scale::Log, values.into_iter());
            assert!(axis.low < axis.high);
            assert!(axis.ticks().len() < 20);
        }
    }
}
