//! Trains TadGAN and writes bundles.

pub mod adam;
pub mod export;
pub mod import;
pub mod layers;
pub mod math;
pub mod nets;
pub mod params;
pub mod rng;
pub mod steps;
pub mod trainer;
