//! What a series looks like before noise, in units of its scale.

use types::DurationMs;

use super::random::Random;

/// One day in milliseconds.
pub const DAY_MS: DurationMs = 86_400_000;

/// One sine of a cycle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Harmonic {
    /// Turns a day (UTC): 1 is a daily cycle, 24 an hourly one, 1/7 a weekly one.
    pub per_day: f64,
    /// Height above the middle, units of scale.
    pub amplitude: f64,
    /// Where it starts, in turns.
    pub phase: f64,
}

/// A way in which metrics move. Values are in units of the series' scale; times in milliseconds of event time.
///
/// Shapes without jitter are functions of event time alone and therefore periodic on the clock.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Sines on the clock: −1 is no activity, 1 the usual peak. On Saturday and Sunday the activity above −1
    /// shrinks by the share `weekend`, within three hours around midnight.
    Cycle {
        /// The sines.
        harmonics: Vec<Harmonic>,
        /// Share of activity missing at weekends, in [0, 1].
        weekend: f64,
    },
    /// Fills from 0 to 1, then falls: disks and their cleaning, heaps and their collection.
    Sawtooth {
        /// Length of a tooth.
        period: DurationMs,
        /// Share of the tooth that the fall takes.
        fall: f64,
        /// Spread of lengths and heights, as a share of them.
        jitter: f64,
    },
    /// Jobs at regular intervals: 0 between them, a height of at least 1 during one.
    Bursts {
        /// From the start of one to the start of the next.
        every: DurationMs,
        /// How long one lasts.
        length: DurationMs,
        /// Tail index of the Pareto heights; 0: all are 1.
        tail: f64,
        /// Spread of the intervals, as a share of them.
        jitter: f64,
    },
    /// A level that stays and then jumps: deploys. Levels are normal with this standard deviation.
    Steps {
        /// Mean time on a level.
        dwell: DurationMs,
        /// Standard deviation of levels.
        size: f64,
    },
    /// 1 for the share `duty` of each period, else 0.
    OnOff {
        /// One turn.
        period: DurationMs,
        /// Share of the time it is on.
        duty: f64,
        /// Spread of the periods, as a share of them.
        jitter: f64,
    },
    /// A random walk that is drawn back to 0 and may drift.
    Walk {
        /// Standard deviation gathered in an hour.
        hourly: f64,
        /// Time in which the pull to 0 undoes 63 % of a distance; 0: no pull.
        memory: DurationMs,
        /// Steady growth a day.
        drift: f64,
    },
    /// Always 0.
    Constant,
    /// Log-normal around a median of 1 that swings through the day: response times.
    Latency {
        /// Standard deviation of the logarithm.
        sigma: f64,
        /// Daily swing of the median, as a share of it.
        swing: f64,
        /// Where the day starts, in turns.
        phase: f64,
    },
    /// Length of a queue: Poisson arrivals at `load` times the service of `capacity` items an interval.
    Queue {
        /// Mean arrivals over capacity, below 1.
        load: f64,
        /// Daily swing of the arrivals, as a share of them.
        swing: f64,
        /// Items served an interval.
        capacity: f64,
    },
    /// Independent Poisson counts an interval: errors, logins.
    Count {
        /// Mean of a count.
        mean: f64,
        /// Daily swing of the mean, as a share of it.
        swing: f64,
    },
    /// Independent draws of Student's t: heavy tails, as pauses and retries have them.
    StudentT {
        /// Degrees of freedom: the tail index. Below 3 there is no standard deviation to speak of.
        freedom: u32,
    },
}

/// What a shape remembers from one sample to the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    started: bool,
    /// Start and end of the present tooth, burst, turn or level.
    from: i64,
    until: i64,
    /// Its height, or the walk's or queue's level.
    level: f64,
}

impl Shape {
    /// The value at `at` (ms of event time), one interval after the last call.
    pub(super) fn next(&self, state: &mut State, at: i64, interval: DurationMs, random: &mut Random) -> f64 {
        match *self {
            Self::Cycle {
                ref harmonics,
                weekend,
            } => cycle(harmonics, weekend, at),
            Self::Sawtooth { period, fall, jitter } => {
                state.turn(at, period, jitter, random, |r| 1.0 - jitter * r.uniform());
                let share = (at - state.from) as f64 / (state.until - state.from) as f64;
                let rise = (1.0 - fall).max(0.01);
                state.level * (share / rise).min((1.0 - share) / (1.0 - rise).max(1e-9))
            }
            Self::Bursts {
                every,
                length,
                tail,
                jitter,
            } => {
                state.turn(at, every, jitter, random, |r| {
                    if tail > 0.0 { r.pareto(tail) } else { 1.0 }
                });
                if at - state.from < length {
                    state.level
                } else {
                    0.0
                }
            }
            Self::Steps { dwell, size } => {
                while !state.started || at >= state.until {
                    state.until = if state.started { state.until } else { at };
                    state.until += 1 + (random.exponential() * dwell as f64) as i64;
                    state.level = size * random.normal();
                    state.started = true;
                }
                state.level
            }
            Self::OnOff { period, duty, jitter } => {
                state.turn(at, period, jitter, random, |_| 1.0);
                let on = duty * (state.until - state.from) as f64;
                if ((at - state.from) as f64) < on { 1.0 } else { 0.0 }
            }
            Self::Walk {
                hourly,
                memory,
                drift,
            } => {
                let step = interval as f64;
                let keep = if memory > 0 {
                    libm::exp(-step / memory as f64)
                } else {
                    1.0
                };
                state.level = keep * state.level
                    + hourly * libm::sqrt(step / 3_600_000.0) * random.normal()
                    + drift * step / DAY_MS as f64;
                state.level
            }
            Self::Constant => 0.0,
            Self::Latency { sigma, swing, phase } => {
                (1.0 + swing * daily(at, phase)) * libm::exp(sigma * random.normal())
            }
            Self::Queue {
                load,
                swing,
                capacity,
            } => {
                let arrivals = random.poisson(capacity * load * (1.0 + swing * daily(at, 0.0)));
                state.level = (state.level + arrivals - random.poisson(capacity)).max(0.0);
                state.level
            }
            Self::Count { mean, swing } => random.poisson(mean * (1.0 + swing * daily(at, 0.0))),
            Self::StudentT { freedom } => random.student_t(freedom),
        }
    }

    /// About how far the shape moves from its middle in a way that repeats, units of scale.
    pub(super) fn swing(&self) -> f64 {
        match *self {
            Self::Cycle { ref harmonics, .. } => harmonics.iter().map(|h| h.amplitude.abs()).sum(),
            Self::Sawtooth { .. } | Self::OnOff { .. } => 0.5,
            Self::Bursts { .. } => 1.0,
            Self::Latency { swing, .. } => swing,
            Self::Count { mean, swing } => mean * swing,
            Self::Steps { .. }
            | Self::Walk { .. }
            | Self::Constant
            | Self::Queue { .. }
            | Self::StudentT { .. } => 0.0,
        }
    }

    /// About the standard deviation of what does not repeat, units of scale.
    pub(super) fn own_noise(&self) -> f64 {
        match *self {
            Self::Steps { size, .. } => size,
            Self::Walk { hourly, memory, .. } => {
                let hours = if memory > 0 {
                    memory as f64 / 3_600_000.0
                } else {
                    24.0
                };
                hourly * libm::sqrt(hours / 2.0)
            }
            Self::Latency { sigma, .. } => libm::exp(sigma) - 1.0,
            Self::Queue { load, swing, .. } => 1.0 / (1.0 - load * (1.0 + swing)).max(0.05),
            Self::Count { mean, .. } => libm::sqrt(mean),
            Self::StudentT { freedom } => {
                let freedom = f64::from(freedom.max(3));
                libm::sqrt(freedom / (freedom - 2.0))
            }
            Self::Cycle { .. }
            | Self::Sawtooth { .. }
            | Self::Bursts { .. }
            | Self::OnOff { .. }
            | Self::Constant => 0.0,
        }
    }

    /// Whether it has a cycle that can break.
    pub(super) fn is_cyclic(&self) -> bool {
        matches!(
            self,
            Self::Cycle { .. } | Self::OnOff { .. } | Self::Sawtooth { .. }
        )
    }
}

impl State {
    /// Moves on to the turn that holds `at`. Turns lie on the epoch grid of `period`, those with jitter near it.
    fn turn(
        &mut self,
        at: i64,
        period: DurationMs,
        jitter: f64,
        random: &mut Random,
        height: impl Fn(&mut Random) -> f64,
    ) {
        let period = period.max(1);
        if !self.started {
            self.until = at - at.rem_euclid(period);
            self.started = true;
            self.extend(period, jitter, random, &height);
        }
        while at >= self.until {
            self.extend(period, jitter, random, &height);
        }
    }

    fn extend(
        &mut self,
        period: i64,
        jitter: f64,
        random: &mut Random,
        height: &impl Fn(&mut Random) -> f64,
    ) {
        self.from = self.until;
        let stretch = 1.0 + jitter * random.between(-1.0, 1.0);
        self.until = self.from + ((period as f64 * stretch) as i64).max(1);
        self.level = height(random);
    }
}

fn daily(at: i64, phase: f64) -> f64 {
    turns(at as f64 / DAY_MS as f64 + phase)
}

/// Sine of a number of turns.
fn turns(x: f64) -> f64 {
    libm::sin(std::f64::consts::TAU * (x - x.floor()))
}

fn cycle(harmonics: &[Harmonic], weekend: f64, at: i64) -> f64 {
    let days = at as f64 / DAY_MS as f64;
    let value: f64 = harmonics
        .iter()
        .map(|h| h.amplitude * turns(days * h.per_day + h.phase))
        .sum();
    (value + 1.0) * (1.0 - weekend * weekendness(at)) - 1.0
}

/// 0 on working days, 1 on Saturday and Sunday (UTC), linear over the three hours around the midnights between.
fn weekendness(at: i64) -> f64 {
    // Day 0 of the epoch was a Thursday: Saturday starts two days later.
    let hours = (at - 2 * DAY_MS).rem_euclid(7 * DAY_MS) as f64 / 3_600_000.0;
    let into = (hours + 1.5) / 3.0;
    let out = (48.0 + 1.5 - hours) / 3.0;
    let back = (hours - (7.0 * 24.0 - 1.5)) / 3.0;
    into.min(out).max(back).clamp(0.0, 1.0)
}
