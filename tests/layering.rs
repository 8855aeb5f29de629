//! The invariants of `ARCHITECTURE.md` that a compiler does not hold.

use std::collections::BTreeSet;

use crate::support::{crates, own_edges, read, root, sources, tree};

/// The siblings between `types` and `pipeline`.
const STAGES: [&str; 4] = ["ingest", "windowing", "scorer", "alerting"];

/// What the deterministic part is made of.
const HEART: [&str; 5] = ["types", "windowing", "scorer", "alerting", "pipeline"];

#[test]
fn the_rooms_are_those_of_the_picture() {
    let expected = [
        "agent",
        "alerting",
        "ingest",
        "pipeline",
        "scorer",
        "training",
        "types",
        "windowing",
    ];
    assert_eq!(crates(), expected.map(str::to_owned).into());
}

fn assert_heart(package: &str) {
    let found = tree(package);
    assert!(
        found.contains(package),
        "cargo tree speaks of something else: {found:?}"
    );
    for edge in [
        "tokio",
        "rdkafka",
        "rdkafka-sys",
        "ort",
        "ort-sys",
        "prometheus",
        "axum",
        "tracing",
    ] {
        assert!(
            !found.contains(edge),
            "{edge} is in the dependency tree of {package}"
        );
    }
}

#[test]
fn types_needs_no_io() {
    assert_heart("types");
    assert_eq!(
        own_edges()["types"],
        BTreeSet::new(),
        "types stands on nothing of ours"
    );
}

#[test]
fn windowing_needs_no_io() {
    assert_heart("windowing");
}

#[test]
fn scorer_needs_no_io() {
    assert_heart("scorer");
}

#[test]
fn alerting_needs_no_io() {
    assert_heart("alerting");
}

#[test]
fn pipeline_needs_no_io() {
    assert_heart("pipeline");
}

#[test]
fn ingest_needs_no_broker_by_default() {
    assert_heart("ingest");
}

#[test]
fn no_stage_knows_another() {
    let edges = own_edges();
    for stage in STAGES {
        assert_eq!(
            edges[stage],
            BTreeSet::from(["types".to_owned()]),
            "{stage} may use types only"
        );
    }
}

#[test]
fn features_with_an_edge_are_switched_on_by_the_agent_alone() {
    for krate in crates() {
        let manifest: toml::Table = read(&format!("crates/{krate}/Cargo.toml")).parse().unwrap();
        let dependencies = manifest.get("dependencies").and_then(|d| d.as_table()).unwrap();
        let features = dependencies
            .values()
            .filter_map(|d| d.get("features")?.as_array())
            .flatten();
        let edges: Vec<_> = features
            .filter(|f| matches!(f.as_str(), Some("kafka" | "onnx")))
            .collect();
        assert!(
            krate == "agent" || edges.is_empty(),
            "{krate} switches on {edges:?}"
        );
    }
}

#[test]
fn the_agent_cannot_reach_training() {
    assert!(!reachable("agent").contains("training"));
    assert!(!reachable("training").contains("agent") && !reachable("training").contains("pipeline"));
}

#[test]
fn nothing_depends_on_tests_or_benches() {
    for (package, used) in own_edges() {
        for leaf in ["aiops-tests", "aiops-benches"] {
            assert!(!used.contains(leaf), "{package} uses {leaf}");
        }
    }
}

#[test]
fn the_wall_clock_is_read_in_one_function() {
    assert_only_in(
        &[
            "SystemTime::now",
            "Timestamp::now",
            "Zoned::now",
            "UNIX_EPOCH.elapsed",
        ],
        &["crates/agent/src/clock.rs"],
    );
    let text = read("crates/agent/src/clock.rs");
    assert_eq!(text.matches("SystemTime::now").count(), 1);
}

/// A monotonic clock is no wall clock, but what a task does must not depend on it either. It serves deadlines of brokers
/// and of the daemon, durations that are measured, and the pace of the demo.
#[test]
fn the_heart_measures_no_time() {
    for krate in HEART {
        for (path, text) in sources(krate) {
            if is_behind_a_feature(&path) {
                continue;
            }
            for clock in ["Instant", "SystemTime", "sleep("] {
                assert!(!text.contains(clock), "{path} speaks of {clock}");
            }
        }
    }
}

#[test]
fn the_heart_does_no_io() {
    // Bundles are read from disk by the one module whose task that is.
    let exempt = ["crates/scorer/src/bundle.rs"];
    for krate in HEART {
        for (path, text) in sources(krate) {
            if is_behind_a_feature(&path) || exempt.contains(&path.as_str()) {
                continue;
            }
            for io in [
                "std::fs",
                "std::net",
                "std::env",
                "std::process",
                "println!",
                "tracing::",
            ] {
                assert!(!text.contains(io), "{path} uses {io}");
            }
        }
    }
}

/// Order of iteration is part of the output; a hasher's is not the same twice.
#[test]
fn the_heart_holds_no_hash_map() {
    for krate in HEART.into_iter().chain(["ingest"]) {
        for (path, text) in sources(krate) {
            for map in ["HashMap", "HashSet", "RandomState"] {
                assert!(!text.contains(map), "{path} uses {map}");
            }
        }
    }
}

#[test]
fn metric_names_stand_in_one_file() {
    let home = "crates/agent/src/metrics.rs";
    assert_only_in(
        &["\"agent_", "Opts::new", "Counter::", "Gauge::", "Histogram::"],
        &[home],
    );
    assert!(
        read(home).contains("agent_{name}"),
        "metrics get their common prefix there"
    );
}

fn assert_only_in(words: &[&str], homes: &[&str]) {
    for krate in crates() {
        for (path, text) in sources(&krate) {
            for word in words {
                let found = text
                    .lines()
                    .any(|line| !line.trim_start().starts_with("//") && line.contains(word));
                assert!(
                    !found || homes.contains(&path.as_str()),
                    "{path} has {word}: only {homes:?} may"
                );
            }
        }
    }
}

/// Modules of `scorer` that exist with the feature `onnx` only, which the agent switches on.
fn is_behind_a_feature(path: &str) -> bool {
    let lib = read("crates/scorer/src/lib.rs");
    ["runtime", "onnx", "fingerprint"].iter().any(|module| {
        assert!(
            lib.contains(&format!("#[cfg(feature = \"onnx\")]\npub mod {module};")),
            "{module} is not behind onnx"
        );
        path == format!("crates/scorer/src/{module}.rs")
    })
}

fn reachable(package: &str) -> BTreeSet<String> {
    let edges = own_edges();
    let (mut found, mut left) = (BTreeSet::new(), vec![package.to_owned()]);
    while let Some(package) = left.pop() {
        for used in &edges[&package] {
            if found.insert(used.clone()) {
                left.push(used.clone());
            }
        }
    }
    found
}

/// The picture in `ARCHITECTURE.md` names every room, and rooms and files that it names are there.
#[test]
fn the_architecture_names_what_is_there() {
    let text = read("ARCHITECTURE.md");
    for krate in crates() {
        assert!(
            text.contains(&format!("`{krate}`")) || text.contains(&format!("crates/{krate}")),
            "{krate} is not named"
        );
    }
    for document in ["ARCHITECTURE.md", "README.md", "docs/formats.md"] {
        let text = read(document);
        for word in text.split(['`', '(', ')', ' ', '\n']) {
            let path = word.trim_end_matches(['.', ',', ':', ';']);
            let is_path = ["crates/", "scripts/", "docs/", "schema/", "tests/", "benches/"]
                .iter()
                .any(|d| path.starts_with(d));
            if is_path && !path.contains(['*', '{', '<']) {
                assert!(
                    root().join(path).exists(),
                    "{document} names {path}, which is not there"
                );
            }
        }
    }
}
