//! The nets of a bundle on ONNX Runtime.
//!
//! A window's numbers must not depend on its neighbours: every call runs the same number of rows, short batches are
//! padded with zeros, one thread computes, and nothing is quantised by the batch's range.

use ndarray::{Array3, ArrayView2, s};
use ort::ep;
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use ort::value::{DynValue, TensorElementType, TensorRef, ValueType};

use crate::backend::{Backend, BackendError, WindowOutput};
use crate::bundle::{Bundle, Net};
use crate::fingerprint::FingerprintReport;
use crate::manifest::ModelKind;
use crate::runtime::{Device, Runtime};

/// Rows of one call. Larger batches are slower on CPUs: the weights of a layer and 8 rows fit the cache.
pub const DEFAULT_BATCH: usize = 8;

/// Encoder, generator and, where there is one, critic of one bundle, ready to run. One a worker: a run needs `&mut self`.
#[derive(Debug)]
pub struct OnnxBackend {
    runtime: Runtime,
    encoder: Session,
    generator: Session,
    /// `None` for a bundle without critics.
    critic_x: Option<Session>,
    /// `[batch, L, 1]`, reused by every call.
    input: Array3<f32>,
    latent: usize,
    device: &'static str,
    fallback_reason: Option<String>,
}

impl OnnxBackend {
    /// Loads the nets onto `device`, checks their interfaces against the manifest and runs them once.
    /// `batch` is the fixed number of rows of a call, [`DEFAULT_BATCH`] if in doubt; 0 counts as 1.
    ///
    /// # Errors
    /// A net does not load, has other names or shapes than the manifest says, or the wanted device does not work.
    /// [`Device::Auto`] goes on with the CPU, see [`OnnxBackend::fallback_reason`].
    pub fn new(bundle: &Bundle, runtime: &Runtime, device: Device, batch: usize) -> Result<Self, OnnxError> {
        let provider = match device {
            Device::Cpu => Provider::Cpu,
            Device::Auto | Device::Cuda => Provider::Cuda,
        };
        match (Self::on(provider, bundle, runtime, batch), device) {
            (Ok(backend), _) => Ok(backend),
            (Err(error), Device::Auto) => {
                let mut backend = Self::on(Provider::Cpu, bundle, runtime, batch)?;
                backend.fallback_reason = Some(error.to_string());
                Ok(backend)
            }
            (Err(error), Device::Cuda) => Err(OnnxError::Cuda(error.to_string())),
            (Err(error), Device::Cpu) => Err(error),
        }
    }

    fn on(provider: Provider, bundle: &Bundle, runtime: &Runtime, batch: usize) -> Result<Self, OnnxError> {
        let manifest = bundle.manifest();
        let batch = batch.max(1);
        let session = |net| open(net, provider, bundle, runtime);
        let mut backend = Self {
            encoder: session(Net::Encoder)?,
            generator: session(Net::Generator)?,
            critic_x: match manifest.model {
                ModelKind::Tadgan => Some(session(Net::CriticX)?),
                ModelKind::Aer => None,
            },
            runtime: runtime.clone(),
            input: Array3::zeros((batch, manifest.window, manifest.channels)),
            latent: manifest.latent,
            device: provider.name(),
            fallback_reason: None,
        };
        // A device that is there but broken shows at the first run, not when it is opened.
        let silence = vec![0.0; manifest.window];
        backend.run(&[&silence])?;
        Ok(backend)
    }

    /// Why `auto` did not get CUDA; `None` when it was not tried or works.
    #[must_use]
    pub fn fallback_reason(&self) -> Option<&str> {
        self.fallback_reason.as_deref()
    }

    /// The library that computes, with its version.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Runs the fingerprint's windows through every net of `bundle` (the one this backend was made from) and
    /// compares with what they gave where the bundle was made.
    ///
    /// # Errors
    /// The nets fail or their outputs differ by more than the fingerprint's tolerance.
    pub fn verify_fingerprint(&mut self, bundle: &Bundle) -> Result<FingerprintReport, OnnxError> {
        let expected = bundle.fingerprint();
        let provider = if self.device == Provider::Cpu.name() {
            Provider::Cpu
        } else {
            Provider::Cuda
        };
        let mut critic_z = match bundle.manifest().model {
            ModelKind::Tadgan => Some(open(Net::CriticZ, provider, bundle, &self.runtime)?),
            ModelKind::Aer => None,
        };
        let mut report = FingerprintReport::new(expected);
        let rows: Vec<&[f32]> = expected.input.iter().map(Vec::as_slice).collect();
        let mut first = 0;
        for chunk in rows.chunks(self.input.dim().0) {
            let (latents, outputs) = self.run_batch(chunk)?;
            let judged = match &mut critic_z {
                Some(net) => run_net(net, Net::CriticZ, latents.view())
                    .and_then(|judged| column(&judged, Net::CriticZ, self.input.dim().0))?,
                None => Vec::new(),
            };
            let latents = matrix(&latents, Net::Encoder, self.input.dim().0, self.latent)?;
            for (i, output) in outputs.iter().enumerate() {
                let row = first + i;
                report
                    .latent
                    .compare(latents.row(i).iter(), &expected.latent[row]);
                let y = output.reconstruction.iter();
                report.reconstruction.compare(y, &expected.reconstruction[row]);
                for (report, found, expected) in [
                    (&mut report.critic_x, output.critic, &expected.critic_x),
                    (&mut report.critic_z, judged.get(i).copied(), &expected.critic_z),
                ] {
                    if let Some(found) = found {
                        report
                            .get_or_insert_default()
                            .compare_relative(found, expected[row]);
                    }
                }
            }
            first += chunk.len();
        }
        if report.is_within_tolerance() {
            Ok(report)
        } else {
            Err(OnnxError::Fingerprint(report))
        }
    }

    /// One padded call: the latents as the runtime holds them, and an output for each of `windows`.
    fn run_batch(&mut self, windows: &[&[f32]]) -> Result<(DynValue, Vec<WindowOutput>), BackendError> {
        let (batch, length, _) = self.input.dim();
        self.input.fill(0.0);
        for (row, window) in windows.iter().enumerate() {
            if window.len() != length {
                let problem = format!("a window of {} samples, the nets take {length}", window.len());
                return Err(BackendError(problem));
            }
            self.input
                .slice_mut(s![row, .., 0])
                .assign(&ndarray::aview1(window));
        }
        let input = || TensorRef::from_array_view(self.input.view()).map_err(failed);
        let latents = run_net(&mut self.encoder, Net::Encoder, input()?)?;
        let reconstructions = run_net(&mut self.generator, Net::Generator, latents.view())?;
        let critic = match &mut self.critic_x {
            Some(net) => Some(column(
                &run_net(net, Net::CriticX, input()?)?,
                Net::CriticX,
                batch,
            )?),
            None => None,
        };
        let y = matrix(&reconstructions, Net::Generator, batch, length)?;
        let outputs = (0..windows.len())
            .map(|row| WindowOutput {
                reconstruction: y.row(row).to_vec(),
                critic: critic.as_ref().map(|c| c[row]),
            })
            .collect();
        Ok((latents, outputs))
    }
}

impl Backend for OnnxBackend {
    fn run(&mut self, inputs: &[&[f32]]) -> Result<Vec<WindowOutput>, BackendError> {
        let mut outputs = Vec::with_capacity(inputs.len());
        for chunk in inputs.chunks(self.input.dim().0) {
            outputs.extend(self.run_batch(chunk)?.1);
        }
        Ok(outputs)
    }

    fn device(&self) -> &str {
        self.device
    }
}

/// The nets of a bundle cannot be served.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OnnxError {
    /// CUDA was asked for and does not work here.
    #[error("device cuda does not work here: {0}")]
    Cuda(String),
    /// The nets compute something else than where the bundle was made.
    #[error("the nets do not give what the bundle's fingerprint says: {0}")]
    Fingerprint(FingerprintReport),
    /// A net's inputs or outputs are not what the manifest says.
    #[error("{file}: {problem}")]
    Interface {
        /// File of the net.
        file: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// ONNX Runtime refuses a net.
    #[error("{file}: {reason}")]
    Load {
        /// File of the net.
        file: &'static str,
        /// In the runtime's words.
        reason: String,
    },
    /// The nets load but do not run.
    #[error(transparent)]
    Run(#[from] BackendError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Provider {
    Cpu,
    Cuda,
}

impl Provider {
    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda:0",
        }
    }
}

fn open(net: Net, provider: Provider, bundle: &Bundle, runtime: &Runtime) -> Result<Session, OnnxError> {
    let session = session_builder(provider, runtime)
        .and_then(|mut builder| builder.commit_from_memory(bundle.net(net)))
        .map_err(|error| OnnxError::Load {
            file: net.file(),
            reason: error.to_string(),
        })?;
    check_interface(net, &session, bundle).map_err(|problem| OnnxError::Interface {
        file: net.file(),
        problem,
    })?;
    Ok(session)
}

fn session_builder(provider: Provider, runtime: &Runtime) -> ort::Result<SessionBuilder> {
    let builder = Session::builder(runtime.environment())?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_parallel_execution(false)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_deterministic_compute(true)?;
    match provider {
        Provider::Cpu => Ok(builder),
        Provider::Cuda => {
            // Without a fallback, a net of which any part would run on the CPU is an error: what `device` says then
            // is what computes. TF32 would round the inputs of every product to 10 bits.
            let cuda = ep::CUDA::default()
                .with_device_id(0)
                .with_tf32(false)
                .with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Default);
            let builder = builder
                .with_execution_providers([cuda.build().error_on_failure()])?
                .with_disable_cpu_fallback()?;
            Ok(builder)
        }
    }
}

/// Tensor names and the sizes after the batch axis, as [`crate::manifest::Manifest`] documents them.
fn interface(net: Net, bundle: &Bundle) -> [(&'static str, Vec<i64>); 2] {
    let m = bundle.manifest();
    let window = |channels: usize| vec![m.window as i64, channels as i64];
    let latent = vec![m.latent as i64, 1];
    match net {
        Net::Encoder => [("x", window(m.channels)), ("z", latent)],
        Net::Generator => [("z", latent), ("y", window(1))],
        Net::CriticX => [("y", window(1)), ("critic", vec![1])],
        Net::CriticZ => [("z", latent), ("critic", vec![1])],
    }
}

fn check_interface(net: Net, session: &Session, bundle: &Bundle) -> Result<(), String> {
    let [input, output] = interface(net, bundle);
    for (role, (name, sizes), found) in [
        ("input", input, session.inputs()),
        ("output", output, session.outputs()),
    ] {
        let [tensor] = found else {
            let names: Vec<&str> = found.iter().map(|tensor| tensor.name()).collect();
            return Err(format!("wants one {role} `{name}`, has {names:?}"));
        };
        if tensor.name() != name {
            return Err(format!("{role} is named `{}`, must be `{name}`", tensor.name()));
        }
        let ValueType::Tensor { ty, shape, .. } = tensor.dtype() else {
            return Err(format!("{role} `{name}` is not a tensor"));
        };
        if *ty != TensorElementType::Float32 {
            return Err(format!("{role} `{name}` holds {ty}, must hold float32"));
        }
        if shape.first() != Some(&-1) || shape[1..] != sizes {
            return Err(format!(
                "{role} `{name}` has shape {}, must have {}",
                shape_text(shape),
                shape_text(&[&[-1], sizes.as_slice()].concat())
            ));
        }
    }
    Ok(())
}

fn shape_text(shape: &[i64]) -> String {
    let axes: Vec<String> = shape
        .iter()
        .map(|size| {
            if *size < 0 {
                "batch".to_owned()
            } else {
                size.to_string()
            }
        })
        .collect();
    format!("[{}]", axes.join(", "))
}

/// Interfaces were checked when the session was opened: one input, one output.
fn run_net<'v>(
    session: &mut Session,
    net: Net,
    input: impl Into<ort::session::SessionInputValue<'v>>,
) -> Result<DynValue, BackendError> {
    let name = session.outputs()[0].name().to_owned();
    let mut outputs = session.run([input.into()]).map_err(failed)?;
    outputs
        .remove(&name)
        .ok_or_else(|| BackendError(format!("{} gave no `{name}`", net.file())))
}

fn matrix(
    value: &DynValue,
    net: Net,
    rows: usize,
    columns: usize,
) -> Result<ArrayView2<'_, f32>, BackendError> {
    let (shape, numbers) = value.try_extract_tensor::<f32>().map_err(failed)?;
    ArrayView2::from_shape((rows, columns), numbers)
        .map_err(|_| BackendError(format!("{} gave an output of shape {shape}", net.file())))
}

fn column(value: &DynValue, net: Net, rows: usize) -> Result<Vec<f32>, BackendError> {
    Ok(matrix(value, net, rows, 1)?.iter().copied().collect())
}

fn failed(error: ort::Error) -> BackendError {
    BackendError(error.to_string())
}
