//! The commands of the GAN lab.

use std::time::Instant;

use training::lab::LabError;
use training::lab::dcgan::{self, MnistError};
use training::lab::mode_collapse::{self, Job, Loss};
use training::lab::seasonality::{self, SeasonalityError};

use crate::cli::{DcganArgs, ModeCollapseArgs, SeasonalityArgs};
use crate::progress::{self, Display};
use crate::{Failure, exit, job, resume_code};

impl From<LabError> for Failure {
    fn from(error: LabError) -> Self {
        let code = match &error {
            LabError::Resume(error) => resume_code(error),
            LabError::Mnist(MnistError::Absent { .. }) => exit::NO_INPUT,
            LabError::Mnist(MnistError::Format { .. }) => exit::DATA,
            LabError::Mnist(MnistError::Read { .. }) | LabError::Write(_) => exit::IO,
            LabError::NotFinite { .. } => exit::INTERNAL,
        };
        Self(code, error.to_string())
    }
}

impl From<SeasonalityError> for Failure {
    fn from(error: SeasonalityError) -> Self {
        match error {
            SeasonalityError::Train(error) => error.into(),
            SeasonalityError::Bundle(error) => Self(exit::DATA, error.to_string()),
        }
    }
}

/// `train mode-collapse`.
pub(crate) fn mode_collapse(args: ModeCollapseArgs) -> Result<(), Failure> {
    let job = Job {
        out: args.out,
        resume: args.resume,
        command: job::command_line(),
        seed: args.seed,
        seeds: args.seeds,
        steps: args.steps,
        look_every: args.look_every,
        batch: args.batch,
        learning_rate: args.learning_rate,
        discriminator_updates: args.discriminator_updates,
        latent: args.latent,
        penalty_weight: args.penalty_weight,
    };
    let started = Instant::now();
    let mut display = Display::new();
    let outcome = mode_collapse::run(&job, |progress| display.show_lab(progress))?;
    display.finish();
    for (number, loss) in Loss::ALL.into_iter().enumerate() {
        println!(
            "{}: {} of {} cover both peaks; {:.0} % at the peaks, distance {:.2} in the mean",
            loss.name(),
            outcome.cover_both[number],
            job.seeds,
            100.0 * outcome.together[number],
            outcome.distance[number]
        );
    }
    println!("{}: {:.0} s", job.out.display(), started.elapsed().as_secs_f64());
    Ok(())
}

/// `train dcgan`.
pub(crate) fn dcgan(args: DcganArgs) -> Result<(), Failure> {
    let job = dcgan::Job {
        resume: args.resume,
        command: job::command_line(),
        seed: args.seed,
        epochs: args.epochs,
        batch: args.batch,
        learning_rate: args.learning_rate,
        ema: args.ema,
        drawings: args.drawings,
        threads: job::threads(args.threads),
        ..dcgan::Job::new(args.mnist, args.out)
    };
    let started = Instant::now();
    let mut display = Display::new();
    let outcome = dcgan::run(&job, |progress| display.show_lab(progress))?;
    display.finish();
    let dcgan::Outcome {
        baseline,
        before,
        after,
    } = outcome;
    println!(
        "classifier: {:.2} % of the test digits right, {:.1} % recognised; Fréchet distance of training digits {:.2}",
        100.0 * baseline.accuracy,
        100.0 * baseline.recognised,
        baseline.frechet
    );
    for (when, judged) in [("before", before), ("after", after)] {
        let shares = judged.recognised.map(|share| format!("{:.1}", 100.0 * share));
        println!("{when}: {}; 0 to 9: {} %", judged.line(), shares.join(" "));
    }
    println!("{}: {:.0} s", job.out.display(), started.elapsed().as_secs_f64());
    Ok(())
}

/// `train seasonality`.
pub(crate) fn seasonality(args: SeasonalityArgs) -> Result<(), Failure> {
    let job = seasonality::Job {
        resume: args.resume,
        command: job::command_line(),
        seed: args.seed,
        warm_up: args.warm_up,
        steps: args.steps,
        threads: job::threads(args.threads),
        ..seasonality::Job::new(args.out)
    };
    let started = Instant::now();
    let mut display = Display::new();
    let outcome = seasonality::run(&job, |progress| display.show(&progress))?;
    display.finish();
    progress::summarise(&job.training(), &outcome.trained, started.elapsed());
    let time = seasonality::time;
    println!("the season changes at {}", time(seasonality::CHANGE));
    for [first, last] in &outcome.found {
        println!("found: {} to {}", time(*first), time(last + 1));
    }
    let run = job.out.display();
    println!(
        "as the agent sees it:\n  agent replay --file {run}/series.csv --labels {run}/labels.json --model {run}/bundle \
         --report {run}/report.html"
    );
    Ok(())
}
