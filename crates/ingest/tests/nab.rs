//! The public half of the Numenta Anomaly Benchmark is read whole and its labels find their files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ingest::file::{FileOptions, ReadItem, open};
use ingest::labels::Labels;

fn nab() -> Option<PathBuf> {
    let nab = std::env::var_os("AGENT_REFERENCE_DATA").map(|root| Path::new(&root).join("nab"));
    let nab = nab.filter(|nab| nab.is_dir());
    if nab.is_none() {
        println!("SKIPPED: AGENT_REFERENCE_DATA names no directory with `nab` in it; no NAB file was read");
    }
    nab
}

#[test]
fn every_row_of_every_file() {
    let Some(nab) = nab() else { return };
    let labels = Labels::load(&nab.join("labels.json")).unwrap();
    let mut rows = BTreeMap::new();
    let mut windows = 0;
    for family in fs::read_dir(&nab).unwrap().map(|entry| entry.unwrap().path()) {
        if !family.is_dir() {
            continue;
        }
        for path in fs::read_dir(&family).unwrap().map(|entry| entry.unwrap().path()) {
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let mut samples = Vec::new();
            for item in open(&path, &FileOptions::default()).unwrap() {
                match item.unwrap() {
                    ReadItem::Sample(sample) => samples.push(sample),
                    other @ (ReadItem::Rejected(_) | ReadItem::Truth { .. }) => panic!("{stem}: {other:?}"),
                }
            }
            assert!(samples.iter().all(|sample| sample.series.as_str() == stem));
            assert!(labels.covers(&path), "{stem}");
            windows += labels.windows(&path, &samples[0].series).len();
            rows.insert(stem, samples.len());
        }
    }
    assert_eq!(rows.len(), 26);
    assert_eq!(rows.values().sum::<usize>(), 188_209);
    for (stem, want) in [
        ("art_flatline", 4_032),
        ("ec2_network_in_5abac7", 4_730),
        ("exchange-4_cpm_results", 1_643),
        ("machine_temperature_system_failure", 22_695),
        ("TravelTime_451", 2_162),
        ("Twitter_volume_AAPL", 15_902),
    ] {
        assert_eq!(rows.get(stem), Some(&want), "{stem}");
    }
    let text = fs::read_to_string(nab.join("labels.json")).unwrap();
    let all: BTreeMap<String, Vec<(String, String)>> = serde_json::from_str(&text).unwrap();
    assert_eq!(windows, all.values().map(Vec::len).sum::<usize>());
}
