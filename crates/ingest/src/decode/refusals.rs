//! A bound on what one record can have to say about what is wrong with it.

use std::collections::BTreeMap;

use types::{RejectReason, Rejected};

/// Parts of one record that are refused one by one. A mebibyte can hold half a million.
pub const MAX_REFUSED: usize = 100;

/// What of one record could not be used: the first [`MAX_REFUSED`] parts as they are, of the rest how many for each reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    said: usize,
    more: BTreeMap<RejectReason, u64>,
}

impl Refusals {
    /// Gives the refusal back where it is to be said, and counts it where it is not.
    pub fn take(&mut self, rejected: Rejected) -> Option<Rejected> {
        if self.said < MAX_REFUSED {
            self.said += 1;
            return Some(rejected);
        }
        *self.more.entry(rejected.reason).or_default() += 1;
        None
    }

    /// One for each reason of what was only counted, with the number.
    pub fn rest(self) -> impl Iterator<Item = Rejected> {
        self.more.into_iter().map(|(reason, count)| Rejected {
            reason,
            detail: format!("{count} more points of this record: {}", reason.name()),
        })
    }
}
