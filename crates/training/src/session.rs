//! A run as it goes: step by step, epoch by epoch, from its start or from where it was left.

use std::time::Instant;

use scorer::manifest::ModelKind;

use crate::batches::Batches;
use crate::course::{CRITICS_LEARN, Course, EPOCH_STEPS, Epoch, Plan, Trouble};
use crate::data::Dataset;
use crate::judge::Judge;
use crate::nets::Nets;
use crate::plot;
use crate::principal::Principal;
use crate::recipe::WeightUnit;
use crate::rng::Streams;
use crate::run_dir::{Past, RunConfig, RunDir};
use crate::train::{Input, Job, Length, TrainError};
use crate::trainer::{CRITIC_UPDATES, Mean, Settings, StepLosses, Trainer};

/// Training windows that nets are set to where they start best from.
const START_WINDOWS: usize = 2_048;

/// A run where it starts or goes on.
pub(crate) struct Session {
    record: RunDir,
    pub(crate) course: Course,
    pub(crate) trainer: Trainer,
    /// Of the losses since the last epoch, and when that ended.
    mean: Mean,
    since: Instant,
    /// The command line of the whole run.
    pub(crate) command: String,
}

impl Session {
    /// One generator step on windows side by side, and what is due after it: an epoch's end, a checkpoint.
    pub(crate) fn step(&mut self, job: &Job, judge: &Judge, x: &[f32]) -> Result<StepLosses, TrainError> {
        let trainer = &mut self.trainer;
        let losses = trainer.step(|inner, slot| slot.copy_from_slice(&x[inner * slot.len()..][..slot.len()]));
        let step = trainer.state.step;
        self.record.log(step, &losses)?;
        if !losses.is_finite() {
            self.record.flush()?;
            return Err(Trouble::NotFinite { step, what: "a loss" }.into());
        }
        self.mean.add(&losses);
        if self.course.ends_epoch(step) {
            self.end_epoch(job, judge)?;
        }
        let kept = self.course.kept().map(|best| best.step);
        if step.is_multiple_of(job.checkpoint_every) || step == self.course.end() || kept == Some(step) {
            self.trainer.sync();
            self.record
                .checkpoint(&self.trainer.nets, &self.trainer.state, kept)?;
        }
        Ok(losses)
    }

    fn end_epoch(&mut self, job: &Job, judge: &Judge) -> Result<(), TrainError> {
        let (trainer, course) = (&mut self.trainer, &mut self.course);
        trainer.sync();
        let step = trainer.state.step;
        let epoch = Epoch {
            step,
            warm_up: step <= course.warm_up(),
            losses: self.mean.take(),
            measures: judge.look(&trainer.nets, &trainer.state.average),
            seconds: self.since.elapsed().as_secs_f64(),
        };
        self.since = Instant::now();
        let verdict = course.take(epoch);
        let plot = plot::draw(&job.name, course, judge);
        self.record.epoch(course.epochs().len(), &epoch, &plot)?;
        verdict?;
        if step == course.warm_up() {
            trainer.set_warm_up(step);
        }
        Ok(())
    }
}

/// Opens the run directory.
pub(crate) fn open(job: &Job, input: &Input<'_>, nets: Nets) -> Result<Session, TrainError> {
    let batches = Batches::new(job.settings.seed, input.data.train_windows().len(), job.a_step());
    let plan = plan(job, batches.steps_per_epoch());
    let config = config(job, input.data, &plan, &nets, batches.shuffled_epochs());
    let (record, past) = if job.resume {
        RunDir::reopen(&job.run, &config, plan, &nets)?
    } else {
        let past = Past {
            command: config.command.clone(),
            state: None,
            course: Course::new(plan),
            since: Vec::new(),
        };
        (RunDir::create(&job.run, &config)?, past)
    };
    let start = input.sample(input.data.train_windows(), START_WINDOWS)?;
    let principal = Principal::of(&start, nets.sizes.window, nets.sizes.latent);
    let unit = match job.weight_unit {
        WeightUnit::One => 1.0,
        WeightUnit::Linear => principal.error,
    };
    let settings = Settings {
        warm_up: past.course.warm_up(),
        reconstruction_weight: job.settings.reconstruction_weight / unit as f32,
        ..job.settings
    };
    let trainer = match (past.state, &job.warm_start) {
        (Some(state), _) => Trainer::with_state(nets, settings, state),
        (None, Some(start)) => Trainer::with_weights(nets, settings, start.weights.clone()),
        (None, None) => {
            let mut weights = nets.init(Streams::new(job.settings.seed));
            nets.start_at(&principal, &mut weights);
            Trainer::with_weights(nets, settings, weights)
        }
    };
    let trainer = if job.gpu { trainer.on_gpu()? } else { trainer };
    let mut mean = Mean::default();
    past.since.iter().for_each(|losses| mean.add(losses));
    Ok(Session {
        record,
        course: past.course,
        trainer,
        mean,
        since: Instant::now(),
        command: past.command,
    })
}

fn plan(job: &Job, pass: usize) -> Plan {
    Plan {
        warm_up: job.settings.warm_up,
        steps: match job.length {
            Length::Steps(steps) => steps.max(1),
            Length::Epochs(epochs) => (epochs * pass).max(1),
        },
        epoch: job
            .epoch_steps
            .unwrap_or_else(|| pass.clamp(*EPOCH_STEPS.start(), *EPOCH_STEPS.end())),
        patience: job.patience,
        learn: match job.sizes.model() {
            ModelKind::Tadgan => CRITICS_LEARN,
            ModelKind::Aer => 0,
        },
        window: job.sizes.window,
        latent: job.sizes.latent,
    }
}

fn config(job: &Job, data: &Dataset, plan: &Plan, nets: &Nets, shuffled_epochs: bool) -> RunConfig {
    RunConfig {
        command: job.command.clone(),
        seed: job.settings.seed,
        architecture: job.architecture.clone(),
        warm_start: job.warm_start.as_ref().map(|start| start.hash.clone()),
        steps: plan.steps,
        warm_up: plan.warm_up,
        epoch_steps: plan.epoch,
        patience: plan.patience,
        reconstruction_weight: job.settings.reconstruction_weight,
        weight_unit: job.weight_unit,
        final_rate: job.settings.final_rate,
        learning_rate: job.settings.learning_rate,
        dropout: job.settings.dropout,
        huber: job.settings.huber,
        denoise: job.settings.denoise.map_or(0.0, |denoise| denoise.share),
        batch: job.settings.batch,
        gpu: job.gpu,
        windows: data.train_windows().len(),
        interval: data.interval,
        scaler: job.scaler,
        shuffled_epochs,
        average: job.settings.average,
        sizes: nets.architecture(&job.architecture).sizes,
        data: data.hashes.clone(),
    }
}

impl Job {
    /// Windows of a generator step.
    pub(crate) fn a_step(&self) -> usize {
        match self.sizes.model() {
            ModelKind::Tadgan => self.settings.batch * CRITIC_UPDATES,
            ModelKind::Aer => self.settings.batch,
        }
    }
}
