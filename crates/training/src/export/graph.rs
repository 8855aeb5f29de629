//! The four graphs.

use prost::Message;

use std::ops::Range;

use super::proto::{
    Attribute, Dimension, FLOAT, Graph, INT64, Model, Node, OperatorSet, Shape, Tensor, TensorType, Type,
    ValueInfo,
};
use crate::layers::affine::KERNEL;
use crate::layers::conv::{PAD, TAPS};
use crate::layers::{Affine, BiLstm, Conv};
use crate::nets::{
    AerDecoder, AerEncoder, ConvEncoder, ConvGenerator, Critic, EncoderBody, GeneratorBody, LEAK, Nets,
    RecurrentEncoder, RecurrentGenerator,
};

/// Format version of the files; the one that belongs to opset 17.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;

/// `x [B, L, 1] → z [B, latent, 1]`
#[must_use]
pub fn encoder(nets: &Nets, weights: &[f32]) -> Vec<u8> {
    let (window, latent) = (nets.sizes.window, nets.sizes.latent);
    let mut graph = Builder::new(weights);
    let latents = match &nets.encoder.body {
        EncoderBody::Recurrent(net) => graph.recurrent_encoder(net, window),
        EncoderBody::Conv(net) => graph.conv_encoder(net, window),
        EncoderBody::Aer(net) => graph.aer_encoder(net, window),
    };
    graph.reshape_to("z", &latents, &[-1, latent as i64, 1]);
    graph.finish("encoder", ("x", &[window, 1]), ("z", &[latent, 1]))
}

/// `z [B, latent, 1] → y [B, L, 1]`
#[must_use]
pub fn generator(nets: &Nets, weights: &[f32]) -> Vec<u8> {
    let (window, latent) = (nets.sizes.window, nets.sizes.latent);
    let mut graph = Builder::new(weights);
    let flat = graph.reshape("z", &[-1, latent as i64]);
    let line = match &nets.generator.body {
        GeneratorBody::Recurrent(net) => graph.recurrent_generator(net, &flat, window as i64),
        GeneratorBody::Conv(net) => graph.conv_generator(net, &flat, window as i64),
        GeneratorBody::Aer(net) => graph.aer_decoder(net, &flat, window as i64),
    };
    graph.reshape_to("y", &line, &[-1, window as i64, 1]);
    graph.finish("generator", ("z", &[latent, 1]), ("y", &[window, 1]))
}

/// `y [B, L, 1] → critic [B, 1]`
#[must_use]
pub fn critic_x(nets: &Nets, weights: &[f32]) -> Vec<u8> {
    let Some((head, convolutions)) = nets.critic_x.layers.split_last() else {
        unreachable!("a critic has a head");
    };
    let mut graph = Builder::new(weights);
    let mut value = graph.transpose("y", &[0, 2, 1]);
    let mut channels = 1;
    for (number, layer) in convolutions.iter().enumerate() {
        value = graph.conv(&format!("conv_{}", number + 1), layer, channels, &value);
        value = graph.leaky(&value);
        channels = layer.bias.len();
    }
    let value = graph.transpose(&value, &[0, 2, 1]);
    let flat = graph.reshape(&value, &[-1, head.input_len() as i64]);
    graph.dense_to("critic", "head", head, &flat);
    graph.finish("critic_x", ("y", &[nets.sizes.window, 1]), ("critic", &[1]))
}

/// `z [B, latent, 1] → critic [B, 1]`
#[must_use]
pub fn critic_z(nets: &Nets, weights: &[f32]) -> Vec<u8> {
    let Critic { layers, .. } = &nets.critic_z;
    let Some((head, hidden)) = layers.split_last() else {
        unreachable!("a critic has a head");
    };
    let mut graph = Builder::new(weights);
    let mut value = graph.reshape("z", &[-1, nets.sizes.latent as i64]);
    for (number, layer) in hidden.iter().enumerate() {
        value = graph.dense(&format!("dense_{}", number + 1), layer, &value);
        value = graph.leaky(&value);
    }
    graph.dense_to("critic", "head", head, &value);
    graph.finish("critic_z", ("z", &[nets.sizes.latent, 1]), ("critic", &[1]))
}

/// A graph under construction. Methods append nodes and return the names of their outputs.
struct Builder<'a> {
    weights: &'a [f32],
    nodes: Vec<Node>,
    tensors: Vec<Tensor>,
}

impl<'a> Builder<'a> {
    fn new(weights: &'a [f32]) -> Self {
        Self {
            weights,
            nodes: Vec::new(),
            tensors: Vec::new(),
        }
    }

    fn node(&mut self, op: &str, inputs: &[&str], attributes: Vec<Attribute>) -> String {
        let output = format!("{}_{}", op.to_lowercase(), self.nodes.len());
        self.node_to(&output, op, inputs, attributes);
        output
    }

    fn node_to(&mut self, output: &str, op: &str, inputs: &[&str], attributes: Vec<Attribute>) {
        self.nodes.push(Node {
            input: inputs.iter().map(|input| (*input).to_owned()).collect(),
            output: vec![output.to_owned()],
            name: format!("{}_{}", op.to_lowercase(), self.nodes.len()),
            op_type: op.to_owned(),
            attribute: attributes,
        });
    }

    fn floats(&mut self, name: String, dims: &[usize], values: &[f32]) -> String {
        self.tensors.push(Tensor {
            dims: dims.iter().map(|dim| *dim as i64).collect(),
            data_type: FLOAT,
            name: name.clone(),
            raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        });
        name
    }

    fn reshape(&mut self, value: &str, shape: &[i64]) -> String {
        let output = format!("reshape_{}", self.nodes.len());
        self.reshape_to(&output, value, shape);
        output
    }

    fn reshape_to(&mut self, output: &str, value: &str, shape: &[i64]) {
        let shape = self.integers(shape);
        self.node_to(output, "Reshape", &[value, &shape], vec![]);
    }

    fn integers(&mut self, values: &[i64]) -> String {
        let name = format!("integers_{}", self.tensors.len());
        self.tensors.push(Tensor {
            dims: vec![values.len() as i64],
            data_type: INT64,
            name: name.clone(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        });
        name
    }

    fn transpose(&mut self, value: &str, permutation: &[i64]) -> String {
        self.node("Transpose", &[value], vec![ints("perm", permutation)])
    }

    fn dense(&mut self, name: &str, layer: &Affine, value: &str) -> String {
        let output = format!("{name}.out");
        self.dense_to(&output, name, layer, value);
        output
    }

    fn dense_to(&mut self, output: &str, name: &str, layer: &Affine, value: &str) {
        let weights = self.weights;
        let shape = [layer.input_len(), layer.output_len()];
        let kernel = self.floats(format!("{name}.kernel"), &shape, &weights[layer.kernel.clone()]);
        let bias = self.floats(format!("{name}.bias"), &shape[1..], &weights[layer.bias.clone()]);
        self.node_to(output, "Gemm", &[value, &kernel, &bias], vec![]);
    }

    /// A critic's convolution: no padding.
    fn conv(&mut self, name: &str, layer: &Affine, channels: usize, value: &str) -> String {
        let shape = ints("kernel_shape", &[KERNEL as i64]);
        self.convolution(name, (&layer.kernel, &layer.bias), channels, value, vec![shape])
    }

    /// A convolution of encoder or generator: padded, with a stride.
    fn padded_conv(&mut self, name: &str, layer: &Conv, value: &str) -> String {
        let attributes = vec![
            ints("kernel_shape", &[TAPS as i64]),
            ints("strides", &[layer.stride as i64]),
            ints("pads", &[PAD as i64, PAD as i64]),
        ];
        self.convolution(
            name,
            (&layer.kernel, &layer.bias),
            layer.channels,
            value,
            attributes,
        )
    }

    /// Keras keeps `[5, channels, filters]`, ONNX `[filters, channels, 5]`.
    fn convolution(
        &mut self,
        name: &str,
        (kernel, bias): (&Range<usize>, &Range<usize>),
        channels: usize,
        value: &str,
        attributes: Vec<Attribute>,
    ) -> String {
        let (weights, filters) = (self.weights, bias.len());
        let kernel = &weights[kernel.clone()];
        let taps = kernel.len() / channels / filters;
        let mut turned = vec![0.0; kernel.len()];
        for (k, w) in kernel.iter().enumerate() {
            let (tap, channel, filter) = (k / filters / channels, k / filters % channels, k % filters);
            turned[(filter * channels + channel) * taps + tap] = *w;
        }
        let kernel = self.floats(format!("{name}.kernel"), &[filters, channels, taps], &turned);
        let bias = self.floats(format!("{name}.bias"), &[filters], &weights[bias.clone()]);
        self.node("Conv", &[value, &kernel, &bias], attributes)
    }

    /// `[steps, B, inputs] → [steps, 2, B, units]`. Keras keeps kernels `[inputs, 4·units]` with gates i, f, c, o and
    /// one bias; ONNX `[4·units, inputs]` with gates i, o, f, c and two biases, the second zero here.
    fn lstm(&mut self, name: &str, layer: &BiLstm, value: &str) -> String {
        const GATES: [usize; 4] = [0, 3, 1, 2];
        let (units, weights) = (layer.units, self.weights);
        let (mut w, mut r, mut b) = (Vec::new(), Vec::new(), Vec::new());
        for tensors in layer.tensors() {
            for (range, inputs, out) in [
                (tensors[0].clone(), layer.inputs, &mut w),
                (tensors[1].clone(), units, &mut r),
                (tensors[2].clone(), 1, &mut b),
            ] {
                let kernel = &weights[range];
                for gate in GATES {
                    for unit in 0..units {
                        out.extend((0..inputs).map(|input| kernel[(input * 4 + gate) * units + unit]));
                    }
                }
            }
            b.resize(b.len() + 4 * units, 0.0);
        }
        let w = self.floats(format!("{name}.W"), &[2, 4 * units, layer.inputs], &w);
        let r = self.floats(format!("{name}.R"), &[2, 4 * units, units], &r);
        let b = self.floats(format!("{name}.B"), &[2, 8 * units], &b);
        self.node(
            "LSTM",
            &[value, &w, &r, &b],
            vec![
                string("direction", "bidirectional"),
                int("hidden_size", units as i64),
            ],
        )
    }

    /// The same, but only the states after the last step of each direction: `[2, B, units]`.
    fn lstm_last(&mut self, name: &str, layer: &BiLstm, value: &str) -> String {
        self.lstm(name, layer, value);
        let last = format!("{name}.last");
        if let Some(node) = self.nodes.last_mut() {
            // The first output, the states of all steps, is left out by an empty name.
            node.output = vec![String::new(), last.clone()];
        }
        last
    }

    /// `x [B, L, 1] → [B, latent]`
    fn recurrent_encoder(&mut self, net: &RecurrentEncoder, window: usize) -> String {
        let hidden = window * 2 * net.lstm.units;
        let steps = self.transpose("x", &[1, 0, 2]);
        let states = self.lstm("lstm", &net.lstm, &steps);
        let states = self.transpose(&states, &[2, 0, 1, 3]);
        let flat = self.reshape(&states, &[-1, hidden as i64]);
        self.dense("head", &net.head, &flat)
    }

    /// `[B, latent] → [B·L, 1]`
    fn recurrent_generator(&mut self, net: &RecurrentGenerator, flat: &str, window: i64) -> String {
        let (half, wide) = (window / 2, 2 * net.first.units as i64);
        let stem = self.dense("stem", &net.stem, flat);
        let steps = self.transpose(&stem, &[1, 0]);
        let steps = self.reshape(&steps, &[half, -1, 1]);
        let states = self.lstm("lstm_1", &net.first, &steps);
        let states = self.transpose(&states, &[0, 2, 1, 3]);
        // Upsampling: each step beside itself, then both axes become one.
        let once = self.reshape(&states, &[half, 1, -1, wide]);
        let twice = self.node("Concat", &[&once, &once], vec![int("axis", 1)]);
        let steps = self.reshape(&twice, &[window, -1, wide]);
        let states = self.lstm("lstm_2", &net.second, &steps);
        let states = self.transpose(&states, &[2, 0, 1, 3]);
        let rows = self.reshape(&states, &[-1, wide]);
        let line = self.dense("head", &net.head, &rows);
        self.node("Tanh", &[&line], vec![])
    }

    /// `x [B, L, 1] → [B, latent]`
    fn conv_encoder(&mut self, net: &ConvEncoder, window: usize) -> String {
        let mut value = self.transpose("x", &[0, 2, 1]);
        for (number, layer) in net.convs.iter().enumerate() {
            value = self.padded_conv(&format!("conv_{}", number + 1), layer, &value);
            value = self.leaky(&value);
        }
        let value = self.transpose(&value, &[0, 2, 1]);
        let features = self.reshape(&value, &[-1, net.features() as i64]);
        let values = self.reshape("x", &[-1, window as i64]);
        let joined = self.node("Concat", &[&features, &values], vec![int("axis", 1)]);
        self.dense("head", &net.head, &joined)
    }

    /// `[B, latent] → [B, L]`
    fn conv_generator(&mut self, net: &ConvGenerator, flat: &str, window: i64) -> String {
        let [first, second, third] = &net.convs;
        let stem = self.dense("stem", &net.stem, flat);
        let stem = self.leaky(&stem);
        let steps = self.reshape(&stem, &[-1, window / 4, first.channels as i64]);
        let mut value = self.transpose(&steps, &[0, 2, 1]);
        for (name, layer) in [("conv_1", first), ("conv_2", second)] {
            // Each step beside itself.
            let once = self.reshape(&value, &[-1, layer.channels as i64, layer.steps as i64 / 2, 1]);
            let twice = self.node("Concat", &[&once, &once], vec![int("axis", 3)]);
            let wide = self.reshape(&twice, &[-1, layer.channels as i64, layer.steps as i64]);
            value = self.padded_conv(name, layer, &wide);
            value = self.leaky(&value);
        }
        let added = self.padded_conv("conv_3", third, &value);
        let added = self.reshape(&added, &[-1, window]);
        let line = self.dense("linear", &net.linear, flat);
        self.node("Add", &[&line, &added], vec![])
    }

    /// `x [B, L, 1] → [B, latent]`, from the inner values alone.
    fn aer_encoder(&mut self, net: &AerEncoder, window: usize) -> String {
        let steps = self.transpose("x", &[1, 0, 2]);
        let [from, to, axis] = [1, window as i64 - 1, 0].map(|value| self.integers(&[value]));
        let inner = self.node("Slice", &[&steps, &from, &to, &axis], vec![]);
        let states = self.lstm_last("lstm", &net.lstm, &inner);
        self.transpose(&states, &[1, 0, 2])
    }

    /// `[B, latent] → [B·L, 1]`
    fn aer_decoder(&mut self, net: &AerDecoder, flat: &str, window: i64) -> String {
        let wide = 2 * net.lstm.units as i64;
        let once = self.reshape(flat, &[1, -1, wide]);
        let times = self.integers(&[window, 1, 1]);
        let steps = self.node("Expand", &[&once, &times], vec![]);
        let states = self.lstm("lstm", &net.lstm, &steps);
        let states = self.transpose(&states, &[2, 0, 1, 3]);
        let rows = self.reshape(&states, &[-1, wide]);
        self.dense("head", &net.head, &rows)
    }

    fn leaky(&mut self, value: &str) -> String {
        self.node("LeakyRelu", &[value], vec![float("alpha", LEAK)])
    }

    fn finish(self, name: &str, input: (&str, &[usize]), output: (&str, &[usize])) -> Vec<u8> {
        let value = |(name, dims): (&str, &[usize])| ValueInfo {
            name: name.to_owned(),
            r#type: Some(Type {
                tensor_type: Some(TensorType {
                    elem_type: FLOAT,
                    shape: Some(batched(dims)),
                }),
            }),
        };
        let graph = Graph {
            node: self.nodes,
            name: name.to_owned(),
            initializer: self.tensors,
            input: vec![value(input)],
            output: vec![value(output)],
        };
        let model = Model {
            ir_version: IR_VERSION,
            producer_name: "train".to_owned(),
            graph: Some(graph),
            opset_import: vec![OperatorSet {
                domain: String::new(),
                version: OPSET,
            }],
        };
        model.encode_to_vec()
    }
}

/// `[B, dims…]` with `B` dynamic.
fn batched(dims: &[usize]) -> Shape {
    let batch = Dimension {
        dim_value: None,
        dim_param: Some("B".to_owned()),
    };
    let fixed = dims.iter().map(|dim| Dimension {
        dim_value: Some(*dim as i64),
        dim_param: None,
    });
    Shape {
        dim: std::iter::once(batch).chain(fixed).collect(),
    }
}

fn int(name: &str, value: i64) -> Attribute {
    Attribute {
        name: name.to_owned(),
        i: Some(value),
        r#type: 2,
        ..Attribute::default()
    }
}

fn ints(name: &str, values: &[i64]) -> Attribute {
    Attribute {
        name: name.to_owned(),
        ints: values.to_vec(),
        r#type: 7,
        ..Attribute::default()
    }
}

fn float(name: &str, value: f32) -> Attribute {
    Attribute {
        name: name.to_owned(),
        f: Some(value),
        r#type: 1,
        ..Attribute::default()
    }
}

fn string(name: &str, value: &str) -> Attribute {
    Attribute {
        name: name.to_owned(),
        s: Some(value.as_bytes().to_vec()),
        r#type: 3,
        ..Attribute::default()
    }
}
