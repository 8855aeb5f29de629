//! A Kafka node of a test's own, which may be killed, started again and held up.

use std::fs::File;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{root, signal};

/// A node whose data outlive its process.
pub(crate) struct Node {
    data: tempfile::TempDir,
    brokers: String,
    state: State,
}

enum State {
    Up,
    /// Stopped by a signal until then.
    Paused(Instant),
    /// Ended or ending, to be started then.
    Down(Instant),
    Starting(Child),
}

impl Node {
    /// `None`, said loudly, where Java or Maven are missing; a panic instead where `CI=true` promises them.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with("", None)
    }

    /// The same with properties of its own, on this port if given.
    pub(crate) fn start_with(properties: &str, port: Option<u16>) -> Option<Self> {
        let data = tempfile::tempdir().unwrap();
        let log = data.path().join("script.log");
        std::fs::create_dir(data.path().join("kafka")).unwrap();
        std::fs::write(data.path().join("kafka/extra.properties"), properties).unwrap();
        let out = Command::new(script())
            .arg("start")
            .arg(data.path().join("kafka"))
            .args(port.map(|port| port.to_string()))
            .stderr(File::create(&log).unwrap())
            .output()
            .unwrap();
        if !out.status.success() {
            let why = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "no Kafka node: {why}"
            );
            eprintln!("SKIPPED: needs a real Kafka node (a JDK from version 17 and Maven): {why}");
            return None;
        }
        let brokers = String::from_utf8(out.stdout).unwrap().trim().to_owned();
        Some(Self {
            data,
            brokers,
            state: State::Up,
        })
    }

    /// `host:port`
    pub(crate) fn brokers(&self) -> &str {
        &self.brokers
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self.state, State::Up)
    }

    /// A property that it was started with.
    pub(crate) fn property(&self, name: &str) -> String {
        let all = std::fs::read_to_string(self.data.path().join("kafka/server.properties")).unwrap();
        let mut values = all
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        values.next_back().unwrap().to_owned()
    }

    /// Ends the process, by SIGKILL or by SIGTERM, and starts it again after so long.
    pub(crate) fn restart(&mut self, hard: bool, after: Duration) {
        if self.is_up() {
            signal(if hard { "KILL" } else { "TERM" }, &self.pid());
            self.state = State::Down(Instant::now() + after);
        }
    }

    /// Stops the process for so long; what it was asked waits.
    pub(crate) fn pause(&mut self, pause: Duration) {
        if self.is_up() {
            signal("STOP", &self.pid());
            self.state = State::Paused(Instant::now() + pause);
        }
    }

    /// Goes on with what is under way.
    pub(crate) fn tick(&mut self) {
        let (now, pid) = (Instant::now(), self.pid());
        match &mut self.state {
            State::Paused(until) if now >= *until => {
                signal("CONT", &pid);
                self.state = State::Up;
            }
            State::Down(until) if now >= *until && has_ended(&pid, &self.brokers) => {
                let port = self.brokers.rsplit_once(':').unwrap().1;
                // The script would take a process that nobody has waited for yet for a running one.
                std::fs::remove_file(self.data.path().join("kafka/pid")).unwrap();
                let log = File::create(self.data.path().join("script.log")).unwrap();
                let start = Command::new(script())
                    .arg("start")
                    .arg(self.data.path().join("kafka"))
                    .arg(port)
                    .stdout(Stdio::null())
                    .stderr(log)
                    .spawn();
                self.state = State::Starting(start.unwrap());
            }
            State::Starting(script) => {
                if let Some(status) = script.try_wait().unwrap() {
                    let why = std::fs::read_to_string(self.data.path().join("script.log")).unwrap();
                    assert!(status.success(), "the node did not come back: {why}");
                    self.state = State::Up;
                }
            }
            State::Up | State::Paused(_) | State::Down(_) => {}
        }
    }

    fn pid(&self) -> String {
        // Not there for a moment while the script starts it.
        let pid = std::fs::read_to_string(self.data.path().join("kafka/pid")).unwrap_or_default();
        pid.trim().to_owned()
    }
}

/// Whether a process has ended, its threads and their sockets included.
fn has_ended(pid: &str, brokers: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // One that nobody has waited for yet counts as ended, but then its first thread may have gone before the others.
    (state.is_empty() || state.contains(") Z ")) && TcpStream::connect(brokers).is_err()
}

impl Drop for Node {
    fn drop(&mut self) {
        if let State::Starting(script) = &mut self.state {
            let _ = script.wait();
        }
        // It may be gone already, and its data go with it.
        if let Ok(pid) = std::fs::read_to_string(self.data.path().join("kafka/pid")) {
            let kill = Command::new("kill")
                .args(["-KILL", pid.trim()])
                .stderr(Stdio::null())
                .status();
            kill.unwrap();
        }
    }
}

fn script() -> PathBuf {
    root().join("scripts/kafka.sh")
}
