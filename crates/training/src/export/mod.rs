//! Nets as ONNX files: opset 17, native operators, float32, dynamic batch; the interfaces of `scorer::manifest`.

mod graph;
mod proto;

pub use graph::{critic_x, critic_z, encoder, generator};

use crate::nets::{Nets, Weights};

/// The four nets in the order of `scorer::manifest::NET_FILES`.
#[must_use]
pub fn all(nets: &Nets, weights: &Weights) -> [Vec<u8>; 4] {
    [
        encoder(nets, &weights.encoder),
        generator(nets, &weights.generator),
        critic_x(nets, &weights.critic_x),
        critic_z(nets, &weights.critic_z),
    ]
}
