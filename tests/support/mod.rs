//! What tests share: where the repository is, what it tracks, and how its packages hang together.

pub(crate) mod admin;
pub(crate) mod agent;
pub(crate) mod broker;
mod bundle;
pub(crate) mod cli;
#[path = "../../crates/ingest/tests/kafka/node.rs"]
mod node;
pub(crate) mod own_node;
pub(crate) mod scenario;
pub(crate) mod scene;
pub(crate) mod schema;
pub(crate) mod spdx;
pub(crate) mod stream;
pub(crate) mod surgery;
pub(crate) mod trained;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Sends a process a signal, by its name without `SIG`.
pub(crate) fn signal(name: &str, pid: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), pid]).status();
    assert!(sent.unwrap().success(), "SIG{name} to {pid}");
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

/// A file of the repository, by its path from the root.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Files under `dir` (from the root) that `wanted` takes, by their paths from the root with `/`, sorted.
/// Build output and hidden directories are left out.
pub(crate) fn files(dir: &str, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let (root, mut found, mut left) = (root(), Vec::new(), vec![PathBuf::from(dir)]);
    while let Some(dir) = left.pop() {
        let Ok(entries) = std::fs::read_dir(root.join(&dir)) else {
            continue;
        };
        for entry in entries {
            let entry = entry.unwrap();
            let (name, path) = (entry.file_name(), dir.join(entry.file_name()));
            let name = name.to_string_lossy().into_owned();
            if entry.file_type().unwrap().is_dir() {
                if !name.starts_with('.') && name != "target" && name != "out" {
                    left.push(path);
                }
            } else {
                let path = path.to_string_lossy().trim_start_matches("./").to_owned();
                if wanted(&path) {
                    found.push(path);
                }
            }
        }
    }
    found.sort();
    found
}

/// Rust sources of a crate without its tests: files of `src/` that are no test modules, each up to its first inline one.
pub(crate) fn sources(krate: &str) -> Vec<(String, String)> {
    let is_source = |path: &str| {
        let test = path.ends_with("/tests.rs") || path.contains("/tests/");
        path.ends_with(".rs") && !test
    };
    files(&format!("crates/{krate}/src"), is_source)
        .into_iter()
        .map(|path| {
            let text = read(&path);
            let code = text
                .split("#[cfg(test)]\nmod ")
                .next()
                .unwrap_or_default()
                .to_owned();
            (path, code)
        })
        .collect()
}

/// The crates under `crates/`.
pub(crate) fn crates() -> BTreeSet<String> {
    let manifests = files("crates", |path| path.ends_with("/Cargo.toml"));
    manifests
        .iter()
        .filter_map(|p| p.split('/').nth(1))
        .map(str::to_owned)
        .collect()
}

/// Edges between the packages of this repository, development dependencies left out.
pub(crate) fn own_edges() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata(&["--no-deps"]);
    let packages = metadata["packages"].as_array().unwrap();
    let own: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    let mut edges = BTreeMap::new();
    for package in packages {
        let dependencies = package["dependencies"].as_array().unwrap();
        let used = dependencies
            .iter()
            .filter(|d| d["kind"] != "dev")
            .filter_map(|d| d["name"].as_str())
            .filter(|name| own.contains(name))
            .map(str::to_owned);
        edges.insert(package["name"].as_str().unwrap().to_owned(), used.collect());
    }
    edges
}

/// All packages in the dependency tree of `package` on this platform, with default features and nothing else switched
/// on: asked package by package, because a build of the whole workspace unifies features and would hide a leak.
pub(crate) fn tree(package: &str) -> BTreeSet<String> {
    let text = cargo(&[
        "tree", "-p", package, "-e", "normal", "--prefix", "none", "--format", "{p}",
    ]);
    text.lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

/// `cargo metadata` with all features, where what they bring was downloaded.
pub(crate) fn metadata_of_features(arguments: &[&str]) -> Option<Value> {
    let mut all = vec!["metadata", "--all-features", "--format-version", "1"];
    all.extend(arguments);
    Some(serde_json::from_str(&try_cargo(&all).ok()?).unwrap())
}

/// `cargo metadata`.
pub(crate) fn metadata(arguments: &[&str]) -> Value {
    let mut all = vec!["metadata", "--format-version", "1"];
    all.extend(arguments);
    serde_json::from_str(&cargo(&all)).unwrap()
}

/// The platform that this was built on.
pub(crate) fn host() -> String {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let out = Command::new(rustc).arg("-vV").output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines()
        .find_map(|l| l.strip_prefix("host: "))
        .unwrap()
        .to_owned()
}

/// Runs cargo in the repository without network: what has been built is there.
fn cargo(arguments: &[&str]) -> String {
    try_cargo(arguments).unwrap()
}

fn try_cargo(arguments: &[&str]) -> Result<String, String> {
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let (command, rest) = arguments.split_first().unwrap();
    let mut cargo = Command::new(program);
    cargo
        .arg(command)
        .args(["--offline", "--locked"])
        .args(rest)
        .current_dir(root());
    let out = cargo.output().unwrap();
    if !out.status.success() {
        return Err(format!("{cargo:?}: {}", String::from_utf8_lossy(&out.stderr)));
    }
    Ok(String::from_utf8(out.stdout).unwrap())
}
