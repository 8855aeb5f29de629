//! One schedule: who moves next, what fails, what the topics hold in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pipeline::delivery::FirstStart;
use types::Record;

use crate::agent::{Agent, Fault, Mode, Ways};
use crate::broker::{Broker, SESSION};
use crate::dice::Dice;
use crate::workload::{self, Beginning};

/// Steps after which a world without faults must have come to rest.
const REST: usize = 20_000;

/// What schedules were made of.
#[derive(Default)]
pub(crate) struct Tally {
    schedules: u64,
    steps: u64,
    alerts: u64,
    letters: u64,
    hangs: u64,
    rivals: u64,
    crashes: BTreeMap<&'static str, u64>,
    faults: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.schedules += other.schedules;
        self.steps += other.steps;
        self.alerts += other.alerts;
        self.letters += other.letters;
        self.hangs += other.hangs;
        self.rivals += other.rivals;
        for (to, from) in [
            (&mut self.crashes, &other.crashes),
            (&mut self.faults, &other.faults),
        ] {
            for (step, n) in from {
                *to.entry(step).or_default() += n;
            }
        }
    }

    pub(crate) fn crashes(&self, step: &str) -> u64 {
        self.crashes.get(step).copied().unwrap_or(0)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} schedules, {} steps, {} alert states, {} dead letters, {} hangs, {} rivals of the same name",
            self.schedules, self.steps, self.alerts, self.letters, self.hangs, self.rivals
        )?;
        writeln!(f, "crashes before: {:?}", self.crashes)?;
        write!(f, "calls or answers lost: {:?}", self.faults)
    }
}

struct Slot {
    agent: Agent,
    /// It hangs until then, heartbeats included.
    hangs_until: i64,
}

struct World<'a> {
    ways: &'a Ways,
    dice: Dice,
    broker: Broker,
    slots: Vec<Slot>,
    /// Records still to come, by partition, newest first.
    to_come: Vec<Vec<Record>>,
    is_static: bool,
    /// Transactional ids are the instance's own, not the process's.
    is_stable: bool,
    processes: usize,
    tally: &'a mut Tally,
}

/// Runs the schedule of this number.
///
/// # Errors
/// What the topics hold too much or too little, or that the world does not come to rest.
pub(crate) fn schedule(ways: &Ways, seed: u64, tally: &mut Tally) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let partitions = 1 + dice.below(3) as usize;
    let records = 20 + dice.below(40) as usize;
    let input: Vec<Vec<Record>> = (0..partitions)
        .map(|p| workload::stream(p, records, &mut dice))
        .collect();
    let to_come = input
        .iter()
        .map(|records| records.iter().rev().cloned().collect());
    let mut world = World {
        ways,
        broker: Broker::new(partitions),
        slots: Vec::new(),
        to_come: to_come.collect(),
        is_static: dice.one_in(2),
        is_stable: dice.one_in(2),
        processes: 0,
        tally,
        dice,
    };
    for _ in 0..world.dice.below(10) {
        world.produce();
    }
    for instance in 0..1 + world.dice.below(3) as usize {
        world.start(instance);
    }
    for _ in 0..200 + world.dice.below(300) {
        world.disturb();
        world.advance(true);
    }
    world.rest()?;
    world.tally.schedules += 1;
    world.compare(&input)
}

impl World<'_> {
    fn start(&mut self, instance: usize) {
        self.processes += 1;
        let id = match self.is_stable {
            true => format!("agent-{instance}"),
            false => format!("agent-{instance}-{}", self.processes),
        };
        self.slots.push(Slot {
            agent: Agent::new(self.ways.clone(), instance, id, self.is_static),
            hangs_until: 0,
        });
    }

    fn produce(&mut self) {
        let partition = self.dice.below(self.to_come.len() as u64) as usize;
        if let Some(record) = self.to_come[partition].pop() {
            self.broker.input[partition].push(record);
        }
    }

    /// Now and then something befalls an agent.
    fn disturb(&mut self) {
        if self.slots.is_empty() {
            if self.dice.one_in(10) {
                self.start(0);
            }
            return;
        }
        let at = self.dice.below(self.slots.len() as u64) as usize;
        let slot = &mut self.slots[at];
        let instance = slot.agent.instance;
        match self.dice.below(400) {
            0..=9 => {
                *self.tally.crashes.entry(slot.agent.doing()).or_default() += 1;
                self.slots.remove(at);
                if !self.dice.one_in(4) {
                    self.start(instance);
                }
            }
            10..=15 => {
                let for_long = 1 + self.dice.below(4);
                slot.hangs_until = self.broker.now + i64::try_from(for_long).unwrap_or(1) * SESSION / 2;
                self.tally.hangs += 1;
                if self.dice.one_in(3) {
                    // Somebody took it for dead.
                    self.tally.rivals += 1;
                    self.start(instance);
                }
            }
            16..=17 => slot.agent.stop(),
            18..=20 if self.slots.len() < 4 => {
                let instance = self.dice.below(4) as usize;
                self.start(instance);
            }
            _ => {}
        }
    }

    /// Time passes, a record may come, one agent takes a step.
    fn advance(&mut self, faults: bool) {
        // Without faults everybody is also fast enough: a group that cannot answer within its deadline never rests.
        let elapsed = match self.dice.below(60) {
            0 if faults => 4_000,
            1..=5 if faults => 500,
            _ => 20,
        };
        self.broker.pass(elapsed);
        if self.dice.one_in(3) {
            self.produce();
        }
        let now = self.broker.now;
        for slot in &self.slots {
            if slot.hangs_until <= now {
                slot.agent.heartbeat(&mut self.broker);
            }
        }
        let awake: Vec<usize> = (0..self.slots.len())
            .filter(|i| self.slots[*i].hangs_until <= now)
            .collect();
        if awake.is_empty() {
            return;
        }
        let at = awake[self.dice.below(awake.len() as u64) as usize];
        let fault = match self.dice.below(50) {
            0 if faults => Fault::Before,
            1 if faults => Fault::After,
            _ => Fault::None,
        };
        let agent = &mut self.slots[at].agent;
        if fault != Fault::None {
            *self.tally.faults.entry(agent.doing()).or_default() += 1;
        }
        self.tally.steps += 1;
        if !agent.step(&mut self.broker, fault, &mut self.dice) {
            let instance = agent.instance;
            self.slots.remove(at);
            if self.dice.one_in(2) {
                self.start(instance);
            }
        }
    }

    /// No more faults: everything must be processed, and nobody has anything left to say.
    fn rest(&mut self) -> Result<(), String> {
        for slot in &mut self.slots {
            slot.hangs_until = slot.hangs_until.min(self.broker.now + SESSION);
        }
        let mut steps = 0;
        let mut quiet = 0;
        while quiet < 200 {
            if self.slots.is_empty() {
                self.start(0);
            }
            self.advance(false);
            let partitions = 0..self.to_come.len();
            let all_in = self.to_come.iter().all(Vec::is_empty);
            let done = partitions
                .clone()
                .all(|p| self.broker.committed[p] == Some(self.broker.end(p)));
            let awake = self.slots.iter().all(|s| s.hangs_until <= self.broker.now);
            let is_quiet = all_in && done && awake && !self.broker.has_open();
            quiet = if is_quiet { quiet + 1 } else { 0 };
            steps += 1;
            if steps > REST {
                let ends: Vec<i64> = partitions.map(|p| self.broker.end(p)).collect();
                return Err(format!(
                    "no rest: committed {:?} of {ends:?}",
                    self.broker.committed
                ));
            }
        }
        Ok(())
    }

    /// Where the clock closes buckets there is no one undisturbed run. Still no state of an event may be said twice.
    fn look_for_repeats(&self) -> Result<(), String> {
        for (key, said) in self.broker.read_committed() {
            let mut seen = BTreeSet::new();
            // An alert begins with its id, its kind and its state.
            let mut ids = said
                .iter()
                .map(|text| text.split(',').take(3).collect::<Vec<_>>());
            if let Some(id) = ids.find(|id| id[0].starts_with('{') && !seen.insert(id.clone())) {
                return Err(format!("{key}: {} said again", id[1..].join(" ")));
            }
        }
        Ok(())
    }

    fn compare(&mut self, input: &[Vec<Record>]) -> Result<(), String> {
        if self.ways.ticks && !self.ways.keeps {
            return self.look_for_repeats();
        }
        let beginnings: Vec<Beginning> = self
            .broker
            .first_committed
            .iter()
            .map(|first| Beginning {
                live_from: match self.ways.first {
                    FirstStart::Earliest => 0,
                    _ => first.unwrap_or(0),
                },
                cold: self.ways.keeps && self.ways.first == FirstStart::Latest,
            })
            .collect();
        let mut found = self.broker.read_committed();
        let ticks = found.split_off(workload::TICKS);
        let wanted = workload::undisturbed(&self.ways.settings, input, &beginnings, &ticks);
        if self.ways.mode == Mode::AtLeastOnce {
            for said in found.values_mut() {
                let mut seen = BTreeSet::new();
                said.retain(|text| seen.insert(text.clone()));
            }
        }
        for (key, said) in &wanted {
            let letters = key.ends_with(workload::DEAD_LETTERS);
            let count = if letters {
                &mut self.tally.letters
            } else {
                &mut self.tally.alerts
            };
            *count += said.len() as u64;
        }
        let keys: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
        let none = Vec::new();
        for key in keys {
            let (want, have) = (wanted.get(key).unwrap_or(&none), found.get(key).unwrap_or(&none));
            if want == have {
                continue;
            }
            let count = |all: &[String], one: &String| all.iter().filter(|text| *text == one).count();
            let lost = want.iter().filter(|text| count(have, text) == 0).count();
            let twice = have
                .iter()
                .filter(|text| count(have, text) > count(want, text).max(1))
                .count();
            let foreign = have.iter().filter(|text| count(want, text) == 0).count();
            return Err(format!(
                "{key}: {} of {} records; {lost} lost, {twice} said again, {foreign} that should not be",
                have.len(),
                want.len()
            ));
        }
        Ok(())
    }
}
