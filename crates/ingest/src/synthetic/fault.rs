//! What goes wrong with a series on purpose.

use types::{DurationMs, Timestamp};

use super::SeriesSpec;
use super::random::Random;

/// The ways in which a series can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// Values rise by the magnitude for a moment.
    Spike,
    /// Values fall by the magnitude for a moment.
    Dip,
    /// Values are moved by the magnitude (which may be negative) for the whole time.
    LevelShift,
    /// The last value before the fault stays.
    Flatline,
    /// Normal noise with the magnitude as its standard deviation is added.
    NoiseBurst,
    /// Values move away steadily, by the magnitude at the end: a leak.
    Drift,
    /// The cycle is multiplied by 1 − magnitude: 1 flattens it, 2 turns it upside down.
    SeasonalityBreak,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Spike,
        Self::Dip,
        Self::LevelShift,
        Self::Flatline,
        Self::NoiseBurst,
        Self::Drift,
        Self::SeasonalityBreak,
    ];

    /// Name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Spike => "spike",
            Self::Dip => "dip",
            Self::LevelShift => "level shift",
            Self::Flatline => "flatline",
            Self::NoiseBurst => "noise burst",
            Self::Drift => "drift",
            Self::SeasonalityBreak => "seasonality break",
        }
    }
}

/// One thing that goes wrong, in `[start, start + duration)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// From when.
    pub start: Timestamp,
    /// For how long, ms.
    pub duration: DurationMs,
    /// How much, in [`SeriesSpec::fault_unit`]s (of the cycle itself for [`FaultKind::SeasonalityBreak`],
    /// unused for [`FaultKind::Flatline`]).
    pub magnitude: f64,
}

impl Fault {
    /// The first moment at which it is over.
    #[must_use]
    pub fn end(&self) -> Timestamp {
        self.start + self.duration
    }
}

/// A fault while it acts on a stream.
#[derive(Clone, Debug)]
pub(super) struct FaultState {
    fault: Fault,
    held: Option<f64>,
    random: Random,
}

impl FaultState {
    pub(super) fn new(fault: Fault, seed: u64) -> Self {
        Self {
            fault,
            held: None,
            random: Random::new(seed, 3),
        }
    }

    pub(super) fn is_over(&self, at: i64) -> bool {
        at >= self.fault.end().millis()
    }

    /// What becomes of `value` (data units) at `at`, of which `cyclic` is the cycle's part.
    pub(super) fn apply(&mut self, at: i64, value: f64, cyclic: f64, unit: f64) -> f64 {
        let Fault {
            kind,
            start,
            duration,
            magnitude,
        } = self.fault;
        if at < start.millis() {
            self.held = Some(value);
            return value;
        }
        let size = magnitude * unit;
        match kind {
            FaultKind::Spike | FaultKind::LevelShift => value + size,
            FaultKind::Dip => value - size,
            FaultKind::Flatline => *self.held.get_or_insert(value),
            FaultKind::NoiseBurst => value + size * self.random.normal(),
            FaultKind::Drift => value + size * (at - start.millis()) as f64 / duration.max(1) as f64,
            FaultKind::SeasonalityBreak => value - magnitude * cyclic,
        }
    }
}

/// A fault and the series it is meant for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlannedFault {
    /// Index of the series among those the plan was made for.
    pub series: usize,
    /// What happens to it.
    pub fault: Fault,
}

/// Buckets between the end of one fault of a series and the start of its next: more than a window of 100, so
/// that each fault is judged against normal values.
const REST: i64 = 150;

/// Draws faults for `specs` that start in `[from, until)`, on average one each `gap` ms over all series, in
/// order of start.
///
/// Magnitudes are far outside a series' own noise, so that a miss is the detector's. A series has one fault at
/// a time and a rest of 150 intervals after it. Falls are drawn only where there is room below, and flatlines
/// and broken cycles never: whether those show at all depends on the hour they start at.
#[must_use]
pub fn fault_plan(
    seed: u64,
    specs: &[SeriesSpec],
    from: Timestamp,
    until: Timestamp,
    gap: DurationMs,
) -> Vec<PlannedFault> {
    let mut random = Random::new(seed, 4);
    let mut free_at = vec![from.millis(); specs.len()];
    let mut plan = Vec::new();
    let mut at = from.millis();
    loop {
        at += 1 + (random.exponential() * gap as f64) as i64;
        if at >= until.millis() || specs.is_empty() {
            return plan;
        }
        let free: Vec<usize> = (0..specs.len()).filter(|&i| free_at[i] <= at).collect();
        if free.is_empty() {
            continue;
        }
        let series = random.pick(&free);
        let start = Timestamp::from_millis(at).floor_to(specs[series].interval);
        let fault = draw(&mut random, &specs[series], start);
        free_at[series] = fault.end().millis() + REST * specs[series].interval;
        plan.push(PlannedFault { series, fault });
    }
}

fn draw(random: &mut Random, spec: &SeriesSpec, start: Timestamp) -> Fault {
    let kind = random.pick(kinds_for(spec));
    let (buckets, magnitude) = match kind {
        FaultKind::Spike | FaultKind::Dip => (random.between(2.0, 5.0), random.between(10.0, 20.0)),
        FaultKind::LevelShift => {
            let sign = if random.chance(0.5) { 1.0 } else { -1.0 };
            (random.between(15.0, 40.0), sign * random.between(8.0, 15.0))
        }
        FaultKind::NoiseBurst => (random.between(10.0, 30.0), random.between(6.0, 12.0)),
        FaultKind::Drift => (random.between(40.0, 80.0), random.between(15.0, 30.0)),
        FaultKind::Flatline | FaultKind::SeasonalityBreak => (random.between(40.0, 80.0), 2.0),
    };
    Fault {
        kind,
        start,
        duration: buckets as i64 * spec.interval,
        magnitude,
    }
}

/// The kinds that show: values far above normal always do; a fall needs room below.
fn kinds_for(spec: &SeriesSpec) -> &'static [FaultKind] {
    const UP: &[FaultKind] = &[FaultKind::Spike, FaultKind::NoiseBurst, FaultKind::Drift];
    const BOTH: &[FaultKind] = &[
        FaultKind::Spike,
        FaultKind::Dip,
        FaultKind::LevelShift,
        FaultKind::NoiseBurst,
        FaultKind::Drift,
    ];
    let room = (spec.offset - spec.limits.0) / spec.fault_unit();
    if room < 15.0 { UP } else { BOTH }
}
