//! Each section's keys, ranges and conflicts.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use alerting::{AlertSpec, Direction};
use config::ValueKind;
use ingest::decode::{Format, LabelRules};
use ingest::kafka::check_property;
use jiff::tz::TimeZone;
use scorer::causal::ScoreSpec;
use scorer::manifest::SERVED_LAGS;
use scorer::runtime::Device;
use types::DurationMs;

use super::reader::{Section, auto, boolean, choice, duration, number, show_duration, text, texts, whole};
use super::settings::{
    AlertsSettings, CanarySettings, DeliveryMode, IdleClose, KafkaSettings, LogFormat, LogSettings,
    ModelSettings, StartMode, StateSettings, WindowsSettings,
};

pub(super) const SECOND: DurationMs = 1_000;
pub(super) const HOUR: DurationMs = 3_600 * SECOND;
pub(super) const DAY: DurationMs = 24 * HOUR;
pub(super) const YEAR: DurationMs = 366 * DAY;

pub(super) fn kafka(mut s: Section<'_>) -> KafkaSettings {
    let group = s.get_or("group", String::new(), text);
    let group_instance_id = s.get("group_instance_id", text);
    let delivery = s.get_or(
        "delivery",
        DeliveryMode::Transactional,
        choice(&[
            ("transactional", DeliveryMode::Transactional),
            ("at_least_once", DeliveryMode::AtLeastOnce),
        ]),
    );
    let given_id = s.get("transactional_id", text);
    if given_id.is_some() && delivery == DeliveryMode::AtLeastOnce {
        s.note(
            "transactional_id",
            "conflicts with delivery = \"at_least_once\", which has no transactions",
        );
    }
    let made_id = group_instance_id.as_ref().map(|id| format!("{group}-{id}"));
    let formats = [Format::Auto, Format::NativeJson, Format::PrometheusJson].map(|f| (f.name(), f));
    let starts = [
        ("earliest", StartMode::Earliest),
        ("latest", StartMode::Latest),
        ("lookback", StartMode::Lookback),
    ];
    let settings = KafkaSettings {
        brokers: s.get_or("brokers", String::new(), text),
        topics: s.get_or("topics", Vec::new(), topics),
        format: s.get_or("format", Format::Auto, choice(&formats)),
        delivery,
        transactional_id: given_id.or(made_id),
        transaction_timeout: s.get_or("transaction_timeout", 0, duration(SECOND..=15 * 60 * SECOND)),
        commit_interval: s.get_or("commit_interval", 0, duration(10..=60 * SECOND)),
        session_timeout: s.get_or("session_timeout", 0, duration(SECOND..=30 * 60 * SECOND)),
        start: s.get_or("start", StartMode::Lookback, choice(&starts)),
        properties: s.section("properties").all_texts(),
        group,
        group_instance_id,
    };
    if settings.commit_interval >= settings.transaction_timeout && settings.transaction_timeout > 0 {
        let timeout = show_duration(settings.transaction_timeout);
        s.note(
            "commit_interval",
            format!("must be less than transaction_timeout ({timeout})"),
        );
    }
    for (key, value) in &settings.properties {
        if let Err(why) = check_property(key, value) {
            s.note(&format!("properties.{key}"), why);
        }
    }
    s.finish();
    settings
}

pub(super) fn alerts(mut s: Section<'_>) -> AlertsSettings {
    let settings = AlertsSettings {
        topic: s.get_or("topic", String::new(), topic),
        source: s.get_or("source", String::new(), text),
    };
    s.finish();
    settings
}

/// A section that only names an optional topic.
pub(super) fn optional_topic(mut s: Section<'_>) -> Option<String> {
    let name = s.get("topic", topic);
    s.finish();
    name
}

pub(super) fn canary(mut s: Section<'_>) -> Option<CanarySettings> {
    let topic = s.get("topic", topic);
    let interval = s.get_or("interval", SECOND, duration(SECOND..=60 * SECOND));
    s.finish();
    topic.map(|topic| CanarySettings { topic, interval })
}

pub(super) fn files(mut s: Section<'_>) -> TimeZone {
    let zone = s.get_or("zone", TimeZone::UTC, zone);
    s.finish();
    zone
}

pub(super) fn zone(value: &ValueKind) -> Result<TimeZone, String> {
    let name = text(value)?;
    TimeZone::get(&name).map_err(|_| format!("`{name}` is no time zone known here"))
}

pub(super) fn labels(mut s: Section<'_>) -> LabelRules {
    let keep: BTreeSet<String> = s.get_or("keep", Vec::new(), texts).into_iter().collect();
    let drop: BTreeSet<String> = s.get_or("drop", Vec::new(), texts).into_iter().collect();
    for both in keep.intersection(&drop) {
        s.note("drop", format!("`{both}` stands in keep, too"));
    }
    s.finish();
    LabelRules {
        keep: if keep.is_empty() { None } else { Some(keep) },
        drop,
    }
}

/// What `state.topic` says.
enum Named {
    ByGroup,
    Off,
    As(String),
}

pub(super) fn state(mut s: Section<'_>, kafka: &KafkaSettings) -> StateSettings {
    let named = s.get_or("topic", Named::Off, |value| match value {
        ValueKind::String(word) if word == "auto" => Ok(Named::ByGroup),
        ValueKind::String(word) if word == "off" => Ok(Named::Off),
        name => topic(name).map(Named::As),
    });
    let topic = match named {
        Named::ByGroup if kafka.delivery == DeliveryMode::Transactional => {
            let name = topic(&ValueKind::String(format!("{}-state", kafka.group)));
            let wrong = |why| s.note("topic", format!("named by kafka.group, which does not do: {why}"));
            name.map_err(wrong).ok()
        }
        Named::As(name) => Some(name),
        Named::ByGroup | Named::Off => None,
    };
    let settings = StateSettings {
        topic,
        lookback: s.get_or("lookback", 0, duration(0..=YEAR)),
        max_series: s.get_or("max_series", 1, whole(1..=10_000_000)),
        series_ttl: s.get_or("series_ttl", 0, duration(60 * SECOND..=YEAR)),
        evict_idle: s.get_or("evict_idle", 0, duration(0..=YEAR)),
    };
    s.finish();
    settings
}

pub(super) fn windows(mut s: Section<'_>) -> WindowsSettings {
    let base = WindowsSettings {
        lateness: 0,
        restart_after: None,
        max_filled_share: 0.0,
        future_limit: s.get_or("future_limit", 0, duration(0..=YEAR)),
        idle_close: match s.get_or("idle_close", None, auto(duration(SECOND..=YEAR))) {
            None => IdleClose::Auto,
            Some(ms) => IdleClose::After(ms),
        },
    };
    let settings = windows_keys(&mut s, base);
    s.finish();
    settings
}

pub(super) fn score(mut s: Section<'_>) -> ScoreSpec {
    let spec = score_keys(&mut s, ScoreSpec::default());
    s.finish();
    spec
}

pub(super) fn alert(mut s: Section<'_>) -> AlertSpec {
    let spec = alert_keys(&mut s, AlertSpec::default());
    s.finish();
    spec
}

/// The keys of `[windows]` that a rule may set, too.
pub(super) fn windows_keys(s: &mut Section<'_>, base: WindowsSettings) -> WindowsSettings {
    let most = i64::try_from(windowing::MAX_WINDOW).unwrap_or(i64::MAX);
    WindowsSettings {
        lateness: s.get_or("lateness", base.lateness, duration(0..=YEAR)),
        restart_after: s.get_or("restart_after", base.restart_after, auto(whole(0..=most))),
        max_filled_share: s.get_or("max_filled_share", base.max_filled_share, number(0.0..=1.0)),
        ..base
    }
}

/// The keys of `[score]`; a rule may set each of them, too.
pub(super) fn score_keys(s: &mut Section<'_>, base: ScoreSpec) -> ScoreSpec {
    let mut spec = ScoreSpec {
        lag: s.get_or("lag", base.lag, lag),
        refractory: s.get_or("refractory", base.refractory, whole(0..=100_000)),
        resolution: s.get_or("resolution", base.resolution, number(0.0..=1.0)),
        envelope_weight: s.get_or("envelope_weight", base.envelope_weight, number(0.0..=10.0)),
        range_bonus: s.get_or("range_bonus", base.range_bonus, number(0.0..=10.0)),
        drift: s.get_or("drift", base.drift, whole(0..=100_000)),
        drift_weight: s.get_or("drift_weight", base.drift_weight, number(0.0..=10.0)),
        coarse_factor: s.get_or("coarse_factor", base.coarse_factor, whole(0..=1_000)),
        coarse_weight: s.get_or("coarse_weight", base.coarse_weight, number(0.0..=10.0)),
        rise: s.get_or("rise", base.rise, number(0.0..=10.0)),
        critic_weight: s.get_or("critic_weight", base.critic_weight, number(0.0..=10.0)),
        rarity: s.get_or("rarity", base.rarity, number(0.0..=10.0)),
        recurrence: s.get_or("recurrence", base.recurrence, number(0.0..=100.0)),
        linger: s.get_or("linger", base.linger, whole(0..=100_000)),
        level_weight: s.get_or("level_weight", base.level_weight, number(0.0..=10.0)),
        hold: s.get_or("hold", base.hold, whole(0..=100_000)),
        warn_decades: s.get_or("warn_decades", base.warn_decades, number(0.1..=30.0)),
        critical_decades: s.get_or("critical_decades", base.critical_decades, number(0.1..=60.0)),
        interval_weight: s.get_or("interval_weight", base.interval_weight, number(0.0..=10.0)),
        ..base
    };
    spec.tail.history = s.get_or("history", base.tail.history, whole(100..=100_000));
    spec.tail.share = s.get_or("tail_share", base.tail.share, number(0.001..=0.5));
    if spec.critical_decades <= spec.warn_decades {
        let warn = spec.warn_decades;
        s.note(
            "critical_decades",
            format!("must be more than warn_decades ({warn})"),
        );
    }
    spec
}

/// The keys of `[alert]`; a rule may set each of them, too.
pub(super) fn alert_keys(s: &mut Section<'_>, base: AlertSpec) -> AlertSpec {
    let directions = [
        ("both", Direction::Both),
        ("up", Direction::Up),
        ("down", Direction::Down),
    ];
    let spec = AlertSpec {
        direction: s.get_or("direction", base.direction, choice(&directions)),
        min_absolute_deviation: s.get_or(
            "min_absolute_deviation",
            base.min_absolute_deviation,
            number(0.0..=f64::INFINITY),
        ),
        min_relative_deviation: s.get_or(
            "min_relative_deviation",
            base.min_relative_deviation,
            number(0.0..=f64::INFINITY),
        ),
        min_duration: s.get_or("min_duration", base.min_duration, whole(1..=100_000)),
        min_confidence: s.get_or("min_confidence", base.min_confidence, number(0.0..=1.0)),
        close_score: s.get_or("close_score", base.close_score, number(0.0..=1.0)),
        close_after: s.get_or("close_after", base.close_after, whole(1..=100_000)),
        keep_firing_for: s.get_or("keep_firing_for", base.keep_firing_for, duration(0..=YEAR)),
        max_duration: s.get_or("max_duration", base.max_duration, whole(1..=1_000_000)),
        silence_after: s.get_or("silence_after", base.silence_after, duration(0..=YEAR)),
    };
    if spec.min_duration > spec.max_duration {
        let most = spec.max_duration;
        s.note("min_duration", format!("must be at most max_duration ({most})"));
    }
    spec
}

pub(super) fn model(mut s: Section<'_>) -> ModelSettings {
    let devices = [
        ("cpu", Device::Cpu),
        ("cuda", Device::Cuda),
        ("auto", Device::Auto),
    ];
    let settings = ModelSettings {
        path: s.get("path", text).map(PathBuf::from),
        device: s.get_or("device", Device::Cpu, choice(&devices)),
        threads: s.get_or("threads", 0, whole(0..=1_024)),
        onnxruntime: s.get("onnxruntime", text).map(PathBuf::from),
    };
    s.finish();
    settings
}

pub(super) fn listen(mut s: Section<'_>) -> SocketAddr {
    let address = s.get_or("listen", SocketAddr::from(([127, 0, 0, 1], 0)), |value| {
        let given = text(value)?;
        given
            .parse()
            .map_err(|_| format!("`{given}` is no address and port, as in \"127.0.0.1:9464\""))
    });
    s.finish();
    address
}

pub(super) fn log(mut s: Section<'_>) -> LogSettings {
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let settings = LogSettings {
        format: s.get_or("format", LogFormat::Text, choice(&formats)),
        level: s.get_or("level", String::new(), |value| {
            let directives = text(value)?;
            crate::logging::check_level(&directives).map(|()| directives)
        }),
    };
    s.finish();
    settings
}

pub(super) fn boolean_or_false(s: &mut Section<'_>, key: &'static str) -> bool {
    s.get_or(key, false, boolean)
}

fn lag(value: &ValueKind) -> Result<usize, String> {
    let lag: usize = whole(0..=i64::MAX)(value)?;
    if SERVED_LAGS.contains(&lag) {
        return Ok(lag);
    }
    Err(format!(
        "{lag} is none of {}",
        SERVED_LAGS.map(|l| l.to_string()).join(", ")
    ))
}

fn topic(value: &ValueKind) -> Result<String, String> {
    let name = text(value)?;
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.len() > 249 || name == "." || name == ".." || !name.chars().all(legal) {
        return Err(format!(
            "`{name}` is no topic name: letters, digits, `.`, `_`, `-`, at most 249"
        ));
    }
    Ok(name)
}

fn topics(value: &ValueKind) -> Result<Vec<String>, String> {
    let names = texts(value)?;
    if names.is_empty() {
        return Err("names no topic".to_owned());
    }
    for (i, name) in names.iter().enumerate() {
        topic(&ValueKind::String(name.clone()))?;
        if names[..i].contains(name) {
            return Err(format!("names `{name}` twice"));
        }
    }
    Ok(names)
}
