//! The log of what could not be used, which a flood of it must not flood: a few lines a minute, then how many more and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use pipeline::TaskId;
use types::{RejectReason, Rejected};

/// Length of a period: within one, the first few have a line each.
const PERIOD: Duration = Duration::from_secs(60);
/// How many are the first few.
const LINES: u32 = 5;

/// What was said in this period, and what was not.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    /// When the period began; `None` before the first.
    since: Option<Duration>,
    lines: u32,
    suppressed: BTreeMap<RejectReason, u64>,
}

impl Refused {
    /// Says or counts one.
    pub(crate) fn note(&mut self, now: Duration, task: &TaskId, offset: i64, rejected: &Rejected) {
        self.tell(now);
        if self.takes(now, rejected.reason) {
            let reason = rejected.reason.name();
            tracing::warn!(%task, offset, reason, detail = %rejected.detail, "not used");
        }
    }

    /// Says how many were only counted, once their period is over. Call now and then.
    pub(crate) fn tell(&mut self, now: Duration) {
        if let Some((count, reasons)) = self.summary(now) {
            let period = PERIOD.as_secs();
            tracing::warn!(%reasons, "not used: suppressed {count} more in {period} s");
        }
    }

    /// Whether this one has a line of its own.
    fn takes(&mut self, now: Duration, reason: RejectReason) -> bool {
        self.since.get_or_insert(now);
        if self.lines < LINES {
            self.lines += 1;
            return true;
        }
        *self.suppressed.entry(reason).or_default() += 1;
        false
    }

    /// Ends a period that is over: how many had no line, and why.
    fn summary(&mut self, now: Duration) -> Option<(u64, String)> {
        if now.saturating_sub(self.since?) < PERIOD {
            return None;
        }
        let suppressed = std::mem::take(self).suppressed;
        let mut reasons = String::new();
        for (reason, count) in &suppressed {
            // Writing to a String cannot fail.
            let _ = write!(reasons, "{}={count} ", reason.name());
        }
        let count: u64 = suppressed.values().sum();
        (count > 0).then(|| (count, reasons.trim_end().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_lines_and_a_number_a_minute() {
        let mut refused = Refused::default();
        let mut lines = 0;
        let mut summaries = Vec::new();
        // 1000 a second for two and a half minutes, then silence.
        for ms in 0..150_000 {
            let now = Duration::from_millis(ms);
            summaries.extend(refused.summary(now));
            let reason = if ms % 4 == 0 {
                RejectReason::Late
            } else {
                RejectReason::Malformed
            };
            lines += u32::from(refused.takes(now, reason));
        }
        summaries.extend(refused.summary(Duration::from_secs(179)));
        assert_eq!((lines, summaries.len()), (3 * LINES, 2));
        summaries.extend(refused.summary(Duration::from_secs(180)));
        assert_eq!(summaries[0], (59_995, "malformed=44997 late=14998".to_owned()));
        let told: u64 = summaries.iter().map(|(count, _)| count).sum();
        assert_eq!(told + u64::from(lines), 150_000);
        assert_eq!(refused.summary(Duration::from_secs(900)), None);
    }

    #[test]
    fn a_few_are_said_and_nothing_is_suppressed() {
        let mut refused = Refused::default();
        for second in 0..4 {
            assert!(refused.takes(Duration::from_secs(second), RejectReason::Future));
        }
        assert_eq!(refused.summary(Duration::from_secs(70)), None);
        assert!(refused.takes(Duration::from_secs(70), RejectReason::Future));
    }
}
