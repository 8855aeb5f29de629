//! Axes: where values stand, round numbers along them, and numbers as people write them.

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Scale {
    Linear,
    Log,
}

impl Scale {
    /// Whether a value has a place on such an axis.
    pub(super) fn shows(self, value: f64) -> bool {
        value.is_finite() && (self == Self::Linear || value > 0.0)
    }
}

/// An axis: its ends in its own units (the decadic logarithm for [`Scale::Log`]).
pub(super) struct Axis {
    pub(super) scale: Scale,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Axis {
    pub(super) fn new(scale: Scale, values: impl Iterator<Item = f64>) -> Self {
        let shown = values.filter(|value| scale.shows(*value));
        let (low, high) = shown
            .map(|v| if scale == Scale::Log { v.log10() } else { v })
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
                (low.min(v), high.max(v))
            });
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        let slack = if high > low { 0.06 * (high - low) } else { 0.5 };
        // An axis from 0 on stays one.
        let below = if scale == Scale::Linear && low == 0.0 {
            0.0
        } else {
            slack
        };
        Self {
            scale,
            low: low - below,
            high: high + slack,
        }
    }

    pub(super) fn share(&self, value: f64) -> f64 {
        let value = if self.scale == Scale::Log {
            value.log10()
        } else {
            value
        };
        (value - self.low) / (self.high - self.low)
    }

    /// Round numbers along the axis.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let span = self.high - self.low;
        if self.scale == Scale::Log && span > 0.8 {
            let every = (span / 6.0).ceil();
            let factors: &[f64] = match span {
                ..1.5 => &[1.0, 2.0, 5.0],
                ..3.0 => &[1.0, 3.0],
                _ => &[1.0],
            };
            let decades = (self.low.floor() as i32)..=(self.high.ceil() as i32);
            let ticks = decades
                .filter(|decade| decade % every as i32 == 0)
                .flat_map(|decade| factors.iter().map(move |factor| factor * 10f64.powi(decade)));
            return ticks
                .filter(|tick| (0.0..=1.0).contains(&self.share(*tick)))
                .collect();
        }
        let (low, high) = match self.scale {
            Scale::Log => (10f64.powf(self.low), 10f64.powf(self.high)),
            Scale::Linear => (self.low, self.high),
        };
        let raw = (high - low) / 5.0;
        let magnitude = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * magnitude)
            .find(|step| *step >= raw)
            .unwrap_or(raw);
        let first = (low / step).ceil() as i64;
        let last = (high / step).floor() as i64;
        (first..=last).map(|k| k as f64 * step).collect()
    }
}

/// Three digits, as people write them.
#[must_use]
pub fn short(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "–".to_owned();
    }
    if size != 0.0 && !(1e-3..1e5).contains(&size) {
        return format!("{value:.1e}").replace(".0e", "e");
    }
    let decimals = if size == 0.0 {
        0
    } else {
        (2 - size.log10().floor() as i32).clamp(0, 5)
    };
    let text = format!("{value:.*}", decimals as usize);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.25, "0.25"),
            (0.012_34, "0.0123"),
            (1.0, "1"),
            (1234.5, "1234"),
            (1e-5, "1e-5"),
            (-2.5e6, "-2.5e6"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let axis = Axis::new(Scale::Linear, [0.0, 470.0].into_iter());
        assert_eq!(axis.ticks(), [0.0, 100.0, 200.0, 300.0, 400.0]);
        let axis = Axis::new(Scale::Log, [0.003, 40.0].into_iter());
        assert_eq!(axis.ticks(), [0.01, 0.1, 1.0, 10.0]);
        // Constant, empty and undefined values still make an axis.
        for values in [vec![], vec![f64::NAN], vec![3.0], vec![0.0; 4]] {
            let axis = Axis::new(Scale::Log, values.into_iter());
            assert!(axis.low < axis.high);
            assert!(axis.ticks().len() < 20);
        }
    }
}
