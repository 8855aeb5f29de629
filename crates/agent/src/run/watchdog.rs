//! Ends the process when a call to the brokers never comes back.
//!
//! librdkafka bounds its transactional calls, but not in every case: one that waits for a broker which leaves the cluster in good order
//! may wait for ever (2.12). Nothing can be done about it from inside, and meanwhile the client goes on sending heartbeats. Whoever
//! supervises the process starts another, which goes on where the last commit was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Looks that find the same call: longer than all time limits of a publication together. Looks are counted, not time, for a process that
/// was stopped for a while has not waited.
const LOOKS: u32 = 45;

/// Odd while a call is under way; each one has its own number.
pub(crate) struct Watchdog(Arc<AtomicU64>);

impl Watchdog {
    pub(crate) fn start() -> Self {
        let calls = Arc::new(AtomicU64::new(0));
        let watched = Arc::downgrade(&calls);
        std::thread::spawn(move || {
            let (mut last, mut looks) = (0, 0);
            while let Some(calls) = watched.upgrade() {
                let call = calls.load(Ordering::Relaxed);
                looks = if call % 2 == 1 && call == last {
                    looks + 1
                } else {
                    0
                };
                last = call;
                if looks >= LOOKS {
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
