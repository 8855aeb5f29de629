//! Alerts of a series rest while maintenance is planned, and after it until its scores are calm again.
//!
//! While they rest no state of them comes out: nothing opens, and what is open neither escalates, resolves nor grows older. The
//! return to normal is the end of a disturbance that was planned, not the start of another.

use alerting::AlertSpec;
use serde::{Deserialize, Serialize};

use crate::maintenance::Planned;

/// State of one series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Rest {
    /// Buckets for which it may still last.
    left: u32,
    /// Calm buckets in a row.
    calm: u32,
    /// Whether the references take in what they see.
    learn: bool,
}

impl Rest {
    /// Whether alerts rest at the next bucket: one for which there is a plan, or one of at most `window` after it, until
    /// [`AlertSpec::close_after`] of them in a row scored below [`AlertSpec::close_score`].
    pub(super) fn covers(
        &mut self,
        spec: &AlertSpec,
        window: usize,
        plan: Option<Planned>,
        score: Option<f64>,
    ) -> bool {
        if let Some(plan) = plan {
            *self = Self {
                left: u32::try_from(window).unwrap_or(u32::MAX),
                calm: 0,
                learn: plan.learn,
            };
            return true;
        }
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        if let Some(score) = score {
            self.calm = if score < spec.close_score {
                self.calm + 1
            } else {
                0
            };
        }
        if self.calm >= spec.close_after.max(1) {
            self.left = 0;
        }
        true
    }

    /// Whether the references take in a bucket with this plan.
    pub(super) fn learns(&self, plan: Option<Planned>) -> bool {
        match plan {
            Some(plan) => plan.learn,
            None => self.left == 0 || self.learn,
        }
    }
}
