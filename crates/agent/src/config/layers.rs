//! Layers of configuration: each overrides the one below, leaf by leaf; lists as wholes.

use std::path::Path;

use config::{Config, Environment, File, FileFormat, Map, Source, Value, ValueKind};

use super::{ConfigError, ConfigErrors};

/// The commented default, lowest layer of all.
pub const DEFAULT_TOML: &str = include_str!("default.toml");

/// Origins of values that come as text.
const ENVIRONMENT: &str = "the environment";
const COMMAND_LINE: &str = "the command line";

/// Where the file layer comes from.
#[derive(Clone, Copy, Debug, Default)]
pub enum FileLayer<'a> {
    /// There is none.
    #[default]
    None,
    /// A TOML file.
    Path(&'a Path),
    /// TOML text, e.g. of a recorded run.
    Text(&'a str),
}

/// Merges the layers.
pub(super) fn merge(
    file: FileLayer<'_>,
    environment: impl IntoIterator<Item = (String, String)>,
    overrides: &[(String, String)],
) -> Result<Value, ConfigErrors> {
    let environment = Environment::with_prefix("AGENT")
        .prefix_separator("__")
        .separator("__")
        .source(Some(environment.into_iter().collect()));
    let mut layers = Config::builder().add_source(File::from_str(DEFAULT_TOML, FileFormat::Toml));
    layers = match file {
        FileLayer::None => layers,
        FileLayer::Path(path) => layers.add_source(File::from(path).format(FileFormat::Toml)),
        FileLayer::Text(text) => layers.add_source(File::from_str(text, FileFormat::Toml)),
    };
    let merged = layers
        .add_source(environment)
        .add_source(CommandLine(overrides.to_vec()))
        .build();
    match merged {
        Ok(mut merged) => {
            give_types(&mut merged.cache, &defaults()?.cache);
            Ok(merged.cache)
        }
        Err(error) => Err(unreadable(file, &error)),
    }
}

fn defaults() -> Result<Config, ConfigErrors> {
    Config::builder()
        .add_source(File::from_str(DEFAULT_TOML, FileFormat::Toml))
        .build()
        .map_err(|error| unreadable(FileLayer::None, &error))
}

fn unreadable(file: FileLayer<'_>, error: &config::ConfigError) -> ConfigErrors {
    let key = match file {
        FileLayer::Path(path) => path.display().to_string(),
        FileLayer::None | FileLayer::Text(_) => "configuration".to_owned(),
    };
    let message = error.to_string().trim_end().to_owned();
    ConfigErrors(vec![ConfigError { key, message }])
}

/// Environment and command line know only text: it becomes what the default has at its place, where it can.
fn give_types(value: &mut Value, default: &Value) {
    let untyped = matches!(value.origin(), Some(ENVIRONMENT | COMMAND_LINE));
    match (&mut value.kind, &default.kind) {
        (ValueKind::Table(table), ValueKind::Table(defaults)) => {
            for (key, default) in defaults {
                if let Some(value) = table.get_mut(key) {
                    give_types(value, default);
                }
            }
        }
        (kind @ ValueKind::String(_), default) if untyped => {
            let ValueKind::String(text) = kind else { return };
            let text = text.trim();
            let typed = match default {
                ValueKind::Boolean(_) => text.parse().ok().map(ValueKind::Boolean),
                ValueKind::I64(_) => text.parse().ok().map(ValueKind::I64),
                ValueKind::Float(_) => text.parse().ok().map(ValueKind::Float),
                ValueKind::Array(_) => {
                    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                    Some(ValueKind::Array(items.map(Value::from).collect()))
                }
                _ => None,
            };
            if let Some(typed) = typed {
                *kind = typed;
            }
        }
        _ => {}
    }
}

/// `--set` and other flags.
#[derive(Clone, Debug)]
struct CommandLine(Vec<(String, String)>);

impl Source for CommandLine {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        let origin = COMMAND_LINE.to_owned();
        let entry = |(key, value): &(String, String)| {
            (
                key.clone(),
                Value::new(Some(&origin), ValueKind::String(value.clone())),
            )
        };
        Ok(self.0.iter().map(entry).collect())
    }
}

/// The merged tree as TOML: read again, it makes the same settings.
pub(super) fn to_toml(value: &Value) -> toml::Value {
    match &value.kind {
        ValueKind::Nil => toml::Value::String(String::new()),
        ValueKind::Boolean(b) => toml::Value::Boolean(*b),
        ValueKind::Float(x) => toml::Value::Float(*x),
        ValueKind::String(s) => toml::Value::String(s.clone()),
        ValueKind::Array(items) => toml::Value::Array(items.iter().map(to_toml).collect()),
        ValueKind::Table(table) => toml::Value::Table(
            table
                .iter()
                .map(|(key, value)| (key.clone(), to_toml(value)))
                .collect(),
        ),
        ValueKind::I64(_) | ValueKind::U64(_) | ValueKind::I128(_) | ValueKind::U128(_) => {
            toml::Value::Integer(value.clone().into_int().unwrap_or(i64::MAX))
        }
    }
}
