//! Reads the float arrays of an `.npz`: a zip of `.npy` files, stored or deflated.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// Arrays by name, flattened in C order and widened to double.
pub(crate) struct Npz(BTreeMap<String, Vec<f64>>);

impl Npz {
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let mut arrays = BTreeMap::new();
        // The central directory knows the sizes that local headers may leave out.
        let end = bytes.windows(4).rposition(|w| w == b"PK\x05\x06").unwrap();
        let mut at = u32_at(&bytes, end + 16);
        for _ in 0..u16_at(&bytes, end + 10) {
            assert_eq!(&bytes[at..at + 4], b"PK\x01\x02");
            let method = u16_at(&bytes, at + 10);
            let packed = u32_at(&bytes, at + 20);
            let [name, extra, comment] = [28, 30, 32].map(|field| u16_at(&bytes, at + field));
            let header = u32_at(&bytes, at + 42);
            let data = header + 30 + u16_at(&bytes, header + 26) + u16_at(&bytes, header + 28);
            let entry = std::str::from_utf8(&bytes[at + 46..at + 46 + name]).unwrap();
            let npy = unpack(method, &bytes[data..data + packed]);
            arrays.insert(entry.trim_end_matches(".npy").to_owned(), numbers(&npy));
            at += 46 + name + extra + comment;
        }
        Self(arrays)
    }

    #[track_caller]
    pub(crate) fn array(&self, name: &str) -> &[f64] {
        self.0.get(name).unwrap_or_else(|| panic!("no array {name}"))
    }
}

fn unpack(method: usize, packed: &[u8]) -> Vec<u8> {
    match method {
        0 => packed.to_vec(),
        8 => {
            let mut bytes = Vec::new();
            flate2::read::DeflateDecoder::new(packed)
                .read_to_end(&mut bytes)
                .unwrap();
            bytes
        }
        _ => panic!("zip method {method}"),
    }
}

fn numbers(npy: &[u8]) -> Vec<f64> {
    assert_eq!(&npy[..7], b"\x93NUMPY\x01");
    let header_end = 10 + u16_at(npy, 8);
    let header = std::str::from_utf8(&npy[10..header_end]).unwrap();
    assert!(header.contains("'fortran_order': False"), "{header}");
    let data = &npy[header_end..];
    let wide = || data.chunks_exact(8).map(|b| b.try_into().unwrap());
    if header.contains("'<f8'") {
        wide().map(f64::from_le_bytes).collect()
    } else if header.contains("'<i8'") {
        wide().map(|b| i64::from_le_bytes(b) as f64).collect()
    } else if header.contains("'<f4'") {
        let narrow = data
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        narrow.map(f64::from).collect()
    } else {
        panic!("{header}")
    }
}

fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()))
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}
