//! What a task needs to know, validated elsewhere.

use alerting::{AlertSpec, LimitSpec};
use ingest::decode::{Format, LabelRules};
use scorer::causal::ScoreSpec;
use scorer::manifest::{LagCalibration, Manifest, ModelKind};
use scorer::normalise::Scaler;
use types::{DurationMs, SeriesKey};
use windowing::{Idle, WindowSpec};

use crate::maintenance::Maintenance;

/// Settings of one task.
#[derive(Clone, Debug)]
pub struct TaskSettings {
    /// Topic and tenant that scope the series: part of every alert id. Empty for a bare file.
    pub scope: String,
    /// How records are encoded.
    pub format: Format,
    /// Labels kept or dropped.
    pub labels: LabelRules,
    /// Settings of series that no rule matches.
    pub defaults: SeriesSettings,
    /// Rules, first match wins.
    pub rules: Vec<Rule>,
    /// When which series may be out of the ordinary.
    pub maintenance: Vec<Maintenance>,
    /// Most series held at once.
    pub max_series: usize,
    /// A series whose last sample lies this far behind may be forgotten to make room (milliseconds of event time).
    pub evict_idle: DurationMs,
    /// A series silent for this long is forgotten when time is seen to pass (milliseconds of event time).
    pub series_ttl: DurationMs,
    /// Samples further than this ahead of their record's own time are rejected (milliseconds).
    pub future_limit: DurationMs,
    /// What the nets expect.
    pub model: Model,
}

/// Settings of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesSettings {
    /// Grid and windows.
    pub window: WindowSpec,
    /// The score.
    pub score: ScoreSpec,
    /// When events open and end.
    pub alert: AlertSpec,
    /// Limits set by hand, for models that predict.
    pub limits: LimitSpec,
    /// Windows with a larger share of filled-in buckets are not scored, see [`Self::first_due`].
    pub max_filled_share: f64,
    /// The series is not looked at.
    pub ignore: bool,
}

impl SeriesSettings {
    /// The defaults for windows of `window` known buckets, see [`Model::known`].
    #[must_use]
    pub fn new(window: usize) -> Self {
        let window = WindowSpec {
            idle: Idle::Intervals(3),
            ..WindowSpec::new(window)
        };
        Self {
            window,
            score: ScoreSpec::default(),
            alert: AlertSpec::default(),
            limits: LimitSpec::default(),
            max_filled_share: 0.8,
            ignore: false,
        }
    }

    /// The bucket of a new series, counted from 1, with which its first window goes to the nets where none is filled in: places before
    /// the first bucket count as if they were.
    #[must_use]
    pub fn first_due(&self) -> usize {
        let places = self.window.window;
        let filled = |buckets: &usize| (places - buckets) as f64 / places as f64;
        let due = (1..places).find(|buckets| filled(buckets) <= self.max_filled_share);
        due.unwrap_or(places)
    }
}

/// Settings for the series that match.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Which series.
    pub matcher: Matcher,
    /// Their settings, whole.
    pub settings: SeriesSettings,
}

/// Matches series by globs (`*` any run of characters, `?` one) on name and labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    /// On the name; `None` matches every name.
    pub name: Option<String>,
    /// On labels by name; a label that the series lacks counts as empty.
    pub labels: Vec<(String, String)>,
}

impl Matcher {
    /// Whether `series` matches.
    #[must_use]
    pub fn matches(&self, series: &SeriesKey) -> bool {
        let named = self
            .name
            .as_deref()
            .is_none_or(|pattern| glob(pattern, series.name()));
        if !named || self.labels.is_empty() {
            return named;
        }
        let labels = series.labels();
        self.labels.iter().all(|(name, pattern)| {
            let value = labels
                .iter()
                .find(|(n, _)| n == name)
                .map_or("", |(_, v)| v.as_str());
            glob(pattern, value)
        })
    }
}

/// Iterative glob match: on a mismatch, the last `*` takes one character more.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                (p, t) = (at + 1, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// What the nets expect, from a bundle's manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Bundle name and hash, as alerts show it.
    pub label: String,
    /// What the nets are.
    pub kind: ModelKind,
    /// Window length L of the nets.
    pub window: usize,
    /// How windows become the nets' input.
    pub scaler: Scaler,
    /// Calibration of each served lag.
    pub calibration: Vec<LagCalibration>,
}

impl Model {
    /// From a manifest; `label` as alerts show it.
    #[must_use]
    pub fn new(manifest: &Manifest, label: String) -> Self {
        Self {
            label,
            kind: manifest.model,
            window: manifest.window,
            scaler: manifest.scaler,
            calibration: manifest.calibration.clone(),
        }
    }

    /// Buckets that make a window: those that are known when the nets run.
    #[must_use]
    pub fn known(&self) -> usize {
        self.kind.known(self.window)
    }

    /// The calibration of `lag`; a neutral one where the bundle has none.
    #[must_use]
    pub fn calibration(&self, lag: usize) -> LagCalibration {
        self.calibration
            .iter()
            .find(|c| c.lag == lag)
            .copied()
            .unwrap_or(LagCalibration {
                lag,
                error_median: 0.0,
                error_p99: 0.0,
                critic_center: 0.0,
                critic_scale: 1.0,
            })
    }
}

impl TaskSettings {
    /// Defaults around a model.
    #[must_use]
    pub fn new(model: Model) -> Self {
        const HOUR: DurationMs = 3_600_000;
        Self {
            scope: String::new(),
            format: Format::Auto,
            labels: LabelRules::default(),
            defaults: SeriesSettings::new(model.known()),
            rules: Vec::new(),
            maintenance: Vec::new(),
            max_series: 20_000,
            evict_idle: HOUR,
            series_ttl: 7 * 24 * HOUR,
            future_limit: HOUR / 6,
            model,
        }
    }

    /// Number of the first rule that matches `series`.
    #[must_use]
    pub fn rule_of(&self, series: &SeriesKey) -> Option<usize> {
        self.rules.iter().position(|rule| rule.matcher.matches(series))
    }

    /// Settings by rule number.
    #[must_use]
    pub fn settings(&self, rule: Option<usize>) -> &SeriesSettings {
        rule.and_then(|r| self.rules.get(r))
            .map_or(&self.defaults, |rule| &rule.settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, want) in [
            ("*", "", true),
            ("cpu", "cpu", true),
            ("cpu", "cpus", false),
            ("c*u", "cpu_cpu", true),
            ("*_total", "http_total_total", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("**b", "aab", true),
        ] {
            assert_eq!(glob(pattern, text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn a_new_series_is_due_once_enough_of_its_window_is_known() {
        for (share, window, first) in [
            (0.8, 100, 20),
            (0.8, 99, 20),
            (0.0, 100, 100),
            (1.0, 100, 1),
            (0.5, 3, 2),
            (0.9, 1, 1),
        ] {
            let mut own = SeriesSettings::new(window);
            own.max_filled_share = share;
            assert_eq!(own.first_due(), first, "{share} of {window}");
        }
    }

    #[test]
    fn labels_narrow_a_rule() {
        let matcher = Matcher {
            name: Some("cpu".into()),
            labels: vec![("host".into(), "web-*".into())],
        };
        let key = |host| SeriesKey::new("cpu", [("host", host), ("az", "1")]).unwrap();
        assert!(matcher.matches(&key("web-1")));
        assert!(!matcher.matches(&key("db-1")));
        assert!(!matcher.matches(&SeriesKey::from_name("cpu").unwrap()));
    }
}
