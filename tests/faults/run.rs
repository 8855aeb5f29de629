//! One run: agents as processes, what befalls them, and what a reader finds in the end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use super::chance::Chance;
use super::found::{self, Topics};
use super::plan::{AGENTS, Act, DISTURBED, Failpoint, Plan};
use super::stream::{self, PARTITIONS};
use crate::support::admin;
use crate::support::agent::{Agent, Workshop};
use crate::support::broker::committed;
use crate::support::own_node::Node;
use crate::support::stream::Produced;

/// A member that is silent for longer is taken for dead.
const SESSION: Duration = Duration::from_secs(2);
/// A run that has not come to rest by then never does.
const REST: Duration = Duration::from_secs(90);

/// What one run came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    /// Until every agent had ended; the undisturbed run comes on top.
    pub(crate) took: Duration,
    /// Failpoints that went off.
    pub(crate) hits: BTreeMap<&'static str, u32>,
    /// Everything done to agents and broker, failpoints apart.
    pub(crate) done: BTreeMap<&'static str, u32>,
    /// Records on the alert and dead-letter topics, pairs of firing and resolved among them, and how many of those were
    /// open when something was done.
    pub(crate) found: found::Summary,
    /// With times in seconds.
    pub(crate) journal: Vec<String>,
    /// How the records differ from the undisturbed run's; nothing else is wrong with a run.
    pub(crate) wrong: Option<String>,
}

/// A run under way.
pub(crate) struct Run<'a> {
    shop: &'a Workshop,
    node: &'a mut Node,
    plan: Plan,
    chance: Chance,
    topics: Topics,
    config: PathBuf,
    began: Instant,
    slots: [Slot; AGENTS],
    /// Continued after their names went to others.
    ghosts: Vec<Process>,
    /// Unix milliseconds of everything done.
    moments: Vec<i64>,
    outcome: Outcome,
}

/// A place for an agent of a name.
#[derive(Default)]
struct Slot {
    is_wanted: bool,
    launches: usize,
    process: Option<Process>,
    start_at: Duration,
}

struct Process {
    agent: Agent,
    failpoint: Option<Failpoint>,
    /// Written when the failpoint goes off.
    hit: PathBuf,
    frozen_until: Option<Duration>,
}

impl<'a> Run<'a> {
    /// A seed with this `kafka.delivery`.
    pub(crate) fn new(shop: &'a Workshop, node: &'a mut Node, seed: u64, delivery: &str) -> Self {
        Self::planned_as(Plan::new(seed), shop, node, seed, delivery)
    }

    /// The input of a seed, with another plan.
    pub(crate) fn planned_as(
        mut plan: Plan,
        shop: &'a Workshop,
        node: &'a mut Node,
        seed: u64,
        delivery: &str,
    ) -> Self {
        // Both need transactions.
        plan.are_named &= delivery == "transactional";
        plan.keeps_state &= delivery == "transactional";
        let topics = Topics::of_seed(seed);
        let config = shop.config(
            &format!("{}.toml", topics.input),
            &config(node, &topics, delivery, plan.keeps_state),
        );
        let outcome = Outcome {
            seed,
            ..Outcome::default()
        };
        Self {
            shop,
            node,
            plan,
            chance: Chance::new(seed, "run"),
            topics,
            config,
            began: Instant::now(),
            slots: Default::default(),
            ghosts: Vec::new(),
            moments: Vec::new(),
            outcome,
        }
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Outcome {
        let (input, alerts, dead) = (&self.topics.input, &self.topics.alerts, &self.topics.dead);
        let client = self.client();
        admin::create(&client, &[(input, PARTITIONS), (alerts, 2), (dead, 1)]);
        let whole = self.topics.whole();
        admin::create(&client, &[(&whole.alerts, 2), (&whole.dead, 1)]);
        let rested = self.disturb();
        self.stop();
        self.journal("every agent has ended".to_owned());
        self.outcome.took = self.began.elapsed();
        if let Some(ends) = rested {
            self.undisturbed(&whole, &ends);
            let (ours, theirs) = (self.read(&self.topics), self.read(&whole));
            self.journal("read".to_owned());
            self.outcome.found = found::summary(&theirs, &ours, &self.moments);
            self.outcome.wrong = found::difference(&theirs, &ours);
        } else {
            self.outcome.wrong = Some("did not come to rest".to_owned());
        }
        let (input, alerts, dead) = (&self.topics.input, &self.topics.alerts, &self.topics.dead);
        let mut gone: Vec<&str> = vec![input, alerts, dead, &whole.alerts, &whole.dead];
        if self.plan.keeps_state {
            gone.extend([self.topics.state.as_str(), &whole.state]);
        }
        admin::delete(&client, &gone);
        self.outcome
    }

    /// Feeds the input and does what is planned. Once that is over and everything processed, so that what is in alert has been
    /// said, every agent is killed while the last of the input comes. Returns the ends of the input when all of it is
    /// processed; `None` where it never is.
    fn disturb(&mut self) -> Option<BTreeMap<i32, i64>> {
        let (before, during, after) = stream::generate(self.outcome.seed);
        let mut feed = Feed::new(self.client(), &self.topics.input);
        feed.records(&before);
        feed.producer.flush(Duration::from_secs(20)).unwrap();
        self.began = Instant::now();
        if let Some(late) = self.plan.broker_late {
            self.note(
                "broker late",
                format!("the broker goes, and comes up {late:?} after the agents"),
            );
            self.node.restart(true, late);
        }
        for slot in self.slots.iter_mut().take(self.plan.agents) {
            slot.is_wanted = true;
        }
        self.planned(&mut feed, &during);
        self.rested(&self.topics.group.clone(), &feed.ends())?;
        self.note("kill all", "every agent is killed".to_owned());
        let now = self.began.elapsed();
        for slot in &mut self.slots {
            if let Some(process) = slot.process.take() {
                process.agent.signal("KILL");
                slot.start_at = now;
            }
        }
        feed.records(&after);
        let ends = feed.ends();
        self.rested(&self.topics.group.clone(), &ends)?;
        Some(ends)
    }

    /// Until the plan is done, the broker up, and nobody stands still.
    fn planned(&mut self, feed: &mut Feed, buckets: &[Vec<Produced>]) {
        let mut acts = std::mem::take(&mut self.plan.acts).into_iter().peekable();
        let every = DISTURBED / u32::try_from(buckets.len()).unwrap();
        let mut fed = 0;
        loop {
            let now = self.began.elapsed();
            while let Some((_, act)) =
                acts.next_if(|(at, act)| *at <= now && (*act != Act::Settle || self.is_settled()))
            {
                self.act(act, now);
            }
            let waits = acts.peek().is_some_and(|(_, act)| *act == Act::Settle);
            let there = if waits { buckets.len() / 2 } else { buckets.len() };
            while fed < there && every * u32::try_from(fed).unwrap() <= now {
                feed.records(&buckets[fed]);
                fed += 1;
            }
            self.watch(now);
            let is_over = now >= DISTURBED && fed == buckets.len() && acts.peek().is_none();
            let is_whole = self.node.is_up() && !self.is_frozen();
            if is_over && is_whole || now >= REST {
                return;
            }
            pause();
        }
    }

    fn is_settled(&self) -> bool {
        let wanted = self.slots.iter().filter(|slot| slot.is_wanted);
        let has_begun = |process: &Process| process.agent.log().contains("task starts");
        wanted
            .map(|slot| &slot.process)
            .all(|process| process.as_ref().is_some_and(has_begun))
    }

    fn is_frozen(&self) -> bool {
        let held = self.slots.iter().filter_map(|slot| slot.process.as_ref());
        held.chain(&self.ghosts).any(|p| p.frozen_until.is_some())
    }

    /// Waits until `group` has committed everything; `None` where it never does.
    fn rested(&mut self, group: &str, ends: &BTreeMap<i32, i64>) -> Option<()> {
        // What a transaction holds back is not waited for: meanwhile nobody would be looked after.
        let mut client = self.client();
        let client = client
            .set("group.id", group)
            .set("isolation.level", "read_uncommitted");
        let consumer: BaseConsumer = client.create().unwrap();
        let until = self.began.elapsed() + REST;
        while self.began.elapsed() < until {
            if committed(&consumer, &self.topics.input, ends) == *ends {
                self.journal(format!("{group} has processed everything"));
                return Some(());
            }
            self.watch(self.began.elapsed());
            pause();
        }
        None
    }

    fn act(&mut self, act: Act, now: Duration) {
        match act {
            Act::Kill => {
                if let Some(slot) = self.any(|slot| slot.process.is_some()) {
                    self.note("kill", format!("agent {slot} is killed"));
                    let process = self.slots[slot].process.take().unwrap();
                    process.agent.signal("KILL");
                    self.slots[slot].start_at = now + self.delay();
                }
            }
            Act::Freeze => {
                let running = |slot: &Slot| slot.process.as_ref().is_some_and(|p| p.frozen_until.is_none());
                if let Some(slot) = self.any(running) {
                    self.freeze(slot, now);
                }
            }
            Act::Add => {
                if let Some(slot) = self.any(|slot| !slot.is_wanted) {
                    self.note("add", format!("agent {slot} is added"));
                    self.slots[slot].is_wanted = true;
                    self.slots[slot].start_at = now;
                }
            }
            Act::Settle => self.note("settle", "every agent has had a partition".to_owned()),
            Act::Remove => {
                let wanted = self.slots.iter().filter(|slot| slot.is_wanted).count();
                let slot = self.any(|slot| slot.is_wanted && slot.process.is_some());
                if let (Some(slot), true) = (slot, wanted > 1) {
                    self.note("remove", format!("agent {slot} is asked to stop"));
                    self.slots[slot].is_wanted = false;
                    let process = self.slots[slot].process.take().unwrap();
                    process.agent.signal("TERM");
                    self.ghosts.push(process);
                }
            }
            Act::RestartBroker { hard } => {
                let how = if hard { "killed" } else { "stopped" };
                self.note(
                    "broker restart",
                    format!("the broker is {how}, and started again"),
                );
                self.node.restart(hard, Duration::ZERO);
            }
            Act::PauseBroker(pause) => {
                self.note("broker pause", format!("the broker is held up for {pause:?}"));
                self.node.pause(pause);
            }
        }
    }

    /// A process stands still for longer than its session; now and then another has its name by then.
    fn freeze(&mut self, slot: usize, now: Duration) {
        let longer = Duration::from_millis(300 + self.chance.below(2500) as u64);
        let mut process = self.slots[slot].process.take().unwrap();
        process.agent.signal("STOP");
        process.frozen_until = Some(now + SESSION + longer);
        let at = process.failpoint.as_ref().filter(|_| process.hit.exists());
        let at = at.map_or("any moment", |failpoint| failpoint.point);
        let has_twin = self.chance.is(0.5);
        self.note(
            "freeze",
            format!("agent {slot} stands still at {at}, twin: {has_twin}"),
        );
        // What it waits for, once it is continued.
        let _ = std::fs::remove_file(&process.hit);
        if has_twin {
            self.slots[slot].start_at = now;
            self.ghosts.push(process);
        } else {
            self.slots[slot].process = Some(process);
        }
    }

    /// Starts who is wanted, continues who stood still long enough, and sees who ended.
    fn watch(&mut self, now: Duration) {
        self.node.tick();
        for slot in 0..AGENTS {
            match &mut self.slots[slot].process {
                Some(process) => {
                    process.thaw(now);
                    self.look(slot, now);
                }
                None if self.slots[slot].is_wanted && now >= self.slots[slot].start_at => {
                    self.launch(slot, now);
                }
                None => {}
            }
        }
        for ghost in &mut self.ghosts {
            ghost.thaw(now);
            // Nobody looks after it any more: where it hangs, it goes on.
            if let Some(failpoint) = ghost.failpoint.as_ref().filter(|f| f.hangs)
                && std::fs::remove_file(&ghost.hit).is_ok()
            {
                *self.outcome.hits.entry(failpoint.point).or_default() += 1;
            }
        }
    }

    /// What has become of a process.
    fn look(&mut self, slot: usize, now: Duration) {
        let process = self.slots[slot].process.as_mut().unwrap();
        let (is_hit, ended) = (process.hit.exists(), process.agent.ended());
        if is_hit {
            let failpoint = process.failpoint.clone().unwrap();
            if ended.is_none() && !failpoint.hangs {
                return; // It is about to.
            }
            *self.outcome.hits.entry(failpoint.point).or_default() += 1;
            let Failpoint { point, count, .. } = failpoint;
            self.note(
                "failpoint",
                format!("agent {slot} is at {point} for the {count}. time"),
            );
            if ended.is_none() {
                return self.freeze(slot, now);
            }
        } else if let Some(status) = ended {
            let log = process.agent.log();
            let last = log.lines().last().unwrap_or_default().to_owned();
            self.note("ended", format!("agent {slot} ended by itself, {status}: {last}"));
        }
        if ended.is_some() {
            self.slots[slot].process = None;
            self.slots[slot].start_at = now + self.delay();
        }
    }

    fn launch(&mut self, slot: usize, now: Duration) {
        let again = self.slots[slot].launches > 0 || slot >= self.plan.agents;
        let failpoint = if self.plan.has_failpoints && now < DISTURBED {
            Failpoint::draw(&mut self.chance, again)
        } else {
            None
        };
        self.slots[slot].launches += 1;
        let name = format!("{}-{slot}-{}", self.topics.input, self.slots[slot].launches);
        let hit = self.shop.path(&format!("{name}.hit"));
        let mut arguments = vec!["--config".to_owned(), self.config.display().to_string()];
        if self.plan.are_static {
            arguments.extend([
                "--set".to_owned(),
                format!("kafka.group_instance_id=agent-{slot}"),
            ]);
        }
        if self.plan.are_named {
            let id = format!("kafka.transactional_id={}-{slot}", self.topics.input);
            arguments.extend(["--set".to_owned(), id]);
        }
        let armed = failpoint.as_ref().map(|f| {
            let how = if f.hangs { "hang" } else { "die" };
            format!("{} {} {how} {}", f.point, f.count, hit.display())
        });
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let variables: Vec<(&str, &str)> = armed.iter().map(|f| ("AGENT_FAILPOINT", f.as_str())).collect();
        let agent = self.shop.start_with(&name, &arguments, &variables);
        self.note("start", format!("agent {slot} starts, armed with {armed:?}"));
        self.slots[slot].process = Some(Process {
            agent,
            failpoint,
            hit,
            frozen_until: None,
        });
    }

    /// Ends everybody as an orchestrator would.
    fn stop(&mut self) {
        for slot in &mut self.slots {
            slot.is_wanted = false;
        }
        let left = self.slots.iter_mut().filter_map(|slot| slot.process.take());
        let mut left: Vec<Process> = left.chain(std::mem::take(&mut self.ghosts)).collect();
        for process in &mut left {
            if process.agent.ended().is_none() {
                if process.frozen_until.is_some() {
                    process.agent.signal("CONT");
                }
                process.agent.signal("TERM");
            }
        }
        for process in left {
            process.agent.wait();
        }
    }

    /// One agent, in one go, by another group and to other topics.
    fn undisturbed(&mut self, whole: &Topics, ends: &BTreeMap<i32, i64>) {
        let mut settings = vec![
            format!("kafka.group={}", whole.group),
            format!("alerts.topic={}", whole.alerts),
            format!("dead_letter.topic={}", whole.dead),
        ];
        if self.plan.keeps_state {
            settings.push(format!("state.topic={}", whole.state));
        }
        let config = self.config.display().to_string();
        let mut arguments = vec!["--config", &config];
        for setting in &settings {
            arguments.extend(["--set", setting]);
        }
        let agent = self.shop.start(&whole.alerts, &arguments);
        assert!(
            self.rested(&whole.group, ends).is_some(),
            "the undisturbed run: {}",
            agent.log()
        );
        agent.terminate();
    }

    fn read(&self, topics: &Topics) -> found::Records {
        found::read(&self.client(), topics)
    }

    fn any(&mut self, is: impl Fn(&Slot) -> bool) -> Option<usize> {
        let fit: Vec<usize> = (0..AGENTS).filter(|slot| is(&self.slots[*slot])).collect();
        (!fit.is_empty()).then(|| fit[self.chance.below(fit.len())])
    }

    fn delay(&mut self) -> Duration {
        Duration::from_millis(self.chance.below(800) as u64)
    }

    fn note(&mut self, what: &'static str, text: String) {
        *self.outcome.done.entry(what).or_default() += 1;
        self.moments.push(agent::clock::now().millis());
        self.journal(text);
    }

    fn journal(&mut self, text: String) {
        let at = self.began.elapsed().as_secs_f64();
        self.outcome.journal.push(format!("{at:7.3} {text}"));
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.node.brokers());
        config
    }
}

impl Process {
    fn thaw(&mut self, now: Duration) {
        if self.frozen_until.is_some_and(|until| now >= until) {
            self.agent.signal("CONT");
            self.frozen_until = None;
        }
    }
}

/// Writes the input topic.
struct Feed {
    producer: ThreadedProducer<DefaultProducerContext>,
    topic: String,
}

impl Feed {
    fn new(mut client: ClientConfig, topic: &str) -> Self {
        let producer = client
            // A record that is written twice, as the broker dies, is one more of those that come twice. An idempotent producer would
            // rather give up for good.
            .set("max.in.flight.requests.per.connection", "1")
            .set("reconnect.backoff.max.ms", "500")
            .set("linger.ms", "5")
            .create()
            .unwrap();
        Self {
            producer,
            topic: topic.to_owned(),
        }
    }

    /// Offset after the last record by partition, once all are written.
    fn ends(&self) -> BTreeMap<i32, i64> {
        self.producer.flush(Duration::from_secs(30)).unwrap();
        let end = |partition| {
            let client = self.producer.client();
            let bounds = client.fetch_watermarks(&self.topic, partition, Duration::from_secs(10));
            (partition, bounds.unwrap().1)
        };
        (0..PARTITIONS).map(end).collect()
    }

    /// Queues records; they come in this order, as soon as the broker takes them.
    fn records(&mut self, records: &[Produced]) {
        for record in records {
            let next = BaseRecord::to(&self.topic)
                .partition(record.partition)
                .key(&record.key)
                .payload(&record.value)
                .timestamp(record.time);
            self.producer.send(next).map_err(|(error, _)| error).unwrap();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "other processes send no event")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

/// Sensitive: a good third of the series is in alert at any time, so that a state that is a little off shows.
fn config(node: &Node, topics: &Topics, delivery: &str, keeps_state: bool) -> String {
    let state = if keeps_state {
        format!("[state]\ntopic = \"{}\"\nlookback = \"0s\"\n", topics.state)
    } else {
        "[state]\ntopic = \"off\"\n".to_owned()
    };
    let Topics {
        input,
        alerts,
        dead,
        group,
        ..
    } = topics;
    let (brokers, session) = (node.brokers(), SESSION.as_secs());
    format!(
        r#"
[kafka]
brokers = "{brokers}"
topics = ["{input}"]
group = "{group}"
delivery = "{delivery}"
start = "earliest"
commit_interval = "100ms"
session_timeout = "{session}s"
transaction_timeout = "4s"
[kafka.properties]
heartbeat.interval.ms = "500"
reconnect.backoff.max.ms = "500"
[alerts]
topic = "{alerts}"
[dead_letter]
topic = "{dead}"
[windows]
lateness = "20s"
idle_close = "1d"
[score]
refractory = 1
rarity = 0.0
rise = 0.0
warn_decades = 0.9
critical_decades = 1.5
[alert]
min_confidence = 0.0
keep_firing_for = "0s"
[log]
level = "info,librdkafka=off,rdkafka=off"
{state}"#
    )
}
