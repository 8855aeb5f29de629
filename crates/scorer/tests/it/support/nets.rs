//! The four nets with given weights, written without the trainer: an independent reading of the architecture.
//!
//! Weights are in Keras layout and order, as the reference publishes them.

use super::protobuf::{Attribute, Graph};

/// Layer widths.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) window: usize,
    pub(crate) latent: usize,
    pub(crate) encoder_units: usize,
    pub(crate) generator_units: usize,
    pub(crate) critic_filters: usize,
    pub(crate) critic_z_units: usize,
}

/// Gives the weights of `(net, index in Keras order, number of values)`.
pub(crate) type Weights<'a> = dyn Fn(&str, usize, usize) -> Vec<f32> + 'a;

/// The same pseudo-random weights every time, small enough that no layer saturates.
pub(crate) fn random_weights(net: &str, index: usize, count: usize) -> Vec<f32> {
    let seed = net
        .bytes()
        .fold(index as u64 + 1, |seed, byte| seed * 31 + u64::from(byte));
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * 0.2
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// ONNX bytes of encoder, generator, critic of windows and critic of latents.
pub(crate) fn all(sizes: Sizes, weights: &Weights<'_>) -> [Vec<u8>; 4] {
    [
        encoder(sizes, &mut Source::new("encoder", weights)),
        generator(sizes, &mut Source::new("generator", weights)),
        critic_x(sizes, &mut Source::new("critic_x", weights)),
        critic_z(sizes, &mut Source::new("critic_z", weights)),
    ]
}

struct Source<'a> {
    net: &'a str,
    index: usize,
    weights: &'a Weights<'a>,
}

impl<'a> Source<'a> {
    fn new(net: &'a str, weights: &'a Weights<'a>) -> Self {
        Self {
            net,
            index: 0,
            weights,
        }
    }

    fn next(&mut self, count: usize) -> Vec<f32> {
        self.index += 1;
        (self.weights)(self.net, self.index - 1, count)
    }
}

fn encoder(s: Sizes, weights: &mut Source<'_>) -> Vec<u8> {
    let (window, latent) = (s.window as i64, s.latent as i64);
    let mut g = Graph::new("x", &[window, 1]);
    transpose(&mut g, &[1, 0, 2]);
    bidirectional_lstm(&mut g, weights, 1, s.encoder_units);
    // Time, batch, features: back to batch first before flattening time-major.
    transpose(&mut g, &[1, 0, 2]);
    let features = s.window * 2 * s.encoder_units;
    reshape(&mut g, &[0, features as i64]);
    dense(&mut g, weights, features, s.latent);
    reshape(&mut g, &[0, latent, 1]);
    g.finish("z", &[latent, 1])
}

fn generator(s: Sizes, weights: &mut Source<'_>) -> Vec<u8> {
    let (latent, half) = (s.latent as i64, s.window / 2);
    let mut g = Graph::new("z", &[latent, 1]);
    reshape(&mut g, &[0, latent]);
    dense(&mut g, weights, s.latent, half);
    reshape(&mut g, &[0, half as i64, 1]);
    transpose(&mut g, &[1, 0, 2]);
    bidirectional_lstm(&mut g, weights, 1, s.generator_units);
    let scales = g.floats(&[3], &[2.0, 1.0, 1.0]);
    let nearest = [
        ("mode", Attribute::Text("nearest")),
        ("coordinate_transformation_mode", Attribute::Text("asymmetric")),
        ("nearest_mode", Attribute::Text("floor")),
    ];
    g.node("Resize", &["", &scales], &nearest);
    bidirectional_lstm(&mut g, weights, 2 * s.generator_units, s.generator_units);
    dense(&mut g, weights, 2 * s.generator_units, 1);
    g.node("Tanh", &[], &[]);
    transpose(&mut g, &[1, 0, 2]);
    g.finish("y", &[s.window as i64, 1])
}

fn critic_x(s: Sizes, weights: &mut Source<'_>) -> Vec<u8> {
    const KERNEL: usize = 5;
    let filters = s.critic_filters;
    let mut g = Graph::new("y", &[s.window as i64, 1]);
    transpose(&mut g, &[0, 2, 1]);
    for inputs in [1, filters, filters, filters] {
        // Keras: [kernel, in, out]; ONNX: [out, in, kernel].
        let keras = weights.next(KERNEL * inputs * filters);
        let kernel: Vec<f32> = (0..filters * inputs * KERNEL)
            .map(|i| keras[((i % KERNEL) * inputs + (i / KERNEL) % inputs) * filters + i / (KERNEL * inputs)])
            .collect();
        let kernel = g.floats(&[filters as i64, inputs as i64, KERNEL as i64], &kernel);
        let bias = g.floats(&[filters as i64], &weights.next(filters));
        g.node(
            "Conv",
            &[&kernel, &bias],
            &[("kernel_shape", Attribute::Ints(&[KERNEL as i64]))],
        );
        leaky_relu(&mut g);
    }
    transpose(&mut g, &[0, 2, 1]);
    let features = (s.window - 4 * (KERNEL - 1)) * filters;
    reshape(&mut g, &[0, features as i64]);
    dense(&mut g, weights, features, 1);
    g.finish("critic", &[1])
}

fn critic_z(s: Sizes, weights: &mut Source<'_>) -> Vec<u8> {
    let latent = s.latent as i64;
    let mut g = Graph::new("z", &[latent, 1]);
    reshape(&mut g, &[0, latent]);
    for inputs in [s.latent, s.critic_z_units] {
        dense(&mut g, weights, inputs, s.critic_z_units);
        leaky_relu(&mut g);
    }
    dense(&mut g, weights, s.critic_z_units, 1);
    g.finish("critic", &[1])
}

/// `[time, batch, inputs]` to `[time, batch, 2·units]`, forward half first.
fn bidirectional_lstm(g: &mut Graph, weights: &mut Source<'_>, inputs: usize, units: usize) {
    let (mut kernels, mut recurrents, mut biases) = (Vec::new(), Vec::new(), Vec::new());
    for _direction in 0..2 {
        kernels.extend(gates(&weights.next(inputs * 4 * units), inputs, units));
        recurrents.extend(gates(&weights.next(units * 4 * units), units, units));
        biases.extend(gates(&weights.next(4 * units), 1, units));
        // ONNX has a second, recurrent bias.
        biases.resize(biases.len() + 4 * units, 0.0);
    }
    let (inputs, units) = (inputs as i64, units as i64);
    let kernel = g.floats(&[2, 4 * units, inputs], &kernels);
    let recurrent = g.floats(&[2, 4 * units, units], &recurrents);
    let bias = g.floats(&[2, 8 * units], &biases);
    let attributes = [
        ("hidden_size", Attribute::Int(units)),
        ("direction", Attribute::Text("bidirectional")),
    ];
    g.node("LSTM", &[&kernel, &recurrent, &bias], &attributes);
    transpose(g, &[0, 2, 1, 3]);
    reshape(g, &[0, 0, 2 * units]);
}

/// Keras `[rows, (i f c o)·units]` to ONNX `[(i o f c)·units, rows]`.
fn gates(keras: &[f32], rows: usize, units: usize) -> Vec<f32> {
    let mut onnx = Vec::with_capacity(keras.len());
    for gate in [0, 3, 1, 2] {
        for unit in 0..units {
            onnx.extend((0..rows).map(|row| keras[row * 4 * units + gate * units + unit]));
        }
    }
    onnx
}

fn dense(g: &mut Graph, weights: &mut Source<'_>, inputs: usize, outputs: usize) {
    let kernel = g.floats(&[inputs as i64, outputs as i64], &weights.next(inputs * outputs));
    let bias = g.floats(&[outputs as i64], &weights.next(outputs));
    g.node("MatMul", &[&kernel], &[]);
    g.node("Add", &[&bias], &[]);
}

fn leaky_relu(g: &mut Graph) {
    g.node("LeakyRelu", &[], &[("alpha", Attribute::Float(0.2))]);
}

fn transpose(g: &mut Graph, axes: &[i64]) {
    g.node("Transpose", &[], &[("perm", Attribute::Ints(axes))]);
}

/// A 0 keeps the axis.
fn reshape(g: &mut Graph, sizes: &[i64]) {
    let sizes = g.ints(sizes);
    g.node("Reshape", &[&sizes], &[]);
}
