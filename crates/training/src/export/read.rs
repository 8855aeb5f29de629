//! Weights back out of files that [`super::all`] wrote.
//!
//! Where each weight stands is not written down a second time: nets whose weights are the numbers 1, 2, 3, … are
//! exported, and what is found in their files says where to look. Below 2²⁴ such numbers are exact in float32.

use std::collections::BTreeMap;

use prost::Message as _;

use super::proto::{FLOAT, Graph, Model, Tensor};
use crate::import::floats;
use crate::nets::{NAMES, Nets, Weights};

/// Reads the weights of `nets` from their ONNX files, in the order of [`NAMES`].
///
/// # Errors
/// What is wrong with which file: it is not what this program writes for such nets.
pub fn read(nets: &Nets, files: &[&[u8]]) -> Result<Weights, String> {
    let mut weights = numbered(nets);
    let exported = super::all(nets, &weights);
    for (net, slot) in weights.nets_mut().into_iter().enumerate() {
        let (Some(exported), Some(file)) = (exported.get(net), files.get(net)) else {
            continue;
        };
        let exported = graph(exported).ok_or("a net cannot be exported")?;
        let found = graph(file).ok_or("it is no ONNX file".to_owned());
        found
            .and_then(|found| read_net(&exported, &found, slot))
            .map_err(|reason| format!("{}.onnx: {reason}", NAMES[net]))?;
    }
    Ok(weights)
}

/// Weights that are their own numbers, from 1.
fn numbered(nets: &Nets) -> Weights {
    let mut weights = Weights::default();
    for (slot, layout) in weights.nets_mut().into_iter().zip(nets.layouts()) {
        slot.extend((1..=layout.len()).map(|number| number as f32));
    }
    weights
}

fn graph(file: &[u8]) -> Option<Graph> {
    Model::decode(file).ok()?.graph
}

fn read_net(numbered: &Graph, found: &Graph, weights: &mut [f32]) -> Result<(), String> {
    let mut found_weights = 0;
    let tensors: BTreeMap<&str, &Tensor> = found.initializer.iter().map(|t| (t.name.as_str(), t)).collect();
    // Only weights: how a graph is put together may change from version to version.
    for wanted in numbered.initializer.iter().filter(|t| t.data_type == FLOAT) {
        let tensor = tensors.get(wanted.name.as_str()).filter(|found| {
            let shape = (found.data_type, &found.dims, found.raw_data.len());
            shape == (wanted.data_type, &wanted.dims, wanted.raw_data.len())
        });
        let tensor = tensor.ok_or_else(|| format!("it has no tensor {} of the shape wanted", wanted.name))?;
        for (number, value) in floats(&wanted.raw_data).zip(floats(&tensor.raw_data)) {
            match (number as usize).checked_sub(1) {
                Some(at) => {
                    weights[at] = value;
                    found_weights += 1;
                }
                None if value == 0.0 => {}
                None => return Err(format!("its tensor {} is not zero where it must be", wanted.name)),
            }
        }
    }
    if found_weights == weights.len() {
        Ok(())
    } else {
        Err(format!("it holds {found_weights} of {} weights", weights.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::{ARCHITECTURES, Sizes};
    use crate::rng::Streams;

    #[test]
    fn what_is_exported_is_read_back_bit_for_bit() {
        let named = ARCHITECTURES.map(|name| Sizes::named(name).unwrap());
        for sizes in named.into_iter().chain([Sizes::aer()]) {
            let nets = Nets::new(sizes);
            let mut weights = nets.init(Streams::new(5));
            // Biases start at zero: make every weight count.
            for net in weights.nets_mut() {
                net.iter_mut()
                    .enumerate()
                    .for_each(|(k, w)| *w += 1e-3 * k as f32);
            }
            let files = super::super::all(&nets, &weights);
            let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
            assert!(read(&nets, &files).unwrap() == weights, "{:?}", nets.sizes);
        }
    }

    #[test]
    fn files_of_other_nets_are_refused() {
        let small = Nets::new(Sizes::small());
        let weights = small.init(Streams::new(5));
        let files = super::super::all(&small, &weights);
        let mut files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
        let error = read(&Nets::new(Sizes::paper()), &files).unwrap_err();
        assert!(error.starts_with("encoder.onnx: "), "{error}");
        files[2] = b"no net";
        let error = read(&small, &files).unwrap_err();
        assert!(error.starts_with("critic_x.onnx: it is"), "{error}");
    }
}
