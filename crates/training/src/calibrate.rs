//! What the finished nets do on windows that took no gradient step: the numbers that scores start from.
//!
//! For each served lag m and each bucket t with a window ending at each of t … t+m (fewer only when the data has no
//! bucket with so many):
//! - expected value: median of the m+1 reconstructions of t, data units;
//! - error: |value − expected| in units of the half range of the window that ends at t+m;
//! - critic: median of the m+1 values of Cx on the real windows.
//!
//! Of nets that predict the last value of a window, the first of the m+1 is their forecast, made before t closed: at lag
//! 0 it is the expected value. They have no critic; its centre is 0 and its scale 1.

use std::ops::Range;

use scorer::manifest::{LagCalibration, ModelKind, SERVED_LAGS};
use scorer::normalise::{Scaler, median};

use crate::data::{DataError, Dataset, Windows};
use crate::nets::{CriticTape, EncoderTape, GeneratorTape, Nets, Weights};

/// Windows evaluated at most, give or take one series' share; when there are more, those of some series spread evenly
/// over all, or the first ones of each.
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
    /// `Cx(x)`; empty where there are no critics.
    pub critic_x: Vec<f32>,
    /// `Cz(E(x))`; empty where there are no critics.
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
        out.latent.extend_from_slice(&encoder.out);
        out.reconstruction.extend_from_slice(&generator.out);
        if nets.sizes.model() == ModelKind::Aer {
            continue;
        }
        nets.critic_x
            .forward(&weights.critic_x, batch, None, &mut critic_x);
        nets.critic_z
            .forward(&weights.critic_z, &encoder.out, None, &mut critic_z);
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
    critic: Option<f64>,
    /// Reconstruction, newest bucket last.
    reconstruction: Vec<f64>,
}

/// Calibrates every served lag shorter than the window on the windows kept for it, or on the training windows of
/// series so short that none is.
///
/// # Errors
/// When the data cannot be read.
pub fn calibrate(
    nets: &Nets,
    weights: &Weights,
    data: &Dataset,
    scaler: &Scaler,
) -> Result<Vec<LagCalibration>, DataError> {
    let window = nets.sizes.window;
    let mut windows = data.calibration_windows();
    if windows.is_empty() {
        windows = data.train_windows();
    }
    let runs = consecutive(&windows).into_iter();
    let runs = runs.map(|run| watch(nets, weights, data, scaler, &windows, run));
    let runs = runs.collect::<Result<Vec<_>, _>>()?;
    let lags = SERVED_LAGS.into_iter().filter(|lag| *lag < window);
    Ok(lags.map(|lag| at_lag(lag, &runs)).collect())
}

/// Consecutive windows of one run each, chosen when there are too many in all.
fn consecutive(windows: &Windows<'_>) -> Vec<Range<usize>> {
    if windows.len() <= MAX_WINDOWS {
        return windows.by_run().collect();
    }
    let runs = windows.by_run().count();
    let every = runs.div_ceil(MAX_WINDOWS / ENOUGH);
    let enough = MAX_WINDOWS / runs.div_ceil(every);
    let chosen = windows.by_run().step_by(every);
    chosen
        .map(|run| run.start..run.end.min(run.start + enough))
        .collect()
}

fn watch(
    nets: &Nets,
    weights: &Weights,
    data: &Dataset,
    scaler: &Scaler,
    windows: &Windows<'_>,
    run: Range<usize>,
) -> Result<Vec<Seen>, DataError> {
    let window = nets.sizes.window;
    let mut input = vec![0.0; run.len() * window];
    data.fill(
        run.clone().map(|number| windows.place(number)),
        scaler,
        nets.sizes.known(),
        &mut input,
    )?;
    let outputs = infer(nets, weights, &input);
    let rows = outputs.reconstruction.chunks_exact(window).enumerate();
    run.zip(rows)
        .map(|(number, (k, reconstruction))| {
            let (values, affine) = data.window(windows.place(number), scaler, nets.sizes.known())?;
            Ok(Seen {
                value: values[window - 1],
                half_range: affine.half_range,
                critic: outputs.critic_x.get(k).copied().map(f64::from),
                reconstruction: reconstruction
                    .iter()
                    .map(|y| affine.unscale(f64::from(*y)))
                    .collect(),
            })
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
        let values: Vec<f64> = windows.iter().filter_map(|seen| seen.critic).collect();
        critics.extend((!values.is_empty()).then(|| median(&values)));
    }
    let spread = (quantile(&mut critics, 0.75) - quantile(&mut critics, 0.25)) / 1.349;
    LagCalibration {
        lag,
        error_median: quantile(&mut errors, 0.5).max(TINY),
        error_p99: quantile(&mut errors, 0.99).max(TINY),
        critic_center: quantile(&mut critics, 0.5),
        critic_scale: if critics.is_empty() { 1.0 } else { spread.max(TINY) },
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
