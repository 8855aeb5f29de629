//! Pictures of a few shades as PNG, and several of them as one that moves (APNG; the third edition of the PNG
//! specification).

use std::io::Write as _;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Shades of a picture: sixteen, of four bits.
const BITS: u8 = 4;
pub(super) const SHADES: u8 = 1 << BITS;

/// A PNG of shades (0 is black), rows of `width`.
pub(super) fn still(width: usize, shades: &[u8]) -> Vec<u8> {
    let height = shades.len() / width;
    let mut head = Vec::new();
    for side in [width, height] {
        head.extend((side as u32).to_be_bytes());
    }
    // Grey, no interlacing.
    head.extend([BITS, 0, 0, 0, 0]);
    let mut rows = Vec::new();
    for row in shades.chunks_exact(width) {
        // No filter: neighbours of few shades repeat as they are.
        rows.push(0);
        let pairs = row.chunks(2);
        rows.extend(pairs.map(|pair| pair[0] << BITS | pair.get(1).copied().unwrap_or_default()));
    }
    let mut out = SIGNATURE.to_vec();
    chunk(*b"IHDR", &head, &mut out);
    chunk(*b"IDAT", &packed(&rows), &mut out);
    chunk(*b"IEND", &[], &mut out);
    out
}

/// PNGs of [`still`], of one size, as one that shows each for so many milliseconds and the last for longer, again and
/// again. Where pictures do not move the last is shown. `None` when they are no such PNGs.
pub(super) fn moving(stills: &[Vec<u8>], milliseconds: u16) -> Option<Vec<u8>> {
    const LAST: u16 = 3;
    let (head, last) = contents(stills.last()?)?;
    let mut out = SIGNATURE.to_vec();
    chunk(*b"IHDR", head, &mut out);
    let frames = (stills.len() as u32).to_be_bytes();
    chunk(*b"acTL", &[frames, [0; 4]].concat(), &mut out);
    // Not part of the animation, for no frame's control comes before it.
    chunk(*b"IDAT", last, &mut out);
    let mut sequence = 0u32;
    let mut next = || {
        sequence += 1;
        (sequence - 1).to_be_bytes()
    };
    for (number, still) in stills.iter().enumerate() {
        let (own, data) = contents(still)?;
        if own != head {
            return None;
        }
        let shown = if number + 1 == stills.len() { LAST } else { 1 } * milliseconds;
        let delay = [shown.to_be_bytes(), 1000u16.to_be_bytes()].concat();
        let control = [&next()[..], &head[..8], &[0; 8], &delay, &[0; 2]].concat();
        chunk(*b"fcTL", &control, &mut out);
        chunk(*b"fdAT", &[&next()[..], data].concat(), &mut out);
    }
    chunk(*b"IEND", &[], &mut out);
    Some(out)
}

/// Header and data of a PNG of [`still`].
fn contents(png: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = png.strip_prefix(SIGNATURE)?;
    let mut next = |wanted: &[u8]| {
        let (len, tail) = rest.split_first_chunk()?;
        let (name, tail) = tail.split_first_chunk::<4>()?;
        let (data, tail) = tail.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        rest = tail.get(4..)?;
        (name == wanted).then_some(data)
    };
    Some((next(b"IHDR")?, next(b"IDAT")?))
}

fn chunk(name: [u8; 4], data: &[u8], out: &mut Vec<u8>) {
    let mut sum = Crc::new();
    sum.update(&name);
    sum.update(data);
    out.extend((data.len() as u32).to_be_bytes());
    out.extend(name);
    out.extend(data);
    out.extend(sum.sum().to_be_bytes());
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::best());
    // Writing to a Vec cannot fail.
    let _ = packer.write_all(bytes);
    packer.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// Names of the chunks, each of which has the sum that it should have.
    fn chunks(png: &[u8]) -> Vec<String> {
        let mut rest = png.strip_prefix(SIGNATURE).expect("a PNG");
        let mut names = Vec::new();
        while !rest.is_empty() {
            let len = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
            let mut sum = Crc::new();
            sum.update(&rest[4..8 + len]);
            assert_eq!(rest[8 + len..12 + len], sum.sum().to_be_bytes());
            names.push(String::from_utf8(rest[4..8].to_vec()).unwrap());
            rest = &rest[12 + len..];
        }
        names
    }

    #[test]
    fn what_is_drawn_is_in_the_file() {
        let png = still(3, &[0, 15, 7, 1, 2, 3]);
        assert_eq!(chunks(&png), ["IHDR", "IDAT", "IEND"]);
        let (head, data) = contents(&png).unwrap();
        assert_eq!(head, [0, 0, 0, 3, 0, 0, 0, 2, 4, 0, 0, 0, 0]);
        let mut rows = Vec::new();
        flate2::read::ZlibDecoder::new(data)
            .read_to_end(&mut rows)
            .unwrap();
        assert_eq!(rows, [0, 0x0F, 0x70, 0, 0x12, 0x30]);
    }

    #[test]
    fn pictures_move_in_order() {
        let stills = [still(2, &[0; 4]), still(2, &[9; 4])];
        let png = moving(&stills, 500).unwrap();
        let frame = ["fcTL", "fdAT"];
        let want = [&["IHDR", "acTL", "IDAT"], &frame[..], &frame, &["IEND"]].concat();
        assert_eq!(chunks(&png), want);
        let [first, last] = stills.each_ref().map(|still| contents(still).unwrap().1);
        let at = |what: &[u8]| png.windows(what.len()).rposition(|window| window == what);
        assert!(at(first) < at(last));
        assert_eq!(moving(&[still(2, &[0; 4]), still(1, &[0; 4])], 1), None);
        assert_eq!(moving(&[b"no picture".to_vec()], 1), None);
    }
}
