//! Parity vectors of the batch method from scores to anomalies.

use scorer::parity::anomalies::{
    Anomaly, Extent, FindSpec, Peak, find_anomalies, find_runs, merge, peaks, prune,
};
use scorer::parity::threshold::{self, Threshold};

use crate::support::assert_close;

/// First sample, last sample, severity.
type Row = (usize, usize, f64);

const FIXED: Threshold = Threshold::Fixed { sigmas: 4.0 };

#[track_caller]
fn assert_found(errors: &[f64], spec: &FindSpec, expected: &[Row]) {
    let found = find_anomalies(errors, spec);
    let intervals: Vec<_> = found.iter().map(|a| (a.start, a.stop)).collect();
    let wanted: Vec<_> = expected.iter().map(|(start, stop, _)| (*start, *stop)).collect();
    assert_eq!(intervals, wanted);
    let severities: Vec<f64> = found.iter().map(|a| a.severity).collect();
    let wanted: Vec<f64> = expected.iter().map(|(.., severity)| *severity).collect();
    assert_close(&severities, &wanted, 1e-9);
}

#[test]
fn runs() {
    type Case<'a> = (&'a [f64], &'a [(usize, usize)], f64);
    let cases: [Case<'_>; 6] = [
        (&[0.1, 0.2, 0.3, 0.4], &[], 0.4),
        (&[1.0, 1.0, 1.0, 1.0], &[(0, 3)], 0.0),
        (&[0.0, 0.0, 0.4, 1.0, 1.0, 1.0], &[(2, 5)], 0.0),
        (&[1.0, 1.0, 1.0, 0.4, 0.0, 0.0], &[(0, 3)], 0.0),
        (&[0.0, 0.0, 1.0, 1.0, 0.0, 0.0], &[(1, 4)], 0.0),
        (&[1.0, 0.0, 0.0, 0.0, 1.0, 1.0], &[(0, 1), (3, 5)], 0.0),
    ];
    for (errors, runs, max_below) in cases {
        assert_eq!(
            find_runs(errors, 0.5, 1),
            (runs.to_vec(), max_below),
            "{errors:?}"
        );
    }
}

#[test]
fn maxima() {
    let errors = [0.1, 0.2, 0.3, 0.2, 0.1, 0.2, 0.2, 0.1];
    let peak = |max, run| Peak { max, run };
    assert_eq!(
        peaks(&errors, &[(1, 3), (5, 6)], 0.1),
        (vec![peak(0.3, (1, 3)), peak(0.2, (5, 6))], 0.1)
    );
}

#[test]
fn pruning() {
    let cases: [(&[f64], f64, usize); 6] = [
        (&[], 0.1, 0),
        (&[0.11], 0.1, 0),
        (&[0.2], 0.1, 1),
        (&[0.3, 0.2], 0.1, 2),
        (&[0.3, 0.22, 0.11], 0.1, 2),
        (&[0.3, 0.21, 0.2], 0.1, 3),
    ];
    for (maxima, floor, kept) in cases {
        let rows = maxima
            .iter()
            .map(|max| Peak {
                max: *max,
                run: (0, 0),
            })
            .collect();
        assert_eq!(prune((rows, floor), 0.2).len(), kept, "{maxima:?} over {floor}");
    }
}

#[test]
fn merging() {
    let anomaly = |(start, stop, severity)| Anomaly {
        start,
        stop,
        severity,
    };
    let cases: [(&[Row], &[Row]); 6] = [
        (&[(1, 2, 0.5), (3, 4, 0.5)], &[(1, 4, 0.5)]),
        (&[(1, 3, 0.5), (2, 4, 0.5)], &[(1, 4, 0.5)]),
        (&[(1, 4, 0.5), (2, 3, 0.5)], &[(1, 4, 0.5)]),
        (&[(1, 2, 0.5), (4, 5, 0.5)], &[(1, 2, 0.5), (4, 5, 0.5)]),
        (&[(1, 2, 1.0), (3, 4, 0.5)], &[(1, 4, 0.75)]),
        // The reference divides by zero here.
        (&[(3, 3, 1.0), (4, 4, 2.0)], &[(3, 4, 1.5)]),
    ];
    for (parts, merged) in cases {
        let expected: Vec<Anomaly> = merged.iter().copied().map(anomaly).collect();
        assert_eq!(
            merge(parts.iter().copied().map(anomaly).collect()),
            expected,
            "{parts:?}"
        );
    }
}

/// The reference's unit tests, whose index counts from 1.
#[test]
fn small_dynamic_cases() {
    let default = FindSpec {
        padding: 1,
        ..FindSpec::default()
    };
    let cases: [(&[f64], &[Row]); 6] = [
        (&[0.0, 0.0, 0.0, 0.0], &[]),
        (&[0.0, 0.5, 0.5, 0.0], &[(0, 3, 0.5)]),
        (&[0.5, 0.5, 0.0, 0.0], &[(0, 2, 0.5)]),
        (&[0.0, 0.0, 0.5, 0.5], &[(1, 3, 0.5)]),
        (&[0.5, 0.0, 0.5, 0.0], &[(0, 3, 0.5)]),
        (&[0.0, 0.5, 0.0, 0.5], &[(0, 3, 0.5)]),
    ];
    for (errors, expected) in cases {
        println!("{errors:?}");
        assert_found(errors, &default, expected);
    }
    let twice = [0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.5, 0.5, 0.0, 0.0];
    let windowed = |step| FindSpec {
        window: Extent::Samples(4),
        step: Extent::Samples(step),
        ..default.clone()
    };
    assert_found(&twice, &windowed(4), &[(1, 3, 0.5), (5, 7, 0.5)]);
    assert_found(&twice, &windowed(2), &[(1, 8, 0.5)]);
    let high_first = [0.5, 0.5, 0.0, 0.0];
    let lower_threshold = FindSpec {
        lower_threshold: true,
        ..default.clone()
    };
    assert_found(&high_first, &lower_threshold, &[(0, 3, 0.5)]);
    let inverse = FindSpec {
        inverse: true,
        ..default.clone()
    };
    assert_found(&high_first, &inverse, &[(1, 3, 0.5)]);
    let fixed = FindSpec {
        threshold: FIXED,
        ..default
    };
    assert_found(&high_first, &fixed, &[]);
    assert_found(&[], &fixed, &[]);
}

#[test]
fn fixed_threshold() {
    let mut errors: Vec<f64> = (0..60).map(|i| 1.0 + 0.1 * f64::from((7 * i) % 5)).collect();
    for (i, e) in [(12, 8.0), (13, 9.0), (33, 6.0), (47, 7.5)] {
        errors[i] = e;
    }
    let spec = |window, step| FindSpec {
        window: Extent::Samples(window),
        step: Extent::Samples(step),
        threshold: FIXED,
        min_percent: 0.13,
        padding: 1,
        ..FindSpec::default()
    };
    let taus = |window: usize, step: usize| -> Vec<f64> {
        let starts = (0..=60 - window).step_by(step);
        starts
            .map(|s| threshold::of(&errors[s..s + window], &FIXED))
            .collect()
    };
    assert_found(&errors, &spec(60, 60), &[(12, 14, 0.258273125371485)]);
    assert_close(&taus(60, 60), &[8.158452], 1e-6);
    assert_found(
        &errors,
        &spec(30, 15),
        &[(32, 34, 0.513168042424652), (46, 48, 0.105015631279631)],
    );
    assert_close(&taus(30, 15), &[9.008966, 4.852720, 7.187896], 1e-6);
    assert_found(
        &errors,
        &spec(20, 10),
        &[(32, 34, 0.135215510349738), (46, 48, 0.161993812908527)],
    );
    assert_close(
        &taus(20, 10),
        &[10.730339, 10.730339, 5.662061, 8.504554, 7.032350],
        1e-6,
    );
}

fn long_errors() -> Vec<f64> {
    let mut errors: Vec<f64> = (0..300)
        .map(|i| 1.0 + 0.25 * (0.3 * f64::from(i)).sin())
        .collect();
    let spikes = [
        (50, 6.0),
        (51, 7.0),
        (120, 4.0),
        (200, 5.0),
        (201, 9.0),
        (202, 5.0),
        (280, 3.5),
    ];
    for (i, e) in spikes {
        errors[i] = e;
    }
    errors
}

/// The index of these vectors is 60 times the position.
#[test]
fn sliding_windows() {
    let errors = long_errors();
    let padded = |padding| FindSpec {
        padding,
        ..FindSpec::tadgan()
    };
    assert_found(
        &errors,
        &padded(2),
        &[
            (48, 53, 1.337805882977941),
            (118, 122, 1.144677440940035),
            (199, 203, 1.759004172741897),
            (278, 282, 0.88837285964650),
        ],
    );
    assert_found(
        &errors,
        &padded(5),
        &[
            (45, 56, 1.33863714517679),
            (115, 125, 1.144677440940035),
            (196, 206, 1.759748187847622),
            (275, 285, 0.88837285964650),
        ],
    );
    let whole = FindSpec {
        window: Extent::Whole,
        step: Extent::Whole,
        ..padded(2)
    };
    assert_found(
        &errors,
        &whole,
        &[(48, 53, 1.492610451420909), (198, 204, 2.555210798737037)],
    );
    let taus: Vec<f64> = [0, 10, 20]
        .iter()
        .map(|s| threshold::of(&errors[*s..s + 99], &FIXED))
        .collect();
    assert_close(&taus, &[4.300128, 4.289220, 4.299604], 1e-6);
    assert_close(&[threshold::of(&errors[210..], &FIXED)], &[2.298075], 1e-6);
    // The reference divides by zero without padding.
    assert_eq!(find_anomalies(&errors, &padded(0)).len(), 4);
}

#[test]
fn dynamic_threshold() {
    let errors = long_errors();
    let window = &errors[..99];
    assert_close(&[threshold::cost(window, 0.0)], &[-0.017184283], 1e-9);
    for z in 1..=6 {
        assert_close(&[threshold::cost(window, f64::from(z))], &[-0.292585941], 1e-9);
    }
    assert_eq!(threshold::cost(window, 8.0), f64::INFINITY);
    let dynamic = Threshold::Dynamic { starts: 0..12 };
    assert_close(&[threshold::of(window, &dynamic)], &[1.91449132464022], 1e-9);
}
