//! The last errors of a channel in less than a kilobyte.
//!
//! [`Sketch`] holds items, largest first, each for one error or several neighbours of the same age. A full list is thinned:
//! neighbours become one item at their mean, with their count, as long as that count is a small share of the item's rank.
//! So the largest stay single and the many small ones share few items, whatever they are and however they come.
//! Age is known by block: the oldest of [`BLOCKS`] blocks leaves as a whole when a new one begins.

use serde::{Deserialize, Serialize};

/// Most errors that a sketch looks back, whatever history is asked for: what [`Item`] can count in so many blocks.
pub(super) const HISTORY_MAX: usize = 100_000;

/// Steps in which errors leave.
const BLOCKS: usize = 12;
/// Share of its rank that an item may stand for, where that frees enough; then this much more at a time.
const SHARE_LEAST: f64 = 1.0 / 128.0;
const SHARE_STEP: f64 = 1.25;

/// About the last `history` errors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sketch {
    /// Largest first.
    items: Vec<Item>,
    /// The block under way and the errors it has.
    block: u8,
    filled: u32,
}

/// Errors of one block that are told apart no more: their mean as [`rounded`] in 16 bits, the block in 4, their count in 12.
/// Ordered by error first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "[u8; 4]", into = "[u8; 4]")]
struct Item(u32);

impl Sketch {
    /// Number of errors looked back on: all at first, then `history` give or take half a block, which is 4.4 %.
    pub(super) fn len(&self) -> u32 {
        self.items.iter().map(|item| item.count()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Errors and how many there are of each, largest first.
    pub(super) fn largest(&self) -> impl Iterator<Item = (f64, u32)> + '_ {
        self.items.iter().map(|item| (item.error(), item.count()))
    }

    /// The error that has `larger` others before it, largest first. An item stands in the middle of its ranks, and between two
    /// items errors fall evenly; but none lies between zero and the smallest other.
    pub(super) fn ranked(&self, larger: u32) -> Option<f64> {
        let rank = f64::from(larger);
        let (mut seen, mut above) = (0.0, None);
        for (error, count) in self.largest() {
            let (first, middle) = (seen, seen + f64::from(count - 1) / 2.0);
            seen += f64::from(count);
            match above {
                Some((_, larger)) if error == 0.0 && rank < first => return Some(larger),
                _ if error == 0.0 && rank < seen => return Some(0.0),
                Some((from, larger)) if rank <= middle => {
                    return Some(larger + (error - larger) * (rank - from) / (middle - from));
                }
                None if rank <= middle => return Some(error),
                _ => above = Some((middle, error)),
            }
        }
        above.filter(|_| rank < seen).map(|(_, last)| last)
    }

    /// How many errors are at least `error`, which is [`rounded`].
    pub(super) fn at_least(&self, error: f64) -> u32 {
        let larger = self.largest().take_while(|(e, _)| *e >= error);
        larger.map(|(_, count)| count).sum()
    }

    /// Takes one more error in; a full list has `most` items.
    pub(super) fn push(&mut self, history: usize, most: usize, error: f64) {
        // Half of the block under way is there on average.
        let block_len = (2 * history.min(HISTORY_MAX)).div_ceil(2 * BLOCKS - 1);
        if self.filled as usize >= block_len {
            self.filled = 0;
            self.block = (self.block + 1) % BLOCKS as u8;
            let oldest = self.block;
            self.items.retain(|item| item.block() != oldest);
        }
        if self.items.len() >= most {
            self.thin(most / 8 * 7);
        }
        // All there will ever be at once: series that began together would all grow at the same moment, again and again.
        self.items
            .reserve_exact(most.saturating_sub(self.items.len()).max(1));
        let item = Item::new(code(error), self.block, 1);
        let at = self.items.partition_point(|other| *other > item);
        self.items.insert(at, item);
        self.filled += 1;
    }

    /// Ends because a share that is large enough leaves each block its zeros and one item per [`Item::COUNT_MAX`] errors.
    fn thin(&mut self, most: usize) {
        let mut share = SHARE_LEAST;
        while self.items.len() > most {
            self.merge(share);
            share *= SHARE_STEP;
        }
    }

    /// Merges neighbours of a block as long as their count is at most `share` of their rank: the geometric mean of the one
    /// among all errors, which says how well the item must be known now, and the one among those that will leave no earlier,
    /// which says how well once the others have left.
    fn merge(&mut self, share: f64) {
        let mut larger: [Option<usize>; BLOCKS] = [None; BLOCKS];
        // Errors that are at least as large: all, and by age of their block.
        let (mut among_all, mut seen) = (0_u32, [0_u32; BLOCKS]);
        let mut kept = 0;
        for at in 0..self.items.len() {
            let item = self.items[at];
            let age = (usize::from(self.block) + BLOCKS - usize::from(item.block())) % BLOCKS;
            among_all += item.count();
            seen[age] += item.count();
            let among_lasting = seen[..=age].iter().sum::<u32>();
            let most = share * (f64::from(among_all) * f64::from(among_lasting)).sqrt();
            let both = larger[age].and_then(|i| Some((i, self.items[i].with(item, most)?)));
            if let Some((i, both)) = both {
                self.items[i] = both;
            } else {
                self.items[kept] = item;
                larger[age] = Some(kept);
                kept += 1;
            }
        }
        self.items.truncate(kept);
        self.items.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// Memory beside the value itself.
    pub(super) fn heap_bytes(&self) -> usize {
        self.items.capacity() * size_of::<Item>()
    }
}

impl Item {
    const COUNT_BITS: u32 = 12;
    const COUNT_MAX: u32 = (1 << Self::COUNT_BITS) - 1;

    fn new(code: u16, block: u8, count: u32) -> Self {
        Self(u32::from(code) << 16 | u32::from(block) << Self::COUNT_BITS | count)
    }

    fn code(self) -> u16 {
        (self.0 >> 16) as u16
    }

    fn block(self) -> u8 {
        (self.0 >> Self::COUNT_BITS) as u8 & 0xf
    }

    fn count(self) -> u32 {
        self.0 & Self::COUNT_MAX
    }

    fn error(self) -> f64 {
        decoded(self.code())
    }

    /// Both as one, if they are equal or at most `most` errors; fewer by the square of their ratio, so that an event is not
    /// mixed with what is usual, and zero, which a channel says that has nothing to say, with nothing else.
    fn with(self, smaller: Self, most: f64) -> Option<Self> {
        let count = self.count() + smaller.count();
        let alike = self.code() == smaller.code()
            || f64::from(count) * self.error().powi(2) <= most * smaller.error().powi(2);
        let sum = self.error() * f64::from(self.count()) + smaller.error() * f64::from(smaller.count());
        (alike && count <= Self::COUNT_MAX)
            .then(|| Self::new(code(sum / f64::from(count)), self.block(), count))
    }
}

impl From<[u8; 4]> for Item {
    fn from(bytes: [u8; 4]) -> Self {
        Self(u32::from_be_bytes(bytes))
    }
}

impl From<Item> for [u8; 4] {
    fn from(item: Item) -> Self {
        item.0.to_be_bytes()
    }
}

/// Distance between an error and the next that can be told from it, as a share of it: at most.
pub(super) const RESOLUTION: f64 = 1.0 / 256.0;

/// `error` (≥ 0) as a sketch keeps it.
pub(super) fn rounded(error: f64) -> f64 {
    decoded(code(error))
}

/// The upper half of an `f32` without its sign, rounded to nearest: 8 bits of exponent and 8 of mantissa. Never falls as
/// `error` grows; what is no number counts as 0, and all that is too large as the largest.
fn code(error: f64) -> u16 {
    let bits = (error.max(0.0) as f32).min(f32::MAX).to_bits();
    ((bits + (1 << 14)) >> 15).min(f32::MAX.to_bits() >> 15) as u16
}

fn decoded(code: u16) -> f64 {
    f64::from(f32::from_bits(u32::from(code) << 15))
}
