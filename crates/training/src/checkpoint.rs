//! Checkpoints: weights, moments and average of a run as a safetensors file.

use std::fs;
use std::io;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::import::floats;
use crate::nets::{Nets, Weights};
use crate::params::Layout;
use crate::trainer::State;

/// The parts of a state by the name that their tensors carry in a checkpoint.
fn parts(state: &State) -> [(&'static str, &Weights); 4] {
    [
        ("weights", &state.weights),
        ("adam_first", &state.first),
        ("adam_second", &state.second),
        ("average", &state.average),
    ]
}

/// The bytes of a checkpoint.
///
/// # Errors
/// Never for a state of those nets.
pub fn to_bytes(nets: &Nets, state: &State) -> io::Result<Vec<u8>> {
    let parts = parts(state);
    let parts = parts.iter().flat_map(|(part, weights)| {
        let nets = weights.nets().into_iter().zip(nets.layouts());
        nets.map(|(values, layout)| (*part, layout, values.as_slice()))
    });
    encode(state.step, parts)
}

/// The bytes of a checkpoint of any nets after `step` steps: for each the part that it is, its tensors, its values.
pub(crate) fn encode<'a>(
    step: usize,
    parts: impl Iterator<Item = (&'static str, &'a Layout, &'a [f32])>,
) -> io::Result<Vec<u8>> {
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (part, layout, values) in parts {
        for spec in layout.tensors() {
            let bytes = values[spec.range.clone()].iter().flat_map(|v| v.to_le_bytes());
            tensors.push((
                format!("{part}.{}", spec.name),
                spec.shape.clone(),
                bytes.collect(),
            ));
        }
    }
    let step = (step as u64).to_le_bytes().to_vec();
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
pub fn read(nets: &Nets, path: &Path) -> io::Result<State> {
    let names = ["weights", "adam_first", "adam_second", "average"];
    let layouts = nets.layouts();
    let wanted: Vec<_> = names
        .iter()
        .flat_map(|part| layouts.iter().map(move |layout| (*part, *layout)))
        .collect();
    let (step, values) = decode(path, &wanted)?;
    let mut values = values.into_iter();
    let mut part = || {
        let mut weights = Weights::default();
        for slot in weights.nets_mut() {
            *slot = values.next().unwrap_or_default();
        }
        weights
    };
    Ok(State {
        step,
        weights: part(),
        first: part(),
        second: part(),
        average: part(),
    })
}

/// Reads what [`encode`] wrote: the steps, and the values of each of `parts`.
pub(crate) fn decode(path: &Path, parts: &[(&str, &Layout)]) -> io::Result<(usize, Vec<Vec<f32>>)> {
    let bytes = fs::read(path)?;
    let file = SafeTensors::deserialize(&bytes).map_err(io::Error::other)?;
    let bad = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut all = Vec::new();
    for (part, layout) in parts {
        let mut values = Vec::new();
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
            values.extend(floats(tensor.data()));
        }
        all.push(values);
    }
    let step = file.tensor("generator_steps").map_err(io::Error::other)?;
    let step: [u8; 8] = step
        .data()
        .try_into()
        .map_err(|_| bad("generator_steps is not one number".to_owned()))?;
    Ok((u64::from_le_bytes(step) as usize, all))
}
