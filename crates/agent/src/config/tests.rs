use std::collections::BTreeMap;

use super::*;
use ingest::decode::Format;
use types::{Aggregate, Kind};

fn parse(text: &str) -> Result<Settings, ConfigErrors> {
    load(FileLayer::Text(text), [], &[]).map(|loaded| loaded.settings)
}

fn mistakes(text: &str) -> BTreeMap<String, String> {
    let errors = parse(text).unwrap_err().0;
    let count = errors.len();
    let by_key: BTreeMap<_, _> = errors.into_iter().map(|e| (e.key, e.message)).collect();
    assert_eq!(by_key.len(), count, "one mistake a key");
    by_key
}

/// The file that documents the defaults and the defaults of the stages must not drift apart.
#[test]
fn the_default_file_says_what_the_stages_do_by_default() {
    let settings = parse("").unwrap();
    assert_eq!(settings.score, scorer::causal::ScoreSpec::default());
    assert_eq!(settings.alert, alerting::AlertSpec::default());
    let window = windowing::WindowSpec::new(100);
    assert_eq!(settings.windows.lateness, window.lateness);
    assert_eq!(settings.windows.restart_after, None);
    assert_eq!(
        settings.windows.max_filled_share,
        pipeline::SeriesSettings::new(100).max_filled_share
    );
    assert_eq!(settings.model.device, scorer::runtime::Device::default());
    assert_eq!(settings.labels, ingest::decode::LabelRules::default());
    assert!(settings.rules.is_empty());
    assert_eq!(settings.kafka.topics, ["metrics"]);
    assert_eq!(settings.kafka.transactional_id, None);
    assert_eq!(settings.state.lookback, 26 * 3_600_000);
}

#[test]
fn the_state_topic_follows_from_the_group() {
    let topic = |text: &str| parse(text).unwrap().state.topic;
    assert_eq!(topic("").as_deref(), Some("agent-state"));
    assert_eq!(topic("kafka.group = \"b\"").as_deref(), Some("b-state"));
    assert_eq!(topic("state.topic = \"kept\"").as_deref(), Some("kept"));
    assert_eq!(topic("state.topic = \"off\""), None);
    assert_eq!(topic("kafka.delivery = \"at_least_once\""), None);
    let found = mistakes("kafka.group = \"of ours\"");
    assert!(
        found["state.topic"].contains("`of ours-state` is no topic name"),
        "{found:?}"
    );
    assert!(parse("kafka.group = \"of ours\"\nstate.topic = \"off\"").is_ok());
}

/// What is commented out in the default file is a setting, too: with the marks taken off, it must still be right.
#[test]
fn the_commented_settings_are_right() {
    let is_setting = |line: &str| {
        let key = line.split_once(" = ").map_or("", |(key, _)| key);
        line.starts_with("[[") || !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let text: Vec<&str> = DEFAULT_TOML
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|rest| is_setting(rest))
                .unwrap_or(line)
        })
        .collect();
    let settings = parse(&text.join("\n")).unwrap();
    assert_eq!(settings.scores_topic.as_deref(), Some("scores"));
    assert_eq!(settings.dead_letter_topic.as_deref(), Some("dead-letters"));
    assert_eq!(settings.kafka.transactional_id.as_deref(), Some("agent-1"));
    assert_eq!(settings.forecasts_topic.as_deref(), Some("forecasts"));
    assert_eq!(settings.rules.len(), 2);
    assert_eq!(settings.rules[0].kind, Kind::Counter);
    assert_eq!(settings.rules[1].limits.above, Some(90.0));
    assert_eq!(settings.maintenance.len(), 3);
    assert_eq!(
        settings.rules[0].matcher.labels,
        [("job".to_owned(), "api-*".to_owned())]
    );
}

#[test]
fn later_layers_win_leaf_by_leaf() {
    let environment = [
        ("AGENT__SCORE__LAG", "9"),
        ("AGENT__KAFKA__TOPICS", "a, b"),
        ("AGENT__KAFKA__PROPERTIES__SASL__PASSWORD", "secret"),
        ("AGENT__ALERT__CLOSE_SCORE", "0.5"),
        ("AGENT__WINDOWS__RESTART_AFTER", "50"),
        ("AGENT__KAFKA__GROUP", "7"),
        ("AGENT_REFERENCE_DATA", "not ours"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()));
    let overrides = [
        ("score.lag".to_owned(), "4".to_owned()),
        ("log.format".to_owned(), "json".to_owned()),
    ];
    let file =
        "score.lag = 1\nscore.hold = 5\nkafka.brokers = \"b:1\"\nkafka.properties.\"client.id\" = \"x\"";
    let loaded = load(FileLayer::Text(file), environment, &overrides).unwrap();
    let settings = &loaded.settings;
    assert_eq!(settings.score.lag, 4);
    assert_eq!(settings.score.hold, 5);
    assert_eq!(settings.score.refractory, 150);
    assert_eq!(settings.kafka.brokers, "b:1");
    assert_eq!(settings.kafka.topics, ["a", "b"]);
    assert_eq!(settings.kafka.group, "7");
    assert_eq!(settings.alert.close_score, 0.5);
    assert_eq!(settings.windows.restart_after, Some(50));
    assert_eq!(settings.log.format, LogFormat::Json);
    let properties: Vec<_> = settings
        .kafka
        .properties
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert_eq!(properties, [("client.id", "x"), ("sasl.password", "secret")]);

    assert!(!loaded.text.contains("secret"));
    let mut again = parse(&loaded.text).unwrap();
    again.kafka.properties = settings.kafka.properties.clone();
    assert_eq!(again, *settings);
}

#[test]
fn maintenance_says_when() {
    let settings = parse(
        r#"
        [alert]
        silence_after = "1h"
        [[rules]]
        match = { name = "pod_*" }
        silence_after = "0s"
        [[maintenance]]
        match = { name = "a" }
        start = "2026-03-01 22:00:00"
        end = 2026-03-02T02:00:00Z
        zone = "Europe/Berlin"
        [[maintenance]]
        match = { name = "b" }
        from = "22:30"
        to = "01:00"
        learn = true
        "#,
    )
    .unwrap();
    let t = |text: &str| types::Timestamp::parse(text, None).unwrap();
    let during = |i: usize, text: &str| {
        let span = settings.maintenance[i].when.overlapping(t(text), t(text) + 1);
        span.map(|span| span.start)
    };
    assert_eq!(during(0, "2026-03-02T01:59:00Z"), Some(t("2026-03-01T21:00:00Z")));
    assert_eq!(during(0, "2026-03-02T02:00:00Z"), None);
    assert_eq!(during(1, "2027-07-07T00:59:00Z"), Some(t("2027-07-06T22:30:00Z")));
    assert_eq!(during(1, "2027-07-07T12:00:00Z"), None);
    assert_eq!(
        settings.maintenance.iter().map(|m| m.learn).collect::<Vec<_>>(),
        [false, true]
    );
    assert_eq!(settings.alert.silence_after, 3_600_000);
    assert_eq!(settings.rules[0].alert.silence_after, 0);
}

#[test]
fn every_mistake_in_maintenance_is_named_at_once() {
    let found = mistakes(
        r#"
        [[maintenance]]
        start = "2026-03-02T00:00:00Z"
        end = "2026-03-01T00:00:00Z"
        [[maintenance]]
        match = { name = "a" }
        days = ["sat", "caturday"]
        from = "25:00"
        zone = "Mars/Olympus"
        [[maintenance]]
        match = { name = "a" }
        start = "soon"
        [[maintenance]]
        match = { name = "a" }
        dates = ["2026-02-30"]
        form = "22:00"
        [[maintenance]]
        match = { name = "a" }
        start = "2026-03-01T00:00:00Z"
        from = "22:00"
        [[maintenance]]
        match = { name = "a" }
        days = []
        learn = "yes"
        "#,
    );
    let either = "say either start and end, or days or dates, with from and to for a part of them";
    let expected = [
        (
            "maintenance[0].match",
            "says neither name nor labels; name = \"*\" matches every series",
        ),
        ("maintenance[0].end", "must be later than start"),
        (
            "maintenance[1].days",
            "`caturday` is none of mon, tue, wed, thu, fri, sat, sun",
        ),
        (
            "maintenance[1].from",
            "`25:00` is no time of day, as in \"22:30\"",
        ),
        ("maintenance[1].zone", "`Mars/Olympus` is no time zone known here"),
        (
            "maintenance[2].start",
            "`soon` is neither RFC 3339, `YYYY-MM-DD HH:MM:SS` nor unix seconds",
        ),
        (
            "maintenance[3].dates",
            "`2026-02-30` is no date, as in \"2026-12-24\"",
        ),
        ("maintenance[3].form", "unknown key; did you mean `from`?"),
        ("maintenance[4].start", either),
        ("maintenance[5].days", "names no day"),
        (
            "maintenance[5].learn",
            "expected true or false, found the text \"yes\"",
        ),
    ];
    let expected = expected.map(|(key, message)| (key.to_owned(), message.to_owned()));
    assert_eq!(found, BTreeMap::from(expected));
}

#[test]
fn every_mistake_is_named_at_once() {
    let found = mistakes(
        r#"
        typo = 1
        [kafka]
        brokres = "b:1"
        topics = ["in", "in"]
        format = "xml"
        delivery = "at_least_once"
        transactional_id = "x"
        commit_interval = "1 fortnight"
        properties = { "secruity.protocol" = "ssl", "enable.auto.commit" = true }
        [alerts]
        topic = "no spaces"
        [labels]
        keep = ["a", "b"]
        drop = ["b"]
        [state]
        max_series = 0
        lookback = "2000d"
        [score]
        lag = 3
        history = "many"
        rarity = nan
        warn_decades = 7
        [alert]
        min_absolute_deviation = -1.0
        close_score = inf
        max_duration = 1.5
        [model]
        device = "tpu"
        [http]
        listen = "localhost"
        [log]
        level = "loud=very"
        [windows]
        idle_close = 3
        "#,
    );
    let expected = [
        ("typo", "unknown key"),
        ("kafka.brokres", "did you mean `brokers`?"),
        ("kafka.topics", "twice"),
        ("kafka.format", "none of auto, native_json, prometheus_json"),
        ("kafka.transactional_id", "conflicts"),
        ("kafka.commit_interval", "no duration"),
        (
            "kafka.properties.secruity.protocol",
            "No such configuration property",
        ),
        ("kafka.properties.enable.auto.commit", "set by the agent"),
        ("alerts.topic", "no topic name"),
        ("labels.drop", "`b` stands in keep"),
        ("state.max_series", "outside 1 to"),
        ("state.lookback", "outside 0s to 366d"),
        ("score.lag", "3 is none of 0, 1, 2, 4, 9, 19, 49, 99"),
        (
            "score.history",
            "expected a whole number, found the text \"many\"",
        ),
        ("score.rarity", "not a finite number"),
        ("score.critical_decades", "more than warn_decades (7)"),
        ("alert.min_absolute_deviation", "less than 0"),
        ("alert.close_score", "not a finite number"),
        ("alert.max_duration", "expected a whole number"),
        ("model.device", "none of cpu, cuda, auto"),
        ("http.listen", "no address and port"),
        ("log.level", "loud=very"),
        ("windows.idle_close", "expected a duration"),
    ];
    for (key, part) in expected {
        let message = found
            .get(key)
            .unwrap_or_else(|| panic!("nothing about {key} in {found:#?}"));
        assert!(message.contains(part), "{key}: {message}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn tables_and_leaves_are_told_apart() {
    let found = mistakes("kafka = 3\nscore.lag = { a = 1 }\nrules = \"none\"");
    assert_eq!(found["kafka"], "expected a table, found the number 3");
    assert_eq!(found["score.lag"], "expected a whole number, found a table");
    assert_eq!(
        found["rules"],
        "expected a list of tables, found the text \"none\""
    );
}

#[test]
fn text_that_is_not_toml_is_one_mistake() {
    let errors = parse("kafka = [").unwrap_err().0;
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].key, "configuration");
    let missing = std::path::Path::new("no/such/agent.toml");
    let errors = load(FileLayer::Path(missing), [], &[]).unwrap_err().0;
    assert_eq!(errors[0].key, "no/such/agent.toml");
}

#[test]
fn what_goes_out_must_not_come_in_again() {
    let found = mistakes("alerts.topic = \"metrics\"\nscores.topic = \"a\"\ndead_letter.topic = \"a\"");
    assert!(found["alerts.topic"].contains("come in again"), "{found:?}");
    assert!(found["dead_letter.topic"].contains("scores.topic"), "{found:?}");
}

#[test]
fn rules_inherit_and_are_checked() {
    let settings = parse(
        r#"
        kafka.format = "native_json"
        score.lag = 4
        alert.min_duration = 2
        [[rules]]
        match = { name = "queue_*" }
        interval = "60s"
        aggregate = "max"
        direction = "up"
        lateness = "2m"
        [[rules]]
        match.labels.env = "test"
        ignore = true
        "#,
    )
    .unwrap();
    assert_eq!(settings.kafka.format, Format::NativeJson);
    let [first, second] = &settings.rules[..] else {
        panic!("two rules")
    };
    assert_eq!(
        (first.interval, first.aggregate, first.windows.lateness),
        (Some(60_000), Aggregate::Max, 120_000)
    );
    assert_eq!((first.score.lag, first.alert.min_duration), (4, 2));
    assert_eq!(first.alert.direction, alerting::Direction::Up);
    assert!(second.ignore && !first.ignore);

    let found = mistakes(
        r#"
        [[rules]]
        match = {}
        [[rules]]
        match = { nmae = "x" }
        kind = "counter"
        aggregate = "sum"
        [[rules]]
        match.name = "a"
        ignore = true
        lag = 1
        [[rules]]
        match.name = "b"
        interval = "1ms"
        lateness = "1h"
        "#,
    );
    let keys: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "rules[0].match",
            "rules[1].aggregate",
            "rules[1].match.nmae",
            "rules[2].ignore",
            "rules[3].lateness"
        ],
        "{found:#?}"
    );
}

#[test]
fn a_canary_has_a_topic_to_itself() {
    assert_eq!(parse("").unwrap().canary, None);
    let canary = parse("[canary]\ntopic = \"canary\"\n").unwrap().canary.unwrap();
    assert_eq!((canary.topic.as_str(), canary.interval), ("canary", 5_000));
    let wrong = mistakes("[canary]\ntopic = \"metrics\"\ninterval = \"2m\"\n");
    assert!(wrong["canary.topic"].contains("kafka.topics"), "{wrong:?}");
    assert!(wrong.contains_key("canary.interval"), "{wrong:?}");
    let wrong = mistakes("[canary]\ntopic = \"alerts\"\n");
    assert_eq!(wrong["canary.topic"], "`alerts` is alerts.topic already");
}
