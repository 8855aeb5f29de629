//! How a group began with a topic, without I/O: which of the partitions that it has no offset of are to begin as configured, and which
//! appeared later, so that nothing of them may be passed over.
//!
//! Offsets alone do not tell. When several members make a group's first start, one finds the other's offsets and none of its own: that
//! looks like a partition that was added. So the number of partitions that the group found goes with every offset, as its note.

use std::fmt;
use std::str::FromStr;

use crate::delivery::FirstStart;

/// The partitions of a topic that a group found when it began with it: those below this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin(i32);

impl Origin {
    /// From what is committed of the topic (an offset's note, by partition that has one), and otherwise from whether the group `was_here`
    /// before and from the number of `partitions` there are now.
    #[must_use]
    pub fn of(committed: &[Option<Self>], was_here: bool, partitions: i32) -> Self {
        if committed.is_empty() {
            // Offsets go with their topic: where there were some, it has been made anew.
            return if was_here { Self(0) } else { Self(partitions) };
        }
        // Offsets that others have set have no note. Nothing is skipped on their account.
        committed.iter().copied().flatten().min().unwrap_or(Self(0))
    }

    /// Whether a partition appeared after the group had begun.
    #[must_use]
    pub fn is_later(self, partition: i32) -> bool {
        partition >= self.0
    }

    /// How a partition begins of which nothing is committed.
    #[must_use]
    pub fn first_start(self, partition: i32, configured: FirstStart) -> FirstStart {
        if self.is_later(partition) {
            FirstStart::Earliest
        } else {
            configured
        }
    }
}

const NOTE: &str = "began with partitions: ";

/// The note that goes with offsets.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NOTE}{}", self.0)
    }
}

/// It is not a note of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANote;

impl FromStr for Origin {
    type Err = NotANote;

    fn from_str(note: &str) -> Result<Self, NotANote> {
        let number = note.strip_prefix(NOTE).ok_or(NotANote)?;
        number.parse().map(Self).map_err(|_| NotANote)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURED: [FirstStart; 3] = [FirstStart::Earliest, FirstStart::Latest, FirstStart::Lookback];

    #[test]
    fn a_group_that_begins_does_as_configured_in_every_partition() {
        let origin = Origin::of(&[], false, 4);
        for first in CONFIGURED {
            assert_eq!(origin.first_start(3, first), first);
        }
    }

    /// Another member of a group that begins was faster. That is no reason to page for last week.
    #[test]
    fn the_second_member_of_a_group_that_begins_does_as_configured() {
        let noted = Some(Origin::of(&[], false, 4));
        let origin = Origin::of(&[noted, noted], false, 4);
        assert_eq!(origin.first_start(2, FirstStart::Latest), FirstStart::Latest);
    }

    #[test]
    fn a_partition_that_was_added_begins_with_its_oldest_record() {
        let noted = Origin::of(&[], false, 4);
        let origin = Origin::of(&[Some(noted); 4], true, 5);
        for first in CONFIGURED {
            assert_eq!(origin.first_start(4, first), FirstStart::Earliest);
        }
        // Whoever holds it notes the same: until its own start is committed, the next one decides as well.
        assert_eq!(origin, noted);
    }

    #[test]
    fn a_topic_that_was_made_anew_begins_with_its_oldest_record() {
        let origin = Origin::of(&[], true, 4);
        assert_eq!(origin.first_start(0, FirstStart::Latest), FirstStart::Earliest);
        // Members that did not know the old one find that with the offsets of those that did.
        let other = Origin::of(&[Some(origin)], false, 4);
        assert_eq!(other.first_start(3, FirstStart::Lookback), FirstStart::Earliest);
    }

    #[test]
    fn offsets_without_a_note_are_of_a_group_that_was_here() {
        let origin = Origin::of(&[None, None], false, 4);
        assert_eq!(origin.first_start(2, FirstStart::Latest), FirstStart::Earliest);
    }

    #[test]
    fn a_note_is_read_back() {
        let origin = Origin::of(&[], false, 12);
        assert_eq!(origin.to_string(), "began with partitions: 12");
        assert_eq!(origin.to_string().parse(), Ok(origin));
        for other in ["", "began with partitions: ", "12", "began with partitions: x"] {
            assert_eq!(other.parse::<Origin>(), Err(NotANote));
        }
    }
}
