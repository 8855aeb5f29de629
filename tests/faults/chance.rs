//! Chance that follows from a seed.

/// SplitMix64.
pub(crate) struct Chance(u64);

impl Chance {
    /// Its own sequence for every seed and purpose.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        let mut state = Self(seed);
        for byte in purpose.bytes() {
            state.0 = state.next() ^ u64::from(byte);
        }
        state
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// In 0..n.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }

    /// True with this probability.
    pub(crate) fn is(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }
}
