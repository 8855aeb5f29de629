//! The seam between scoring and whatever runs the nets.

/// What the nets make of one window.
///
/// Of nets that predict, the last number of `reconstruction` is the forecast of the bucket after the window, and the first
/// was predicted, too; see [`crate::manifest::ModelKind`].
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct WindowOutput {
    /// `G(E(x))` in the nets' units, length L.
    pub reconstruction: Vec<f32>,
    /// `Cx(x)` of the real window; `None` where the nets have no critic.
    pub critic: Option<f32>,
}

/// Runs encoder, generator and critic over scaled windows.
///
/// Implementations must make each window's output independent of the others in the call (fixed padded batches).
pub trait Backend: Send {
    /// Scores `inputs` (each of length L, the nets' units), one output a window in the same order.
    ///
    /// # Errors
    /// When the runtime fails; the caller counts it and leaves the windows unscored.
    fn run(&mut self, inputs: &[&[f32]]) -> Result<Vec<WindowOutput>, BackendError>;

    /// The device that really computes, e.g. `cpu` or `cuda:0`.
    fn device(&self) -> &str;
}

/// The runtime failed on a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("inference failed: {0}")]
pub struct BackendError(pub String);
