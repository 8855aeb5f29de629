//! `agent check`: every problem of configuration, bundle and broker at once.

use std::path::Path;
use std::time::Duration;

use ingest::kafka::{ConnectionSettings, Consumer, GroupSettings, KafkaErrorKind};

use crate::failure::Failure;
use crate::model::{self, ServingOptions};
use crate::settings::{self, AgentSettings};

/// How long the broker may take to answer.
const BROKER_TIMEOUT: Duration = Duration::from_secs(5);

/// Checks everything that `agent run` would need and prints a line for each part.
///
/// # Errors
/// All problems found; the exit code is that of the first.
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
pub fn run(
    config: Option<&Path>,
    overrides: &[(String, String)],
    serving: &ServingOptions,
) -> Result<(), Failure> {
    // Without a valid configuration it is not known which bundle and broker to ask.
    let settings = settings::load(config, None, overrides)?;
    println!("config  right");
    let mut problems: Vec<Failure> = Vec::new();
    match model::load(&settings.serving(serving)) {
        Ok(serving) => {
            println!(
                "bundle  {} on {}, ONNX Runtime {}",
                serving.bundle.label(),
                serving.device,
                serving.runtime_version
            );
            problems.extend(settings.check_model(&serving.model()).err());
        }
        Err(failure) => problems.push(failure),
    }
    let found = topics(&settings);
    for line in &found.lines {
        println!("broker  {line}");
    }
    problems.extend(found.problems);
    let Some(first) = problems.first() else {
        return Ok(());
    };
    let code = first.code;
    let lines: Vec<String> = problems.iter().map(|p| p.message.clone()).collect();
    Err(Failure::new(code, lines.join("\n")))
}

#[derive(Default)]
struct Topics {
    lines: Vec<String>,
    problems: Vec<Failure>,
}

fn topics(settings: &AgentSettings) -> Topics {
    let mut found = Topics::default();
    let all = settings.all();
    let connection = ConnectionSettings {
        brokers: all.kafka.brokers.clone(),
        properties: all.kafka.properties.clone(),
    };
    let group = GroupSettings {
        group: all.kafka.group.clone(),
        instance_id: None,
        session_timeout: Duration::from_millis(u64::try_from(all.kafka.session_timeout).unwrap_or(0)),
    };
    // Never polled, so it joins no group and disturbs nobody.
    let consumer = match Consumer::connect(&connection, &group, &all.kafka.topics) {
        Ok(consumer) => consumer,
        Err(error) => {
            found.problems.push(Failure::unavailable(error));
            return found;
        }
    };
    let outputs = [
        Some(&all.alerts.topic),
        all.scores_topic.as_ref(),
        all.forecasts_topic.as_ref(),
        all.dead_letter_topic.as_ref(),
        all.canary.as_ref().map(|canary| &canary.topic),
    ];
    let state = settings.state_topic();
    let topics = all.kafka.topics.iter().chain(outputs.into_iter().flatten());
    for topic in topics.chain(&state) {
        match consumer.partition_count(topic, BROKER_TIMEOUT) {
            Ok(n) => found.lines.push(format!("topic {topic}: {n} partitions")),
            Err(error) if error.kind == KafkaErrorKind::UnknownTopic && state.as_ref() == Some(topic) => {
                found
                    .lines
                    .push(format!("topic {topic}: is made at the first start"));
            }
            Err(error) => {
                found
                    .problems
                    .push(Failure::unavailable(format!("{}: {error}", all.kafka.brokers)));
                if error.kind == KafkaErrorKind::Unavailable {
                    break;
                }
            }
        }
    }
    found
}
