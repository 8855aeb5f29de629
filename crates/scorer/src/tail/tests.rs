//! Shapes by hand, and the sketch against the list that it stands for.

use super::*;
use proptest::prelude::*;

fn filled(spec: &TailSpec, errors: impl IntoIterator<Item = f64>) -> Tail {
    let mut tail = Tail::default();
    for e in errors {
        tail.push(spec, e);
    }
    tail
}

#[test]
fn an_exponential_reference_is_calibrated() {
    // Quantiles of a unit exponential: P(error ≥ r) = e^−r, so r = 3 ln 10 is three decades out.
    let spec = TailSpec::default();
    let mut tail = filled(
        &spec,
        (0..4000).map(|i| -(1.0 - (f64::from(i) * 0.618_034).fract() * 0.9999).ln()),
    );
    let decades = tail.decades(&spec, 0.0, 3.0 * std::f64::consts::LN_10);
    assert!((decades - 3.0).abs() < 0.15, "{decades}");
    let back = tail.error_at(&spec, 0.0, decades).unwrap();
    assert!((back - 3.0 * std::f64::consts::LN_10).abs() < 1e-9, "{back}");
}

#[test]
fn a_short_reference_promises_little() {
    let spec = TailSpec::default();
    let mut one = filled(&spec, [1.0]);
    assert!(one.decades(&spec, 0.1, 1e9) <= 2_f64.log10() + 1e-12);
    assert_eq!(one.error_at(&spec, 0.1, 3.0), None);
    assert_eq!(Tail::default().decades(&spec, 0.1, 5.0), 0.0);
}

#[test]
fn a_reference_of_zeros_needs_the_floor() {
    let spec = TailSpec::default();
    let mut tail = filled(&spec, std::iter::repeat_n(0.0, 500));
    assert_eq!(tail.decades(&spec, 1.0, 0.0), 0.0);
    let decades = tail.decades(&spec, 1.0, 1.0);
    assert!((decades - (-(0.05_f64).log10() + 1.0 / std::f64::consts::LN_10)).abs() < 1e-9);
    assert_eq!(tail.decades(&spec, 1e-9, 1.0), DECADES_MAX);
}

#[test]
fn beyond_belief_a_decade_counts_less_and_order_stays() {
    let spec = TailSpec::default();
    let mut even = Even(1);
    let mut tail = filled(&spec, std::iter::repeat_with(|| -even.next().ln()).take(1000));
    let believed = 1001_f64.log10() + EXTRAPOLATION;
    let mut last = 0.0;
    for tenths in 20..100 {
        let decades = f64::from(tenths) / 10.0;
        let r = tail.error_at(&spec, 0.1, decades).unwrap();
        assert!(r > last, "{decades}: {r} after {last}");
        assert!((tail.decades(&spec, 0.1, r) - decades).abs() < 1e-9, "{decades}");
        last = r;
    }
    let at = |tail: &mut Tail, decades| tail.error_at(&spec, 0.1, decades).unwrap();
    let fit = tail.fitted.unwrap();
    let far = fit.decades(0.1, at(&mut tail, believed + 0.7));
    assert!((far - believed - 1.0).abs() < 1e-9, "{far}");
}

/// What [`Tail`] stands for: every error, sorted.
fn exact_decades(spec: &TailSpec, past: &[f64], floor: f64, r: f64) -> f64 {
    let mut sorted = past.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let n = sorted.len();
    let k = (spec.share * n as f64) as usize;
    let (u, tail) = (sorted[n - k - 1], &sorted[n - k..]);
    if r <= u {
        let at_least = n - sorted.partition_point(|e| *e < r);
        return -((at_least as f64 + 1.0) / (n as f64 + 1.0)).log10();
    }
    let mean = tail.iter().map(|e| e - u).sum::<f64>() / k as f64;
    let variance = tail.iter().map(|e| (e - u - mean).powi(2)).sum::<f64>() / k as f64;
    let xi = (0.5 * (1.0 - mean * mean / variance)).clamp(0.0, 0.45);
    let (sigma, base) = ((mean * (1.0 - xi)).max(floor), -(k as f64 / n as f64).log10());
    if xi > 1e-6 {
        base + (1.0 + xi * (r - u) / sigma).log10() / xi
    } else {
        base + (r - u) / sigma / std::f64::consts::LN_10
    }
}

/// Even in (0, 1), by SplitMix64.
struct Even(u64);

impl Even {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((z ^ (z >> 31)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }
}

const SHAPES: usize = 7;

/// The error number `i` of a channel of some shape.
fn shaped(shape: usize, i: usize, even: &mut Even) -> f64 {
    let one = -even.next().ln();
    match shape {
        0 => one,
        // A heavy tail of index 2.
        1 => even.next().powf(-0.5),
        // Up or down tenfold every 6000.
        2 => one * 10_f64.powf(i as f64 / 6000.0),
        3 => one * 10_f64.powf(i as f64 / -6000.0),
        // An event of 60 every 3000: well short of a tail, in which one jump would decide where it starts.
        4 if (2000..2060).contains(&(i % 3000)) => one + 30.0,
        4 => one,
        // Nothing to say mostly.
        5 if even.next() < 0.9 => 0.0,
        5 => one,
        // Whole numbers.
        _ => (3.0 * one).floor(),
    }
}

#[test]
fn the_sketch_is_close_to_the_list() {
    let whole = TailSpec {
        refresh: 1,
        ..TailSpec::default()
    };
    let short = TailSpec {
        history: 1000,
        items: 104,
        ..whole
    };
    let specs = [
        (whole, 0.0),
        (whole.of_companions(), 0.05),
        (whole.rough(), 0.3),
        (short, 0.2),
    ];
    for ((spec, more), shape) in specs
        .into_iter()
        .flat_map(|spec| (0..SHAPES).map(move |shape| (spec, shape)))
        // Of 1000 errors the event is a sixteenth, and where the tail starts a matter of chance.
        .filter(|((spec, _), shape)| spec.history > 1000 || *shape != 4)
    {
        // Decades at which they are compared, and by how many they may differ; with fewer items by a little more: the short
        // one is of the coarse window, of which three tenths count.
        let bounds = [(0.7, 0.1), (2.0, 0.15), (3.0, 0.3), (4.5, 0.8)].map(|(at, by)| (at, by + more));
        let mut worst = [0.0_f64; 4];
        for seed in 0..3 {
            let (mut even, mut tail, mut all) = (Even(seed), Tail::default(), vec![]);
            for i in 0..13_000 {
                all.push(shaped(shape, i, &mut even));
                tail.push(&spec, all[i]);
                if i < 200 || i % 230 != 0 {
                    continue;
                }
                let past = &all[all.len() - tail.len()..];
                for (j, (decades, _)) in bounds.into_iter().enumerate() {
                    let r = tail
                        .error_at(&spec, 1e-9, decades)
                        .filter(|_| decades <= tail.believed())
                        // Some error of the body.
                        .unwrap_or(past[i % past.len()]);
                    let by = tail.decades(&spec, 1e-9, r) - exact_decades(&spec, past, 1e-9, r);
                    worst[j] = worst[j].max(by.abs());
                }
            }
        }
        println!("{} items, shape {shape}: {worst:.3?}", spec.items);
        let within = worst
            .iter()
            .zip(bounds)
            .all(|(worst, (_, bound))| *worst <= bound);
        assert!(within, "{} items, shape {shape}: {worst:.3?}", spec.items);
    }
}

#[test]
fn the_last_errors_and_no_others_count() {
    let spec = TailSpec::default();
    let mut tail = filled(&spec, std::iter::repeat_n(9.0, 4200));
    for i in 1..=4200 {
        tail.push(&spec, 1.0);
        let (most, least) = (i.min(4176), i.min(3828));
        let ones = tail.len() - tail.errors.at_least(rounded(9.0)) as usize;
        assert!((least..=most).contains(&ones), "{i}: {ones}");
        assert!((3828..=4176).contains(&tail.len()), "{i}: {}", tail.len());
    }
    assert_eq!(tail.median(&spec), Some(1.0));
    assert_eq!(tail.errors.at_least(9.0), 0);
}

#[test]
fn no_history_needs_more_than_a_kilobyte() {
    for history in [100, 4000, 1_000_000] {
        let spec = TailSpec {
            history,
            ..TailSpec::default()
        };
        for shape in 0..SHAPES {
            let (mut even, mut tail) = (Even(7), Tail::default());
            for i in 0..30_000 {
                tail.push(&spec, shaped(shape, i, &mut even));
                if i % 501 == 0 {
                    tail.decades(&spec, 1e-9, 1.0);
                    let stored = postcard::to_allocvec(&tail).unwrap().len();
                    let live = size_of::<Tail>() + tail.heap_bytes();
                    assert!(
                        stored < 1000 && live < 1000,
                        "{history}, {shape}: {stored} {live}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_is_no_size_does_no_harm() {
    let spec = TailSpec {
        refresh: 1,
        ..TailSpec::default()
    };
    let odd = [f64::NAN, f64::INFINITY, f64::MAX, -1.0, f64::MIN_POSITIVE];
    let mut tail = filled(&spec, (0..1000).map(|i| odd[i % odd.len()]));
    for r in odd {
        let decades = tail.decades(&spec, 1e-3, r);
        assert!((0.0..=DECADES_MAX).contains(&decades), "{r}: {decades}");
    }
}

proptest! {
    #[test]
    fn decades_never_fall_with_the_error(errors in proptest::collection::vec(0.0..1e6f64, 1..300), a in 0.0..1e7f64, b in 0.0..1e7f64) {
        let spec = TailSpec { history: 100, ..TailSpec::default() };
        let mut tail = filled(&spec, errors);
        let (low, high) = (a.min(b), a.max(b));
        prop_assert!(tail.decades(&spec, 1e-3, low) <= tail.decades(&spec, 1e-3, high) + 1e-9);
    }

    #[test]
    fn a_restored_tail_goes_on_alike(errors in proptest::collection::vec(0.0..1e3f64, 2..1000), cut in 0usize..1000) {
        let spec = TailSpec { history: 400, ..TailSpec::default() };
        let mut a = Tail::default();
        let mut b = Tail::default();
        for (i, e) in errors.iter().enumerate() {
            if i == cut {
                let bytes = postcard::to_allocvec(&a).unwrap();
                b = postcard::from_bytes(&bytes).unwrap();
            }
            let want = a.decades(&spec, 1e-3, *e);
            if i >= cut {
                prop_assert_eq!(want.to_bits(), b.decades(&spec, 1e-3, *e).to_bits());
                b.push(&spec, *e);
            }
            a.push(&spec, *e);
        }
    }
}
