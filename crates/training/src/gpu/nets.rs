//! The four nets on the device, passes and buffers; what they compute is told in [`crate::nets`].

use wgpu::Buffer;

use super::device::{Device, Elements, Held, Recorder};
use super::layers::{Draws, Linear, dropout_mask};
use super::lstm::Lstm;
use super::{GpuError, NO_AER};
use crate::nets::{self, EncoderBody, GeneratorBody};

/// Linear layers, each of the first `bent` followed by leaky ReLU and dropout.
#[derive(Debug)]
struct Chain {
    layers: Vec<Linear>,
    bent: usize,
    dropout: f32,
}

/// Buffers of one pass through a [`Chain`].
#[derive(Debug)]
pub(super) struct Pass {
    /// Output of each layer.
    values: Vec<Buffer>,
    slopes: Vec<Buffer>,
    deltas: Vec<Buffer>,
    /// Gradient of the input.
    pub(super) d_input: Buffer,
}

impl Pass {
    /// What comes out at the end.
    pub(super) fn out(&self) -> &Buffer {
        &self.values[self.values.len() - 1]
    }

    /// Where the gradient of [`Pass::out`] belongs.
    pub(super) fn d_out(&self) -> &Buffer {
        &self.deltas[self.deltas.len() - 1]
    }
}

impl Chain {
    fn buffers(&self, device: &Device, batch: usize) -> Pass {
        let outputs = || {
            let lens = self.layers.iter().map(|layer| batch * layer.output_len());
            lens.map(|len| device.zeros(len)).collect()
        };
        Pass {
            values: outputs(),
            slopes: outputs(),
            deltas: outputs(),
            d_input: device.zeros(batch * self.layers[0].input_len()),
        }
    }

    fn forward(
        &self,
        r: &mut Recorder<'_>,
        w: &Held,
        (input, pass): (&Buffer, &Pass),
        batch: usize,
        mut draws: Option<&mut Draws>,
    ) {
        let mut from = input;
        for (number, layer) in self.layers.iter().enumerate() {
            let (out, slopes) = (&pass.values[number], &pass.slopes[number]);
            layer.forward(r, w, from, out, batch);
            if number < self.bent {
                let shape = (batch, layer.output_len());
                dropout_mask(r, draws.as_deref_mut(), self.dropout, (slopes, 0), shape);
                r.each("leaky", (&[], &[out, slopes]), Elements::of(shape.0 * shape.1));
            }
            from = out;
        }
    }

    /// Times the slopes, where there are some.
    fn bend(&self, r: &mut Recorder<'_>, number: usize, pass: &Pass, values: &Buffer, batch: usize) {
        if number < self.bent {
            let all = Elements::of(batch * self.layers[number].output_len());
            r.each("multiply", (&[&pass.slopes[number]], &[values]), all);
        }
    }

    /// Sends `d_out` back, down to `d_input` if it is wanted.
    fn signals(&self, r: &mut Recorder<'_>, w: &Held, pass: &Pass, (batch, want_input): (usize, bool)) {
        for (number, layer) in self.layers.iter().enumerate().rev() {
            let delta = &pass.deltas[number];
            self.bend(r, number, pass, delta, batch);
            if number > 0 {
                layer.backward_input(r, w, delta, &pass.deltas[number - 1], batch);
            } else if want_input {
                layer.backward_input(r, w, delta, &pass.d_input, batch);
            }
        }
    }

    /// Adds the gradients of the weights after [`Chain::signals`].
    fn backward_weights(
        &self,
        r: &mut Recorder<'_>,
        w: &Held,
        (input, pass): (&Buffer, &Pass),
        batch: usize,
    ) {
        let inputs = std::iter::once(input).chain(&pass.values);
        for ((layer, input), delta) in self.layers.iter().zip(inputs).zip(&pass.deltas) {
            layer.backward_weights(r, w, (input, delta), (batch, true));
        }
    }
}

/// Windows to latents.
#[derive(Debug)]
pub(super) struct Encoder {
    body: EncoderParts,
    head: Linear,
    /// What the head sees, where that is not what a layer left.
    joined: Buffer,
    d_seen: Buffer,
    /// Latents, `[batch, latent]`.
    pub(super) out: Buffer,
}

#[derive(Debug)]
enum EncoderParts {
    Recurrent(Box<Lstm>),
    Conv { chain: Chain, pass: Pass, window: usize },
}

impl Encoder {
    pub(super) fn of(device: &Device, net: &nets::Encoder, batch: usize) -> Result<Self, GpuError> {
        let (body, head) = match &net.body {
            EncoderBody::Recurrent(net) => (
                EncoderParts::Recurrent(Box::new(Lstm::of(device, &net.lstm, batch)?)),
                &net.head,
            ),
            EncoderBody::Conv(net) => {
                let chain = Chain {
                    layers: net
                        .convs
                        .iter()
                        .map(|conv| Linear::of_conv(device, conv, 1, batch))
                        .collect(),
                    bent: net.convs.len(),
                    dropout: 0.0,
                };
                let (pass, window) = (chain.buffers(device, batch), net.convs[0].steps);
                (EncoderParts::Conv { chain, pass, window }, &net.head)
            }
            EncoderBody::Aer(_) => return Err(GpuError::Nets(NO_AER)),
        };
        let head = Linear::of(device, head, batch);
        Ok(Self {
            body,
            joined: device.zeros(batch * head.input_len()),
            d_seen: device.zeros(batch * head.input_len()),
            out: device.zeros(batch * head.output_len()),
            head,
        })
    }

    pub(super) fn forward(&self, r: &mut Recorder<'_>, w: &Held, windows: &Buffer, batch: usize) {
        let seen = match &self.body {
            EncoderParts::Recurrent(lstm) => {
                lstm.forward(r, w, windows, batch, None);
                &lstm.out
            }
            EncoderParts::Conv { chain, pass, window } => {
                chain.forward(r, w, (windows, pass), batch, None);
                let features = self.head.input_len() - window;
                for (from, to, width) in [(pass.out(), 0, features), (windows, features, *window)] {
                    let rows = Elements {
                        to,
                        width,
                        from_stride: width,
                        to_stride: self.head.input_len(),
                        ..Elements::of(batch * width)
                    };
                    r.each("copy", (&[from], &[&self.joined]), rows);
                }
                &self.joined
            }
        };
        self.head.forward(r, w, seen, &self.out, batch);
    }

    pub(super) fn backward(
        &self,
        r: &mut Recorder<'_>,
        w: &Held,
        (windows, d_latent): (&Buffer, &Buffer),
        batch: usize,
    ) {
        let seen = match &self.body {
            EncoderParts::Recurrent(lstm) => &lstm.out,
            EncoderParts::Conv { .. } => &self.joined,
        };
        self.head.backward_weights(r, w, (seen, d_latent), (batch, true));
        self.head.backward_input(r, w, d_latent, &self.d_seen, batch);
        match &self.body {
            EncoderParts::Recurrent(lstm) => lstm.backward(r, w, &self.d_seen, (batch, false)),
            EncoderParts::Conv { chain, pass, window } => {
                let width = self.head.input_len() - window;
                let features = Elements {
                    width,
                    from_stride: self.head.input_len(),
                    to_stride: width,
                    ..Elements::of(batch * width)
                };
                r.each("copy", (&[&self.d_seen], &[pass.d_out()]), features);
                chain.signals(r, w, pass, (batch, false));
                chain.backward_weights(r, w, (windows, pass), batch);
            }
        }
    }
}

/// Latents to windows.
#[derive(Debug)]
pub(super) struct Generator {
    body: GeneratorParts,
    window: usize,
    latent: usize,
    /// Windows, `[batch, window]`.
    pub(super) out: Buffer,
    /// Gradient of the latents, `[batch, latent]`.
    pub(super) d_input: Buffer,
}

#[derive(Debug)]
enum GeneratorParts {
    Recurrent(Box<RecurrentParts>),
    Conv(Box<ConvParts>),
}

#[derive(Debug)]
struct ConvParts {
    chain: Chain,
    pass: Pass,
    linear: Linear,
}

#[derive(Debug)]
struct RecurrentParts {
    stem: Linear,
    first: Lstm,
    second: Lstm,
    head: Linear,
    stem_out: Buffer,
    line: Buffer,
    d_hidden: Buffer,
}

impl Generator {
    pub(super) fn of(
        device: &Device,
        net: &nets::Generator,
        (window, latent): (usize, usize),
        batch: usize,
    ) -> Result<Self, GpuError> {
        let body = match &net.body {
            GeneratorBody::Recurrent(net) => {
                let (stem, head) = (
                    Linear::of(device, &net.stem, batch),
                    Linear::of(device, &net.head, batch),
                );
                GeneratorParts::Recurrent(Box::new(RecurrentParts {
                    first: Lstm::of(device, &net.first, batch)?,
                    second: Lstm::of(device, &net.second, batch)?,
                    stem_out: device.zeros(batch * stem.output_len()),
                    line: device.zeros(batch * window),
                    d_hidden: device.zeros(batch * window * head.input_len()),
                    stem,
                    head,
                }))
            }
            GeneratorBody::Conv(net) => {
                let [first, second, third] = &net.convs;
                let chain = Chain {
                    // The first two read each step twice.
                    layers: vec![
                        Linear::of(device, &net.stem, batch),
                        Linear::of_conv(device, first, 2, batch),
                        Linear::of_conv(device, second, 2, batch),
                        Linear::of_conv(device, third, 1, batch),
                    ],
                    bent: 3,
                    dropout: 0.0,
                };
                let (pass, linear) = (
                    chain.buffers(device, batch),
                    Linear::of(device, &net.linear, batch),
                );
                GeneratorParts::Conv(Box::new(ConvParts { chain, pass, linear }))
            }
            GeneratorBody::Aer(_) => return Err(GpuError::Nets(NO_AER)),
        };
        Ok(Self {
            body,
            window,
            latent,
            out: device.zeros(batch * window),
            d_input: device.zeros(batch * latent),
        })
    }

    pub(super) fn forward(
        &self,
        r: &mut Recorder<'_>,
        w: &Held,
        latents: &Buffer,
        batch: usize,
        mut draws: Option<&mut Draws>,
    ) {
        let count = batch * self.window;
        match &self.body {
            GeneratorParts::Recurrent(net) => {
                net.stem.forward(r, w, latents, &net.stem_out, batch);
                net.first
                    .forward(r, w, &net.stem_out, batch, draws.as_deref_mut());
                net.second.forward(r, w, &net.first.out, batch, draws);
                net.head.forward(r, w, &net.second.out, &self.out, count);
                r.each("tanh_forward", (&[], &[&self.out]), Elements::of(count));
            }
            GeneratorParts::Conv(net) => {
                let ConvParts { chain, pass, linear } = &**net;
                linear.forward(r, w, latents, &self.out, batch);
                chain.forward(r, w, (latents, pass), batch, None);
                r.each("add", (&[pass.out()], &[&self.out]), Elements::of(count));
            }
        }
    }

    pub(super) fn backward(
        &self,
        r: &mut Recorder<'_>,
        w: &Held,
        (latents, d_windows): (&Buffer, &Buffer),
        batch: usize,
    ) {
        let count = batch * self.window;
        match &self.body {
            GeneratorParts::Recurrent(net) => {
                r.each(
                    "tanh_backward",
                    (&[d_windows, &self.out], &[&net.line]),
                    Elements::of(count),
                );
                net.head
                    .backward_weights(r, w, (&net.second.out, &net.line), (count, true));
                net.head.backward_input(r, w, &net.line, &net.d_hidden, count);
                net.second.backward(r, w, &net.d_hidden, (batch, true));
                net.first.backward(r, w, &net.second.d_input, (batch, true));
                let d_stem = &net.first.d_input;
                net.stem.backward_weights(r, w, (latents, d_stem), (batch, true));
                net.stem.backward_input(r, w, d_stem, &self.d_input, batch);
            }
            GeneratorParts::Conv(net) => {
                let ConvParts { chain, pass, linear } = &**net;
                linear.backward_weights(r, w, (latents, d_windows), (batch, true));
                linear.backward_input(r, w, d_windows, &self.d_input, batch);
                r.each("copy", (&[d_windows], &[pass.d_out()]), Elements::line(count));
                chain.signals(r, w, pass, (batch, true));
                chain.backward_weights(r, w, (latents, pass), batch);
                r.each(
                    "add",
                    (&[&pass.d_input], &[&self.d_input]),
                    Elements::of(batch * self.latent),
                );
            }
        }
    }
}

/// A critic with two sets of buffers: of what it judges, and of the points between.
#[derive(Debug)]
pub(super) struct Critic {
    chain: Chain,
    /// Of up to twice the batch.
    pub(super) judged: Pass,
    between: Pass,
    tangent: Buffer,
}

impl Critic {
    pub(super) fn of(device: &Device, net: &nets::Critic, batch: usize) -> Self {
        let chain = Chain {
            layers: net
                .layers
                .iter()
                .map(|layer| Linear::of(device, layer, 2 * batch))
                .collect(),
            bent: net.layers.len() - 1,
            dropout: net.dropout,
        };
        let between = chain.buffers(device, batch);
        Self {
            judged: chain.buffers(device, 2 * batch),
            between,
            tangent: device.zeros(batch * chain.layers[0].input_len()),
            chain,
        }
    }

    /// Values of one sample.
    pub(super) fn input_len(&self) -> usize {
        self.chain.layers[0].input_len()
    }

    /// Judges `input` in the buffers for that.
    pub(super) fn forward(
        &self,
        r: &mut Recorder<'_>,
        w: &Held,
        input: &Buffer,
        batch: usize,
        draws: Option<&mut Draws>,
    ) {
        self.chain.forward(r, w, (input, &self.judged), batch, draws);
    }

    /// Sends a gradient of the values back to what was judged.
    pub(super) fn backward_input(&self, r: &mut Recorder<'_>, w: &Held, batch: usize) {
        self.chain.signals(r, w, &self.judged, (batch, true));
    }

    /// Adds the gradients of the weights; `input` is what was judged.
    pub(super) fn backward(&self, r: &mut Recorder<'_>, w: &Held, input: &Buffer, batch: usize) {
        self.chain.signals(r, w, &self.judged, (batch, false));
        self.chain.backward_weights(r, w, (input, &self.judged), batch);
    }

    /// Adds `scale` times the gradient of the penalty at `samples` to `grads`; its terms go to `ledger`. See
    /// [`nets::Critic::penalty`].
    pub(super) fn penalty(
        &self,
        r: &mut Recorder<'_>,
        w: &Held,
        (samples, batch, scale): (&Buffer, usize, f32),
        (ledger, to): (&Buffer, usize),
    ) {
        let (chain, pass) = (&self.chain, &self.between);
        chain.forward(r, w, (samples, pass), batch, None);
        r.each(
            "fill",
            (&[], &[pass.d_out()]),
            Elements {
                factor: 1.0,
                ..Elements::of(batch)
            },
        );
        chain.signals(r, w, pass, (batch, true));
        let norms = Elements {
            width: self.input_len(),
            factor: scale,
            to,
            ..Elements::default()
        };
        r.by_sample(
            "penalty",
            batch,
            (&[&pass.d_input], &[ledger, &self.tangent]),
            norms,
        );
        let mut tangent = &self.tangent;
        for (number, layer) in chain.layers.iter().enumerate() {
            layer.backward_weights(r, w, (tangent, &pass.deltas[number]), (batch, false));
            if number == chain.bent {
                break;
            }
            // The values themselves are not needed any more.
            let next = &pass.values[number];
            layer.tangent(r, w, tangent, next, batch);
            chain.bend(r, number, pass, next, batch);
            tangent = next;
        }
    }
}
