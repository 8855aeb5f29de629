//! The agent as a process, and what the system and its own metrics say of it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running agent; killed when dropped.
pub(crate) struct Agent {
    child: Child,
    log: PathBuf,
    address: Option<SocketAddr>,
}

impl Agent {
    /// Starts `agent run` in the repository, where the shipped bundle and ONNX Runtime are found.
    pub(crate) fn start(program: Option<&PathBuf>, config: &Path, log: PathBuf) -> Self {
        let own = std::env::current_exe().expect("this program");
        let mut command = Command::new(program.unwrap_or(&own));
        command.args(["run", "--config"]).arg(config);
        command
            .env(crate::IS_AGENT, "1")
            .current_dir(root())
            .stdin(Stdio::null());
        let child = command
            .stderr(File::create(&log).expect("a log"))
            .spawn()
            .expect("an agent that starts");
        Self {
            child,
            log,
            address: None,
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a process to kill");
        self.child.wait().expect("its end");
    }

    /// Panics with the end of its log when it has ended.
    pub(crate) fn must_live(&mut self) {
        if let Some(status) = self.child.try_wait().expect("a child of ours") {
            panic!("the agent ended ({status}): {}", self.log());
        }
    }

    /// All metrics as text; `None` while it does not answer.
    pub(crate) fn metrics(&mut self) -> Option<Metrics> {
        if self.address.is_none() {
            let log = self.log();
            let (_, rest) = log.split_once("http address=")?;
            self.address = rest.lines().next()?.trim().parse().ok();
        }
        let limit = Some(Duration::from_secs(10));
        let mut stream = TcpStream::connect(self.address?).ok()?;
        stream.set_read_timeout(limit).ok()?;
        write!(
            stream,
            "GET /metrics HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(Metrics(answer))
    }

    /// Processor time used so far (seconds).
    pub(crate) fn cpu_seconds(&self) -> f64 {
        cpu_seconds(&self.child.id().to_string())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `/metrics` said.
pub(crate) struct Metrics(String);

impl Metrics {
    /// The sum over all labels of a metric that contain `label`.
    pub(crate) fn sum_of(&self, name: &str, label: &str) -> f64 {
        let lines = self.0.lines().filter_map(|line| line.strip_prefix(name));
        let own = lines.filter(|rest| rest.starts_with(['{', ' ']) && rest.contains(label));
        let values = own.filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok());
        // The sum of nothing is -0.
        values.fold(0.0, |sum, value| sum + value)
    }

    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.sum_of(name, "")
    }
}

/// Processor time of a process (seconds): fields 14 and 15 of its `stat`, in hundredths.
pub(crate) fn cpu_seconds(pid: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / 100.0
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(PathBuf::new, Path::to_owned)
}
