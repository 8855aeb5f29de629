//! Reference data for tests: finding it, and reading the numpy archives it comes in.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The folder with the reference's numbers, or a loud line and `None`.
pub(crate) fn parity_folder(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("AGENT_REFERENCE_DATA").map(|root| Path::new(&root).join("parity"));
    if folder.is_none() {
        println!("SKIPPED: {test}: set AGENT_REFERENCE_DATA to the folder with the reference data");
    }
    folder
}

/// Arrays of a `.npz` file by name: flat values, widened to f64.
pub(crate) fn read_npz(path: &Path) -> BTreeMap<String, Vec<f64>> {
    let bytes = std::fs::read(path).expect("readable archive");
    let u16_at = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let u32_at = |at: usize| u16_at(at) + (u16_at(at + 2) << 16);
    // The end record holds count and place of the central directory, which holds the sizes.
    let end = bytes
        .windows(4)
        .rposition(|w| w == b"PK\x05\x06")
        .expect("a zip archive");
    let (count, mut at) = (u16_at(end + 10), u32_at(end + 16));
    let mut arrays = BTreeMap::new();
    for _ in 0..count {
        let (packed, name_len, local) = (u32_at(at + 20), u16_at(at + 28), u32_at(at + 42));
        let name = String::from_utf8_lossy(&bytes[at + 46..at + 46 + name_len]).into_owned();
        let data = local + 30 + u16_at(local + 26) + u16_at(local + 28);
        let packed = &bytes[data..data + packed];
        let mut npy = Vec::new();
        if u16_at(at + 10) == 0 {
            npy.extend_from_slice(packed);
        } else {
            flate2::read::DeflateDecoder::new(packed)
                .read_to_end(&mut npy)
                .expect("deflate stream");
        }
        arrays.insert(name.trim_end_matches(".npy").to_owned(), parse_npy(&npy));
        at += 46 + name_len + u16_at(at + 30) + u16_at(at + 32);
    }
    arrays
}

fn parse_npy(npy: &[u8]) -> Vec<f64> {
    assert_eq!(&npy[..6], b"\x93NUMPY");
    let header_len = usize::from(u16::from_le_bytes([npy[8], npy[9]]));
    let header = String::from_utf8_lossy(&npy[10..10 + header_len]);
    let data = &npy[10 + header_len..];
    assert!(header.contains("'fortran_order': False"), "{header}");
    if header.contains("'<f8'") {
        data.chunks_exact(8)
            .map(|b| f64::from_le_bytes(b.try_into().expect("8 bytes")))
            .collect()
    } else if header.contains("'<f4'") {
        data.chunks_exact(4)
            .map(|b| f64::from(f32::from_le_bytes(b.try_into().expect("4 bytes"))))
            .collect()
    } else {
        assert!(header.contains("'<i8'"), "{header}");
        data.chunks_exact(8)
            .map(|b| i64::from_le_bytes(b.try_into().expect("8 bytes")) as f64)
            .collect()
    }
}

/// Float32 copies of an array.
pub(crate) fn f32s(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}

/// Asserts that `got` is within `relative` of `want` in L2, or within 1e-6 where `want` is zero.
pub(crate) fn assert_close(name: &str, got: impl IntoIterator<Item = f32>, want: &[f64], relative: f64) {
    let got: Vec<f64> = got.into_iter().map(f64::from).collect();
    assert_eq!(got.len(), want.len(), "{name}: length");
    let norm = want.iter().map(|w| w * w).sum::<f64>().sqrt();
    let off = got
        .iter()
        .zip(want)
        .map(|(g, w)| (g - w).powi(2))
        .sum::<f64>()
        .sqrt();
    let allowed = if norm == 0.0 { 1e-6 } else { relative * norm };
    assert!(
        off <= allowed,
        "{name}: off by {off:.3e} of {norm:.3e}, allowed {allowed:.3e}"
    );
}

/// Asserts that no value differs by more than `tolerance`.
pub(crate) fn assert_within(name: &str, got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{name}: length");
    let worst = got
        .iter()
        .zip(want)
        .map(|(g, w)| (f64::from(*g) - w).abs())
        .fold(0.0, f64::max);
    assert!(worst <= tolerance, "{name}: off by {worst:.3e}");
}
