//! Leaders that move while an agent runs.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::support::admin;
use crate::support::agent::{LIMIT, until};
use crate::support::broker::Broker;
use crate::support::own_node::Node;
use crate::support::scene::{Scene, assert_same, records, stop};
use crate::support::stream::{self, PARTITIONS};

const SAMPLES: usize = 120;

/// Three brokers, of which the first is the controller as well. Every topic has three copies.
struct Cluster(Vec<Node>);

impl Cluster {
    fn start() -> Option<Self> {
        let common = "default.replication.factor=3\nmin.insync.replicas=2\noffsets.topic.replication.factor=3\n\
                      transaction.state.log.replication.factor=3\ntransaction.state.log.min.isr=2\n\
                      broker.session.timeout.ms=3000\nbroker.heartbeat.interval.ms=500\n";
        let first = Node::start_with(common, None)?;
        let voters = first.property("controller.quorum.voters");
        let more = |id: u8| {
            let port = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            let own = format!(
                "process.roles=broker\nnode.id={id}\nlisteners=PLAINTEXT://127.0.0.1:{port}\n\
                 controller.quorum.voters={voters}\n"
            );
            Node::start_with(&format!("{common}{own}"), Some(port))
        };
        let (second, third) = std::thread::scope(|scope| {
            let second = scope.spawn(|| more(2));
            (second.join(), more(3))
        });
        Some(Self(vec![first, second.unwrap()?, third?]))
    }

    /// Who leads each partition of a topic; `None` while anybody is missing.
    fn leaders(&self, topic: &str, in_sync: usize) -> Option<BTreeMap<i32, i32>> {
        let consumer: BaseConsumer = self.client().create().unwrap();
        let metadata = consumer.fetch_metadata(Some(topic), LIMIT).ok()?;
        let partitions = metadata.topics()[0].partitions();
        let whole = partitions
            .iter()
            .all(|p| p.isr().len() >= in_sync && p.leader() > 0);
        (whole && !partitions.is_empty()).then(|| partitions.iter().map(|p| (p.id(), p.leader())).collect())
    }

    /// Ends a broker and waits until none of its partitions is led by it.
    fn end(&mut self, id: i32, hard: bool, topic: &str) {
        self.0[id as usize - 1].restart(hard, Duration::from_secs(2));
        until("the leaders have moved", || {
            let leaders = self.leaders(topic, 1)?;
            leaders.values().all(|leader| *leader != id).then_some(())
        });
    }

    /// Waits until the broker is back and everybody has all copies.
    fn whole(&mut self, id: i32, topics: &[&str]) {
        until("the broker is back", || {
            let node = &mut self.0[id as usize - 1];
            node.tick();
            node.is_up().then_some(())
        });
        for topic in topics {
            until("all copies are in step", || self.leaders(topic, 3));
        }
    }
}

impl Broker for Cluster {
    fn brokers(&self) -> String {
        let all: Vec<&str> = self.0.iter().map(Node::brokers).collect();
        all.join(",")
    }

    fn delivery(&self) -> &'static str {
        "transactional"
    }
}

/// One broker is killed, another ends in good order; each leads partitions of the input, outputs, offsets or transactions.
#[test]
#[ignore = "takes minutes"]
fn leaders_that_move_cannot_be_seen_in_the_outputs() {
    let Some(cluster) = Cluster::start() else { return };
    let Some(mut scene) = Scene::new(cluster, "moved") else {
        return;
    };
    let all = [
        "moved",
        "moved-live-alerts",
        "moved-live-scores",
        "moved-live-dead",
    ];
    admin::replicated(&scene.broker.client(), &all.map(|topic| (topic, PARTITIONS)), 3);
    let mut agent = scene.start("moved-live", &[]);
    let mut restarts = 0;
    let records = records(SAMPLES);
    let third = records.len() / 3;
    scene.broker.feed("moved", &records[..third]);
    scene.wait("moved-live", &stream::ends(&records[..third]));
    for (round, (id, hard)) in [(2, true), (3, false)].into_iter().enumerate() {
        let led = scene.broker.leaders("moved", 3).unwrap();
        println!("led by {led:?}; broker {id} ends, killed: {hard}");
        let part = &records[third * (round + 1)..];
        let part = &part[..if round == 1 { part.len() } else { third }];
        let (before, after) = part.split_at(part.len() / 2);
        let ends = stream::ends(&records[..third * (round + 1) + part.len()]);
        scene.broker.feed("moved", before);
        let begun = Instant::now();
        scene.broker.end(id, hard, "moved");
        scene.broker.feed("moved", after);
        restarts += scene.wait_looking_after("moved-live", &ends, &mut agent);
        println!("all committed {:?} after the end of broker {id}", begun.elapsed());
        scene.broker.whole(
            id,
            &[&all[..], &["__consumer_offsets", "__transaction_state"]].concat(),
        );
    }
    println!("the agent was started again {restarts} times");
    agent.ready();
    stop(agent);
    let whole = scene.undisturbed("moved-whole", &stream::ends(&records));
    assert_same(&scene.outputs("moved-live"), &whole);
}
