//! Our nets against the reference's own numbers: layer outputs, losses, every gradient, one Adam step.

mod support;

use std::collections::BTreeMap;

use support::{assert_close, assert_within, f32s, parity_folder, read_npz};
use training::nets::{CriticTape, EncoderTape, GeneratorTape, Nets, Sizes, Weights};
use training::params::Layout;
use training::steps::{Batch, CriticLoss, LOSS_WEIGHT, Workspace};
use training::{adam, import};

const GRADIENT_TOLERANCE: f64 = 1e-4;

type Arrays = BTreeMap<String, Vec<f64>>;

struct Reference {
    nets: Nets,
    weights: Weights,
    arrays: Arrays,
    x: Vec<f32>,
    z: Vec<f32>,
}

impl Reference {
    fn load(test: &str, archive: &str) -> Option<Self> {
        let folder = parity_folder(test)?;
        let nets = Nets::new(Sizes::paper());
        let weights = import::reference_weights(&nets, &folder.join("weights.safetensors")).expect("weights");
        let arrays = read_npz(&folder.join(archive));
        let floats = |name: &str| arrays.get(name).map(|a| f32s(a)).unwrap_or_default();
        let (x, z) = (floats("x"), floats("z"));
        Some(Self {
            nets,
            weights,
            arrays,
            x,
            z,
        })
    }

    /// Name in the reference's files of the tensor that we keep at `number` of a net.
    fn name(&self, prefix: &str, net: &str, number: usize) -> String {
        let start = format!("{prefix}.{net}.{number:02}.");
        let key = self.arrays.keys().find(|key| key.starts_with(&start));
        let key = key.unwrap_or_else(|| panic!("no array {start}*"));
        key.trim_end_matches(".stride97")
            .trim_end_matches(".sum_h")
            .trim_end_matches(".sum_out")
            .trim_end_matches(".sum_t")
            .trim_end_matches(".ss_h")
            .trim_end_matches(".ss_t")
            .to_owned()
    }

    /// Compares the gradients of one net, and the weights after one Adam step from them.
    fn check(&self, loss: &str, net: &str, layout: &Layout, grads: &[f32], weights: &[f32]) {
        let (mut first, mut second) = (vec![0.0; grads.len()], vec![0.0; grads.len()]);
        let mut after = weights.to_vec();
        adam::update(1, adam::LEARNING_RATE, grads, &mut first, &mut second, &mut after);
        for (number, spec) in layout.tensors().iter().enumerate() {
            let name = self.name(&format!("grad.{loss}"), net, number);
            let got = &grads[spec.range.clone()];
            match self.arrays.get(&name) {
                Some(want) => assert_close(&name, got.iter().copied(), want, GRADIENT_TOLERANCE),
                None => self.check_sampled(&name, got),
            }
            self.check_adam(
                loss,
                &name,
                &after[spec.range.clone()],
                &weights[spec.range.clone()],
            );
        }
    }

    /// The one gradient too large to be stored: every 97th entry, sums and sums of squares over its axes
    /// (100 steps, 200 hidden values, 20 latents).
    fn check_sampled(&self, name: &str, got: &[f32]) {
        let sampled = &self.arrays[&format!("{name}.stride97")];
        assert_close(name, got.iter().step_by(97).copied(), sampled, GRADIENT_TOLERANCE);
        let sum = |len: usize, index: fn(usize) -> usize, square: bool| {
            let mut sums = vec![0f64; len];
            for (k, g) in got.iter().enumerate() {
                let g = f64::from(*g);
                sums[index(k)] += if square { g * g } else { g };
            }
            f32s(&sums)
        };
        for (axis, len, index) in [
            ("t", 100, (|k| k / 4000) as fn(usize) -> usize),
            ("h", 200, |k| k / 20 % 200),
        ] {
            for (what, square) in [("sum", false), ("ss", true)] {
                let key = format!("{name}.{what}_{axis}");
                assert_close(
                    &key,
                    sum(len, index, square),
                    &self.arrays[&key],
                    GRADIENT_TOLERANCE,
                );
            }
        }
        let key = format!("{name}.sum_out");
        assert_close(
            &key,
            sum(20, |k| k % 20, false),
            &self.arrays[&key],
            GRADIENT_TOLERANCE,
        );
    }

    /// Adam turns a tiny gradient into a full step of either sign, so changes are compared as a whole.
    fn check_adam(&self, loss: &str, name: &str, after: &[f32], before: &[f32]) {
        let tensor = name.trim_start_matches("grad.").trim_start_matches(loss);
        let key = format!("adam.{loss}{tensor}");
        let stride = if after.len() > 100_000 { 970 } else { 97 };
        let deltas = after.iter().zip(before).map(|(a, b)| a - b).step_by(stride);
        let want = &self.arrays[&format!("{key}.delta_stride97")];
        // A weight near 0.3 carries 3e-8 of rounding beside a step of 5e-4, and where real and fake cancel exactly
        // what rounding leaves of the gradient makes up to a hundredth of a step.
        let deltas: Vec<f32> = deltas.collect();
        assert_within(&key, &deltas, want, adam::LEARNING_RATE / 50.0);
        let first = &self.arrays[&format!("{key}.first8")];
        assert_within(&key, &after[..first.len()], first, adam::LEARNING_RATE / 50.0);
    }
}

fn assert_loss(got: CriticLoss, [total, real, fake, penalty]: [f64; 4]) {
    for (got, want) in [
        (got.total(), total),
        (got.real, real),
        (got.fake, fake),
        (got.penalty, penalty),
    ] {
        assert!((got - want).abs() <= 1e-4 * want.abs(), "{got} is not {want}");
    }
}

#[test]
fn one_step_of_the_critic_of_windows() {
    let Some(reference) = Reference::load("critic of windows", "gradients.npz") else {
        return;
    };
    let alpha = f32s(&reference.arrays["alpha_x"]);
    let (nets, weights) = (&reference.nets, &reference.weights);
    let mut workspace = Workspace::new(nets);
    let batch = Batch {
        x: &reference.x,
        asked: &reference.x,
        z: &reference.z,
        alpha: &alpha,
        whole: 8,
        reconstruction_weight: LOSS_WEIGHT,
        bend: 0.0,
    };
    let loss = workspace.critic_x(nets, weights, batch, None);
    assert_loss(loss, [0.56069349, 5.94977786, -5.5067333, 0.01176489281875641]);
    let (layout, grads) = (&nets.critic_x.layout, &workspace.grads.critic_x);
    reference.check("cx", "critic_x", layout, grads, &weights.critic_x);
}

#[test]
fn one_step_of_the_critic_of_latents() {
    let Some(reference) = Reference::load("critic of latents", "gradients.npz") else {
        return;
    };
    let alpha = f32s(&reference.arrays["alpha_z"]);
    let (nets, weights) = (&reference.nets, &reference.weights);
    let mut workspace = Workspace::new(nets);
    let batch = Batch {
        x: &reference.x,
        asked: &reference.x,
        z: &reference.z,
        alpha: &alpha,
        whole: 8,
        reconstruction_weight: LOSS_WEIGHT,
        bend: 0.0,
    };
    let loss = workspace.critic_z(nets, weights, batch, None);
    assert_loss(loss, [4.63743855, -1.02973906, 0.98140641, 0.46857712047657585]);
    let (layout, grads) = (&nets.critic_z.layout, &workspace.grads.critic_z);
    reference.check("cz", "critic_z", layout, grads, &weights.critic_z);
}

#[test]
fn one_step_of_encoder_and_generator() {
    let Some(reference) = Reference::load("encoder and generator", "gradients.npz") else {
        return;
    };
    let (nets, weights) = (&reference.nets, &reference.weights);
    let mut workspace = Workspace::new(nets);
    let batch = Batch {
        x: &reference.x,
        asked: &reference.x,
        z: &reference.z,
        alpha: &[],
        whole: 8,
        reconstruction_weight: LOSS_WEIGHT,
        bend: 0.0,
    };
    let loss = workspace.generator(nets, weights, batch, None);
    for (got, want) in [
        (loss.total, 4.903871694739639),
        (loss.critic_x, 5.506733301293441),
        (loss.critic_z, -0.9814064065148795),
        (loss.reconstruction, 0.03785447999610762),
    ] {
        assert!((got - want).abs() <= 1e-4 * want.abs(), "{got} is not {want}");
    }
    let grads = &workspace.grads;
    let layouts = nets.layouts();
    reference.check("eg", "encoder", layouts[0], &grads.encoder, &weights.encoder);
    reference.check(
        "eg",
        "generator",
        layouts[1],
        &grads.generator,
        &weights.generator,
    );
}

#[test]
fn the_penalty_alone() {
    let Some(reference) = Reference::load("penalty", "gradients.npz") else {
        return;
    };
    let (nets, weights) = (&reference.nets, &reference.weights);
    for (tag, net, critic, weights) in [
        ("cx", "critic_x", &nets.critic_x, &weights.critic_x),
        ("cz", "critic_z", &nets.critic_z, &weights.critic_z),
    ] {
        let axis = &tag[1..];
        let samples = f32s(&reference.arrays[&format!("gp_{axis}.u")]);
        let mut grads = vec![0.0; weights.len()];
        let mut tape = training::nets::PenaltyTape::default();
        let total = critic.penalty(weights, &samples, 1.0 / 8.0, &mut tape, &mut grads);
        let norms = &reference.arrays[&format!("gp_{axis}.norm")];
        let want: f64 = norms.iter().map(|norm| (norm - 1.0).powi(2)).sum();
        assert!((total - want).abs() < 1e-4 * want, "{total} is not {want}");
        let g = &reference.arrays[&format!("gp_{axis}.grad_u")];
        assert_close("grad_u", tape.pass.d_input.iter().copied(), g, GRADIENT_TOLERANCE);
        for (number, spec) in critic.layout.tensors().iter().enumerate() {
            let name = reference.name(&format!("gradpart.{tag}.gp"), net, number);
            let got = grads[spec.range.clone()].iter().copied();
            assert_close(&name, got, &reference.arrays[&name], GRADIENT_TOLERANCE);
        }
    }
}

#[test]
fn layer_outputs_and_three_hundred_windows() {
    let Some(reference) = Reference::load("layers", "parity.npz") else {
        return;
    };
    let (nets, weights, arrays) = (&reference.nets, &reference.weights, &reference.arrays);
    let scaled = f32s(&arrays["scaled"]);
    let x: Vec<f32> = (0..300)
        .flat_map(|i| scaled[i..i + 100].iter().copied())
        .collect();
    let mut encoded = EncoderTape::default();
    nets.encoder.forward(&weights.encoder, &x, &mut encoded);
    let mut generated = GeneratorTape::default();
    nets.generator
        .forward(&weights.generator, &encoded.out, None, &mut generated);
    let (mut judged, mut judged_z) = (CriticTape::default(), CriticTape::default());
    nets.critic_x.forward(&weights.critic_x, &x, None, &mut judged);
    nets.critic_z
        .forward(&weights.critic_z, &encoded.out, None, &mut judged_z);
    for (name, got) in [
        ("w300_z", &encoded.out[..]),
        ("w300_y_hat", &generated.out),
        ("w300_critic_x", judged.out()),
        ("w300_critic_z", judged_z.out()),
    ] {
        assert_within(name, got, &arrays[name], 1e-5);
    }

    // Window 0 four times: products of a single row sum in one chain, which costs a digit over 20 000 terms.
    let window = x[..100].repeat(4);
    nets.encoder.forward(&weights.encoder, &window, &mut encoded);
    nets.generator
        .forward(&weights.generator, &encoded.out, None, &mut generated);
    nets.critic_x
        .forward(&weights.critic_x, &window, None, &mut judged);
    nets.critic_z
        .forward(&weights.critic_z, &encoded.out, None, &mut judged_z);
    for (name, got) in [
        ("encoder.bidirectional", &encoded.recurrent.lstm.out),
        ("encoder.dense", &encoded.out),
        ("generator.dense_1", &generated.recurrent.stem),
        ("generator.bidirectional_1", &generated.recurrent.first.out),
        ("generator.bidirectional_2", &generated.recurrent.second.out),
        ("generator.activation", &generated.out),
        ("critic_x.leaky_re_lu", &judged.values[1]),
        ("critic_x.leaky_re_lu_1", &judged.values[2]),
        ("critic_x.leaky_re_lu_2", &judged.values[3]),
        ("critic_x.leaky_re_lu_3", &judged.values[4]),
        ("critic_x.dense_3", &judged.values[5]),
        ("critic_z.leaky_re_lu_4", &judged_z.values[1]),
        ("critic_z.leaky_re_lu_5", &judged_z.values[2]),
        ("critic_z.dense_6", &judged_z.values[3]),
    ] {
        let want = &arrays[&format!("layer.{name}")];
        // The generator's recurrent layers are time-major: of four copies of each step, the first.
        let width = if name.starts_with("generator.bidirectional") {
            128
        } else {
            got.len() / 4
        };
        let first: Vec<f32> = got.chunks_exact(width).step_by(4).flatten().copied().collect();
        assert_within(name, &first, want, 1e-5);
    }
}
