//! The arithmetic below the layers: matrix products and the element-wise functions of an LSTM cell.
//!
//! Everything here gives the same bits on every run: products are single-threaded, the element-wise functions are
//! polynomials without fused multiply-add, so that the width of the vector unit does not show.

/// A read-only matrix over a slice, with strides counted in elements.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Mat<'a> {
    /// A row-major matrix that fills `data`.
    #[must_use]
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::with_stride(data, rows, cols, cols)
    }

    /// Rows of `cols` neighbours that start `row_stride` apart; they may overlap, as the windows of a convolution do.
    #[must_use]
    pub fn with_stride(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(
            reach(rows, cols, row_stride, 1) <= data.len(),
            "matrix larger than its data"
        );
        Self {
            data,
            rows,
            cols,
            row_stride,
            col_stride: 1,
        }
    }

    /// The transpose, without a copy.
    #[must_use]
    pub fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// A writable matrix over a slice; its rows never overlap.
#[derive(Debug)]
pub struct MatMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
}

impl<'a> MatMut<'a> {
    /// A row-major matrix that fills `data`.
    #[must_use]
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        assert!(
            reach(rows, cols, cols, 1) <= data.len(),
            "matrix larger than its data"
        );
        Self {
            data,
            rows,
            cols,
            row_stride: cols,
        }
    }
}

/// What a product does with what its destination holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// `dst = a·b`
    Set,
    /// `dst = dst + a·b`
    Add,
}

/// `dst = a·b` or `dst += a·b`.
#[allow(unsafe_code)] // the one door to the `gemm` crate; bounds were checked when the matrices were made
pub fn gemm(dst: MatMut<'_>, write: Write, a: Mat<'_>, b: Mat<'_>) {
    assert!(
        dst.rows == a.rows && dst.cols == b.cols && a.cols == b.rows,
        "shapes do not fit: {}x{} = {}x{} · {}x{}",
        dst.rows,
        dst.cols,
        a.rows,
        a.cols,
        b.rows,
        b.cols
    );
    // SAFETY: `Mat` and `MatMut` hold only strides that stay inside their slices, `dst` is borrowed exclusively and
    // its rows do not overlap.
    unsafe {
        gemm::gemm(
            dst.rows,
            dst.cols,
            a.cols,
            dst.data.as_mut_ptr(),
            1,
            dst.row_stride as isize,
            write == Write::Add,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Elements of a slice that a matrix touches.
fn reach(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> usize {
    if rows == 0 || cols == 0 {
        return 0;
    }
    (rows - 1) * row_stride + (cols - 1) * col_stride + 1
}

/// Adds `row` to each row of `matrix`.
pub fn add_row(matrix: &mut [f32], row: &[f32]) {
    for chunk in matrix.chunks_exact_mut(row.len()) {
        for (value, add) in chunk.iter_mut().zip(row) {
            *value += add;
        }
    }
}

/// Adds the sum of the rows of `matrix` to `sums`.
pub fn add_column_sums(matrix: &[f32], sums: &mut [f32]) {
    for chunk in matrix.chunks_exact(sums.len()) {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value;
        }
    }
}

/// Makes `buffer` hold `len` zeros, keeping its memory.
pub fn zeros(buffer: &mut Vec<f32>, len: usize) {
    buffer.clear();
    buffer.resize(len, 0.0);
}

/// `e^x`, relative error below 2e-7 on [-87, 88], clamped outside.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Adding and subtracting 1.5·2²³ rounds to the nearest integer and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = if x > 88.0 { 88.0 } else { x };
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, so that x − n·ln 2 keeps its low bits.
    let r = (x - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 0.166_666_66;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    y * f32::from_bits(exponent)
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Hyperbolic tangent, relative error below 3e-7.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let s = x * x;
    let p = -5.704_988_7e-3;
    let p = p * s + 2.063_909e-2;
    let p = p * s - 5.373_971_4e-2;
    let p = p * s + 0.133_314_42;
    let p = p * s - 0.333_332_8;
    let small = p * s * x + x;
    let large = (1.0 - 2.0 / (exp(2.0 * a) + 1.0)).copysign(x);
    if a < 0.625 { small } else { large }
}

/// One step of LSTM cells for a batch, all row-major, `units` columns (gates: `4·units`).
pub struct CellForward<'a> {
    /// In: pre-activations i, f, c, o. Out: their activations.
    pub gates: &'a mut [f32],
    /// Cell state before the step; empty means zero.
    pub c_before: &'a [f32],
    /// Out: cell state after the step.
    pub c: &'a mut [f32],
    /// Out: `tanh` of the cell state.
    pub tanh_c: &'a mut [f32],
}

/// Signals that flow back through one step of LSTM cells, shapes as in [`CellForward`].
pub struct CellBackward<'a> {
    /// In: activations of the gates. Out: gradient of the pre-activations.
    pub gates: &'a mut [f32],
    /// Cell state before the step; empty means zero.
    pub c_before: &'a [f32],
    /// `tanh` of the cell state after the step.
    pub tanh_c: &'a [f32],
    /// Gradient of the hidden state.
    pub dh: &'a [f32],
    /// In: gradient of the cell state from later steps. Out: the same for the step before.
    pub dc: &'a mut [f32],
}

#[inline(always)]
fn cell_forward_body(cell: &mut CellForward<'_>, units: usize) {
    let rows = cell.c.len() / units;
    for row in 0..rows {
        let at = row * units..(row + 1) * units;
        let gates = &mut cell.gates[row * 4 * units..(row + 1) * 4 * units];
        let (i_and_f, rest) = gates.split_at_mut(2 * units);
        let (g, o) = rest.split_at_mut(units);
        // One simple loop a function: that is what the compiler turns into vector code.
        i_and_f.iter_mut().for_each(|v| *v = sigmoid(*v));
        g.iter_mut().for_each(|v| *v = tanh(*v));
        o.iter_mut().for_each(|v| *v = sigmoid(*v));
        let (i, f) = i_and_f.split_at(units);
        let c = &mut cell.c[at.clone()];
        for ((c, i), g) in c.iter_mut().zip(i).zip(&*g) {
            *c = i * g;
        }
        if !cell.c_before.is_empty() {
            for ((c, f), before) in c.iter_mut().zip(f).zip(&cell.c_before[at.clone()]) {
                *c += f * before;
            }
        }
        for (tanh_c, c) in cell.tanh_c[at].iter_mut().zip(&*c) {
            *tanh_c = tanh(*c);
        }
    }
}

#[inline(always)]
fn cell_backward_body(cell: &mut CellBackward<'_>, units: usize) {
    let rows = cell.dc.len() / units;
    for row in 0..rows {
        let at = row * units..(row + 1) * units;
        let gates = &mut cell.gates[row * 4 * units..(row + 1) * 4 * units];
        let (i, rest) = gates.split_at_mut(units);
        let (f, rest) = rest.split_at_mut(units);
        let (g, o) = rest.split_at_mut(units);
        let o = &mut o[..units];
        let dc = &mut cell.dc[at.clone()];
        let dh = &cell.dh[at.clone()];
        let tanh_c = &cell.tanh_c[at.clone()];
        for j in 0..units {
            let d = dc[j] + dh[j] * o[j] * (1.0 - tanh_c[j] * tanh_c[j]);
            o[j] = dh[j] * tanh_c[j] * o[j] * (1.0 - o[j]);
            let (input, candidate) = (i[j], g[j]);
            i[j] = d * candidate * input * (1.0 - input);
            g[j] = d * input * (1.0 - candidate * candidate);
            dc[j] = d * f[j];
            f[j] = d * f[j] * (1.0 - f[j]);
        }
        if cell.c_before.is_empty() {
            f.fill(0.0);
        } else {
            let before = &cell.c_before[at];
            for j in 0..units {
                f[j] *= before[j];
            }
        }
    }
}

#[inline(always)]
fn tanh_in_place_body(values: &mut [f32]) {
    for value in values {
        *value = tanh(*value);
    }
}

/// Compiles a body twice, for the baseline and for wider vectors, and picks once a call. Neither contracts
/// multiplications and additions, so both give the same bits.
macro_rules! widened {
    ($(#[$doc:meta])* $name:ident, $body:ident($($arg:ident: $type:ty),*)) => {
        $(#[$doc])*
        #[allow(unsafe_code)] // calls a copy compiled for a feature that was just detected
        pub fn $name($($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f")]
                fn widest($($arg: $type),*) {
                    $body($($arg),*);
                }
                #[target_feature(enable = "avx2")]
                fn wide($($arg: $type),*) {
                    $body($($arg),*);
                }
                if std::arch::is_x86_feature_detected!("avx512f") {
                    // SAFETY: the feature was detected.
                    return unsafe { widest($($arg),*) };
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the feature was detected.
                    return unsafe { wide($($arg),*) };
                }
            }
            $body($($arg),*);
        }
    };
}

widened!(
    /// Activates the gates and advances the cell state.
    cell_forward, cell_forward_body(cell: &mut CellForward<'_>, units: usize)
);
widened!(
    /// Turns the gradient of the hidden state into that of the gates' pre-activations.
    cell_backward, cell_backward_body(cell: &mut CellBackward<'_>, units: usize)
);
widened!(
    /// `tanh` of every value.
    tanh_in_place, tanh_in_place_body(values: &mut [f32])
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approximations_are_close_to_the_real_functions() {
        let mut worst = [0f64; 2];
        for k in -90_000..90_000 {
            let x = k as f32 * 1e-3;
            let (e, t) = (f64::from(x).exp(), f64::from(x).tanh());
            if x > -87.0 && x < 88.0 {
                worst[0] = worst[0].max((f64::from(exp(x)) - e).abs() / e);
            }
            if k != 0 {
                worst[1] = worst[1].max(((f64::from(tanh(x)) - t) / t).abs());
            }
        }
        assert!(worst[0] < 2e-7 && worst[1] < 3e-7, "{worst:?}");
        assert!(exp(-1e9) < 1e-37 && exp(1e9) > 1e37 && tanh(0.0) == 0.0);
        assert_eq!([tanh(40.0), tanh(-40.0)], [1.0, -1.0]);
    }

    #[test]
    fn wide_and_narrow_code_give_the_same_bits() {
        let input: Vec<f32> = (0..1003).map(|k| (k as f32 - 500.0) * 0.013).collect();
        let (mut narrow, mut wide) = (input.clone(), input);
        tanh_in_place_body(&mut narrow);
        tanh_in_place(&mut wide);
        assert_eq!(narrow, wide);
    }

    #[test]
    fn products_follow_strides_and_transposes() {
        let a = [1.0, 2.0, 3.0, 4.0];
        // Overlapping rows [1 2], [2 3], [3 4].
        let windows = Mat::with_stride(&a, 3, 2, 1);
        let b = [1.0, 10.0];
        let mut out = [0.0; 3];
        gemm(
            MatMut::new(&mut out, 3, 1),
            Write::Set,
            windows,
            Mat::new(&b, 2, 1),
        );
        assert_eq!(out, [21.0, 32.0, 43.0]);
        let mut sums = [1.0, 1.0];
        let ones = [1.0; 3];
        gemm(
            MatMut::new(&mut sums, 2, 1),
            Write::Add,
            windows.t(),
            Mat::new(&ones, 3, 1),
        );
        assert_eq!(sums, [7.0, 10.0]);
    }
}
