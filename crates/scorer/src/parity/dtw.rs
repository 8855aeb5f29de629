//! Dynamic time warping, and the reference's error made of it.

/// Dynamic time warping distance: squared point cost, steps (1, 1), (1, 0) and (0, 1), the square root of the
/// cheapest path's cost, not divided by its length. Infinite when exactly one of the slices is empty.
#[must_use]
pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    // `row[j]` is the cost of aligning what has been seen of `a` with `b[..j]`.
    let mut row = vec![f64::INFINITY; b.len() + 1];
    row[0] = 0.0;
    for x in a {
        let mut diagonal = row[0];
        row[0] = f64::INFINITY;
        for (j, y) in b.iter().enumerate() {
            let cheapest = diagonal.min(row[j]).min(row[j + 1]);
            diagonal = row[j + 1];
            row[j + 1] = (x - y).powi(2) + cheapest;
        }
    }
    row[b.len()].sqrt()
}

/// The reference's DTW error of `predicted` against `truth` (same length T), with `d = 2·(score_window / 2) + 1`
/// and `h = d / 2`: both are padded with h zeros, and the distance of the windows centred on sample k lands at
/// index k + h, for k = 0 … T - d - 1. So every error sits h samples late, the last h + 1 samples have no say, and
/// the first h and last h + 1 errors are 0. All zeros when T ≤ d.
#[must_use]
pub fn error(truth: &[f64], predicted: &[f64], score_window: usize) -> Vec<f64> {
    let half = score_window / 2;
    let width = 2 * half + 1;
    let padded = |values: &[f64]| -> Vec<f64> {
        let zeros = std::iter::repeat_n(0.0, half);
        zeros.clone().chain(values.iter().copied()).chain(zeros).collect()
    };
    let (truth_padded, predicted_padded) = (padded(truth), padded(predicted));
    let mut errors = vec![0.0; truth.len()];
    for k in 0..truth.len().saturating_sub(width) {
        errors[k + half] = distance(&truth_padded[k..k + width], &predicted_padded[k..k + width]);
    }
    errors
}
