//! What is measured of a set of subjects: the NAB score, VUS-PR, alerts as a person lives with them, and event metrics.

use std::collections::BTreeMap;

use serde::Serialize;

use super::intervals::{self, Confusion};
use super::nab::{self, Corpus, PROFILES};
use super::subject::{Subject, Verdict};
use super::tally::{Alerts, Tally};
use super::vus;

/// Seed of the bootstrap.
const SEED: u64 = 1;
/// The score at which the product warns.
const BOUNDARY: f64 = 1.0;

/// What one detector said of one subject, as far as it is measured.
#[derive(Clone, Debug)]
pub struct Judged {
    /// See [`Subject::file`].
    pub file: String,
    /// See [`Subject::family`].
    pub family: String,
    /// See [`Subject::odd`].
    pub odd: bool,
    series: usize,
    flags: Flags,
    tally: Tally,
    vus_pr: Option<f64>,
}

/// The numbers of a set of subjects. What is undefined is absent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measures {
    /// Files.
    pub files: usize,
    /// Series.
    pub series: usize,
    /// Labelled windows of which some part is judged.
    pub windows: usize,
    /// Judged time, summed over the series (days).
    pub days: f64,
    /// NAB scores by profile.
    pub nab: BTreeMap<&'static str, NabScore>,
    /// VUS-PR of the level, by row: mean over the subjects with a labelled row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vus_pr: Option<f64>,
    /// Alerts.
    pub alerts: Alerts,
    /// Whole events: found when any alert was open in them.
    pub overlap: EventScore,
    /// Time in events, in alert, and in both (counts are milliseconds).
    pub weighted: EventScore,
}

/// NAB scores in one profile; 0 is a detector that is never heard, 100 a perfect one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NabScore {
    /// The threshold on `peak` that is best for the whole corpus in this profile; absent when nothing is best flagged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// The score at that threshold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<f64>,
    /// The score at the product's own boundary, 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_boundary: Option<f64>,
}

/// Precision, recall and F1, pooled over files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct EventScore {
    /// The counts behind them.
    #[serde(flatten)]
    pub counts: Confusion,
    /// Share of what was found that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<f64>,
    /// Share of what is known that was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall: Option<f64>,
    /// Harmonic mean of both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub f1: Option<f64>,
    /// 95 % interval of F1: bootstrap over the files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub f1_interval: Option<(f64, f64)>,
}

/// What a threshold does to one half of the files, and to the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HalfScore {
    /// The best on this half; absent when nothing is best flagged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// The score of this half at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own: Option<f64>,
    /// The score of the other half at it: nothing was chosen on the labels that it is measured on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<f64>,
}

/// Thresholds chosen on one half of the files and measured on the other, in one profile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Halves {
    /// Chosen on the first, third, … file.
    pub odd: HalfScore,
    /// Chosen on the second, fourth, … file.
    pub even: HalfScore,
}

impl Halves {
    /// Mean of the two scores that nothing was chosen on.
    #[must_use]
    pub fn other_mean(&self) -> Option<f64> {
        Some((self.odd.other? + self.even.other?) / 2.0)
    }
}

/// Measures one subject.
#[must_use]
pub fn judge(subject: &Subject, verdict: &Verdict) -> Judged {
    let rows = &subject.rows;
    let first = rows.partition_point(|t| *t < subject.from);
    let windows: Vec<(usize, usize)> = subject
        .windows
        .iter()
        .filter_map(|(start, end)| {
            let left = rows.partition_point(|t| t < start);
            let right = rows.partition_point(|t| t <= end);
            (left < right).then(|| (left, right - 1))
        })
        .collect();
    let after = windows.iter().filter(|(_, right)| *right >= first);
    let after: Vec<_> = after
        .map(|(left, right)| (left.max(&first) - first, right - first))
        .collect();
    Judged {
        file: subject.file.clone(),
        family: subject.family.clone(),
        odd: subject.odd,
        series: subject.series,
        flags: Flags {
            windows,
            scores: verdict.scores.clone(),
            first: nab::probation(rows.len()).max(first),
        },
        tally: Tally::of(subject, verdict),
        vus_pr: vus::vus_pr(&verdict.levels[first..], &after, vus::BUFFER),
    }
}

/// The threshold that is best for all of `judged` in each profile.
#[must_use]
pub fn thresholds(judged: &[&Judged]) -> [Option<f64>; PROFILES.len()] {
    let corpus = nab_corpus(judged);
    PROFILES.map(|profile| threshold(&corpus, profile))
}

/// Measures a set of subjects; `thresholds` are those of the whole corpus, by profile.
#[must_use]
pub fn measure(judged: &[&Judged], thresholds: [Option<f64>; PROFILES.len()]) -> Measures {
    let corpus = nab_corpus(judged);
    let nab = PROFILES.into_iter().zip(thresholds).map(|(profile, threshold)| {
        let score = NabScore {
            threshold,
            best: score_at(&corpus, profile, threshold),
            at_boundary: corpus.at(profile, BOUNDARY),
        };
        (profile.name, score)
    });
    let mut by_file: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut total = Tally::default();
    for one in judged {
        total.add(&one.tally);
        by_file.entry(&one.file).or_default().add(&one.tally);
    }
    let events = |of: fn(&Tally) -> Confusion| {
        let files: Vec<Confusion> = by_file.values().map(of).collect();
        let counts = of(&total);
        EventScore {
            counts,
            precision: counts.precision(),
            recall: counts.recall(),
            f1: counts.f1(),
            f1_interval: intervals::f1_interval(&files, SEED),
        }
    };
    let volumes: Vec<f64> = judged.iter().filter_map(|one| one.vus_pr).collect();
    Measures {
        files: by_file.len(),
        series: judged.iter().map(|one| one.series).sum(),
        windows: total.windows,
        days: total.days(),
        nab: nab.collect(),
        vus_pr: (!volumes.is_empty()).then(|| volumes.iter().sum::<f64>() / volumes.len() as f64),
        alerts: total.alerts(),
        overlap: events(|t| t.overlap),
        weighted: events(|t| t.weighted),
    }
}

/// Chooses the threshold on one half of the files and measures it on the other, and the other way round, by profile. `None` when
/// one of the halves has no labelled window.
#[must_use]
pub fn halves(judged: &[&Judged]) -> Option<BTreeMap<&'static str, Halves>> {
    let (odd, even): (Vec<&Judged>, Vec<&Judged>) = judged.iter().partition(|one| one.odd);
    let (odd, even) = (nab_corpus(&odd), nab_corpus(&even));
    if odd.windows() == 0 || even.windows() == 0 {
        return None;
    }
    let half = |profile, own: &Corpus, other: &Corpus| {
        let threshold = threshold(own, profile);
        HalfScore {
            threshold,
            own: score_at(own, profile, threshold),
            other: score_at(other, profile, threshold),
        }
    };
    let both = PROFILES.map(|profile| {
        let halves = Halves {
            odd: half(profile, &odd, &even),
            even: half(profile, &even, &odd),
        };
        (profile.name, halves)
    });
    Some(both.into_iter().collect())
}

fn threshold(corpus: &Corpus, profile: nab::Profile) -> Option<f64> {
    let best = corpus.best(profile)?;
    best.threshold.is_finite().then_some(best.threshold)
}

fn score_at(corpus: &Corpus, profile: nab::Profile, threshold: Option<f64>) -> Option<f64> {
    corpus.at(profile, threshold.unwrap_or(f64::INFINITY))
}

fn nab_corpus(judged: &[&Judged]) -> Corpus {
    let mut corpus = Corpus::default();
    for one in judged {
        corpus.add(&one.flags.windows, &one.flags.scores, one.flags.first);
    }
    corpus
}

/// What [`Corpus::add`] asks for.
#[derive(Clone, Debug)]
struct Flags {
    windows: Vec<(usize, usize)>,
    scores: Vec<(usize, f64)>,
    first: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::Detections;
    use types::Timestamp;

    fn minute(n: i64) -> Timestamp {
        Timestamp::from_millis(n * 60_000)
    }

    fn subject(windows: &[(i64, i64)]) -> Subject {
        Subject {
            file: "a.csv".to_owned(),
            series: 1,
            rows: (0..1000).map(minute).collect(),
            interval: Some(60_000),
            windows: windows.iter().map(|(a, b)| (minute(*a), minute(*b))).collect(),
            from: minute(0),
            ..Subject::default()
        }
    }

    fn alerts(alerts: &[(i64, Option<i64>)]) -> Detections {
        Detections {
            scores: alerts.iter().map(|(t, _)| (minute(*t), 2.0)).collect(),
            alerts: alerts.iter().map(|(a, b)| (minute(*a), b.map(minute))).collect(),
            ..Detections::default()
        }
    }

    fn one(subject: &Subject, said: &[Detections]) -> Judged {
        judge(subject, &Verdict::new(subject, said))
    }

    #[test]
    fn alerts_are_counted_when_they_fire() {
        let subject = subject(&[(200, 299), (500, 599), (800, 899)]);
        // Found late, found at once, open at the start and so not hit, outside and open to the end.
        let said = alerts(&[(220, Some(240)), (500, Some(510)), (790, Some(810)), (950, None)]);
        let alerts = measure(&[&one(&subject, &[said])], [None; 3]).alerts;
        assert_eq!((alerts.fired, alerts.outside, alerts.windows_hit), (4, 2, 2));
        assert_eq!(
            (alerts.delay_seconds, alerts.delay_buckets),
            (Some(600.0), Some(10.0))
        );
        assert!((alerts.a_day.unwrap() - 4.0 * 1440.0 / 999.0).abs() < 1e-4);
        let open = 20.0 + 10.0 + 20.0 + 49.0;
        assert!((alerts.time_in_alert.unwrap() - open / 999.0).abs() < 1e-5);
        let calm = 10.0 + 49.0;
        assert!((alerts.calm_time_in_alert.unwrap() - calm / (999.0 - 3.0 * 99.0)).abs() < 1e-5);
    }

    #[test]
    fn one_endless_alert_finds_every_event_and_pays_for_it_in_time() {
        let subject = subject(&[(200, 209), (500, 509)]);
        let said = alerts(&[(100, None)]);
        let measures = measure(&[&one(&subject, &[said])], [None; 3]);
        assert_eq!(measures.overlap.f1, Some(1.0));
        assert!(measures.weighted.f1.unwrap() < 0.05);
        assert_eq!(measures.alerts.windows_hit, 0);
    }

    #[test]
    fn what_lies_before_the_cut_is_not_judged() {
        let mut subject = subject(&[(200, 299), (450, 549), (800, 899)]);
        subject.from = minute(500);
        let said = alerts(&[
            (210, Some(220)),
            (480, Some(520)),
            (700, Some(710)),
            (850, Some(860)),
        ]);
        let measures = measure(&[&one(&subject, &[said])], [Some(2.0); 3]);
        assert_eq!(
            (measures.windows, measures.alerts.fired, measures.alerts.outside),
            (2, 2, 1)
        );
        // The alert that was open over the cut finds what is left of the window there.
        let overlap = measures.overlap.counts;
        assert_eq!((overlap.true_positive, overlap.false_positive), (2, 1));
        // For NAB a row is flagged or not, and at the cut none was.
        let standard = measures.nab["standard"].best.unwrap();
        assert!(standard > 30.0 && standard < 50.0, "{standard}");
    }

    #[test]
    fn the_series_of_a_file_are_judged_as_one_and_counted_one_by_one() {
        let subject = Subject {
            series: 2,
            ..subject(&[(200, 299), (500, 599)])
        };
        // Both find the first window, the second of them earlier; one false stretch is made of two alerts.
        let said = [
            alerts(&[(250, Some(270)), (700, Some(720))]),
            alerts(&[(240, Some(260)), (710, Some(730))]),
        ];
        let measures = measure(&[&one(&subject, &said)], [Some(2.0); 3]);
        assert_eq!((measures.files, measures.series, measures.windows), (1, 2, 2));
        let overlap = measures.overlap.counts;
        assert_eq!(
            (
                overlap.true_positive,
                overlap.false_positive,
                overlap.false_negative
            ),
            (1, 1, 1)
        );
        let weighted = measures.weighted.counts;
        assert!((weighted.true_positive as f64 / 60_000.0 - 30.0).abs() < 0.1);
        let alerts = measures.alerts;
        assert_eq!((alerts.fired, alerts.outside, alerts.windows_hit), (4, 2, 1));
        assert_eq!(alerts.delay_buckets, Some(40.0));
        assert!((alerts.a_day.unwrap() - 4.0 * 1440.0 / (2.0 * 999.0)).abs() < 1e-4);
        assert!((alerts.time_in_alert.unwrap() - 80.0 / (2.0 * 999.0)).abs() < 1e-5);
        assert!((alerts.calm_time_in_alert.unwrap() - 40.0 / (2.0 * (999.0 - 198.0))).abs() < 1e-4);
    }

    #[test]
    fn levels_are_ranked_by_row_from_the_cut_on() {
        let mut subject = subject(&[(100, 109), (600, 609)]);
        let said = |spans: &[(i64, i64)]| Detections {
            levels: spans
                .iter()
                .flat_map(|(a, b)| [(minute(*a), 3.0), (minute(b + 1), 0.0)])
                .collect(),
            ..Detections::default()
        };
        let vus = |subject: &Subject, spans| {
            measure(&[&one(subject, &[said(spans)])], [None; 3])
                .vus_pr
                .unwrap()
        };
        let (both, second) = (
            vus(&subject, &[(100, 109), (600, 609)]),
            vus(&subject, &[(600, 609)]),
        );
        assert!(both > 0.9 && second < 0.5 * both, "{both} {second}");
        subject.from = minute(300);
        assert!(vus(&subject, &[(100, 109), (600, 609)]) > 0.9);
        let calm = Subject {
            windows: vec![],
            ..subject.clone()
        };
        assert_eq!(
            measure(&[&one(&calm, &[said(&[(1, 2)])])], [None; 3]).vus_pr,
            None
        );
        // The mean leaves out what has no window.
        let judged = [
            one(&subject, &[said(&[(600, 609)])]),
            one(&calm, &[said(&[(1, 2)])]),
        ];
        let all: Vec<&Judged> = judged.iter().collect();
        assert!(measure(&all, [None; 3]).vus_pr.unwrap() > 0.9);
    }

    #[test]
    fn a_threshold_of_one_half_is_measured_on_the_other() {
        let file = |odd: bool, scores: &[(i64, f64)]| {
            let subject = Subject {
                odd,
                ..subject(&[(300, 399)])
            };
            let said = Detections {
                scores: scores.iter().map(|(t, score)| (minute(*t), *score)).collect(),
                ..Detections::default()
            };
            one(&subject, &[said])
        };
        // Found at 2 in the odd file, with nothing else above 1; at 2 the even file has four false alarms.
        let odd = file(true, &[(300, 2.0), (800, 1.0)]);
        let even = file(
            false,
            &[(300, 5.0), (700, 3.0), (750, 3.0), (800, 3.0), (850, 3.0)],
        );
        let standard = halves(&[&odd, &even]).unwrap()["standard"];
        let near = |got: Option<f64>, want: f64| (got.unwrap() - want).abs() < 1e-9;
        assert_eq!(
            (standard.odd.threshold, standard.even.threshold),
            (Some(2.0), Some(5.0))
        );
        assert!(near(standard.odd.own, 100.0) && near(standard.odd.other, 100.0 - 4.0 * 5.5));
        // At 5 nothing is found in the odd file.
        assert!(near(standard.even.own, 100.0) && near(standard.even.other, 0.0));
        assert!(near(standard.other_mean(), 39.0));
        assert_eq!(halves(&[&odd]), None);
    }
}
