//! The three training steps and the warm-up's on the device, for a whole batch; what they compute is told in
//! [`crate::steps`].

use wgpu::Buffer;

use super::device::{Elements, Recorder};
use super::layers::Draws;
use super::updates::{CRITIC_X, CRITIC_Z, ENCODER, GENERATOR, Gpu};
use crate::steps::LOSS_WEIGHT;

impl Gpu {
    pub(super) fn critic_x(&self, r: &mut Recorder<'_>, mut draws: Option<&mut Draws>) {
        let w = &self.nets[GENERATOR];
        self.generator
            .forward(r, w, &self.z, self.batch, draws.as_deref_mut());
        self.critic(r, CRITIC_X, (&self.x, &self.generator.out), draws);
    }

    pub(super) fn critic_z(&self, r: &mut Recorder<'_>, draws: Option<&mut Draws>) {
        let w = &self.nets[ENCODER];
        self.encoder.forward(r, w, &self.x, self.batch);
        self.critic(r, CRITIC_Z, (&self.z, &self.encoder.out), draws);
    }

    /// Loss and gradients of a critic. The ledger gets its values of real and fake samples and the penalty's terms.
    fn critic(
        &self,
        r: &mut Recorder<'_>,
        net: usize,
        (real, fake): (&Buffer, &Buffer),
        draws: Option<&mut Draws>,
    ) {
        let (n, w, critic) = (self.batch, &self.nets[net], &self.critics[net - CRITIC_X]);
        let half = n * critic.input_len();
        self.join(r, (real, fake), half);
        critic.forward(r, w, &self.samples, 2 * n, draws);
        self.note(r, critic.judged.out(), 2 * n, 0);
        let share = 1.0 / n as f32;
        for (factor, to) in [(-share, 0), (share, n)] {
            let signs = Elements {
                factor,
                to,
                ..Elements::of(n)
            };
            r.each("fill", (&[], &[critic.judged.d_out()]), signs);
        }
        critic.backward(r, w, &self.samples, 2 * n);
        let between = Elements {
            width: critic.input_len(),
            ..Elements::of(half)
        };
        r.each("interpolate", (&[fake, &self.alpha], &[&self.samples]), between);
        let points = (&self.samples, n, LOSS_WEIGHT * share);
        critic.penalty(r, w, points, (&self.ledger, 2 * n));
    }

    /// The ledger gets both critics' values and each sample's reconstruction loss.
    pub(super) fn generator(
        &self,
        r: &mut Recorder<'_>,
        (reconstruction_weight, bend): (f32, f32),
        mut draws: Option<&mut Draws>,
    ) {
        let n = self.batch;
        let [encoder, generator, critic_x, critic_z] = &self.nets;
        self.encoder.forward(r, encoder, &self.x, n);
        // One pass generates both G(z), first half, and G(E(x)), second half.
        self.join(r, (&self.z, &self.encoder.out), n * self.latent);
        self.generator
            .forward(r, generator, &self.samples, 2 * n, draws.as_deref_mut());
        let inputs = [&self.generator.out, &self.encoder.out];
        for (k, (critic, input)) in self.critics.iter().zip(inputs).enumerate() {
            let w = [critic_x, critic_z][k];
            critic.forward(r, w, input, n, draws.as_deref_mut());
            self.note(r, critic.judged.out(), n, k * n);
            let against = Elements {
                factor: -1.0 / n as f32,
                ..Elements::of(n)
            };
            r.each("fill", (&[], &[critic.judged.d_out()]), against);
            critic.backward_input(r, w, n);
        }
        let [from_x, from_z] = self.critics.each_ref().map(|critic| &critic.judged.d_input);
        r.each(
            "copy",
            (&[from_x], &[&self.signal]),
            Elements::line(n * self.window),
        );
        self.push_errors(r, (reconstruction_weight, bend), n * self.window);
        let latents = n * self.latent;
        self.generator
            .backward(r, generator, (&self.samples, &self.signal), 2 * n);
        let second = Elements {
            begin: latents,
            ..Elements::line(latents)
        };
        r.each("copy", (&[&self.generator.d_input], &[&self.d_latent]), second);
        r.each("add", (&[from_z], &[&self.d_latent]), Elements::of(latents));
        self.encoder.backward(r, encoder, (&self.x, &self.d_latent), n);
    }

    /// The ledger gets each sample's distance from the sphere and its reconstruction loss.
    pub(super) fn reconstruction(
        &self,
        r: &mut Recorder<'_>,
        (reconstruction_weight, bend): (f32, f32),
        draws: Option<&mut Draws>,
    ) {
        let n = self.batch;
        let [encoder, generator, ..] = &self.nets;
        self.encoder.forward(r, encoder, &self.x, n);
        let latents = &self.encoder.out;
        self.generator.forward(r, generator, latents, n, draws);
        self.push_errors(r, (reconstruction_weight, bend), 0);
        self.generator.backward(r, generator, (latents, &self.signal), n);
        let d_latent = &self.generator.d_input;
        let pull = Elements {
            width: self.latent,
            factor: LOSS_WEIGHT * 4.0 / (self.latent * n) as f32,
            ..Elements::default()
        };
        if self.pulled {
            r.by_sample("sphere", n, (&[latents], &[&self.ledger, d_latent]), pull);
        } else {
            r.each("fill", (&[], &[&self.ledger]), Elements::of(n));
        }
        self.encoder.backward(r, encoder, (&self.x, d_latent), n);
    }

    /// Gradient of the weighted reconstruction loss of what was generated from value `from` on, into the same place of
    /// the signal.
    fn push_errors(&self, r: &mut Recorder<'_>, (weight, bend): (f32, f32), from: usize) {
        let errors = Elements {
            begin: from,
            to: 2 * self.batch,
            width: self.window,
            factor: weight * 2.0 / (self.batch * self.window) as f32,
            bend,
            ..Elements::default()
        };
        let read = [&self.generator.out, &self.x];
        r.by_sample(
            "errors",
            self.batch,
            (&read, &[&self.ledger, &self.signal]),
            errors,
        );
    }

    /// Two halves of `half` values into `samples`.
    fn join(&self, r: &mut Recorder<'_>, (first, second): (&Buffer, &Buffer), half: usize) {
        r.each("copy", (&[first], &[&self.samples]), Elements::line(half));
        r.each(
            "copy",
            (&[second], &[&self.samples]),
            Elements {
                to: half,
                ..Elements::line(half)
            },
        );
    }

    fn note(&self, r: &mut Recorder<'_>, values: &Buffer, count: usize, to: usize) {
        r.each(
            "copy",
            (&[values], &[&self.ledger]),
            Elements {
                to,
                ..Elements::line(count)
            },
        );
    }
}
