//! From configuration to what tasks and backends need. (Shim until the configuration lands.)

use std::path::Path;

use ingest::decode::LabelRules;
use pipeline::{Model, TaskSettings};

use crate::failure::Failure;
use crate::model::ServingOptions;

/// Settings of the agent.
pub struct AgentSettings {}

/// Loads the configuration.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(
    _file: Option<&Path>,
    _recorded: Option<&str>,
    _overrides: &[(String, String)],
) -> Result<AgentSettings, Failure> {
    Ok(AgentSettings {})
}

impl AgentSettings {
    /// Zone of naive timestamps.
    #[must_use]
    pub fn zone(&self) -> Option<jiff::tz::TimeZone> {
        None
    }

    /// Labels kept or dropped.
    #[must_use]
    pub fn labels(&self) -> LabelRules {
        LabelRules::default()
    }

    /// Serving options with the command line's over them.
    #[must_use]
    pub fn serving(&self, over: &ServingOptions) -> ServingOptions {
        over.clone()
    }

    /// Settings of a task.
    #[must_use]
    pub fn task(&self, scope: &str, model: Model) -> TaskSettings {
        TaskSettings {
            scope: scope.to_owned(),
            ..TaskSettings::new(model)
        }
    }
}
