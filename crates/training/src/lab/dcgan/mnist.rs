//! MNIST (LeCun, Cortes and Burges) as its four IDX files, plain or gzipped.
//!
//! An IDX file is two zero bytes, the kind of its values (8: bytes), how many dimensions, the length of each as four
//! bytes, the largest first, and then the values.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use super::DIGIT;

/// Kinds of digits.
pub(super) const KINDS: usize = 10;

/// The files can not be used.
#[derive(Debug, thiserror::Error)]
pub enum MnistError {
    /// One is not there.
    #[error("{dir} holds no {name}, plain or as {name}.gz")]
    Absent {
        /// Where it was looked for.
        dir: PathBuf,
        /// Its name.
        name: String,
    },
    /// One cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// One holds something else.
    #[error("{path}: {reason}")]
    Format {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Digits and what they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Digits {
    /// 28 × 28 pixels each, 255 is ink.
    pixels: Vec<u8>,
    pub(super) labels: Vec<u8>,
}

/// What is learned from, and what is judged by.
#[derive(Clone, Debug)]
pub(super) struct Mnist {
    pub(super) train: Digits,
    pub(super) test: Digits,
    /// SHA-256 of all that they hold.
    pub(super) hash: String,
}

impl Digits {
    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// The pixels of some of them side by side, onto [-1, 1].
    pub(super) fn scaled(&self, which: impl Iterator<Item = usize>) -> Vec<f32> {
        let len = DIGIT.len();
        let pixels = which.flat_map(|number| &self.pixels[number * len..(number + 1) * len]);
        pixels.map(|pixel| (f32::from(*pixel) - 127.5) / 127.5).collect()
    }

    fn read(dir: &Path, name: &str) -> Result<Self, MnistError> {
        let (path, pixels) = read(dir, &format!("{name}-images-idx3-ubyte"), 3)?;
        let bad = |path: PathBuf, reason: String| Err(MnistError::Format { path, reason });
        if pixels.lens[1..] != [DIGIT.side, DIGIT.side] {
            let reason = format!(
                "its images are {} x {}, not 28 x 28",
                pixels.lens[1], pixels.lens[2]
            );
            return bad(path, reason);
        }
        if pixels.lens[0] == 0 {
            return bad(path, "it holds no image".to_owned());
        }
        let (path, labels) = read(dir, &format!("{name}-labels-idx1-ubyte"), 1)?;
        if labels.lens[0] != pixels.lens[0] {
            let reason = format!("it has {} labels for {} images", labels.lens[0], pixels.lens[0]);
            return bad(path, reason);
        }
        if let Some(label) = labels.values.iter().find(|label| usize::from(**label) >= KINDS) {
            return bad(path, format!("it has the label {label}; digits are 0 to 9"));
        }
        Ok(Self {
            pixels: pixels.values,
            labels: labels.values,
        })
    }
}

impl Mnist {
    /// Reads the four files in `dir`.
    pub(super) fn read(dir: &Path) -> Result<Self, MnistError> {
        let (train, test) = (Digits::read(dir, "train")?, Digits::read(dir, "t10k")?);
        let mut hash = Sha256::new();
        for digits in [&train, &test] {
            hash.update(&digits.pixels);
            hash.update(&digits.labels);
        }
        let hash = hash.finalize().into_iter().map(|byte| format!("{byte:02x}"));
        Ok(Self {
            hash: hash.collect(),
            train,
            test,
        })
    }
}

/// What an IDX file holds.
struct Idx {
    lens: Vec<usize>,
    values: Vec<u8>,
}

/// Reads a file of bytes in `dimensions` dimensions.
fn read(dir: &Path, name: &str, dimensions: usize) -> Result<(PathBuf, Idx), MnistError> {
    let plain = dir.join(name);
    let packed = dir.join(format!("{name}.gz"));
    let (path, bytes) = match (File::open(&plain), File::open(&packed)) {
        (Ok(file), _) => {
            let mut bytes = Vec::new();
            (plain, BufReader::new(file).read_to_end(&mut bytes).map(|_| bytes))
        }
        (Err(_), Ok(file)) => {
            let mut bytes = Vec::new();
            let mut file = MultiGzDecoder::new(BufReader::new(file));
            (packed, file.read_to_end(&mut bytes).map(|_| bytes))
        }
        (Err(one), Err(other)) => {
            let there = [(plain, one), (packed, other)];
            let mut there = there.into_iter().filter(|(_, error)| !is_absent(error.kind()));
            return Err(match there.next() {
                Some((path, source)) => MnistError::Read { path, source },
                None => MnistError::Absent {
                    dir: dir.to_owned(),
                    name: name.to_owned(),
                },
            });
        }
    };
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(source) => {
            let damaged = [
                ErrorKind::InvalidData,
                ErrorKind::InvalidInput,
                ErrorKind::UnexpectedEof,
            ];
            return Err(if damaged.contains(&source.kind()) {
                let reason = format!("it is damaged, or not gzipped: {source}");
                MnistError::Format { path, reason }
            } else {
                MnistError::Read { path, source }
            });
        }
    };
    match parse(bytes, dimensions) {
        Ok(idx) => Ok((path, idx)),
        Err(reason) => Err(MnistError::Format { path, reason }),
    }
}

/// A path through something that is no directory leads nowhere, too.
fn is_absent(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn parse(mut bytes: Vec<u8>, dimensions: usize) -> Result<Idx, String> {
    const BYTES: u8 = 8;
    let head = 4 + 4 * dimensions;
    if bytes.get(..4) != Some(&[0, 0, BYTES, dimensions as u8]) {
        return Err(format!("it is no IDX file of bytes in {dimensions} dimensions"));
    }
    let Some(lens) = bytes.get(4..head) else {
        return Err("it ends in its header".to_owned());
    };
    let len = |four: &[u8]| four.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
    let lens: Vec<usize> = lens.chunks_exact(4).map(len).collect();
    let product = lens.iter().try_fold(1usize, |all, len| all.checked_mul(*len));
    let there = bytes.len() - head;
    if product != Some(there) {
        let lens: Vec<String> = lens.iter().map(usize::to_string).collect();
        return Err(format!(
            "it has {there} values where its header promises {}",
            lens.join(" x ")
        ));
    }
    bytes.drain(..head);
    Ok(Idx { lens, values: bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_held_to_their_header() {
        let read = |bytes: &[u8]| parse(bytes.to_vec(), 1).map(|idx| idx.values);
        assert_eq!(read(&[0, 0, 8, 1, 0, 0, 0, 2, 7, 9]), Ok(vec![7, 9]));
        for bad in [
            &[][..],
            &[0, 0, 8],
            &[0, 0, 8, 3, 0, 0, 0, 2, 7, 9],
            &[0, 0, 13, 1, 0, 0, 0, 2, 7, 9],
            &[0, 0, 8, 1, 0, 0],
            &[0, 0, 8, 1, 0, 0, 0, 2, 7],
            &[0, 0, 8, 1, 0, 0, 0, 2, 7, 9, 1],
            &[0, 0, 8, 1, 255, 255, 255, 255, 7],
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        // Lengths whose product is no number of this machine's.
        let huge = [&[0, 0, 8, 3][..], &[255; 12], &[1]].concat();
        assert!(parse(huge, 3).is_err());
    }

    #[test]
    fn pixels_are_scaled_onto_plus_and_minus_one() {
        let digits = Digits {
            pixels: [vec![0; DIGIT.len()], vec![255; DIGIT.len()]].concat(),
            labels: vec![0, 1],
        };
        let scaled = digits.scaled([1, 0].into_iter());
        assert_eq!((scaled[0], scaled[2 * DIGIT.len() - 1]), (1.0, -1.0));
    }

    #[test]
    fn the_real_files_are_read() {
        let Some(root) = std::env::var_os("AGENT_REFERENCE_DATA") else {
            println!("SKIPPED: MNIST: set AGENT_REFERENCE_DATA to the folder with the reference data");
            return;
        };
        let mnist = Mnist::read(&Path::new(&root).join("mnist")).unwrap();
        assert_eq!((mnist.train.len(), mnist.test.len()), (60_000, 10_000));
        assert_eq!(mnist.train.labels[..8], [5, 0, 4, 1, 9, 2, 1, 3]);
        let ink = mnist
            .test
            .pixels
            .iter()
            .map(|pixel| f64::from(*pixel))
            .sum::<f64>();
        // The mean pixel, as it is often given: 0.1325.
        let mean = ink / mnist.test.pixels.len() as f64 / 255.0;
        assert!((mean - 0.1325).abs() < 1e-4, "{mean}");
    }
}
