//! Configuration: layers of text merged into one tree, then one pass over its leaves into [`Settings`].
//!
//! The pass is our own because it must name every mistake at once, unknown keys included; serde stops at the first.
//! It reads nothing but the tree and touches no broker, so mistakes are named whatever the world does.

mod error;
mod layers;
mod maintenance;
mod reader;
mod rules;
mod sections;
mod settings;
#[cfg(test)]
mod tests;

use std::cell::RefCell;

use config::Value;

pub use error::{ConfigError, ConfigErrors};
pub use layers::{DEFAULT_TOML, FileLayer};
pub use settings::{
    AlertsSettings, CanarySettings, DeliveryMode, IdleClose, KafkaSettings, LogFormat, LogSettings,
    ModelSettings, RuleSettings, Settings, StartMode, StateSettings, WindowsSettings,
};

use reader::{Notes, Section};
pub(crate) use reader::{parse_duration, show_duration};

/// A configuration that is right, and the text that makes it again.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What it says.
    pub settings: Settings,
    /// All layers in one TOML text, for `agent run --record`. Passwords among `kafka.properties` are left out.
    pub text: String,
}

/// Merges default, `file`, `environment` (only `AGENT__…` counts) and `overrides` (paths such as `score.lag`, and
/// their values as text), each over the ones before it.
///
/// # Errors
/// Every mistake, each with its key.
pub fn load(
    file: FileLayer<'_>,
    environment: impl IntoIterator<Item = (String, String)>,
    overrides: &[(String, String)],
) -> Result<Loaded, ConfigErrors> {
    let tree = layers::merge(file, environment, overrides)?;
    let mut text = layers::to_toml(&tree);
    if let Some(kafka) = text.get_mut("kafka").and_then(toml::Value::as_table_mut) {
        kafka.remove("properties");
    }
    let notes = RefCell::new(Vec::new());
    let settings = settings(tree, &notes);
    let mistakes = notes.into_inner();
    if !mistakes.is_empty() {
        return Err(ConfigErrors(mistakes));
    }
    Ok(Loaded {
        settings,
        text: toml::to_string(&text).expect("what was read from TOML can be written as TOML"),
    })
}

/// Of use only without notes: what is wrong has a stand-in here, so that the pass can go on.
fn settings(tree: Value, notes: &Notes) -> Settings {
    let mut root = Section::new("", tree, notes);
    let windows = sections::windows(root.section("windows"));
    let score = sections::score(root.section("score"));
    let alert = sections::alert(root.section("alert"));
    let rules = root.sections("rules");
    let maintenance = root.sections("maintenance");
    let kafka = sections::kafka(root.section("kafka"));
    let settings = Settings {
        alerts: sections::alerts(root.section("alerts")),
        scores_topic: sections::optional_topic(root.section("scores")),
        forecasts_topic: sections::optional_topic(root.section("forecasts")),
        dead_letter_topic: sections::optional_topic(root.section("dead_letter")),
        canary: sections::canary(root.section("canary")),
        zone: sections::files(root.section("files")),
        labels: sections::labels(root.section("labels")),
        state: sections::state(root.section("state"), &kafka),
        kafka,
        rules: rules
            .into_iter()
            .map(|rule| rules::rule(rule, windows, score, alert))
            .collect(),
        maintenance: maintenance
            .into_iter()
            .filter_map(maintenance::maintenance)
            .collect(),
        windows,
        score,
        alert,
        model: sections::model(root.section("model")),
        listen: sections::listen(root.section("http")),
        log: sections::log(root.section("log")),
    };
    no_circle(&settings, &root);
    root.finish();
    settings
}

/// Outputs must not come in again, nor lie mixed in one topic.
fn no_circle(settings: &Settings, root: &Section<'_>) {
    let outputs = [
        ("alerts.topic", Some(&settings.alerts.topic)),
        ("scores.topic", settings.scores_topic.as_ref()),
        ("forecasts.topic", settings.forecasts_topic.as_ref()),
        ("dead_letter.topic", settings.dead_letter_topic.as_ref()),
        ("state.topic", settings.state.topic.as_ref()),
        (
            "canary.topic",
            settings.canary.as_ref().map(|canary| &canary.topic),
        ),
    ];
    for (i, (key, topic)) in outputs.iter().enumerate() {
        let Some(topic) = topic else { continue };
        if settings.kafka.topics.contains(topic) {
            root.note(
                key,
                format!("`{topic}` is one of kafka.topics: what goes out would come in again"),
            );
        }
        if let Some((other, _)) = outputs[..i].iter().find(|(_, t)| t == &Some(*topic)) {
            root.note(key, format!("`{topic}` is {other} already"));
        }
    }
}
