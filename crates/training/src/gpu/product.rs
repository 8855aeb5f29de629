//! Matrix products on the device: what all layers are made of. See `product.wgsl`.

use wgpu::Buffer;

use super::device::{BUSY, Recorder, TILE, over};

/// Shortest sum that is worth a workgroup of its own.
const PART: usize = 128;

const TRANSPOSED: u32 = 1;
const ADD: u32 = 2;
const BIAS: u32 = 4;
const PARTS: u32 = 8;

/// How the rows of the left side of a product are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) rows: usize,
    pub(super) sample: usize,
    pub(super) stride: usize,
    pub(super) pad: usize,
    pub(super) limit: usize,
    pub(super) repeat: usize,
    pub(super) width: usize,
}

impl View {
    /// Rows of `width` values, one after the other.
    pub(super) fn matrix(width: usize) -> Self {
        Self {
            rows: 1,
            sample: width,
            stride: 0,
            pad: 0,
            limit: 1,
            repeat: 1,
            width,
        }
    }

    /// One row of `len` values, all the same one.
    fn same(len: usize) -> Self {
        Self {
            limit: len,
            repeat: len,
            ..Self::matrix(1)
        }
    }
}

/// The left side, where it begins, how it is read.
pub(super) type Left<'a> = (&'a Buffer, usize, View);
/// The right side, where it begins, the steps from row to row and from column to column.
pub(super) type Right<'a> = (&'a Buffer, usize, [usize; 2]);

/// A product to be made.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    /// Rows, columns, and the length of the sums.
    shape: (usize, usize, usize),
    a: Left<'a>,
    b: Right<'a>,
    out: (&'a Buffer, usize),
    bias: usize,
    flags: u32,
}

impl<'a> Product<'a> {
    pub(super) fn new(
        shape: (usize, usize, usize),
        a: Left<'a>,
        b: Right<'a>,
        out: (&'a Buffer, usize),
    ) -> Self {
        Self {
            shape,
            a,
            b,
            out,
            bias: 0,
            flags: 0,
        }
    }

    /// Adds what stands at `bias` in the buffer of the right side to each row.
    pub(super) fn with_bias(self, bias: usize) -> Self {
        let flags = self.flags | BIAS;
        Self { bias, flags, ..self }
    }

    /// Reads the left side transposed, and adds to what is there: the gradient of a weight.
    pub(super) fn summed(self) -> Self {
        let flags = self.flags | TRANSPOSED | ADD;
        Self { flags, ..self }
    }

    /// Makes it.
    pub(super) fn make(self, r: &mut Recorder<'_>) {
        let (m, n, k) = self.shape;
        let tiles = m.div_ceil(TILE) * n.div_ceil(TILE);
        let parts = (BUSY / tiles).min(k / PART).max(1);
        let part = k.div_ceil(parts);
        let groups = [n.div_ceil(TILE), m.div_ceil(TILE), k.div_ceil(part)];
        let words = self.words(part, self.flags);
        let (a, b, out) = (self.a.0, self.b.0, self.out.0);
        if parts == 1 {
            r.run("product", (&[a, b], &[out]), &words, groups);
        } else {
            let scratch = &r.device.parts;
            let into_parts = self.words(part, self.flags | PARTS);
            r.run("product", (&[a, b], &[scratch]), &into_parts, groups);
            r.run("gather", (&[scratch, b], &[out]), &words, over(m * n));
        }
    }

    /// Gradient of the input of a convolution, of `len` values, from that of the left side.
    pub(super) fn scatter(self, r: &mut Recorder<'_>, len: usize) {
        let words = self.words(0, 0);
        r.run("scatter", (&[self.a.0], &[self.out.0]), &words, over(len));
    }

    fn words(&self, part: usize, flags: u32) -> Vec<u32> {
        let ((m, n, k), (_, a, view), (_, b, [b_row, b_column])) = (self.shape, self.a, self.b);
        let before = [m, n, k, part, flags as usize, a];
        let view = [
            view.rows,
            view.sample,
            view.stride,
            view.pad,
            view.limit,
            view.repeat,
            view.width,
        ];
        let after = [b, b_row, b_column, self.bias, self.out.1];
        let words = before.into_iter().chain(view).chain(after);
        words.map(|w| w as u32).collect()
    }
}

/// Adds the sums of the columns of a matrix, `rows` by `n` from `begin` on, to `out`.
pub(super) fn column_sums(
    r: &mut Recorder<'_>,
    (dy, begin): (&Buffer, usize),
    (rows, n): (usize, usize),
    out: (&Buffer, usize),
) {
    let ones = (&r.device.one, 0, View::same(rows));
    let sums = Product::new((1, n, rows), ones, (dy, begin, [n, 1]), out);
    Product { flags: ADD, ..sums }.make(r);
}
