//! The training loop's inner part: nets, optimisers and one generator step after another.
//!
//! A batch is cut into shards of [`SHARD`] samples that are computed apart and summed in order, so the weights depend
//! on the seed and never on how many threads did the work.

use rand_chacha::ChaCha8Rng;

use scorer::manifest::ModelKind;

use crate::adam;
use crate::denoise::Denoise;
use crate::gpu::{Gpu, GpuError};
use crate::nets::{Nets, Weights};
use crate::rng::{self, Purpose, Streams};
use crate::steps::{Batch, CriticLoss, GeneratorLoss, LOSS_WEIGHT, Workspace};

/// Samples of a shard.
pub const SHARD: usize = 32;

/// Updates of each critic before one of the generator.
pub const CRITIC_UPDATES: usize = 5;

/// What one generator step reports: means over its critic updates, and its own loss.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepLosses {
    /// Critic of windows.
    pub critic_x: CriticLoss,
    /// Critic of latents.
    pub critic_z: CriticLoss,
    /// Encoder and generator.
    pub generator: GeneratorLoss,
    /// L2 norm of each net's gradient, mean over its updates in the step, in the order of [`crate::nets::NAMES`];
    /// 0 for a net that was left alone.
    pub gradients: [f64; 4],
}

impl StepLosses {
    /// Whether every loss is a number.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        [self.critic_x.total(), self.critic_z.total(), self.generator.total]
            .iter()
            .all(|loss| loss.is_finite())
    }
}

/// Means over steps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mean {
    sum: StepLosses,
    steps: usize,
}

impl Mean {
    /// Takes a step in.
    pub fn add(&mut self, losses: &StepLosses) {
        self.sum.critic_x.add(losses.critic_x);
        self.sum.critic_z.add(losses.critic_z);
        self.sum.generator.add(losses.generator);
        let gradients = self.sum.gradients.iter_mut().zip(losses.gradients);
        gradients.for_each(|(sum, norm)| *sum += norm);
        self.steps += 1;
    }

    /// The means so far; starts anew.
    pub fn take(&mut self) -> StepLosses {
        let Self { sum, steps } = std::mem::take(self);
        let share = 1.0 / steps.max(1) as f64;
        StepLosses {
            critic_x: sum.critic_x.scaled(share),
            critic_z: sum.critic_z.scaled(share),
            generator: sum.generator.scaled(share),
            gradients: sum.gradients.map(|norm| norm * share),
        }
    }
}

/// Everything that training changes, and so everything that a checkpoint holds.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Generator steps done; with the seed, also the position of all randomness.
    pub step: usize,
    /// The weights.
    pub weights: Weights,
    /// Adam's first moments.
    pub first: Weights,
    /// Adam's second moments.
    pub second: Weights,
    /// Exponential moving average of the weights; what bundles are made of.
    pub average: Weights,
}

/// Settings of the loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The one seed.
    pub seed: u64,
    /// Samples of a batch.
    pub batch: usize,
    /// Adam's rate.
    pub learning_rate: f64,
    /// Decay a generator step of the average of the weights; 0 makes it the weights themselves.
    pub average: f64,
    /// Generator steps at the start that learn the reconstruction alone; 0 in the reference.
    pub warm_up: usize,
    /// Weight of the mean reconstruction loss; 10 in the reference.
    pub reconstruction_weight: f32,
    /// Error in the nets' units from which on the reconstruction loss grows with it, and no longer with its square; 0, as in the
    /// reference: nowhere. See [`crate::steps`].
    pub huber: f64,
    /// Share of the rate that encoder and generator keep after the warm-up; 1 in the reference.
    pub final_rate: f64,
    /// Generator steps over which their rate falls to that share, linearly, in the warm-up; 0: none.
    pub falls_over: usize,
    /// Whether dropout acts in training, as in the reference.
    pub dropout: bool,
    /// Jumps that encoder and generator are to rebuild windows without; not on a GPU.
    pub denoise: Option<Denoise>,
    /// Threads that work on a batch.
    pub threads: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 0,
            batch: 64,
            learning_rate: adam::LEARNING_RATE,
            average: 0.0,
            warm_up: 0,
            reconstruction_weight: LOSS_WEIGHT,
            huber: 0.0,
            final_rate: 1.0,
            falls_over: 0,
            dropout: true,
            denoise: None,
            threads: 1,
        }
    }
}

impl Settings {
    /// See [`Batch::bend`].
    fn bend(&self) -> f32 {
        if self.huber > 0.0 {
            self.huber.recip() as f32
        } else {
            0.0
        }
    }
}

/// Nets in training.
#[derive(Debug)]
pub struct Trainer {
    /// The nets' shapes.
    pub nets: Nets,
    /// Weights, moments, position.
    pub state: State,
    settings: Settings,
    streams: Streams,
    shards: Vec<Workspace>,
    gpu: Option<Gpu>,
}

/// Which nets an update changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Update {
    CriticX,
    CriticZ,
    Generator,
    Reconstruction,
    Prediction,
}

impl Update {
    /// The nets that change, by their places in [`crate::nets::NAMES`].
    pub(crate) fn nets(self) -> &'static [usize] {
        match self {
            Self::CriticX => &[2],
            Self::CriticZ => &[3],
            Self::Generator | Self::Reconstruction | Self::Prediction => &[0, 1],
        }
    }

    /// Where its dropout comes from.
    pub(crate) fn purpose(self) -> Purpose {
        match self {
            Self::CriticX => Purpose::DropoutX,
            Self::CriticZ => Purpose::DropoutZ,
            Self::Generator | Self::Reconstruction | Self::Prediction => Purpose::DropoutG,
        }
    }
}

impl Trainer {
    /// Fresh nets.
    #[must_use]
    pub fn new(nets: Nets, settings: Settings) -> Self {
        let weights = nets.init(Streams::new(settings.seed));
        Self::with_weights(nets, settings, weights)
    }

    /// Starts from weights.
    #[must_use]
    pub fn with_weights(nets: Nets, settings: Settings, weights: Weights) -> Self {
        let mut zeros = weights.clone();
        zeros.nets_mut().into_iter().for_each(|net| net.fill(0.0));
        let state = State {
            step: 0,
            average: weights.clone(),
            weights,
            first: zeros.clone(),
            second: zeros,
        };
        Self::with_state(nets, settings, state)
    }

    /// Goes on from a checkpoint.
    #[must_use]
    pub fn with_state(nets: Nets, settings: Settings, state: State) -> Self {
        let shards = settings.batch.div_ceil(SHARD);
        Self {
            shards: (0..shards).map(|_| Workspace::new(&nets)).collect(),
            streams: Streams::new(settings.seed),
            nets,
            state,
            settings,
            gpu: None,
        }
    }

    /// Goes on on a GPU.
    ///
    /// # Errors
    /// When there is none that can train these nets.
    pub fn on_gpu(mut self) -> Result<Self, GpuError> {
        self.gpu = Some(Gpu::new(&self.nets, &self.state, self.settings.batch)?);
        self.shards.clear();
        Ok(self)
    }

    /// The GPU that works, as its driver calls it.
    #[must_use]
    pub fn gpu_name(&self) -> Option<&str> {
        self.gpu.as_ref().map(Gpu::name)
    }

    /// Brings `state` up to date, where a GPU holds it. Until then only its step is.
    pub fn sync(&mut self) {
        if let Some(gpu) = &self.gpu {
            gpu.download(&mut self.state);
        }
    }

    /// One generator step. `fill` writes the windows of critic update 0, 1, …, each `[batch, window]`.
    ///
    /// For each of five batches an update of Cx, then of Cz with the same windows and latents; then one of E and G with
    /// the last. In the warm-up only one of E and G, on the reconstruction. AER has nothing but such steps, on its own
    /// loss.
    pub fn step(&mut self, fill: impl FnMut(usize, &mut [f32])) -> StepLosses {
        let losses = match self.nets.sizes.model() {
            ModelKind::Aer => self.single_step(Update::Prediction, fill),
            ModelKind::Tadgan if self.state.step < self.settings.warm_up => {
                self.single_step(Update::Reconstruction, fill)
            }
            ModelKind::Tadgan => self.whole_step(fill),
        };
        self.state.step += 1;
        self.follow();
        losses
    }

    /// Sets the generator steps of the warm-up: it may end earlier than it was to, but not before what was done.
    pub fn set_warm_up(&mut self, steps: usize) {
        self.settings.warm_up = steps;
    }

    fn single_step(&mut self, update: Update, mut fill: impl FnMut(usize, &mut [f32])) -> StepLosses {
        let batch = self.settings.batch;
        let mut x = vec![0.0; batch * self.nets.sizes.window];
        fill(0, &mut x);
        // No latents are drawn and nothing is interpolated, but shards are cut from all three alike.
        let (z, alpha) = (vec![0.0; batch * self.nets.sizes.latent], vec![0.0; batch]);
        let mut losses = StepLosses::default();
        let parts = self.update(update, self.state.step, (&x, &z, &alpha), &mut losses.gradients);
        parts.into_iter().for_each(|part| losses.generator.add(part.1));
        losses
    }

    fn whole_step(&mut self, mut fill: impl FnMut(usize, &mut [f32])) -> StepLosses {
        let (batch, sizes) = (self.settings.batch, &self.nets.sizes);
        let mut x = vec![0.0; batch * sizes.window];
        let mut z = vec![0.0; batch * sizes.latent];
        let mut alpha = vec![0.0; batch];
        let mut losses = StepLosses::default();
        for inner in 0..CRITIC_UPDATES {
            let number = self.state.step * CRITIC_UPDATES + inner;
            fill(inner, &mut x);
            rng::normals(&mut self.streams.stream(Purpose::Latents, number, 0), &mut z);
            let mut alphas = self.streams.stream(Purpose::Alphas, number, 0);
            for (update, sum) in [
                (Update::CriticX, &mut losses.critic_x),
                (Update::CriticZ, &mut losses.critic_z),
            ] {
                alpha.fill_with(|| rng::uniform(&mut alphas));
                for part in self.update(update, number, (&x, &z, &alpha), &mut losses.gradients) {
                    sum.add(part.0.scaled(1.0 / CRITIC_UPDATES as f64));
                }
            }
        }
        let parts = self.update(
            Update::Generator,
            self.state.step,
            (&x, &z, &alpha),
            &mut losses.gradients,
        );
        parts.into_iter().for_each(|part| losses.generator.add(part.1));
        losses
    }

    /// Computes the shards' gradients, sums them in order and lets Adam act; returns the shards' losses, and adds to the
    /// norms.
    fn update(
        &mut self,
        update: Update,
        number: usize,
        (x, z, alpha): (&[f32], &[f32], &[f32]),
        norms: &mut [f64; 4],
    ) -> Vec<(CriticLoss, GeneratorLoss)> {
        if let Some(gpu) = &self.gpu {
            let batch = Batch {
                x,
                asked: x,
                z,
                alpha,
                whole: alpha.len(),
                reconstruction_weight: self.settings.reconstruction_weight,
                bend: self.settings.bend(),
            };
            let (count, share) = self.count(update, number);
            let rate = adam::corrected(count, self.rate(update));
            let streams = self.settings.dropout.then_some(self.streams);
            let (critic, generator, own) = gpu.update(update, batch, streams, number, rate);
            norms
                .iter_mut()
                .zip(own)
                .for_each(|(norm, own)| *norm += share * own);
            return vec![(critic, generator)];
        }
        let (nets, weights, streams) = (&self.nets, &self.state.weights, self.streams);
        let (window, latent) = (nets.sizes.window, nets.sizes.latent);
        let (reconstruction_weight, bend) = (self.settings.reconstruction_weight, self.settings.bend());
        let dropout = self.settings.dropout;
        let spoilt = self.spoilt(update, number, x);
        let (x, asked) = spoilt.as_ref().map_or((x, x), |(seen, asked)| (seen, asked));
        let run = |shard: usize, workspace: &mut Workspace| {
            let from = shard * SHARD;
            let to = (from + SHARD).min(alpha.len());
            let batch = Batch {
                x: &x[from * window..to * window],
                asked: &asked[from * window..to * window],
                z: &z[from * latent..to * latent],
                alpha: &alpha[from..to],
                whole: alpha.len(),
                reconstruction_weight,
                bend,
            };
            let dropout = dropout.then(|| streams.stream(update.purpose(), number, shard));
            run_shard(update, nets, weights, batch, workspace, dropout)
        };
        let threads = self.settings.threads.clamp(1, self.shards.len());
        let per_thread = self.shards.len().div_ceil(threads);
        let mut losses = vec![Default::default(); self.shards.len()];
        std::thread::scope(|scope| {
            let groups = self
                .shards
                .chunks_mut(per_thread)
                .zip(losses.chunks_mut(per_thread));
            for (group, (workspaces, losses)) in groups.enumerate() {
                let work = move || {
                    for (k, (workspace, loss)) in workspaces.iter_mut().zip(losses).enumerate() {
                        *loss = run(group * per_thread + k, workspace);
                    }
                };
                if threads == 1 {
                    work();
                } else {
                    scope.spawn(work);
                }
            }
        });
        self.apply(update, number, norms);
        losses
    }

    /// The windows with jumps at their ends and what they are to become, where an update is to learn from them.
    fn spoilt(&self, update: Update, number: usize, x: &[f32]) -> Option<(Vec<f32>, Vec<f32>)> {
        let rebuilds = matches!(update, Update::Generator | Update::Reconstruction);
        let denoise = self.settings.denoise.filter(|_| rebuilds)?;
        let mut seen = x.to_vec();
        let mut rng = self.streams.stream(Purpose::Denoise, number, 0);
        let asked = denoise.spoil(&mut rng, self.nets.sizes.window, &mut seen);
        Some((seen, asked))
    }

    /// Adam's rate for an update. What the warm-up reached is fine work, which a full rate would undo.
    fn rate(&self, update: Update) -> f64 {
        let settings = &self.settings;
        let done = match update {
            Update::CriticX | Update::CriticZ | Update::Prediction => 0.0,
            Update::Reconstruction if settings.falls_over == 0 => 0.0,
            Update::Reconstruction => (self.state.step as f64 / settings.falls_over as f64).min(1.0),
            Update::Generator => 1.0,
        };
        settings.learning_rate * (1.0 - done * (1.0 - settings.final_rate))
    }

    /// The number of an update for its optimiser, from 1, and its share in the generator step.
    fn count(&self, update: Update, number: usize) -> (u64, f64) {
        // Each of the three optimisers counts its own updates; the critics' begin after the warm-up.
        match update {
            Update::CriticX | Update::CriticZ => {
                let before = self.settings.warm_up * CRITIC_UPDATES;
                ((number - before) as u64 + 1, 1.0 / CRITIC_UPDATES as f64)
            }
            Update::Generator | Update::Reconstruction | Update::Prediction => (number as u64 + 1, 1.0),
        }
    }

    /// Sums the shards' gradients into the first shard's, updates the weights that `update` is about, and clears.
    fn apply(&mut self, update: Update, number: usize, norms: &mut [f64; 4]) {
        let (count, share) = self.count(update, number);
        let rate = self.rate(update);
        let state = &mut self.state;
        let weights = state.weights.nets_mut();
        let (first, second) = (state.first.nets_mut(), state.second.nets_mut());
        for &net in update.nets() {
            let (sum, others) = self.shards.split_at_mut(1);
            let sum = &mut *sum[0].grads.nets_mut()[net];
            for other in others {
                let other = &mut *other.grads.nets_mut()[net];
                sum.iter_mut().zip(&*other).for_each(|(sum, g)| *sum += g);
                other.fill(0.0);
            }
            let square: f64 = sum.iter().map(|g| f64::from(*g).powi(2)).sum();
            norms[net] += share * square.sqrt();
            adam::update(count, rate, sum, first[net], second[net], weights[net]);
            sum.fill(0.0);
        }
    }

    /// Lets the average follow the weights, faster at first so that it soon forgets where they started; the critics
    /// start when the warm-up ends.
    fn follow(&mut self) {
        let critics = self.state.step.saturating_sub(self.settings.warm_up);
        let steps = [self.state.step, self.state.step, critics, critics];
        let keep = steps
            .map(|steps| steps as f64)
            .map(|steps| self.settings.average.min((1.0 + steps) / (10.0 + steps)) as f32);
        if let Some(gpu) = &self.gpu {
            return gpu.follow(keep);
        }
        let nets = self.state.weights.nets();
        for ((average, weights), keep) in self.state.average.nets_mut().into_iter().zip(nets).zip(keep) {
            for (a, w) in average.iter_mut().zip(weights) {
                *a = keep * *a + (1.0 - keep) * w;
            }
        }
    }
}

fn run_shard(
    update: Update,
    nets: &Nets,
    weights: &Weights,
    batch: Batch<'_>,
    workspace: &mut Workspace,
    mut dropout: Option<ChaCha8Rng>,
) -> (CriticLoss, GeneratorLoss) {
    let dropout = dropout.as_mut();
    let (mut critic, mut generator) = Default::default();
    match update {
        Update::CriticX => critic = workspace.critic_x(nets, weights, batch, dropout),
        Update::CriticZ => critic = workspace.critic_z(nets, weights, batch, dropout),
        Update::Generator => generator = workspace.generator(nets, weights, batch, dropout),
        Update::Reconstruction => generator = workspace.reconstruction(nets, weights, batch, dropout),
        Update::Prediction => generator = workspace.prediction(nets, weights, batch),
    }
    (critic, generator)
}
