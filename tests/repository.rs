//! Habits of the repository: sizes, licences, scripts, and no word about the machine it was written on.

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::{files, host, metadata, metadata_of_features, read, root, spdx};

/// Longest source file (lines). The habit is 400.
const LINES_MAX: usize = 600;

fn is_text(path: &str) -> bool {
    let extension = Path::new(path).extension().and_then(|e| e.to_str());
    let known = [
        "rs", "toml", "md", "sh", "json", "xml", "svg", "js", "css", "yml", "yaml",
    ];
    extension.is_none_or(|e| known.contains(&e)) && path != "Cargo.lock"
}

#[test]
fn sources_are_short() {
    for path in files(".", |path| path.ends_with(".rs")) {
        let lines = read(&path).lines().count();
        assert!(
            lines <= LINES_MAX,
            "{path} has {lines} lines, more than {LINES_MAX}: cut it"
        );
    }
}

/// Whoever clones it elsewhere finds every path it speaks of.
#[test]
fn nothing_speaks_of_one_machine() {
    // Assembled, so that this file does not find itself.
    let words = [
        ["/wo", "rk/"].concat(),
        ["/tm", "p/"].concat(),
        ["/ro", "ot/"].concat(),
        ["/ho", "me/"].concat(),
    ];
    let shared = ["../sha", "red"].concat();
    for path in files(".", is_text) {
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else {
            continue;
        };
        for word in words.iter().chain([&shared]) {
            assert!(!text.contains(word.as_str()), "{path} names {word}");
        }
    }
}

/// What `cargo deny check licenses sources` would say, on machines without it.
#[test]
fn dependencies_have_licences_that_are_let_in() {
    let deny: toml::Table = read("deny.toml").parse().unwrap();
    let list = |table: &str, key: &str| -> BTreeSet<String> {
        let words = deny[table][key].as_array().unwrap().iter();
        words.map(|w| w.as_str().unwrap().to_owned()).collect()
    };
    let (allowed, registries) = (list("licenses", "allow"), list("sources", "allow-registry"));
    let host = host();
    let platform = ["--filter-platform", host.as_str()];
    let metadata = metadata_of_features(&platform).unwrap_or_else(|| {
        println!(
            "SKIPPED: licences of what only features bring: it was not downloaded, see `cargo fetch --locked`"
        );
        metadata(&platform)
    });
    let packages = metadata["packages"].as_array().unwrap();
    let mut foreign = 0;
    for package in packages {
        let Some(source) = package["source"].as_str() else {
            continue;
        };
        foreign += 1;
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(
            spdx::is_met(licence, &allowed),
            "{name}: licence `{licence}` is not let in by deny.toml"
        );
        let registry = source.strip_prefix("registry+").unwrap_or(source);
        assert!(
            registries.contains(registry),
            "{name} comes from {source}, which deny.toml does not know"
        );
    }
    assert!(
        foreign > 50,
        "cargo metadata names only {foreign} foreign packages"
    );
}

#[test]
fn banned_packages_are_absent() {
    let deny: toml::Table = read("deny.toml").parse().unwrap();
    let lock: toml::Table = read("Cargo.lock").parse().unwrap();
    let locked: BTreeSet<&str> = lock["package"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|p| p["name"].as_str())
        .collect();
    for ban in deny["bans"]["deny"].as_array().unwrap() {
        let (name, reason) = (ban["crate"].as_str().unwrap(), ban["reason"].as_str().unwrap());
        assert!(!locked.contains(name), "{name} is banned: {reason}");
    }
}

#[test]
fn every_package_says_what_it_is() {
    for path in files("crates", |path| path.ends_with("/Cargo.toml")) {
        let manifest: toml::Table = read(&path).parse().unwrap();
        assert!(
            manifest["package"].get("description").is_some(),
            "{path} has no description"
        );
        assert_eq!(
            manifest["lints"]["workspace"].as_bool(),
            Some(true),
            "{path} has lints of its own"
        );
    }
}

#[cfg(unix)]
#[test]
fn scripts_run_and_stop_at_the_first_failure() {
    use std::os::unix::fs::PermissionsExt;
    let scripts = files("scripts", |path| path.ends_with(".sh"));
    assert!(!scripts.is_empty());
    for path in scripts.iter().map(String::as_str).chain([".ci/run"]) {
        assert!(
            read(path).contains("set -euo pipefail"),
            "{path} goes on after a failure"
        );
        let mode = std::fs::metadata(root().join(path)).unwrap().permissions().mode();
        assert!(mode & 0o111 != 0, "{path} is not executable");
    }
}

/// Links between the documents of the repository lead somewhere.
#[test]
fn links_lead_somewhere() {
    for path in files(".", |path| path.ends_with(".md")) {
        let text = read(&path);
        let here = root().join(&path);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if !target.contains("://") && !file.is_empty() {
                assert!(
                    here.parent().unwrap().join(file).exists(),
                    "{path} links to {target}, which is not there"
                );
            }
        }
    }
}
