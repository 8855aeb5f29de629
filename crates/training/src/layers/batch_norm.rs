//! Batch normalisation (Ioffe and Szegedy 2015), with its gradient through the batch's moments.

use std::ops::Range;

use crate::params::{Init, Layout};

/// Keras' addition to the variance.
const EPSILON: f64 = 1e-3;

/// Each channel less its mean, over its standard deviation, times a learned scale, plus a learned shift.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// Scales in the net's flat weights, one a channel.
    pub scale: Range<usize>,
    /// Shifts in the net's flat weights, one a channel.
    pub shift: Range<usize>,
}

/// Mean and reciprocal deviation of each channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    mean: Vec<f32>,
    over_deviation: Vec<f32>,
}

impl Moments {
    /// Those of a batch, whose values have `channels` channels side by side.
    #[must_use]
    pub fn of(x: &[f32], channels: usize) -> Self {
        let share = channels as f64 / x.len() as f64;
        let mut sums = vec![0.0; channels];
        for pixel in x.chunks_exact(channels) {
            sums.iter_mut().zip(pixel).for_each(|(s, v)| *s += f64::from(*v));
        }
        let mean: Vec<f64> = sums.iter().map(|sum| sum * share).collect();
        sums.fill(0.0);
        for pixel in x.chunks_exact(channels) {
            let values = pixel.iter().zip(&mean);
            let squares = values.map(|(v, m)| (f64::from(*v) - m).powi(2));
            sums.iter_mut().zip(squares).for_each(|(s, square)| *s += square);
        }
        let over = |sum: &f64| (1.0 / (sum * share + EPSILON).sqrt()) as f32;
        Self {
            over_deviation: sums.iter().map(over).collect(),
            mean: mean.iter().map(|m| *m as f32).collect(),
        }
    }
}

impl BatchNorm {
    /// Adds the tensors of the layer to `layout` under `name`.
    pub fn new(layout: &mut Layout, name: &str, channels: usize) -> Self {
        Self {
            scale: layout.push(format!("{name}.scale"), &[channels], Init::Ones),
            shift: layout.push(format!("{name}.shift"), &[channels], Init::Zeros),
        }
    }

    /// Normalises `x` with `moments` into `normal`, then scales and shifts it into `out`.
    pub fn forward(
        &self,
        weights: &[f32],
        x: &[f32],
        moments: &Moments,
        normal: &mut Vec<f32>,
        out: &mut Vec<f32>,
    ) {
        let (scale, shift) = (&weights[self.scale.clone()], &weights[self.shift.clone()]);
        let channels = scale.len();
        normal.resize(x.len(), 0.0);
        out.resize(x.len(), 0.0);
        let pixels = x.chunks_exact(channels).zip(normal.chunks_exact_mut(channels));
        for ((x, normal), out) in pixels.zip(out.chunks_exact_mut(channels)) {
            for c in 0..channels {
                normal[c] = (x[c] - moments.mean[c]) * moments.over_deviation[c];
                out[c] = scale[c] * normal[c] + shift[c];
            }
        }
    }

    /// Puts the gradient of the input into `dx` and adds those of scale and shift to `grads`, where the moments were
    /// those of the batch: `dx = scale / deviation · (dy − mean(dy) − normal · mean(dy · normal))`.
    pub fn backward(
        &self,
        weights: &[f32],
        dy: &[f32],
        (moments, normal): (&Moments, &[f32]),
        dx: &mut Vec<f32>,
        grads: &mut [f32],
    ) {
        let scale = &weights[self.scale.clone()];
        let channels = scale.len();
        let (mut sums, mut products) = (vec![0.0; channels], vec![0.0; channels]);
        for (dy, normal) in dy.chunks_exact(channels).zip(normal.chunks_exact(channels)) {
            for c in 0..channels {
                sums[c] += f64::from(dy[c]);
                products[c] += f64::from(dy[c]) * f64::from(normal[c]);
            }
        }
        for (range, sums) in [(&self.shift, &sums), (&self.scale, &products)] {
            let grads = grads[range.clone()].iter_mut();
            grads.zip(sums).for_each(|(grad, sum)| *grad += *sum as f32);
        }
        let share = channels as f64 / dy.len() as f64;
        let mean = |sums: &[f64]| sums.iter().map(|sum| (sum * share) as f32).collect();
        let (sums, products): (Vec<f32>, Vec<f32>) = (mean(&sums), mean(&products));
        let factors = scale.iter().zip(&moments.over_deviation);
        let factors: Vec<f32> = factors.map(|(scale, over)| scale * over).collect();
        dx.resize(dy.len(), 0.0);
        let pixels = dy.chunks_exact(channels).zip(normal.chunks_exact(channels));
        for ((dy, normal), dx) in pixels.zip(dx.chunks_exact_mut(channels)) {
            for c in 0..channels {
                dx[c] = factors[c] * (dy[c] - sums[c] - normal[c] * products[c]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Streams, normals};

    fn numbers(stream: usize, len: usize) -> Vec<f32> {
        let mut values = vec![0.0; len];
        let mut rng = Streams::new(9).stream(Purpose::Weights, stream, 0);
        normals(&mut rng, &mut values);
        values
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    fn forward(layer: &BatchNorm, weights: &[f32], x: &[f32]) -> (Moments, Vec<f32>, Vec<f32>) {
        let (mut normal, mut out) = (Vec::new(), Vec::new());
        let moments = Moments::of(x, layer.scale.len());
        layer.forward(weights, x, &moments, &mut normal, &mut out);
        (moments, normal, out)
    }

    #[test]
    fn a_batch_comes_out_with_the_learned_moments() {
        let mut layout = Layout::default();
        let layer = BatchNorm::new(&mut layout, "norm", 2);
        let x: Vec<f32> = numbers(0, 4_000).iter().map(|v| 7.0 + 30.0 * v).collect();
        let (.., out) = forward(&layer, &[2.0, 1.0, -5.0, 0.0], &x);
        for (channel, (mean, deviation)) in [(0, (-5.0, 2.0)), (1, (0.0, 1.0))] {
            let own: Vec<f64> = out[channel..].iter().step_by(2).map(|v| f64::from(*v)).collect();
            let n = own.len() as f64;
            let got = own.iter().sum::<f64>() / n;
            let spread = own.iter().map(|v| (v - got).powi(2)).sum::<f64>() / n;
            assert!((got - mean).abs() < 1e-4 && (spread.sqrt() - deviation).abs() < 1e-4);
        }
    }

    /// Input, scale and shift against central differences of `⟨out, r⟩`, the moments moving along.
    #[test]
    fn gradients_follow_finite_differences() {
        let mut layout = Layout::default();
        let layer = BatchNorm::new(&mut layout, "norm", 3);
        let (weights, x, r) = (numbers(0, 6), numbers(1, 60), numbers(2, 60));
        let (mut dx, mut grads) = (Vec::new(), vec![0.0; 6]);
        let (moments, normal, _) = forward(&layer, &weights, &x);
        layer.backward(&weights, &r, (&moments, &normal), &mut dx, &mut grads);
        let step = |values: &[f32], direction: &[f32], h: f32| -> Vec<f32> {
            let moved = values.iter().zip(direction);
            moved.map(|(value, d)| value + h * d).collect()
        };
        let close = |got: f64, [above, below]: [f64; 2]| {
            let want = (above - below) / 0.02;
            assert!((got - want).abs() < 2e-3 * (1.0 + want.abs()), "{got}, {want}");
        };
        let direction = numbers(3, 60);
        let at = |h| dot(&forward(&layer, &weights, &step(&x, &direction, h)).2, &r);
        close(dot(&dx, &direction), [at(0.01), at(-0.01)]);
        let direction = numbers(4, 6);
        let at = |h| dot(&forward(&layer, &step(&weights, &direction, h), &x).2, &r);
        close(dot(&grads, &direction), [at(0.01), at(-0.01)]);
    }
}
