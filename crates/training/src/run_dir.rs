//! The run directory: settings, losses and checkpoints, written as training goes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::import::floats;
use crate::nets::{Nets, Weights};
use crate::trainer::{State, StepLosses};

/// Checkpoints kept; older ones are deleted.
const KEPT: usize = 2;

/// What `config.toml` says: the settings of the run, for people and for going on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The command line.
    pub command: String,
    /// The one seed.
    pub seed: u64,
    /// Name of the architecture.
    pub architecture: String,
    /// SHA-256 of each input by name.
    pub data: BTreeMap<String, String>,
    /// Generator steps to do, the warm-up included.
    pub steps: usize,
    /// Of them, steps on the reconstruction alone.
    pub warm_up: usize,
    /// Weight of the reconstruction error.
    pub reconstruction_weight: f32,
    /// Adam's rate.
    pub learning_rate: f64,
    /// Whether dropout acts in training.
    pub dropout: bool,
    /// Samples of a batch.
    pub batch: usize,
    /// Windows that are trained on.
    pub windows: usize,
    /// Whether batches are shuffled epochs, as in Orion, or drawn with replacement.
    pub shuffled_epochs: bool,
    /// Decay of the average of the weights.
    pub average: f64,
}

/// An open run directory.
#[derive(Debug)]
pub struct RunDir {
    dir: PathBuf,
    losses: BufWriter<File>,
}

impl RunDir {
    /// Creates the directory with `config.toml` and an empty `losses.csv`; what an earlier run left there is replaced.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn create(dir: &Path, config: &RunConfig) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        for old in checkpoints(dir)? {
            fs::remove_file(old)?;
        }
        let text = toml::to_string_pretty(config).map_err(io::Error::other)?;
        fs::write(dir.join("config.toml"), text)?;
        let mut losses = BufWriter::new(File::create(dir.join("losses.csv"))?);
        writeln!(
            losses,
            "step,cx_loss,cx_real,cx_fake,cx_penalty,cz_loss,cz_real,cz_fake,cz_penalty,\
             eg_loss,eg_cx,eg_cz,eg_mse,wasserstein_x,wasserstein_z"
        )?;
        Ok(Self {
            dir: dir.to_owned(),
            losses,
        })
    }

    /// Opens the directory of a run that stopped, to go on after generator step `step`: later rows of `losses.csv` go.
    ///
    /// # Errors
    /// When its settings are not `config`, the command and the number of steps aside, or something cannot be read or
    /// written.
    pub fn reopen(dir: &Path, config: &RunConfig, step: usize) -> io::Result<Self> {
        let old: RunConfig = toml::from_str(&fs::read_to_string(dir.join("config.toml"))?)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.message().to_owned()))?;
        let comparable = RunConfig {
            command: config.command.clone(),
            steps: config.steps,
            ..old.clone()
        };
        if comparable != *config {
            let message = format!("it is a run with other settings or data: {old:?}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let losses = fs::read_to_string(dir.join("losses.csv"))?;
        let kept: String = losses.split_inclusive('\n').take(step + 1).collect();
        let text = toml::to_string_pretty(config).map_err(io::Error::other)?;
        fs::write(dir.join("config.toml"), text)?;
        let mut losses = BufWriter::new(File::create(dir.join("losses.csv"))?);
        losses.write_all(kept.as_bytes())?;
        Ok(Self {
            dir: dir.to_owned(),
            losses,
        })
    }

    /// Appends the losses of one generator step.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn log(&mut self, step: usize, losses: &StepLosses) -> io::Result<()> {
        let StepLosses {
            critic_x: x,
            critic_z: z,
            generator: g,
        } = losses;
        writeln!(
            self.losses,
            "{step},{},{},{},{},{},{},{},{},{},{},{},{},{},{}",
            x.total(),
            x.real,
            x.fake,
            x.penalty,
            z.total(),
            z.real,
            z.fake,
            z.penalty,
            g.total,
            g.critic_x,
            g.critic_z,
            g.mse,
            x.wasserstein(),
            z.wasserstein()
        )
    }

    /// Writes `checkpoint-<step>.safetensors` (complete or not at all), flushes the losses and deletes old checkpoints.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn checkpoint(&mut self, nets: &Nets, state: &State) -> io::Result<()> {
        self.losses.flush()?;
        let path = self.dir.join(format!("checkpoint-{:08}.safetensors", state.step));
        let staging = path.with_extension("part");
        let mut file = File::create(&staging)?;
        file.write_all(&to_bytes(nets, state)?)?;
        file.sync_all()?;
        fs::rename(&staging, &path)?;
        let all = checkpoints(&self.dir)?;
        for old in &all[..all.len().saturating_sub(KEPT)] {
            fs::remove_file(old)?;
        }
        Ok(())
    }
}

/// Checkpoints in a run directory, oldest first.
fn checkpoints(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with("checkpoint-") && name.ends_with(".safetensors") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The parts of a state by the name that their tensors carry in a checkpoint.
fn parts(state: &State) -> [(&'static str, &Weights); 4] {
    [
        ("weights", &state.weights),
        ("adam_first", &state.first),
        ("adam_second", &state.second),
        ("average", &state.average),
    ]
}

fn to_bytes(nets: &Nets, state: &State) -> io::Result<Vec<u8>> {
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (part, weights) in parts(state) {
        for (values, layout) in weights.nets().into_iter().zip(nets.layouts()) {
            for spec in layout.tensors() {
                let bytes = values[spec.range.clone()].iter().flat_map(|v| v.to_le_bytes());
                tensors.push((
                    format!("{part}.{}", spec.name),
                    spec.shape.clone(),
                    bytes.collect(),
                ));
            }
        }
    }
    let step = (state.step as u64).to_le_bytes().to_vec();
    tensors.push(("generator_steps".to_owned(), vec![1], step));
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let kind = if name == "generator_steps" {
            Dtype::U64
        } else {
            Dtype::F32
        };
        TensorView::new(kind, shape.clone(), bytes).map(|view| (name.clone(), view))
    });
    let views = views.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
    safetensors::serialize(views, None).map_err(io::Error::other)
}

/// Reads a checkpoint of `nets`.
///
/// # Errors
/// When the file cannot be read or is not a checkpoint of such nets.
pub fn read_checkpoint(nets: &Nets, path: &Path) -> io::Result<State> {
    let bytes = fs::read(path)?;
    let file = SafeTensors::deserialize(&bytes).map_err(io::Error::other)?;
    let bad = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let part = |part: &str| -> io::Result<Weights> {
        let mut weights = Weights::default();
        for (slot, layout) in weights.nets_mut().into_iter().zip(nets.layouts()) {
            for spec in layout.tensors() {
                let name = format!("{part}.{}", spec.name);
                let tensor = file
                    .tensor(&name)
                    .map_err(|error| bad(format!("{name}: {error}")))?;
                if tensor.shape() != spec.shape {
                    return Err(bad(format!(
                        "{name} is {:?}, not {:?}",
                        tensor.shape(),
                        spec.shape
                    )));
                }
                slot.extend(floats(tensor.data()));
            }
        }
        Ok(weights)
    };
    let step = file.tensor("generator_steps").map_err(io::Error::other)?;
    let step: [u8; 8] = step
        .data()
        .try_into()
        .map_err(|_| bad("generator_steps is not one number".to_owned()))?;
    Ok(State {
        step: u64::from_le_bytes(step) as usize,
        weights: part("weights")?,
        first: part("adam_first")?,
        second: part("adam_second")?,
        average: part("average")?,
    })
}

/// The newest checkpoint of a run directory.
///
/// # Errors
/// When the directory cannot be read or holds none.
pub fn newest_checkpoint(dir: &Path) -> io::Result<PathBuf> {
    checkpoints(dir)?.pop().ok_or_else(|| {
        let message = format!("no checkpoint in {}", dir.display());
        io::Error::new(io::ErrorKind::NotFound, message)
    })
}
