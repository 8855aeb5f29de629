//! Nets as ONNX files: opset 17, native operators, float32, dynamic batch; the interfaces of `scorer::manifest`.

mod graph;
mod proto;
mod read;

pub use graph::{critic_x, critic_z, encoder, generator};
pub use read::read;

use scorer::manifest::ModelKind;

use crate::nets::{Nets, Weights};

/// The nets that there are, in the order of `scorer::manifest::ModelKind::net_files`.
#[must_use]
pub fn all(nets: &Nets, weights: &Weights) -> Vec<Vec<u8>> {
    let mut files = vec![
        encoder(nets, &weights.encoder),
        generator(nets, &weights.generator),
    ];
    if nets.sizes.model() == ModelKind::Tadgan {
        files.push(critic_x(nets, &weights.critic_x));
        files.push(critic_z(nets, &weights.critic_z));
    }
    files
}
