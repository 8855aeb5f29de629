//! What a person sees of a run: a bar on a terminal, a line an epoch elsewhere, and a summary.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use training::course::Epoch;
use training::judge::COLLAPSED;
use training::plot::short;
use training::train::{Job, Outcome, Progress};

/// Shows progress on standard error.
pub(crate) struct Display {
    /// `None` where standard error is no terminal.
    bar: Option<ProgressBar>,
    started: Instant,
    /// Work that was done before this process began.
    before: Option<usize>,
}

impl Display {
    pub(crate) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let style = "{elapsed_precise} [{wide_bar}] {msg}, {eta} left";
            match ProgressStyle::with_template(style) {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        Self {
            bar,
            started: Instant::now(),
            before: None,
        }
    }

    pub(crate) fn show(&mut self, progress: &Progress<'_>) {
        let step = format!("step {}/{}", progress.step, progress.course.end());
        let last = progress.course.epochs().last();
        // Short, so that there is room for a bar on a narrow terminal.
        let worth = last.map_or(String::new(), |epoch| {
            format!(", error {}", short(epoch.measures.held_out_error))
        });
        let number = progress.course.epochs().len();
        let line = progress
            .epoch
            .map(|epoch| format!("epoch {number}: {step}, {}", line(epoch)));
        self.advance(progress.work(), format!("{step}{worth}"), line.as_deref());
    }

    pub(crate) fn show_lab(&mut self, progress: training::lab::Progress<'_>) {
        let step = format!("step {}/{}", progress.done, progress.work);
        self.advance((progress.done, progress.work), step, progress.line);
    }

    /// Moves the bar, or writes the line where there is none.
    fn advance(&mut self, (done, work): (usize, usize), message: String, line: Option<&str>) {
        if let Some(bar) = &self.bar {
            bar.set_length(work as u64);
            if self.before.is_none() {
                bar.set_position(done as u64);
                bar.reset_eta();
            }
            bar.set_position(done as u64);
            bar.set_message(message);
        }
        let before = *self.before.get_or_insert(done.saturating_sub(1));
        if let (None, Some(line)) = (&self.bar, line) {
            let share = (work - done) as f64 / (done - before).max(1) as f64;
            let left = self.started.elapsed().mul_f64(share);
            eprintln!("{line}, {} left", HumanDuration(left));
        }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(epoch: &Epoch) -> String {
    let m = &epoch.measures;
    let mut line = format!(
        "error {} (held out {}){}",
        short(m.training_error),
        short(m.held_out_error),
        diversity(epoch)
    );
    let critics_learn = epoch.losses.gradients[2] > 0.0;
    if critics_learn {
        let (x, z) = (
            epoch.losses.critic_x.wasserstein(),
            epoch.losses.critic_z.wasserstein(),
        );
        line += &format!(", Wasserstein {x:.3} and {z:.3}");
    }
    line
}

/// Diversity of G(z), where there is a prior to draw z from.
fn diversity(epoch: &Epoch) -> String {
    let diversity = epoch.measures.diversity;
    if diversity.is_finite() {
        format!(", diversity {diversity:.2}")
    } else {
        String::new()
    }
}

/// What came of it, on standard output, and what is worth a second look.
pub(crate) fn summarise(job: &Job, outcome: &Outcome, spent: Duration) {
    let Outcome { best, manifest, .. } = outcome;
    let ratio = best.measures.held_out_error / outcome.held_out_constant;
    println!(
        "{}: {} steps{} in {:.0} s, best at {}; held-out error {}, {} of the constant median's; \
         median error at lag 0 {:.4} of a half range{}",
        job.out.display(),
        outcome.steps,
        if outcome.stopped_early {
            " (no improvement any more)"
        } else {
            ""
        },
        spent.as_secs_f64(),
        best.step,
        short(best.measures.held_out_error),
        short(ratio),
        manifest
            .calibration
            .first()
            .map_or(f64::NAN, |lag| lag.error_median),
        diversity(best),
    );
    if ratio >= 1.0 && outcome.held_out_constant > 0.0 {
        eprintln!(
            "note: on held-out windows the nets are no better than a constant; the series may have changed"
        );
    }
    if best.measures.diversity < COLLAPSED {
        eprintln!("note: the generator has collapsed: it draws nearly the same whatever it is given");
    }
}
