//! What is done to the agents and the broker in one run: follows from its seed.

use std::time::Duration;

use super::chance::Chance;

/// Points at which an agent may be ended; see `ingest::kafka::failpoint`.
pub(crate) const POINTS: [&str; 8] = [
    "before_produce",
    "after_produce",
    "before_offsets",
    "after_offsets",
    "before_commit",
    "after_commit",
    "in_restore",
    "in_revoke",
];

/// Agents are named by number, and at most so many are wanted at a time.
pub(crate) const AGENTS: usize = 4;
/// The disturbance lasts as long as the input comes.
pub(crate) const DISTURBED: Duration = Duration::from_secs(7);

/// One run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Members with names (`group_instance_id`); else their names end with the process.
    pub(crate) are_static: bool,
    /// Transactional ids outlive the process: its successor fences it.
    pub(crate) are_named: bool,
    /// State is kept on a topic, and no past is read again; else the past is read again, all of it.
    pub(crate) keeps_state: bool,
    /// Agents at the start.
    pub(crate) agents: usize,
    /// The broker comes up so long after the agents.
    pub(crate) broker_late: Option<Duration>,
    /// Agents die and hang at points of their own.
    pub(crate) has_failpoints: bool,
    /// When what is done, in order.
    pub(crate) acts: Vec<(Duration, Act)>,
}

/// Something done from the outside. Which agent it befalls is drawn among those there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// SIGKILL; a supervisor starts another.
    Kill,
    /// SIGSTOP until its session is over, then SIGCONT.
    Freeze,
    /// One more agent.
    Add,
    /// Nothing, and nothing after it, nor the second half of the input, until every agent that is wanted has had a partition.
    Settle,
    /// SIGTERM to one, if there are two.
    Remove,
    /// SIGKILL to the broker, or SIGTERM; then a start with the same data.
    RestartBroker { hard: bool },
    /// SIGSTOP to the broker for so long.
    PauseBroker(Duration),
}

/// A point to go off at, the how manieth time, and whether it hangs there instead of dying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failpoint {
    pub(crate) point: &'static str,
    pub(crate) count: usize,
    pub(crate) hangs: bool,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed, "plan");
        let are_static = chance.is(0.5);
        let are_named = are_static || chance.is(0.5);
        let agents = 1 + chance.below(3);
        let mut broker_late = None;
        let mut acts: Vec<(Duration, Act)> = (0..4 + chance.below(4))
            .map(|_| {
                let act = match chance.below(10) {
                    0..4 => Act::Kill,
                    4 => Act::Freeze,
                    5..8 => Act::Add,
                    _ => Act::Remove,
                };
                (moment(&mut chance), act)
            })
            .collect();
        match chance.below(10) {
            0 => broker_late = Some(Duration::from_millis(1000 + chance.below(2000) as u64)),
            1 => acts.push((moment(&mut chance), Act::RestartBroker { hard: true })),
            2 => acts.push((moment(&mut chance), Act::RestartBroker { hard: false })),
            3 => {
                let pause = Duration::from_millis(500 + chance.below(4000) as u64);
                acts.push((moment(&mut chance), Act::PauseBroker(pause)));
            }
            _ => {}
        }
        acts.sort_by_key(|(at, _)| *at);
        Self {
            are_static,
            are_named,
            keeps_state: (seed / 2).is_multiple_of(2),
            agents,
            broker_late,
            has_failpoints: true,
            acts,
        }
    }

    /// One agent becomes four and then one again; nothing else befalls them.
    pub(crate) fn scaling() -> Self {
        let at = |share: f64, act| (DISTURBED.mul_f64(share), act);
        Self {
            are_static: false,
            are_named: false,
            keeps_state: true,
            agents: 1,
            broker_late: None,
            has_failpoints: false,
            acts: vec![
                at(0.1, Act::Add),
                at(0.2, Act::Add),
                at(0.3, Act::Add),
                at(0.5, Act::Settle),
                at(0.6, Act::Remove),
                at(0.75, Act::Remove),
                at(0.9, Act::Remove),
            ],
        }
    }
}

fn moment(chance: &mut Chance) -> Duration {
    DISTURBED.mul_f64(0.05 + 0.95 * chance.unit())
}

impl Failpoint {
    /// Of a process that is started while things are disturbed; `again`: it has a past to read.
    pub(crate) fn draw(chance: &mut Chance, again: bool) -> Option<Self> {
        let point = POINTS[chance.below(POINTS.len())];
        let count = match point {
            "in_restore" => chance.below(3_000),
            "in_revoke" => chance.below(2),
            _ => chance.below(15),
        };
        let hangs = chance.is(0.15);
        let wanted = chance.is(0.7) && (again || point != "in_restore");
        wanted.then_some(Self {
            point,
            count: count + 1,
            hangs,
        })
    }
}
