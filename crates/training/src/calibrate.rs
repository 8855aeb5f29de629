//! What the finished nets do on windows that took no gradient step: the numbers that scores start from.
//!
//! For each served lag m and each bucket t with a window ending at each of t … t+m (fewer only when the data has no
//! bucket with so many):
//! - expected value: median of the m+1 reconstructions of t, data units;
//! - error: |value − expected| in units of the half range of the window that ends at t+m;
//! - critic: median of the m+1 values of Cx on the real windows.

use scorer::manifest::{LagCalibration, SERVED_LAGS};
use scorer::normalise::{Scaler, median};

use crate::data::{Dataset, Place};
use crate::nets::{CriticTape, EncoderTape, GeneratorTape, Nets, Weights};

/// Windows evaluated at most; when there are more, those of some series spread evenly over all.
const MAX_WINDOWS: usize = 9_000;
/// Windows of one series that are enough then: more than the largest lag needs.
const ENOUGH: usize = 150;
const BATCH: usize = 64;
/// What spreads are floored at, so that nobody divides by zero.
const TINY: f64 = 1e-9;

/// What E, G and the critics make of some windows, dropout off.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// `E(x)`, side by side.
    pub latent: Vec<f32>,
    /// `G(E(x))`, side by side.
    pub reconstruction: Vec<f32>,
    /// `Cx(x)`
    pub critic_x: Vec<f32>,
    /// `Cz(E(x))`
    pub critic_z: Vec<f32>,
}

/// Runs the nets over windows (the nets' units, side by side).
#[must_use]
pub fn infer(nets: &Nets, weights: &Weights, windows: &[f32]) -> Outputs {
    let mut out = Outputs::default();
    let (mut encoder, mut generator) = (EncoderTape::default(), GeneratorTape::default());
    let (mut critic_x, mut critic_z) = (CriticTape::default(), CriticTape::default());
    for batch in windows.chunks(BATCH * nets.sizes.window) {
        nets.encoder.forward(&weights.encoder, batch, &mut encoder);
        nets.generator
            .forward(&weights.generator, &encoder.out, None, &mut generator);
        nets.critic_x
            .forward(&weights.critic_x, batch, None, &mut critic_x);
        nets.critic_z
            .forward(&weights.critic_z, &encoder.out, None, &mut critic_z);
        out.latent.extend_from_slice(&encoder.out);
        out.reconstruction.extend_from_slice(&generator.out);
        out.critic_x.extend_from_slice(critic_x.out());
        out.critic_z.extend_from_slice(critic_z.out());
    }
    out
}

/// One window with what the nets made of it, in data units.
struct Seen {
    /// Last value.
    value: f64,
    half_range: f64,
    critic: f64,
    /// Reconstruction, newest bucket last.
    reconstruction: Vec<f64>,
}

/// Calibrates every served lag shorter than the window on the held-out windows, or on the training windows of a
/// series so short that none is held out.
#[must_use]
pub fn calibrate(nets: &Nets, weights: &Weights, data: &Dataset, scaler: &Scaler) -> Vec<LagCalibration> {
    let window = nets.sizes.window;
    let mut places = data.held_out_places(window);
    if places.is_empty() {
        places = data.training_places(window);
    }
    let runs: Vec<Vec<Seen>> = consecutive(&places)
        .map(|run| watch(nets, weights, data, scaler, run))
        .collect();
    let lags = SERVED_LAGS.into_iter().filter(|lag| *lag < window);
    lags.map(|lag| at_lag(lag, &runs)).collect()
}

/// Consecutive windows of one run each, chosen when there are too many in all.
fn consecutive(places: &[Place]) -> impl Iterator<Item = &[Place]> {
    let crowded = places.len() > MAX_WINDOWS;
    let runs = places.chunk_by(|a, b| a.run == b.run);
    let every = if crowded {
        runs.clone().count().div_ceil(MAX_WINDOWS / ENOUGH)
    } else {
        1
    };
    runs.step_by(every).map(move |run| {
        if crowded && every > 1 {
            &run[..run.len().min(ENOUGH)]
        } else {
            run
        }
    })
}

fn watch(nets: &Nets, weights: &Weights, data: &Dataset, scaler: &Scaler, places: &[Place]) -> Vec<Seen> {
    let window = nets.sizes.window;
    let mut input = vec![0.0; places.len() * window];
    data.fill(places.iter().copied(), scaler, &mut input);
    let outputs = infer(nets, weights, &input);
    let rows = outputs.reconstruction.chunks_exact(window).zip(&outputs.critic_x);
    places
        .iter()
        .zip(rows)
        .map(|(place, (reconstruction, critic))| {
            let (values, affine) = data.window(*place, window, scaler);
            Seen {
                value: values[window - 1],
                half_range: affine.half_range,
                critic: f64::from(*critic),
                reconstruction: reconstruction
                    .iter()
                    .map(|y| affine.unscale(f64::from(*y)))
                    .collect(),
            }
        })
        .collect()
}

fn at_lag(lag: usize, runs: &[Vec<Seen>]) -> LagCalibration {
    let longest = runs.iter().map(Vec::len).max().unwrap_or(1);
    let span = (lag + 1).min(longest);
    let (mut errors, mut critics) = (Vec::new(), Vec::new());
    for windows in runs.iter().flat_map(|run| run.windows(span)) {
        let expected: Vec<f64> = windows
            .iter()
            .enumerate()
            .map(|(age, seen)| seen.reconstruction[seen.reconstruction.len() - 1 - age])
            .collect();
        let (first, last) = (&windows[0], &windows[span - 1]);
        errors.push((first.value - median(&expected)).abs() / last.half_range);
        critics.push(median(
            &windows.iter().map(|seen| seen.critic).collect::<Vec<_>>(),
        ));
    }
    LagCalibration {
        lag,
        error_median: quantile(&mut errors, 0.5).max(TINY),
        error_p99: quantile(&mut errors, 0.99).max(TINY),
        critic_center: quantile(&mut critics, 0.5),
        critic_scale: ((quantile(&mut critics, 0.75) - quantile(&mut critics, 0.25)) / 1.349).max(TINY),
    }
}

/// Quantile by linear interpolation; 0 of nothing.
fn quantile(values: &mut [f64], q: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_unstable_by(f64::total_cmp);
    let at = q * (values.len() - 1) as f64;
    let (low, high) = (values[at.floor() as usize], values[at.ceil() as usize]);
    low + (high - low) * at.fract()
}
