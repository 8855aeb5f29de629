//! Series that look like metrics, from a seed: for the demo, for tests, and for training the general bundle.
//!
//! A [`SeriesSpec`] says what a series looks like; its [`SeriesSpec::stream`] yields one sample an interval for
//! ever, in constant memory, with the same bits on every machine. [`corpus`] draws varied series to train on,
//! [`fleet`] calm ones to watch, [`calm`] those that false alerts are counted on, and [`fault_plan`] what shall go wrong.
//!
//! A value is made in this order: layers of [`Shape`] are added up in units of scale, AR(1) noise is added,
//! scale and offset turn it into data units, faults act, limits and quantum are applied, and a counter adds
//! value × interval to its running total.

mod calm;
mod fault;
mod fleet;
mod random;
mod shape;
#[cfg(test)]
mod tests;

use types::{DurationMs, Kind, SeriesKey, Timestamp};

use self::fault::FaultState;
use self::random::Random;
use self::shape::State;

pub use self::calm::calm;
pub use self::fault::{Fault, FaultKind, PlannedFault, fault_plan};
pub use self::fleet::{corpus, fleet};
pub use self::shape::{DAY_MS, Harmonic, Shape};

/// Noise on top of the shape: first-order autoregressive and normal.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Noise {
    /// Standard deviation, units of scale.
    pub sd: f64,
    /// Correlation of neighbouring samples, in [0, 1).
    pub rho: f64,
    /// How much the noise follows the shape: it is multiplied by 1 + grows × shape, but not below a tenth.
    pub grows: f64,
}

/// What one series looks like.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesSpec {
    /// Its name and labels.
    pub key: SeriesKey,
    /// A gauge shows values; a counter their running total (values are then per second).
    pub kind: Kind,
    /// One sample each so many milliseconds, on the epoch grid.
    pub interval: DurationMs,
    /// Added up, each times its weight.
    pub layers: Vec<(f64, Shape)>,
    /// On top of the layers.
    pub noise: Noise,
    /// Data units in one unit of shape and noise.
    pub scale: f64,
    /// Value where shape and noise are 0, data units.
    pub offset: f64,
    /// Smallest and largest value, data units.
    pub limits: (f64, f64),
    /// Values are multiples of this, data units; 0: any value.
    pub quantum: f64,
    /// Milliseconds by which the series' day is ahead of UTC.
    pub zone: DurationMs,
    /// Mean time between a counter's restarts at 0; 0: never.
    pub restarts: DurationMs,
    /// The same seed gives the same samples.
    pub seed: u64,
}

impl SeriesSpec {
    /// A gauge of one layer without noise, unit scale, one sample a minute.
    #[must_use]
    pub fn new(key: SeriesKey, shape: Shape, seed: u64) -> Self {
        Self {
            key,
            kind: Kind::Gauge,
            interval: 60_000,
            layers: vec![(1.0, shape)],
            noise: Noise::default(),
            scale: 1.0,
            offset: 0.0,
            limits: (f64::MIN, f64::MAX),
            quantum: 0.0,
            zone: 0,
            restarts: 0,
            seed,
        }
    }

    /// The endless stream of samples from the first grid point at or after `start`.
    #[must_use]
    pub fn stream(&self, start: Timestamp) -> Stream {
        let interval = self.interval.max(1);
        Stream {
            next: start.millis() + (-start.millis()).rem_euclid(interval),
            states: vec![State::default(); self.layers.len()],
            shape: Random::new(self.seed, 0),
            noise: Random::new(self.seed, 1),
            restart: Random::new(self.seed, 2),
            faults: Vec::new(),
            deviation: None,
            total: 0.0,
            spec: self.clone(),
        }
    }

    /// The first `n` values of [`Self::stream`].
    #[must_use]
    pub fn generate(&self, start: Timestamp, n: usize) -> Vec<f64> {
        self.stream(start).take(n).map(|(_, value)| value).collect()
    }

    /// The unit of a fault's magnitude, data units: the standard deviation of what does not repeat, or a tenth
    /// of the swing that does, or a hundredth of scale, whichever is largest.
    #[must_use]
    pub fn fault_unit(&self) -> f64 {
        let own = self
            .layers
            .iter()
            .map(|(w, s)| (w * s.own_noise()).powi(2))
            .sum::<f64>();
        let noise = libm::sqrt(own + self.noise.sd.powi(2));
        let swing: f64 = self.layers.iter().map(|(w, s)| w.abs() * s.swing()).sum();
        self.scale.abs() * noise.max(swing / 10.0).max(0.01)
    }
}

/// The samples of one series, one an interval. Ends only where time does.
#[derive(Clone, Debug)]
pub struct Stream {
    spec: SeriesSpec,
    next: i64,
    states: Vec<State>,
    shape: Random,
    noise: Random,
    restart: Random,
    faults: Vec<FaultState>,
    /// Present deviation of the autoregressive noise in standard deviations; `None` before the first sample.
    deviation: Option<f64>,
    total: f64,
}

impl Stream {
    /// Adds a fault. What the series would have done without it does not change: after a fault the values
    /// (of a gauge) are those of the undisturbed stream.
    pub fn inject(&mut self, fault: Fault) {
        let seed = self.spec.seed ^ fault.start.millis() as u64;
        self.faults.push(FaultState::new(fault, seed));
    }

    /// The same stream with these faults.
    #[must_use]
    pub fn with_faults(mut self, faults: impl IntoIterator<Item = Fault>) -> Self {
        for fault in faults {
            self.inject(fault);
        }
        self
    }

    /// What the series looks like.
    #[must_use]
    pub fn spec(&self) -> &SeriesSpec {
        &self.spec
    }

    /// The next value before limits, in data units.
    fn level(&mut self, at: i64) -> f64 {
        let (spec, clock) = (&self.spec, at + self.spec.zone);
        let mut shape = 0.0;
        let mut cyclic = 0.0;
        for ((weight, layer), state) in spec.layers.iter().zip(&mut self.states) {
            let value = weight * layer.next(state, clock, spec.interval.max(1), &mut self.shape);
            shape += value;
            if layer.is_cyclic() {
                cyclic += value;
            }
        }
        let Noise { sd, rho, grows } = spec.noise;
        let fresh = self.noise.normal();
        let deviation = match self.deviation {
            Some(last) => rho * last + libm::sqrt(1.0 - rho * rho) * fresh,
            None => fresh,
        };
        self.deviation = Some(deviation);
        let noise = sd * deviation * (1.0 + grows * shape).max(0.1);
        let value = spec.offset + spec.scale * (shape + noise);
        let unit = spec.fault_unit();
        let cyclic = spec.scale * cyclic;
        self.faults.retain(|fault| !fault.is_over(at));
        self.faults
            .iter_mut()
            .fold(value, |value, fault| fault.apply(at, value, cyclic, unit))
    }

    /// Adds one interval of `rate` (per second) to the running total, which may restart at 0 first.
    fn count(&mut self, rate: f64) -> f64 {
        let seconds = self.spec.interval.max(1) as f64 / 1000.0;
        if self.spec.restarts > 0 {
            let p = self.spec.interval as f64 / self.spec.restarts as f64;
            if self.restart.chance(p) {
                self.total = 0.0;
            }
        }
        self.total += rate.max(0.0) * seconds;
        self.total
    }
}

impl Iterator for Stream {
    type Item = (Timestamp, f64);

    fn next(&mut self) -> Option<Self::Item> {
        if self.next > Timestamp::MAX.millis() {
            return None;
        }
        let at = self.next;
        self.next += self.spec.interval.max(1);
        let (low, high) = self.spec.limits;
        let value = self.level(at).max(low).min(high);
        let (value, quantum) = match self.spec.kind {
            Kind::Gauge => (value, self.spec.quantum),
            Kind::Counter => (self.count(value), self.spec.quantum),
        };
        let value = if quantum > 0.0 {
            (value / quantum).floor() * quantum
        } else {
            value
        };
        Some((Timestamp::from_millis(at), value))
    }
}
