//! `losses.svg`: the epochs of a run as a few small charts, for a browser.

mod axis;
mod panel;

use std::fmt::Write as _;

pub(crate) use axis::Scale;
pub use axis::short;
use panel::Place;
pub(crate) use panel::{Curve, Panel, Run};

use crate::course::{Course, Epoch};
use crate::judge::{COLLAPSED, Judge};
use crate::nets::NAMES;

const WIDTH: f64 = 1080.0;
const MARGIN: f64 = 24.0;
const HEAD: f64 = 64.0;

/// Draws a run that has at least one epoch.
#[must_use]
pub fn draw(name: &str, course: &Course, judge: &Judge) -> String {
    let epochs = course.epochs();
    let (Some(last), Some(best)) = (epochs.last(), course.best()) else {
        return String::new();
    };
    let about = format!(
        "{} epochs, {} steps; best: held-out error {} at step {}{}",
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
    let run = Run {
        warm_up: course.warm_up(),
        best: Some(best.step),
        end: last.step,
    };
    sheet(name, &about, run, &panels(epochs, judge))
}

/// Charts on one sheet: the first over the whole width, the others two a row.
pub(crate) fn sheet(name: &str, about: &str, run: Run, panels: &[Panel<'_>]) -> String {
    let row = |number: usize| HEAD + 330.0 + 286.0 * number as f64;
    let half = (WIDTH - 3.0 * MARGIN) / 2.0;
    let wide = Place {
        x: MARGIN,
        y: HEAD,
        width: WIDTH - 2.0 * MARGIN,
        height: 310.0,
    };
    let places = (0..).map(|number| Place {
        x: MARGIN + (MARGIN + half) * (number % 2) as f64,
        y: row(number / 2),
        width: half,
        height: 266.0,
    });
    let height = row(panels.len() / 2);
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#333\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{MARGIN}\" y=\"30\" font-size=\"20\" font-weight=\"600\" fill=\"#111\">{name}</text>\n\
         <text x=\"{MARGIN}\" y=\"50\" fill=\"#666\">{about}</text>\n",
    );
    for (place, panel) in std::iter::once(wide).chain(places).zip(panels) {
        panel.draw(place, run, &mut out);
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
                curve("reconstructed", &|e| e.losses.generator.reconstruction),
                // The loss is half the one and half the other.
                curve("predicted", &|e| {
                    2.0 * e.losses.generator.total - e.losses.generator.reconstruction
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::course::Plan;
    use crate::judge::Measures;
    use crate::nets::{Nets, Sizes};
    use crate::trainer::StepLosses;

    #[test]
    fn numbers_that_are_none_are_not_drawn() {
        let nets = Nets::new(Sizes::small());
        let judge = Judge::new(&nets, 1, 1, vec![0.5; 200], vec![0.5; 200]);
        let plan = Plan {
            warm_up: 10,
            steps: 20,
            epoch: 10,
            patience: 0,
            learn: 0,
            window: 100,
            latent: 20,
        };
        let mut course = Course::new(plan);
        assert_eq!(draw("run", &course, &judge), "");
        for step in [10, 20, 30] {
            let epoch = Epoch {
                step,
                warm_up: step == 10,
                losses: StepLosses::default(),
                measures: Measures {
                    training_error: 0.0,
                    held_out_error: 0.1,
                    diversity: f64::NAN,
                    spread: f64::NAN,
                    latent: 1.0,
                },
                seconds: 0.0,
            };
            course.take(epoch).unwrap();
            let svg = draw("run", &course, &judge);
            assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            for tag in ["g", "text", "svg"] {
                let count = |what: &str| svg.matches(what).count();
                let opened = count(&format!("<{tag} ")) + count(&format!("<{tag}>"));
                assert_eq!(opened, count(&format!("</{tag}>")), "{tag}");
            }
        }
    }
}
