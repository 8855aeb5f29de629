//! Trains TadGAN and writes bundles.

pub mod adam;
pub mod batches;
pub mod bundle;
pub mod calibrate;
pub mod data;
pub mod export;
pub mod import;
pub mod layers;
pub mod math;
pub mod nets;
pub mod params;
pub mod rng;
pub mod run_dir;
pub mod steps;
pub mod train;
pub mod trainer;
