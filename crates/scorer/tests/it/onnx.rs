//! The nets of a bundle on ONNX Runtime.

use std::path::Path;

use scorer::bundle::Bundle;
use scorer::manifest::Fingerprint;
use scorer::onnx::{DEFAULT_BATCH, OnnxBackend, OnnxError};
use scorer::runtime::{Device, Runtime};
use scorer::{Backend, WindowOutput};

use crate::support::nets::{self, Sizes, random_weights};
use crate::support::{self, npz::Npz, write_bundle, write_manifest};

/// The published sizes.
const PAPER: Sizes = Sizes {
    window: 100,
    latent: 20,
    encoder_units: 100,
    generator_units: 64,
    critic_filters: 64,
    critic_z_units: 20,
};

const SMALL: Sizes = Sizes {
    window: 20,
    latent: 3,
    encoder_units: 4,
    generator_units: 4,
    critic_filters: 4,
    critic_z_units: 3,
};

/// A fingerprint of one window that any net fits, for tests that do not look at it.
fn zero_fingerprint(sizes: Sizes) -> Fingerprint {
    Fingerprint {
        input: vec![vec![0.0; sizes.window]],
        latent: vec![vec![0.0; sizes.latent]],
        reconstruction: vec![vec![0.0; sizes.window]],
        critic_x: vec![0.0],
        critic_z: vec![0.0],
        tolerance: 1e-5,
    }
}

fn bundle(sizes: Sizes, weights: &nets::Weights<'_>) -> Bundle {
    let dir = tempfile::tempdir().unwrap();
    write_bundle(dir.path(), sizes, weights, &zero_fingerprint(sizes));
    Bundle::load(dir.path()).unwrap()
}

fn window(length: usize, seed: usize) -> Vec<f32> {
    (0..length)
        .map(|i| ((i * (seed + 3)) as f32 * 0.37).sin())
        .collect()
}

fn bits(output: &WindowOutput) -> Vec<u32> {
    let y = output.reconstruction.iter();
    y.chain(&output.critic).map(|v| v.to_bits()).collect()
}

#[test]
fn a_window_does_not_see_its_neighbours() {
    let Some(runtime) = support::runtime() else { return };
    let bundle = bundle(PAPER, &random_weights);
    let windows: Vec<Vec<f32>> = (0..19).map(|seed| window(PAPER.window, seed)).collect();
    for batch in [DEFAULT_BATCH, 5] {
        let mut backend = OnnxBackend::new(&bundle, &runtime, Device::Cpu, batch).unwrap();
        let alone: Vec<Vec<u32>> = windows
            .iter()
            .map(|window| bits(&backend.run(&[window]).unwrap()[0]))
            .collect();
        // Every rotation puts every window into every row, with full, short and several calls.
        for shift in 0..windows.len() {
            for count in [2, 8, windows.len()] {
                let order: Vec<usize> = (0..count).map(|i| (i * 7 + shift) % windows.len()).collect();
                let inputs: Vec<&[f32]> = order.iter().map(|i| windows[*i].as_slice()).collect();
                let outputs = backend.run(&inputs).unwrap();
                for (i, output) in order.iter().zip(&outputs) {
                    assert_eq!(bits(output), alone[*i], "window {i} in {order:?}, batch {batch}");
                }
            }
        }
        let loud = vec![f32::MAX; PAPER.window];
        let broken = vec![f32::NAN; PAPER.window];
        let outputs = backend.run(&[&loud, &windows[0], &broken]).unwrap();
        assert_eq!(bits(&outputs[1]), alone[0], "beside infinities and NaN");
    }
}

#[test]
fn two_backends_agree_bit_for_bit() {
    let Some(runtime) = support::runtime() else { return };
    let bundle = bundle(PAPER, &random_weights);
    let window = window(PAPER.window, 1);
    let run = || {
        let mut backend = OnnxBackend::new(&bundle, &runtime, Device::Cpu, DEFAULT_BATCH).unwrap();
        bits(&backend.run(&[&window]).unwrap()[0])
    };
    assert_eq!(run(), run());
}

/// With no weights but biases, every output is known: `E = b`, `G = tanh(b)`, `Cx = b`, `Cz = b`.
#[test]
fn the_fingerprint_tells_nets_apart() {
    let Some(runtime) = support::runtime() else { return };
    let weights = |net: &str, index: usize, count: usize| {
        let value = match (net, index) {
            ("encoder", 7) => 0.25,
            ("generator", 15) => 0.5,
            ("critic_x", 9) => 3.0,
            ("critic_z", 5) => -2.0,
            _ => 0.0,
        };
        vec![value; count]
    };
    let rows = 3;
    let mut fingerprint = Fingerprint {
        input: (0..rows).map(|seed| window(SMALL.window, seed)).collect(),
        latent: vec![vec![0.25; SMALL.latent]; rows],
        reconstruction: vec![vec![0.5_f32.tanh(); SMALL.window]; rows],
        critic_x: vec![3.0; rows],
        critic_z: vec![-2.0; rows],
        tolerance: 1e-5,
    };
    let dir = tempfile::tempdir().unwrap();
    let verify = |fingerprint: &Fingerprint| {
        write_bundle(dir.path(), SMALL, &weights, fingerprint);
        let bundle = Bundle::load(dir.path()).unwrap();
        OnnxBackend::new(&bundle, &runtime, Device::Cpu, 2)
            .unwrap()
            .verify_fingerprint(&bundle)
    };
    let report = verify(&fingerprint).unwrap();
    assert_eq!(report.windows, rows);
    assert!(report.reconstruction.0 < 1e-6, "{report}");

    fingerprint.critic_z[2] = -2.001;
    let Err(OnnxError::Fingerprint(report)) = verify(&fingerprint) else {
        panic!("a wrong critic value went unnoticed")
    };
    assert!(
        (report.critic_z.unwrap().0 - 5e-4).abs() < 1e-5,
        "relative to its size: {report}"
    );
    assert_eq!(report.critic_x.unwrap().0, 0.0);
}

#[test]
fn a_net_of_another_shape_is_named() {
    let Some(runtime) = support::runtime() else { return };
    let dir = tempfile::tempdir().unwrap();
    // The fingerprint must fit the manifest, so that only the nets are wrong.
    let claimed = Sizes { latent: 5, ..SMALL };
    let mut manifest = write_bundle(dir.path(), SMALL, &random_weights, &zero_fingerprint(claimed));
    manifest.latent = claimed.latent;
    write_manifest(dir.path(), &manifest);
    assert_eq!(
        refusal(dir.path(), &runtime),
        "encoder.onnx: output `z` has shape [batch, 3, 1], must have [batch, 5, 1]"
    );
}

#[test]
fn a_file_that_is_no_net_is_named() {
    let Some(runtime) = support::runtime() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = write_bundle(dir.path(), SMALL, &random_weights, &zero_fingerprint(SMALL));
    let critic_z = std::fs::read(dir.path().join("critic_z.onnx")).unwrap();
    for (bytes, expected) in [
        (b"not a net".to_vec(), "critic_x.onnx: "),
        (critic_z, "critic_x.onnx: input is named `z`, must be `y`"),
    ] {
        std::fs::write(dir.path().join("critic_x.onnx"), &bytes).unwrap();
        let hash = scorer::bundle::sha256_hex(&bytes);
        manifest.files.insert("critic_x.onnx".to_owned(), hash);
        write_manifest(dir.path(), &manifest);
        let found = refusal(dir.path(), &runtime);
        assert!(found.starts_with(expected), "{found}");
    }
}

fn refusal(dir: &Path, runtime: &Runtime) -> String {
    let bundle = Bundle::load(dir).unwrap();
    OnnxBackend::new(&bundle, runtime, Device::Cpu, 1)
        .unwrap_err()
        .to_string()
}

#[test]
fn a_window_of_another_length_is_an_error() {
    let Some(runtime) = support::runtime() else { return };
    let bundle = bundle(SMALL, &random_weights);
    let mut backend = OnnxBackend::new(&bundle, &runtime, Device::Cpu, 1).unwrap();
    let error = backend.run(&[&[0.0; 19]]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "inference failed: a window of 19 samples, the nets take 20"
    );
    assert_eq!(backend.run(&[]), Ok(vec![]));
}

/// `cuda` never falls back; `auto` does, and says why.
#[test]
fn the_device_is_the_one_that_computes() {
    let Some(runtime) = support::runtime() else { return };
    let bundle = bundle(SMALL, &random_weights);
    let auto = OnnxBackend::new(&bundle, &runtime, Device::Auto, 1).unwrap();
    match OnnxBackend::new(&bundle, &runtime, Device::Cuda, 1) {
        Ok(mut cuda) => {
            assert_eq!((cuda.device(), auto.device()), ("cuda:0", "cuda:0"));
            assert_eq!(cuda.run(&[&window(SMALL.window, 0)]).unwrap().len(), 1);
        }
        Err(error) => {
            assert!(matches!(error, OnnxError::Cuda(_)), "{error}");
            assert_eq!(auto.device(), "cpu");
            assert!(auto.fallback_reason().is_some());
        }
    }
    let cpu = OnnxBackend::new(&bundle, &runtime, Device::Cpu, 1).unwrap();
    assert_eq!((cpu.device(), cpu.fallback_reason()), ("cpu", None));
    assert!(
        cpu.runtime().version().starts_with("1."),
        "{}",
        cpu.runtime().version()
    );
}

/// The reference's weights through nets of our own making give the reference's outputs, within 1e-5.
#[test]
fn reference_weights_give_reference_outputs() {
    let (Some(dir), Some(runtime)) = (support::parity_dir(), support::runtime()) else {
        return;
    };
    let tensors = std::fs::read(dir.join("weights.safetensors")).unwrap();
    let weights = |net: &str, index: usize, count: usize| keras_weights(&tensors, net, index, count);
    let arrays = Npz::read(&dir.join("parity.npz"));
    let scaled = arrays.array("scaled");
    let windows: Vec<Vec<f32>> = (0..300)
        .map(|i| scaled[i..i + PAPER.window].iter().map(|v| *v as f32).collect())
        .collect();
    let rows = |name: &str, width: usize| -> Vec<Vec<f32>> {
        let numbers: Vec<f32> = arrays.array(name).iter().map(|v| *v as f32).collect();
        numbers.chunks(width).map(<[f32]>::to_vec).collect()
    };
    let column = |name: &str| rows(name, 1).concat();
    let expected = Fingerprint {
        input: windows,
        latent: rows("w300_z", PAPER.latent),
        reconstruction: rows("w300_y_hat", PAPER.window),
        critic_x: column("w300_critic_x"),
        critic_z: column("w300_critic_z"),
        tolerance: 1e-5,
    };
    let bundle_dir = tempfile::tempdir().unwrap();
    write_bundle(bundle_dir.path(), PAPER, &weights, &expected);
    let bundle = Bundle::load(bundle_dir.path()).unwrap();
    let mut backend = OnnxBackend::new(&bundle, &runtime, Device::Cpu, DEFAULT_BATCH).unwrap();
    let report = backend.verify_fingerprint(&bundle).unwrap();
    println!("{report}");
    assert_eq!(report.windows, 300);
}

/// Tensor number `index` of `net`: names start with `net.NN.`.
fn keras_weights(safetensors: &[u8], net: &str, index: usize, count: usize) -> Vec<f32> {
    let header_length = u64::from_le_bytes(safetensors[..8].try_into().unwrap()) as usize;
    let (header, data) = safetensors[8..].split_at(header_length);
    let header: serde_json::Value = serde_json::from_slice(header).unwrap();
    let prefix = format!("{net}.{index:02}.");
    let (_, tensor) = header
        .as_object()
        .unwrap()
        .iter()
        .find(|(name, _)| name.starts_with(&prefix))
        .unwrap();
    let [start, end] = [0, 1].map(|i| tensor["data_offsets"][i].as_u64().unwrap() as usize);
    assert_eq!((end - start) / 4, count, "{prefix}");
    data[start..end]
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect()
}
