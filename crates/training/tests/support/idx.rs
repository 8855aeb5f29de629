//! MNIST's file format, and digits to learn from where MNIST is not there.

use std::fs;
use std::path::Path;

/// Writes an IDX file of bytes.
pub(crate) fn write(path: &Path, lens: &[u32], values: &[u8]) {
    let mut bytes = vec![0, 0, 8, lens.len() as u8];
    bytes.extend(lens.iter().flat_map(|len| len.to_be_bytes()));
    bytes.extend(values);
    fs::write(path, bytes).expect("writable");
}

/// Writes images and labels of a set, `train` or `t10k`.
pub(crate) fn write_set(dir: &Path, set: &str, images: &[Vec<u8>], labels: &[u8]) {
    let count = images.len() as u32;
    let name = |kind: &str| dir.join(format!("{set}-{kind}-ubyte"));
    write(&name("images-idx3"), &[count, 28, 28], &images.concat());
    write(&name("labels-idx1"), &[labels.len() as u32], labels);
}

/// A digit as pocket calculators show it, moved a little.
pub(crate) fn digit(kind: u8, moved: usize) -> Vec<u8> {
    /// Bars that are lit: top, both at the upper sides, middle, both at the lower sides, bottom.
    const LIT: [[u8; 7]; 10] = [
        [1, 1, 1, 0, 1, 1, 1],
        [0, 0, 1, 0, 0, 1, 0],
        [1, 0, 1, 1, 1, 0, 1],
        [1, 0, 1, 1, 0, 1, 1],
        [0, 1, 1, 1, 0, 1, 0],
        [1, 1, 0, 1, 0, 1, 1],
        [1, 1, 0, 1, 1, 1, 1],
        [1, 0, 1, 0, 0, 1, 0],
        [1, 1, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 0, 1, 1],
    ];
    /// Left, top, width and height of each bar.
    const BARS: [[usize; 4]; 7] = [
        [8, 4, 11, 2],
        [7, 5, 2, 9],
        [18, 5, 2, 9],
        [8, 13, 11, 2],
        [7, 14, 2, 9],
        [18, 14, 2, 9],
        [8, 22, 11, 2],
    ];
    let mut pixels = vec![0; 28 * 28];
    let (right, down) = (moved % 5, moved / 5 % 5);
    let bars = LIT[usize::from(kind)].iter().zip(BARS);
    for (_, [left, top, width, height]) in bars.filter(|(lit, _)| **lit == 1) {
        for y in top..top + height {
            pixels[(y + down) * 28 - 2 * 28 + left + right - 2..][..width].fill(255);
        }
    }
    pixels
}
