//! The course of a run: its epochs, which of them is best, when enough is enough, and when something went wrong.
//!
//! An epoch is a pass over the data, but not shorter or longer than [`EPOCH_STEPS`]. Everything here is a function of the rows of
//! `epochs.csv`, so that going on from a checkpoint needs no state beside them.
//!
//! - The best epoch is the one with the smallest held-out error, of those after the critics have learned for
//!   [`CRITICS_LEARN`] generator steps; when there is none, the last. The warm-up's do not count: its critics know
//!   nothing.
//! - Without an improvement of at least [`IMPROVEMENT`] over `patience` epochs the warm-up ends early, and after it
//!   the run; patience 0 waits for ever.

use std::ops::RangeInclusive;

use crate::judge::{Judge, Measures};
use crate::nets::NAMES;
use crate::trainer::StepLosses;

/// Bounds of the generator steps of an epoch.
pub const EPOCH_STEPS: RangeInclusive<usize> = 50..=500;

/// Share of the held-out error by which an epoch has to be better to count as an improvement.
pub const IMPROVEMENT: f64 = 0.01;

/// Generator steps after the warm-up before an epoch may be the best.
pub const CRITICS_LEARN: usize = 200;

/// A critic that keeps to its penalty is 1-Lipschitz, so its estimate is at most the mean distance of real and fake;
/// one that says this many times as much has blown up.
const CRITIC_BLOWN_UP: f64 = 10.0;

/// Gradients this many times the median of the phase's earlier epochs have blown up.
const GRADIENT_BLOWN_UP: f64 = 1_000.0;

/// Earlier epochs that such a median needs.
const GRADIENT_EPOCHS: usize = 5;

/// Mean squared deviation from the median, the nets' units, up to which a series counts as constant.
const CONSTANT: f64 = 1e-6;

/// Spread of reconstructions below which they are a constant.
const NO_SPREAD: f64 = 1e-3;

/// How a run is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Generator steps on the reconstruction alone, at most.
    pub warm_up: usize,
    /// Generator steps after them, at most.
    pub steps: usize,
    /// Generator steps of an epoch.
    pub epoch: usize,
    /// Epochs without an improvement that end a phase; 0: none do.
    pub patience: usize,
    /// Steps after the warm-up before an epoch may be the best; [`CRITICS_LEARN`] where there are critics.
    pub learn: usize,
    /// Length of a window.
    pub window: usize,
    /// Width of the latent space.
    pub latent: usize,
}

/// One row of `epochs.csv`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    /// Generator steps done at its end.
    pub step: usize,
    /// Whether it belongs to the warm-up.
    pub warm_up: bool,
    /// Means over its steps.
    pub losses: StepLosses,
    /// What its averaged weights are worth.
    pub measures: Measures,
    /// Wall time.
    pub seconds: f64,
}

/// What went wrong, and what to try.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Trouble {
    /// Numbers overflowed.
    #[error(
        "training diverged at generator step {step}: {what} is not finite; {}",
        ADVICE
    )]
    NotFinite {
        /// Generator steps done.
        step: usize,
        /// Which number.
        what: &'static str,
    },
    /// A critic's penalty no longer holds it.
    #[error(
        "training diverged at generator step {step}: {critic} puts real and generated {estimate:.3e} apart \
         where {possible:.3e} is possible; {}",
        ADVICE
    )]
    Critic {
        /// Generator steps done.
        step: usize,
        /// Which critic.
        critic: &'static str,
        /// Its Wasserstein estimate.
        estimate: f64,
        /// The largest honest one.
        possible: f64,
    },
    /// Gradients exploded.
    #[error(
        "training diverged at generator step {step}: the gradient of {net} is {norm:.3e}, which was {usual:.3e}; {}",
        ADVICE
    )]
    Gradient {
        /// Generator steps done.
        step: usize,
        /// Which net.
        net: &'static str,
        /// Its norm, mean of the epoch.
        norm: f64,
        /// Median of earlier epochs.
        usual: f64,
    },
    /// The nets learned nothing, or lost it.
    #[error(
        "the nets give no more than a constant after generator step {step}: mean squared error {error:.3e} on what \
         they trained on, {constant:.3e} for its median; train longer (--warm-up, --steps), give the reconstruction \
         more weight (--reconstruction-weight), or take the bundle as it is (--accept-poor)"
    )]
    Saturated {
        /// Generator steps done.
        step: usize,
        /// Training error.
        error: f64,
        /// Constant error of the training windows.
        constant: f64,
    },
}

const ADVICE: &str = "try a lower --learning-rate, --no-dropout or another --seed";

/// The course so far.
#[derive(Clone, Debug)]
pub struct Course {
    plan: Plan,
    epochs: Vec<Epoch>,
    warm_up: usize,
    /// Held-out error that the next improvement is measured from, and epochs since it was reached.
    mark: (f64, usize),
    best: Option<Epoch>,
    stopped: bool,
}

impl Course {
    /// Nothing done yet.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self {
            warm_up: plan.warm_up,
            plan,
            epochs: Vec::new(),
            mark: (f64::INFINITY, 0),
            best: None,
            stopped: false,
        }
    }

    /// Epochs done.
    #[must_use]
    pub fn epochs(&self) -> &[Epoch] {
        &self.epochs
    }

    /// Generator steps of the warm-up, as far as is known.
    #[must_use]
    pub fn warm_up(&self) -> usize {
        self.warm_up
    }

    /// Generator steps in all, as far as is known.
    #[must_use]
    pub fn end(&self) -> usize {
        match self.epochs.last() {
            Some(last) if self.stopped => last.step,
            _ => self.warm_up + self.plan.steps,
        }
    }

    /// Whether the run ended before its planned end.
    #[must_use]
    pub fn stopped_early(&self) -> bool {
        self.stopped
    }

    /// Whether an epoch ends with generator step `step`.
    #[must_use]
    pub fn ends_epoch(&self, step: usize) -> bool {
        self.is_regular(step) || step == self.warm_up || step == self.end()
    }

    /// Whether an epoch of full length ends with `step`: one that does not depend on how long the run is to be.
    fn is_regular(&self, step: usize) -> bool {
        let phase = if step <= self.warm_up { 0 } else { self.warm_up };
        step > phase && (step - phase).is_multiple_of(self.plan.epoch)
    }

    /// The epoch whose weights are worth keeping, were this the end.
    #[must_use]
    pub fn best(&self) -> Option<&Epoch> {
        let last = self.epochs.last();
        match (&self.best, last) {
            (Some(best), Some(last)) if self.counts(last) && better(last, best) => Some(last),
            (Some(best), _) => Some(best),
            (None, last) => last,
        }
    }

    /// The best epoch of full length: what is worth keeping when the run goes on.
    #[must_use]
    pub fn kept(&self) -> Option<&Epoch> {
        self.best.as_ref()
    }

    /// Takes an epoch in.
    ///
    /// # Errors
    /// When it shows that training diverged.
    pub fn take(&mut self, epoch: Epoch) -> Result<(), Trouble> {
        let trouble = self.divergence(&epoch);
        self.epochs.push(epoch);
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        if epoch.step > self.warm_up && !(self.counts(&epoch) && self.is_regular(epoch.step)) {
            return Ok(());
        }
        let error = epoch.measures.held_out_error;
        if error < (1.0 - IMPROVEMENT) * self.mark.0 {
            self.mark = (error, 0);
        } else {
            self.mark.1 += 1;
        }
        let tired = self.plan.patience > 0 && self.mark.1 >= self.plan.patience;
        if epoch.step <= self.warm_up {
            if tired || epoch.step == self.warm_up {
                self.warm_up = epoch.step;
                self.mark = (f64::INFINITY, 0);
            }
        } else {
            if self.best.as_ref().is_none_or(|best| better(&epoch, best)) {
                self.best = Some(epoch);
            }
            self.stopped = tired;
        }
        Ok(())
    }

    fn counts(&self, epoch: &Epoch) -> bool {
        epoch.step >= self.warm_up + self.plan.learn.max(1)
    }

    fn divergence(&self, epoch: &Epoch) -> Option<Trouble> {
        let (step, measures, losses) = (epoch.step, &epoch.measures, &epoch.losses);
        if !(measures.training_error + measures.held_out_error + measures.latent).is_finite() {
            let what = "a weight";
            return Some(Trouble::NotFinite { step, what });
        }
        // Scaled windows lie in [-1, 1]; latents of the prior have a length of about the root of their width.
        let (window, latent) = ((self.plan.window as f64).sqrt(), (self.plan.latent as f64).sqrt());
        let critics = [
            (
                "the critic of windows",
                losses.critic_x.wasserstein(),
                2.0 * window,
            ),
            (
                "the critic of latents",
                losses.critic_z.wasserstein(),
                latent * (1.0 + measures.latent),
            ),
        ];
        for (critic, estimate, possible) in critics {
            if estimate.abs() > CRITIC_BLOWN_UP * possible {
                return Some(Trouble::Critic {
                    step,
                    critic,
                    estimate,
                    possible,
                });
            }
        }
        let phase = self.epochs.iter().filter(|past| past.warm_up == epoch.warm_up);
        for ((k, net), norm) in NAMES.into_iter().enumerate().zip(losses.gradients) {
            let past: Vec<f64> = phase.clone().map(|past| past.losses.gradients[k]).collect();
            let usual = scorer::normalise::median(&past);
            if past.len() >= GRADIENT_EPOCHS && norm > GRADIENT_BLOWN_UP * usual.max(1e-3) {
                return Some(Trouble::Gradient {
                    step,
                    net,
                    norm,
                    usual,
                });
            }
        }
        None
    }
}

/// Whether nets that were judged give no more than a constant. A constant series is the exception: nothing else is
/// right there.
///
/// # Errors
/// When they do.
pub fn check_worth(judge: &Judge, epoch: &Epoch) -> Result<(), Trouble> {
    let (measures, constant) = (&epoch.measures, judge.training_constant);
    let useless = measures.training_error >= constant && measures.held_out_error >= judge.held_out_constant;
    if constant > CONSTANT && (useless || measures.spread < NO_SPREAD) {
        return Err(Trouble::Saturated {
            step: epoch.step,
            error: measures.training_error,
            constant,
        });
    }
    Ok(())
}

fn better(a: &Epoch, b: &Epoch) -> bool {
    a.measures.held_out_error < b.measures.held_out_error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::{Nets, Sizes};

    const PLAN: Plan = Plan {
        warm_up: 100,
        steps: 400,
        epoch: 10,
        patience: 3,
        learn: 20,
        window: 100,
        latent: 20,
    };

    fn epoch(step: usize, held_out_error: f64) -> Epoch {
        Epoch {
            step,
            warm_up: false,
            losses: StepLosses::default(),
            measures: Measures {
                training_error: 0.1,
                held_out_error,
                diversity: 1.0,
                spread: 1.0,
                latent: 1.0,
            },
            seconds: 0.0,
        }
    }

    fn course(plan: Plan, errors: impl IntoIterator<Item = f64>) -> Course {
        let mut course = Course::new(plan);
        for error in errors {
            let next = course.epochs().last().map_or(0, |last| last.step) + plan.epoch;
            course.take(epoch(next, error)).unwrap();
        }
        course
    }

    #[test]
    fn the_warm_up_ends_early_without_improvement_and_its_epochs_are_never_best() {
        let course = course(PLAN, [0.5, 0.1, 0.1, 0.0999, 0.2, 0.9, 0.8, 0.85]);
        assert_eq!((course.warm_up(), course.end()), (50, 450));
        // The critics know enough from step 70 on; the best of 70 and 80 is 70.
        assert_eq!(course.best().unwrap().step, 70);
        assert!(course.ends_epoch(60) && !course.ends_epoch(65) && course.ends_epoch(450));
    }

    #[test]
    fn the_run_ends_early_without_improvement() {
        let plan = Plan { warm_up: 0, ..PLAN };
        let mut run = course(plan, [9.0, 0.5, 0.4, 0.399, 0.398]);
        assert!(!run.stopped_early());
        run.take(epoch(60, 0.41)).unwrap();
        assert!(run.stopped_early());
        assert_eq!((run.end(), run.best().unwrap().step), (60, 50));
        let patient = Plan { patience: 0, ..plan };
        assert!(!course(patient, [1.0; 30]).stopped_early());
    }

    #[test]
    fn a_short_last_epoch_may_be_best_but_not_for_a_run_that_goes_on() {
        let plan = Plan {
            warm_up: 0,
            steps: 35,
            ..PLAN
        };
        let mut course = course(plan, [0.5, 0.4, 0.3]);
        assert!(course.ends_epoch(35));
        course.take(epoch(35, 0.2)).unwrap();
        assert_eq!(course.best().unwrap().step, 35);
        assert_eq!(course.kept().unwrap().step, 30);
    }

    #[test]
    fn divergence_has_a_clear_word() {
        let mut bad = epoch(10, f64::NAN);
        let message = |epoch| Course::new(PLAN).take(epoch).unwrap_err().to_string();
        assert!(message(bad).contains("at generator step 10: a weight is not finite"));
        bad = epoch(10, 0.1);
        bad.losses.critic_x.real = -201.0;
        assert!(
            message(bad)
                .contains("the critic of windows puts real and generated 2.010e2 apart where 2.000e1")
        );
        bad.losses.critic_x.real = -199.0;
        assert_eq!(Course::new(PLAN).take(bad), Ok(()));
        let mut course = Course::new(PLAN);
        for step in 1..=6 {
            let mut calm = epoch(10 * step, 0.1);
            calm.losses.gradients = [0.1, 1.0, 1.0, 1.0];
            course.take(calm).unwrap();
        }
        let mut wild = epoch(70, 0.1);
        wild.losses.gradients = [99.0, 1001.0, 1.0, 1.0];
        let trouble = course.take(wild).unwrap_err();
        assert!(
            matches!(trouble, Trouble::Gradient { net: "generator", .. }),
            "{trouble}"
        );
    }

    #[test]
    fn a_constant_is_worth_nothing_unless_the_series_is_one() {
        let nets = Nets::new(Sizes::small());
        let judge = |windows: Vec<f32>| Judge::new(&nets, 1, 1, windows.clone(), windows);
        // Mostly 0, at times 1: the mean, which is constant, has a smaller error than the median.
        let spikes = judge((0..1000).map(|k| f32::from(u8::from(k % 10 == 0))).collect());
        let measured = |training_error: f64, spread: f64| {
            let mut epoch = epoch(10, training_error);
            epoch.measures.training_error = training_error;
            epoch.measures.spread = spread;
            epoch
        };
        assert!((spikes.training_constant - 0.1).abs() < 1e-9);
        assert_eq!(check_worth(&spikes, &measured(0.05, 0.5)), Ok(()));
        assert!(check_worth(&spikes, &measured(0.09, 1e-4)).is_err());
        assert!(check_worth(&spikes, &measured(0.11, 0.5)).is_err());
        // On held-out windows alone it may be worse: the series may have changed.
        let mut changed = measured(0.05, 0.5);
        changed.measures.held_out_error = 0.5;
        assert_eq!(check_worth(&spikes, &changed), Ok(()));
        assert_eq!(
            check_worth(&judge(vec![0.3; 1000]), &measured(1e-5, f64::NAN)),
            Ok(())
        );
    }
}
