//! Named points at which the fault harness (`tests/faults`) ends or hangs a process. Without the feature `failpoints`
//! nothing is left of them.

#[cfg(feature = "failpoints")]
pub use armed::pass;

/// Says that the process is at `point`.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn pass(_point: &str) {}

#[cfg(feature = "failpoints")]
mod armed {
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    /// What `AGENT_FAILPOINT` asks for: `POINT COUNT die|hang FILE`.
    struct Armed {
        point: String,
        /// Passes left until it goes off.
        left: AtomicU32,
        hang: bool,
        /// Written when it goes off.
        file: PathBuf,
    }

    /// Says that the process is at `point`. When it is there for the n-th time and was asked to, it writes the file that it was
    /// given, then dies at once, or hangs until the file is gone.
    pub fn pass(point: &str) {
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        let armed = ARMED.get_or_init(|| armed(&std::env::var("AGENT_FAILPOINT").ok()?));
        let Some(armed) = armed.as_ref().filter(|a| a.point == point) else {
            return;
        };
        if armed.left.fetch_sub(1, Ordering::Relaxed) != 1 || std::fs::write(&armed.file, point).is_err() {
            return;
        }
        if !armed.hang {
            std::process::abort();
        }
        while armed.file.exists() {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn armed(text: &str) -> Option<Armed> {
        let mut words = text.splitn(4, ' ');
        Some(Armed {
            point: words.next()?.to_owned(),
            left: AtomicU32::new(words.next()?.parse().ok()?),
            hang: words.next()? == "hang",
            file: words.next()?.into(),
        })
    }
}
