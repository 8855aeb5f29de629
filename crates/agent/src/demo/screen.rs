//! What the demo prints: lines of at most 100 columns, coloured on a terminal only.

use std::io::{self, IsTerminal as _, Write};
use std::net::SocketAddr;
use std::time::Duration;

use types::{AlertState, DurationMs, Severity, Timestamp};

use super::alerts::{Heard, HeardLimit};
use super::feed::{Feed, Injection, PAST, STEP, STEP_MS};
use super::ledger::{Meaning, Tally};
use crate::failure::Failure;

/// Faults listed among the missed.
const MISSED_SHOWN: usize = 5;

/// What is said before anything happens.
pub(super) struct Header<'a> {
    pub(super) seed: u64,
    pub(super) faults: bool,
    pub(super) feed: &'a Feed,
    pub(super) partitions: i32,
    pub(super) bundle: &'a str,
    pub(super) device: &'a str,
    pub(super) runtime: &'a str,
    pub(super) brokers: &'a str,
    pub(super) settings: &'a [(&'a str, &'a str)],
    pub(super) address: SocketAddr,
}

/// Where lines go.
pub(super) struct Screen {
    out: Box<dyn Write + Send>,
    colour: bool,
    /// Width of the column of series.
    width: usize,
}

#[derive(Clone, Copy)]
enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Cyan = 36,
    Grey = 90,
}

impl Screen {
    /// Standard output; `width`: characters of the longest series.
    pub(super) fn stdout(width: usize) -> Self {
        let out = io::stdout();
        Self {
            colour: out.is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            out: Box::new(out),
            width,
        }
    }

    pub(super) fn header(&mut self, header: &Header<'_>) -> Result<(), Failure> {
        let Header {
            seed,
            faults,
            feed,
            partitions,
            bundle,
            device,
            runtime,
            brokers,
            settings,
            address,
        } = *header;
        let faults = if faults { "with faults" } else { "without faults" };
        let speed = STEP_MS / STEP.as_millis() as i64;
        self.fact("demo", &format!("seed {seed}, {faults}"))?;
        self.fact(
            "stream",
            &format!(
                "{} series, a sample a minute, {partitions} partitions, time {speed} times as fast",
                feed.width()
            ),
        )?;
        self.fact(
            "broker",
            &format!("{brokers}, in this process, delivery at least once"),
        )?;
        self.fact("bundle", &format!("{bundle} on {device}, ONNX Runtime {runtime}"))?;
        self.fact("config", "the default, but for")?;
        for (key, value) in settings {
            self.fact("", &format!("{key} = {value}"))?;
        }
        self.fact("metrics", &format!("http://{address}/metrics"))?;
        self.fact("past", &format!("{} h of the stream are read first", PAST / 60))
    }

    pub(super) fn past_read(&mut self, took: Duration) -> Result<(), Failure> {
        self.fact(
            "",
            &format!("read in {:.1} s: live (times are event time)", took.as_secs_f64()),
        )?;
        self.line("")
    }

    pub(super) fn injected(&mut self, injection: &Injection) -> Result<(), Failure> {
        let what = self.paint(Colour::Cyan, "injected");
        let text = self.event(
            injection.fault.start,
            &what,
            injection.series.as_str(),
            &injection.describe(),
        );
        self.line(&text)
    }

    pub(super) fn alert(&mut self, alert: &Heard, meaning: Meaning) -> Result<(), Failure> {
        let text = match alert.state {
            AlertState::Resolved => {
                let text = self.event(alert.available_at, "resolved", &alert.series, "");
                self.paint(Colour::Grey, text.trim_end())
            }
            AlertState::Firing | AlertState::Escalated => {
                let what = match alert.severity {
                    Severity::Critical => self.paint(Colour::Red, "CRITICAL"),
                    Severity::Warning => self.paint(Colour::Yellow, "WARNING "),
                };
                let details = match &alert.limit {
                    None => anomaly(alert, meaning),
                    Some(limit) => about_limit(alert, limit),
                };
                self.event(alert.available_at, &what, &alert.series, &details)
            }
        };
        self.line(&text)
    }

    pub(super) fn summary(
        &mut self,
        tally: &Tally,
        took: Duration,
        samples: u64,
        minutes: u64,
    ) -> Result<(), Failure> {
        self.line("")?;
        self.fact(
            "live",
            &format!(
                "{:.0} s for {:.1} h of event time, {samples} samples",
                took.as_secs_f64(),
                minutes as f64 / 60.0
            ),
        )?;
        self.fact("faults", &faults(tally))?;
        let kinds: Vec<String> = tally
            .by_kind
            .iter()
            .map(|(kind, (hits, of))| format!("{} {hits}/{of}", kind.name()))
            .collect();
        if !kinds.is_empty() {
            self.fact("by kind", &kinds.join(", "))?;
        }
        if let (Some(median), Some(longest)) = (tally.delays.get(tally.delays.len() / 2), tally.delays.last())
        {
            let (median, longest) = (median / 60_000, longest / 60_000);
            self.fact(
                "delay",
                &format!("median {median} min, longest {longest} min of event time"),
            )?;
        }
        for injection in tally.missed.iter().take(MISSED_SHOWN) {
            let text = format!(
                "{} {} {}",
                clock(injection.fault.start),
                injection.series,
                injection.describe()
            );
            self.fact("missed", &text)?;
        }
        let alerts = format!(
            "{}: {} hits, {} echoes of faults, {} false",
            tally.events, tally.hits, tally.echoes, tally.false_alerts
        );
        let colour = if tally.false_alerts == 0 {
            Colour::Green
        } else {
            Colour::Yellow
        };
        let alerts = self.paint(colour, &alerts);
        self.fact("alerts", &alerts)?;
        if tally.limits > 0 {
            self.fact("limits", &format!("{} crossed or about to be", tally.limits))?;
        }
        Ok(())
    }

    fn event(&self, at: Timestamp, what: &str, series: &str, details: &str) -> String {
        format!(
            "{}  {what}  {series:<width$}  {details}",
            clock(at),
            width = self.width
        )
    }

    fn fact(&mut self, name: &str, text: &str) -> Result<(), Failure> {
        self.line(&format!("{name:<8} {text}"))
    }

    fn line(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.out, "{text}")
            .and_then(|()| self.out.flush())
            .map_err(|e| Failure::io(format!("standard output: {e}")))
    }

    fn paint(&self, colour: Colour, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{}m{text}\u{1b}[0m", colour as u8)
        } else {
            text.to_owned()
        }
    }
}

fn anomaly(alert: &Heard, meaning: Meaning) -> String {
    let about = match (alert.state, meaning) {
        (AlertState::Escalated, _) => "was a warning".to_owned(),
        (_, Meaning::Hit(delay)) => format!("after {} min", delay / 60_000),
        (_, Meaning::Again) => "again".to_owned(),
        (_, Meaning::Wake) => "in its wake".to_owned(),
        (_, Meaning::False | Meaning::Limit) => "FALSE".to_owned(),
    };
    let expected = alert
        .expected
        .map_or_else(String::new, |e| format!(" for {}", number(e)));
    format!(
        "{}{expected}, score {:.1}, {about}",
        number(alert.value),
        alert.score
    )
}

fn about_limit(alert: &Heard, limit: &HeardLimit) -> String {
    let (bound, value) = (limit.bound.name(), number(limit.value));
    match (alert.severity, limit.forecast) {
        (Severity::Warning, Some(forecast)) => {
            let (now, next) = (number(alert.value), number(forecast));
            format!("{now}, about to be {bound} the limit of {value}: forecast {next}")
        }
        _ => format!("{}, {bound} the limit of {value}", number(alert.value)),
    }
}

fn faults(tally: &Tally) -> String {
    if tally.injected == 0 {
        return "none injected".to_owned();
    }
    let mut text = format!(
        "{} injected: {} hit, {} missed",
        tally.injected,
        tally.hits,
        tally.missed.len()
    );
    if tally.undecided > 0 {
        text += &format!(", {} still under way", tally.undecided);
    }
    text
}

/// Hour and minute, UTC.
fn clock(at: Timestamp) -> String {
    const DAY: DurationMs = 86_400_000;
    let minutes = at.millis().rem_euclid(DAY) / 60_000;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// Three significant digits in at most seven characters, with the prefixes of the metric system.
pub(super) fn number(x: f64) -> String {
    const PREFIXES: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")];
    let (unit, prefix) = PREFIXES
        .into_iter()
        .find(|(unit, _)| x.abs() >= *unit)
        .map_or((1.0, ""), |(unit, prefix)| {
            (if prefix == "k" { 1e3 } else { unit }, prefix)
        });
    let scaled = x / unit;
    let decimals = match scaled.abs() {
        a if a >= 100.0 => 0,
        a if a >= 10.0 => 1,
        _ => 2,
    };
    format!("{scaled:.decimals$}{prefix}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn print(colour: bool, print: impl FnOnce(&mut Screen)) -> String {
        let out = Shared::default();
        print(&mut Screen {
            out: Box::new(out.clone()),
            colour,
            width: 38,
        });
        let bytes = out.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn alert() -> Heard {
        Heard {
            id: "1".to_owned(),
            state: AlertState::Firing,
            severity: Severity::Critical,
            series: "http_requests_per_second{host=\"web-3\"}".to_owned(),
            start: Timestamp::from_millis(7 * 3_600_000),
            available_at: Timestamp::from_millis(7 * 3_600_000 + 120_000),
            score: 12.34,
            value: -6_321_000_000.0,
            expected: Some(-5_999_000_000.0),
            limit: None,
        }
    }

    #[test]
    fn numbers_are_short() {
        for (x, want) in [
            (0.0, "0.00"),
            (-1.234_56, "-1.23"),
            (91.25, "91.2"),
            (9_999.4, "9999"),
            (12_345.0, "12.3k"),
            (6_321_000_000.0, "6.32G"),
        ] {
            assert_eq!(number(x), want);
        }
    }

    #[test]
    fn an_alert_fits_a_hundred_columns() {
        let text = print(false, |s| s.alert(&alert(), Meaning::Hit(35 * 60_000)).unwrap());
        assert_eq!(
            text,
            "07:02  CRITICAL  http_requests_per_second{host=\"web-3\"}  -6.32G for -6.00G, score 12.3, after 35 min\n"
        );
        assert!(text.trim_end().len() <= 100, "{}", text.len());
    }

    #[test]
    fn a_limit_is_said_in_words() {
        let alert = |severity| Heard {
            severity,
            series: "cpu_usage_percent{host=\"web-3\"}".to_owned(),
            value: 51.25,
            expected: None,
            limit: Some(HeardLimit {
                bound: types::Bound::Above,
                value: 55.0,
                forecast: Some(56.0),
            }),
            ..alert()
        };
        let text = |severity| print(false, |s| s.alert(&alert(severity), Meaning::Limit).unwrap());
        let warning = text(Severity::Warning);
        assert!(
            warning.ends_with("51.2, about to be above the limit of 55.0: forecast 56.0\n"),
            "{warning}"
        );
        assert!(text(Severity::Critical).ends_with("51.2, above the limit of 55.0\n"));
    }

    #[test]
    fn a_pipe_gets_no_escapes_and_a_terminal_does() {
        let hear = |colour| print(colour, |s| s.alert(&alert(), Meaning::False).unwrap());
        assert!(!hear(false).contains('\u{1b}') && hear(false).contains("FALSE"));
        assert!(hear(true).contains("\u{1b}[31mCRITICAL\u{1b}[0m"));
    }

    #[test]
    fn a_calm_end_is_said_in_words() {
        let text = print(false, |s| {
            s.summary(&Tally::default(), Duration::from_secs(60), 21_600, 600)
                .unwrap();
        });
        assert!(text.contains("faults   none injected\n"), "{text}");
        assert!(
            text.contains("alerts   0: 0 hits, 0 echoes of faults, 0 false\n"),
            "{text}"
        );
        assert!(
            text.contains("60 s for 10.0 h of event time, 21600 samples"),
            "{text}"
        );
    }
}
