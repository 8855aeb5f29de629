//! That the documents and the rules of `deploy/` speak of the metrics that there are, all of them.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeSet;
use std::path::Path;

use agent::metrics::Metrics;
use ingest::kafka::TopicPartition;
use pipeline::{Overdue, TaskMemory};
use prometheus::Registry;
use types::Timestamp;

/// A file of the repository.
fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap()
}

/// Words of `text` that are names of metrics.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("agent_"));
    let family = |name: &str| {
        let cut = ["_bucket", "_sum", "_count"].iter();
        cut.filter_map(|suffix| name.strip_suffix(suffix))
            .next()
            .unwrap_or(name)
            .to_owned()
    };
    names.map(family).collect()
}

#[test]
fn rules_and_documents_name_the_metrics_that_there_are() {
    let metrics = Metrics::new(&Registry::new()).unwrap();
    let (source, time) = (
        TopicPartition {
            topic: "in".into(),
            partition: 0,
        },
        Timestamp::from_millis(0),
    );
    // Of those with labels that are not known beforehand, one each.
    metrics.lag(&source, 0);
    metrics.series(&source, 0);
    metrics.last_scored(&source, time);
    metrics.overdue(&source, Overdue::default());
    metrics.held(&source, &TaskMemory::default());
    metrics.model("bundle", "device", "runtime");
    let text = metrics.render();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let there: BTreeSet<String> = types
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    let formats = read("docs/formats.md");
    let rows = formats.lines().filter(|line| line.starts_with("| `agent_"));
    let described: BTreeSet<String> = rows
        .map(|row| row.split(['`', '{']).nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(described, there, "docs/formats.md against what is rendered");
    let rules = read("deploy/alerts.yml");
    let expressions = rules.lines().filter(|line| !line.trim_start().starts_with('#'));
    let used = metrics_in(&expressions.collect::<Vec<_>>().join("\n"));
    let unknown: Vec<&String> = used.difference(&there).collect();
    assert!(used.len() > 5 && unknown.is_empty(), "{unknown:?}");
}
