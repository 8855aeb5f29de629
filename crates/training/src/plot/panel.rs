//! One chart: title and legend, axes, lines.

use std::fmt::Write as _;

use super::axis::{Axis, Scale, short};

/// Room in a panel for its title and legend, its tick labels below, and those beside it.
const TOP: f64 = 34.0;
const BOTTOM: f64 = 40.0;
const LEFT: f64 = 62.0;
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#b3589a"];
/// Keeps a word legible on a line.
const HALO: &str = "stroke=\"#fff\" stroke-width=\"3\" paint-order=\"stroke\"";

/// A curve: name and points.
pub(crate) struct Curve<'a>(pub(crate) &'a str, pub(crate) Vec<(f64, f64)>);

pub(crate) struct Panel<'a> {
    pub(crate) title: &'a str,
    pub(crate) unit: &'a str,
    pub(crate) scale: Scale,
    pub(crate) curves: Vec<Curve<'a>>,
    /// Horizontal lines with a word to each.
    pub(crate) levels: Vec<(f64, &'a str)>,
}

/// Where a panel stands.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// What all panels of a run have in common, in steps.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) warm_up: usize,
    /// The step that is marked.
    pub(crate) best: Option<usize>,
    pub(crate) end: usize,
}

/// The inner part of a panel, between its axes.
struct Field {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: Axis,
    y: Axis,
}

impl Field {
    fn at_x(&self, value: f64) -> f64 {
        self.left + (self.right - self.left) * self.x.share(value)
    }

    fn at_y(&self, value: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * self.y.share(value)
    }
}

// Writing to a String cannot fail.
impl Panel<'_> {
    pub(super) fn draw(&self, place: Place, run: Run, out: &mut String) {
        let curves = self.curves.iter().flat_map(|curve| &curve.1);
        let levels = self.levels.iter().map(|level| level.0);
        let field = Field {
            left: place.x + LEFT,
            right: place.x + place.width,
            top: place.y + TOP,
            bottom: place.y + place.height - BOTTOM,
            x: Axis {
                scale: Scale::Linear,
                low: 0.0,
                high: run.end as f64,
            },
            y: Axis::new(self.scale, curves.map(|point| point.1).chain(levels)),
        };
        let _ = writeln!(
            out,
            "<g><text x=\"{:.1}\" y=\"{:.1}\" font-size=\"14\" font-weight=\"600\" fill=\"#111\">{}\
             <tspan font-size=\"12\" font-weight=\"400\" fill=\"#777\" dx=\"8\">{}</tspan></text>",
            place.x,
            field.top - 14.0,
            self.title,
            self.unit
        );
        draw_warm_up(&field, run, out);
        draw_axes(&field, out);
        self.draw_levels(&field, out);
        self.draw_curves(&field, out);
        draw_best(&field, run, out);
        out.push_str("</g>\n");
    }

    fn draw_levels(&self, field: &Field, out: &mut String) {
        let Field { left, right, .. } = *field;
        let shown = self.levels.iter().filter(|(level, _)| self.scale.shows(*level));
        for (level, word) in shown {
            let _ = writeln!(
                out,
                "<path d=\"M{left:.1} {0:.1}H{right:.1}\" stroke=\"#888\" stroke-dasharray=\"2 4\"/>\
                 <text x=\"{1:.1}\" y=\"{2:.1}\" text-anchor=\"end\" fill=\"#777\" {HALO}>{word}</text>",
                field.at_y(*level),
                right - 4.0,
                field.at_y(*level) - 5.0
            );
        }
    }

    /// Curves, and their legend right-aligned above the panel.
    fn draw_curves(&self, field: &Field, out: &mut String) {
        let mut legend = field.right;
        for (Curve(name, points), colour) in self.curves.iter().zip(COLOURS).rev() {
            let (path, dots) = self.outline(field, points);
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
                    field.top - 18.0,
                    field.top - 14.0,
                    name.replace('_', " ")
                );
                legend -= 36.0;
            }
        }
    }

    /// A curve as a path, interrupted where a value cannot be shown, and as dots where they are few.
    fn outline(&self, field: &Field, points: &[(f64, f64)]) -> (String, String) {
        let (mut path, mut dots) = (String::new(), String::new());
        let mut pen = 'M';
        for &(step, value) in points {
            if !self.scale.shows(value) {
                pen = 'M';
                continue;
            }
            let (x, y) = (field.at_x(step), field.at_y(value));
            let _ = write!(path, "{pen}{x:.1} {y:.1}");
            if points.len() <= 40 {
                let _ = write!(dots, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.2\"/>");
            }
            pen = 'L';
        }
        (path, dots)
    }
}

fn draw_warm_up(field: &Field, run: Run, out: &mut String) {
    if run.warm_up == 0 {
        return;
    }
    let Field {
        left, top, bottom, ..
    } = *field;
    let end = field.at_x(run.warm_up as f64).min(field.right);
    let _ = writeln!(
        out,
        "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#f4f4ee\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#998\">warm-up</text>",
        end - left,
        bottom - top,
        left + 6.0,
        bottom - 8.0
    );
}

fn draw_axes(field: &Field, out: &mut String) {
    let Field {
        left, right, bottom, ..
    } = *field;
    for tick in field.y.ticks() {
        let _ = writeln!(
            out,
            "<path d=\"M{left:.1} {0:.1}H{right:.1}\" stroke=\"#e8e8e8\"/>\
             <text x=\"{1:.1}\" y=\"{2:.1}\" text-anchor=\"end\" fill=\"#666\">{3}</text>",
            field.at_y(tick),
            left - 7.0,
            field.at_y(tick) + 4.0,
            short(tick)
        );
    }
    for tick in field.x.ticks() {
        let _ = writeln!(
            out,
            "<path d=\"M{0:.1} {bottom:.1}v4\" stroke=\"#999\"/>\
             <text x=\"{0:.1}\" y=\"{1:.1}\" text-anchor=\"middle\" fill=\"#666\">{2}</text>",
            field.at_x(tick),
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
}

fn draw_best(field: &Field, run: Run, out: &mut String) {
    let Some(best) = run.best else {
        return;
    };
    let (x, top, bottom) = (field.at_x(best as f64), field.top, field.bottom);
    let _ = writeln!(
        out,
        "<path d=\"M{x:.1} {top:.1}V{bottom:.1}\" stroke=\"#bbb\" stroke-dasharray=\"6 4\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#777\" {HALO}>best</text>",
        x - 5.0,
        bottom - 8.0
    );
}
