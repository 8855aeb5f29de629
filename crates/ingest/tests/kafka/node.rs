//! A real Apache Kafka node for as long as a test holds it, shared by the tests of one process.
//! The tests over the whole house use this file, too.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A running node; the last holder stops it.
pub(crate) struct Node {
    brokers: String,
    data: tempfile::TempDir,
}

static SHARED: Mutex<Weak<Node>> = Mutex::new(Weak::new());

impl Node {
    /// The node, started if need be. `None`, said loudly, where Java or Maven are missing;
    /// a panic instead where `CI=true` promises them.
    pub(crate) fn get() -> Option<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = shared.upgrade() {
            return Some(node);
        }
        let data = tempfile::tempdir().unwrap();
        // Standard error goes to a file: the node inherits it, and a pipe would stay open as long as the node runs.
        let log = std::fs::File::create(data.path().join("script.log")).unwrap();
        let out = Command::new(script())
            .arg("start")
            .arg(data.path().join("kafka"))
            .stderr(Stdio::from(log))
            .output()
            .unwrap();
        if !out.status.success() {
            let why = std::fs::read_to_string(data.path().join("script.log")).unwrap_or_default();
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "no Kafka node: {why}"
            );
            eprintln!("SKIPPED: needs a real Kafka node (a JDK from version 17 and Maven): {why}");
            return None;
        }
        let brokers = String::from_utf8(out.stdout).unwrap().trim().to_owned();
        let node = Arc::new(Self { brokers, data });
        *shared = Arc::downgrade(&node);
        Some(node)
    }

    /// `host:port`.
    pub(crate) fn brokers(&self) -> &str {
        &self.brokers
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Nothing left to do about a failure: the directory goes away either way.
        let _ = Command::new(script())
            .arg("stop")
            .arg(self.data.path().join("kafka"))
            .status();
    }
}

fn script() -> PathBuf {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut scripts = above.map(|dir| dir.join("scripts/kafka.sh"));
    scripts.find(|script| script.is_file()).unwrap()
}
