//! `[[rules]]`: what series that match do differently.

use alerting::{AlertSpec, LimitSpec};
use pipeline::Matcher;
use scorer::causal::ScoreSpec;
use types::{Aggregate, Kind};
use windowing::WindowSpec;

use super::reader::{Section, choice, duration, number, text};
use super::sections::{YEAR, alert_keys, boolean_or_false, score_keys, windows_keys};
use super::settings::{RuleSettings, WindowsSettings};

/// One rule; what it does not say is as in the sections.
pub(super) fn rule(
    mut s: Section<'_>,
    windows: WindowsSettings,
    score: ScoreSpec,
    alert: AlertSpec,
) -> RuleSettings {
    let matcher = matcher(&mut s);
    let ignore = boolean_or_false(&mut s, "ignore");
    if ignore && s.has_more() {
        s.note("ignore", "a series that is ignored takes no other setting");
    }
    let kinds = [("gauge", Kind::Gauge), ("counter", Kind::Counter)];
    let aggregates = [
        ("mean", Aggregate::Mean),
        ("sum", Aggregate::Sum),
        ("max", Aggregate::Max),
        ("min", Aggregate::Min),
        ("last", Aggregate::Last),
    ];
    let kind = s.get_or("kind", Kind::Gauge, choice(&kinds));
    let aggregate = s.get("aggregate", choice(&aggregates));
    if kind == Kind::Counter && aggregate.is_some() {
        s.note(
            "aggregate",
            "conflicts with kind = \"counter\": a counter's value is its rate",
        );
    }
    let rule = RuleSettings {
        matcher,
        ignore,
        interval: s.get("interval", duration(1..=YEAR)),
        kind,
        aggregate: aggregate.unwrap_or_default(),
        windows: windows_keys(&mut s, windows),
        score: score_keys(&mut s, score),
        alert: alert_keys(&mut s, alert),
        limits: limits(&mut s),
    };
    let spec = WindowSpec {
        interval: rule.interval,
        lateness: rule.windows.lateness,
        ..WindowSpec::new(1)
    };
    if let Err(error) = spec.validate() {
        s.note("lateness", error.to_string());
    }
    s.finish();
    rule
}

/// A rule's own: no limit fits every series.
fn limits(s: &mut Section<'_>) -> LimitSpec {
    let mut limit = |key| s.get(key, number(f64::NEG_INFINITY..=f64::INFINITY));
    let spec = LimitSpec {
        above: limit("limit_above"),
        below: limit("limit_below"),
    };
    if let (Some(above), Some(below)) = (spec.above, spec.below)
        && below >= above
    {
        s.note("limit_below", format!("must be less than limit_above ({above})"));
    }
    spec
}

/// Which series the `match` of a rule, or of maintenance, is about.
pub(super) fn matcher(s: &mut Section<'_>) -> Matcher {
    let mut of = s.section("match");
    let name = of.get("name", text);
    let labels: Vec<(String, String)> = of.section("labels").all_texts().into_iter().collect();
    if name.is_none() && labels.is_empty() && !of.has_more() {
        s.note(
            "match",
            "says neither name nor labels; name = \"*\" matches every series",
        );
    }
    of.finish();
    Matcher { name, labels }
}
