//! What the trainer asks of a device: to hold the state, and to change it by one update of a batch.

use wgpu::Buffer;

use super::GpuError;
use super::device::{Device, Elements, Held, Recorder};
use super::layers::Draws;
use super::nets::{Critic, Encoder, Generator};
use crate::adam;
use crate::nets::{Body, Nets, Weights};
use crate::rng::Streams;
use crate::steps::{Batch, CriticLoss, GeneratorLoss, LOSS_WEIGHT};
use crate::trainer::{State, Update};

/// The nets and their state on a device.
#[derive(Debug)]
pub struct Gpu {
    device: Device,
    pub(super) batch: usize,
    pub(super) window: usize,
    pub(super) latent: usize,
    pub(super) encoder: Encoder,
    pub(super) generator: Generator,
    pub(super) critics: [Critic; 2],
    /// Whether the warm-up pulls latents to the sphere where the prior lies.
    pub(super) pulled: bool,
    /// In the order of [`crate::nets::NAMES`].
    pub(super) nets: [Held; 4],
    pub(super) x: Buffer,
    pub(super) z: Buffer,
    pub(super) alpha: Buffer,
    pub(super) samples: Buffer,
    pub(super) signal: Buffer,
    pub(super) d_latent: Buffer,
    /// What an update reports: three numbers a sample, then the squares of two gradients' norms.
    pub(super) ledger: Buffer,
}

/// Places in [`Gpu::nets`].
pub(super) const ENCODER: usize = 0;
pub(super) const GENERATOR: usize = 1;
pub(super) const CRITIC_X: usize = 2;
pub(super) const CRITIC_Z: usize = 3;

impl Gpu {
    /// What the driver calls the device.
    pub(super) fn find() -> Result<String, GpuError> {
        Device::find()
    }

    /// Opens the device and brings the state there.
    ///
    /// # Errors
    /// When there is no device that can train these nets.
    pub fn new(nets: &Nets, state: &State, batch: usize) -> Result<Self, GpuError> {
        let device = Device::open()?;
        let watch = device.watch();
        let (window, latent) = (nets.sizes.window, nets.sizes.latent);
        let encoder = Encoder::of(&device, &nets.encoder, batch)?;
        let generator = Generator::of(&device, &nets.generator, (window, latent), 2 * batch)?;
        let critics = [&nets.critic_x, &nets.critic_z].map(|net| Critic::of(&device, net, batch));
        let held = [0, 1, 2, 3].map(|net| {
            let bring = |weights: &Weights| device.filled(weights.nets()[net]);
            let len = state.weights.nets()[net].len();
            Held {
                weights: bring(&state.weights),
                grads: device.zeros(len),
                first: bring(&state.first),
                second: bring(&state.second),
                average: bring(&state.average),
                len,
            }
        });
        let gpu = Self {
            batch,
            window,
            latent,
            encoder,
            generator,
            critics,
            pulled: !matches!(nets.sizes.body, Body::Conv { .. }),
            nets: held,
            x: device.zeros(batch * window),
            z: device.zeros(batch * latent),
            alpha: device.zeros(batch),
            samples: device.zeros(2 * batch * window.max(latent)),
            signal: device.zeros(2 * batch * window),
            d_latent: device.zeros(batch * latent),
            ledger: device.zeros(3 * batch + 2),
            device,
        };
        gpu.device.check(watch)?;
        Ok(gpu)
    }

    /// What the driver calls the device.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.device.name
    }

    /// Brings the state back.
    pub(crate) fn download(&self, state: &mut State) {
        for (net, held) in self.nets.iter().enumerate() {
            for (weights, buffer) in [
                (&mut state.weights, &held.weights),
                (&mut state.first, &held.first),
                (&mut state.second, &held.second),
                (&mut state.average, &held.average),
            ] {
                *weights.nets_mut()[net] = self.device.read(buffer);
            }
        }
    }

    /// One update of a whole batch: gradients, and Adam's step at its corrected `rate`. Dropout is on when there are
    /// streams to draw from; `number` is that of the update. Returns losses, as far as they belong to it, and the norms
    /// of the gradients.
    pub(crate) fn update(
        &self,
        update: Update,
        batch: Batch<'_>,
        streams: Option<Streams>,
        number: usize,
        rate: f32,
    ) -> (CriticLoss, GeneratorLoss, [f64; 4]) {
        self.device.write(&self.x, batch.x);
        self.device.write(&self.z, batch.z);
        self.device.write(&self.alpha, batch.alpha);
        let mut draws = streams.map(|streams| Draws::new(streams, update.purpose(), number, self.batch));
        let draws = draws.as_mut();
        let mut r = self.device.record();
        match update {
            Update::CriticX => self.critic_x(&mut r, draws),
            Update::CriticZ => self.critic_z(&mut r, draws),
            Update::Generator => self.generator(&mut r, (batch.reconstruction_weight, batch.bend), draws),
            Update::Reconstruction => {
                self.reconstruction(&mut r, (batch.reconstruction_weight, batch.bend), draws)
            }
            // Nets of AER are turned away when the device is opened.
            Update::Prediction => {}
        }
        for (slot, net) in update.nets().iter().enumerate() {
            self.adam(&mut r, &self.nets[*net], 3 * self.batch + slot, rate);
        }
        r.submit();
        self.report(update, batch.reconstruction_weight)
    }

    /// Adam's step; the ledger gets the square of the gradient's norm at `to`.
    fn adam(&self, r: &mut Recorder<'_>, w: &Held, to: usize, rate: f32) {
        let all = Elements::of(w.len);
        r.by_sample(
            "squares",
            1,
            (&[&w.grads], &[&self.ledger]),
            Elements { to, ..all },
        );
        let step = Elements {
            factor: rate,
            adam: adam::FACTORS,
            ..all
        };
        r.each("adam", (&[], &[&w.weights, &w.grads, &w.first, &w.second]), step);
    }

    /// Lets each net's average follow its weights, keeping so much of itself.
    pub(crate) fn follow(&self, keep: [f32; 4]) {
        let mut r = self.device.record();
        for (w, factor) in self.nets.iter().zip(keep) {
            let all = Elements {
                factor,
                ..Elements::of(w.len)
            };
            r.each("follow", (&[&w.weights], &[&w.average]), all);
        }
        r.submit();
    }

    /// Reads the ledger.
    fn report(&self, update: Update, reconstruction_weight: f32) -> (CriticLoss, GeneratorLoss, [f64; 4]) {
        let ledger = self.device.read(&self.ledger);
        let mut norms = [0.0; 4];
        for (slot, net) in update.nets().iter().enumerate() {
            norms[*net] = f64::from(ledger[3 * self.batch + slot]).sqrt();
        }
        let mean = |third: usize| {
            let part = &ledger[third * self.batch..(third + 1) * self.batch];
            part.iter().map(|v| f64::from(*v)).sum::<f64>() / self.batch as f64
        };
        let (mut critic, mut generator) = (CriticLoss::default(), GeneratorLoss::default());
        match update {
            Update::CriticX | Update::CriticZ => {
                critic = CriticLoss {
                    real: -mean(0),
                    fake: mean(1),
                    penalty: mean(2),
                };
            }
            Update::Generator => {
                generator.critic_x = -mean(0);
                generator.critic_z = -mean(1);
                generator.total = generator.critic_x + generator.critic_z;
            }
            Update::Reconstruction => generator.total = f64::from(LOSS_WEIGHT) * mean(0),
            Update::Prediction => {}
        }
        if update.nets().contains(&GENERATOR) {
            generator.reconstruction = mean(2) / self.window as f64;
            generator.total += f64::from(reconstruction_weight) * generator.reconstruction;
        }
        (critic, generator, norms)
    }
}
