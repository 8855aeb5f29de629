//! Whether somebody is told when the agent itself falls silent: the canary, the metrics, and the rules over them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::Value;

use crate::support::agent::{Agent, Workshop, until};
use crate::support::broker::{Broker, Embedded, Real};
use crate::support::root;

/// Where Prometheus and promtool are. `None`, said loudly, where they cannot be had; a panic instead where `CI=true`
/// promises them.
fn prometheus() -> Option<PathBuf> {
    let script = |verb: &str| {
        let mut command = Command::new(root().join("scripts/prometheus.sh"));
        command.arg(verb).output().unwrap()
    };
    let fetched = script("fetch");
    if !fetched.status.success() {
        let why = String::from_utf8_lossy(&fetched.stderr).into_owned();
        assert!(std::env::var("CI").as_deref() != Ok("true"), "on CI: {why}");
        eprintln!("SKIPPED: needs Prometheus: {why}");
        return None;
    }
    let path = String::from_utf8(script("path").stdout).unwrap();
    Some(PathBuf::from(path.trim()))
}

#[test]
fn each_rule_fires_when_it_should_and_no_other_time() {
    let Some(tools) = prometheus() else { return };
    for arguments in [
        ["check", "rules", "deploy/alerts.yml"],
        ["test", "rules", "deploy/alerts_test.yml"],
    ] {
        let mut promtool = Command::new(tools.join("promtool"));
        let out = promtool.args(arguments).current_dir(root()).output().unwrap();
        let said = [out.stdout, out.stderr].concat();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&said));
    }
}

fn config(shop: &Workshop, broker: &dyn Broker, name: &str) -> PathBuf {
    let (brokers, delivery) = (broker.brokers(), broker.delivery());
    let text = format!(
        "[kafka]\nbrokers = \"{brokers}\"\ntopics = [\"{name}\"]\ngroup = \"{name}\"\ndelivery = \"{delivery}\"\n\
         commit_interval = \"100ms\"\nsession_timeout = \"6s\"\n[alerts]\ntopic = \"{name}-alerts\"\n\
         [scores]\ntopic = \"{name}-scores\"\n[canary]\ntopic = \"{name}-canary\"\ninterval = \"1s\"\n"
    );
    shop.config(&format!("{name}.toml"), &text)
}

/// Makes a topic by asking for it.
fn make(broker: &Real, topic: &str) {
    let consumer: BaseConsumer = broker
        .client()
        .set("allow.auto.create.topics", "true")
        .create()
        .unwrap();
    until("the topic is there", || {
        let metadata = consumer
            .fetch_metadata(Some(topic), Duration::from_secs(10))
            .ok()?;
        (!metadata.topics()[0].partitions().is_empty()).then_some(())
    });
}

/// Where an agent serves its metrics.
fn address(agent: &Agent) -> SocketAddr {
    until("the port is logged", || {
        let log = agent.log();
        let (_, rest) = log.split_once("http address=")?;
        rest.lines().next()?.trim().parse().ok()
    })
}

const COUNT: &str = "agent_canary_seconds_count";

#[test]
fn a_canary_is_timed_through_a_real_kafka_and_seen_by_nobody() {
    let Some(broker) = Real::start() else { return };
    let Some(shop) = Workshop::new() else { return };
    for topic in ["coal", "coal-alerts", "coal-scores", "coal-canary"] {
        make(&broker, topic);
    }
    let config = config(&shop, &broker, "coal");
    let recorded = shop.path("recorded");
    let arguments = [
        "--config",
        config.to_str().unwrap(),
        "--record",
        recorded.to_str().unwrap(),
    ];
    let running = shop.start("agent", &arguments);
    let timed = until("canaries", || running.metric(COUNT).filter(|count| *count >= 8.0));
    let sum = running.metric("agent_canary_seconds_sum").unwrap();
    assert!(sum / timed < 10.0, "{sum} s of {timed}");
    assert_eq!(running.metric("agent_open_alerts"), Some(0.0));
    assert_eq!(
        running.metric("agent_alerts_total{severity=\"critical\",state=\"firing\"}"),
        Some(0.0)
    );
    let (code, log, _) = running.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("series="), "no alert is logged: {log}");
    for topic in ["coal-alerts", "coal-scores"] {
        assert_eq!(broker.read(topic), [], "{topic}");
    }
    let replayed = shop.replay(&recorded, 1);
    assert!(
        replayed.alerts.is_empty() && replayed.rows.is_empty(),
        "{replayed:?}"
    );
}

/// A server over the rules of `deploy/` that scrapes one address.
struct Server {
    child: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Server {
    fn start(tools: &std::path::Path, target: SocketAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let rules = root().join("deploy/alerts.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{}]\n\
             scrape_configs: [{{job_name: agent, static_configs: [{{targets: [\"{target}\"]}}]}}]\n",
            rules.display()
        );
        let config = dir.path().join("prometheus.yml");
        std::fs::write(&config, text).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new(tools.join("prometheus"))
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            address,
            _dir: dir,
        }
    }

    fn get(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.contains(" 200 ")
            .then(|| serde_json::from_str(body).unwrap())
    }

    /// The first value of an expression without blanks.
    fn query(&self, expression: &str) -> Option<f64> {
        let answer = self.get(&format!("/api/v1/query?query={expression}"))?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_real_prometheus_reads_the_agent_and_its_rules() {
    let Some(tools) = prometheus() else { return };
    let Some(shop) = Workshop::new() else { return };
    let topics = ["seen", "seen-alerts", "seen-scores", "seen-canary"];
    let broker = Embedded::start(&topics.map(|topic| (topic, 1)));
    let config = config(&shop, &broker, "seen");
    let running = shop.start("agent", &["--config", config.to_str().unwrap()]);
    running.ready();
    let server = Server::start(&tools, address(&running));
    until("canaries", || server.query(COUNT).filter(|count| *count >= 3.0));
    let age = until("an age", || server.query("agent_loop_age_seconds"));
    assert!(age < 90.0, "{age}");
    until("memory", || server.query("agent_task_bytes"));
    let judged = until("every rule is judged, and none has a cause", || {
        let rules = server.get("/api/v1/rules")?;
        let rules = rules["data"]["groups"][0]["rules"].as_array()?.clone();
        // Before the first scrape the agent counts as absent.
        let is_calm = |rule: &Value| rule["health"] == "ok" && rule["state"] == "inactive";
        rules.iter().all(is_calm).then_some(rules.len())
    });
    assert!(judged > 5);

    // Without a broker nothing comes back, and the time since then goes on.
    let age = "time()-agent_canary_last_timestamp_seconds";
    broker.switch(false);
    until("no canary for a while", || {
        server.query(age).filter(|age| *age > 5.0)
    });
    let before = until("a count", || server.query(COUNT));
    broker.switch(true);
    until("canaries again", || {
        server.query(COUNT).filter(|now| *now > before + 1.0)
    });
    broker.switch(false);
    let (code, log, took) = running.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert!(took < Duration::from_secs(30), "{took:?}");
}
