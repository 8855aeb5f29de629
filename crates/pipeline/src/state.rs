//! What a task keeps outside of its process, so that another process can go on with it: records on a compacted topic.
//!
//! A task has one record of its own (its head) and two a series. What others were told of a series, and what depends on other
//! series, is small and written in the publication in which it changed (`said`). What was learnt from the series' own samples is
//! large and written now and then (`learnt`): it is a function of those samples, so that those which came since can be read again.
//! All of it travels in the transaction with outputs and offsets; `task::keep` says what is written when.
//!
//! A value is a version, one byte, and what [`postcard`] makes of the rest. This program reads its own version and the one before.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::de::value::{Error as NameError, StrDeserializer};
use serde::{Deserialize, Serialize};
use types::{SeriesKey, Timestamp};

use crate::host::TaskId;
use crate::task::{Learnt, Said};

/// Version of the records that this program writes.
pub const VERSION: u8 = 1;

/// One record for the state topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateRecord {
    /// Names task, kind and series.
    pub key: String,
    /// `None` where there is nothing to keep any more: a tombstone.
    pub value: Option<Vec<u8>>,
}

/// What the numbers were computed by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Bundle name and hash.
    pub bundle: String,
    /// Version of the runtime.
    pub runtime: String,
    /// Device that it computes on.
    pub device: String,
}

/// A moment in the life of a task: every record below `offset` and the first `ticks` ticks have happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) offset: i64,
    pub(crate) ticks: u64,
}

/// A sample: the offset of its record, and its number in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) offset: i64,
    pub(crate) number: u64,
}

/// A [`types::ControlKind::IdleClose`] that took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tick {
    pub(crate) offset: i64,
    pub(crate) until: Timestamp,
    pub(crate) quiet_since: u64,
}

/// What a task keeps beside its series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) identity: Identity,
    /// The next offset to process, as committed in the same transaction.
    pub(crate) next: i64,
    pub(crate) course: Course,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Course {
    /// The task began empty and muted at this offset, and has said nothing.
    Begun { read_from: i64 },
    /// It is under way.
    Live(Live),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Live {
    /// The first moment of which not all is kept. What comes from here on has to be read again.
    pub(crate) since: Mark,
    /// The task's clock then.
    pub(crate) clock_then: Option<Timestamp>,
    /// Its clock now.
    pub(crate) clock: Option<Timestamp>,
    /// Ticks from `since` on.
    pub(crate) ticks: Vec<Tick>,
}

/// Everything that is kept of one task, as it was committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub(crate) head: Head,
    pub(crate) series: BTreeMap<SeriesKey, (Said, Option<Learnt>)>,
    bytes: usize,
}

impl Kept {
    /// First offset to read again.
    #[must_use]
    pub fn read_from(&self) -> i64 {
        match &self.head.course {
            Course::Begun { read_from } => *read_from,
            Course::Live(live) => live.since.offset,
        }
    }

    /// Series that are kept.
    #[must_use]
    pub fn series_count(&self) -> usize {
        self.series.len()
    }

    /// Bytes of keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What computed them, if not what computes now: the last digits of what is learnt from here on may be others.
    #[must_use]
    pub fn other_numbers(&self, identity: &Identity) -> Option<&Identity> {
        (self.head.identity != *identity).then_some(&self.head.identity)
    }
}

/// Why what is kept cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// There is nothing to begin with: the task's own record is missing.
    #[error("no state is kept of it")]
    Missing,
    /// Another program wrote it.
    #[error("it has version {0}, this program reads {VERSION} and the one before")]
    Version(u8),
    /// A record is not what its version says.
    #[error("the record {0:?} is damaged")]
    Damaged(String),
    /// Other nets judged what was learnt.
    #[error("it was learnt with the bundle {0}")]
    Bundle(String),
    /// The group goes on elsewhere: somebody has moved its offsets, or the topic was made anew.
    #[error("it is of offset {kept}, the group goes on at {committed:?}")]
    Offset {
        /// Where the state ends.
        kept: i64,
        /// Where the group goes on.
        committed: Option<i64>,
    },
}

/// What a task begins with.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Past {
    /// Nothing, and nothing will be kept.
    #[default]
    Unkept,
    /// Nothing that can be used. These keys are to go.
    Nothing {
        /// Keys of records that are there all the same.
        stale: Vec<String>,
    },
    /// This.
    Kept(Box<Kept>),
}

impl Past {
    /// What can be used.
    #[must_use]
    pub fn kept(&self) -> Option<&Kept> {
        match self {
            Self::Kept(kept) => Some(kept),
            Self::Unkept | Self::Nothing { .. } => None,
        }
    }
}

/// The records of one task among those of a state topic, the newest of each key.
#[derive(Clone, Debug)]
pub struct Gathered {
    task: String,
    records: BTreeMap<String, Vec<u8>>,
}

impl Gathered {
    /// None yet of this task.
    #[must_use]
    pub fn new(task: &TaskId) -> Self {
        Self {
            task: task.to_string(),
            records: BTreeMap::new(),
        }
    }

    /// The next record of the topic, whosoever it is; a tombstone has no value.
    pub fn take(&mut self, key: &[u8], value: Option<&[u8]>) {
        let Ok(key) = std::str::from_utf8(key) else { return };
        let own = key.strip_prefix(&self.task);
        if !own.is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')) {
            return;
        }
        match value {
            Some(value) => self.records.insert(key.to_owned(), value.to_vec()),
            None => self.records.remove(key),
        };
    }

    /// Up to where the task had come, if its own record can be read.
    #[must_use]
    pub fn next(&self) -> Option<i64> {
        let head: Head = decode(&self.task, self.records.get(&self.task)?).ok()?;
        Some(head.next)
    }

    /// What there is to begin with, and why nothing, if there should be something.
    ///
    /// `committed` is where the group goes on, and `high` the end of the partition.
    #[must_use]
    pub fn open(self, identity: &Identity, committed: Option<i64>, high: i64) -> (Past, Option<Unusable>) {
        // Beyond the end lies another topic's past.
        match self.read(identity, committed.filter(|offset| *offset <= high)) {
            Ok(kept) => (Past::Kept(Box::new(kept)), None),
            Err(why) => {
                // A group that has never committed has kept nothing.
                let expected = committed.is_none() && self.records.is_empty();
                let stale = self.records.into_keys().collect();
                (Past::Nothing { stale }, Some(why).filter(|_| !expected))
            }
        }
    }

    fn read(&self, identity: &Identity, committed: Option<i64>) -> Result<Kept, Unusable> {
        let head = self.records.get(&self.task).ok_or(Unusable::Missing)?;
        let head: Head = decode(&self.task, head)?;
        if head.identity.bundle != identity.bundle {
            return Err(Unusable::Bundle(head.identity.bundle));
        }
        if committed != Some(head.next) {
            let kept = head.next;
            return Err(Unusable::Offset { kept, committed });
        }
        let damaged = |key: &String| Unusable::Damaged(key.clone());
        let (mut series, mut learnt) = (BTreeMap::new(), BTreeMap::new());
        for (key, value) in &self.records {
            let Some(rest) = key.strip_prefix(&self.task).and_then(|r| r.strip_prefix(' ')) else {
                continue;
            };
            let (kind, name) = rest.split_once(' ').ok_or_else(|| damaged(key))?;
            let name = StrDeserializer::<NameError>::new(name);
            let name = SeriesKey::deserialize(name).map_err(|_| damaged(key))?;
            match kind {
                SAID => drop(series.insert(name, (decode(key, value)?, None))),
                LEARNT => drop(learnt.insert(name, (key, decode(key, value)?))),
                _ => return Err(damaged(key)),
            }
        }
        for (name, (key, value)) in learnt {
            let entry: &mut (Said, Option<Learnt>) = series.get_mut(&name).ok_or_else(|| damaged(key))?;
            entry.1 = Some(value);
        }
        let bytes = self
            .records
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        Ok(Kept { head, series, bytes })
    }
}

const SAID: &str = "said";
const LEARNT: &str = "learnt";

impl StateRecord {
    pub(crate) fn head(task: &TaskId, head: &Head) -> Self {
        Self {
            key: task.to_string(),
            value: Some(encode(head)),
        }
    }

    pub(crate) fn said(task: &TaskId, series: &SeriesKey, said: Option<&impl Serialize>) -> Self {
        Self {
            key: format!("{task} {SAID} {series}"),
            value: said.map(encode),
        }
    }

    pub(crate) fn learnt(task: &TaskId, series: &SeriesKey, learnt: Option<&impl Serialize>) -> Self {
        Self {
            key: format!("{task} {LEARNT} {series}"),
            value: learnt.map(encode),
        }
    }

    pub(crate) fn gone(key: String) -> Self {
        Self { key, value: None }
    }
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(value, vec![VERSION]).expect("plain data in memory has a length and can be written")
}

fn decode<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, Unusable> {
    // There is no version before the first.
    decode_either(VERSION, key, value, None::<fn(Never) -> T>)
}

#[derive(Deserialize)]
enum Never {}

/// What a record of `version` says, or one of the version before with what has become of it since.
fn decode_either<T: DeserializeOwned, B: DeserializeOwned>(
    version: u8,
    key: &str,
    value: &[u8],
    upgrade: Option<impl Fn(B) -> T>,
) -> Result<T, Unusable> {
    let damaged = || Unusable::Damaged(key.to_owned());
    let (found, body) = value.split_first().ok_or_else(damaged)?;
    match upgrade {
        _ if *found == version => postcard::from_bytes(body).map_err(|_| damaged()),
        Some(upgrade) if version.checked_sub(1) == Some(*found) => {
            postcard::from_bytes(body).map(upgrade).map_err(|_| damaged())
        }
        _ => Err(Unusable::Version(*found)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> TaskId {
        TaskId {
            topic: "metrics".into(),
            partition: 1,
        }
    }

    fn identity(bundle: &str) -> Identity {
        Identity {
            bundle: bundle.to_owned(),
            runtime: "1.2".to_owned(),
            device: "cpu".to_owned(),
        }
    }

    fn gathered(change: impl Fn(&mut StateRecord)) -> Gathered {
        let head = Head {
            identity: identity("a@1"),
            next: 7,
            course: Course::Begun { read_from: 3 },
        };
        let mut record = StateRecord::head(&id(), &head);
        change(&mut record);
        let mut gathered = Gathered::new(&id());
        gathered.take(record.key.as_bytes(), record.value.as_deref());
        gathered.take(b"metrics/11", Some(b"another task"));
        gathered
    }

    fn why(gathered: Gathered, bundle: &str, committed: Option<i64>, high: i64) -> Option<Unusable> {
        gathered.open(&identity(bundle), committed, high).1
    }

    #[test]
    fn what_cannot_be_used_is_said_and_goes() {
        assert_eq!(gathered(|_| {}).next(), Some(7));
        let (past, lost) = gathered(|_| {}).open(&identity("a@1"), Some(7), 9);
        assert_eq!(lost, None);
        assert_eq!(past.kept().map(Kept::read_from), Some(3));
        let as_it_is = |_: &mut StateRecord| {};
        let bundle = Unusable::Bundle("a@1".to_owned());
        assert_eq!(why(gathered(as_it_is), "b@2", Some(7), 9), Some(bundle));
        for (committed, high) in [(Some(8), 9), (None, 9), (Some(7), 6)] {
            let committed_here = committed.filter(|c| *c <= high);
            let offset = Unusable::Offset {
                kept: 7,
                committed: committed_here,
            };
            assert_eq!(why(gathered(as_it_is), "a@1", committed, high), Some(offset));
        }
        let newer = gathered(|record| record.value.as_mut().unwrap()[0] = VERSION + 1);
        assert_eq!(
            why(newer, "a@1", Some(7), 9),
            Some(Unusable::Version(VERSION + 1))
        );
        let short = gathered(|record| record.value.as_mut().unwrap().truncate(3));
        assert_eq!(
            why(short, "a@1", Some(7), 9),
            Some(Unusable::Damaged("metrics/1".to_owned()))
        );
        let empty = gathered(|record| record.value = Some(Vec::new()));
        assert_eq!(empty.next(), None);
        let (past, lost) = empty.open(&identity("a@1"), Some(7), 9);
        assert_eq!(lost, Some(Unusable::Damaged("metrics/1".to_owned())));
        let stale = vec!["metrics/1".to_owned()];
        assert_eq!(past, Past::Nothing { stale });
        // A group that begins has lost nothing; one that goes on has.
        let nothing = || gathered(|record| record.value = None);
        assert_eq!(why(nothing(), "a@1", None, 9), None);
        assert_eq!(why(nothing(), "a@1", Some(7), 9), Some(Unusable::Missing));
    }

    /// What the next layout will need: there is no second one yet.
    #[test]
    fn the_version_before_is_read_and_no_other() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Before(u32);
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Now {
            a: u64,
            b: bool,
        }
        let upgrade = |Before(a)| Now {
            a: u64::from(a),
            b: true,
        };
        let read = |version: u8, body: Vec<u8>| {
            let value = [&[version][..], &body].concat();
            decode_either(5, "key", &value, Some(upgrade))
        };
        let now = Now { a: 1, b: false };
        assert_eq!(read(5, postcard::to_stdvec(&now).unwrap()), Ok(now));
        let before = postcard::to_stdvec(&Before(300)).unwrap();
        assert_eq!(read(4, before.clone()), Ok(Now { a: 300, b: true }));
        assert_eq!(read(3, before.clone()), Err(Unusable::Version(3)));
        assert_eq!(read(6, before), Err(Unusable::Version(6)));
        assert_eq!(read(4, vec![]), Err(Unusable::Damaged("key".to_owned())));
    }
}
