//! From configuration to what tasks and backends need.

use std::path::Path;

use alerting::LimitSpec;
use ingest::decode::LabelRules;
use pipeline::{Model, Rule, SeriesSettings, TaskSettings};
use types::{Aggregate, DurationMs, Kind};
use windowing::{Idle, WindowSpec};

use crate::config::{self, FileLayer, IdleClose, Loaded, Settings, WindowsSettings};
use crate::failure::Failure;
use crate::model::ServingOptions;

/// The configuration as commands use it.
#[derive(Clone, Debug)]
pub struct AgentSettings {
    loaded: Loaded,
}

/// Loads the configuration from `file`, else from the text that came with a recorded run, with the environment and then
/// `overrides` over it.
///
/// # Errors
/// Everything that is wrong with it, and a file that is not there.
pub fn load(
    file: Option<&Path>,
    recorded: Option<&str>,
    overrides: &[(String, String)],
) -> Result<AgentSettings, Failure> {
    let layer = match (file, recorded) {
        (Some(path), _) => FileLayer::Path(path),
        (None, Some(text)) => FileLayer::Text(text),
        (None, None) => FileLayer::None,
    };
    // What was recorded is complete: the environment of today must not change it.
    let environment: Vec<(String, String)> = if file.is_none() && recorded.is_some() {
        Vec::new()
    } else {
        std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect()
    };
    let loaded = config::load(layer, environment, overrides).map_err(Failure::usage)?;
    Ok(AgentSettings { loaded })
}

impl AgentSettings {
    /// Every setting.
    #[must_use]
    pub fn all(&self) -> &Settings {
        &self.loaded.settings
    }

    /// The TOML that makes these settings again, passwords left out.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.loaded.text
    }

    /// Zone of naive timestamps in files.
    #[must_use]
    pub fn zone(&self) -> Option<jiff::tz::TimeZone> {
        Some(self.all().zone.clone())
    }

    /// Labels kept or dropped.
    #[must_use]
    pub fn labels(&self) -> LabelRules {
        self.all().labels.clone()
    }

    /// Serving options with the command line's over them.
    #[must_use]
    pub fn serving(&self, over: &ServingOptions) -> ServingOptions {
        let own = &self.all().model;
        ServingOptions {
            model: over.model.clone().or_else(|| own.path.clone()),
            device: over.device.or(Some(own.device)),
            onnxruntime: over.onnxruntime.clone().or_else(|| own.onnxruntime.clone()),
            threads: if over.threads == 0 {
                own.threads
            } else {
                over.threads
            },
        }
    }

    /// Holds against the bundle what only some bundles can do.
    ///
    /// # Errors
    /// Every setting that asks for predictions of nets that make none.
    pub fn check_model(&self, model: &Model) -> Result<(), Failure> {
        if model.kind.predicts() {
            return Ok(());
        }
        let all = self.all();
        let mut keys: Vec<String> = Vec::new();
        if all.forecasts_topic.is_some() {
            keys.push("forecasts.topic".to_owned());
        }
        for (i, rule) in all.rules.iter().enumerate() {
            let limits = [
                ("limit_above", rule.limits.above),
                ("limit_below", rule.limits.below),
            ];
            let set = limits.into_iter().filter(|(_, limit)| limit.is_some());
            keys.extend(set.map(|(key, _)| format!("rules[{i}].{key}")));
        }
        if keys.is_empty() {
            return Ok(());
        }
        let why = format!(
            "bundle {} does not predict; one made by `train aer` does",
            model.label
        );
        let lines: Vec<String> = keys.into_iter().map(|key| format!("{key}: {why}")).collect();
        Err(Failure::usage(lines.join("\n")))
    }

    /// The topic on which state is kept, where it can be: in a transaction with what it belongs to.
    #[must_use]
    pub fn state_topic(&self) -> Option<String> {
        let is_transactional = self.all().kafka.delivery == config::DeliveryMode::Transactional;
        self.all().state.topic.clone().filter(|_| is_transactional)
    }

    /// Every topic that is read, that of the canary included.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        let canary = self.all().canary.iter().map(|canary| canary.topic.as_str());
        self.all().kafka.topics.iter().map(String::as_str).chain(canary)
    }

    /// Whether `topic` is that of the canary.
    #[must_use]
    pub fn is_canary(&self, topic: &str) -> bool {
        self.all()
            .canary
            .as_ref()
            .is_some_and(|canary| canary.topic == topic)
    }

    /// Settings of a task whose series are scoped by `scope`.
    #[must_use]
    pub fn task(&self, scope: &str, model: Model) -> TaskSettings {
        let all = self.all();
        let window = model.known();
        let rules = all.rules.iter().map(|rule| Rule {
            matcher: rule.matcher.clone(),
            settings: SeriesSettings {
                window: window_spec(window, &rule.windows, rule.interval, rule.kind, rule.aggregate),
                score: rule.score,
                alert: rule.alert,
                limits: rule.limits,
                max_filled_share: rule.windows.max_filled_share,
                ignore: rule.ignore,
            },
        });
        let mut task = TaskSettings {
            scope: scope.to_owned(),
            format: all.kafka.format,
            labels: all.labels.clone(),
            defaults: SeriesSettings {
                window: window_spec(window, &all.windows, None, Kind::Gauge, Aggregate::Mean),
                score: all.score,
                alert: all.alert,
                limits: LimitSpec::default(),
                max_filled_share: all.windows.max_filled_share,
                ignore: false,
            },
            rules: rules.collect(),
            maintenance: all.maintenance.clone(),
            max_series: all.state.max_series,
            evict_idle: all.state.evict_idle,
            series_ttl: all.state.series_ttl,
            future_limit: all.windows.future_limit,
            model,
        };
        if let Some(canary) = all.canary.as_ref().filter(|canary| canary.topic == scope) {
            keep_canary(&mut task, canary.interval);
        }
        task
    }
}

/// Makes of a task's settings those of one that holds a canary: one series, up one bucket and down the next, with a limit between.
fn keep_canary(task: &mut TaskSettings, interval: DurationMs) {
    task.rules.clear();
    task.maintenance.clear();
    task.labels = LabelRules::default();
    task.max_series = 1;
    let own = &mut task.defaults;
    own.window.interval = Some(interval);
    own.window.lateness = 0;
    own.score.coarse_factor = 0;
    own.alert.silence_after = 0;
    own.alert.close_after = 1;
    own.limits.above = Some(0.5);
}

fn window_spec(
    window: usize,
    windows: &WindowsSettings,
    interval: Option<DurationMs>,
    kind: Kind,
    aggregate: Aggregate,
) -> WindowSpec {
    WindowSpec {
        interval,
        kind,
        aggregate,
        lateness: windows.lateness,
        idle: match windows.idle_close {
            IdleClose::Auto => Idle::Intervals(3),
            IdleClose::After(ms) => Idle::Ms(ms),
        },
        restart_after: windows.restart_after.unwrap_or(window),
        ..WindowSpec::new(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scorer::manifest::ModelKind;

    /// Two places state defaults, the crates and the commented file; they must agree.
    #[test]
    fn the_default_file_states_the_built_in_defaults() {
        let model = Model {
            label: String::new(),
            kind: ModelKind::Tadgan,
            window: 100,
            scaler: scorer::normalise::Scaler::Window { gain: 3.0 },
            calibration: vec![],
        };
        let loaded = config::load(FileLayer::None, [], &[]).unwrap();
        let from_file = AgentSettings { loaded }.task("", model.clone());
        let built_in = TaskSettings::new(model);
        assert_eq!(from_file.defaults, built_in.defaults);
        assert_eq!(
            (
                from_file.max_series,
                from_file.evict_idle,
                from_file.series_ttl,
                from_file.future_limit
            ),
            (
                built_in.max_series,
                built_in.evict_idle,
                built_in.series_ttl,
                built_in.future_limit
            )
        );
    }

    #[test]
    fn what_needs_predictions_is_named_with_its_key() {
        let text = "[forecasts]\ntopic = \"f\"\n[[rules]]\nmatch = { name = \"a\" }\ninterval = \"1m\"\n\
                    [[rules]]\nmatch = { name = \"b\" }\nlimit_below = 1\nlimit_above = 2.5\n";
        let loaded = config::load(FileLayer::Text(text), [], &[]).unwrap();
        let settings = AgentSettings { loaded };
        let model = |kind| Model {
            label: "general@0".to_owned(),
            kind,
            window: 100,
            scaler: scorer::normalise::Scaler::Window { gain: 3.0 },
            calibration: vec![],
        };
        let failure = settings.check_model(&model(ModelKind::Tadgan)).unwrap_err();
        let keys: Vec<&str> = failure
            .message
            .lines()
            .filter_map(|line| line.split_once(": bundle general@0 does not predict"))
            .map(|(key, _)| key)
            .collect();
        assert_eq!(
            keys,
            ["forecasts.topic", "rules[1].limit_above", "rules[1].limit_below"]
        );
        assert_eq!(failure.code, crate::exit_code::USAGE);
        settings.check_model(&model(ModelKind::Aer)).unwrap();
        let task = settings.task("", model(ModelKind::Aer));
        assert_eq!(
            (task.defaults.window.window, task.rules[1].settings.window.window),
            (99, 99)
        );
        assert_eq!(task.rules[1].settings.limits.below, Some(1.0));
    }

    #[test]
    fn a_canary_is_held_by_a_task_of_its_own_kind() {
        let text = "[canary]\ntopic = \"c\"\ninterval = \"2s\"\n[[rules]]\nmatch = { name = \"*\" }\nignore = true\n";
        let loaded = config::load(FileLayer::Text(text), [], &[]).unwrap();
        let settings = AgentSettings { loaded };
        assert!(settings.is_canary("c") && !settings.is_canary("metrics"));
        let model = Model {
            label: String::new(),
            kind: ModelKind::Tadgan,
            window: 100,
            scaler: scorer::normalise::Scaler::Window { gain: 3.0 },
            calibration: vec![],
        };
        let (own, other) = (settings.task("c", model.clone()), settings.task("metrics", model));
        assert_eq!((own.rules.len(), own.max_series), (0, 1));
        assert_eq!(own.defaults.window.interval, Some(2_000));
        assert_eq!(own.defaults.limits.above, Some(0.5));
        assert_eq!((other.rules.len(), other.defaults.limits.above), (1, None));
    }

    #[test]
    fn the_deployed_example_is_right() {
        let text = include_str!("../../../deploy/agent.toml");
        let loaded = config::load(FileLayer::Text(text), [], &[]).unwrap();
        assert_eq!(loaded.settings.rules[0].kind, Kind::Counter);
    }
}
