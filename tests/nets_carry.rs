//! The nets carry the result: bundles with one net spoilt, hashes and fingerprint made to match, answer otherwise.

use std::path::{Path, PathBuf};

use scorer::bundle::{Bundle, Net};
use tempfile::TempDir;

use crate::support::cli::{agent, has_runtime};
use crate::support::surgery::{Surgery, operate};
use crate::support::trained::trained;

/// Rows of `--scores` as far as they are looked at here.
struct Replayed {
    values: Vec<f64>,
    expected: Vec<f64>,
    scores: Vec<String>,
}

impl Replayed {
    /// Median of |value − expected|: spikes are not what a reconstruction is judged by.
    fn error(&self) -> f64 {
        let pairs = self.values.iter().zip(&self.expected);
        let errors: Vec<f64> = pairs.map(|(v, e)| (v - e).abs()).collect();
        scorer::normalise::median(&errors)
    }
}

#[test]
fn a_permuted_generator_reconstructs_clearly_worse() {
    if !has_runtime("a_permuted_generator_reconstructs_clearly_worse") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = waves(dir.path());
    let spoilt = spoil(&dir, Surgery::PermuteGenerator);
    for lag in [0, 4] {
        let sets = [format!("score.lag={lag}")];
        let (good, bad) = (
            replay(&dir, &file, trained(), &sets),
            replay(&dir, &file, &spoilt, &sets),
        );
        assert_eq!(good.values, bad.values);
        assert_ne!(good.expected, bad.expected);
        assert_ne!(good.scores, bad.scores);
        let (own, permuted) = (good.error(), bad.error());
        println!("lag {lag}: median error {own:.3}, permuted {permuted:.3}");
        assert!(
            permuted > 2.0 * own,
            "lag {lag}: {permuted} is not clearly worse than {own}"
        );
    }
}

#[test]
fn a_constant_critic_changes_the_score_where_it_has_weight() {
    if !has_runtime("a_constant_critic_changes_the_score_where_it_has_weight") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = waves(dir.path());
    let spoilt = spoil(&dir, Surgery::ConstantCritic);
    let weighted = ["score.critic_weight=5".to_owned()];
    let (good, bad) = (
        replay(&dir, &file, trained(), &weighted),
        replay(&dir, &file, &spoilt, &weighted),
    );
    assert_eq!(good.expected, bad.expected, "the critic expects nothing");
    assert_ne!(good.scores, bad.scores);
    let none = ["score.critic_weight=0".to_owned()];
    let (good, bad) = (
        replay(&dir, &file, trained(), &none),
        replay(&dir, &file, &spoilt, &none),
    );
    assert_eq!(good.scores, bad.scores, "without weight it has no say");
}

/// The critic's part stands in alerts, whatever its weight.
#[test]
fn a_constant_critic_changes_its_part() {
    if !has_runtime("a_constant_critic_changes_its_part") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = waves(dir.path());
    let spoilt = spoil(&dir, Surgery::ConstantCritic);
    let parts = |bundle: &Path| -> Vec<f64> {
        let out = dir.path().join("alerts.jsonl");
        let text = [&file, bundle, &out].map(|p| p.display().to_string());
        agent([
            "replay", "--file", &text[0], "--model", &text[1], "--alerts", &text[2],
        ])
        .ok();
        let lines = std::fs::read_to_string(out).unwrap();
        let alerts = lines
            .lines()
            .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
        alerts.map(|a| a["parts"]["critic"].as_f64().unwrap()).collect()
    };
    let (good, bad) = (parts(trained()), parts(&spoilt));
    assert!(!good.is_empty(), "the spikes alert");
    assert_eq!(good.len(), bad.len(), "without weight the critic opens nothing");
    assert_ne!(good, bad);
}

/// Surgery touches what it says and nothing else.
#[test]
fn surgery_keeps_the_other_nets() {
    let dir = tempfile::tempdir().unwrap();
    let own = Bundle::load(trained()).unwrap();
    for (surgery, changed) in [
        (Surgery::PermuteGenerator, Net::Generator),
        (Surgery::ConstantCritic, Net::CriticX),
    ] {
        let bundle = Bundle::load(&spoil(&dir, surgery)).unwrap();
        for net in [Net::Encoder, Net::Generator, Net::CriticX, Net::CriticZ] {
            assert_eq!(
                bundle.net(net) != own.net(net),
                net == changed,
                "{surgery:?} {net:?}"
            );
        }
        assert_ne!(bundle.hash(), own.hash());
    }
}

fn spoil(dir: &TempDir, surgery: Surgery) -> PathBuf {
    let to = dir.path().join(format!("{surgery:?}"));
    operate(trained(), &to, surgery).unwrap();
    to
}

/// A wave with three spikes.
fn waves(dir: &Path) -> PathBuf {
    let path = dir.join("wave.csv");
    let mut text = String::from("timestamp,value\n");
    for k in 0..900_u32 {
        let noise = (f64::from(k) * 0.569_840_29).fract() - 0.5;
        // Further apart than a peak must be the highest.
        let spike = if matches!(k, 460 | 640 | 820) { 60.0 } else { 0.0 };
        let value = 10.0 + 4.0 * (f64::from(k) / 80.0 * std::f64::consts::TAU).sin() + 0.2 * noise + spike;
        text += &format!("{},{value:.4}\n", 1_600_000_000 + 60 * u64::from(k));
    }
    std::fs::write(&path, text).unwrap();
    path
}

fn replay(dir: &TempDir, file: &Path, bundle: &Path, sets: &[String]) -> Replayed {
    let out = dir.path().join("scores.csv");
    let text = [file, bundle, &out].map(|p| p.display().to_string());
    let mut arguments = vec![
        "replay", "--file", &text[0], "--model", &text[1], "--scores", &text[2],
    ];
    for set in sets {
        arguments.extend(["--set", set]);
    }
    agent(arguments).ok();
    let mut found = Replayed {
        values: vec![],
        expected: vec![],
        scores: vec![],
    };
    for line in std::fs::read_to_string(out).unwrap().lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        if let (Ok(value), Ok(expected)) = (fields[2].parse(), fields[3].parse()) {
            found.values.push(value);
            found.expected.push(expected);
            found.scores.push(fields[4].to_owned());
        }
    }
    assert!(found.scores.len() > 700, "{} rows are scored", found.scores.len());
    found
}
