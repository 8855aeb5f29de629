//! A chain of layers, forward and backward over a batch.
//!
//! A batch is cut into shards of [`SHARD`] samples that threads share out. What a shard comes to, its dropout and its
//! part of the gradients, does not depend on who does it, and parts are summed in order: the bits are the same on any
//! number of threads. Batch normalisation is where the shards meet.

use crate::layers::{Affine, BatchNorm, Conv2d, Moments};
use crate::math;
use crate::nets::LEAK;
use crate::params::Layout;
use crate::rng::{self, Purpose, Streams};

/// Samples of a shard: enough that a dense layer's weights are not read for a few of them only.
const SHARD: usize = 32;
/// Gradients of a part of those that threads share out when they are added up.
const PART: usize = 1 << 14;

/// One of a chain.
#[derive(Clone, Debug)]
pub(super) enum Layer {
    Dense(Affine),
    Conv(Conv2d),
    Norm(BatchNorm),
    /// Leaky ReLU, then dropout at this rate where a pass has it.
    Leaky(f32),
    Tanh,
}

/// Layers and their tensors.
#[derive(Clone, Debug)]
pub(super) struct Net {
    pub(super) layout: Layout,
    pub(super) layers: Vec<Layer>,
    /// Values of a sample that goes in.
    pub(super) inputs: usize,
}

/// What differs from pass to pass.
#[derive(Clone, Copy, Default)]
pub(super) struct Pass<'a> {
    /// Where dropout draws from; without, there is none.
    pub(super) dropout: Option<(Streams, Purpose, usize)>,
    /// What batch normalisation takes for the moments, a layer each; without, those of the batch.
    pub(super) moments: Option<&'a [Moments]>,
}

/// Buffers of one pass.
#[derive(Debug)]
pub(super) struct Tape {
    threads: usize,
    /// Input of each layer, and at the end the output.
    values: Vec<Vec<f32>>,
    /// What the backward pass needs of each layer: slopes of a leaky ReLU, normalised values.
    kept: Vec<Vec<f32>>,
    /// Of the layers that normalise, in order.
    moments: Vec<Moments>,
    shards: Vec<Shard>,
    /// Gradient of the layer's output, and then of its input.
    deltas: [Vec<f32>; 2],
}

#[derive(Clone, Debug, Default)]
struct Shard {
    patches: Vec<f32>,
    grads: Vec<f32>,
}

impl Tape {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            threads,
            values: Vec::new(),
            kept: Vec::new(),
            moments: Vec::new(),
            shards: Vec::new(),
            deltas: Default::default(),
        }
    }

    /// What came out of the last pass.
    pub(super) fn out(&self) -> &[f32] {
        self.before_last(0)
    }

    /// What went into the last layer, or one `back` before it.
    pub(super) fn before_last(&self, back: usize) -> &[f32] {
        let at = self.values.len().checked_sub(1 + back);
        at.map_or(&[], |at| &self.values[at])
    }

    /// Moments that normalised the last pass.
    pub(super) fn moments(&self) -> &[Moments] {
        &self.moments
    }

    /// Gradient of the input, after a backward pass that asked for it.
    pub(super) fn d_input(&self) -> &[f32] {
        &self.deltas[0]
    }
}

/// Does `work` on all items, on some threads; it is told each item's number.
fn share_out<T: Send>(threads: usize, items: impl Iterator<Item = T>, work: impl Fn(usize, T) + Sync) {
    let mut items: Vec<(usize, T)> = items.enumerate().collect();
    let each = items.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let work = &work;
        while items.len() > each {
            let own = items.split_off(items.len() - each);
            scope.spawn(move || own.into_iter().for_each(|(number, item)| work(number, item)));
        }
        items.into_iter().for_each(|(number, item)| work(number, item));
    });
}

/// Cuts both into shards of a batch of `batch` samples.
fn cut<'a>(
    a: &'a [f32],
    b: &'a mut [f32],
    batch: usize,
) -> impl Iterator<Item = (&'a [f32], &'a mut [f32])> + use<'a> {
    let shard = |len: usize| (len / batch * SHARD).max(1);
    let chunk = shard(b.len());
    a.chunks(shard(a.len())).zip(b.chunks_mut(chunk))
}

impl Layer {
    /// Values of a sample that comes out where `inputs` go in.
    fn outputs(&self, inputs: usize) -> usize {
        match self {
            Self::Dense(dense) => dense.output_len(),
            Self::Conv(conv) => conv.output().len(),
            Self::Norm(_) | Self::Leaky(_) | Self::Tanh => inputs,
        }
    }
}

impl Net {
    /// Sends samples, side by side, through the layers.
    pub(super) fn forward(&self, weights: &[f32], input: &[f32], pass: Pass<'_>, tape: &mut Tape) {
        let batch = input.len() / self.inputs;
        tape.values.resize(self.layers.len() + 1, Vec::new());
        tape.kept.resize(self.layers.len(), Vec::new());
        tape.shards.resize(batch.div_ceil(SHARD), Shard::default());
        tape.moments.clear();
        tape.values[0].clear();
        tape.values[0].extend_from_slice(input);
        let mut len = self.inputs;
        for (number, layer) in self.layers.iter().enumerate() {
            len = layer.outputs(len);
            let (before, after) = tape.values.split_at_mut(number + 1);
            let (x, out) = (&before[number], &mut after[0]);
            out.resize(batch * len, 0.0);
            let kept = &mut tape.kept[number];
            match layer {
                Layer::Dense(_) | Layer::Conv(_) => {
                    let shards = cut(x, out, batch).zip(&mut tape.shards);
                    share_out(tape.threads, shards, |_, ((x, out), shard)| {
                        layer.product(weights, x, out, &mut shard.patches);
                    });
                }
                Layer::Norm(norm) => {
                    let of_batch = || Moments::of(x, norm.scale.len());
                    let given = pass.moments.and_then(|given| given.get(tape.moments.len()));
                    let moments = given.cloned().unwrap_or_else(of_batch);
                    norm.forward(weights, x, &moments, kept, out);
                    tape.moments.push(moments);
                }
                Layer::Leaky(rate) => {
                    kept.resize(out.len(), 0.0);
                    let draws = pass.dropout.filter(|_| *rate > 0.0);
                    let slopes = kept.chunks_mut(SHARD * len);
                    let shards = cut(x, out, batch).zip(slopes);
                    share_out(tape.threads, shards, |shard, ((x, out), slopes)| {
                        match draws {
                            Some((streams, purpose, step)) => {
                                rng::dropout_mask(&mut streams.stream(purpose, step, shard), *rate, slopes);
                            }
                            None => slopes.fill(1.0),
                        }
                        for ((x, out), slope) in x.iter().zip(out).zip(slopes) {
                            *slope *= if *x > 0.0 { 1.0 } else { LEAK };
                            *out = x * *slope;
                        }
                    });
                }
                Layer::Tanh => {
                    out.copy_from_slice(x);
                    math::tanh_in_place(out);
                }
            }
        }
    }

    /// Sends `d_out`, the gradient of what came out, back: adds the gradients of the weights to `grads`, if they are
    /// asked for, and leaves that of the input in the tape, if `want_input`. Batch normalisation must have had the
    /// moments of its batch.
    pub(super) fn backward(
        &self,
        weights: &[f32],
        d_out: &[f32],
        mut grads: Option<&mut [f32]>,
        want_input: bool,
        tape: &mut Tape,
    ) {
        let batch = tape.values[0].len() / self.inputs;
        tape.deltas[0].clear();
        tape.deltas[0].extend_from_slice(d_out);
        if grads.is_some() {
            share_out(tape.threads, tape.shards.iter_mut(), |_, shard| {
                math::zeros(&mut shard.grads, weights.len());
            });
        }
        let mut norms = tape.moments.iter().rev();
        for (number, layer) in self.layers.iter().enumerate().rev() {
            let [dy, dx] = &mut tape.deltas;
            let (x, kept) = (&tape.values[number], &tape.kept[number]);
            let onward = number > 0 || want_input;
            dx.resize(x.len(), 0.0);
            match layer {
                Layer::Dense(_) | Layer::Conv(_) => {
                    let with_grads = grads.is_some();
                    let xs = x.chunks(x.len() / batch * SHARD);
                    let shards = cut(dy, dx, batch).zip(xs).zip(&mut tape.shards);
                    share_out(tape.threads, shards, |_, (((dy, dx), x), shard)| {
                        if with_grads {
                            layer.grads(x, dy, shard);
                        }
                        if onward {
                            layer.back(weights, dy, dx, &mut shard.patches);
                        }
                    });
                }
                Layer::Norm(norm) => {
                    let Some(moments) = norms.next() else { continue };
                    let mut unused = Vec::new();
                    let grads = grads.as_deref_mut().unwrap_or_else(|| {
                        unused.resize(weights.len(), 0.0);
                        &mut unused
                    });
                    norm.backward(weights, dy, (moments, kept), dx, grads);
                }
                Layer::Leaky(_) => {
                    let slopes = kept.chunks(kept.len() / batch * SHARD);
                    share_out(
                        tape.threads,
                        cut(dy, dx, batch).zip(slopes),
                        |_, ((dy, dx), slopes)| {
                            let values = dy.iter().zip(dx).zip(slopes);
                            values.for_each(|((dy, dx), slope)| *dx = dy * slope);
                        },
                    );
                }
                Layer::Tanh => {
                    let values = dy.iter().zip(dx).zip(&tape.values[number + 1]);
                    values.for_each(|((dy, dx), out)| *dx = dy * (1.0 - out * out));
                }
            }
            tape.deltas.swap(0, 1);
        }
        if let Some(grads) = grads {
            let shards = &tape.shards;
            share_out(tape.threads, grads.chunks_mut(PART), |part, sums| {
                for shard in shards {
                    let own = &shard.grads[part * PART..];
                    sums.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
                }
            });
        }
    }
}

/// The linear layers, on a shard.
impl Layer {
    fn product(&self, weights: &[f32], x: &[f32], out: &mut [f32], patches: &mut Vec<f32>) {
        match self {
            Self::Conv(conv) => conv.forward(weights, x, out, patches),
            Self::Dense(dense) => {
                dense.forward(weights, x, patches);
                out.copy_from_slice(patches);
            }
            Self::Norm(_) | Self::Leaky(_) | Self::Tanh => {}
        }
    }

    fn back(&self, weights: &[f32], dy: &[f32], dx: &mut [f32], patches: &mut Vec<f32>) {
        match self {
            Self::Conv(conv) => conv.backward_input(weights, dy, dx, patches),
            Self::Dense(dense) => {
                dense.backward_input(weights, dy, patches, &mut Vec::new());
                dx.copy_from_slice(patches);
            }
            Self::Norm(_) | Self::Leaky(_) | Self::Tanh => {}
        }
    }

    fn grads(&self, x: &[f32], dy: &[f32], shard: &mut Shard) {
        let Shard { patches, grads } = shard;
        match self {
            Self::Conv(conv) => conv.backward_weights(x, dy, grads, patches),
            Self::Dense(dense) => dense.backward_weights(x, dy, grads, true),
            Self::Norm(_) | Self::Leaky(_) | Self::Tanh => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Image;

    fn numbers(stream: usize, len: usize) -> Vec<f32> {
        let mut values = vec![0.0; len];
        let mut rng = Streams::new(8).stream(Purpose::Weights, stream, 0);
        rng::normals(&mut rng, &mut values);
        values
    }

    /// Every kind of layer.
    fn net() -> Net {
        let [wide, narrow] = [(4, 2), (2, 3)].map(|(side, channels)| Image { side, channels });
        let mut layout = Layout::default();
        let layers = vec![
            Layer::Dense(Affine::dense(&mut layout, "dense", 5, narrow.len())),
            Layer::Norm(BatchNorm::new(&mut layout, "norm", narrow.channels)),
            Layer::Leaky(0.0),
            Layer::Conv(Conv2d::transposed(&mut layout, "up", 4, narrow, wide)),
            Layer::Tanh,
            Layer::Conv(Conv2d::new(&mut layout, "down", 5, wide, narrow)),
            Layer::Leaky(0.4),
            Layer::Dense(Affine::dense(&mut layout, "head", narrow.len(), 2)),
        ];
        Net {
            layout,
            layers,
            inputs: 5,
        }
    }

    const PASS: Pass<'_> = Pass {
        dropout: None,
        moments: None,
    };

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    /// Input and every tensor against central differences of `⟨out, r⟩`, on more than one shard.
    #[test]
    fn gradients_follow_finite_differences() {
        let net = net();
        let samples = 2 * SHARD + 3;
        let (weights, x) = (numbers(0, net.layout.len()), numbers(1, samples * 5));
        let r = numbers(2, samples * 2);
        let pass = Pass {
            dropout: Some((Streams::new(1), Purpose::DropoutX, 7)),
            ..PASS
        };
        let mut tape = Tape::new(2);
        let mut grads = vec![0.0; weights.len()];
        net.forward(&weights, &x, pass, &mut tape);
        net.backward(&weights, &r, Some(&mut grads), true, &mut tape);
        let d_input = tape.d_input().to_vec();
        let mut check = |what: &str, got: f64, moved: &dyn Fn(f32) -> (Vec<f32>, Vec<f32>)| {
            let mut at = |h: f32| {
                let (weights, x) = moved(h);
                net.forward(&weights, &x, pass, &mut tape);
                dot(tape.out(), &r)
            };
            let h = 1e-3;
            let want = (at(h) - at(-h)) / f64::from(2.0 * h);
            assert!(
                (got - want).abs() < 0.02 * (1.0 + want.abs()),
                "{what}: {got}, not {want}"
            );
        };
        let step = |values: &[f32], direction: &[f32], h: f32| -> Vec<f32> {
            let moved = values.iter().zip(direction);
            moved.map(|(value, d)| value + h * d).collect()
        };
        let direction = numbers(3, x.len());
        check("input", dot(&d_input, &direction), &|h| {
            (weights.clone(), step(&x, &direction, h))
        });
        for spec in net.layout.tensors() {
            let mut direction = vec![0.0; weights.len()];
            direction[spec.range.clone()].copy_from_slice(&numbers(4, spec.range.len()));
            check(&spec.name, dot(&grads, &direction), &|h| {
                (step(&weights, &direction, h), x.clone())
            });
        }
    }

    #[test]
    fn threads_do_not_show() {
        let net = net();
        let (weights, x) = (numbers(0, net.layout.len()), numbers(1, 75 * 5));
        let of = |threads| {
            let mut tape = Tape::new(threads);
            let mut grads = vec![0.0; weights.len()];
            let pass = Pass {
                dropout: Some((Streams::new(1), Purpose::DropoutX, 0)),
                ..PASS
            };
            net.forward(&weights, &x, pass, &mut tape);
            let out = tape.out().to_vec();
            net.backward(&weights, &out, Some(&mut grads), true, &mut tape);
            (out, grads, tape.d_input().to_vec())
        };
        let one = of(1);
        assert!(one.1.iter().all(|grad| grad.is_finite() && *grad != 0.0));
        assert_eq!(one, of(2));
        assert_eq!(one, of(7));
    }

    /// With the moments of a batch given, its samples come out as they did, each alone.
    #[test]
    fn given_moments_make_samples_independent() {
        let net = net();
        let (weights, x) = (numbers(0, net.layout.len()), numbers(1, 6 * 5));
        let mut tape = Tape::new(1);
        net.forward(&weights, &x, PASS, &mut tape);
        let (whole, moments) = (tape.out().to_vec(), tape.moments().to_vec());
        let pass = Pass {
            moments: Some(&moments),
            ..PASS
        };
        for (x, want) in x.chunks_exact(5).zip(whole.chunks_exact(2)) {
            net.forward(&weights, x, pass, &mut tape);
            for (got, want) in tape.out().iter().zip(want) {
                assert!((got - want).abs() < 1e-4);
            }
        }
    }
}
