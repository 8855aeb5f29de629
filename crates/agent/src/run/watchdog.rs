//! Ends the process when a call to the brokers never comes back.
//!
//! librdkafka bounds its transactional calls, but not in every case (2.12). The case that is understood, of offsets when no broker is
//! left to ask, is seen to by `Producer::commit`; one was seen to wait for a broker that left the cluster in good order, and which
//! call it was is not known. About such a one nothing can be done from inside, and meanwhile the client goes on sending heartbeats.
//! Whoever supervises the process starts another, which goes on where the last commit was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Looks that find the same call: longer than all time limits of a publication together. Looks are counted, not time, for a process that
/// was stopped for a while has not waited.
const LOOKS: u32 = 45;

/// How often the call under way was seen.
#[derive(Default)]
struct Patience {
    last: u64,
    looks: u32,
}

impl Patience {
    /// A look at the number of the call, odd while it is under way; whether it has taken too long.
    fn ends(&mut self, call: u64) -> bool {
        let same = call % 2 == 1 && call == self.last;
        self.looks = if same { self.looks + 1 } else { 0 };
        self.last = call;
        self.looks >= LOOKS
    }
}

/// Odd while a call is under way; each one has its own number.
pub(crate) struct Watchdog(Arc<AtomicU64>);

impl Watchdog {
    pub(crate) fn start() -> Self {
        let calls = Arc::new(AtomicU64::new(0));
        let watched = Arc::downgrade(&calls);
        std::thread::spawn(move || {
            let mut patience = Patience::default();
            while let Some(calls) = watched.upgrade() {
                if patience.ends(calls.load(Ordering::Relaxed)) {
                    tracing::error!("a call to the brokers has not come back for {LOOKS} s: giving up");
                    std::process::exit(i32::from(crate::exit_code::UNAVAILABLE));
                }
                drop(calls);
                std::thread::park_timeout(PERIOD);
            }
        });
        Self(calls)
    }

    /// Makes a call.
    pub(crate) fn during<T>(&self, call: impl FnOnce() -> T) -> T {
        self.0.fetch_add(1, Ordering::Relaxed);
        let answer = call();
        self.0.fetch_add(1, Ordering::Relaxed);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_with_a_call_that_stays() {
        let mut patience = Patience::default();
        let looks = (1..).find(|_| patience.ends(7)).unwrap();
        // The first look has nothing to compare with.
        assert_eq!(looks, LOOKS + 1);
        assert!(patience.ends(7));
        assert!(!patience.ends(8) && !patience.ends(9));
    }

    #[test]
    fn patience_starts_again_with_every_call_and_does_not_wear_between_them() {
        let mut patience = Patience::default();
        for call in 0..1_000 {
            for _ in 0..LOOKS {
                assert!(!patience.ends(call), "call {call}");
            }
        }
        assert!((0..1_000).all(|_| !patience.ends(1_000)));
    }

    #[test]
    fn a_call_is_odd_while_it_is_under_way() {
        let watchdog = Watchdog(Arc::default());
        let number = || watchdog.0.load(Ordering::Relaxed);
        assert_eq!((number(), watchdog.during(number), number()), (0, 1, 2));
    }
}
