//! The agent as a process.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use super::{bundle, root, signal};

/// Longer than anything here takes on a loaded machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// Asks until there is an answer.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        #[expect(clippy::disallowed_methods, reason = "another process sends no event")]
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A directory with a bundle, in which agents run.
pub(crate) struct Workshop {
    dir: tempfile::TempDir,
    bundle: PathBuf,
}

impl Workshop {
    /// `None`, said loudly, without ONNX Runtime; a panic instead where `CI=true` promises it.
    pub(crate) fn new() -> Option<Self> {
        Self::with(bundle::write)
    }

    /// The same with a bundle that predicts.
    pub(crate) fn predicting() -> Option<Self> {
        Self::with(|_| bundle::predicting().to_owned())
    }

    /// The same with the bundle that is shipped.
    pub(crate) fn shipped() -> Option<Self> {
        Self::with(|_| root().join("models/general"))
    }

    fn with(write: impl FnOnce(&Path) -> PathBuf) -> Option<Self> {
        if let Err(error) = scorer::runtime::Runtime::find(None) {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "on CI: {error}");
            eprintln!("SKIPPED: {error}");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let bundle = write(dir.path());
        Some(Self { dir, bundle })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a configuration: `text` beside what every test needs, which is any free port and the small bundle.
    pub(crate) fn config(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        let model = self.bundle.display();
        let own = format!("[model]\npath = \"{model}\"\nthreads = 2\n[http]\nlisten = \"127.0.0.1:0\"\n");
        std::fs::write(&path, format!("{own}{text}")).unwrap();
        path
    }

    /// Starts `agent run` with these arguments; its log goes to `<name>.log`.
    pub(crate) fn start(&self, name: &str, arguments: &[&str]) -> Agent {
        self.start_with(name, arguments, &[])
    }

    /// The same with environment variables of its own.
    pub(crate) fn start_with(&self, name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Agent {
        let log = self.path(&format!("{name}.log"));
        let child = command(&["run"])
            .args(arguments)
            .envs(variables.iter().copied())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Agent { child, log }
    }

    /// Leaves the directory where it is.
    pub(crate) fn keep(self) -> PathBuf {
        self.dir.keep()
    }

    /// The bundle's directory.
    pub(crate) fn bundle(&self) -> &Path {
        &self.bundle
    }

    /// Runs `agent replay` on a recorded run to its end; returns lines of alerts, rows and forecasts.
    pub(crate) fn replay(&self, recorded: &Path, threads: usize) -> Replayed {
        let [alerts, rows, forecasts] =
            ["alerts", "rows", "forecasts"].map(|name| self.path(&format!("replayed-{name}.jsonl")));
        let out = command(&["replay", "--threads", &threads.to_string(), "--file"])
            .arg(recorded)
            .arg("--alerts")
            .arg(&alerts)
            .arg("--scores")
            .arg(&rows)
            .arg("--forecasts")
            .arg(&forecasts)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", stderr(&out));
        Replayed {
            alerts: std::fs::read_to_string(alerts).unwrap(),
            rows: std::fs::read_to_string(rows).unwrap(),
            forecasts: std::fs::read_to_string(forecasts).unwrap(),
        }
    }
}

/// What a replay wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replayed {
    /// Lines of JSON, one an alert state.
    pub(crate) alerts: String,
    /// Lines of JSON, one a bucket, pending ones included.
    pub(crate) rows: String,
    /// Lines of JSON, one a forecast.
    pub(crate) forecasts: String,
}

/// Runs the agent to its end.
pub(crate) fn agent(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

pub(crate) fn stderr(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// In the repository, where ONNX Runtime is found, and without the settings of whoever runs the tests.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent-under-test"));
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AGENT__") {
            command.env_remove(name);
        }
    }
    command
}

/// A running agent; killed when dropped.
pub(crate) struct Agent {
    child: Child,
    log: PathBuf,
}

impl Agent {
    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Asks its HTTP server; the answer's status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let address = until("the port is logged", || self.address());
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    fn address(&self) -> Option<SocketAddr> {
        let log = self.log();
        let (_, rest) = log.split_once("http address=")?;
        rest.lines().next()?.trim().parse().ok()
    }

    /// Waits until it says that it is ready.
    pub(crate) fn ready(&self) {
        until("ready", || (self.get("/readyz").0 == 200).then_some(()));
    }

    /// The value of a metric, by its name and labels as they are shown.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics");
        let line = text
            .lines()
            .find(|l| l.rsplit_once(' ').is_some_and(|(n, _)| n == name))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    /// Sends a signal, by its name without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        signal(name, &self.child.id().to_string());
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) {
        until("the end", || self.ended());
    }

    /// Sends SIGTERM and waits for the end: exit code, log, and how long it took.
    pub(crate) fn terminate(mut self) -> (Option<i32>, String, Duration) {
        let begun = Instant::now();
        self.signal("TERM");
        let status = until("the end after SIGTERM", || self.child.try_wait().unwrap());
        (status.code(), self.log(), begun.elapsed())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the agent's log:\n{}", self.log());
        }
    }
}
