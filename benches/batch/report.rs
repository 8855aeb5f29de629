//! The tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use agent::evaluate::intervals::{self, Confusion, Interval};

use crate::judge::{ByScore, Tally, chosen_on_labels, crossed};
use crate::signals::Signal;

/// Signals that are pooled: name, and families.
type Pool = (&'static str, &'static [&'static str]);

/// `NAB` are the five families that publications use; the sixth with labels stands alone.
const POOLS: [Pool; 4] = [
    (
        "NAB",
        &[
            "artificialWithAnomaly",
            "realAWSCloudwatch",
            "realAdExchange",
            "realTraffic",
            "realTweets",
        ],
    ),
    ("known cause", &["realKnownCause"]),
    ("no anomaly", &["artificialNoAnomaly"]),
    ("NASA", &["MSL", "SMAP"]),
];
/// F1 over events that the reference publishes, its release 0.7.1, each family with the score that its authors chose for it:
/// TadGAN on the signals of this benchmark that are public here, AER on all signals of a family.
const PUBLISHED: [(&str, &[(&str, f64)]); 2] = [
    (
        "TadGAN, Orion",
        &[
            ("NAB", 0.630),
            ("NASA", 0.576),
            ("artificialWithAnomaly", 0.500),
            ("realAWSCloudwatch", 0.710),
            ("realAdExchange", 0.889),
            ("realTraffic", 0.429),
            ("realTweets", 0.588),
            ("MSL", 0.578),
            ("SMAP", 0.575),
        ],
    ),
    (
        "AER, Orion, all signals",
        &[
            ("artificialWithAnomaly", 0.750),
            ("realAWSCloudwatch", 0.702),
            ("realAdExchange", 0.733),
            ("realTraffic", 0.611),
            ("realTweets", 0.606),
            ("MSL", 0.657),
            ("SMAP", 0.764),
        ],
    ),
];
/// Seed of the intervals.
const SEED: u64 = 1;

/// Everything that was counted.
pub(crate) struct Report {
    families: BTreeMap<String, String>,
    detectors: Vec<Detector>,
}

/// The counts of one detector.
pub(crate) struct Detector {
    name: String,
    scores: ByScore,
}

impl Detector {
    /// Counts what one of its scores found in a signal.
    pub(crate) fn add(&mut self, score: &str, signal: &Signal, found: &[Interval]) {
        let tally = Tally::of(&signal.known, found, signal.judged.span(signal.interval));
        let by_signal = self.scores.entry(score.to_owned()).or_default();
        by_signal.insert(signal.name.clone(), tally);
    }
}

impl Report {
    /// Of some signals.
    pub(crate) fn new(signals: &[Signal]) -> Self {
        let families = signals.iter().map(|s| (s.name.clone(), s.family.clone()));
        Self {
            families: families.collect(),
            detectors: Vec::new(),
        }
    }

    /// A new detector.
    pub(crate) fn detector(&mut self, name: String) -> &mut Detector {
        self.detectors.push(Detector {
            name,
            scores: ByScore::new(),
        });
        self.detectors.last_mut().expect("one was just added")
    }

    /// Prints every table.
    pub(crate) fn print(&self) {
        for (name, families) in POOLS {
            let is_in = |signal: &str| {
                self.families
                    .get(signal)
                    .is_some_and(|f| families.contains(&f.as_str()))
            };
            if self.families.keys().any(|signal| is_in(signal)) {
                self.pool(name, families, &is_in);
            }
        }
        self.by_family();
    }

    /// Every score over one pool, and the one that is chosen on half of it and judged on the other.
    fn pool(&self, pool: &str, families: &[&str], is_in: &dyn Fn(&str) -> bool) {
        println!("\n{pool}: {}\n", families.join(", "));
        println!("| detector | score | F1 | 95 % | TP | FP | FN | F1 by length | time in alert |");
        println!("|---|---|---|---|---|---|---|---|---|");
        for (name, published) in PUBLISHED {
            if let Some((_, f1)) = published.iter().find(|(of, _)| *of == pool) {
                println!("| {name} | published | {f1:.3} | | | | | | |");
            }
        }
        for detector in &self.detectors {
            for (score, by_signal) in &detector.scores {
                let tallies: Vec<Tally> = by_signal
                    .iter()
                    .filter(|(signal, _)| is_in(signal))
                    .map(|(_, tally)| *tally)
                    .collect();
                let events: Vec<Confusion> = tallies.iter().map(|tally| tally.overlap).collect();
                let range = intervals::f1_interval(&events, SEED);
                let range = range.map_or_else(String::new, |(low, high)| format!("{low:.2}–{high:.2}"));
                row(&detector.name, score, &tallies.into_iter().sum(), &range);
            }
            // The agent has one score; what it was fed is not chosen on labels.
            if detector.scores.contains_key("dtw") || detector.scores.contains_key("critic × dtw") {
                let (chosen, tally) = crossed(&detector.scores, is_in);
                let score = format!("chosen on the other half: {}; {}", chosen[0], chosen[1]);
                row(&detector.name, &score, &tally, "");
                let family_of = |signal: &str| {
                    let family = self.families.get(signal)?;
                    families.iter().copied().find(|f| f == family)
                };
                let (chosen, tally) = chosen_on_labels(&detector.scores, families.iter().copied(), family_of);
                let score = format!("chosen a family on its labels: {}", chosen.join(", "));
                row(&detector.name, &score, &tally, "");
            }
        }
    }

    /// F1 over events of every score in every family.
    fn by_family(&self) {
        let families: BTreeSet<&String> = self.families.values().collect();
        let names: Vec<&str> = families.iter().map(|f| f.as_str()).collect();
        println!("\nF1 over events by family\n");
        println!("| detector | score | {} |", names.join(" | "));
        println!("|---|---|{}", "---|".repeat(names.len()));
        for (name, published) in PUBLISHED {
            let of = |family: &&String| {
                published
                    .iter()
                    .find(|(of, _)| *of == family.as_str())
                    .map(|(_, f1)| *f1)
            };
            let cells: Vec<String> = families.iter().map(|family| number(of(family))).collect();
            println!("| {name} | published | {} |", cells.join(" | "));
        }
        for detector in &self.detectors {
            for (score, by_signal) in &detector.scores {
                let cells = families.iter().map(|family| {
                    let of_family = by_signal
                        .iter()
                        .filter(|(s, _)| self.families.get(*s) == Some(family));
                    let tally: Tally = of_family.map(|(_, tally)| *tally).sum();
                    number(tally.overlap.f1())
                });
                let cells: Vec<String> = cells.collect();
                println!("| {} | {score} | {} |", detector.name, cells.join(" | "));
            }
        }
    }

    /// One comma-separated line a detector, score and signal.
    pub(crate) fn rows(&self) -> String {
        let mut text =
            "detector,score,signal,tp,fp,fn,tp_seconds,fp_seconds,fn_seconds,judged_seconds\n".to_owned();
        for detector in &self.detectors {
            for (score, by_signal) in &detector.scores {
                for (signal, tally) in by_signal {
                    let counts = |c: Confusion| {
                        format!("{},{},{}", c.true_positive, c.false_positive, c.false_negative)
                    };
                    writeln!(
                        text,
                        "\"{}\",\"{score}\",{signal},{},{},{}",
                        detector.name,
                        counts(tally.overlap),
                        counts(tally.length),
                        tally.judged
                    )
                    .expect("a string takes it");
                }
            }
        }
        text
    }
}

fn row(detector: &str, score: &str, tally: &Tally, range: &str) {
    let events = tally.overlap;
    println!(
        "| {detector} | {score} | {} | {range} | {} | {} | {} | {} | {:.3} |",
        number(events.f1()),
        events.true_positive,
        events.false_positive,
        events.false_negative,
        number(tally.length.f1()),
        tally.time_in_alert()
    );
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"))
}
