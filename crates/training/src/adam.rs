//! Adam as Keras has it: epsilon outside the bias correction.

/// Learning rate of the reference.
pub const LEARNING_RATE: f64 = 0.0005;

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f32 = 1e-7;

/// What is kept and taken of the first moment, of the second, and epsilon.
pub const FACTORS: [f32; 5] = [
    BETA_1 as f32,
    (1.0 - BETA_1) as f32,
    BETA_2 as f32,
    (1.0 - BETA_2) as f32,
    EPSILON,
];

/// The rate of update number `step` (from 1), both moments' biases corrected.
#[must_use]
pub fn corrected(step: u64, rate: f64) -> f32 {
    corrected_decaying(BETA_1, step, rate)
}

fn corrected_decaying(beta_1: f64, step: u64, rate: f64) -> f32 {
    let t = step.min(i32::MAX as u64) as i32;
    (rate * (1.0 - BETA_2.powi(t)).sqrt() / (1.0 - beta_1.powi(t))) as f32
}

/// Update number `step` (from 1): moments follow the gradient, then
/// `w −= lr·√(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)`.
///
/// PyTorch adds epsilon after correcting `v`; on tiny gradients the two differ by up to 0.7·lr.
pub fn update(
    step: u64,
    rate: f64,
    grads: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    weights: &mut [f32],
) {
    update_decaying(BETA_1, step, rate, grads, first, second, weights);
}

/// [`update`] with another decay of the first moment: GANs wander less with a short memory.
pub fn update_decaying(
    beta_1: f64,
    step: u64,
    rate: f64,
    grads: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    weights: &mut [f32],
) {
    let rate = corrected_decaying(beta_1, step, rate);
    let [_, _, keep_2, take_2, epsilon] = FACTORS;
    let (keep_1, take_1) = (beta_1 as f32, (1.0 - beta_1) as f32);
    let moments = first.iter_mut().zip(second.iter_mut());
    for ((w, g), (m, v)) in weights.iter_mut().zip(grads).zip(moments) {
        *m = keep_1 * *m + take_1 * g;
        *v = keep_2 * *v + take_2 * g * g;
        *w -= rate * *m / (v.sqrt() + epsilon);
    }
}
